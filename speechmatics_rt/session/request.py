"""What a caller asks of a session: the keywords that all calls share, checked before any I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any, Callable, NamedTuple, Optional, TypedDict, TypeVar, Union

from ..config import (
    AudioEventsConfig,
    AudioFormat,
    TranscriptionConfig,
    TranslationConfig,
    start_recognition,
)
from ..exceptions import ConfigurationError

__all__ = ["SessionOptions", "SessionRequest", "SourceOptions", "spelled_out"]

_F = TypeVar("_F", bound=Callable[..., Any])


class SessionOptions(TypedDict, total=False):
    """Keyword arguments of every session; see :meth:`Client.start_session`."""

    transcription_config: Union[TranscriptionConfig, Mapping[str, Any], None]
    audio_format: Optional[AudioFormat]
    translation_config: Optional[TranslationConfig]
    audio_events_config: Optional[AudioEventsConfig]
    ws_headers: Optional[Mapping[str, str]]


class SourceOptions(SessionOptions, total=False):
    """Those of a session that sends a source; see :meth:`Client.transcribe`."""

    timeout: Optional[float]
    speed: Optional[float]


def spelled_out(method: _F) -> _F:
    """Show the keywords of ``**options: Unpack[...]`` in :func:`help` and :mod:`inspect`, as checkers do.

    Example:
        >>> @spelled_out
        ... def start(**options: Unpack[SessionOptions]) -> None: ...
        >>> list(signature(start).parameters)[:2]
        ['transcription_config', 'audio_format']
    """
    shown = signature(method)
    *parameters, options = shown.parameters.values()
    kind = {"Unpack[SessionOptions]": SessionOptions, "Unpack[SourceOptions]": SourceOptions}
    for name, annotation in kind[options.annotation].__annotations__.items():
        text = getattr(annotation, "__forward_arg__", annotation)
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=text))
    method.__signature__ = shown.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method


class SessionRequest(NamedTuple):
    """What opens a session. ``deadline`` (monotonic) is that of the whole call, from ``timeout``."""

    start: dict[str, Any]  # StartRecognition
    audio_format: AudioFormat
    ws_headers: Mapping[str, str]
    timeout: Optional[float]
    deadline: float
    speed: Optional[float]

    @classmethod
    def of(
        cls, options: Mapping[str, Any], known: type, channels: Optional[list[str]] = None
    ) -> SessionRequest:
        """Check the keywords of a call; the time of the whole call begins here.

        Args:
            options: What was given.
            known: Which there are: :class:`SessionOptions` or :class:`SourceOptions`.
            channels: The labels, in a session of several channels.

        Raises:
            ConfigurationError: A value is wrong.
            TypeError: There is no such keyword.
        """
        for name in options:
            if name not in known.__annotations__:
                raise TypeError(
                    f"unexpected keyword argument {name!r}; there are {', '.join(known.__annotations__)}"
                )
        config = options.get("transcription_config") or TranscriptionConfig()
        audio_format = options.get("audio_format") or AudioFormat()
        start = start_recognition(
            config if channels is None else with_channels(config, channels),
            audio_format,
            options.get("translation_config"),
            options.get("audio_events_config"),
        )
        timeout, speed = options.get("timeout"), options.get("speed")
        if speed is not None and not 0 < speed < float("inf"):
            raise ConfigurationError(
                f"speed={speed!r}: use a positive number, 1.0 for real time, or None for no pace"
            )
        if speed is not None and options.get("audio_format") is not None:
            _check_pace(audio_format)
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        return cls(start, audio_format, dict(options.get("ws_headers") or {}), timeout, deadline, speed)

    def with_audio(self, audio_format: AudioFormat) -> SessionRequest:
        """Return the same for audio that turned out to be in this format.

        Raises:
            ConfigurationError: A pace was asked for, of audio without time.
        """
        if self.speed is not None:
            _check_pace(audio_format)
        start = {**self.start, "audio_format": audio_format.to_dict()}
        return self._replace(start=start, audio_format=audio_format)


def _check_pace(audio_format: AudioFormat) -> None:
    if audio_format.encoding is None:
        raise ConfigurationError(
            "speed needs audio whose time is known, so not the format 'file': give raw audio with "
            "audio_format=AudioFormat('pcm_s16le', 16000), or a mono WAV of PCM or mu-law"
        )


def with_channels(
    config: Union[TranscriptionConfig, Mapping[str, Any]], channels: list[str]
) -> TranscriptionConfig:
    """Return a configuration for these channels; the given one stays as it is."""
    given = TranscriptionConfig.of(config)
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
