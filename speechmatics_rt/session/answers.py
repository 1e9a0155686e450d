"""Threads that wait for an answer of the server, which another thread delivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..locks import Latch
from ..messages import channel_of

__all__ = ["Answer", "Answers"]


class Answer:
    """The next message of a kind, for a thread that waits for it.

    Attributes:
        value: The answer, or what was made of it; None before.
        given: Whether it has come.
    """

    def __init__(self, answers: Answers, kind: str, channel: Optional[str]) -> None:
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

    def give(self, value: Any) -> None:
        self.value, self.given = value, True
        self.over.set()


class Answers:
    """All answers that are waited for in one session. Any thread may wait; the delivering one gives answers.

    There is no lock: each change is one atomic operation on a list, and iteration is over a copy.
    """

    def __init__(self) -> None:
        self.waiting: list[Answer] = []

    def expect(self, kind: str, channel: Optional[str] = None) -> Answer:
        """Return an answer, to be entered (``with``) before the question is sent."""
        return Answer(self, kind, channel)

    def to(self, message: Mapping[str, Any]) -> list[Answer]:
        """Return those that this message answers."""
        return [answer for answer in self.waiting.copy() if answer.fits(message)]

    def close(self) -> None:
        """Wake all that wait: no more answers will come."""
        for answer in self.waiting.copy():
            answer.over.set()
