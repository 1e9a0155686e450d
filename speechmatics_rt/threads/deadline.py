"""Calls with a deadline to functions that know none: a resolver, an HTTP request, a program's own code."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

from ..exceptions import SessionError, assign
from .locks import Latch

__all__ = ["OverdueError", "ThreadedCall", "begin", "call_until", "telling"]

_T = TypeVar("_T")


class OverdueError(Exception):
    """The deadline has passed, or the wait was ended. The call goes on, and its result is dropped."""


def begin(thread: threading.Thread) -> None:
    """Start a thread, whose target enters what context it needs.

    Raises:
        SessionError: It can't be started. Python 3.12 starts no threads while it exits.

    Example:
        >>> thread = threading.Thread(target=print, args=["it runs"])
        >>> begin(thread); thread.join()
        it runs
    """
    try:
        # In an empty context: some builds of Python would copy the caller's, and keep it as long as the
        # thread object, which a client has after the session.
        contextvars.Context().run(thread.start)
    except RuntimeError as exc:
        why = str(exc)
        if "shutdown" in why:
            why += "; end sessions before the program ends, and start none in an atexit handler"
        raise SessionError(f"no thread could be started for the session: {why}") from exc


def telling(died: Callable[[BaseException], object], target: Callable[..., object], *args: Any) -> None:
    """Call ``target(*args)``, and ``died`` with what it raises, even if that comes before its first line.

    As when memory is short; for threads whose end somebody waits for.
    """
    try:
        target(*args)
    except BaseException as exc:  # noqa: BLE001  # not swallowed: told
        died(exc)


class ThreadedCall(Generic[_T]):
    """A call on a daemon thread of its own, which sees the caller's :mod:`contextvars`.

    Args:
        function: What to call.
        name: The name of the thread.
        done: Called on that thread when the call is over.

    Raises:
        SessionError: The thread can't be started.
    """

    def __init__(self, function: Callable[[], _T], *, name: str, done: Callable[[], None]) -> None:
        self._outcome: list[tuple[Any, Optional[BaseException]]] = []
        context = contextvars.copy_context()

        def work() -> None:
            self._outcome.append((context.run(function), None))
            done()

        def died(exc: BaseException) -> None:
            self._outcome.append((None, exc))  # raised where it is waited for
            done()

        begin(threading.Thread(target=telling, args=(died, work), name=name, daemon=True))

    @property
    def is_over(self) -> bool:
        return bool(self._outcome)

    def result(self) -> _T:
        """Return what the function returned, or raise what it raised. May be called once, after the call."""
        result, error = self._outcome.pop()
        if error is not None:
            context = error.__context__
            try:
                raise error
            finally:  # in an `except` of the caller's, what is handled there has taken its place
                assign(error, "__context__", context)
                del error, context  # whose tracebacks have this frame
        value: _T = result
        return value


def call_until(
    deadline: float,
    function: Callable[[], _T],
    *,
    name: str,
    unless: Callable[[Callable[[], object]], object] = lambda end: None,
) -> _T:
    """Call a function on a daemon thread, and leave it behind when ``deadline`` passes.

    The function sees the caller's :mod:`contextvars`.

    Args:
        deadline: On the monotonic clock; may be infinite.
        name: The name of the thread.
        unless: Called with a function that ends the wait early.

    Raises:
        OverdueError: The deadline has passed, or the wait was ended.
        SessionError: The thread can't be started.
        BaseException: What the function raised.

    Example:
        >>> call_until(time.monotonic() + 5, lambda: "an address", name="resolver")
        'an address'
    """
    done = Latch()
    call = ThreadedCall(function, name=name, done=done.set)
    unless(done.set)
    done.wait(deadline - time.monotonic())
    if not call.is_over:
        raise OverdueError
    return call.result()
