"""Decides when to ping, and when silence means that the connection is dead."""

from __future__ import annotations

import math
from typing import Optional

__all__ = ["Keepalive"]


class Keepalive:
    """The schedule of pings and the timeout for their answers. Pure: times are seconds of a monotonic clock.

    There are two reasons for pings: the service ends a session after 3 minutes without audio and pings, and
    a half-open TCP connection is silent for days. Any traffic after a ping counts as its answer, not the pong
    alone: a server that still sends transcripts is alive, and a missing pong must not cost its words.

    Args:
        interval: Seconds from one ping to the next; None never pings.
        timeout: Seconds of silence after a ping that mean the connection is lost; None waits for ever.
        now: The current time.

    Attributes:
        received_at: When something arrived last, whatever it was. Set by the owner, for each read.
    """

    __slots__ = ("_asked", "_interval", "_next", "_timeout", "received_at")

    def __init__(self, interval: Optional[float], timeout: Optional[float], now: float) -> None:
        self._interval = math.inf if interval is None else interval
        self._timeout = math.inf if timeout is None else timeout
        self._next = now + self._interval
        self._asked = -math.inf  # when the oldest ping since something arrived was queued
        self.received_at = now

    @property
    def wake_at(self) -> float:
        """When to call :meth:`ping_due` and :meth:`lost` again; infinity: never."""
        return min(self._next, self._overdue_at())

    def ping_due(self, now: float) -> bool:
        """Return whether to ping now; True counts as having pinged."""
        if now < self._next:
            return False
        self._next = now + self._interval
        if not self._is_waiting:
            self._asked = now
        return True

    def stand_still(self, now: float) -> None:
        """Restart the timeout, because this end was not reading."""
        if self._is_waiting:
            self._asked = now

    def lost(self, now: float) -> bool:
        return now >= self._overdue_at()

    def _overdue_at(self) -> float:
        return self._asked + self._timeout if self._is_waiting else math.inf

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing has arrived since a ping."""
        return self.received_at < self._asked
