"""A connection that is being made, and can be given up meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Optional

from .wakeup import WakeUp

__all__ = ["Opening"]


_present: ContextVar[Optional[Opening]] = ContextVar("speechmatics_rt_opening", default=None)


class Opening:
    """What :func:`dial` waits for, so that ``close()`` ends the wait; it takes no lock: for signal handlers.

    Attributes:
        given_up: Nobody wants it any more.
    """

    def __init__(self) -> None:
        self.given_up = False
        self._held: list[socket.socket] = []
        self._waits: list[Callable[[], object]] = []

    @staticmethod
    def present() -> Opening:
        """Return that for which this is called, or one that nobody gives up: see :meth:`around`."""
        return _present.get() or Opening()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Let it be found by what is called in the block, past a program's own code, and by its threads."""
        token = _present.set(self)
        try:
            yield
        finally:
            _present.reset(token)

    def hold(self, sock: socket.socket) -> None:
        """Have it shut when this is given up; who made it closes it."""
        self._held.append(sock)
        self._end_if_given_up()

    def wait(self, end: Callable[[], object]) -> None:
        """Have ``end()`` called when this is given up; it takes no lock."""
        self._waits.append(end)
        self._end_if_given_up()

    def pause(self, until: float) -> bool:
        """Wait until a moment (monotonic); False if this is given up."""
        wakeup = WakeUp()
        self.wait(wakeup.wake)
        while not self.given_up and time.monotonic() < until:
            wakeup.wait(until - time.monotonic())
        self._waits.remove(wakeup.wake)
        return not self.given_up

    def give_up(self) -> None:
        self.given_up = True  # first this: who holds or waits looks at it afterwards
        self._end_if_given_up()

    def _end_if_given_up(self) -> None:
        if not self.given_up:
            return
        for sock in list(self._held):
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of TLS the descriptor, see DuplexSocket.shut
            except OSError:
                pass  # not connected yet, where the system shuts no such one, or gone already
        for end in list(self._waits):
            end()

    def let_go(self) -> None:
        """Hold nothing any more: it is made, or has failed."""
        self._waits.clear()
        self._held.clear()
