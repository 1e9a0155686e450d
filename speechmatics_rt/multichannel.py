"""The client for several sources in one session, each on a channel of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from .audio import AudioSource, Source, open_source
from .baseclient import BaseClient
from .config import FLAG, AudioFormat
from .exceptions import AudioError, ConfigurationError, a_kind
from .session import (
    UNSET,
    Call,
    MessageStream,
    Session,
    SessionOptions,
    SessionRequest,
    SourceOptions,
    UtteranceStream,
    check_label,
    labels_of,
    spelled_out,
    with_turns,
)
from .transcript import Transcript, Utterance

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MultiChannelClient"]


class MultiChannelClient(BaseClient):
    """Transcribe several sources at once, each on a channel of its own.

    A channel is identified by its label alone; the order of labels means nothing. Messages carry the label
    under ``channel``, and so do the words of the :class:`Transcript`. Channels may differ in length, but
    share one audio format. The service accepts at most 2 channels, a container as many as it is set up for.

    The time of a channel is that of its own audio. A telephone that sends nothing while nobody speaks has to
    be filled up with silence (zeros; 0xFF in mu-law), or what it says later is told too early.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> calls = {"caller": bytes(96000), "agent": bytes(64000)}
        >>> with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        ...     transcript = client.transcribe(calls, audio_format=AudioFormat("pcm_s16le", 16000))
        >>> sorted({word.channel for word in transcript.words})
        ['agent', 'caller']
    """

    @spelled_out
    def start_session(  # type: ignore[override]  # channels have to be named
        self, *, channels: Sequence[str], **options: Unpack[SessionOptions]
    ) -> None:
        """Connect and start recognition on the named channels; return when audio may be sent.

        Unless the configuration says otherwise, ``diarization`` is ``"channel"`` and the labels are
        ``channels``; the caller's configuration is not modified. Raises the errors of
        :meth:`Client.start_session`.
        """
        self._start_session(Call(self), channels=channels, **options)

    def _start_session(self, call: Call, *, channels: Any = (), **options: Any) -> Session:
        request = SessionRequest.of(options, SessionOptions, labels_of(channels, "channels"))
        self._prepare(call, request)
        return self._open(call, request, lambda session: session)

    @spelled_out
    def transcribe(self, sources: Mapping[str, Source], **options: Unpack[SourceOptions]) -> Transcript:
        """Send all sources and return the transcript. Handlers run on the calling thread.

        Args:
            sources: A source for each label; see :meth:`Client.transcribe` for what a source may be. Some
                may be empty, but not all. To send the channels of one WAV, use :func:`split_channels`.

        The other arguments and the errors are those of :meth:`Client.transcribe`. When a source fails, the
        others stop, and the AudioError names the channel.
        """
        return self.stream(sources, **options).finish()

    @spelled_out
    def stream(self, sources: Mapping[str, Source], **options: Unpack[SourceOptions]) -> MessageStream:
        """Start sending all sources and return an iterator over the messages of the session.

        Arguments and errors are those of :meth:`transcribe`; errors of the session are raised by the
        iteration.
        """
        return self._streaming(Call(self), sources, self._request(sources, options))

    def _request(self, sources: Any, options: Mapping[str, Any]) -> SessionRequest:
        if not isinstance(sources, Mapping):
            raise ConfigurationError(
                f"sources is {a_kind(sources)}; accepted: a mapping, a source for each label"
            )
        return SessionRequest.of(options, SourceOptions, labels_of(sources, "sources"))

    def _streaming(self, call: Call, sources: Mapping[str, Source], request: SessionRequest) -> MessageStream:
        self._prepare(call, request)
        return self._stream(call, request, lambda: _open_sources(sources, request.given_format))

    @spelled_out
    def utterances(
        self, sources: Mapping[str, Source], *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> UtteranceStream:
        """Start sending all sources and return an iterator over utterances; see :meth:`Client.utterances`."""
        FLAG("partials", partials)
        messages = self.stream(sources, **with_turns(options, partials=partials))
        return UtteranceStream(messages, partials=partials)

    def send_audio(self, channel: str, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio on a channel. Raises the errors of :meth:`Client.send_audio`."""
        check_label(channel)
        self._running().send_audio(payload, channel=channel)

    def end_channel(self, channel: str) -> None:
        """End the audio of a channel; when the last channel has ended, the transcript is completed.

        Raises:
            ConfigurationError: The label is not a string.
            SessionError: There is no such channel, or it has already ended.
        """
        check_label(channel)
        self._running().connection.end_channel(channel)

    def force_end_of_utterance(
        self, *, channel: Optional[str] = None, timestamp: Optional[float] = UNSET
    ) -> None:
        """End the utterance of a channel now: a final and an ``EndOfUtterance`` follow, both ``forced``.

        Args:
            channel: The label; without one the service decides.
            timestamp: Where it ended, in seconds of audio; by default the end of the audio sent on the
                channel (raw formats). None sends no timestamp.

        Raises:
            ConfigurationError: The timestamp is not a number, or is negative; or the label is not a string.
            SessionError: No session is running, or it has no such channel.
        """
        session, message = self._forced(timestamp, channel)
        session.send(message)

    def finalize(
        self,
        *,
        channel: Optional[str] = None,
        timestamp: Optional[float] = UNSET,
        timeout: Optional[float] = 5.0,
    ) -> Optional[Utterance]:
        """End the utterance of a channel now and return it once it is final; see :meth:`Client.finalize`.

        Without a channel those of all end, and the first that is final is returned; the others are left to
        the next calls.
        """
        return self._finalize(timestamp, timeout, channel)


def _open_sources(
    sources: Mapping[str, Source], audio_format: Optional[AudioFormat]
) -> dict[Optional[str], AudioSource]:
    """Open all sources, or none. They must share one format, and not all be empty."""
    opened: dict[Optional[str], AudioSource] = {}
    read_once: dict[int, str] = {}
    for label, source in sources.items():
        if callable(getattr(source, "read", None)) or hasattr(source, "__next__"):
            first = read_once.setdefault(id(source), label)
            if first != label:
                raise AudioError(
                    f"channels {first!r} and {label!r} are given one source, of which each would get a part; "
                    "give each its own, or the same path or bytes",
                    channel=label,
                )
    try:
        for label, source in sources.items():
            opened[label] = open_source(source, audio_format, channel=label, may_be_empty=True)
        _check_together(opened)
    except BaseException:
        for source in opened.values():
            source.put_back()
            source.close()
        raise
    return opened


def _check_together(opened: Mapping[Optional[str], AudioSource]) -> None:
    heard = [(label, source.audio_format) for label, source in opened.items() if not source.empty]
    if not heard:
        raise AudioError("all audio sources are empty")
    (first, one), *others = heard
    for label, other in others:
        if other.to_dict() != one.to_dict():
            raise AudioError(
                f"channels share one audio format, but {first!r} holds {one.to_dict()} and {label!r} "
                f"{other.to_dict()}",
                channel=label,
            )
    for source in opened.values():
        if source.empty:
            source.audio_format = one  # it has none of its own
