"""Calling what knows no deadline: a resolver, a slow body of HTTP, a program's own code."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

from .exceptions import SessionError
from .locks import Latch

__all__ = ["Call", "OverdueError", "begin", "call_until"]

_T = TypeVar("_T")


class OverdueError(Exception):
    """The deadline has passed, or the wait was ended; the call goes on, and nobody wants what it gives."""


def begin(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        SessionError: There is none to be had. Python 3.12 gives no more while it exits.

    Example:
        >>> thread = threading.Thread(target=print, args=["it runs"])
        >>> begin(thread); thread.join()
        it runs
    """
    try:
        thread.start()
    except RuntimeError as exc:
        why = str(exc)
        if "shutdown" in why:
            why += "; end sessions before the program ends, and begin none in an atexit handler"
        raise SessionError(f"no thread can be started for the session: {why}") from exc


class Call(Generic[_T]):
    """A call on a daemon thread of its own, which sees the :mod:`contextvars` of who made it.

    Args:
        function: What is called.
        name: Of the thread.
        done: Called on that thread when it is over.

    Raises:
        SessionError: There is no thread for it.
    """

    def __init__(self, function: Callable[[], _T], *, name: str, done: Callable[[], None]) -> None:
        self._outcome: list[tuple[Any, Optional[BaseException]]] = []
        context = contextvars.copy_context()

        def work() -> None:
            try:
                self._outcome.append((context.run(function), None))
            except BaseException as exc:  # noqa: BLE001  # not swallowed: raised where it is waited for
                self._outcome.append((None, exc))
            done()

        begin(threading.Thread(target=work, name=name, daemon=True))

    @property
    def is_over(self) -> bool:
        return bool(self._outcome)

    def result(self) -> _T:
        """Return what the function returned, or raise what it raised: once, when it is over."""
        result, error = self._outcome.pop()
        if error is not None:
            raise error
        value: _T = result
        return value


def call_until(
    deadline: float,
    function: Callable[[], _T],
    *,
    name: str,
    unless: Callable[[Callable[[], object]], object] = lambda end: None,
) -> _T:
    """Call a function on a daemon thread of that name, which is left behind when ``deadline`` passes.

    The function sees the caller's :mod:`contextvars`. Without a deadline (infinity) it is waited for.

    Args:
        unless: Gets what ends the wait, to call it where nobody wants the result any more.

    Raises:
        OverdueError: ``deadline`` (monotonic) has passed, or the wait was ended.
        SessionError: There is no thread for it.
        BaseException: What the function raised.

    Example:
        >>> call_until(time.monotonic() + 5, lambda: "an address", name="resolver")
        'an address'
    """
    done = Latch()
    call = Call(function, name=name, done=done.set)
    unless(done.set)
    done.wait(deadline - time.monotonic())
    if not call.is_over:
        raise OverdueError
    return call.result()
