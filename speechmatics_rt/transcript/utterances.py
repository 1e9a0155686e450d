"""Utterances: what one speaker said without a pause, assembled from finals."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Optional

from ..messages import channel_of, results_of, time_of, times_of
from .stored import pack
from .words import Delimiters, Joiner, Spoken, Word, joined

__all__ = ["Ending", "Utterance", "Utterances"]

Ending = Literal["silence", "forced", "speaker", "end"]
_Channel = Optional[str]


@dataclass(frozen=True, repr=False)
class Utterance(Spoken):
    """What one speaker said on one channel without a pause; from ``finalize()``, what all said there.

    Attributes:
        words: The final words.
        ended_by: Why it ended: ``"silence"``; ``"forced"``, by the program; ``"speaker"``, because another
            one took over; ``"end"``, of the session. None while it is in progress.
        unsettled: The words that may still change, of an utterance in progress.

    Example:
        >>> words = (Word("Good", 0.2, 0.6, "Good"), Word("day", 0.6, 1.0, "day.", " "))
        >>> utterance = Utterance(words, "silence")
        >>> utterance.text, utterance.start_time, utterance.end_time
        ('Good day.', 0.2, 1.0)
    """

    words: tuple[Word, ...]
    ended_by: Optional[Ending] = None
    unsettled: tuple[Word, ...] = ()

    @property
    def partial(self) -> str:
        """The text that may still change."""
        return joined(self.unsettled)

    @property
    def _all(self) -> tuple[Word, ...]:
        return self.words + self.unsettled

    def _more(self) -> str:
        return f"ended by {self.ended_by}" if self.ended_by else f"perhaps going on with {self.partial!r}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is final, fit for JSON; what is not known is None."""
        return {**super().to_dict(), "ended_by": self.ended_by}


class Utterances:
    """Follow the messages of a session, and return each utterance when it has ended.

    Every final word is in exactly one utterance, in the order of its channel. A mark that comes after the
    utterance of its word has ended is dropped. For one thread at a time.

    Example:
        >>> utterances = Utterances()
        >>> for content in ("Good", "day"):
        ...     over = utterances.add({"message": "AddTranscript", "results": [
        ...         {"type": "word", "alternatives": [{"content": content, "speaker": "S1"}]}]})
        >>> [(one.text, one.ended_by) for one in utterances.add({"message": "EndOfUtterance"})]
        [('Good day', 'silence')]
    """

    def __init__(self, language_pack_info: Optional[Mapping[str, Any]] = None) -> None:
        self._delimiters = Delimiters()
        self._turns: dict[_Channel, _Turn] = {}
        self._delimiters.learn({"language_pack_info": language_pack_info})

    def add(self, message: Mapping[str, Any]) -> list[Utterance]:
        """Add a server message; return the utterances that it ends."""
        kind = message.get("message")
        if kind == "AddTranscript":
            return self._turn(channel_of(message)).add(message)
        if kind == "AddPartialTranscript":
            self._turn(channel_of(message)).hear(results_of(message))
        elif kind == "EndOfUtterance":
            return self._end(channel_of(message), "forced" if message.get("forced") is True else "silence")
        elif kind == "EndOfTranscript":
            return self.end()
        elif kind in ("RecognitionStarted", "LanguageInfo"):
            self._delimiters.learn(message)
        return []

    def end(self) -> list[Utterance]:
        """Return the utterances in progress, ended by the end of the session."""
        return self._end(None, "end")

    def spoken(self, channel: _Channel = None) -> Optional[Utterance]:
        """Return the utterance in progress on a channel, or None."""
        turn = self._turns.get(channel)
        return turn.spoken() if turn is not None else None

    def _turn(self, channel: _Channel) -> _Turn:
        turn = self._turns.get(channel)
        if turn is None:
            turn = self._turns[channel] = _Turn(self._delimiters, channel)
        return turn

    def _end(self, channel: _Channel, ending: Ending) -> list[Utterance]:
        """End the utterance of a channel, or of all if the server names none."""
        turns = [self._turns[channel]] if channel in self._turns else []
        ended = turns if channel is not None else list(self._turns.values())
        return [utterance for turn in ended for utterance in turn.end(ending)]


class _Turn:
    """One channel: the words of the utterance in progress."""

    def __init__(self, delimiters: Delimiters, channel: _Channel) -> None:
        self._delimiters = delimiters
        self._channel = channel
        self._joiner = Joiner(delimiters, channel)
        self._words: list[Word] = []
        self._begun = True  # no utterance was ended before this one
        self._partial: list[dict[str, Any]] = []
        self._void_before = 0.0  # seconds: what of the partial has become final since it came

    def hear(self, partial: list[dict[str, Any]]) -> None:
        """Take what was heard after the finals, and may still change."""
        self._partial, self._void_before = partial, 0.0

    def add(self, message: Mapping[str, Any]) -> list[Utterance]:
        over = []
        for result in _copied(results_of(message)):
            if not self._begun:
                if _sticks_to_the_word_before(result):
                    continue
                self._begun = True
            self._joiner.add(result)
            over += self._settle()
        self._void_before = times_of(message)[1]
        return over

    def _settle(self) -> list[Utterance]:
        """Add the words that can't change any more."""
        over = []
        for word in self._joiner.take_settled():
            over += self._before(word)
            self._words.append(word)
        for word in self._joiner.tail()[:1]:
            over += self._before(word)
        return over

    def _before(self, word: Word) -> list[Utterance]:
        """Return the utterance that a word ends because it is another speaker's, if it does."""
        if not self._words or self._words[-1].speaker == word.speaker:
            return []
        words, self._words = self._words, []
        return [Utterance(tuple(words), "speaker")]

    def end(self, ending: Ending) -> list[Utterance]:
        over = []
        for word in self._joiner.tail():
            over += self._before(word)
            self._words.append(word)
        if self._words:
            over.append(Utterance(tuple(self._words), ending))
            self._words, self._begun = [], False
        self._joiner = Joiner(self._delimiters, self._channel)
        return over

    def spoken(self) -> Optional[Utterance]:
        joiner = Joiner(self._delimiters, self._channel)
        rest = [result for result in self._partial if time_of(result.get("start_time")) >= self._void_before]
        lone = len(rest) < len(self._partial) or not self._begun  # the marks of a word that is not in there
        for result in rest:
            lone = lone and _sticks_to_the_word_before(result)
            if not lone:
                joiner.add(result)
        utterance = Utterance((*self._words, *self._joiner.tail()), None, tuple(joiner.words()))
        return utterance if utterance.words or utterance.unsettled else None


def _copied(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copy results: of the last one some is read later, when handlers may have changed their message."""
    _, form = pack(results)
    return marshal.loads(form) if isinstance(form, bytes) else form  # noqa: S302  # our own bytes


def _sticks_to_the_word_before(result: Mapping[str, Any]) -> bool:
    return result.get("type") == "punctuation" and result.get("attaches_to") not in ("next", "none")
