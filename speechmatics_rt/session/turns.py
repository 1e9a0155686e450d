"""What messages bring about besides their handlers: utterances that end, and answers that are waited for."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from ..events import EventEmitter
from ..exceptions import TimeoutError
from ..log import SessionLog
from ..messages import channel_of
from ..transcript import Transcript, Utterance, Utterances
from .answers import Answer, Answers
from .ending import SessionEnding
from .forced import ForcedEnd, ForcedEnds, Place

__all__ = ["Said", "Turns"]

_TURNS = frozenset(
    {
        "AddTranscript",
        "EndOfUtterance",
        "EndOfTranscript",
        "RecognitionStarted",
        "LanguageInfo",
        "SpeakersResult",
    }
)


class Turns:
    """The utterances of a session, and the answers that threads wait for. The delivering thread adds to it.

    It gets each message before handlers do, which may change it. Utterances are followed once for all: for
    handlers, and for an iterator. ``finalize()`` reads the transcript instead, so that no message is decoded,
    and no word kept, for a call that may never come.

    Args:
        transcript: The transcript, which has got each message already.
        client: Returns the client; once it has a handler for ``Utterance``, utterances are followed.

    Attributes:
        transcript: The transcript.
        answers: The answers.
        ended: Utterances that have ended, and whose handlers have not run yet.
        forced: The ends that were asked for.
        kinds: The messages to be added: those that may begin, end or change an utterance, or be an answer.
    """

    def __init__(self, transcript: Transcript, client: Callable[[], Optional[EventEmitter]]) -> None:
        self.answers = Answers()
        self.ended: deque[Utterance] = deque()
        self.transcript = transcript
        self.forced = ForcedEnds()
        self.kinds = _TURNS
        self._client = client
        self._utterances: Optional[Utterances] = None
        self._due: Optional[deque[Utterance]] = None  # of an iterator
        self._shown: dict[Optional[str], Utterance] = {}  # on each channel, the last one in progress

    def follow(self, *, partials: bool) -> deque[Utterance]:
        """Return where an iterator finds what it is to return next, from this message on.

        Args:
            partials: It gets the utterance in progress, too, each time it changes.
        """
        if partials:
            self.kinds = _TURNS | {"AddPartialTranscript"}
        self._due = deque()
        return self._due

    def add(self, message: Mapping[str, Any]) -> None:
        """Give a message, one of ``kinds``, to those who wait for it, and update the utterances."""
        kind = message["message"]
        if kind == "EndOfUtterance":
            self._end(message)
        elif kind == "SpeakersResult":
            for answer in self.answers.to("GetSpeakers"):
                answer.give(copy.deepcopy(message))
        if self._utterances is None:
            client = self._client()
            if self._due is None and (client is None or not client._hears("Utterance")):
                return
            self._utterances = Utterances(self.transcript.language_pack_info)
        self._add_ended(self._utterances.add(message))
        if kind == "AddPartialTranscript" and self._due is not None:
            channel = channel_of(message)
            spoken = self._utterances.spoken(channel)
            if spoken is not None and spoken != self._shown.get(channel):
                self._shown[channel] = spoken
                self._due.append(spoken)

    def _add_ended(self, utterances: list[Utterance]) -> None:
        client = self._client()
        if client is not None and client._hears("Utterance"):
            self.ended += utterances
        if self._due is not None:
            self._due += utterances

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of utterances that have ended, each once."""
        while self.ended:
            yield {"message": "Utterance", **self.ended.popleft().to_dict()}

    def end(self) -> None:
        """End the utterances in progress: no more messages will come."""
        if self._utterances is not None:
            self._add_ended(self._utterances.end())

    # -- forced ends -----------------------------------------------------------------------------------

    def force(self, question: Mapping[str, Any], places: Mapping[Optional[str], Place]) -> ForcedEnd:
        """Note that an utterance is about to be ended by a message, at a place on each channel."""
        answers = self.answers.to("ForceEndOfUtterance")
        waiting = [one for one in answers if isinstance(one, Said) and one.question is question]
        forced = self.forced.ask(question, places, returned=bool(waiting))
        for answer in waiting:
            answer.forced = forced
        return forced

    def _end(self, message: Mapping[str, Any]) -> None:
        forced, channel = self.forced.answered(message), channel_of(message)
        if forced is None or not forced.returned:
            self._ended(channel, forced=forced is not None)
            return
        said = self.said(forced, channel)
        if said is None and forced.places:
            return  # another channel may have it
        answers = self.answers.to("ForceEndOfUtterance")
        answer = next((one for one in answers if one.question is forced.question and one.claim()), None)
        if answer is None:  # its wait has ended
            self.forced.leave(forced, channel)
            return
        try:
            self._ended(channel if said is None else said.channel, forced=True)
        finally:  # last, since the next call may come at once
            answer.give(said)

    def said(self, forced: ForcedEnd, channel: Optional[str] = None) -> Optional[Utterance]:
        """Return what a forced end has ended on a channel; without it, on that which spoke last."""
        words = self.transcript._said_since(forced.since, channel or forced.channel)
        return Utterance(tuple(words), "forced") if words else None

    def said_unanswered(self, forced: ForcedEnd, error: TimeoutError) -> Optional[Utterance]:
        """Return the same without an answer, which may not come if no words are left; else raise."""
        if self.transcript.partial or not forced.is_reached(self.transcript.end_times):
            raise error
        said = self.said(forced)
        self._ended(forced.channel if said is None else said.channel, forced=True)  # for its late answer, too
        return said

    def _ended(self, channel: Optional[str], *, forced: bool) -> None:
        """Note that an utterance has ended where the finals of its channel, or of all, do."""
        reached = self.transcript.end_times
        self.forced.end(
            {label: end for label, end in reached.items() if channel in (None, label)}, forced=forced
        )


class Said(Answer):
    """What was said before a forced end."""

    def __init__(self, turns: Turns, question: Mapping[str, Any], log: SessionLog) -> None:
        super().__init__(turns.answers, question)
        self.forced: Optional[ForcedEnd] = None  # once it is asked for
        self._turns = turns
        self._log = log

    def result(self, timeout: Optional[float], ending: SessionEnding) -> Optional[Utterance]:
        """Return the utterance, even if the service does not answer because no words were left."""
        try:
            said: Optional[Utterance] = super().result(timeout, ending)
        except TimeoutError as exc:
            if self.forced is None:
                raise
            said = self._turns.said_unanswered(self.forced, exc)
        if said is not None and self.forced is not None:
            self._warn(said, self.forced.since.get(said.channel, 0.0))
        return said

    def _warn(self, said: Utterance, since: float) -> None:
        transcript = self._turns.transcript
        if not transcript._keeps_since(since, said.channel):
            self._log.warning(
                "finalize() returns only what was said from %.1f s on: keep_transcript=%g keeps no more",
                said.start_time,
                transcript.keep,
            )
