"""Formats words as lines of text, live or afterwards. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from ...transcript import PAUSE, Word

__all__ = ["GREY", "Flow", "Line", "Token", "plain"]

# Of the 256 colours, those that can be read on black and on white alike: the contrast is above 4 on both.
# The 16 basic ones can't be used for this: every theme has some that it can't show on its background.
# "Bright black", the usual grey, is the background itself in some themes.
GREY = "38;5;243"
_SPEAKERS = (30, 130, 133, 28, 63, 161)


class Token(NamedTuple):
    """A piece of text that is never broken; ``style`` is what stands between ``ESC [`` and ``m``."""

    text: str
    style: str = ""


class Line(NamedTuple):
    """A line that is no sentence: a translation, which follows its sentence, or a sound.

    Attributes:
        time: Seconds of audio; words that begin before stand before it.
    """

    time: float
    text: str


class Flow:
    """Turn words, as they become final, into text: a line a sentence, a label where the speaker changes.

    What was given once is never changed; a mark that arrives later continues its word. Several channels are
    given sentence by sentence, in order of time: a word waits until no other channel can have an earlier
    one, which is known from how far that has been heard, and until the sentence that has begun is over.

    Args:
        timestamps: Begin each line with the time of its first word.
        patience: Seconds of audio; a channel that is heard so much later than another is not waited for.

    Example:
        >>> flow = Flow()
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes", speaker="S1")]))
        'S1: Yes'
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes.", is_eos=True, speaker="S1")]))
        '.\\n'
    """

    def __init__(self, *, timestamps: bool = False, patience: float = math.inf) -> None:
        self._timestamps = timestamps
        self._patience = patience
        self._channels: tuple[Sequence[Word], ...] = ()  # all final words so far
        self._heard: Sequence[float] = ()  # how far each channel is known
        self._counts: list[int] = []  # words given, by channel
        self._current = 0  # the channel of the last word given
        self._length = 0  # characters given of it
        self._end = 0.0  # where it ended, in seconds of audio
        self._label = ""
        self._labels: list[str] = []  # in order of appearance
        self._open = False  # the line has begun
        self._waiting: list[Line] = []  # for the words before them

    @classmethod
    def whole(
        cls, channels: Sequence[Sequence[Word]], lines: Iterable[Line] = (), *, timestamps: bool = False
    ) -> str:
        """Write all words of a transcript, and lines of another kind where they belong.

        Example:
            >>> Flow.whole([[Word("Yes", 0, 1, "Yes")]], [Line(1, "[fr] Oui")])
            'Yes\\n[fr] Oui\\n'
        """
        flow = cls(timestamps=timestamps)
        flow._waiting = sorted(lines, key=_time_of)
        return plain(flow.more(*channels)) + plain(flow.end())

    def more(self, *channels: Sequence[Word], heard: Sequence[float] = ()) -> list[Token]:
        """Give what is new in all final words so far, a sequence of them a channel.

        Args:
            heard: Up to what time all words of each channel are there; by default they are all there.
        """
        tokens: list[Token] = []
        self._channels = channels
        self._heard = heard or [math.inf] * len(channels)
        self._counts += [0] * (len(channels) - len(self._counts))
        self._continue_word(tokens)
        self._give_lines(tokens)
        while True:
            channel = self._following()
            if channel is None:
                return tokens
            self._give(channel, tokens)

    def held(self, channel: int) -> str:
        """Return the words of a channel that wait for those of others."""
        words = self._channels[channel][self._counts[channel] :] if self._channels else ()
        return "".join(word.delimiter + word.text for word in words).strip()

    def continues(self, channel: int) -> bool:
        """True if a line has begun, and is the channel's."""
        return self._open and self._current == channel

    def line(self, line: Line) -> list[Token]:
        """Give a line of another kind: after the words before it, and never within another line."""
        times = [each.time for each in self._waiting]
        self._waiting.insert(bisect_right(times, line.time), line)
        tokens: list[Token] = []
        self._give_lines(tokens)
        return tokens

    def end(self) -> list[Token]:
        """Give what waits, and what completes the last line."""
        tokens = self.more(*self._channels)
        self._end_line(tokens)
        return tokens

    def _left(self) -> list[int]:
        counts = enumerate(self._counts)
        return [number for number, count in counts if count < len(self._channels[number])]

    def _following(self) -> Optional[int]:
        """Choose the channel of the next word, if there is one that need not wait."""
        if self._open:
            last = self._current
            more = self._counts[last] < len(self._channels[last])
            if (self._next(last).start_time if more else self._known(last)) <= self._end + PAUSE:
                return last if more else None  # its sentence goes on, or may do so
        left = self._left()
        if not left:
            return None
        first = min(left, key=self._order)
        start = self._next(first).start_time
        others = (number for number in range(len(self._counts)) if number not in left)
        # Of two words that begin at once the order is that of their channels, so both have to be known.
        return first if all(self._known(number) > start for number in others) else None

    def _order(self, channel: int) -> tuple[float, str]:
        word = self._next(channel)
        return word.start_time, word.channel or ""

    def _reached(self) -> float:
        """Return the time before which all words are given."""
        left = self._left()
        return min(
            (
                self._next(number).start_time if number in left else self._known(number)
                for number in range(len(self._counts))
            ),
            default=math.inf,
        )

    def _known(self, channel: int) -> float:
        """Return up to what time a channel is known, or is not waited for."""
        heard = self._heard[channel]
        latest = max((seconds for seconds in self._heard if seconds < math.inf), default=heard)
        return math.inf if latest - heard > self._patience else heard

    def _next(self, channel: int) -> Word:
        return self._channels[channel][self._counts[channel]]

    def _give(self, channel: int, tokens: list[Token]) -> None:
        word = self._next(channel)
        label = " ".join(name for name in (word.channel, word.speaker) if name)
        if label != self._label:
            self._end_line(tokens)
        if self._timestamps and not self._open:
            tokens += [Token(f"[{_stamp(word.start_time)}]", GREY), Token(" ")]
        if label != self._label:
            self._speaker(tokens, label)
        delimiter = word.delimiter if self._open else ""
        self._counts[channel] += 1
        self._current, self._end, self._length = channel, word.end_time, len(word.text)
        self._add(tokens, Token(delimiter + word.text), ends=word.is_eos)

    def _continue_word(self, tokens: list[Token]) -> None:
        if not self._counts or not self._counts[self._current]:
            return
        word = self._channels[self._current][self._counts[self._current] - 1]
        if len(word.text) > self._length:
            self._add(tokens, Token(word.text[self._length :]), ends=word.is_eos)
            self._length = len(word.text)

    def _add(self, tokens: list[Token], token: Token, *, ends: bool) -> None:
        tokens.append(token)
        self._open = True
        if ends:
            self._end_line(tokens)

    def _speaker(self, tokens: list[Token], label: str) -> None:
        self._label = label
        if label:
            tokens += [Token(f"{label}:", self.style(label)), Token(" ")]

    def style(self, label: str) -> str:
        """Return the colour of a speaker or channel; always the same one."""
        if label not in self._labels:
            self._labels.append(label)
        return f"1;38;5;{_SPEAKERS[self._labels.index(label) % len(_SPEAKERS)]}"

    def _end_line(self, tokens: list[Token]) -> None:
        if self._open:
            tokens.append(Token("\n"))
            self._open = False
        self._give_lines(tokens)

    def _give_lines(self, tokens: list[Token]) -> None:
        """Give the lines of another kind whose time has come."""
        if self._waiting and not self._open:
            reached = self._reached()
            while self._waiting and self._waiting[0].time <= reached:
                tokens += [Token(self._waiting.pop(0).text), Token("\n")]


def _time_of(line: Line) -> float:
    return line.time


def _stamp(seconds: float) -> str:
    minutes, second = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second / 1000:06.3f}"


def plain(tokens: Iterable[Token]) -> str:
    """Join tokens to text."""
    return "".join(token.text for token in tokens)
