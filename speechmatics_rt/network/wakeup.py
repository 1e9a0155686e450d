"""Ways to wait: for a wake-up, and in a wait list. Both can be woken without a lock; see also ``Latch``."""

from __future__ import annotations

import threading
import time
from typing import Any, Optional, Protocol

from ..threads import wait_on

__all__ = ["WakeUp", "WaitList", "Wakes"]


class Wakes(Protocol):
    """Something that can be woken."""

    def wake(self) -> None:
        """Wake it; takes no lock and never waits."""


class WakeUp:
    """Wakes one waiting thread. :meth:`wake` takes no lock, so a signal handler may call it at any moment."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                pass  # another thread has woken it, and once is enough

    def wait(self, seconds: float) -> None:
        wait_on(self._lock, seconds)


class WaitList:
    """Threads that wait for one thing, each with a ticket. The owner's lock guards the list.

    A thread takes a ticket under that lock, and waits for the ticket without it. This is not a Condition,
    which releases its lock inside a ``with`` block: Ctrl-C in its first or last instruction leaves the block
    without the lock, which the block then releases although another thread holds it.

    Attributes:
        tickets: Those that were not released yet.
    """

    __slots__ = ("tickets",)

    def __init__(self) -> None:
        self.tickets: list[Any] = []

    def add(self, ticket: Any) -> None:
        """Add a ticket of another kind; its ``release()`` is called like that of the others."""
        self.tickets.append(ticket)

    def ticket(self) -> threading.Lock:
        ticket = threading.Lock()
        ticket.acquire()
        self.tickets.append(ticket)
        return ticket

    @staticmethod
    def wait(ticket: threading.Lock, deadline: float = float("inf")) -> bool:
        """Wait for a ticket, or for a while; return False once the deadline (monotonic) has passed."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        wait_on(ticket, left)
        return True

    def give_back(self, ticket: Optional[threading.Lock]) -> None:
        """Remove a ticket, if there is one, that was not released."""
        if ticket is not None and ticket in self.tickets:
            self.tickets.remove(ticket)

    def call_all(self) -> None:
        """Release all tickets, without the lock, from a finaliser or a signal handler. None is removed."""
        for ticket in self.tickets.copy():
            try:
                ticket.release()
            except RuntimeError:
                pass  # it was released already

    def notify_all(self) -> None:
        # Each is released before it is removed: Ctrl-C in between releases it twice rather than never.
        while self.tickets:
            try:
                self.tickets[-1].release()
            except RuntimeError:
                pass  # it was released already, but not removed
            self.tickets.pop()
