"""Additional vocabulary and replacements, from the command line or from a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Union

from ...exceptions import ConfigurationError
from .files import parse_json, read_text

__all__ = ["read_replacements", "read_vocabulary", "replacement", "vocabulary"]

_REGULAR = re.compile(r"(/.*/[a-z]*):(.*)")


def vocabulary(text: str) -> Union[str, dict[str, Any]]:
    """Read a word, perhaps with what it sounds like.

    Raises:
        ValueError: It is neither.

    Example:
        >>> vocabulary("New York"), vocabulary("gnocchi:nyohki,nokey")
        ('New York', {'content': 'gnocchi', 'sounds_like': ['nyohki', 'nokey']})
    """
    word, colon, rest = text.partition(":")
    if not colon:
        return text
    sounds = [sound.strip() for sound in rest.split(",") if sound.strip()]
    if not word.strip() or not sounds or ":" in rest:
        raise ValueError(
            f"{text!r}: write WORD or WORD:SOUND,SOUND; put a word with a colon into a JSON file"
        )
    return {"content": word.strip(), "sounds_like": sounds}


def replacement(text: str) -> dict[str, str]:
    """Read what is to be replaced, a word or a regular expression, and by what.

    Raises:
        ValueError: It says no such thing.

    Example:
        >>> replacement("gonna:going to"), replacement("/colou?r:?/i:hue")
        ({'from': 'gonna', 'to': 'going to'}, {'from': '/colou?r:?/i', 'to': 'hue'})
    """
    regular = _REGULAR.fullmatch(text)
    old, colon, new = (regular[1], ":", regular[2]) if regular else text.partition(":")
    if not colon or not old:
        raise ValueError(f"{text!r}: write FROM:TO or /REGEX/:TO")
    return {"from": old, "to": new}


def read_vocabulary(path: str) -> list[Any]:
    """Read ``--vocab-file``: a list in JSON as the service takes it, or a word a line.

    Raises:
        ConfigurationError: It can't be read, or a line says no word.
    """
    return _read("--vocab-file", path, vocabulary)


def read_replacements(path: str) -> list[Any]:
    """Read ``--replace-file``, in the same way."""
    return _read("--replace-file", path, replacement)


def _read(option: str, path: str, entry: Callable[[str], Any]) -> list[Any]:
    text = read_text(option, path)
    try:
        if text.lstrip().startswith(("[", "{")):
            listed = parse_json(text)
            if not isinstance(listed, list):
                raise ValueError("it holds no list")  # noqa: TRY301  # told below like the others
            return listed
        return [entry(line.strip()) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{option} {path!r}: {exc}") from exc
