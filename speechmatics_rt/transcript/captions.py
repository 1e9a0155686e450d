"""Captions from turns, as SubRip and WebVTT.

By default a caption has at most two lines of 42 columns (wide characters count as two). It is cut at the end
of a sentence or clause if possible, stays long enough to be read, and never overlaps the next. It belongs to
one speaker, or has a line for each of two who speak at once or take turns too fast for one caption each. It
is never more than 2 s behind the sound: where more is said than can be read, all captions are shortened.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Optional

from ..exceptions import ConfigurationError
from ..messages import one_line
from .graphemes import characters, width
from .words import Paragraph, Word

__all__ = ["Caption", "CaptionShape", "arrange", "srt", "vtt"]

SPEED = 17.0  # columns a second that are comfortably read
SHORTEST = 1.0  # seconds
LONGEST = 7.0
LATEST = 2.0  # seconds that a caption may lag behind the sound
EARLIEST = 1.5  # seconds that a line may precede its sound, in a caption that another speaker begins
FLASH = 0.1  # seconds that a caption lasts at least, if far too much is said at once
_CLAUSE_ENDS = ",;:、，；：،؛"  # noqa: RUF001  the marks of Chinese, Japanese and Arabic are meant
_NARROWEST = 10  # columns
PAUSE = 1.5  # seconds of silence that end a caption
OVERLAP = 0.2  # seconds by which turns may overlap and still count as one after the other


class CaptionShape(NamedTuple):
    """How much a caption may hold."""

    columns: int = 42
    lines: int = 2

    def check(self) -> CaptionShape:
        """Return itself.

        Raises:
            ConfigurationError: A number is not whole, or is too small.
        """
        for name, least in (("columns", _NARROWEST), ("lines", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigurationError(f"{name} is {value!r}; accepted: a whole number, {least} or more")
        return self


USUAL = CaptionShape()


@dataclass(frozen=True)
class Caption:
    """One caption, from ``start`` to ``end`` (milliseconds): of each speaker the label and the lines."""

    start: int
    end: int
    parts: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line for _, lines in self.parts for line in lines)


class _Unit:
    """What is never split: a word with its marks, or a piece of a word that is wider than a line.

    Attributes:
        width, lead: The columns of the text, and of the delimiter before it.
    """

    __slots__ = ("delimiter", "end", "is_eos", "lead", "start", "text", "width")

    def __init__(self, text: str, delimiter: str, start: float, end: float, is_eos: bool = False) -> None:
        self.text = text
        self.delimiter = delimiter
        self.start = start
        self.end = end
        self.is_eos = is_eos
        self.width = width(text)
        self.lead = width(delimiter)


def srt(turns: Sequence[Paragraph], shape: CaptionShape = USUAL) -> str:
    """Return SubRip captions; the speaker's label is shown where the speaker changes."""
    return "\n".join(
        f"{number}\n{_clock(caption.start, ',')} --> {_clock(caption.end, ',')}\n"
        + "".join(line.replace("-->", "->") + "\n" for line in caption.lines)
        for number, caption in enumerate(arrange(turns, named=True, shape=shape), 1)
    )


def vtt(turns: Sequence[Paragraph], shape: CaptionShape = USUAL) -> str:
    """Return WebVTT captions; the speaker is the voice of each."""
    blocks = ["WEBVTT\n"]
    for caption in arrange(turns, named=False, shape=shape):
        text = "\n".join(_voiced(label, lines, len(caption.parts) > 1) for label, lines in caption.parts)
        blocks.append(f"{_clock(caption.start, '.')} --> {_clock(caption.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _voiced(label: str, lines: Sequence[str], closed: bool) -> str:
    text = html.escape("\n".join(lines), quote=False)
    if not label:
        return text
    return f"<v {html.escape(label, quote=False)}>{text}" + ("</v>" if closed else "")


def arrange(turns: Sequence[Paragraph], named: bool, shape: CaptionShape = USUAL) -> list[Caption]:
    """Cut turns into captions and time them; labels are shown only if there are several.

    Args:
        turns: In order of time.
        named: Put the label into the text where it changes.
        shape: How much each caption may hold.

    Raises:
        ConfigurationError: The shape is too small.
    """
    shape.check()
    several = len({turn.label for turn in turns}) > 1
    pieces: list[_Piece] = []
    last = ""
    for turn, alone in zip(turns, _alone(turns)):
        label = one_line(turn.label) if several else ""
        for index, stretch in enumerate(_stretches(_units(turn.words, shape.columns))):
            name = label if named and index == 0 and label != last else ""
            room = shape if alone else shape._replace(lines=1)
            pieces.extend(_named(_Piece(stretch, label, room, bool(name)), name))
        last = label
    pieces.sort(key=lambda piece: piece.start)
    cues = _renamed(pieces) if named else iter(pieces)
    return _timed(list(_shared(cues) if shape.lines > 1 else ([piece] for piece in cues)))


def _alone(turns: Sequence[Paragraph]) -> list[bool]:
    """Return, for each turn, whether nobody else speaks at the same time."""
    alone = [True] * len(turns)
    starts = [turn.start_time for turn in turns]
    before, latest = -1, -math.inf  # the turn that ends last of those that have begun, and its end
    for index in sorted(range(len(turns)), key=starts.__getitem__):
        if starts[index] < latest - OVERLAP:
            alone[index] = alone[before] = False
        end = turns[index].end_time
        if end > latest:
            before, latest = index, end
    return alone


@dataclass(frozen=True)
class _Piece:
    """Units of one speaker, how much room they have, and whether they begin with the label."""

    units: list[_Unit]
    label: str
    room: CaptionShape
    named: bool = False

    @property
    def start(self) -> float:
        return self.units[0].start

    @cached_property
    def end(self) -> float:
        return max([unit.end for unit in self.units])

    @cached_property
    def width(self) -> int:
        return _line_width(self.units)


def _named(piece: _Piece, name: str) -> Iterator[_Piece]:
    """Put the name in front, if there is one, and cut to fit."""
    units = piece.units
    if name:
        first = units[0]
        before = _narrow(f"{name}:", "", first.start, first.start, False, piece.room.columns)
        spaced = _Unit(first.text, " ", first.start, first.end, first.is_eos)
        units = [*before, spaced, *units[1:]]
    for index, cut in enumerate(_cut(units, piece.room)):
        yield replace(piece, units=cut, named=bool(name) and index == 0)


def _renamed(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Name the pieces that now follow another speaker's: simultaneous speech was sorted by time."""
    last: Optional[str] = None
    for piece in pieces:
        if piece.label != last and not piece.named:
            yield from _named(piece, piece.label)
        else:
            yield piece
        last = piece.label


def _units(words: Iterable[Word], columns: int) -> Iterator[_Unit]:
    for word in words:
        text = one_line(word.text)
        delimiter = " " if word.delimiter.isspace() else one_line(word.delimiter)
        if text:
            yield from _narrow(text, delimiter, word.start_time, word.end_time, word.is_eos, columns)


def _narrow(
    text: str, delimiter: str, start: float, end: float, is_eos: bool, columns: int
) -> Iterator[_Unit]:
    """Break what is wider than a line, at a space if there is one; its time is shared evenly."""
    texts: list[tuple[str, str]] = []
    while (cut := _fitting(text, columns))[0] < len(text):
        fit, space = cut
        texts.append((text[: space or fit], delimiter))
        text, delimiter = (text[space + 1 :], " ") if space else (text[fit:], "")
    texts.append((text, delimiter))
    step = (end - start) / len(texts)
    for index, (piece, before) in enumerate(texts):
        begin = start + index * step
        yield _Unit(piece, before, begin, begin + step, is_eos and index == len(texts) - 1)


def _fitting(text: str, columns: int) -> tuple[int, int]:
    """Return how much of a text fits, and its last space at which it may be broken, if not all of it fits."""
    if len(text) <= columns and width(text) <= columns:  # nearly every word
        return len(text), 0
    total = at = space = 0
    for character in characters(text):
        if character == " ":
            space = at
        total += width(character)
        if total > columns:
            return at or columns - 1, space  # one character wider than a line is none that anybody reads
        at += len(character)
    return at, 0


def _stretches(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    """Split at long pauses."""
    stretch: list[_Unit] = []
    for unit in units:
        if stretch and unit.start - stretch[-1].end > PAUSE:
            yield stretch
            stretch = []
        stretch.append(unit)
    if stretch:
        yield stretch


def _cut(units: list[_Unit], room: CaptionShape) -> Iterator[list[_Unit]]:
    """Cut into parts that fit; end each at its last sentence or clause, if more follows."""
    start = 0
    while start < len(units):
        count = _fits(units[start : start + room.lines * room.columns], room)
        if start + count < len(units):
            count = _best_end(units[start : start + count], _rest(units, start + count, room.columns // 2))
        yield units[start : start + count]
        start += count


def _fits(units: Sequence[_Unit], room: CaptionShape) -> int:
    """Count the units that fit into the lines and into ``LONGEST``; at least one."""
    lines, used = 1, 0
    for index, unit in enumerate(units):
        if index and unit.end - units[0].start > LONGEST:
            return index
        needed = unit.width + (unit.lead if used else 0)
        if used + needed <= room.columns:
            used += needed
        elif lines < room.lines:
            lines, used = lines + 1, unit.width
        else:
            return index
    return len(units)


def _rest(units: Sequence[_Unit], start: int, columns: int) -> Sequence[_Unit]:
    """Return what is left of a sentence, if that is less than so many columns; else nothing."""
    used = -units[start].lead
    for index in range(start, len(units)):
        used += units[index].lead + units[index].width
        if used >= columns:
            break
        if units[index].is_eos:
            return units[start : index + 1]
    return []


def _best_end(units: list[_Unit], rest: Sequence[_Unit]) -> int:
    """Choose how many of the units that fit to keep: a sentence's end, else a clause's in the second half.

    If little of the sentence would be left, the next caption gets half of it.
    """
    sentences = [index for index, unit in enumerate(units, 1) if unit.is_eos]
    if sentences and sentences[-1] * 3 >= len(units):
        return sentences[-1]
    clauses = [index for index, unit in enumerate(units, 1) if unit.text[-1] in _CLAUSE_ENDS]
    if clauses and clauses[-1] * 2 >= len(units):
        return clauses[-1]
    if not rest:
        return len(units)
    begin = sentences[-1] if sentences else 0
    uneven = [abs(one - two) for one, two in _halves([*units[begin:], *rest])][: len(units) - begin]
    return begin + 1 + uneven.index(min(uneven))


def _wrapped(units: Sequence[_Unit], columns: int) -> tuple[str, ...]:
    """Break into two lines of similar length, after a nearby mark if there is one; else into full lines."""
    if _line_width(units) <= columns:
        return (_line(units),)
    best, least = 0, math.inf
    for index, (one, two) in enumerate(_halves(units), 1):
        if one <= columns and two <= columns:
            marked = unicodedata.category(units[index - 1].text[-1]).startswith("P")
            cost = abs(one - two) - (8 if marked else 0)
            if cost < least:
                best, least = index, cost
    if best:
        return (_line(units[:best]), _line(units[best:]))
    full = max(1, _fits(units, CaptionShape(columns, 1)))
    return (_line(units[:full]), *_wrapped(units[full:], columns))


def _line(units: Sequence[_Unit]) -> str:
    return units[0].text + "".join(unit.delimiter + unit.text for unit in units[1:])


def _line_width(units: Sequence[_Unit]) -> int:
    return sum([unit.lead + unit.width for unit in units]) - units[0].lead


def _halves(units: Sequence[_Unit]) -> Iterator[tuple[int, int]]:
    """Give, for each place where a line may be broken, the widths of both parts."""
    whole, one = _line_width(units), units[0].width
    for unit in units[1:]:
        yield one, whole - one - unit.lead
        one += unit.lead + unit.width


def _shared(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Put two pieces into one caption if the first alone would be too short to read."""
    first: Optional[_Piece] = None
    for piece in pieces:
        if first is None:
            first = piece
        elif _fit_together(first, piece):
            yield [first, piece]
            first = None
        else:
            yield [first]
            first = piece
    if first is not None:
        yield [first]


def _fit_together(first: _Piece, second: _Piece) -> bool:
    gap = second.start - first.start
    return max(first.width, second.width) <= first.room.columns and gap < min(_needed([first]), EARLIEST)


def _comfortable(cue: Sequence[_Piece]) -> float:
    """Return the seconds in which it is read comfortably."""
    return min(LONGEST, max(SHORTEST, sum(piece.width for piece in cue) / SPEED))


def _needed(cue: Sequence[_Piece]) -> float:
    """Return the seconds that it needs before the next one: to be read, or as it was spoken."""
    said = max(piece.end for piece in cue) - cue[0].start
    return min(_comfortable(cue), max(SHORTEST, said))


def _timed(cues: Sequence[Sequence[_Piece]]) -> list[Caption]:
    """Time the captions: from the first word until heard and read, but no longer than to the next."""
    captions: list[Caption] = []
    needed = [_needed(cue) for cue in cues]
    start = 0.0
    for index, cue in enumerate(cues):
        start = max(start, cue[0].start)
        end = max(start + _comfortable(cue), *(piece.end for piece in cue))
        following = math.inf
        if index + 1 < len(cues):
            least = max(FLASH, needed[index] * _share(cues, needed, index, start))
            following = max(cues[index + 1][0].start, start + least)
        parts = tuple((piece.label, _wrapped(piece.units, piece.room.columns)) for piece in cue)
        captions.append(Caption(_milliseconds(start), _milliseconds(min(end, following)), parts))
        start = following
    return captions


def _share(cues: Sequence[Sequence[_Piece]], needed: Sequence[float], index: int, start: float) -> float:
    """Return what share of the time they need this and the next captions can have, so that none is late."""
    share, time = 1.0, 0.0
    for at in range(index, min(index + 49, len(cues) - 1)):
        time += needed[at]
        following = cues[at + 1][0].start
        if start + time <= following:
            break  # all have caught up
        share = min(share, (following + LATEST - start) / time)
    return share


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
