"""What a reader takes for one character: a letter with its signs, an emoji made of several, a flag.

The rules are those of grapheme clusters (UAX #29) as far as captions need them. Python knows the properties
of characters; a package for their widths would be one more dependency, or, as an extra, the reason why two
machines cut one transcript differently.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["characters", "width"]

_WORD = 32  # characters of what may be remembered
_SIGNS = ("Mn", "Mc", "Me", "Cf")  # accents, vowel signs, variation selectors, joiners
_FLAT = ("Mn", "Me", "Cf")  # those that take no column
_JOINER = "\u200d"
_VIRAMA = 9  # the combining class of signs that join two consonants
_LEADING = frozenset("เแโใไເແໂໃໄ")  # vowels of Thai and Lao that are written before their consonant
_TRAILING = frozenset("ะาำๅๆฯະາຳໆຯ")  # and letters that are written behind it like signs


def characters(text: str) -> Iterator[str]:
    """Cut a text into what must not be torn apart.

    Example:
        >>> [len(character) for character in characters("né ที่ 👨‍👩‍👧 🇳🇴🇸🇪")]
        [1, 1, 1, 3, 1, 5, 1, 2, 2]
    """
    if text.isascii():
        yield from text
        return
    whole = text[:1]
    for one in text[1:]:
        if not one.isspace() and (_follows(one) or _goes_on(whole) or _is_flag(whole + one)):
            whole += one
        else:
            yield whole
            whole = one
    yield whole


def width(text: str) -> int:
    """Count the columns that a text takes: wide characters take two, what is made of several no more.

    Example:
        >>> width("né"), width("公園"), width("กิน"), width("👨‍👩‍👧")
        (2, 4, 2, 2)
    """
    if text.isascii():
        return len(text)
    return _known_width(text) if len(text) <= _WORD else _width(text)


def _width(text: str) -> int:
    return sum(_columns(whole[0]) + sum(map(_more_columns, whole[1:])) for whole in characters(text))


_known_width = lru_cache(4096)(_width)  # words come again and again


def _columns(one: str) -> int:
    if unicodedata.category(one) in _FLAT:
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def _more_columns(one: str) -> int:
    """Count the columns by which something that follows makes a character wider: parts of emoji by none."""
    return 1 if _columns(one) == 1 and not _is_jamo(one) else 0


def _follows(one: str) -> bool:
    """Whether it belongs to what stands before it."""
    if one.isascii():
        return False
    skin = "\U0001f3fb" <= one <= "\U0001f3ff"
    return skin or one in _TRAILING or _is_jamo(one) or unicodedata.category(one) in _SIGNS


def _goes_on(whole: str) -> bool:
    """Whether what follows a character belongs to it."""
    last = whole[-1]
    return last == _JOINER or last in _LEADING or unicodedata.combining(last) == _VIRAMA


def _is_jamo(one: str) -> bool:
    """Whether it is the vowel or the end of a Korean syllable that is spelled out."""
    return "\u1160" <= one <= "\u11ff"


def _is_flag(text: str) -> bool:
    return len(text) == 2 and all("\U0001f1e6" <= one <= "\U0001f1ff" for one in text)
