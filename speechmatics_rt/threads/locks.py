"""The package's locks and waits, made safe for signal handlers, forks and Ctrl-C.

* A **lock** is made by :func:`new_lock`. It is reentrant: a signal handler on the thread that holds it may
  take it to read, or find out by :func:`is_mine` that it must not go on. In a forked child it is free, since
  the thread that held it does not exist there.
* A **wait** is :func:`wait_on`, on a lock that only the waiting thread ever takes. ``release`` wakes it,
  which takes no lock, so signal handlers may call it.
* Ctrl-C between two instructions leaves no lock held, since locks are taken by ``with``. Only in Python 3.9
  can a signal come between the end of the block and the release (once in 3,000 interrupts); :func:`let_go`
  makes up for that. Only in Python 3.14 can it come between taking the lock and entering the block (every
  second interrupt); ``_Guarded`` makes up for that.
* ``importing`` is held during a **late import**, and a fork waits for it: a child forked in the middle of
  another thread's import would wait for that import for ever. A fork also takes the lock of ``logging``,
  as many modules do while they are imported, so it must take this one first.
"""

from __future__ import annotations

import _thread
import logging  # noqa: F401  # before the hooks below, which are to run first
import os
import sys
import threading
import time
import weakref
from collections import deque
from operator import methodcaller
from typing import Any, Callable, Optional

__all__ = [
    "SLICE",
    "Latch",
    "free_at_exit",
    "importing",
    "is_mine",
    "let_go",
    "new_lock",
    "wait_for",
    "wait_on",
]

SLICE = 0.5  # seconds at most of one uninterruptible wait, where a signal may come
_LONG = 3600.0  # seconds of one wait elsewhere; an infinite timeout would overflow

# No WeakSet: its callbacks are Python code, and a Ctrl-C inside one is printed and lost.
_all: deque[weakref.ref[Any]] = deque()


class _Guarded(_thread.RLock):  # type: ignore[misc]  # it can be inherited from
    """A lock that Python 3.14 cannot leave taken when a signal interrupts a ``with`` statement.

    There ``with`` checks for signals after it has called ``__enter__``, outside the block that would release
    the lock. It does not check after the return of a function written in Python, so this ``__enter__`` does
    what can be interrupted. ``__exit__`` must stay in C: a function in Python could be interrupted before its
    first instruction.
    """

    def __enter__(self) -> bool:  # type: ignore[override]
        before = self._recursion_count()  # type: ignore[attr-defined]  # of 3.12 and newer
        try:
            return self.acquire()  # to its end within the block: behind that, nothing would release it
        except BaseException:
            if self._recursion_count() > before:  # type: ignore[attr-defined]
                self.release()
            raise


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
    for _ in range(2):  # look at two others, so that few dead references stay
        if _all[0]() is not None:
            _all.rotate(-1)
            continue
        oldest = _all.popleft()
        if oldest() is not None:  # another thread has rotated the deque in between
            _all.append(oldest)
    return lock


# Whether this thread holds a lock already, as it may in a signal handler or a finaliser: what
# threading.Condition asks. In C, as it is asked for every chunk and every message.
is_mine: Callable[[Any], bool] = methodcaller("_is_owned")


def let_go(*locks: Any) -> None:
    """Release the locks that an interrupt has left held by this thread, as only Python 3.9 does."""
    for lock in locks:
        if lock._is_owned():
            lock.release()


def _renew() -> None:
    for reference in list(_all):
        lock = reference()
        if lock is not None:
            lock._at_fork_reinit()  # as threading and logging do with theirs


def free_at_exit() -> None:
    """At the end of the interpreter, free what other threads hold, as they run no more: as in a forked child.

    For what a program's finalisers may call then.
    """
    if sys.is_finalizing():
        for lock in filter(None, [reference() for reference in list(_all)]):
            if not is_mine(lock):
                lock._at_fork_reinit()


importing = new_lock()

if hasattr(os, "register_at_fork"):  # what is registered last is done first
    os.register_at_fork(before=importing.acquire, after_in_parent=importing.release, after_in_child=_renew)


def _longest() -> float:
    """Return how many seconds one wait may last on this thread.

    On Windows Ctrl-C does not end a wait for a lock. Elsewhere nothing ends the main thread's wait if the
    signal comes just before it, and ``interrupt_main()`` ends no wait.
    """
    main = threading.get_ident() == threading.main_thread().ident
    return SLICE if main or os.name == "nt" else _LONG


def wait_on(lock: Any, seconds: float) -> bool:
    """Wait until ``lock`` is released, for ``seconds`` at most (may be infinite); return whether it was.

    Ctrl-C ends the wait within half a second, on every system.
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
    """Wait on a condition, whose lock is held, until the predicate holds; return whether it does."""
    deadline, longest = time.monotonic() + seconds, _longest()
    while not predicate():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        condition.wait(min(left, longest))
    return True


class Latch:
    """An event that is set once. :meth:`set` takes no lock, so signal handlers and finalisers may call it."""

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
        finally:  # even if Ctrl-C came just after the wait
            if self._open:
                self._through()  # so that the next waiting thread gets through
        return self._open

    def _through(self) -> None:
        try:
            self._door.release()
        except RuntimeError:
            pass  # another thread has released it in between
