"""How threads exclude each other, wait, and call what knows no deadline.

``locks`` has the locks, latches and waits, in which neither a fork nor Ctrl-C gets lost; ``deadline`` calls a
function that may never return, on a thread of its own.
"""

from .deadline import OverdueError, ThreadedCall, begin, call_until, telling
from .locks import SLICE, Latch, importing, is_mine, let_go, new_lock, wait_for, wait_on

__all__ = [
    "SLICE",
    "Latch",
    "OverdueError",
    "ThreadedCall",
    "begin",
    "call_until",
    "importing",
    "is_mine",
    "let_go",
    "new_lock",
    "telling",
    "wait_for",
    "wait_on",
]
