"""Ways to wait: for a wake-up from anywhere, for a door, for a call."""

from __future__ import annotations

import threading
import time
from typing import Any, Optional, Protocol

from ..locks import Latch, wait_on

__all__ = ["WakeUp", "Latch", "WaitList", "Wakes"]


class Wakes(Protocol):
    """Who is told that something has happened."""

    def wake(self) -> None:
        """Take no lock, and wait for nothing."""


class WakeUp:
    """Wake one sleeping thread. :meth:`wake` takes no lock, so a signal handler may call it at any moment."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                pass  # somebody else was quicker; once is enough

    def wait(self, seconds: float) -> None:
        wait_on(self._lock, seconds)


class WaitList:
    """Threads that wait for one thing. The owner's lock guards it; a ticket is waited for without that lock.

    Not a Condition: that one lets the lock go inside a ``with`` block, and Ctrl-C in its first or last
    instruction leaves the block without it, which then releases a lock that another thread holds.
    """

    __slots__ = ("_tickets",)

    def __init__(self) -> None:
        self._tickets: list[Any] = []

    def add(self, ticket: Any) -> None:
        """Have ``ticket.release()`` called in its turn, for who waits elsewhere."""
        self._tickets.append(ticket)

    def __bool__(self) -> bool:
        return bool(self._tickets)

    def ticket(self) -> threading.Lock:
        ticket = threading.Lock()
        ticket.acquire()
        self._tickets.append(ticket)
        return ticket

    @staticmethod
    def wait(ticket: threading.Lock, deadline: float = float("inf")) -> bool:
        """Wait to be called, or a while; False once the deadline (monotonic) has passed."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        wait_on(ticket, left)
        return True

    def give_back(self, ticket: Optional[threading.Lock]) -> None:
        """Take back a ticket that was not called, if there is one."""
        if ticket is not None and ticket in self._tickets:
            self._tickets.remove(ticket)

    def call_all(self) -> None:
        """Wake who waits, without the lock: from a finaliser or a signal handler. Nothing is dropped."""
        for ticket in self._tickets.copy():
            try:
                ticket.release()
            except RuntimeError:
                pass  # it was called

    def notify_all(self) -> None:
        # Each is called before it is dropped: Ctrl-C in between calls it twice rather than never.
        while self._tickets:
            try:
                self._tickets[-1].release()
            except RuntimeError:
                pass  # it was called, and only not dropped
            self._tickets.pop()
