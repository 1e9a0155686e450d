"""Who reads a connection whose messages are delivered by a thread of ours: that thread, as long as it can.

It reads, and runs the handlers of what it has read, so that no message changes threads. Handlers that take
long, or wait for what only reading brings, are left to it: a reader comes in beside it, and stays.
"""

from __future__ import annotations

import threading
import time
from typing import Optional

from .monitor import Monitor

__all__ = ["Lead"]

_LONG = 0.5  # seconds in handlers without a read
_BEHIND = 2.0  # seconds in which there was always something to read
_LOOK = 0.5  # seconds between two looks at that


class Lead:
    """Whether the thread that delivers also reads. Guarded by the monitor's lock, held where it says so.

    What is late by ``_LONG`` or ``_BEHIND`` waits in the kernel, and the window and the pings bridge it.

    Attributes:
        thread: Which one reads and delivers, or None.
        wanted: Somebody waits for what only reading brings. Set without the lock.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self.thread: Optional[int] = None
        self.wanted = False
        self._delivering: Optional[float] = None  # since when it is with its handlers; None: it reads
        self._behind: Optional[float] = None  # since when it found something to read whenever it came
        self._watched = False  # the writer is going to look
        self._batches = self._seen = 0  # delivered; until the last look

    @property
    def is_mine(self) -> bool:
        """Whether the thread that asks is the one."""
        return self.thread == threading.get_ident()

    def begin(self) -> None:
        """Note that this thread reads from here on, and will deliver."""
        self.thread = threading.get_ident()

    def end(self) -> None:
        """Note that there is nothing more to read."""
        self.thread = None

    def deliver(self) -> None:
        """Note that this thread goes to the handlers, if it is the one; the lock is held."""
        if self.thread != threading.get_ident():
            return
        now = time.monotonic()
        self._delivering = now
        self._behind = self._behind or now
        self._batches += 1
        if not self._watched:
            self._watched = True
            self._monitor.writer.wake()

    def read(self) -> bool:
        """Tell whether this thread is to read now, and note that it does; the lock is held."""
        if self.thread != threading.get_ident():
            return False
        self._delivering = None
        self.wanted = False
        return True

    def idle(self) -> None:
        """Note that it has read all there is; without the lock."""
        self._behind = None
        self._monitor.notify_from_reader()

    def hand_over(self) -> bool:
        """Let the thread that asks read from here on, if the one is with its handlers; the lock is held."""
        if self.thread is None or self._delivering is None:
            return False
        self.thread = None
        return True

    def look(self, now: float) -> tuple[bool, float]:
        """Tell whether somebody else should read, and in how many seconds to look again; the lock is held."""
        if self.thread is None:
            return False, float("inf")
        since, behind = self._delivering, self._behind or now
        if since is not None:
            if self.wanted or now - since >= _LONG or now - behind >= _BEHIND:
                return True, _LOOK
        elif self._batches == self._seen:  # a quiet session is not looked at; it says when it speaks again
            self._watched = False
            return False, float("inf")
        self._seen = self._batches
        return False, _LOOK
