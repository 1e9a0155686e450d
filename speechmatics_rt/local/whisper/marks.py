"""Parts the words that Whisper writes from their punctuation."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["parted", "plain"]

_TITLES = frozenset({"Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "Jr.", "Sr.", "vs.", "etc."})
_SIGNS = frozenset("_$£€&#+@%")  # belong to a word; those that may end one are fewer
_ENDING = frozenset("_$£€+%")
# Marks of other scripts, as the service writes them. Hindi's full stop is its own.
_MARKS = {**{mark: mark for mark in ",.?!\u0964"}, "\u060c": ",", "\u061f": "?", "\u06d4": "."}
_INITIALS = re.compile(r"(\w\.)+")


def parted(text: str) -> tuple[str, str]:
    """Part a word from the mark that follows it, one of ``, . ? !`` or none; quotes and dashes go.

    >>> parted("power,"), parted("Mr."), parted('"Why?"'), parted("...")
    (('power', ','), ('Mr.', ''), ('Why', '?'), ('', ''))
    >>> parted("\\xbfqui\\xe9n?"), parted("\\u0939\\u0948\\u0964")
    (('quién', '?'), ('है', '।'))
    """
    # three dots are Whisper's way to say that the audio was cut, not a mark of the speaker's
    if text in _TITLES or _INITIALS.fullmatch(text):
        return text, ""
    first = next((at for at, character in enumerate(text) if _of_a_word(character, _SIGNS)), None)
    if first is None:
        return "", _MARKS.get(text, "")
    last = max(at for at, character in enumerate(text) if at == first or _of_a_word(character, _ENDING))
    behind = text[last + 1 :]
    marks = [_MARKS[mark] for mark in behind if mark in _MARKS]
    return text[first : last + 1], marks[0] if marks and "..." not in behind else ""


def plain(text: str) -> str:
    """Return a word as two readings of it are compared: without marks, in lower case."""
    return parted(text)[0].rstrip(".").lower()


def _of_a_word(character: str, signs: frozenset[str]) -> bool:
    """Whether it is a letter, a sign that joins one (the vowels of Hindi), a digit, or one of these signs."""
    return character in signs or unicodedata.category(character)[0] in "LMN"
