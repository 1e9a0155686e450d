"""Tells what interrupts a program's own code from what that code raises itself."""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

__all__ = ["in_signal_handler", "is_meant_for_call"]


def is_meant_for_call(error: BaseException) -> bool:
    """Whether what user code has raised is no failure of it, but is to end the call, like KeyboardInterrupt.

    So are what a signal handler raises while that code runs, and ``quit`` in pdb.
    """
    return _of_a_signal(error) or _of_a_debugger(error)


def _of_a_signal(error: BaseException) -> bool:
    """Whether a signal handler of the program raised it: a soft time limit of Celery, an alarm of rq."""
    # Not of the frame that has caught it: before Python 3.13, to look at its values would keep them alive.
    trace = error.__traceback__ and error.__traceback__.tb_next
    while trace is not None:
        if _interrupts(trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def in_signal_handler() -> bool:
    """Whether a signal handler of the program has called, which may have interrupted anything."""
    frame = sys._getframe(1)
    while not _interrupts(frame):
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return True


def _interrupts(frame: FrameType) -> bool:
    """Whether the interpreter has called it for a signal, with the number and the frame that it interrupts.

    Nobody else passes his own frame. So a program's handler of a signal that a callback calls is told from
    one that interrupts it, and one that is registered no more, or a partial, is recognised.
    """
    names, rest, _, values = inspect.getargvalues(frame)
    more = values.get(rest) if rest else ()
    given = [*map(values.get, names), *(more if isinstance(more, tuple) else ())]
    for number, interrupted in zip(given, given[1:]):
        if isinstance(number, int) and interrupted is not None and interrupted is frame.f_back:
            return True
    # One that has deleted its arguments shows nothing, and is believed to have had these where signals are
    # handled. One that has set its frame to something else is taken for one that the callback has called.
    deleted = any(name not in values for name in (*names, rest) if name)
    return deleted and threading.current_thread() is threading.main_thread() and _is_registered(frame.f_code)


def _is_registered(code: CodeType) -> bool:
    """Whether it is that of a signal handler: a function, a bound method or an object that is called."""
    import signal  # only needed once a callback fails

    for handler in map(signal.getsignal, signal.valid_signals()):
        function = getattr(handler, "__func__", handler)
        called = getattr(type(handler), "__call__", None)  # noqa: B004  # of an object that is called
        if code in (getattr(function, "__code__", None), getattr(called, "__code__", None)):
            return True
    return False


def _of_a_debugger(error: BaseException) -> bool:
    """Whether it is the ``quit`` of pdb, which is meant for the program."""
    bdb = sys.modules.get("bdb")
    return bdb is not None and isinstance(error, bdb.BdbQuit)
