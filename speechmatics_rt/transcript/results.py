"""Finals, partials and sounds as objects, for code that prefers attributes to keys.

The names are those of the official asyncio SDK, with what the wire has beyond them. Nothing is lost:
fields this module does not know are kept in ``extra`` and come back in ``to_dict()``.
Times are seconds since the first audio byte of the session.
"""

from __future__ import annotations

import builtins  # one of the fields is named type
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Optional, TypeVar

from ..messages import ServerMessageType

__all__ = [
    "AudioEvent",
    "RecognitionAlternative",
    "RecognitionDisplay",
    "RecognitionMetadata",
    "RecognitionResult",
    "TranscriptResult",
]

_Self = TypeVar("_Self", bound="_Part")
_Parts = Mapping[str, "builtins.type[_Part]"]  # field: what its dictionaries become


class _Part:
    """A piece of a message: known fields as attributes, the others in ``extra``."""

    extra: dict[str, Any]
    _parts: ClassVar[_Parts] = {}

    @classmethod
    def from_dict(cls: type[_Self], data: Mapping[str, Any]) -> _Self:
        """Build from the dictionary in a message; every field may be missing."""
        known = {item.name for item in fields(cls)} - {"extra"}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in data.items():
            if key in known and value is not None:
                values[key] = _built(cls._parts.get(key), value)
            else:
                extra[key] = value  # also a known field that is null, which reads as missing
        return cls(**values, extra=extra)  # type: ignore[call-arg]

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary as in a message."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        extra = values.pop("extra")
        return {**{key: _wire(value) for key, value in values.items() if value is not None}, **extra}


def _built(part: Optional[type[_Part]], value: Any) -> Any:
    if part is not None and isinstance(value, Mapping):
        return part.from_dict(value)
    if part is not None and isinstance(value, list):
        return [_built(part, item) for item in value]
    return value


def _wire(value: Any) -> Any:
    if isinstance(value, list):
        return [_wire(item) for item in value]
    return value.to_dict() if isinstance(value, _Part) else value


@dataclass
class AudioEvent(_Part):
    """A sound that was heard.

    Attributes:
        type: ``"laughter"``, ``"applause"`` or ``"music"``.
        start_time, end_time: Seconds; the end is None while it lasts.
        confidence: 0 to 1, or None.
        channel: The label of the channel, or None with a single one.
    """

    type: str = ""
    start_time: float = 0.0
    end_time: Optional[float] = None
    confidence: Optional[float] = None
    channel: Optional[str] = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass
class RecognitionDisplay(_Part):
    """How a token is written.

    Attributes:
        direction: ``"ltr"`` or ``"rtl"``.
    """

    direction: str = "ltr"
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass
class RecognitionAlternative(_Part):
    """What was said, as text.

    Attributes:
        content: The word, mark, or written form of an entity (which may hold spaces).
        confidence: 0 to 1, without meaning in partials; None if the model gives none.
        language: Code of the language of the word.
        display: How to write it.
        speaker: ``"S1"``, ``"S2"``, ..., ``"UU"`` for unknown, or an enrolled label; with diarization only.
        tags: Any of ``"profanity"`` and ``"disfluency"``.
    """

    content: str = ""
    confidence: Optional[float] = None
    language: Optional[str] = None
    display: Optional[RecognitionDisplay] = None
    speaker: Optional[str] = None
    tags: Optional[list[str]] = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    _parts: ClassVar[_Parts] = {"display": RecognitionDisplay}


@dataclass
class RecognitionResult(_Part):
    """A word, a mark or an entity.

    Attributes:
        type: ``"word"``, ``"punctuation"`` or ``"entity"``.
        start_time, end_time: Seconds; a mark has no length.
        channel: Set by older servers; see :attr:`TranscriptResult.channel` for others.
        attaches_to: Marks only: ``"previous"``, ``"next"``, ``"both"`` or ``"none"``.
        is_eos: Marks only: whether it ends a sentence.
        alternatives: The first is the one to use.
        score: Sent by older servers.
        volume: Words only, with audio filtering: 0 to 100.
        entity_class: Entities only: ``"money"``, ``"date"``, ``"cardinal"``, ...
        spoken_form: Entities only: the words as spoken.
        written_form: Entities only: the written text, word by word.
    """

    type: str = "word"
    start_time: float = 0.0
    end_time: float = 0.0
    channel: Optional[str] = None
    attaches_to: Optional[str] = None
    is_eos: Optional[bool] = None
    alternatives: Optional[list[RecognitionAlternative]] = None
    score: Optional[float] = None
    volume: Optional[float] = None
    entity_class: Optional[str] = None
    spoken_form: Optional[list[RecognitionResult]] = None
    written_form: Optional[list[RecognitionResult]] = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    _parts: ClassVar[_Parts] = {"alternatives": RecognitionAlternative}


RecognitionResult._parts = {
    **RecognitionResult._parts,
    "spoken_form": RecognitionResult,
    "written_form": RecognitionResult,
}


@dataclass
class RecognitionMetadata(_Part):
    """The span of a final or partial.

    Attributes:
        start_time, end_time: Seconds.
        transcript: Its text, joined by the server; a Transcript joins better across finals.
    """

    start_time: float = 0.0
    end_time: float = 0.0
    transcript: str = ""
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass
class TranscriptResult(_Part):
    """A final (``AddTranscript``) or a partial (``AddPartialTranscript``).

    Attributes:
        metadata: Span and text.
        results: Words, marks and entities; may be empty.
        format: Version of the output format.
        is_final: Whether it will never change.
        channel: The channel, in a session of several.
        forced: True if ``ForceEndOfUtterance`` caused it.

    Example:
        >>> result = TranscriptResult.from_message({
        ...     "message": "AddTranscript",
        ...     "metadata": {"start_time": 0.4, "end_time": 0.8, "transcript": "Hello "},
        ...     "results": [{"type": "word", "start_time": 0.4, "end_time": 0.8,
        ...                  "alternatives": [{"content": "Hello", "confidence": 0.98}]}]})
        >>> result.is_final, result.metadata.transcript, result.results[0].alternatives[0].confidence
        (True, 'Hello ', 0.98)
    """

    metadata: RecognitionMetadata = field(default_factory=RecognitionMetadata)
    results: list[RecognitionResult] = field(default_factory=list)
    format: Optional[str] = None
    is_final: bool = False
    channel: Optional[str] = None
    forced: Optional[bool] = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    _parts: ClassVar[_Parts] = {
        "metadata": RecognitionMetadata,
        "results": RecognitionResult,
    }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> TranscriptResult:
        """Build from a final or a partial, as handlers get it."""
        result = cls.from_dict(message)
        result.is_final = result.extra.pop("message", None) == ServerMessageType.ADD_TRANSCRIPT
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return the message."""
        wire = super().to_dict()
        kind = ServerMessageType.ADD_TRANSCRIPT if self.is_final else ServerMessageType.ADD_PARTIAL_TRANSCRIPT
        return {"message": kind.value, **{key: value for key, value in wire.items() if key != "is_final"}}
