"""The one lock of a connection, what it guards, and who waits for that to change."""

from __future__ import annotations

import copy
from typing import NoReturn, Optional

from ..exceptions import SpeechmaticsError
from ..locks import new_lock
from ..log import SessionLog
from ..protocol import ClientProtocol
from .wakeup import WaitList, Wakes, WakeUp

__all__ = ["Monitor"]


class Monitor:
    """Let the caller's threads, the reader and the writer share one :class:`ClientProtocol`.

    ``lock`` guards ``protocol``, the tickets of ``room`` and ``news``, and the flags of the writer. Under it
    the socket is tried, which never waits; it is never held over a wait, a join or the user's code.
    Who waits takes a ticket under it, from ``room`` (senders) or ``news`` (receivers, and who starts or
    closes), and waits for that without it. ``writer`` wakes the writer, and belongs to no lock.

    Attributes:
        abandoned: Nobody is interested any more; set without the lock, by finalisers.
        inside: Which of the two threads, ``"reader"`` and ``"writer"``, run.
        over: Neither may begin any more; what runs is on its way out.
    """

    def __init__(self, protocol: ClientProtocol, log: SessionLog) -> None:
        # A lock with tickets beside it. A Condition lets its lock go inside a `with` block, and Ctrl-C
        # in its first or last instruction leaves the block without it, to release what others hold.
        self.lock = new_lock()
        self.protocol = protocol
        self.room = WaitList()
        self.news = WaitList()
        self.writer = WakeUp()
        self.abandoned = False
        self.inside: set[str] = set()
        self.over = False
        self._elsewhere: Optional[Wakes] = None  # of a receiver that sleeps elsewhere
        self._phase = protocol.state.phase  # as the writer last learned it
        self._log = log

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        """Wake also who sleeps elsewhere when there is something to receive, and once at once."""
        self._elsewhere = wakeup
        wakeup.wake()

    def notify(self) -> None:
        """Wake who waits for what has happened; the lock is held.

        The writer too where the phase has changed: other deadlines may count now.
        """
        protocol = self.protocol
        # First they are woken, then it is ticked off: Ctrl-C in between wakes them twice rather than never.
        if protocol.room:
            self.room.notify_all()
            protocol.room = protocol.some_room = False
        elif protocol.some_room:
            protocol.some_room = bool(self.room)  # who comes later looks for himself
            if protocol.some_room and protocol.room_at is None:
                self.writer.wake()  # it keeps the time
        if protocol.news:
            self.news.notify_all()
            if self._elsewhere is not None:
                self._elsewhere.wake()
            protocol.news = False
        if protocol.state.phase is not self._phase:
            self.writer.wake()
            self._phase = protocol.state.phase

    def notify_from_reader(self) -> None:
        """Wake them from the reader's thread, which holds no lock."""
        protocol = self.protocol
        if protocol.news or ((protocol.room or protocol.some_room) and self.room):
            with self.lock:
                self.notify()
        else:  # each acknowledgement makes room: who does not wait for it yet looks for himself
            protocol.some_room = False

    def enter(self, thread: str) -> bool:
        """Note that a thread begins; False if it is too late."""
        # By the thread itself: Ctrl-C inside Thread.start() leaves open whether there is one.
        with self.lock:
            if not self.over:
                self.inside.add(thread)
            return not self.over

    def leave(self, thread: Optional[str] = None) -> bool:
        """Let nobody enter any more, and a thread leave; tell whether nobody is left."""
        with self.lock:
            self.over = True
            self.inside.discard(thread or "")
            last = not self.inside
            self.room.notify_all()
            self.news.notify_all()
        self.writer.wake()
        return last

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Put the ids into an error that is about to reach the caller."""
        error.request_id = self._log.request_id
        error.session_id = self.protocol.state.session_id
        return error

    def raise_outcome(self) -> NoReturn:
        """Raise the outcome, as an exception of its own each time: each raise writes its own traceback."""
        outcome = self.protocol.outcome
        if outcome is None:
            raise RuntimeError("there is no outcome")
        raise self.annotate(copy.copy(outcome.error)) from outcome.cause
