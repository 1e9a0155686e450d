"""The code that a session's next message waits for: the handlers of one, and the body of a program's loop.

Whoever waits there for later messages waits for itself; so does a task that was begun there, if that code
awaits it.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from contextvars import ContextVar
from typing import Any, Optional

from ..session import Call, Delivery, Holder

__all__ = ["PATIENCE", "Round", "rounds_here", "rounds_of", "within"]

PATIENCE = 0.5  # seconds for a handler, or the body of a loop, to end before what it has begun

_rounds: ContextVar[tuple[Round, ...]] = ContextVar("speechmatics_rt_rounds", default=())


class Round:
    """One round of a loop over messages: the handlers of one, or what a program does until it asks again.

    It is known in the :mod:`contextvars` context in which it begins, and which the tasks get that are begun
    there. It may be within another one, also of another client.

    Args:
        task: The one in which it begins, if that is known.
        entered: It begins before the first message is asked for, perhaps by another task.

    Attributes:
        delivery: That of the session; None until the session is open.
        opening: What opens the session; None before and afterwards, since it keeps that alive.
    """

    __slots__ = ("_ended", "_over", "_task", "delivery", "entered", "opening")

    def __init__(
        self,
        delivery: Optional[Delivery] = None,
        task: Optional[asyncio.Future[Any]] = None,
        *,
        entered: bool = False,
    ) -> None:
        self.delivery = delivery
        self.entered = entered
        self.opening: Optional[Call] = None
        self._over = False
        self._ended: Optional[asyncio.Future[None]] = None  # for those who wait for it
        if task is None:
            try:
                task = asyncio.current_task()
            except RuntimeError:
                pass  # no loop runs yet
        # Weakly, since the context in which this is known is the task's.
        self._task = (lambda: None) if task is None else weakref.ref(task)
        around = _rounds.get()
        if not around or (len(around) == 1 and around[0]._over):  # as mostly, the one before
            _rounds.set((self,))
        else:
            _rounds.set((*[one for one in around if not one.over], self))

    @property
    def over(self) -> bool:
        """Whether the next message waits for it no more."""
        return self._over or (self.delivery is not None and self.delivery.over.is_set())

    def is_of(self, delivery: Delivery) -> bool:
        """Whether it is a round of this session."""
        session = None if self.opening is None else self.opening.session
        return self.delivery is delivery or (session is not None and session.delivery is delivery)

    @property
    def is_mine(self) -> bool:
        """Whether it is the current task that began it."""
        return self._task() is asyncio.current_task()

    @property
    def is_left(self) -> bool:
        """Whether the task that began it has ended, one of a task for each message: anybody may ask next."""
        task = self._task()
        return not self.over and (task is None or task.done())

    def end(self) -> None:
        self._over = True
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def ends_within(self, seconds: float) -> bool:
        """Wait for its end for some seconds at most; return whether it has come."""
        if self.over:
            return True
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._ended], timeout=seconds)
        return self.over


def rounds_of(delivery: Delivery) -> list[Round]:
    """Return the rounds of a session in which this code is, or was begun, and which are not over."""
    return [one for one in _rounds.get() if one.is_of(delivery) and not one.over]


def rounds_here() -> Holder:
    """Return what holds up those sessions in whose rounds this code is, or was begun, while these go on."""
    rounds = _rounds.get()
    return lambda delivery: any(one.is_of(delivery) and not one.over for one in rounds)


async def within(delivery: Delivery, patience: float) -> bool:
    """Whether this code is in a round of a session, so that it must not wait for what comes after that.

    Of a task that was begun in a round nobody can tell whether that awaits it, or ends before it; nor of a
    stream that was entered whether another task is about to ask for its first message. So the end of the
    round is waited for, for ``patience`` seconds at most.
    """
    rounds = rounds_of(delivery)
    if any(one.is_mine and not one.entered for one in rounds):
        return True
    deadline = time.monotonic() + patience
    for one in rounds:
        if not await one.ends_within(max(0.0, deadline - time.monotonic())):
            return True
    return False
