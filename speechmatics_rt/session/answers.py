"""Answers of the service that a thread waits for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Optional

from ..exceptions import NotRunningError, SessionError, TimeoutError
from ..threads import Latch
from .ending import SessionEnding

__all__ = ["Answer", "Answers", "waits_for_itself"]


class Answer:
    """The answer to a question, for a thread that waits for it; to be entered before the question is sent.

    Attributes:
        question: The message that asks.
        value: The answer, or what was made of it; None before.
        given: Whether it has come.
    """

    def __init__(self, answers: Answers, question: Mapping[str, Any]) -> None:
        self._answers = answers
        self.question = question
        self.value: Any = None
        self.given = False
        self.over = Latch()  # given, or the session has ended
        self._unclaimed = [True]  # emptied by whoever is to give it, or waits no longer

    def __enter__(self) -> Answer:
        self._answers.waiting.append(self)
        if self._answers.closed:
            self.over.set()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *_: object) -> None:
        try:
            if not self.claim() and kind is None:
                self.over.wait()  # who has claimed it gives it at once; after Ctrl-C there the session's end
        finally:
            self._answers.waiting.remove(self)

    def claim(self) -> bool:
        """Whether this caller is to give it, if somebody still waits for it: True once."""
        try:
            self._unclaimed.pop()
        except IndexError:
            return False
        return True

    def give(self, value: Any) -> None:
        """Give the message that is the answer, or what is made of it."""
        self.value, self.given = value, True
        self.over.set()

    def result(self, timeout: Optional[float], ending: SessionEnding) -> Any:
        """Return the value, or raise the reason why it did not come."""
        if self.given:
            return self.value
        if not self.over.is_set():
            text = f"the service did not answer {self.question['message']} within {timeout:g} s"
            raise ending.annotate(TimeoutError(text, stage="answer", seconds=timeout))
        if ending.failure is not None:
            raise ending.annotate(copy.copy(ending.failure)) from ending.failure.__cause__
        text = f"the session ended before {self.question['message']} was answered"
        raise ending.annotate(NotRunningError(text))


class Answers:
    """All answers that are waited for in one session. Any thread may wait; the delivering one gives answers.

    There is no lock: each change is one atomic operation on a list, and iteration is over a copy.

    Attributes:
        waiting: Those that are waited for, in the order of their questions.
        closed: No more will come.
    """

    def __init__(self) -> None:
        self.waiting: list[Answer] = []
        self.closed = False

    def to(self, kind: str) -> list[Answer]:
        """Return those to questions of a kind, in order."""
        return [answer for answer in self.waiting.copy() if answer.question["message"] == kind]

    def close(self) -> None:
        """Wake all that wait, or will: no more answers will come."""
        self.closed = True  # first, since an answer is added to the list before it looks
        for answer in self.waiting.copy():
            answer.over.set()


def waits_for_itself(message: Mapping[str, Any]) -> SessionError:
    """Return the error for a question of code that holds up the delivery of its answer."""
    return SessionError(
        f"a handler, or the loop over the messages, can't wait for the answer to {message['message']}: "
        f"what would deliver it waits for this code; call {_UNAWAITED[message['message']]} instead, and "
        "handle the answer as a message"
    )


_UNAWAITED = {"ForceEndOfUtterance": "force_end_of_utterance()", "GetSpeakers": "get_speakers(wait=False)"}
