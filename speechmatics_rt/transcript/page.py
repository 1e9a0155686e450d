"""A transcript as HTML: turns with their times, speakers by colour, words shaded by confidence.

Everything that was said is escaped. The HTML suits light and dark pages; where scripts and styles are
removed (GitHub, mail) the text and its times remain.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Callable, Optional

from .words import Paragraph, Word

__all__ = ["Show", "clock", "colours", "rows", "sheet", "shade", "surely"]

Show = Callable[[Word], str]  # a word as HTML

# Readable on white and on black, with a contrast of 3:1 at least, and distinct to the colour-blind.
_COLOURS = ("#2f7fd6", "#c2620c", "#17916f", "#b4548f", "#8a6fd1", "#a07a00", "#0e8fa3", "#c9444d")
_DOUBT = "217,119,6"  # the colour of shaded words, as red, green, blue
_LONGEST = 20.0  # seconds after which a turn is split at the end of a sentence, so that it gets another time
_CERTAIN = 0.95  # confidence from which on a word is not shaded


def sheet(paragraphs: list[Paragraph], partial: str, direction: str) -> str:
    """Write a transcript; ``partial`` is text that may still change, ``direction`` is ``ltr`` or ``rtl``."""
    written = list(rows(paragraphs, _shaded))
    if any(_doubt(word) for paragraph in paragraphs for word in paragraph.words):
        written.append("<p><small>shaded: the recogniser was less sure</small></p>")
    if partial:
        written.append(f'<p dir="auto" style="opacity:.6"><i>{html.escape(partial)}</i></p>')
    if not written:
        written.append("<p><small>nothing was heard yet</small></p>")
    return f'<div dir="{direction}">{"".join(written)}</div>'


def rows(paragraphs: list[Paragraph], show: Show) -> Iterator[str]:
    """Write a paragraph for each turn, or several for a long one: the time, the speaker and the words."""
    painted = colours(paragraphs)
    labelled = len(painted) > 1
    for paragraph in _parts(paragraphs):
        name = ""
        if labelled and paragraph.label:
            name = f'<b style="color:{painted[paragraph.label]}">{html.escape(paragraph.label)}</b> '
        first, *others = paragraph.words
        text = show(first) + "".join(html.escape(word.delimiter) + show(word) for word in others)
        yield (
            f'<p dir="auto"><small title="{paragraph.start_time:.2f} s" '
            f'data-t="{paragraph.start_time:.2f}">{clock(paragraph.start_time)}</small> {name}{text}</p>'
        )


def colours(paragraphs: Iterable[Paragraph]) -> Mapping[str, str]:
    """Assign a colour to each speaker, in the order of their first words."""
    labels = dict.fromkeys(paragraph.label for paragraph in paragraphs)
    return {label: _COLOURS[place % len(_COLOURS)] for place, label in enumerate(labels)}


def clock(seconds: float) -> str:
    """Format seconds as ``m:ss`` or ``h:mm:ss``.

    Example:
        >>> clock(3.9), clock(754), clock(3725)
        ('0:03', '12:34', '1:02:05')
    """
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def surely(word: Word) -> str:
    """Describe the confidence in a word; empty if there is none."""
    confidence = _confidence(word)
    return "" if confidence is None else f"{confidence:.0%} sure"


def shade(word: Word) -> str:
    """Return the CSS of a word: the lower its confidence, the darker its background."""
    doubt = _doubt(word)
    return f"background:rgba({_DOUBT},{doubt * 0.8:.2f})" if doubt else ""


def _shaded(word: Word) -> str:
    text = html.escape(word.text)
    if not _doubt(word):
        return text
    title = f"{word.start_time:.2f} s, {surely(word)}"
    return f'<span title="{title}" style="{shade(word)}">{text}</span>'


def _doubt(word: Word) -> float:
    confidence = _confidence(word)
    return 0.0 if confidence is None or confidence >= _CERTAIN else 1.0 - confidence


def _confidence(word: Word) -> Optional[float]:
    given = word.confidence  # as the server sent it, who may send anything
    known = isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given <= 1
    return float(given) if known and given is not None else None


def _parts(paragraphs: Iterable[Paragraph]) -> Iterator[Paragraph]:
    for paragraph in paragraphs:
        begun: list[Word] = []
        for word in paragraph.words:
            begun.append(word)
            if word.is_eos and word.end_time - begun[0].start_time >= _LONGEST:
                yield Paragraph(tuple(begun))
                begun = []
        if begun:
            yield Paragraph(tuple(begun))
