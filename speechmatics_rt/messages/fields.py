"""Reads the fields of server messages without trusting them: missing or odd values count as absent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

__all__ = [
    "Glance",
    "answered_forced_end",
    "channel_of",
    "heard_up_to",
    "is_close_to_end",
    "is_time",
    "metadata_of",
    "one_line",
    "results_of",
    "span",
    "text_of",
    "time_of",
    "times_of",
]

_BLOCK = 0.4  # seconds, the block size of recognisers rounded up: an honest end may exceed the audio by this
_EARLY = 0.5  # seconds by which finals of silence, and answers of older servers, may precede the end of audio
_LONGEST = 1e9  # seconds: no session lasts 30 years, and larger numbers would break arithmetic

_WHITE = re.compile("[^\\S\u00a0\u2007\u202f]+")  # but for that which allows no line to end there
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


# What the session needs to know of a transcript message, decoded or not. A plain tuple, as one is made for
# each message, and a NamedTuple takes five times as long.
Glance = tuple[
    str,  # the name of the message
    bytes,  # the whole message, as it came
    bool,  # whether it has no results
    float,  # when its last word ends, in seconds of audio; 0 without words
    float,  # the end of the audio that it covers
    Optional[str],  # the channel, where current servers put it
    Optional[str],  # the channel, also where older servers put it
]


def is_time(value: Any) -> bool:
    """Whether a value can be a time in seconds: not infinity, NaN, or a number of 400 digits."""
    return isinstance(value, (int, float)) and -_LONGEST < value < _LONGEST


def time_of(value: Any) -> float:
    """Return a time in seconds as it is, and 0 for anything else.

    Example:
        >>> time_of(1.5), time_of(None), time_of(float("inf"))
        (1.5, 0.0, 0.0)
    """
    known = isinstance(value, (int, float)) and -_LONGEST < value < _LONGEST  # is_time(), twice as fast
    return float(value) if known else 0.0


def heard_up_to(time: float, sent: float) -> Optional[float]:
    """Return a time up to which audio was transcribed, at most ``sent``; None if it is too late to be true.

    Example:
        >>> heard_up_to(4.9, 5.0), heard_up_to(5.2, 5.0), heard_up_to(90.0, 5.0)
        (4.9, 5.0, None)
    """
    return min(time, sent) if time <= sent + _BLOCK else None


def text_of(value: Any) -> Optional[str]:
    """Return a string as it is, and None for anything else."""
    return value if isinstance(value, str) else None


def one_line(text: str, most: Optional[int] = None) -> str:
    """Return a text without line ends and control characters, for a line of a log, an error or a caption.

    In a log, a line end would forge another record; in captions, an empty line would start another caption.

    Args:
        text: Text of the server, or another stranger.
        most: Maximum number of characters.

    Example:
        >>> one_line("busy\\n\\x1b[2J later", 8)
        'busy �[2...'
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}..."
    return _CONTROL.sub("\ufffd", _WHITE.sub(" ", text).strip())


def results_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a transcript or a translation."""
    results = message.get("results")
    return [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []


def channel_of(message: Mapping[str, Any]) -> Optional[str]:
    """Return the channel, from the message, or from its results, where older servers put it.

    Example:
        >>> channel_of({"message": "AddTranscript", "results": [{"type": "word", "channel": "agent"}]})
        'agent'
    """
    label = message.get("channel")
    if label is None:
        results = message.get("results")
        if isinstance(results, list) and results and isinstance(results[0], dict):
            label = results[0].get("channel")
    return label if isinstance(label, str) else None


def span(item: Mapping[str, Any]) -> tuple[float, float]:
    """Return the start and the end of a result, in seconds of audio; the end is never before the start."""
    start, end = item.get("start_time"), item.get("end_time")
    if type(start) is float and type(end) is float and 0.0 <= start <= end < _LONGEST:
        return start, end  # the usual case
    start, end = time_of(start), time_of(end)
    return start, max(start, end)


def metadata_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a message."""
    metadata = message.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def times_of(message: Mapping[str, Any]) -> tuple[float, float]:
    """Return the start and the end of the audio that a message covers.

    Example:
        >>> times_of({"message": "EndOfUtterance", "metadata": {"start_time": 2, "end_time": 2}})
        (2.0, 2.0)
    """
    metadata = message.get("metadata")
    return span(metadata) if isinstance(metadata, dict) else (0.0, 0.0)


def answered_forced_end(
    message: Mapping[str, Any], time: float, asked: Sequence[tuple[float, float]]
) -> Optional[int]:
    """Return which ``ForceEndOfUtterance`` an ``EndOfUtterance`` answers; None if it is of a silence.

    Questions are answered in order, but not always: so one that was asked before the audio at that time was
    sent has been passed over. Servers before July 2026 don't mark answers as forced; then the time decides.

    Args:
        message: The ``EndOfUtterance``.
        time: Its time, in seconds of audio.
        asked: Of each question, in order: where the utterance was to end, and how much audio had been sent.

    Example:
        >>> asked = [(2.0, 2.0), (4.0, 4.0)]
        >>> [answered_forced_end({"forced": True}, time, asked) for time in (1.9, 3.6)]
        [0, 1]
        >>> [answered_forced_end({}, time, asked) for time in (1.0, 1.9, 3.6)]
        [None, 0, 1]
    """
    able = [number for number, (_, sent) in enumerate(asked) if time <= sent + _BLOCK]
    for number in able or range(len(asked)):  # a clock that is wrong for all says nothing
        if message.get("forced") is True or is_close_to_end(time, asked[number][0]):
            return number
    return None


def is_close_to_end(time: float, place: float) -> bool:
    """Whether a time is that of a place where the audio ended, or little before, as finals in silence are."""
    return time >= place - _EARLY
