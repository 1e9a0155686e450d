"""Replaces words according to a session's config. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Optional

from .ecmascript import Expression

__all__ = ["Replacements", "pattern_of"]


class Replacements:
    """Replaces words: plain ones first, then by each regular expression in turn, each word once.

    Example:
        >>> rules = [{"from": "/colou?r(s?)/", "to": "hue$1"}, {"from": "color", "to": "paint"}]
        >>> replacements = Replacements(rules)
        >>> replacements.apply("color"), replacements.apply("colours"), replacements.apply("Color")
        ('paint', 'hues', 'Color')
    """

    def __init__(self, rules: Iterable[Mapping[str, str]]) -> None:
        self._plain: dict[str, str] = {}
        self._patterns: list[tuple[Expression, str]] = []
        for rule in rules:
            pattern = pattern_of(rule["from"])
            if pattern is None:
                self._plain.setdefault(rule["from"], rule["to"])
            else:
                self._patterns.append((pattern, rule["to"]))

    def apply(self, word: str) -> str:
        """Return what stands for a word; it may be empty."""
        if word in self._plain:
            return self._plain[word]
        for pattern, to in self._patterns:
            if pattern.matches(word):
                return pattern.replace(word, to)
        return word


def pattern_of(source: str) -> Optional[Expression]:
    """Read ``/regex/``, written as in JavaScript; None for a plain word.

    Raises:
        ValueError: It is no regular expression, or one that Python can't say.
    """
    if len(source) < 2 or not (source.startswith("/") and source.endswith("/")):
        return None
    return Expression(source[1:-1])
