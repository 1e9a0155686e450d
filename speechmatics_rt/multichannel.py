"""Several sources in one session, each on its own channel."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional, Union

from .audio import AudioSource, Source
from .audio import source as audio
from .client import UNSET, BaseClient, check_speed
from .config import AudioEventsConfig, AudioFormat, TranscriptionConfig, TranslationConfig, start_recognition
from .exceptions import AudioError, ConfigurationError
from .session import MessageStream
from .transcript import Transcript

__all__ = ["MultiChannelClient"]

Config = Union[TranscriptionConfig, Mapping[str, Any], None]


class MultiChannelClient(BaseClient):
    """Transcribe several sources at once, each on a channel of its own.

    A channel is known by its label, everywhere and only by it: the order of labels means nothing. Messages
    carry the label under ``channel``; words of the :class:`Transcript` do too. Channels may be of unequal
    length, and all share one audio format. The service takes at most 2 channels, a container as many as
    it is set up for.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> calls = {"caller": bytes(96000), "agent": bytes(64000)}
        >>> with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        ...     transcript = client.transcribe(calls, audio_format=AudioFormat("pcm_s16le", 16000))
        >>> sorted({word.channel for word in transcript.words})
        ['agent', 'caller']
    """

    def start_session(  # type: ignore[override]  # channels have to be named
        self,
        *,
        channels: Sequence[str],
        transcription_config: Config = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Connect and start recognition on the named channels; return when audio may be sent.

        Sets ``diarization`` to ``"channel"`` and the labels to ``channels`` where the configuration says
        nothing else; the caller's configuration is not changed. Raises as :meth:`Client.start_session`.
        """
        self._prepare()
        audio_format = audio_format or AudioFormat()
        config = _with_channels(transcription_config, list(channels))
        start = start_recognition(config, audio_format, translation_config, audio_events_config)
        self._listen(self._open(self._opening(start, audio_format, ws_headers)))

    def transcribe(
        self,
        sources: Mapping[str, Source],
        *,
        transcription_config: Config = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        speed: Optional[float] = None,
    ) -> Transcript:
        """Send all sources to their ends and return the transcript; handlers run on this thread.

        Args:
            sources: A source for each label; see :meth:`Client.transcribe` for what a source may be. One
                may be empty, not all. To send the channels of one WAV, use :func:`split_channels`.

        The other arguments and the errors are those of :meth:`Client.transcribe`. When a source fails the
        others stop, and the AudioError names the channel.
        """
        messages = self.stream(
            sources,
            transcription_config=transcription_config,
            audio_format=audio_format,
            translation_config=translation_config,
            audio_events_config=audio_events_config,
            ws_headers=ws_headers,
            timeout=timeout,
            speed=speed,
        )
        with messages:
            for _ in messages:
                pass
        return messages.transcript

    def stream(
        self,
        sources: Mapping[str, Source],
        *,
        transcription_config: Config = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        speed: Optional[float] = None,
    ) -> MessageStream:
        """Start sending all sources and return the messages of the session as an iterator.

        Arguments and errors as :meth:`transcribe`; those of the session are raised by the iteration.
        """
        check_speed(speed)
        self._prepare()
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        config = _with_channels(transcription_config, list(sources))
        start = start_recognition(
            config, audio_format or AudioFormat(), translation_config, audio_events_config
        )
        opened = _open_sources(sources, audio_format)
        one_format = next(iter(opened.values())).audio_format
        opening = self._opening(start, one_format, ws_headers, deadline, timeout)
        return self._stream(opening, opened, speed)

    def send_audio(self, channel: str, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio on a channel. Raises as :meth:`Client.send_audio`."""
        self._running().send_audio(payload, channel=channel)

    def end_channel(self, channel: str) -> None:
        """Say that a channel has ended; when the last one has, the transcript is completed.

        Raises:
            SessionError: There is no such channel, or it has ended already.
        """
        self._running().connection.end_channel(channel)

    def force_end_of_utterance(
        self, *, channel: Optional[str] = None, timestamp: Optional[float] = UNSET
    ) -> None:
        """End the utterance of a channel now: a final and an ``EndOfUtterance`` follow, both ``forced``.

        Args:
            channel: Its label; without one the service decides.
            timestamp: Where it ended, in seconds of audio; by default all that was sent on the channel (raw
                formats). None sends no timestamp.
        """
        conversation = self._running()
        if timestamp is UNSET:
            known = channel is not None and conversation.bytes_per_second
            timestamp = conversation.connection.seconds_sent_on(channel) if known else None
        message: dict[str, Any] = {"message": "ForceEndOfUtterance"}
        if channel is not None:
            message["channel"] = channel
        if timestamp is not None:
            message["timestamp"] = timestamp
        conversation.send(message)


def _with_channels(config: Config, channels: list[str]) -> TranscriptionConfig:
    """Return a configuration for these channels; the given one stays as it is."""
    given = TranscriptionConfig() if config is None else TranscriptionConfig.of(config)
    if not channels:
        raise ConfigurationError("at least one channel is needed")
    for label in channels:
        if not isinstance(label, str) or not label:
            raise ConfigurationError(f"a channel is named by a string that is not empty, not {label!r}")
    labels = given.channel_diarization_labels
    if labels is not None and set(labels) != set(channels):
        raise ConfigurationError(
            f"channel_diarization_labels are {sorted(labels)}, but the channels are {sorted(channels)}; "
            "leave the labels out to take them from the channels"
        )
    diarization = given.diarization or "channel"
    if not diarization.startswith("channel"):
        raise ConfigurationError(
            f"diarization={diarization!r} knows no channels; use 'channel' or 'channel_and_speaker'"
        )
    return replace(given, diarization=diarization, channel_diarization_labels=labels or channels)


def _open_sources(
    sources: Mapping[str, Source], audio_format: Optional[AudioFormat]
) -> dict[Optional[str], AudioSource]:
    """Open all sources, or none; they must agree on one format, and not all be empty."""
    opened: dict[Optional[str], AudioSource] = {}
    try:
        for label, source in sources.items():
            opened[label] = audio.open_source(source, audio_format, channel=label, may_be_empty=True)
        _check_together(opened)
    except BaseException:
        for source in opened.values():
            source.close()
        raise
    return opened


def _check_together(opened: Mapping[Optional[str], AudioSource]) -> None:
    if all(source.empty for source in opened.values()):
        raise AudioError("all audio sources are empty")
    formats = {label: source.audio_format.to_dict() for label, source in opened.items()}
    (first, one), *others = formats.items()
    for label, other in others:
        if other != one:
            raise AudioError(
                f"channels share one audio format, but {first!r} holds {one} and {label!r} {other}",
                channel=label,
            )
