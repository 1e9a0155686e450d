"""Draws a live display on a terminal, below text that stays.

Everything except :class:`Screen` is pure. It uses a handful of ANSI sequences, relative to the cursor, rather
than rich, whose live display owns whole lines and redraws from a thread of its own: it can't stream text
word by word onto a line that stays, while stdout may be a pipe.
"""

from __future__ import annotations

import collections
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Optional, TextIO, Union

from ..transcript import characters, width
from .options import PROG
from .shell import harmless, in_shell_words
from .streams import Stream
from .text import GREY, Token

__all__ = [
    "ALERT",
    "GREY",
    "LIVE",
    "Screen",
    "bar_beside",
    "below",
    "clock",
    "ending_of",
    "erased",
    "fitted",
    "in_parts",
    "meter",
    "progress",
]

Row = Sequence[Token]
Out = Union[TextIO, Stream]

# Like the colours of speakers, these can be read on black and on white.
LIVE = "38;5;28"
ALERT = "38;5;161"


_BAR = 20  # columns
_LEAST_BAR = 5
_FIGURES = 31  # columns of "0:12 / 0:19  10.0x  lag 10.8 s", and a space before
_QUIET = 60.0  # dB below full scale, where the meter begins
_NOTABLE = 2.0  # s of silence: longer than between two sentences


def clock(seconds: float) -> str:
    """Write a time of audio.

    Example:
        >>> clock(75.4), clock(3601)
        ('1:15', '1:00:01')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def bar_beside(columns: int, figures: int = _FIGURES) -> int:
    """Return how long a bar may be that shares so many columns with its figures.

    Example:
        >>> [bar_beside(columns) for columns in (80, 41, 30)]
        [20, 10, 0]
    """
    left = min(_BAR, columns - figures)
    return left if left >= _LEAST_BAR else 0


def in_parts(parts: Sequence[str], columns: int) -> str:
    """Join as many parts as fit, and the first in any case: half a figure is a wrong one.

    Example:
        >>> in_parts(["0:12 / 0:19", "  1.0x", "  lag 0.8 s"], 18)
        '0:12 / 0:19  1.0x'
    """
    text = parts[0]
    for part in parts[1:]:
        if width(text + part) > columns:
            break
        text += part
    return text


def progress(
    heard: float, total: Optional[float], elapsed: float, lag: Optional[float], *, columns: int = 80
) -> list[Token]:
    """Write the progress of the audio, in seconds: done, in all, elapsed, and not transcribed yet.

    Example:
        >>> from speechmatics_rt.cli.text import plain
        >>> plain(progress(12.4, 19.4, 12.4, 0.84, columns=41))
        '━━━━━━──── 0:12 / 0:19  1.0x  lag 0.8 s'
        >>> plain(progress(12.4, None, 0.1, None)), plain(progress(12.4, 6.2, 0.1, None))
        ('0:12', '0:12')
    """
    row = []
    parts = [clock(heard)]
    if total and heard < total + 1:  # there may be more than a header announces
        bar = bar_beside(columns)
        done = round(bar * min(1.0, heard / total))
        row = [Token("━" * done, LIVE), Token("─" * (bar - done) + " " * bool(bar), GREY)]
        parts[0] += f" / {clock(total)}"
        columns -= bar + bool(bar)
    if elapsed >= 0.5:  # before that it says nothing
        parts.append(f"  {heard / elapsed:.1f}x")
    if lag is not None:
        parts.append(f"  lag {max(lag, 0.0):.1f} s")
    return [*row, Token(in_parts(parts, columns), GREY)]


def meter(level: float, silent: float, heard: float, lag: float, *, columns: int) -> list[Token]:
    """Write the level of a microphone, in dB below full scale, and the progress in seconds.

    Example:
        >>> from speechmatics_rt.cli.text import plain
        >>> plain(meter(-30.0, 0.0, 12.4, 0.84, columns=26))
        '━━━━━───── 0:12  lag 0.8 s'
        >>> plain(meter(-90.0, 3.0, 12.4, 0.84, columns=42))
        '────────── silent for 3 s  0:12  lag 0.8 s'
    """
    said = [Token(f"silent for {silent:.0f} s", ALERT), Token("  ")] if silent >= _NOTABLE else []
    figures = [clock(heard), f"  lag {max(lag, 0.0):.1f} s"]
    columns -= sum(width(token.text) for token in said)
    bar = bar_beside(columns, sum(map(width, figures)) + 1)
    loud = round(bar * min(1.0, max(0.0, 1 + level / _QUIET)))
    row = [Token("━" * loud, LIVE), Token("─" * (bar - loud) + " " * bool(bar), GREY), *said]
    return [*row, Token(in_parts(figures, columns - bar - bool(bar)), GREY)]


def fitted(row: Row, columns: int) -> list[Token]:
    """Cut what is too wide for the columns."""
    left = max(columns, 0)
    kept = []
    for token in row:
        text = ""
        for character in characters(token.text):
            if width(character) > left:
                break
            left -= width(character)
            text += character
        kept.append(token._replace(text=text))
    return kept


def ending_of(text: str, columns: int) -> str:
    """Give the end of a text, with dots in front if there is more.

    Example:
        >>> ending_of("the lamp on the stairs", 12)
        '… the stairs'
    """
    if width(text) <= columns:
        return text
    start, room = len(text), columns - len("… ")
    for character in reversed([*characters(text)]):
        room -= width(character)
        if room < 0:
            break
        start -= len(character)
    if text[start - 1] != " " and " " in text[start:]:
        start = text.index(" ", start)  # a whole word, if there is one
    return f"… {text[start:].lstrip()}"


# -- the terminal ------------------------------------------------------------------------------------------

_BELOW = "\x1b[J"  # erases from the cursor to the end of the screen
_PARTIAL_LINES = 3  # the latest of a long partial


def erased(column: int) -> str:
    """Write what erases all from the cursor at ``column``, which stays there.

    Never from the corner of the screen: tmux and PuTTY take that for the whole of it, which they keep in
    their history first. So the first column is erased with its line, by itself.
    """
    return _BELOW if column else f"\x1b[1C{_BELOW}\r\x1b[K"


def below(partial: str, rows: Sequence[Row], *, column: int, columns: int, colour: bool) -> str:
    """Write what follows the cursor at ``column``, and then the way back to it.

    Everything is relative to the cursor, so that it holds when the screen scrolls. One column stays free: in
    the last one terminals differ on where the cursor is.
    """
    partial = " ".join(partial.split())
    lines = _wrapped(partial, column, columns - 1) if partial else [""]
    if len(lines) > _PARTIAL_LINES:
        lines = ["…" if column < columns - 1 else "", *lines[-_PARTIAL_LINES + 1 :]]
    drawn: list[Row] = [[Token(line, GREY)] for line in lines]
    if column and partial:
        drawn[0] = [Token(f" {lines[0]}", GREY)]
    if rows:  # beneath the text, if there is any
        drawn = [*(drawn if column or partial else []), *(fitted(row, columns - 1) for row in rows)]
    up = f"\x1b[{len(drawn) - 1}A" if len(drawn) > 1 else ""
    right = f"\x1b[{column}C" if column else ""
    return "\r\n".join(_painted(row, colour) for row in drawn) + up + "\r" + right


def _painted(row: Row, colour: bool) -> str:
    pieces = [(harmless(token.text), token.style) for token in row]
    return "".join(f"\x1b[{how}m{text}\x1b[0m" if colour and how and text else text for text, how in pieces)


def _wrapped(text: str, column: int, columns: int) -> list[str]:
    """Break at spaces, or anywhere in what has none; the first line begins at ``column``, behind a space."""
    lines, room = [""], columns - column - (1 if column else 0)
    for word in text.split(" "):
        gap = " " if lines[-1] else ""
        if width(lines[-1] + gap + word) <= room:
            lines[-1] += gap + word
            continue
        if lines[-1] or room < columns:
            lines.append("")
            room = columns
        for character in characters(word):
            if width(lines[-1] + character) > columns:
                lines.append("")
            lines[-1] += character
    return lines


class Screen:
    """Writes text to stdout, and below it, if stderr is a terminal, a live display.

    For one thread. ``stopping`` and ``suspended`` may be called in a signal handler.

    Args:
        live: Draw on stderr, if that is a terminal; not if the log goes there, nor while text flows into a
            pipe, whose reader may write on the same terminal.
        quiet: Drop notes, and draw nothing.
        color: ``"auto"``, ``"always"`` (even without a terminal) or ``"never"``.
    """

    def __init__(self, out: Out, err: Out, *, live: bool, quiet: bool = False, color: str = "auto") -> None:
        self._out = out
        self._err = err
        self._terminal = _is_terminal(out)
        self._together = self._terminal and _is_terminal(err) and _same(out, err)
        lively = _is_lively()
        self.live = live and lively and not quiet and _is_terminal(err)
        self._quiet = quiet
        self._always = color == "always"
        self._colour = self._always or (color == "auto" and lively and not os.environ.get("NO_COLOR"))
        self._column = 0  # of stdout's cursor, if it is on a terminal
        self._drawn = False
        self._asides: collections.deque[str] = collections.deque()  # the log's lines, from any thread
        if self.live and os.name == "nt":
            os.system("")  # noqa: S605, S607 - makes an old console of Windows understand escape sequences

    @property
    def columns(self) -> Optional[int]:
        """Columns of the terminal that lines are told on; None if it is none."""
        return self.size.columns if _is_terminal(self._err) else None

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines of the terminal that is drawn on."""
        return self._size(self._err, self._out)

    def _size(self, *streams: Out) -> os.terminal_size:
        for stream in streams:
            try:
                size = os.get_terminal_size(stream.fileno())
            except (OSError, ValueError):
                continue
            if size.columns > 1 and size.lines > 1:
                return size
        return os.terminal_size((80, 24))

    def write(self, tokens: Sequence[Token]) -> None:
        """Write text that stays: plain into a pipe, wrapped and coloured on a terminal."""
        if not tokens:
            return
        self.clear()
        self._out.write(self._rendered(tokens) if self._terminal else _painted(tokens, self._always))
        self._out.flush()

    def write_lines(self, tokens: Sequence[Token]) -> None:
        """Write whole lines as they are."""
        self._out.write(_painted(tokens, self._colour if self._terminal else self._always))
        self._out.flush()

    def _rendered(self, tokens: Sequence[Token]) -> str:
        columns = self._size(self._out, self._err).columns - 1
        pieces = []
        for text, style in tokens:
            if text == "\n":
                self._column = 0
                pieces.append(text)
                continue
            if self._column and self._column + width(text) > columns:
                pieces.append("\n")
                self._column = 0
            if not self._column:
                text = text.lstrip(" ")
            self._column = (self._column + width(text)) % (columns + 1)
            pieces.append(_painted([Token(text, style)], self._colour))
        return "".join(pieces)

    def draw(self, partial: str, rows: Sequence[Row]) -> None:
        """Show a partial after the text and rows below it, until something else is written."""
        if not self.live:
            return
        self.tell_log()
        size = self.size
        column = self._beside
        above = _PARTIAL_LINES if partial or column else 0
        rows = rows[: max(1, size.lines - 1 - above)]  # what has scrolled away can't be redrawn
        drawing = below(partial, rows, column=column, columns=size.columns, colour=self._colour)
        self._err.write(erased(column) + drawing)
        self._err.flush()
        self._drawn = True

    def clear(self) -> None:
        """Remove what was drawn."""
        if self._drawn:
            self._err.write(erased(self._beside))
            self._err.flush()
            self._drawn = False

    def rest(self) -> None:
        """Draw no more."""
        self.clear()
        self.live = False

    def note(self, text: str, style: str = "") -> None:
        """Write a line to stderr, unless quiet."""
        if not self._quiet:
            self.tell(text, style)

    def tell(self, text: str, style: str = "") -> None:
        """Write a line to stderr, even if quiet."""
        self.clear()
        colour = self._always or (self._colour and _is_terminal(self._err))
        start = self._fresh_line() or ("\r" if self.live else "")  # over a ^C that the terminal has shown
        self._err.write(start + _painted([Token(text, style)], colour) + "\n")
        self._err.flush()

    def complain(self, text: str) -> None:
        """Write an error to stderr."""
        self.tell(f"{PROG}: error: {in_shell_words(text)}")

    @contextmanager
    def with_log(self) -> Iterator[None]:
        """Have the log, where it goes to stderr, told between two drawings: threads write it as they come."""
        if not self.live:
            yield
            return
        handlers = logging.getLogger("speechmatics_rt").handlers
        ours = [
            each for each in handlers if isinstance(each, logging.StreamHandler) and each.stream is self._err
        ]
        for handler in ours:
            handler.setStream(_Asides(self._asides))
        try:
            yield
        finally:
            for handler in ours:
                handler.setStream(self._err)
            self.tell_log()

    def tell_log(self) -> None:
        """Write what the log has got meanwhile."""
        while self._asides:
            self.tell(self._asides.popleft())

    def stopping(self, text: str) -> None:
        """Write a line to stderr in a signal handler, perhaps in the middle of another write."""
        if self._quiet:
            return
        erase = erased(self._beside)
        start = self._fresh_line()
        if _is_terminal(self._err):
            start = erase + (start or "\r")  # over the ^C that the terminal has shown
        self._err.write(f"{start}{text}\n")

    def suspended(self) -> None:
        """Remove what was drawn, in a signal handler: a shell writes next, in a new line."""
        if self._drawn:
            self._err.write(erased(self._beside))
        self._drawn = False
        self._column = 0

    @property
    def _beside(self) -> int:
        """The column of the cursor of what is drawn on: that of the text, if it is on the same terminal."""
        return self._column if self._together else 0

    def _fresh_line(self) -> str:
        """Leave a line that has begun, if it is on the same terminal."""
        if not self._beside:
            return ""
        self._column = 0
        return "\n"


class _Asides(io.TextIOBase):
    """What the log takes for stderr."""

    def __init__(self, lines: collections.deque[str]) -> None:
        self._lines = lines

    def write(self, text: str) -> int:
        self._lines.append(text.rstrip("\n"))
        return len(text)


def _is_lively() -> bool:
    """Whether what is a terminal is one for people, which obeys; a log of a build may be a terminal, too."""
    unset = "" if os.name == "nt" else "dumb"  # no terminal of Windows sets it, and every other does
    return os.environ.get("TERM", unset) != "dumb" and not os.environ.get("CI")


def _is_terminal(stream: Out) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _same(out: Out, err: Out) -> bool:
    """Whether two terminals are one; so they are where they have no names, as on Windows."""
    names: set[str] = set()
    if sys.platform != "win32":
        with suppress(OSError, ValueError):  # it is no real one
            names = {os.ttyname(stream.fileno()) for stream in (out, err)}
    return len(names) < 2 or "/dev/tty" in names  # which is whatever terminal we run on
