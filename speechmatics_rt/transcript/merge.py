"""Merges several channels into one text while it grows.

A channel's words come in runs, which end with a sentence, at a change of speaker or at a pause. Runs are
sorted by time; a new one usually belongs near the end, but anywhere if its channel is behind. What a run
adds to the text depends on itself and on the speaker before it, so for each one that changed two pieces of
the text are written anew: reading costs what is new, and one copy of the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Optional

from .words import Joiner, Paragraph, Word, ends_run

__all__ = ["Merged"]

# Time, label of the channel, number of the run in it. By label, since the order of what is said at once must
# not depend on that of arrival.
_Key = tuple[float, str, int]


class _Run:
    """Words that stay together; the last ``open`` of them may still change."""

    __slots__ = ("_count", "_text", "key", "open", "speaker", "words")

    def __init__(self, key: _Key, first: Word) -> None:
        self.key = key
        self.words = [first]
        self.speaker = (first.speaker, first.channel)
        self.open = 0
        self._text = ""  # of the first so many words, which stay as they are
        self._count = 0

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
        self._channels: list[_Channel] = []
        self._runs: list[_Run] = []
        # Of each run, at the same place: its key, and what it adds to the text without and with names.
        self._keys: list[_Key] = []
        self._pieces: list[str] = []
        self._named: list[str] = []

    def take(self, joiners: Iterable[Joiner]) -> None:
        """Add what is new. Pass the same joiners in the same order each time, new ones last."""
        changed: set[_Key] = set()
        for number, joiner in enumerate(joiners):
            if number == len(self._channels):
                self._channels.append(_Channel())
            channel = self._channels[number]
            tail, new = joiner.tail(), joiner.settled_since(channel.settled)
            if not new and tail == channel.tail:
                continue
            changed.update(run.key for run in channel.tail_runs)
            self._take_back(channel)
            for word in new:
                channel.last = self._put(word, channel, channel.last)
                changed.add(channel.last.key)
            channel.settled += len(new)
            last = channel.last
            for word in tail:
                last = self._put(word, channel, last)
                last.open += 1
                channel.tail_runs.append(last)
                changed.add(last.key)
            channel.tail = tail
        for key in changed:
            at = bisect_left(self._keys, key)
            self._write(at)
            self._write(at + 1)  # which may have followed another speaker

    def text(self, *, named: bool = False) -> str:
        """Return all text, one line per turn; with the labels of channel and speaker if ``named``."""
        return "".join(self._named if named else self._pieces)

    def words(self) -> list[Word]:
        """Return all words."""
        words: list[Word] = []
        for run in self._runs:
            words += run.words
        return words

    def _write(self, at: int) -> None:
        """Write what the run at a place adds to the text, if one is there."""
        if at >= len(self._runs):
            return
        run = self._runs[at]
        begins = at == 0 or run.speaker != self._runs[at - 1].speaker
        text = run.text(begins=begins)
        line = "\n" if begins and at else ""
        self._pieces[at] = line + text
        self._named[at] = line + run.name + text if begins else text

    def _take_back(self, channel: _Channel) -> None:
        """Remove the words that may have changed."""
        for run in reversed(channel.tail_runs):
            run.words.pop()
            run.open -= 1
            if not run.words:
                at = bisect_left(self._keys, run.key)
                del self._runs[at], self._keys[at], self._pieces[at], self._named[at]
        channel.tail_runs = []

    def _put(self, word: Word, channel: _Channel, last: Optional[_Run]) -> _Run:
        """Add a word after those of its channel; return its run."""
        if last is not None and not ends_run(last.words[-1], word):
            last.words.append(word)
            return last
        run = _Run((word.start_time, word.channel or "", channel.runs), word)
        channel.runs += 1
        at = bisect_left(self._keys, run.key)
        self._runs.insert(at, run)
        self._keys.insert(at, run.key)
        self._pieces.insert(at, "")
        self._named.insert(at, "")
        return run
