"""How threads exclude each other, wait, call what knows no deadline, and are interrupted.

``locks`` has the locks, latches and waits, in which neither a fork nor Ctrl-C gets lost; ``deadline`` calls a
function that may never return, on a thread of its own; ``interrupts`` tells what interrupts a program's own
code from what that raises itself.
"""

from .deadline import OverdueError, ThreadedCall, begin, call_until, telling
from .interrupts import in_signal_handler, is_meant_for_call
from .locks import SLICE, Latch, free_at_exit, importing, is_mine, let_go, new_lock, wait_for, wait_on

__all__ = [
    "SLICE",
    "Latch",
    "OverdueError",
    "ThreadedCall",
    "begin",
    "call_until",
    "free_at_exit",
    "importing",
    "in_signal_handler",
    "is_meant_for_call",
    "is_mine",
    "let_go",
    "new_lock",
    "telling",
    "wait_for",
    "wait_on",
]
