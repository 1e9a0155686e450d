"""What is said of a keyword that a call does not have: where it belongs, or what it may be meant for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import fields
from typing import Any, Optional, TypeVar

from .audio import AudioFormat
from .connection import ConnectionConfig, ResumePolicy
from .recognition import AudioEventsConfig, TranscriptionConfig, TranslationConfig
from .rules import explained

__all__ = ["explained_client", "hint_for"]

_Init = TypeVar("_Init", bound=Callable[..., None])

_CONFIGS: dict[str, type[Any]] = {  # of what is a field of two, the first is meant
    "transcription_config": TranscriptionConfig,
    "audio_format": AudioFormat,
    "translation_config": TranslationConfig,
    "audio_events_config": AudioEventsConfig,
    "conn_config": ConnectionConfig,
    "resume": ResumePolicy,
}
_CALLS = {
    **dict.fromkeys(
        ("transcription_config", "audio_format", "translation_config", "audio_events_config", "ws_headers"),
        "transcribe() or start_session()",
    ),
    **dict.fromkeys(("timeout", "speed"), "transcribe()"),
}
_CLIENT = (
    *("auth", "api_key", "url", "conn_config", "sdk_identifier", "app"),
    *("resume", "keep_transcript", "handler_errors"),
)


def explained_client(init: _Init) -> _Init:
    """Have the constructor of a client say where a keyword belongs that it does not have."""
    return explained(init, lambda name: hint_for(name, _CLIENT))


def hint_for(name: str, accepted: Collection[str]) -> str:
    """Say where a keyword belongs that a call does not accept, which was probably meant, or which there are.

    Example:
        >>> hint_for("language", ["transcription_config"])
        ': it is a field of transcription_config=TranscriptionConfig(language=...)'
        >>> hint_for("url", ["timeout", "speed"])
        ': it belongs to the client, as Client(url=...)'
        >>> hint_for("sped", ["timeout", "speed"]), hint_for("pace", ["timeout", "speed"])
        ("; did you mean 'speed'?", '; accepted: timeout, speed')
    """
    place = _place_of(name, accepted)
    if place:
        return f": it {place}"
    near = _nearest(name, accepted)
    if near:
        return f"; did you mean {near!r}?"
    elsewhere = [field for config in _CONFIGS.values() for field in _fields_of(config)]
    near = _nearest(name, [*_CLIENT, *_CALLS, *elsewhere])
    if near:
        return f"; did you mean {near!r}, which {_place_of(near, accepted)}?"
    return f"; accepted: {', '.join(accepted)}"


def _place_of(name: str, accepted: Collection[str]) -> str:
    """Say where a keyword belongs, if it is known anywhere."""
    keyword, given = name, f"{name}=..."
    for option, config in _CONFIGS.items():
        if name not in (*_CALLS, *_CLIENT) and name in _fields_of(config):
            keyword, given = option, f"{option}={config.__name__}({name}=...)"
            break
    if keyword in accepted:
        return f"is a field of {given}"
    if keyword in _CALLS:
        return f"belongs to {_CALLS[keyword]}, as {given}"
    return f"belongs to the client, as Client({given})" if keyword in _CLIENT else ""


def _fields_of(config: type[Any]) -> list[str]:
    return [field.name for field in fields(config)]


def _nearest(name: str, known: Iterable[str]) -> Optional[str]:
    """Return the name that is nearly this one, or contains it.

    Example:
        >>> _nearest("apikey", _CLIENT), _nearest("config", _CALLS), _nearest("pace", _CLIENT)
        ('api_key', 'transcription_config', None)
    """
    from difflib import get_close_matches  # only needed after a mistake

    known = list(known)
    part_of = [one for one in known if len(name) > 2 and name in one]
    return next(iter([*get_close_matches(name, known, 1, 0.7), *part_of]), None)
