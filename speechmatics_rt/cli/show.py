"""What a session looks like: words as lines of text, and the part of a terminal that is drawn in place.

:class:`Flow`, :func:`progress` and :func:`below` are pure; :class:`Screen` alone writes.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional, TextIO

from ..transcript import Transcript, Word

__all__ = ["Flow", "Screen", "Token", "below", "clock", "plain", "progress", "text_of", "width"]


class Token(NamedTuple):
    """A piece of text that is never broken; ``speaker`` of a label is the number of the speaker, from 0."""

    text: str
    speaker: Optional[int] = None


class Flow:
    """Turn words, as they become final, into text: a line a sentence, a label where the speaker changes.

    What was given once is never changed; a mark that arrives later continues its word.

    Example:
        >>> flow = Flow()
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes", speaker="S1")]))
        'S1: Yes'
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes.", is_eos=True, speaker="S1")]))
        '.\\n'
    """

    def __init__(self) -> None:
        self._count = 0  # words given
        self._length = 0  # characters given of the last of them
        self._label = ""
        self._labels: list[str] = []  # in order of appearance
        self._open = False  # the line has begun
        self._waiting: list[str] = []  # lines of another kind, for when this one ends

    def more(self, words: Sequence[Word]) -> list[Token]:
        """Give what is new in ``words``, all final words so far."""
        tokens: list[Token] = []
        if 0 < self._count <= len(words):
            word = words[self._count - 1]
            if len(word.text) > self._length:
                self._add(tokens, Token(word.text[self._length :]), ends=word.is_eos)
        for word in words[self._count :]:
            label = " ".join(name for name in (word.channel, word.speaker) if name)
            if label != self._label:
                self._speaker(tokens, label)
            delimiter = word.delimiter if self._open else ""
            self._add(tokens, Token(delimiter + word.text), ends=word.is_eos)
        self._count = len(words)
        self._length = len(words[-1].text) if words else 0
        return tokens

    def line(self, text: str) -> list[Token]:
        """Give a line of another kind: now, or as soon as the one that has begun ends."""
        if self._open:
            self._waiting.append(text)
            return []
        return [Token(text), Token("\n")]

    def end(self) -> list[Token]:
        """Give what completes the last line."""
        tokens: list[Token] = []
        self._end_line(tokens)
        return tokens

    def _add(self, tokens: list[Token], token: Token, *, ends: bool) -> None:
        tokens.append(token)
        self._open = True
        if ends:
            self._end_line(tokens)

    def _speaker(self, tokens: list[Token], label: str) -> None:
        self._end_line(tokens)
        self._label = label
        if not label:
            return
        if label not in self._labels:
            self._labels.append(label)
        tokens += [Token(f"{label}:", self._labels.index(label)), Token(" ")]

    def _end_line(self, tokens: list[Token]) -> None:
        if self._open:
            tokens.append(Token("\n"))
            self._open = False
        for text in self._waiting:
            tokens += [Token(text), Token("\n")]
        self._waiting.clear()


def plain(tokens: Iterable[Token]) -> str:
    """Join tokens to text."""
    return "".join(token.text for token in tokens)


def text_of(transcript: Transcript) -> str:
    """Give a whole transcript as the text that would have been shown, live."""
    flow = Flow()
    return plain([*flow.more(transcript.words), *flow.end()])


def clock(seconds: float) -> str:
    """Write a time of audio.

    Example:
        >>> clock(75.4), clock(3601)
        ('1:15', '1:00:01')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def progress(
    heard: float, total: Optional[float], elapsed: float, lag: Optional[float], *, bar: int = 0
) -> str:
    """Write how far the audio is, all in seconds: heard, of how much, since when, and not transcribed yet.

    Example:
        >>> progress(12.4, 19.4, 12.4, 0.84, bar=10)
        '━━━━━━──── 0:12 / 0:19  1.0x  lag 0.8 s'
        >>> progress(12.4, None, 0.1, None)
        '0:12'
    """
    text = clock(heard)
    if total:
        done = round(bar * min(1.0, heard / total))
        text = f"{'━' * done}{'─' * (bar - done)}{' ' if bar else ''}{text} / {clock(total)}"
    if elapsed >= 0.5:  # before that it says nothing
        text += f"  {heard / elapsed:.1f}x"
    return text if lag is None else f"{text}  lag {max(lag, 0.0):.1f} s"


def width(text: str) -> int:
    """Count the columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


# -- the terminal ------------------------------------------------------------------------------------------

_ERASE = "\x1b[J"  # from the cursor to the end of the screen
_GREY = "\x1b[90m"
_PLAIN = "\x1b[0m"
_SPEAKERS = (36, 33, 35, 32, 34, 31)
_PARTIAL_LINES = 3  # the latest of a long partial


def below(partial: str, status: str, *, column: int, columns: int, colour: bool) -> str:
    """Write what follows the cursor at ``column``, and then the way back to it.

    Everything is relative to the cursor, so that it holds when the screen scrolls. One column stays free: in
    the last one terminals differ on where the cursor is.
    """
    partial = " ".join(partial.split())
    lines = _wrapped(partial, column, columns - 1) if partial else [""]
    if len(lines) > _PARTIAL_LINES:
        lines = [_cut("…", columns - 1 - column), *lines[-_PARTIAL_LINES + 1 :]]
    rows = [f" {lines[0]}" if column and partial else lines[0], *lines[1:]]
    if status:
        status = _cut(status, columns - 1)
        rows = [*rows, status] if column or partial else [status]  # beneath the text, if there is any
    grey, back = (_GREY, _PLAIN) if colour else ("", "")
    rows = [f"{grey}{row}{back}" if row else "" for row in rows]
    up = f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""
    right = f"\x1b[{column}C" if column else ""
    return "\r\n".join(rows) + up + "\r" + right


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
        for character in word:
            if width(lines[-1] + character) > columns:
                lines.append("")
            lines[-1] += character
    return lines


def _cut(text: str, columns: int) -> str:
    while width(text) > max(columns, 0):
        text = text[:-1]
    return text


class Screen:
    """Write text to stdout, and beneath it, where stderr is a terminal, what is drawn anew each time.

    For one thread. ``stopping`` may be called in a signal handler.

    Args:
        live: Draw in place on stderr; False if that is no terminal, or is needed for the log.
    """

    def __init__(self, out: TextIO, err: TextIO, *, live: bool) -> None:
        self._out = out
        self._err = err
        self._terminal = _is_terminal(out)
        self.live = live and _is_terminal(err) and os.environ.get("TERM") != "dumb"
        self._colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._column = 0  # of stdout's cursor, if it is a terminal
        self._drawn = False
        if self.live and os.name == "nt":
            os.system("")  # noqa: S605, S607 - makes an old console of Windows understand escape sequences

    @property
    def columns(self) -> int:
        for stream in (self._err, self._out):
            try:
                columns = os.get_terminal_size(stream.fileno()).columns
            except (OSError, ValueError):
                continue
            if columns > 1:
                return columns
        return 80

    def write(self, tokens: Sequence[Token]) -> None:
        """Write text where it stays: plain in a pipe, broken at words and coloured on a terminal."""
        if not tokens:
            return
        self.clear()
        self._out.write(self._rendered(tokens) if self._terminal else plain(tokens))
        self._out.flush()

    def _rendered(self, tokens: Sequence[Token]) -> str:
        columns = self.columns - 1
        pieces = []
        for text, speaker in tokens:
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
            if speaker is not None and self._colour:
                text = f"\x1b[1;{_SPEAKERS[speaker % len(_SPEAKERS)]}m{text}{_PLAIN}"
            pieces.append(text)
        return "".join(pieces)

    def draw(self, partial: str, status: str) -> None:
        """Show a partial behind the text and a status line beneath it, until something else is written."""
        if not self.live:
            return
        drawing = below(partial, status, column=self._column, columns=self.columns, colour=self._colour)
        self._err.write(_ERASE + drawing)
        self._err.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take away what was drawn."""
        if self._drawn:
            self._err.write(_ERASE)
            self._err.flush()
            self._drawn = False

    def note(self, text: str) -> None:
        """Write a line to stderr."""
        self.clear()
        self._err.write(self._fresh_line() + text + "\n")
        self._err.flush()

    def stopping(self, text: str) -> None:
        """Write a line to stderr in a signal handler, where a stream may be in the middle of a write."""
        start = self._fresh_line()
        if _is_terminal(self._err):
            start = _ERASE + (start or "\r")  # over the ^C that the terminal has shown
        os.write(self._err.fileno(), f"{start}{text}\n".encode())

    def _fresh_line(self) -> str:
        """Leave a line that has begun, if it is on the same terminal."""
        begun, self._column = self._column, 0
        return "\n" if begun and _is_terminal(self._err) else ""


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
