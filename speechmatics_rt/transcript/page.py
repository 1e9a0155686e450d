"""A transcript as HTML: turns with their times, speakers by colour, words shaded by confidence.

Everything that was said is escaped. The HTML suits light and dark pages; where scripts and styles are
removed (GitHub, mail) the text and its times remain.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Callable, Optional

from .words import Paragraph, Word

if TYPE_CHECKING:
    from .results import AudioEvent
    from .transcript import Transcript

__all__ = ["Show", "clock", "colours", "rows", "sheet", "shade", "surely"]

Show = Callable[[Word], str]  # a word as HTML

# Readable on white and on black, with a contrast of 3:1 at least, and distinct to the colour-blind.
_COLOURS = ("#2f7fd6", "#c2620c", "#17916f", "#b4548f", "#8a6fd1", "#a07a00", "#0e8fa3", "#c9444d")
_DOUBT = "217,119,6"  # the colour of shaded words, as red, green, blue
_LONGEST = 20.0  # seconds after which a turn is split at the end of a sentence, so that it gets another time
_CERTAIN = 0.95  # confidence from which on a word is not shaded


def sheet(transcript: Transcript) -> str:
    """Write a transcript: its text, each translation, the sounds; what may still change is in italics."""
    paragraphs, translations, sounds = transcript.paragraphs, transcript.translations, transcript.audio_events
    written = [*rows(paragraphs, _shaded), *_still(transcript)]
    if any(_doubt(word) for paragraph in paragraphs for word in paragraph.words):
        written.append("<p><small>shaded: the recogniser was less sure</small></p>")
    for language, text in sorted(translations.items()):
        written += [f"<p><b>{html.escape(language)}</b></p>", *rows(text.paragraphs, _shaded), *_still(text)]
    if sounds:
        written.append(f"<p><small>sounds: {', '.join(map(_sound, sounds))}</small></p>")
    if not written:
        so_far = f"in {clock(transcript.end_time)}" if transcript.end_time else "yet"
        written.append(f"<p><small>nothing was heard {so_far}</small></p>")
    return f'<div dir="{transcript.direction}">{"".join(written)}</div>'


def _still(transcript: Transcript) -> list[str]:
    partial = transcript.partial
    return [f'<p dir="auto" style="opacity:.6"><i>{html.escape(partial)}</i></p>'] if partial else []


def _sound(event: AudioEvent) -> str:
    where = "" if event.channel is None else f" ({html.escape(event.channel)})"
    until = "" if event.end_time is None else f" to {clock(event.end_time)}"
    return f"{html.escape(event.type)}{where} {clock(event.start_time)}{until}"


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
