"""Every lock of the package, and every wait: what they do in signal handlers, after a fork, and at Ctrl-C.

* A **lock** is made by :func:`new_lock`. It is reentrant: a signal handler that asks for it on the thread
  that holds it gets in, to read, or sees by :func:`is_mine` that it must not go on. It is fresh in a forked
  child, where the thread that held it does not exist.
* A **wait** is :func:`wait_on`, on a lock that nobody but the waiting thread ever takes: a held one is a
  sleeping thread. Woken it is by ``release``, which takes nothing, so a signal handler may.
* Ctrl-C between two instructions leaves no lock held: locks are taken by ``with``. In Python 3.9 alone a
  signal may come between the end of the block and the release (once in 3,000 interrupts), and
  :func:`let_go` is what mends that. In Python 3.14 alone it may come between the taking and the beginning of
  the block (every second interrupt), and ``_Guarded`` mends that.
* ``importing`` is held while a package is **imported late**, and a fork waits for it: a child that began in
  the middle of another thread's import would wait for the end of that for ever.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Optional

__all__ = ["SLICE", "Latch", "importing", "is_mine", "let_go", "new_lock", "wait_for", "wait_on"]

SLICE = 0.5  # seconds of one wait where a signal may be expected
# Of one wait elsewhere: nobody waits for so long, but without any timeout a wait overflows.
_LONG = 3600.0

# No WeakSet: its callbacks are Python, and a Ctrl-C that comes inside one is printed and lost.
_all: deque[weakref.ref[Any]] = deque()


class _Guarded(_thread.RLock):  # type: ignore[misc]  # it can be inherited from
    """A lock that a ``with`` of Python 3.14 takes and enters in one step, as all other versions do.

    There the call of ``__enter__`` looks for signals when it is done, outside the block that would release.
    A function of Python is not looked behind when it returns; so what can be interrupted is in here.
    ``__exit__`` stays as it is: a function of Python would be interrupted before it begins.
    """

    def __enter__(self) -> bool:  # type: ignore[override]
        before = self._recursion_count()  # type: ignore[attr-defined]  # of 3.12 and newer
        try:
            taken = self.acquire()
        except BaseException:
            if self._recursion_count() > before:  # type: ignore[attr-defined]
                self.release()
            raise
        return taken


def new_lock() -> Any:
    """Make a reentrant lock that is free after a fork.

    Example:
        >>> lock = new_lock()
        >>> with lock:
        ...     is_mine(lock)
        True
        >>> is_mine(lock)
        False
    """
    lock: Any = threading.RLock()
    if sys.version_info[:2] == (3, 14) and type(lock) is _Guarded.__base__:  # gevent has another
        lock = _Guarded()
    _all.append(weakref.ref(lock))
    for _ in range(2):  # two of the others are looked at, so that few of those that are gone stay
        if _all[0]() is not None:
            _all.rotate(-1)
            continue
        oldest = _all.popleft()
        if oldest() is not None:  # another thread came in between
            _all.append(oldest)
    return lock


def is_mine(lock: Any) -> bool:
    """Whether this thread holds it: it is being asked in a signal handler, or a finaliser."""
    return bool(lock._is_owned())  # as threading.Condition asks


def let_go(*locks: Any) -> None:
    """Release those of the locks that an interrupt has left with this thread; only Python 3.9 does."""
    for lock in locks:
        if lock._is_owned():
            lock.release()


def _renew() -> None:
    for reference in list(_all):
        lock = reference()
        if lock is not None:
            lock._at_fork_reinit()  # as threading and logging do with theirs


importing = new_lock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=importing.acquire, after_in_parent=importing.release, after_in_child=_renew)


def _longest() -> float:
    """Give the seconds of one wait on this thread.

    On Windows a waiting lock is deaf to Ctrl-C. Elsewhere the main thread may be just about to wait when a
    signal comes, and then nothing ends the wait; nor does ``interrupt_main()`` end one.
    """
    main = threading.get_ident() == threading.main_thread().ident
    return SLICE if main or os.name == "nt" else _LONG


def wait_on(lock: Any, seconds: float) -> bool:
    """Take a lock that means a wake-up, or wait so many seconds (infinity: for ever); whether it came.

    Ctrl-C ends it within half a second, on every system.
    """
    if seconds <= SLICE:
        return bool(lock.acquire(timeout=max(0.0, seconds)))
    deadline, longest = time.monotonic() + seconds, _longest()
    while not lock.acquire(timeout=min(max(0.0, seconds), longest)):
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return False
    return True


def wait_for(condition: threading.Condition, predicate: Callable[[], object], seconds: float) -> bool:
    """Wait on a condition, whose lock is held, until the predicate holds; whether it does."""
    deadline, longest = time.monotonic() + seconds, _longest()
    while not predicate():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        condition.wait(min(left, longest))
    return True


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

    def wait(self, timeout: Optional[float] = None) -> bool:
        try:
            if not self._open:
                wait_on(self._door, float("inf") if timeout is None else timeout)
        finally:  # also when Ctrl-C came just behind it
            if self._open:
                self._through()  # the next one
        return self._open

    def _through(self) -> None:
        try:
            self._door.release()
        except RuntimeError:
            pass  # somebody else has opened it in between
