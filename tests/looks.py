"""Waits for an end that nobody tells, as that of a daemon thread: so many looks, one every few milliseconds.

A machine that stands still for seconds stops what is waited for, too, while a deadline would pass.
"""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any, Callable, TypeVar

__all__ = ["collected", "settled"]

_T = TypeVar("_T")


def settled(left: Callable[[], _T], seconds: float, pause: float = 0.01) -> _T:
    """Look at what is left until it is nothing; return it.

    Args:
        seconds: After which to give up, on a machine with nothing else to do.
        pause: Seconds between two looks.
    """
    for _ in range(round(seconds / pause)):
        found = left()
        if not found:
            return found
        time.sleep(pause)
    return left()


def collected(dropped: weakref.ref[Any], seconds: float = 10) -> bool:
    """Collect garbage until it is gone; another thread may hold it for a moment, as while it delivers."""

    def is_kept() -> bool:
        gc.collect()
        return dropped() is not None

    return not settled(is_kept, seconds)
