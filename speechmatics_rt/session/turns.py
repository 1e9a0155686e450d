"""What messages bring about besides their handlers: utterances that end, and answers that are waited for."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from ..events import EventEmitter
from ..exceptions import NotRunningError, SessionError, TimeoutError
from ..messages import answers_forced_end, channel_of, times_of
from ..threads import Latch
from ..transcript import Ending, Pauses, Transcript, Utterance, Utterances
from .ending import SessionEnding

__all__ = ["TURNS", "Answer", "Answers", "ForcedEnd", "Turns", "waits_for_itself"]

# Messages that may end an utterance, or be an answer.
TURNS = {"AddTranscript", "EndOfUtterance", "EndOfTranscript", "LanguageInfo", "SpeakersResult"}


class Answer:
    """The next message of a kind, for a thread that waits for it; to be entered before the question is sent.

    Attributes:
        value: The answer, or what was made of it; None before.
        given: Whether it has come.
    """

    def __init__(self, answers: Answers, kind: str, channel: Optional[str] = None) -> None:
        self._answers = answers
        self.kind = kind
        self.channel = channel
        self.value: Any = None
        self.given = False
        self.over = Latch()  # given, or the session has ended

    def __enter__(self) -> Answer:
        self._answers.waiting.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in self._answers.waiting:
            self._answers.waiting.remove(self)

    def fits(self, message: Mapping[str, Any]) -> bool:
        """Whether a message is the answer: of the same channel, if both name one."""
        channel = channel_of(message)
        return message["message"] == self.kind and (
            not self.channel or not channel or channel == self.channel
        )

    def value_of(self, message: Mapping[str, Any]) -> Any:
        """Return what is given to who waits."""
        return message

    def give(self, message: Mapping[str, Any]) -> None:
        """Give the message that is the answer, or what is made of it."""
        self.value, self.given = self.value_of(message), True
        self.over.set()

    def result(self, message: Mapping[str, Any], timeout: Optional[float], ending: SessionEnding) -> Any:
        """Return the value, or raise the reason why the answer to ``message`` did not come."""
        if self.given:
            return self.value
        if not self.over.is_set():
            text = f"the service did not answer {message['message']} within {timeout:g} s"
            raise ending.annotate(TimeoutError(text, stage="answer", seconds=timeout))
        if ending.failure is not None:
            raise ending.annotate(copy.copy(ending.failure)) from ending.failure.__cause__
        text = f"the session ended before {message['message']} was answered"
        raise ending.annotate(NotRunningError(text))


class Answers:
    """All answers that are waited for in one session. Any thread may wait; the delivering one gives answers.

    There is no lock: each change is one atomic operation on a list, and iteration is over a copy.
    """

    def __init__(self) -> None:
        self.waiting: list[Answer] = []

    def to(self, message: Mapping[str, Any]) -> list[Answer]:
        """Return those that this message answers."""
        return [answer for answer in self.waiting.copy() if answer.fits(message)]

    def close(self) -> None:
        """Wake all that wait: no more answers will come."""
        for answer in self.waiting.copy():
            answer.over.set()


def waits_for_itself(message: Mapping[str, Any]) -> SessionError:
    """Return the error for a question of the thread that would deliver its answer."""
    return SessionError(
        f"a handler, or the loop over the messages, can't wait for the answer to {message['message']}: "
        f"the same thread delivers it; call {_UNAWAITED[message['message']]} instead, and handle the answer "
        "as a message"
    )


_UNAWAITED = {"ForceEndOfUtterance": "force_end_of_utterance()", "GetSpeakers": "get_speakers(wait=False)"}


class ForcedEnd(Answer):
    """The forced end of an utterance. Its value is what was said since the last one had ended.

    That is the last one before the question: what a silence ends between question and answer belongs to the
    value, since nobody who waits for it has got it otherwise.

    Args:
        message: The question.
        place: Where the utterance is to end, in seconds of audio.
    """

    def __init__(self, turns: Turns, message: Mapping[str, Any], place: float) -> None:
        super().__init__(turns.answers, "EndOfUtterance", message.get("channel"))
        self._turns = turns
        self._place = place
        self._pauses = turns.pauses.copy()

    def fits(self, message: Mapping[str, Any]) -> bool:
        return super().fits(message) and answers_forced_end(message, times_of(message)[1], self._place)

    def value_of(self, message: Mapping[str, Any]) -> Optional[Utterance]:
        return self._said(self._pauses, "forced" if message.get("forced") is True else "silence")

    def unanswered(self, error: TimeoutError) -> Optional[Utterance]:
        """Return the value all the same, as a server may not answer if no words are left; else raise."""
        left = self._turns.transcript.partial or self._said(self._turns.pauses, "forced")
        if left or error.stage != "answer":
            raise error
        return self._said(self._pauses, "silence")

    def _said(self, pauses: Pauses, ending: Ending) -> Optional[Utterance]:
        return pauses.last(self._turns.transcript, ending, self.channel)


class Turns:
    """The utterances of a session, and the answers that threads wait for. The delivering thread adds to it.

    Args:
        transcript: The transcript, which has got each message already.
        client: Returns the client; once it has a handler for ``Utterance``, utterances are followed.

    Attributes:
        transcript: The transcript.
        answers: The answers.
        ended: Utterances that have ended, and whose handlers have not run yet.
        pauses: Where utterances have ended.
    """

    def __init__(self, transcript: Transcript, client: Callable[[], Optional[EventEmitter]]) -> None:
        self.answers = Answers()
        self.ended: deque[Utterance] = deque()
        self.transcript = transcript
        self.pauses = Pauses()
        self._client = client
        self._utterances: Optional[Utterances] = None

    def add(self, message: Mapping[str, Any]) -> None:
        """Give a message, one of ``TURNS``, to those who wait for it, and update the utterances."""
        for answer in self.answers.to(message) if self.answers.waiting else ():
            answer.give(message)
        if message["message"] == "EndOfUtterance":
            self.pauses.end(message)
        if self._utterances is None:
            client = self._client()
            if client is None or not client._hears("Utterance"):
                return
            self._utterances = Utterances(self.transcript.language_pack_info)
        self.ended += self._utterances.add(message)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of utterances that have ended, each once."""
        while self.ended:
            yield {"message": "Utterance", **self.ended.popleft().to_dict()}

    def end(self) -> None:
        """End the utterances in progress: no more messages will come."""
        if self._utterances is not None:
            self.ended += self._utterances.end()
