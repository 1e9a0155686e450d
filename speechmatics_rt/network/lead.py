"""Decides which thread reads a connection: a reader thread, or the listener thread while it keeps up.

A listener that reads also runs the handlers of what it has read, so no message changes threads. If its
handlers take long, or wait for something that only reading brings, a reader thread is started beside it, and
reads for the rest of the session.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Callable, Optional, Union

from ..exceptions import SessionError
from ..log import SessionLog
from ..threads import begin
from .monitor import Monitor
from .reader import Reader, Turn
from .shared_reader import Seat, has_shared_reader, own_reader_begins, own_reader_ends
from .wakeup import WaitList
from .writer import Writer

__all__ = ["Lead", "thread_of"]

# When a reader thread is started beside the listener. Until then bytes wait in the kernel: the window lets
# the sender go on meanwhile, and the server waits longer than this for its pongs.
_LONG = 0.5  # seconds in handlers without a read
_BEHIND = 2.0  # seconds in which every read found data
_A_WHILE = 0.001  # seconds in handlers after which more is likely to have arrived
_LOOK = 2.0  # seconds between two checks of the above, unless a handler runs just then


def thread_of(name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
    """Create a daemon thread without starting it. Log handlers see the caller's :mod:`contextvars` on it."""
    context = contextvars.copy_context()
    return threading.Thread(target=context.run, args=(target, *args), name=name, daemon=True)


class Lead:
    """Which thread reads. Guarded by the monitor's lock; a docstring says where the caller must hold it.

    Args:
        end: Called at the end of the stream, by the thread that has read it.

    Attributes:
        thread: The id of the listener thread while it also reads, else None.
        reader: The thread (or seat of the shared reader) that only reads, if there is one.
    """

    def __init__(
        self,
        monitor: Monitor,
        reading: Reader,
        writing: Writer,
        log: SessionLog,
        *,
        end: Callable[[], None],
    ) -> None:
        self._monitor = monitor
        self._reading = reading
        self._writing = writing
        self._log = log
        self._end = end
        self.thread: Optional[int] = None
        self.reader: Union[threading.Thread, Seat, None] = None
        self._descriptor = reading.descriptor if has_shared_reader() else None
        self._delivering: Optional[float] = None  # since when the listener runs handlers; None: it reads
        self._behind: Optional[float] = None  # since when each of its reads has found data
        self._wanted = False  # a thread waits for what only reading brings; set without the lock
        self._watched = False  # the writer is going to check
        self._batches = self._seen = 0  # batches delivered: in all, and at the last check

    def start(self, listener: Optional[Callable[[], None]]) -> None:
        """Start the reading thread. With a ``listener`` it also calls that once the session has started."""
        if self._descriptor is not None:
            self.reader = Seat(self, self._descriptor, f"speechmatics-rt-reader-{self._log.request_id}")
            self.reader.start()
            self._writing.elsewhere = self.reader.write_soon
        elif listener is not None:
            name = f"speechmatics-rt-listener-{self._log.request_id}"
            begin(thread_of(name, self._read_and_deliver, listener))
        else:
            self.reader = self._reader_of(self._read)
            begin(self.reader)

    @property
    def is_shared(self) -> bool:
        """Whether the shared reader reads, so that no listener does."""
        return self._descriptor is not None

    @property
    def is_mine(self) -> bool:
        """Whether this thread is the listener, and reads."""
        return self.thread == threading.get_ident()

    @property
    def is_reader(self) -> bool:
        """Whether this thread is the one that only reads."""
        return self.reader is not None and self.reader.ident == threading.get_ident()

    # -- called by the listener ----------------------------------------------------------------------

    def deliver(self) -> None:
        """Note that this thread is about to run handlers, if it is the listener; the lock is held."""
        if self.thread != threading.get_ident():
            return
        self._delivering = time.monotonic()
        self._behind = self._behind or self._delivering
        self._batches += 1
        if not self._watched:
            self._watched = True
            self._monitor.writer.wake()

    def read(self) -> bool:
        """Return whether this thread is to read now, and note that it does; the lock is held."""
        if self.thread != threading.get_ident():
            return False
        if self._delivering is not None and time.monotonic() - self._delivering > _A_WHILE:
            self._reading.try_first()  # else it would wait first, and count as idle with data at hand
        self._delivering = None
        self._wanted = False
        return True

    def read_some(self) -> bool:
        """Read until there is something to receive; return False at the end of the stream."""
        while self._reading.step(self._idle):
            if self._monitor.protocol.has_arrived:  # not `news`, which another thread may just have told
                return True
        self.thread = None
        self._end()
        return False

    def _idle(self) -> None:
        self._behind = None
        self._monitor.notify_from_reader()  # most of what comes are acknowledgements, which only make room

    def _read_and_deliver(self, listener: Callable[[], None]) -> None:
        counted = False
        try:
            try:
                if not self._monitor.enter("reader"):
                    return
                own_reader_begins()
                counted = True
                self.thread = threading.get_ident()
                while not self._monitor.protocol.started and self.read_some():
                    self._monitor.notify_from_reader()
            except BaseException as exc:  # out of memory, or raised by a program's log handlers
                self.thread = None
                self.read_ends(exc)
                raise
            finally:
                if self._monitor.protocol.started:  # else the thread in start() takes what has arrived
                    listener()
        finally:
            if counted:
                own_reader_ends()

    # -- called by other threads ---------------------------------------------------------------------

    def hand_over(self) -> bool:
        """Take over the reading, if the listener is running handlers; the lock is held."""
        if self.thread is None or self._delivering is None:
            return False
        self.thread = None
        return True

    def have_read(self, *, anybody: bool = False) -> None:
        """Before a wait for something that only reading brings: have a reader thread read for the listener.

        That is needed if this thread is the listener; with ``anybody``, whichever thread is the listener, as
        it may be running handlers.
        """
        if self.thread is not None and (anybody or self.is_mine):
            self._wanted = True
            self._monitor.writer.wake()  # the writer starts the thread: a signal handler can't

    def watch(self) -> float:
        """On the writer thread, start a reader if one is needed; return the seconds until the next check."""
        if self.thread is None:
            return float("inf")
        with self._monitor.lock:
            late, seconds = self.look(time.monotonic())
        if late and not (self.reader is not None and self.reader.is_alive()):
            try:
                self.reader = self._reader_of(self._read_instead)
                begin(self.reader)
            except SessionError as exc:  # the next check tries again
                self.reader = None
                self._log.warning("no thread could be started to read beside a slow handler: %s", exc)
        return seconds

    def look(self, now: float) -> tuple[bool, float]:
        """Return whether a reader is needed, and the seconds until the next check; the lock is held."""
        if self.thread is None:
            return False, float("inf")
        since, behind = self._delivering, self._behind or now
        if since is not None:
            late = self._wanted or now - since >= _LONG or now - behind >= _BEHIND
            return late, _LOOK if late else since + _LONG - now
        if self._batches == self._seen:  # a quiet session is not checked until its next deliver()
            self._watched = False
            return False, float("inf")
        self._seen = self._batches
        return False, _LOOK

    def see_off(self, seconds: float) -> None:
        """After the socket was shut, have what has arrived read to its end, within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            with self._monitor.lock:
                if self.thread is None:
                    return
                mine = self.is_mine or self.hand_over()
                ticket = None if mine else self._monitor.news.ticket()
            if ticket is None:
                self._read_on()
            elif not WaitList.wait(ticket, deadline):
                return

    # -- on a thread that only reads -----------------------------------------------------------------

    def _reader_of(self, target: Callable[[], None]) -> threading.Thread:
        return thread_of(f"speechmatics-rt-reader-{self._log.request_id}", target)

    def _read(self) -> None:
        counted = late = False
        try:
            late = not self._monitor.enter("reader")
            if not late:
                own_reader_begins()
                counted = True
                self._reading.run()
        finally:
            if counted:
                own_reader_ends()
            if not late:
                self._end()

    # -- called by the shared reader; see shared_reader.Read -------------------------------------------

    def read_begins(self) -> bool:
        return self._monitor.enter("reader")

    def read_turn(self) -> Turn:
        return self._reading.turn()

    def write_turn(self) -> None:
        with self._monitor.lock:
            self._writing.pump()
            self._monitor.notify()

    def read_pauses(self, seat: Seat) -> bool:
        with self._monitor.lock:
            if not self._monitor.protocol.flooded or self._monitor.abandoned:
                return False
            self._monitor.notify()
            self._monitor.room.add(seat)
            return True

    def read_ends(self, cause: Optional[BaseException]) -> None:
        if cause is not None:
            self._reading.fail(cause)
        self._end()

    def _read_instead(self) -> None:
        """Read in place of a listener that is running handlers; it will find its messages in the inbox."""
        taken = False
        try:
            with self._monitor.lock:
                taken = self.hand_over()
            if taken:
                self._reading.run()
        finally:
            if taken:
                self._end()

    def _read_on(self) -> None:
        try:
            self._reading.run()
        finally:
            self.thread = None
            self._end()
