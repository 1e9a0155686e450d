"""Merges several channels into one text while it grows.

A channel's words come in runs, which end with a sentence, at a change of speaker or at a pause. Runs are
sorted by time; a new one usually belongs near the end, but anywhere if its channel is behind. So runs are
kept in shelves (buckets), and only a shelf that changed is joined anew: reading costs only what is new.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Optional

from .words import Joiner, Paragraph, Word, ends_run

__all__ = ["Merged"]

_SHELF = 64  # runs; a shelf of twice as many is split

# Time, label of the channel, number of the run in it. By label, since the order of what is said at once must
# not depend on that of arrival.
_Key = tuple[float, str, int]


class _Run:
    """Words that stay together; the last ``open`` of them may still change."""

    __slots__ = ("_count", "_text", "key", "open", "words")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.words: list[Word] = []
        self.open = 0
        self._text = ""  # of the first so many words, which stay as they are
        self._count = 0

    def __lt__(self, other: _Run) -> bool:
        return self.key < other.key

    @property
    def speaker(self) -> tuple[Optional[str], Optional[str]]:
        return self.words[0].speaker, self.words[0].channel

    @property
    def name(self) -> str:
        """The label at the start of this speaker's lines."""
        label = Paragraph((self.words[0],)).label
        return f"{label}: " if label else ""

    def text(self, *, begins: bool) -> str:
        """Return the text, with the delimiter before its first word unless it ``begins`` a line."""
        settled = len(self.words) - self.open
        if self._count < settled:
            self._text += _written(self.words[self._count : settled])
            self._count = settled
        text = self._text + _written(self.words[settled:])
        return text[len(self.words[0].delimiter) :] if begins else text


def _written(words: Iterable[Word]) -> str:
    return "".join([word.delimiter + word.text for word in words])


class _Shelf:
    """Consecutive runs, and their text while it is up to date."""

    __slots__ = ("_texts", "runs")

    def __init__(self, runs: list[_Run]) -> None:
        self.runs = runs
        self._texts: dict[bool, str] = {}  # with names, and without

    def touch(self) -> None:
        self._texts.clear()

    def text(self, *, begins: bool, named: bool) -> str:
        first = self.runs[0]
        text = self._texts.get(named)
        if text is None:
            lines = [first.text(begins=False)]
            for last, run in zip(self.runs, self.runs[1:]):
                begun = run.speaker != last.speaker
                if begun:
                    lines.append("\n" + run.name if named else "\n")
                lines.append(run.text(begins=begun))
            text = self._texts[named] = "".join(lines)
        if not begins:
            return text
        return (first.name if named else "") + text[len(first.words[0].delimiter) :]


class _Channel:
    """What has been merged of one channel."""

    __slots__ = ("last", "runs", "settled", "tail", "tail_runs")

    def __init__(self) -> None:
        self.settled = 0  # words
        self.tail: list[Word] = []  # words that may still change
        self.tail_runs: list[_Run] = []  # where each of these stands
        self.last: Optional[_Run] = None  # that of the last settled word
        self.runs = 0


class Merged:
    """The words of several channels in order of time, sentence by sentence. Not thread-safe.

    Sentences that begin at the same time are in the order of their channels' labels.

    Example:
        >>> joiners = [Joiner(channel="agent"), Joiner(channel="caller")]
        >>> for joiner, content, at in zip(joiners, ("Hello", "Hi"), (4, 1)):
        ...     word = {"type": "word", "start_time": at, "alternatives": [{"content": content}]}
        ...     joiner.add(word)
        >>> merged = Merged()
        >>> merged.take(joiners)
        >>> merged.text()
        'Hi\\nHello'
    """

    def __init__(self) -> None:
        self._shelves: list[_Shelf] = []
        self._firsts: list[_Key] = []  # the first run of each shelf
        self._channels: list[_Channel] = []

    def take(self, joiners: Iterable[Joiner]) -> None:
        """Add what is new. Pass the same joiners in the same order each time, new ones last."""
        for number, joiner in enumerate(joiners):
            if number == len(self._channels):
                self._channels.append(_Channel())
            channel = self._channels[number]
            tail, new = joiner.tail(), joiner.settled_since(channel.settled)
            if not new and tail == channel.tail:
                continue
            self._take_back(channel)
            for word in new:
                channel.last = self._put(word, channel, channel.last)
            channel.settled += len(new)
            last = channel.last
            for word in tail:
                last = self._put(word, channel, last)
                last.open += 1
                channel.tail_runs.append(last)
            channel.tail = tail

    def text(self, *, named: bool = False) -> str:
        """Return all text, one line per turn; with the labels of channel and speaker if ``named``."""
        parts: list[str] = []
        speaker = None
        for shelf in self._shelves:
            begins = shelf.runs[0].speaker != speaker
            if begins and parts:
                parts.append("\n")
            parts.append(shelf.text(begins=begins, named=named))
            speaker = shelf.runs[-1].speaker
        return "".join(parts)

    def words(self) -> list[Word]:
        """Return all words."""
        words: list[Word] = []
        for shelf in self._shelves:
            for run in shelf.runs:
                words += run.words
        return words

    def _take_back(self, channel: _Channel) -> None:
        """Remove the words that may have changed."""
        for run in reversed(channel.tail_runs):
            run.words.pop()
            run.open -= 1
            shelf = self._shelf(run.key)
            self._shelves[shelf].touch()
            if not run.words:
                self._remove(run, shelf)
        channel.tail_runs = []

    def _put(self, word: Word, channel: _Channel, last: Optional[_Run]) -> _Run:
        """Add a word after those of its channel; return its run."""
        if last is not None and not ends_run(last.words[-1], word):
            last.words.append(word)
            self._shelves[self._shelf(last.key)].touch()
            return last
        run = _Run((word.start_time, word.channel or "", channel.runs))
        channel.runs += 1
        run.words.append(word)
        self._insert(run)
        return run

    def _shelf(self, key: _Key) -> int:
        return max(0, bisect_right(self._firsts, key) - 1)

    def _insert(self, run: _Run) -> None:
        if not self._shelves:
            self._shelves.append(_Shelf([]))
            self._firsts.append(run.key)
        index = self._shelf(run.key)
        shelf = self._shelves[index]
        insort(shelf.runs, run)
        shelf.touch()
        self._firsts[index] = shelf.runs[0].key
        if len(shelf.runs) > 2 * _SHELF:
            other = _Shelf(shelf.runs[_SHELF:])
            del shelf.runs[_SHELF:]
            self._shelves.insert(index + 1, other)
            self._firsts.insert(index + 1, other.runs[0].key)

    def _remove(self, run: _Run, index: int) -> None:
        shelf = self._shelves[index]
        shelf.runs.remove(run)
        if shelf.runs:
            self._firsts[index] = shelf.runs[0].key
        else:
            del self._shelves[index], self._firsts[index]
