"""Parses the values of options: numbers and lists."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import Any, Optional

from ...exceptions import ConfigurationError

__all__ = [
    "COUNT",
    "FORMS",
    "LINES",
    "PAUSE",
    "PORT",
    "SECONDS",
    "SHARE",
    "SPEED",
    "THREADS",
    "VOLUME",
    "WIDTH",
    "Languages",
    "entry",
    "form_of",
    "forms",
    "number",
]


def number(kind: Callable[[str], float], least: float, most: float, words: str) -> Callable[[str], Any]:
    """Take a number within bounds; NaN is in none."""

    def read(text: str) -> float:
        try:
            value = kind(text)
            if least <= value <= most and math.isfinite(value):
                return value
        except (ValueError, OverflowError):
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")

    return read


SECONDS = number(float, 1e-3, 1e7, "a number of seconds, 0.001 to 10000000")
PAUSE = number(float, 0, 1e7, "a number of seconds")
SPEED = number(float, 1e-3, 1e7, "a number of seconds of audio a second, 0.001 to 10000000")
PORT = number(int, 0, 65535, "a port, 0 to 65535")
COUNT = number(int, 0, 1e7, "a whole number, 0 to 10000000")
WIDTH = number(int, 10, 1000, "a number of columns, 10 to 1000")
SHARE = number(float, 0, 1, "a number, 0 to 1")
VOLUME = number(float, 0, 100, "a number, 0 to 100")
LINES = number(int, 1, 100, "a number of lines, 1 to 100")
THREADS = number(int, 1, 1000, "a number of threads, 1 to 1000")

FORMS = ("text", "json", "jsonl", "srt", "vtt", "tsv")
_ALSO = {"txt": "text"}


def forms(text: str) -> list[str]:
    """Read one format, or several.

    Example:
        >>> forms("txt,srt,json")
        ['text', 'srt', 'json']
    """
    names = [_ALSO.get(name.strip(), name.strip()) for name in text.split(",")]
    for name in names:
        if name not in FORMS:
            raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {', '.join(FORMS)}")
    return list(dict.fromkeys(names))


# Endings of other formats, with the nearest of ours. What is in none of these tables may well be text.
_NEAREST = {
    **dict.fromkeys(("webvtt", "sbv", "smi", "ttml", "dfxp", "ass", "ssa", "stl", "sub"), "vtt"),
    **dict.fromkeys(("csv", "xls", "xlsx", "ods"), "tsv"),
    **dict.fromkeys(("jsonlines", "ndjson"), "jsonl"),
    **dict.fromkeys(("yaml", "yml", "xml", "toml"), "json"),
    **dict.fromkeys(("doc", "docx", "odt", "rtf", "pdf", "html", "htm", "tex", "epub"), "txt"),
    **dict.fromkeys(("wav", "mp3", "mp4", "m4a", "ogg", "opus", "flac", "aac", "webm", "mkv", "raw"), "txt"),
}


def form_of(name: str) -> Optional[str]:
    """Return the format that a file's name says it has; None, if it says nothing.

    Raises:
        ConfigurationError: It says one that there is not.

    Example:
        >>> form_of("talk.SRT"), form_of("talk.txt"), form_of("talk.log"), form_of("-")
        ('srt', 'text', None, None)
    """
    ending = os.path.splitext(name)[1][1:].lower()
    form = _ALSO.get(ending, ending)
    if form in FORMS:
        return form
    nearest = _NEAREST.get(ending) or _misspelt(ending)
    if nearest is not None:
        there = ", ".join("txt" if each == "text" else each for each in FORMS)
        raise ConfigurationError(
            f"-o {name!r}: {ending} is none of the formats, which are {there}; name it .{nearest}, "
            "or say with --format what it is to hold"
        )
    return None


def _misspelt(ending: str) -> Optional[str]:
    """Return the format that was probably meant."""
    import difflib  # only needed for an ending that is none of ours

    close = difflib.get_close_matches(ending, FORMS[1:], n=1, cutoff=0.7)
    return close[0] if close else None


def entry(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Have what can't be read told as a value of an option."""

    def checked(text: str) -> Any:
        try:
            return read(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return checked


class Languages(argparse.Action):
    """Collect codes of languages, one or several at a time, and each once: a profile may name it, too."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        codes = [*(getattr(namespace, self.dest) or []), *(code.strip() for code in values.split(","))]
        setattr(namespace, self.dest, list(dict.fromkeys(codes)))
