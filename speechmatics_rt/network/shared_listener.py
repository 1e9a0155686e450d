"""The shared listener: one thread that runs the handlers of many sessions.

Most handlers are quick: waking a thread for them costs more than they do. So after the first sessions of a
process (see :mod:`.shared_reader`), one thread runs the handlers of all others, one session after another. A
session whose handlers are slow, or wait for something, gets a listener thread of its own for good. While such
a handler runs, a second thread, the standby, takes over the other sessions.

So a slow handler delays only its own session, except for the moment until it is found to be slow.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import Callable, Optional, Protocol

from ..exceptions import SessionError
from ..log import show_uncaught
from ..threads import begin, let_go, new_lock
from .wakeup import WakeUp

__all__ = ["Listens", "Place", "deliver_now", "postpone", "share"]

logger = logging.getLogger(__name__)

_STUCK = 0.1  # seconds in the handlers of one session, while others wait, after which the standby takes over
_SLOW = 0.02  # a session whose handlers take longer than so many seconds in one turn gets its own thread
_SLOW_IF_LATE = 0.001  # the same while others are late, as there is too much work for one thread
_LOOK = 0.1  # seconds between two checks by the standby


class Listens(Protocol):
    """Runs the handlers of one session."""

    def deliver(self) -> bool:
        """Deliver what has arrived, without waiting; False if the session is over and must be closed."""

    def __call__(self) -> None:
        """Deliver the rest on this thread, and close the session."""

    def start_alone(self) -> None:
        """Do the same on a thread of its own."""

    def abandon(self) -> None:
        """Close the session without waiting."""


class Place:
    """A session's place with the shared listener, which it gives up once it has a thread of its own.

    Attributes:
        waiting: Since when it has something to deliver; None if it has nothing.
        alone: Another thread delivers from here on. Differs from leaving ``guests``: the threads that wake
            the place read it without the lock, and it is True already while that thread is being started.
        stays: No thread could be started for it, so it stays here.
    """

    __slots__ = ("alone", "listener", "stays", "thread", "waiting")

    def __init__(self, listener: Listens, thread: _SharedListener) -> None:
        self.listener = listener
        self.thread = thread
        self.waiting: Optional[float] = None
        self.alone = self.stays = False

    def wake(self) -> None:
        """Have what has arrived delivered. Takes no lock and never waits."""
        if self.waiting is None and not self.alone:
            try:
                self.waiting = time.monotonic()
                self.thread.due.append(self)  # if two threads append it at once, that is harmless
                if threading.get_ident() not in _postponing:
                    self.thread.worker_wakeup.wake()
            except BaseException:  # Ctrl-C: it may not be in the queue, so it must not look as if it were
                self.waiting = None
                raise


def share(listener: Listens, tell: Callable[[Place], object]) -> None:
    """Have the shared listener deliver for a session, whenever its place is woken.

    Args:
        tell: Called with the place; arranges that it is woken.
    """
    global _shared  # noqa: PLW0603  # one per process is the point
    place: Optional[Place] = None
    try:
        with _lock:
            thread = _shared or _SharedListener()
            place = Place(listener, thread)
            thread.guests.add(place)
            _shared = thread  # last, so that Ctrl-C before it leaves no listener without guests
        place.thread.start()
        tell(place)
    except BaseException:  # no thread could be started, or Ctrl-C
        let_go(_lock)
        if place is not None:
            place.thread.leave(place)
        raise


def postpone(on: bool) -> None:
    """Set that this thread does not wake the listener for each message, but calls :func:`deliver_now`."""
    # Woken for each message, the listener would compete with this thread for the interpreter lock.
    (_postponing.add if on else _postponing.discard)(threading.get_ident())


def deliver_now() -> None:
    """Wake the shared listener if it has something to deliver."""
    shared = _shared
    if shared is not None and shared.due:
        shared.worker_wakeup.wake()


class _SharedListener:
    """Two threads, the worker that delivers and the standby, and the sessions they serve.

    ``_lock`` guards which thread has which role, and the guests.

    Attributes:
        due: Places with something to deliver, in the order of arrival.
        guests: The places that are served. Both threads end with the last one.
    """

    def __init__(self) -> None:
        self.due: deque[Place] = deque()
        self.guests: set[Place] = set()
        self.worker_wakeup = WakeUp()
        self._standby_wakeup = WakeUp()
        self._worker: Optional[int] = None
        self._standby: Optional[int] = None
        self._serving: Optional[Place] = None
        self._since = 0.0  # when that began
        self._served = self._seen = 0  # turns: in all, and at the last check
        self._watched = False  # the standby is going to check

    def start(self) -> None:
        """Start those of the two threads that do not run."""
        # A new thread takes the role that is free: after Ctrl-C inside Thread.start() it is unknown whether
        # one runs.
        for missing in (self._worker is None, self._standby is None):
            if missing:
                begin(threading.Thread(target=self._run, name="speechmatics-rt-listener-shared", daemon=True))

    def leave(self, place: Place) -> None:
        """Stop serving a session."""
        with _lock:
            self._dismiss(place)
        if not self.guests:
            self.worker_wakeup.wake()
            self._standby_wakeup.wake()

    def _dismiss(self, place: Place) -> None:
        """Stop serving a session; the lock is held."""
        global _shared  # noqa: PLW0603
        place.alone = True
        self.guests.discard(place)
        if not self.guests and _shared is self:
            _shared = None

    def forget(self) -> None:
        """In a forked child: if its one thread is the worker, in a handler, let it keep only that session."""
        self._worker = None
        self.guests.clear()

    def _run(self) -> None:
        me = threading.get_ident()
        try:
            with _lock:
                if self._worker is None:
                    self._worker = me
                elif self._standby is None:
                    self._standby = me
                else:
                    return
            if self._worker == me or self._stand_by(me):
                while self._serve(me):
                    pass
        finally:
            with _lock:
                self._worker = None if self._worker == me else self._worker
                self._standby = None if self._standby == me else self._standby
            self._standby_wakeup.wake()  # if this thread has died, the standby takes over
            if self.guests:
                self._complete()

    def _serve(self, me: int) -> bool:
        """Deliver for the next session; False once this thread is not the worker any more."""
        while not self.due:
            if not self.guests:
                return False
            self.worker_wakeup.wait(float("inf"))
        place = self.due.popleft()
        try:
            if place.alone or self._serve_one(place, me):
                return True
        except BaseException:  # out of memory: this thread ends, but every session keeps one
            if not self._has_turn(me):
                self.leave(place)
                place.listener()
            elif place.alone:  # it has another thread already
                self.leave(place)
            else:
                self._let_go(place, more=True)
            raise
        self.leave(place)
        place.listener()
        return False

    def _serve_one(self, place: Place, me: int) -> bool:
        """Deliver for one session; False if the standby took over, so that this thread now serves only it."""
        waited = place.waiting
        place.waiting = None  # first: what arrives from here on wakes the place again
        self._since = since = time.monotonic()
        self._serving = place
        self._served += 1
        if not self._watched:
            self._watched = True
            self._standby_wakeup.wake()
        more = place.listener.deliver()
        if not self._has_turn(me):  # the handlers took so long that the standby took over
            return False
        late = waited is not None and since - waited > _STUCK
        slow = time.monotonic() - since > (_SLOW_IF_LATE if late else _SLOW)
        if not more or (slow and not place.stays):
            self._let_go(place, more)
        return True

    def _has_turn(self, me: int) -> bool:
        """Note that this thread serves no session now; return whether it still is the worker."""
        with _lock:
            if self._worker != me:
                return False
            self._serving = None
            return True

    def _let_go(self, place: Place, more: bool) -> None:
        """Continue a session on a thread of its own, because it is slow or must be closed."""
        place.alone = True  # before that thread runs, as only one may deliver
        try:
            place.listener.start_alone()
        except (SessionError, MemoryError) as exc:
            if more:
                place.alone, place.stays = False, True
                place.waiting = None
                place.wake()  # for what has arrived meanwhile
                _warn(exc)
                return
            place.listener.abandon()
        self.leave(place)

    def _stand_by(self, me: int) -> bool:
        """Wait until the worker is stuck or has died, and become the worker; False if no guests are left."""
        seconds = float("inf")
        while True:
            self._standby_wakeup.wait(seconds)
            with _lock:
                if not self.guests:
                    return False
                serving, late = self._serving, time.monotonic() - self._since
                if self._worker is None or (serving is not None and self.due and late >= _STUCK):
                    self._worker, self._standby, self._serving = me, None, None
                    self._watched = False  # the next standby has yet to be woken
                    if serving is not None:
                        self._dismiss(serving)
                    break
                self._watched = False  # first, so that the next turn of the worker wakes this thread
                served = self._served
                self._watched = self._serving is not None or served != self._seen
                self._seen = served
                seconds = _LOOK if self._watched else float("inf")
        self._complete()  # with a new standby
        return True

    def _complete(self) -> None:
        """Start those of the two threads that do not run, if possible."""
        try:
            self.start()
        except SessionError as exc:
            _warn(exc)


def _warn(error: Exception) -> None:
    try:
        logger.warning("slow handlers may hold up those of other sessions: %s", str(error) or repr(error))
    except BaseException:  # noqa: BLE001  # of a program's log handlers; this thread serves many sessions
        show_uncaught()


_lock = new_lock()  # guards the roles, the guests and which listener is the shared one; held for nothing else
_shared: Optional[_SharedListener] = None
_postponing: set[int] = set()  # threads that call deliver_now() before they sleep


def _begin_anew() -> None:
    """Start from nothing in a forked child, since the threads are the parent's."""
    global _shared  # noqa: PLW0603
    if _shared is not None:
        _shared.forget()
    _shared = None
    _postponing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
