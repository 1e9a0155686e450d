"""Calling what knows no deadline: a resolver, a slow body of HTTP, a program's own code."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Callable, Optional, TypeVar

from .locks import wait_on

__all__ = ["OverdueError", "call_until"]

_T = TypeVar("_T")


class OverdueError(Exception):
    """The deadline has passed; the call goes on, and nobody wants what it gives."""


def call_until(deadline: float, function: Callable[[], _T], *, name: str) -> _T:
    """Call a function on a daemon thread of that name, which is left behind when ``deadline`` passes.

    The function sees the caller's :mod:`contextvars`. Without a deadline (infinity) it is waited for.

    Raises:
        OverdueError: ``deadline`` (monotonic) has passed.
        BaseException: What the function raised.

    Example:
        >>> call_until(time.monotonic() + 5, lambda: "an address", name="resolver")
        'an address'
    """
    outcome: list[tuple[Any, Optional[BaseException]]] = []
    done = threading.Lock()
    done.acquire()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append((context.run(function), None))
        except BaseException as exc:  # noqa: BLE001  # not swallowed: raised where it is waited for
            outcome.append((None, exc))
        done.release()

    threading.Thread(target=work, name=name, daemon=True).start()
    if not wait_on(done, deadline - time.monotonic()):
        raise OverdueError
    result, error = outcome.pop()
    if error is not None:
        raise error
    value: _T = result
    return value
