"""Decides when to ping, and when silence means that the connection is dead."""

from __future__ import annotations

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
        self._interval = interval
        self._timeout = timeout
        self._next = None if interval is None else now + interval
        self._asked: Optional[float] = None  # when the oldest ping since something arrived was queued
        self.received_at = now

    @property
    def wake_at(self) -> Optional[float]:
        """When to call :meth:`ping_due` and :meth:`lost` again."""
        overdue = self._overdue_at()
        if overdue is None or self._next is None:
            return overdue if self._next is None else self._next
        return min(self._next, overdue)

    def ping_due(self, now: float) -> bool:
        """Return whether to ping now; True counts as having pinged."""
        if self._next is None or self._interval is None or now < self._next:
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
        overdue = self._overdue_at()
        return overdue is not None and now >= overdue

    def _overdue_at(self) -> Optional[float]:
        if self._asked is None or self._timeout is None or not self._is_waiting:
            return None
        return self._asked + self._timeout

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing has arrived since a ping."""
        return self._asked is not None and self.received_at < self._asked
