"""Lets another thread give up a connection while it is being made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Optional, TypeVar

from ..link import Link
from ..wakeup import WakeUp

__all__ = ["Opening"]

_T = TypeVar("_T")

_present: ContextVar[Optional[Opening]] = ContextVar("speechmatics_rt_opening", default=None)


class Opening:
    """What :func:`dial` waits for, so that ``close()`` can end the wait, and ``request_stop()`` a pause.

    It takes no lock, so signal handlers may use it.

    Attributes:
        given_up: The connection is not wanted any more.
        hurried: There are no more pauses.
        made: The connection, for who must close it if Ctrl-C comes before anybody else has it.
    """

    def __init__(self) -> None:
        self.given_up = self.hurried = False
        self.made: Optional[Link] = None
        self._held: list[socket.socket] = []
        self._waits: list[Callable[[], object]] = []
        self._pauses: list[WakeUp] = []

    @staticmethod
    def present() -> Opening:
        """Return the opening around whose call, see :meth:`around`, the caller is; or else a new one."""
        return _present.get() or Opening()

    def around(self, call: Callable[[], _T]) -> _T:
        """Make a call for which, and for threads that get its context, this is :meth:`present`."""
        token = _present.set(self)
        try:
            return call()
        finally:
            _present.reset(token)

    def hold(self, sock: socket.socket) -> None:
        """Shut the socket when this is given up; the code that made it closes it."""
        self._held.append(sock)
        self._end_if_given_up()

    def wait(self, end: Callable[[], object]) -> None:
        """Call ``end()``, which must take no lock, when this is given up."""
        self._waits.append(end)
        self._end_if_given_up()

    def pause(self, until: float) -> bool:
        """Wait until a moment (monotonic), or until :meth:`hurry`; return False if this is given up."""
        wakeup = WakeUp()
        self._pauses.append(wakeup)  # before the check: hurry() does both in the opposite order
        self.wait(wakeup.wake)
        while not (self.given_up or self.hurried) and time.monotonic() < until:
            wakeup.wait(until - time.monotonic())
        self._pauses.remove(wakeup)
        with suppress(ValueError):  # let_go() has forgotten it already
            self._waits.remove(wakeup.wake)
        return not self.given_up

    def hurry(self) -> None:
        """End the pause that is made, and let no other begin."""
        self.hurried = True
        for wakeup in list(self._pauses):
            wakeup.wake()

    def give_up(self) -> None:
        self.given_up = True  # first, since hold() and wait() check it after they add to the lists
        self._end_if_given_up()

    def _end_if_given_up(self) -> None:
        if not self.given_up:
            return
        for sock in list(self._held):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already, or not connected yet on a system that does not allow it then
        for end in list(self._waits):
            end()

    def let_go(self) -> None:
        """Forget all sockets and waits, since the connection is made or has failed."""
        self._waits.clear()
        self._held.clear()
