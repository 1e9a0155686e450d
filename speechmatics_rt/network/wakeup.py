"""Ways to wait: for a wake-up from anywhere, for a door, for a call."""

from __future__ import annotations

import os
import threading
import time
from typing import Optional

__all__ = ["WakeUp", "Latch", "WaitList"]

_LONGEST_WAIT = 3600.0  # nobody waits for this: without any timeout a wait overflows, or hides Ctrl-C
_CTRL_C = 0.5 if os.name == "nt" else _LONGEST_WAIT  # on Windows a waiting lock is deaf to Ctrl-C


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
        self._lock.acquire(timeout=max(0.0, min(seconds, _LONGEST_WAIT)))


class Latch:
    """Hold up all who wait until it is opened, for good. :meth:`set` takes no lock, so finalisers may."""

    __slots__ = ("_door", "_open")

    def __init__(self) -> None:
        self._open = False
        self._door = threading.Lock()
        self._door.acquire()

    def is_set(self) -> bool:
        return self._open

    def set(self) -> None:
        self._open = True
        self._through()

    def wait(self, seconds: float) -> bool:
        if not self._open and self._door.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX))):
            self._through()  # the next one
        return self._open

    def _through(self) -> None:
        try:
            self._door.release()
        except RuntimeError:
            pass  # somebody else has opened it in between


class WaitList:
    """Threads that wait for one thing. The owner's lock guards it; a ticket is waited for without that lock.

    Not a Condition: that one lets the lock go inside a ``with`` block, and Ctrl-C in its first or last
    instruction leaves the block without it, which then releases a lock that another thread holds.
    """

    __slots__ = ("_tickets",)

    def __init__(self) -> None:
        self._tickets: list[threading.Lock] = []

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
        ticket.acquire(timeout=min(left, _CTRL_C))
        return True

    def give_back(self, ticket: Optional[threading.Lock]) -> None:
        """Take back a ticket that was not called, if there is one."""
        if ticket is not None and ticket in self._tickets:
            self._tickets.remove(ticket)

    def notify_all(self) -> None:
        tickets, self._tickets = self._tickets, []
        for ticket in tickets:
            ticket.release()
