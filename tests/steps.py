"""What a piece of work costs, as a count, the same on a busy machine: the lines of Python that it runs."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Callable

__all__ = ["steps"]


def steps(work: Callable[[], object]) -> int:
    """Count the lines that this thread runs to do it, in each round of a loop anew."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
