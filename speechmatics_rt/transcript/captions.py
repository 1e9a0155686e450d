"""Captions from paragraphs: SubRip and WebVTT.

A caption has at most two lines of 42 columns unless told otherwise (wide characters count two), belongs to
one speaker, is cut where a sentence or a clause ends if it can be, stays long enough to be read, and never
overlaps the next, however fast speakers take turns.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from ..exceptions import ConfigurationError
from .words import Paragraph, Word

__all__ = ["Caption", "Shape", "arrange", "srt", "vtt"]

SPEED = 17.0  # columns a second that are comfortably read
SHORTEST = 1.0  # seconds
LONGEST = 7.0
_CLAUSE_ENDS = ",;:、，；："  # noqa: RUF001  the marks of Chinese and Japanese are meant
_NARROWEST = 10  # columns
PAUSE = 1.5  # seconds of silence that end a caption


class Shape(NamedTuple):
    """How much a caption may hold."""

    columns: int = 42
    lines: int = 2

    def check(self) -> Shape:
        """Return itself.

        Raises:
            ConfigurationError: Nothing could be read in it.
        """
        for name, least in (("columns", _NARROWEST), ("lines", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigurationError(f"{name} is {value!r}; accepted: a whole number, {least} or more")
        return self


USUAL = Shape()


@dataclass(frozen=True)
class Caption:
    """What is shown at once, from ``start`` to ``end`` milliseconds."""

    start: int
    end: int
    lines: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class _Unit:
    """What is never broken: a word with its marks, or a piece of one that is wider than a line."""

    text: str
    delimiter: str
    start: float
    end: float
    is_eos: bool = False

    @property
    def width(self) -> int:
        return _width(self.text)


def srt(turns: Sequence[Paragraph], shape: Shape = USUAL) -> str:
    """Give SubRip captions; the speaker's name stands where the speaker changes."""
    return "\n".join(
        f"{number}\n{_clock(caption.start, ',')} --> {_clock(caption.end, ',')}\n"
        + "".join(line.replace("-->", "->") + "\n" for line in caption.lines)
        for number, caption in enumerate(arrange(turns, named=True, shape=shape), 1)
    )


def vtt(turns: Sequence[Paragraph], shape: Shape = USUAL) -> str:
    """Give WebVTT captions; the speaker is the voice of each."""
    blocks = ["WEBVTT\n"]
    for caption in arrange(turns, named=False, shape=shape):
        text = html.escape("\n".join(caption.lines), quote=False)
        voice = f"<v {html.escape(caption.label, quote=False)}>" if caption.label else ""
        blocks.append(f"{_clock(caption.start, '.')} --> {_clock(caption.end, '.')}\n{voice}{text}\n")
    return "\n".join(blocks)


def arrange(turns: Sequence[Paragraph], named: bool, shape: Shape = USUAL) -> list[Caption]:
    """Cut turns into captions and give each its time; labels only where there are several.

    Args:
        turns: In order of time.
        named: Put the label into the text where it changes.
        shape: How much each may hold.

    Raises:
        ConfigurationError: The shape is none.
    """
    shape.check()
    several = len({turn.label for turn in turns}) > 1
    pieces: list[_Piece] = []
    last = ""
    for turn in turns:
        label = " ".join(turn.label.split()) if several else ""
        for index, stretch in enumerate(_stretches(_units(turn.words, shape.columns))):
            name = label if named and index == 0 and label != last else ""
            pieces.extend(_named(_Piece(stretch, label, bool(name)), name, shape))
        last = label
    pieces.sort(key=lambda piece: piece.units[0].start)
    return _timed(list(_renamed(pieces, shape)) if named else pieces, shape)


@dataclass(frozen=True)
class _Piece:
    """Units of one speaker, and whether they begin with the name."""

    units: list[_Unit]
    label: str
    named: bool = False


def _named(piece: _Piece, name: str, shape: Shape) -> Iterator[_Piece]:
    """Put the name in front, if there is one, and cut."""
    units = piece.units
    if name:
        first = units[0]
        before = _narrow(_Unit(f"{name}:", "", first.start, first.start), shape.columns)
        units = [*before, replace(first, delimiter=" "), *units[1:]]
    for index, cut in enumerate(_cut(units, shape)):
        yield _Piece(cut, piece.label, bool(name) and index == 0)


def _renamed(pieces: Iterable[_Piece], shape: Shape) -> Iterator[_Piece]:
    """Name those that another speaker now precedes: two who speak at once are put in order of time."""
    last: Optional[str] = None
    for piece in pieces:
        if piece.label != last and not piece.named:
            yield from _named(piece, piece.label, shape)
        else:
            yield piece
        last = piece.label


def _units(words: Iterable[Word], columns: int) -> Iterator[_Unit]:
    for word in words:
        text = " ".join(word.text.split())
        delimiter = " " if word.delimiter.isspace() else word.delimiter
        if text:
            yield from _narrow(_Unit(text, delimiter, word.start_time, word.end_time, word.is_eos), columns)


def _narrow(unit: _Unit, columns: int) -> Iterator[_Unit]:
    """Break what is wider than a line, at a space if there is one; its time is shared evenly."""
    texts: list[tuple[str, str]] = []
    rest, delimiter = unit.text, unit.delimiter
    while _width(rest) > columns:
        fit = _fitting(rest, columns)
        space = rest.rfind(" ", 1, fit + 1)
        head, tail = (rest[:space], rest[space + 1 :]) if space > 0 else (rest[:fit], rest[fit:])
        texts.append((head, delimiter))
        rest, delimiter = tail, " " if space > 0 else ""
    texts.append((rest, delimiter))
    step = (unit.end - unit.start) / len(texts)
    for index, (text, before) in enumerate(texts):
        start = unit.start + index * step
        yield _Unit(text, before, start, start + step, unit.is_eos and index == len(texts) - 1)


def _fitting(text: str, columns: int) -> int:
    total = 0
    for index, character in enumerate(text):
        total += _width(character)
        if total > columns:
            return index
    return len(text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _stretches(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    """Part at long pauses."""
    stretch: list[_Unit] = []
    for unit in units:
        if stretch and unit.start - stretch[-1].end > PAUSE:
            yield stretch
            stretch = []
        stretch.append(unit)
    if stretch:
        yield stretch


def _cut(units: list[_Unit], shape: Shape) -> Iterator[list[_Unit]]:
    """Take what fits; if more follows, end at the last sentence or clause of it."""
    start = 0
    while start < len(units):
        count = _fits(units[start : start + shape.lines * shape.columns], shape)
        if start + count < len(units):
            count = _best_end(units[start : start + count])
        yield units[start : start + count]
        start += count


def _fits(units: Sequence[_Unit], shape: Shape) -> int:
    """Count the units that fill the lines and are said in time; at least one."""
    lines, used = 1, 0
    for index, unit in enumerate(units):
        if index and unit.end - units[0].start > LONGEST:
            return index
        width = unit.width + (_width(unit.delimiter) if used else 0)
        if used + width <= shape.columns:
            used += width
        elif lines < shape.lines:
            lines, used = lines + 1, unit.width
        else:
            return index
    return len(units)


def _best_end(units: list[_Unit]) -> int:
    """Choose how many of the units that fit to keep: a sentence's end, else a clause's in the second half."""
    sentences = [index for index, unit in enumerate(units, 1) if unit.is_eos]
    if sentences and sentences[-1] * 3 >= len(units):
        return sentences[-1]
    clauses = [index for index, unit in enumerate(units, 1) if unit.text[-1] in _CLAUSE_ENDS]
    if clauses and clauses[-1] * 2 >= len(units):
        return clauses[-1]
    return len(units)


def _wrapped(units: Sequence[_Unit], columns: int) -> tuple[str, ...]:
    """Break into two lines of like length, after a mark if there is one near; if they won't do, full ones."""
    if _line_width(units) <= columns:
        return (_line(units),)
    best, least = 0, math.inf
    for index in range(1, len(units)):
        one, two = _line_width(units[:index]), _line_width(units[index:])
        if one <= columns and two <= columns:
            marked = not units[index - 1].text[-1].isalnum()
            cost = abs(one - two) - (8 if marked else 0)
            if cost < least:
                best, least = index, cost
    if best:
        return (_line(units[:best]), _line(units[best:]))
    full = max(1, _fits(units, Shape(columns, 1)))
    return (_line(units[:full]), *_wrapped(units[full:], columns))


def _line(units: Sequence[_Unit]) -> str:
    return units[0].text + "".join(unit.delimiter + unit.text for unit in units[1:])


def _line_width(units: Sequence[_Unit]) -> int:
    return units[0].width + sum(_width(unit.delimiter) + unit.width for unit in units[1:])


def _timed(pieces: Sequence[_Piece], shape: Shape) -> list[Caption]:
    """Give times: from the first word, until it is heard and read, but no longer than to the next."""
    captions: list[Caption] = []
    earliest = 0
    for index, piece in enumerate(pieces):
        lines = _wrapped(piece.units, shape.columns)
        start = max(earliest, _milliseconds(piece.units[0].start))
        read = min(LONGEST, max(SHORTEST, sum(map(_width, lines)) / SPEED))
        end = max(_milliseconds(max(unit.end for unit in piece.units)), start + _milliseconds(read))
        if index + 1 < len(pieces):
            # What comes next waits until this one had its least time on the screen.
            following = _milliseconds(pieces[index + 1].units[0].start)
            end = min(end, max(following, start + _milliseconds(SHORTEST)))
        captions.append(Caption(start, end, lines, piece.label))
        earliest = end
    return captions


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
