"""Builds the messages of a recogniser from results. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["end_of_utterance", "final", "joined", "partial"]

_FORMAT = "2.9"


def final(
    results: list[dict[str, Any]], start: float, end: float, *, delimiter: str = " ", forced: bool = False
) -> dict[str, Any]:
    """Build an AddTranscript over ``start`` to ``end`` seconds; text, if any, ends with one delimiter."""
    text = joined(results, delimiter)
    message = _transcript("AddTranscript", results, start, end, text + delimiter if text else "")
    if forced:
        message["forced"] = True
    return message


def partial(
    results: list[dict[str, Any]], start: float, end: float, *, delimiter: str = " "
) -> dict[str, Any]:
    """Build an AddPartialTranscript over ``start`` to ``end`` seconds."""
    return _transcript("AddPartialTranscript", results, start, end, joined(results, delimiter))


def end_of_utterance(time: float, *, forced: bool = False) -> dict[str, Any]:
    """Build an EndOfUtterance detected at ``time`` seconds."""
    metadata = {"start_time": time, "end_time": time}
    message: dict[str, Any] = {"message": "EndOfUtterance", "format": _FORMAT, "metadata": metadata}
    if forced:
        message["forced"] = True
    return message


def joined(results: Iterable[Mapping[str, Any]], delimiter: str = " ") -> str:
    """Join result items to text: words by the delimiter, a mark sticks to the word before it."""
    text = ""
    for item in results:
        content = item["alternatives"][0]["content"]
        sticks = item["type"] == "punctuation" and item.get("attaches_to", "previous") == "previous"
        text += content if sticks or not text else delimiter + content
    return text


def _transcript(
    kind: str, results: list[dict[str, Any]], start: float, end: float, text: str
) -> dict[str, Any]:
    metadata = {"start_time": start, "end_time": end, "transcript": text}
    return {"message": kind, "format": _FORMAT, "results": results, "metadata": metadata}
