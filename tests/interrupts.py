"""Ctrl-C at a chosen line: KeyboardInterrupt at the n-th line of the package that a call executes.

A signal comes between two instructions of the main thread. Here it comes before each line of ours, one
after the other, so that no moment is left to chance; what the other threads do is real. And Ctrl-C in a
call that waits (:func:`ctrl_c_in`), a real one, however long the machine takes to get there.
"""

from __future__ import annotations

import ast
import dis
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Optional

import speechmatics_rt
from speechmatics_rt.threads.interrupts import _interrupts, in_signal_handler

PACKAGE = str(Path(speechmatics_rt.__file__).parent)
# What looks at the frame of each caller, of which pytest has a hundred: its lines are one moment each.
WALKS = {in_signal_handler.__code__, _interrupts.__code__}


@functools.cache
def _with_lines(path: str) -> frozenset[int]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return frozenset(node.lineno for node in ast.walk(tree) if isinstance(node, ast.With))


@functools.cache
def _first_offsets(code: CodeType) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for offset, line in dis.findlinestarts(code):
        if line is not None:
            offsets.setdefault(line, offset)
    return offsets


def leaves_a_with(frame: FrameType) -> bool:
    """Whether the line is a ``with`` that ends: no signal is looked for there, but by Python 3.9."""
    if frame.f_lineno not in _with_lines(frame.f_code.co_filename):
        return False
    first = _first_offsets(frame.f_code).get(frame.f_lineno, 0)
    return frame.f_lasti > first


def is_passed_over(frame: FrameType) -> bool:
    """Whether the interpreter looks for no signal there: the ``try:`` of a block."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("NOP", "SETUP_FINALLY", "SETUP_WITH")


def _is_in_a_finaliser(frame: Optional[FrameType]) -> bool:
    """Whether the interpreter would print the interrupt, and go on: it interrupts nothing of the caller's."""
    while frame is not None and frame.f_code is not Interrupt.during.__code__:  # what called that is pytest
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Interrupt:
    """A KeyboardInterrupt at the ``at``-th line.

    Attributes:
        lines: How many lines of ours were executed.
        where: The line at which it struck; None if there were not so many.
    """

    def __init__(self, at: Optional[int] = None, *, exits: bool = False, within: str = "") -> None:
        self.at = at
        self.lines = 0
        self.where: Optional[str] = None
        self._exits = exits
        self._within = PACKAGE + within
        self._walked: set[tuple[CodeType, int]] = set()

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._within) or frame.f_code.co_name == "__del__":
            return None
        looked_for = not is_passed_over(frame) and (self._exits or not leaves_a_with(frame))
        if event == "line" and looked_for and not self._again(frame):
            self.count(frame)
        return self._trace

    def _again(self, frame: FrameType) -> bool:
        """Whether it is the same line of a walk, for another frame."""
        line = (frame.f_code, frame.f_lineno)
        again = line in self._walked
        if frame.f_code in WALKS:
            self._walked.add(line)
        return again

    def count(self, frame: FrameType) -> None:
        """Come to a place; raise if it is the one."""
        if _is_in_a_finaliser(frame):
            return
        if self.lines == self.at:
            path = frame.f_code.co_filename[len(PACKAGE) + 1 :]
            self.where = f"{path}:{frame.f_lineno} in {frame.f_code.co_name}"
            sys.settrace(None)
            raise KeyboardInterrupt(self.where)
        self.lines += 1

    def during(self, work: Callable[[], object]) -> Optional[BaseException]:
        """Do the work; return what it raised."""

        def apart() -> Iterator[None]:
            # After an interrupt in an `except` CPython takes its exception for being handled still, and keeps
            # its frames; with a generator that ends, too.
            work()
            yield

        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            next(apart())
        except BaseException as exc:
            return exc.with_traceback(None)
        finally:
            sys.settrace(before)
        return None


@contextmanager
def ctrl_c_in(name: str) -> Iterator[list[float]]:
    """Within the block, send SIGINT once the main thread waits in a function of that name; note when."""
    left = threading.Event()
    pressed: list[float] = []

    def press() -> None:
        before = None
        while not left.wait(0.05):  # a thread that waits gives no other sign
            place = _place_in(name)
            if place is not None and place == before:
                pressed.append(time.monotonic())
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                return
            before = place

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    try:
        yield pressed
    finally:
        left.set()
        thread.join()


def _place_in(name: str) -> Optional[tuple[int, int]]:
    """Return where the main thread is within a function of that name; None if it is elsewhere."""
    frame: Optional[FrameType] = sys._current_frames()[threading.main_thread().ident or 0]
    place = frame and (id(frame), frame.f_lasti)
    while frame is not None and frame.f_code.co_name != name:
        frame = frame.f_back
    return place if frame is not None else None
