"""Does things late, in their order, if a fault wants that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .wire import Wire

__all__ = ["Delay"]


class Delay:
    """Does one thing after the other, at once or late. All calls belong to the wire's thread.

    Attributes:
        seconds: So late. What waits already stays as late as it was, and nothing overtakes it.
    """

    def __init__(self, wire: Wire) -> None:
        self.seconds = 0.0
        self._wire = wire
        self._waiting: deque[Callable[[], None]] = deque()
        self._count = 0

    def do(self, act: Callable[[], None]) -> None:
        """Do something, now or late."""
        if not self.seconds and not self._waiting:
            act()
            return
        self._waiting.append(act)
        self._count += 1
        # Each does the first that waits: timers of one moment may come in any order.
        self._wire.later(f"delay {self._count}", self.seconds, lambda: self._waiting.popleft()())
