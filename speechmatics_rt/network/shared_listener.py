"""One thread that delivers for many sessions, where a thread for each would be too many.

Handlers are quick as a rule: what they do is less than what it takes to wake a thread for them. So beyond the
first sessions of a process (see :mod:`.shared_reader`) all others have their handlers run by one thread, one
session after the other. Whose handlers are not quick, or wait for something, gets a thread of its own, for
good; and while one is at it, a second thread, which stands by, goes on with the others.

So a handler that is slow slows only its own session, but for the moment that it takes to see that it is.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import Callable, Optional, Protocol

from ..deadline import begin
from ..exceptions import SessionError
from ..locks import let_go, new_lock
from ..log import show_uncaught
from .wakeup import WakeUp

__all__ = ["Listens", "Place", "deliver_now", "postpone", "share"]

logger = logging.getLogger(__name__)

_STUCK = 0.1  # seconds in one session's handlers, while others wait
_SLOW = 0.02  # seconds for what had arrived for a session, from which on it is to have a thread
_SLOW_IF_LATE = 0.001  # the same, while others are late: some sessions are too much work for one thread
_LOOK = 0.1  # seconds between two looks at that


class Listens(Protocol):
    """Who runs the handlers of one session."""

    def deliver(self) -> bool:
        """Deliver what has arrived, without waiting; False if the session is over, and is to be closed."""

    def __call__(self) -> None:
        """Deliver the rest, and close the session, on this thread."""

    def start_alone(self) -> None:
        """Do that on a thread of its own."""

    def abandon(self) -> None:
        """Close the session without waiting."""


class Place:
    """A session's place with the shared thread, which it gives up once it has one of its own.

    Attributes:
        waiting: Since when it has something to deliver; None: it has nothing.
        alone: Another thread delivers from here on. Not the same as to be no guest: it is asked without the
            lock by who wakes it, and true already while that thread is begun.
        stays: No thread was to be had for it.
    """

    __slots__ = ("alone", "listener", "stays", "thread", "waiting")

    def __init__(self, listener: Listens, thread: _SharedListener) -> None:
        self.listener = listener
        self.thread = thread
        self.waiting: Optional[float] = None
        self.alone = self.stays = False

    def wake(self) -> None:
        """Have it delivered what has arrived. Takes no lock and waits for nothing."""
        if self.waiting is None and not self.alone:
            try:
                self.waiting = time.monotonic()
                self.thread.due.append(self)  # twice, by two threads at once, does no harm
                if threading.get_ident() not in _postponing:
                    self.thread.worker_wakeup.wake()
            except BaseException:  # Ctrl-C: nobody may believe that it is in the queue
                self.waiting = None
                raise


def share(listener: Listens, tell: Callable[[Place], object]) -> None:
    """Have a session delivered by the shared thread, whenever its place is woken.

    Args:
        tell: Called with the place, and says who wakes it.
    """
    global _shared  # noqa: PLW0603  # one per process is the point
    place: Optional[Place] = None
    try:
        with _lock:
            thread = _shared or _SharedListener()
            place = Place(listener, thread)
            thread.guests.add(place)
            _shared = thread  # last: Ctrl-C before leaves none that nobody uses
        place.thread.start()
        tell(place)
    except BaseException:  # no thread for it, or Ctrl-C
        let_go(_lock)
        if place is not None:
            place.thread.leave(place)
        raise


def postpone(on: bool) -> None:
    """Say that this thread wakes nobody until it calls :func:`deliver_now`, before it sleeps."""
    # Woken for each message, the one that delivers would fight this one for the interpreter lock.
    (_postponing.add if on else _postponing.discard)(threading.get_ident())


def deliver_now() -> None:
    """Wake the shared thread if there is something for it."""
    shared = _shared
    if shared is not None and shared.due:
        shared.worker_wakeup.wake()


class _SharedListener:
    """Two threads, of which one delivers and the other stands by, and whoever waits for them.

    ``_lock`` guards who has which part, and who is served.

    Attributes:
        due: Places with something to deliver, in the order in which it came.
        guests: Those that are served. The threads end with the last.
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
        self._served = self._seen = 0  # how often, and until the last look
        self._watched = False  # who stands by is going to look

    def start(self) -> None:
        """See to it that both threads run."""
        # A thread takes the part that is free: Ctrl-C inside Thread.start() leaves open whether there is one.
        for missing in (self._worker is None, self._standby is None):
            if missing:
                begin(threading.Thread(target=self._run, name="speechmatics-rt-listener-shared", daemon=True))

    def leave(self, place: Place) -> None:
        """Serve a session no longer."""
        with _lock:
            self._dismiss(place)
        if not self.guests:
            self.worker_wakeup.wake()
            self._standby_wakeup.wake()

    def _dismiss(self, place: Place) -> None:
        """Serve a session no longer; the lock is held."""
        global _shared  # noqa: PLW0603
        place.alone = True
        self.guests.discard(place)
        if not self.guests and _shared is self:
            _shared = None

    def forget(self) -> None:
        """In a forked child, whose one thread this may be, in a handler: have it go on with that session."""
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
            self._standby_wakeup.wake()  # should this one have died, there is another
            if self.guests:
                self._complete()

    def _serve(self, me: int) -> bool:
        """Deliver for who comes next; False once this thread does not deliver for all any more."""
        while not self.due:
            if not self.guests:
                return False
            self.worker_wakeup.wait(float("inf"))
        place = self.due.popleft()
        try:
            if place.alone or self._serve_one(place, me):
                return True
        except BaseException:  # out of memory: this thread ends, but no session is left without one
            if not self._has_turn(me):
                self.leave(place)
                place.listener()
            elif place.alone:  # it has another one already
                self.leave(place)
            else:
                self._let_go(place, more=True)
            raise
        self.leave(place)
        place.listener()
        return False

    def _serve_one(self, place: Place, me: int) -> bool:
        """Deliver for one; False if this thread has been overtaken, and is that session's from here on."""
        waited = place.waiting
        place.waiting = None  # from here on what arrives is for the next time
        self._since = since = time.monotonic()
        self._serving = place
        self._served += 1
        if not self._watched:
            self._watched = True
            self._standby_wakeup.wake()
        more = place.listener.deliver()
        if not self._has_turn(me):  # who stands by has gone on: this session has kept the thread so long
            return False
        late = waited is not None and since - waited > _STUCK
        slow = time.monotonic() - since > (_SLOW_IF_LATE if late else _SLOW)
        if not more or (slow and not place.stays):
            self._let_go(place, more)
        return True

    def _has_turn(self, me: int) -> bool:
        """Have this thread serve nobody for the moment; whether it delivers for all yet."""
        with _lock:
            if self._worker != me:
                return False
            self._serving = None
            return True

    def _let_go(self, place: Place, more: bool) -> None:
        """Have a session go on with a thread of its own: it is slow, or waits to be closed."""
        place.alone = True  # before there is the other one, which must not find it served here
        try:
            place.listener.start_alone()
        except (SessionError, MemoryError) as exc:
            if more:
                place.alone, place.stays = False, True
                place.waiting = None
                place.wake()  # for what has come meanwhile
                _warn(exc)
                return
            place.listener.abandon()
        self.leave(place)

    def _stand_by(self, me: int) -> bool:
        """Wait until who delivers is stuck, or has died; False if there is nobody to deliver for."""
        seconds = float("inf")
        while True:
            self._standby_wakeup.wait(seconds)
            with _lock:
                if not self.guests:
                    return False
                serving, late = self._serving, time.monotonic() - self._since
                if self._worker is None or (serving is not None and self.due and late >= _STUCK):
                    self._worker, self._standby, self._serving = me, None, None
                    self._watched = False  # by the next one to stand by
                    if serving is not None:
                        self._dismiss(serving)
                    break
                self._watched = False  # first: what is served from here on wakes this one
                served = self._served
                self._watched = self._serving is not None or served != self._seen
                self._seen = served
                seconds = _LOOK if self._watched else float("inf")
        self._complete()  # by another one to stand by
        return True

    def _complete(self) -> None:
        """See to it that both threads run, if they can be had."""
        try:
            self.start()
        except SessionError as exc:
            _warn(exc)


def _warn(error: Exception) -> None:
    try:
        logger.warning("slow handlers may hold up those of other sessions: %s", str(error) or repr(error))
    except BaseException:  # noqa: BLE001  # of a program's log handlers: this thread is many sessions'
        show_uncaught()


_lock = new_lock()  # guards who has which part, who is served, and which it is; no more is done
_shared: Optional[_SharedListener] = None
_postponing: set[int] = set()  # threads that call deliver_now() before they sleep


def _begin_anew() -> None:
    """Know nothing in a forked child: the threads are the parent's."""
    global _shared  # noqa: PLW0603
    if _shared is not None:
        _shared.forget()
    _shared = None
    _postponing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
