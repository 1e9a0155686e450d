"""The one lock of a connection, what it guards, and the threads that wait for that to change."""

from __future__ import annotations

import copy
from typing import NoReturn, Optional

from ..exceptions import SpeechmaticsError, assign
from ..log import SessionLog
from ..protocol import ClientProtocol
from ..threads import new_lock
from .wakeup import WaitList, Wakes, WakeUp

__all__ = ["Monitor"]


class Monitor:
    """Lets the caller's threads, the reader and the writer share one :class:`ClientProtocol`.

    ``lock`` guards ``protocol``, the tickets of ``room`` and ``news``, and the flags of the writer. Calls on
    the socket are made under it, as they never wait; it is never held over a wait, a join or user code. A
    thread that must wait takes a ticket under the lock, from ``room`` (senders) or ``news`` (receivers, and
    threads that start or close), releases the lock, and waits for the ticket. ``writer`` wakes the writer
    thread, and needs no lock.

    Attributes:
        abandoned: The connection was dropped or closed without waiting; set without the lock, by finalisers
            and signal handlers.
        inside: Which of the two threads, ``"reader"`` and ``"writer"``, run.
        over: No thread may begin any more, and those that run are ending.
        wakes_at: When the writer wakes by itself, as it said last.
    """

    def __init__(self, protocol: ClientProtocol, log: SessionLog) -> None:
        # A lock with wait lists, not a Condition: see WaitList.
        self.lock = new_lock()
        self.protocol = protocol
        self.room = WaitList()
        self.news = WaitList()
        self.writer = WakeUp()
        self.abandoned = False
        self.inside: set[str] = set()
        self.over = False
        self.wakes_at = float("-inf")  # it begins by looking
        self._elsewhere: Optional[Wakes] = None  # wakes a receiver that waits elsewhere
        self._phase = protocol.state.phase  # for which the writer was last woken, if it had to be
        self._log = log

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        """From now on also wake a receiver that waits elsewhere, and wake it once now."""
        self._elsewhere = wakeup
        wakeup.wake()

    def notify(self) -> None:
        """Wake the threads that wait for what has happened; the lock is held.

        Also wakes the writer if the phase has changed, and with it something is due before it wakes anyway.
        """
        protocol = self.protocol
        # Wake first, then clear the flag: Ctrl-C in between wakes them twice rather than never.
        if protocol.room:
            if self.room.tickets:
                self.room.notify_all()
            protocol.room = protocol.some_room = False
        elif protocol.some_room:
            protocol.some_room = bool(self.room.tickets)  # later senders check for room themselves
            if protocol.some_room and protocol.room_at is None:
                self.writer.wake()  # it wakes them after a moment, see ClientProtocol.tick()
        if protocol.news:
            if self.news.tickets:
                self.news.notify_all()
            if self._elsewhere is not None:
                self._elsewhere.wake()
            protocol.news = False
        if protocol.state.phase is not self._phase:
            if protocol.due_at() < self.wakes_at:
                self.writer.wake()
            self._phase = protocol.state.phase

    def notify_from_reader(self) -> None:
        """Do the same on the thread that reads, which holds no lock."""
        protocol = self.protocol
        if protocol.news or ((protocol.room or protocol.some_room) and self.room.tickets):
            with self.lock:
                self.notify()
        else:  # every acknowledgement makes room, and senders that do not wait yet check for it themselves
            protocol.some_room = False

    def enter(self, thread: str) -> bool:
        """Note that a thread begins; return False if it is too late."""
        # Called by the thread itself: after Ctrl-C inside Thread.start(), it is unknown whether one runs.
        with self.lock:
            if not self.over:
                self.inside.add(thread)
            return not self.over

    def leave(self, thread: Optional[str] = None) -> bool:
        """Note that a thread ends, and that none may begin any more; return whether none is left.

        Wakes all that wait, whatever has been noted for them: Ctrl-C may have cut short what notes it.
        """
        with self.lock:
            self.over = True
            self.inside.discard(thread or "")
            last = not self.inside
            self.room.notify_all()
            self.news.notify_all()
            if self._elsewhere is not None:
                self._elsewhere.wake()
        self.writer.wake()
        return last

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Put the ids into an error that is about to be raised."""
        assign(error, "request_id", self._log.request_id)
        assign(error, "session_id", self.protocol.state.session_id)
        return error

    def raise_conclusion(self) -> NoReturn:
        """Raise a copy of the conclusion's error, since each raise adds to the traceback."""
        conclusion = self.protocol.conclusion
        if conclusion is None:
            raise RuntimeError("there is no conclusion")
        raise self.annotate(copy.copy(conclusion.error)) from conclusion.cause
