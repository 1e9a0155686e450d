"""Who runs the handlers of a session, how far that has come, and who waits for its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Callable, Optional

from ..threads import Latch, new_lock

__all__ = ["GRACE", "Delivery", "Holder", "waiting"]

GRACE = 0.5  # seconds for a read of a source, or a handler, that goes on when its session or call is over

# Whose last handlers run here, and on which thread, unless that is an event loop's: some builds of Python
# give each thread a copy of the context of the one that starts it.
_ending: ContextVar[tuple[Optional[Delivery], Optional[int]]] = ContextVar(
    "speechmatics_rt_ending", default=(None, None)
)


class Delivery:
    """Who runs the handlers of one session, and how far that has come.

    It goes in one direction, and each step may be asked for more than once:

    ======= ============================= ==================================================================
    stage   begins by                     who does it
    ======= ============================= ==================================================================
    running the session                   whoever opens it
    ending  :meth:`ends_here`             the thread, or the task of an event loop, that is about to run the
                                          handlers of the last message, or of ``SessionEnded``
    over    :meth:`end`                   that thread; who opened it, if the start failed; or the finaliser
                                          of a stream
    ======= ============================= ==================================================================

    Independent of the stage is who tells the last events: the first to :meth:`claim_last_events`, perhaps the
    client, long after a stream was dropped. No lock is needed, since nothing is ever taken back; so
    finalisers and signal handlers may do all of it.

    Attributes:
        streamed: A stream delivers it, not a listener.
        thread: The thread that runs handlers, or is the next to; None if that is a task of an event loop.
        at_rest: The stream is with its caller, who may never come back, and no ``with`` closes it. Changed by
            the stream alone.
        orphaned: Its client is gone.
        over: All handlers have run that will, but perhaps those of the last events.
        closes: The listener delivers it, and closes the connection after the last handler.
        awaited: What ``stop_session()`` waits for: the same, and that the listener has closed the connection;
            or that somebody has closed the stream.
    """

    def __init__(self, *, streamed: bool) -> None:
        self.streamed = streamed
        self.thread: Optional[int] = threading.get_ident()
        self.at_rest = False
        self.orphaned = self.closes = False
        self.over = Latch()
        self.awaited = Latch()
        self._untold = [True]  # emptied by whoever tells the last events

    @property
    def is_mine(self) -> bool:
        """Whether this thread delivers, so that it can't wait for what is still to be delivered."""
        return self.thread == threading.get_ident() and not self.over.is_set()

    @property
    def is_left(self) -> bool:
        """Whether this thread delivers a stream and is not in its loop, which it must have left.

        A stream that is dropped ends by itself; but a traceback that is kept, as in a notebook, keeps the
        stream alive.
        """
        telling = not self.is_untold and not self.over.is_set()  # its last handlers may call us
        return self.at_rest and not telling and self.thread == threading.get_ident()

    @property
    def is_over_here(self) -> bool:
        """Whether nobody need wait here for handlers any more: those of the end are run here, or all have."""
        return self.over.is_set() or _ending.get() == self._here()

    def ends_here(self) -> None:
        """Note that the handlers of the last message, or of the last event, are about to run here.

        On this thread; or, in an event loop, in the :mod:`contextvars` context, which each task has of its
        own, and which those tasks get that such a handler begins.
        """
        _ending.set(self._here())

    def _here(self) -> tuple[Delivery, Optional[int]]:
        return self, None if self.thread is None else threading.get_ident()

    @property
    def is_untold(self) -> bool:
        """Whether nobody has claimed the last events."""
        return bool(self._untold)

    @property
    def is_done(self) -> bool:
        """Whether its thread is also back from closing the connection, where log handlers may call us."""
        return self.over.is_set() and self.awaited.is_set()

    def claim_last_events(self) -> bool:
        """Whether the last events are this caller's to tell: True once."""
        try:
            self._untold.pop()
        except IndexError:
            return False
        return True

    def leave(self) -> None:
        """Note that the program has closed it: the thread of a stream may never come back."""
        if self.streamed:
            self.awaited.set()

    def end(self) -> None:
        """Note that nothing more will be delivered."""
        self.over.set()
        if not self.closes:
            self.awaited.set()


Holder = Callable[[Delivery], bool]  # who waits somewhere: whether a delivery goes on only after that

# Guards that a wait is judged and noted in one step; held for nothing else. To forget one takes no lock.
_waits_lock = new_lock()
_waits: list[tuple[Holder, Delivery]] = []  # who waits now, for which delivery

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waits.clear)


@contextmanager
def waiting(delivery: Delivery, holder: Optional[Holder] = None) -> Iterator[bool]:
    """Wait, in the block, for what a delivery brings, or for its end; but not if it waits for who would wait.

    It does if it is the holder's own. Or its handlers wait for another session, whose handlers wait for a
    third one, and so on, until one is the holder's. Each wait is judged and noted in one step: so the last
    one that would make a circle does not wait, and all others do.

    Args:
        delivery: What is waited for.
        holder: Who is to wait; by default this thread, which holds up what it delivers.

    Yields:
        Whether it may wait.
    """
    me = threading.get_ident()
    holder = holder or (lambda one: one.thread == me and not one.is_done)
    wait = (holder, delivery)
    try:
        with _waits_lock:
            for one in list(_waits):
                if one[1].is_done:  # Ctrl-C may have left it
                    _forget(one)
            may_wait = not _is_held(delivery, holder)
            if may_wait:
                _waits.append(wait)
        yield may_wait
    finally:
        _forget(wait)  # without the lock: a coroutine that is collected gets here in the middle of anything


def _forget(wait: tuple[Holder, Delivery]) -> None:
    with suppress(ValueError):  # it did not wait, or another thread has forgotten it
        _waits.remove(wait)


def _is_held(delivery: Delivery, holder: Holder) -> bool:
    """Whether a delivery goes on only after the holder; the lock is held."""
    chain = [delivery]
    for one in chain:
        if holder(one):
            return True
        chain += [next_one for other, next_one in list(_waits) if next_one not in chain and other(one)]
    return False
