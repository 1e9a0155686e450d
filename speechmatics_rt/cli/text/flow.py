"""Formats words as lines of text, live or afterwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from ...transcript import Word

__all__ = ["GREY", "Flow", "Token", "plain"]

_PATIENCE = 2.0  # s of audio that a line, once begun, may be silent while another channel has more to say

# Of the 256 colours, those that can be read on black and on white alike: the contrast is above 4 on both.
# The 16 basic ones can't be used for this: every theme has some that it can't show on its background.
# "Bright black", the usual grey, is the background itself in some themes.
GREY = "38;5;243"
_SPEAKERS = (30, 130, 133, 28, 63, 161)


class Token(NamedTuple):
    """A piece of text that is never broken; ``style`` is what stands between ``ESC [`` and ``m``."""

    text: str
    style: str = ""


class Flow:
    """Turn words, as they become final, into text: a line a sentence, a label where the speaker changes.

    What was given once is never changed; a mark that arrives later continues its word. Channels that speak
    at once are given sentence by sentence: while the line of one goes on, the words of the others wait.

    Args:
        timestamps: Begin each line with the time of its first word.

    Example:
        >>> flow = Flow()
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes", speaker="S1")]))
        'S1: Yes'
        >>> plain(flow.more([Word("Yes", 0, 1, "Yes.", is_eos=True, speaker="S1")]))
        '.\\n'
    """

    def __init__(self, *, timestamps: bool = False) -> None:
        self._timestamps = timestamps
        self._channels: tuple[Sequence[Word], ...] = ()  # all final words so far
        self._counts: list[int] = []  # words given, by channel
        self._current = 0  # the channel of the last word given
        self._length = 0  # characters given of it
        self._end = 0.0  # where it ended, in seconds of audio
        self._label = ""
        self._labels: list[str] = []  # in order of appearance
        self._open = False  # the line has begun
        self._waiting: list[str] = []  # lines of another kind, for when this one ends

    def more(self, *channels: Sequence[Word]) -> list[Token]:
        """Give what is new in all final words so far, a sequence of them a channel."""
        tokens: list[Token] = []
        self._channels = channels
        self._counts += [0] * (len(channels) - len(self._counts))
        self._continue_word(tokens)
        while True:
            channel = self._following()
            if channel is None:
                return tokens
            self._give(channel, tokens)

    def held(self, channel: int) -> str:
        """Return the words of a channel that wait for the line of another to end."""
        words = self._channels[channel][self._counts[channel] :] if self._channels else ()
        return "".join(word.delimiter + word.text for word in words).strip()

    def continues(self, channel: int) -> bool:
        """True if a line has begun, and is the channel's."""
        return self._open and self._current == channel

    def line(self, text: str) -> list[Token]:
        """Give a line of another kind: now, or as soon as the one that has begun ends."""
        if self._open:
            self._waiting.append(text)
            return []
        return [Token(text), Token("\n")]

    def end(self) -> list[Token]:
        """Give what waits, and what completes the last line."""
        tokens: list[Token] = []
        self._end_line(tokens)
        while self._left():
            tokens += self.more(*self._channels)
            self._end_line(tokens)
        return tokens

    def _left(self) -> list[int]:
        counts = enumerate(self._counts)
        return [number for number, count in counts if count < len(self._channels[number])]

    def _following(self) -> Optional[int]:
        """Choose the channel of the next word, if there is one that need not wait."""
        left = self._left()
        if not left or (self._open and self._current in left):
            return self._current if left else None
        first = min(left, key=lambda number: self._next(number).start_time)
        waits = self._open and self._next(first).start_time < self._end + _PATIENCE
        return None if waits else first

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
        for text in self._waiting:
            tokens += [Token(text), Token("\n")]
        self._waiting.clear()


def _stamp(seconds: float) -> str:
    minutes, second = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second / 1000:06.3f}"


def plain(tokens: Iterable[Token]) -> str:
    """Join tokens to text."""
    return "".join(token.text for token in tokens)
