"""The keyword arguments that open a session, shared by all calls and checked before any I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any, Callable, NamedTuple, Optional, TypedDict, TypeVar, Union

from ..config import (
    AudioEventsConfig,
    AudioFormat,
    TranscriptionConfig,
    TranslationConfig,
    above_zero,
    checked,
    header_line,
    hint_for,
    kept,
    number,
    refused,
    start_recognition,
)
from ..exceptions import ConfigurationError, a_kind
from ..protocol import codec

__all__ = [
    "SECONDS",
    "UNSET",
    "SessionOptions",
    "SessionRequest",
    "SourceOptions",
    "as_sent",
    "check_label",
    "check_raw",
    "check_timestamp",
    "labels_of",
    "spelled_out",
]

UNSET: Any = type("UNSET", (), {"__repr__": lambda self: "UNSET"})()
SECONDS = number(0, unit="seconds")
_PACE = above_zero(", such as 1.0 for real time, or None for no limit")

_F = TypeVar("_F", bound=Callable[..., Any])


class SessionOptions(TypedDict, total=False):
    """Keyword arguments of every session; see :meth:`Client.start_session`."""

    transcription_config: Union[TranscriptionConfig, Mapping[str, Any], None]
    audio_format: Union[AudioFormat, Mapping[str, Any], None]
    translation_config: Union[TranslationConfig, Mapping[str, Any], None]
    audio_events_config: Union[AudioEventsConfig, Mapping[str, Any], None]
    ws_headers: Optional[Mapping[str, str]]


class SourceOptions(SessionOptions, total=False):
    """Keyword arguments of a session that sends a source; see :meth:`Client.transcribe`."""

    timeout: Optional[float]
    speed: Optional[float]


def spelled_out(method: _F) -> _F:
    """Show the keywords of ``**options: Unpack[...]`` in :func:`help` and :mod:`inspect`, and as annotations.

    Example:
        >>> @spelled_out
        ... def start(**options: Unpack[SessionOptions]) -> None: ...
        >>> list(signature(start).parameters)[:2]
        ['transcription_config', 'audio_format']
    """
    shown = signature(method)
    *parameters, options = shown.parameters.values()
    kind = {"Unpack[SessionOptions]": SessionOptions, "Unpack[SourceOptions]": SourceOptions}
    keywords = kind[method.__annotations__.pop(options.name)].__annotations__  # Python 3.9 has no Unpack
    method.__annotations__.update(keywords)
    for name, annotation in keywords.items():
        text = getattr(annotation, "__forward_arg__", annotation)
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=text))
    method.__signature__ = shown.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method


class SessionRequest(NamedTuple):
    """A checked request for a session. ``deadline`` (monotonic) is when ``timeout`` expires."""

    start: dict[str, Any]  # StartRecognition
    given_format: Optional[AudioFormat]  # None: the source is to be examined
    ws_headers: Mapping[str, str]
    timeout: Optional[float]
    deadline: float
    speed: Optional[float]

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        known: type,
        channels: Optional[list[str]] = None,
        *,
        others: Iterable[str] = (),
    ) -> SessionRequest:
        """Check the keywords of a call, whose ``timeout`` begins here.

        Args:
            options: The keywords.
            known: Those that are accepted: :class:`SessionOptions` or :class:`SourceOptions`.
            channels: The labels, from :func:`labels_of`, of a session of several channels.
            others: The keywords that the call has besides, and has taken already.

        Raises:
            ConfigurationError: A value is wrong.
            TypeError: There is no such keyword.
        """
        for name in options:
            if name not in known.__annotations__:
                hint = hint_for(name, [*others, *known.__annotations__])
                raise TypeError(f"unexpected keyword argument {name!r}{hint}")
        config = options.get("transcription_config")
        if config is None:
            config = TranscriptionConfig()
        given = options.get("audio_format")
        audio_format = None if given is None else kept(AudioFormat.of(given, "audio_format"))
        start = start_recognition(
            config if channels is None else with_channels(config, channels),
            audio_format or AudioFormat(),
            options.get("translation_config"),
            options.get("audio_events_config"),
        )
        codec.encode(start)  # so that what has no JSON form is refused now, not once connected
        timeout = checked("timeout", options.get("timeout"), SECONDS)
        speed = checked("speed", options.get("speed"), _PACE)
        headers = _headers_of(options.get("ws_headers"))
        if speed is not None and audio_format is not None:
            check_raw("speed", audio_format)
        return cls(start, audio_format, headers, timeout, float("inf"), speed).from_now()

    def from_now(self) -> SessionRequest:
        """Return the request with a ``timeout`` that begins now."""
        timeout = self.timeout
        return self if timeout is None else self._replace(deadline=time.monotonic() + timeout)

    @property
    def audio_format(self) -> AudioFormat:
        return self.given_format or AudioFormat()

    def with_audio(self, audio_format: AudioFormat) -> SessionRequest:
        """Return the request for audio that turned out to have this format.

        Raises:
            ConfigurationError: ``speed`` was given, and the audio is not raw.
        """
        if self.speed is not None:
            check_raw("speed", audio_format)
        start = {**self.start, "audio_format": audio_format.to_dict()}
        return self._replace(start=start, given_format=audio_format)


def _headers_of(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):  # not shown: it may contain a key
        raise ConfigurationError(f"ws_headers is {a_kind(given)}; accepted: a mapping of strings")
    for name, value in given.items():
        header_line(name, value)
    return dict(given)


def as_sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as the service reads it: a copy, which nobody changes before it is sent.

    Raises:
        ConfigurationError: It has no JSON form.
    """
    return codec.decode(codec.encode(message))


def check_timestamp(timestamp: Any) -> None:
    """Refuse a timestamp that is neither a number of seconds nor ``UNSET`` nor None."""
    if timestamp is not UNSET:
        checked("timestamp", timestamp, SECONDS)


def check_label(channel: Any) -> None:
    """Refuse a label that is not a non-empty string; whether there is such a channel is not checked."""
    if not isinstance(channel, str) or not channel:
        raise refused("channel", channel, "a label, a non-empty string")


def labels_of(channels: Any, name: str) -> list[str]:
    """Return the labels of channels as a list.

    Raises:
        ConfigurationError: They are not a collection of strings (a single string is none, either).
    """
    if isinstance(channels, (str, bytes)) or not isinstance(channels, Iterable):
        raise refused(name, channels, "a list of labels, each a non-empty string")
    labels = list(channels)
    if not labels:
        raise ConfigurationError(f"{name} is empty; at least one channel is needed")
    for label in labels:
        if not isinstance(label, str) or not label:
            raise refused(f"a label in {name}", label, "a non-empty string")
    return labels


def check_raw(option: str, audio_format: AudioFormat) -> None:
    """Refuse an option that needs to know how long audio lasts, for audio of which that is not known."""
    if audio_format.encoding is None:
        raise ConfigurationError(
            f"{option} needs raw audio, whose duration is known, not the format 'file': give "
            "audio_format=AudioFormat('pcm_s16le', 16000), or a mono WAV of PCM, mu-law or A-law"
        )


def with_channels(
    config: Union[TranscriptionConfig, Mapping[str, Any]], channels: list[str]
) -> TranscriptionConfig:
    """Return the configuration for these channels; the given one is not modified."""
    given = TranscriptionConfig.of(config, "transcription_config")
    labels = given.channel_diarization_labels
    if labels is not None and set(labels) != set(channels):
        raise ConfigurationError(
            f"channel_diarization_labels are {sorted(labels)}, but the channels are {sorted(channels)}; "
            "leave the labels out to take them from the channels"
        )
    diarization = given.diarization or "channel"
    if not diarization.startswith("channel"):
        raise ConfigurationError(
            f"diarization={diarization!r} does not separate channels; use 'channel' or 'channel_and_speaker'"
        )
    return replace(given, diarization=diarization, channel_diarization_labels=labels or channels)
