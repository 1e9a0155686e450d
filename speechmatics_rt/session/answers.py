"""Who waits for an answer of the server that the delivering thread will come across."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..messages import channel_of
from ..network import Latch

__all__ = ["Answer", "Answers"]


class Answer:
    """The next message of a kind, for one who waits for it.

    Attributes:
        value: What was made of it, or None.
        given: Whether it came.
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
        """Whether it is that: of its channel, where both name one."""
        channel = channel_of(message)
        return message["message"] == self.kind and (
            not self.channel or not channel or channel == self.channel
        )

    def give(self, value: Any) -> None:
        self.value, self.given = value, True
        self.over.set()


class Answers:
    """All who wait, in one session. Any thread may expect an answer; the delivering one gives it.

    Without a lock: each change is one step of a list, and who gives goes over a copy.
    """

    def __init__(self) -> None:
        self.waiting: list[Answer] = []

    def expect(self, kind: str, channel: Optional[str] = None) -> Answer:
        """Return what is to be entered before the question is sent."""
        return Answer(self, kind, channel)

    def to(self, message: Mapping[str, Any]) -> list[Answer]:
        """Return those whose answer this is."""
        return [answer for answer in self.waiting.copy() if answer.fits(message)]

    def close(self) -> None:
        """Let all go: nothing more will come."""
        for answer in self.waiting.copy():
            answer.over.set()
