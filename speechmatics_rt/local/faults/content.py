"""Faults of the content of messages: not JSON, strange JSON, too much, too new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from ..engines import final
from .kind import Target, kind

__all__ = ["ContentFaults"]


class ContentFaults:
    """Kinds about single messages, in or out of turn."""

    @kind("started", "any message, in or out of turn")
    def message(session: Target, message: Mapping[str, Any]) -> None:
        session.send(message)

    @kind("started", "an Info, with the fields of its type")
    def info(session: Target, type: str = "recognition_quality", reason: str = "") -> None:
        fields = _FIELDS.get(type, {})
        session.send({"message": "Info", "type": type, "reason": reason or type, **fields})

    @kind("started", "a Warning, with the fields of its type")
    def warning(session: Target, type: str = "duration_limit_exceeded", reason: str = "") -> None:
        fields = _FIELDS.get(type, {})
        session.send({"message": "Warning", "type": type, "reason": reason or type, **fields})

    @kind("started", "a text frame that is not JSON")
    def bad_json(session: Target, text: str = '{"message": "AddTranscript", ') -> None:
        session.peer.send(text)

    @kind("started", "JSON that is not an object")
    def not_object(session: Target, text: str = '["AddTranscript", 1]') -> None:
        session.peer.send(text)

    @kind("started", "an object without a ``message``, or with one that is not a string")
    def nameless(session: Target, text: str = '{"message": 7, "results": []}') -> None:
        session.peer.send(text)

    @kind("started", "an Info with arrays ``depth`` deep")
    def deep_json(session: Target, depth: int = 200_000) -> None:
        session.peer.send('{"message":"Info","deep":' + "[" * depth + "]" * depth + "}")

    @kind("started", "an Info with a number of so many digits")
    def long_number(session: Target, digits: int = 10_000) -> None:
        session.peer.send('{"message":"Info","number":' + "9" * digits + "}")

    @kind("started", "a message in a binary frame")
    def binary_json(session: Target, message: Optional[Mapping[str, Any]] = None) -> None:
        info = {"message": "Info", "type": "recognition_quality", "reason": "broadcast quality"}
        session.send(message or {**info, "quality": "broadcast"}, binary=True)

    @kind("started", "a message nobody knows")
    def unknown(session: Target) -> None:
        session.send({"message": "SomethingNew", "detail": {"nested": [1, 2, 3]}})

    @kind("open", "every message from now on has a field nobody knows")
    def unknown_field(session: Target, name: str = "something_new", value: Any = None) -> None:
        session.added[name] = {"nested": [1, 2, 3]} if value is None else value

    @kind("started", "``count`` transcripts at once")
    def flood(session: Target, count: int = 20_000, channel: Optional[str] = None) -> None:
        for number in range(count):
            session.send(_transcript(f"flood{number}", channel))

    @kind("started", "a transcript of ``size`` bytes")
    def oversize(session: Target, size: int = 5_000_000, channel: Optional[str] = None) -> None:
        frame = len(json.dumps(_transcript("", channel)))
        session.send(_transcript("x" * max(1, (size - frame) // 2), channel))


_FIELDS: dict[str, dict[str, Any]] = {
    "recognition_quality": {"quality": "broadcast"},
    "concurrent_session_usage": {"usage": 3, "quota": 50, "last_updated": "", "region": "local"},
    "duration_limit_exceeded": {"duration_limit": 7200},
}


def _transcript(content: str, channel: Optional[str]) -> dict[str, Any]:
    alternative = {"content": content, "confidence": 1.0, "language": "en"}
    word = {"type": "word", "start_time": 0.0, "end_time": 0.0, "alternatives": [alternative]}
    message = final([word], 0.0, 0.0)
    return message if channel is None else {**message, "channel": channel}
