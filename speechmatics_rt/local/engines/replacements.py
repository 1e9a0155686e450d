"""Replacements of words, as a session's config asks for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Optional

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
        self._patterns: list[tuple[re.Pattern[str], str]] = []
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
            if pattern.search(word):
                return pattern.sub(lambda match, to=to: _expand(to, match), word)  # type: ignore[misc]
        return word


def pattern_of(source: str) -> Optional[re.Pattern[str]]:
    """Compile ``/regex/``, written as in JavaScript; None for a plain word.

    Raises:
        ValueError: It is no regular expression.
    """
    if len(source) < 2 or not (source.startswith("/") and source.endswith("/")):
        return None
    named = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", source[1:-1])
    try:
        return re.compile(re.sub(r"\\/", "/", named))
    except re.error as exc:
        raise ValueError(str(exc)) from exc


def _expand(to: str, match: re.Match[str]) -> str:
    """Put groups into a replacement: ``$1``, ``$&``, ``$$``."""

    def group(found: re.Match[str]) -> str:
        name = found[1]
        if name in "$&":
            return "$" if name == "$" else match[0]
        return (match[int(name)] or "") if int(name) <= match.re.groups else found[0]

    return re.sub(r"\$(\$|&|[1-9]\d?)", group, to)
