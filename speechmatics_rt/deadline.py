"""Calling what knows no deadline: a resolver, a slow body of HTTP, a program's own code; on a thread."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Callable, Optional, TypeVar

from .exceptions import SessionError
from .locks import Latch

__all__ = ["OverdueError", "begin", "call_until"]

_T = TypeVar("_T")


class OverdueError(Exception):
    """The deadline has passed; the call goes on, and nobody wants what it gives."""


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


def call_until(
    deadline: float,
    function: Callable[[], _T],
    *,
    name: str,
    waiting: Optional[Callable[[Callable[[], None]], object]] = None,
) -> _T:
    """Call a function on a daemon thread of that name, which is left behind when ``deadline`` passes.

    The function sees the caller's :mod:`contextvars`. Without a deadline (infinity) it is waited for.

    Args:
        waiting: Called with what ends the wait as if the deadline had passed.

    Raises:
        OverdueError: ``deadline`` (monotonic) has passed.
        SessionError: There is no thread for it.
        BaseException: What the function raised.

    Example:
        >>> call_until(time.monotonic() + 5, lambda: "an address", name="resolver")
        'an address'
    """
    outcome: list[tuple[Any, Optional[BaseException]]] = []
    done = Latch()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append((context.run(function), None))
        except BaseException as exc:  # noqa: BLE001  # not swallowed: raised where it is waited for
            outcome.append((None, exc))
        done.set()

    begin(threading.Thread(target=work, name=name, daemon=True))
    if waiting is not None:
        waiting(done.set)
    done.wait(deadline - time.monotonic())
    if not outcome:
        raise OverdueError
    result, error = outcome.pop()
    if error is not None:
        raise error
    value: _T = result
    return value
