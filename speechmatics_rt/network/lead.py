"""Who reads a connection: a thread of its own; or, as long as it can, the one that delivers, if that is ours.

That one reads, and runs the handlers of what it has read, so that no message changes threads. Handlers that
take long, or wait for what only reading brings, are left to it: a reader comes in beside it, and stays.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Optional, Union

from ..deadline import begin
from ..log import SessionLog
from .monitor import Monitor
from .reader import Reader, Turn
from .shared_reader import Seat, has_shared_reader, own_reader_begins, own_reader_ends
from .wakeup import WaitList
from .writer import Writer

__all__ = ["Lead", "thread_of"]

_LONG = 0.5  # seconds in handlers without a read
_BEHIND = 2.0  # seconds in which there was always something to read, while acknowledgements are awaited
_FLOODED = 10.0  # the same while none are, and only pings wait
_A_WHILE = 0.001  # seconds in handlers, in which more may have come
_LOOK = 0.5  # seconds between two looks at that


def thread_of(name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
    """Make a thread, yet to be started."""
    return threading.Thread(target=target, args=args, name=name, daemon=True)


class Lead:
    """Whose turn it is to read. Guarded by the monitor's lock, which is held where it says so.

    What is late by such times waits in the kernel, and the window and the pings bridge it.

    Args:
        end: Called when all is read, by the thread that has.

    Attributes:
        thread: Which one reads and delivers, or None.
        reader: The one that reads and does no more, if there is one.
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
        self._delivering: Optional[float] = None  # since when it is with its handlers; None: it reads
        self._behind: Optional[float] = None  # since when it found something to read whenever it came
        self._wanted = False  # somebody waits for what only reading brings; set without the lock
        self._watched = False  # the writer is going to look
        self._batches = self._seen = 0  # delivered; until the last look

    def start(self, listener: Optional[Callable[[], None]]) -> None:
        """Start who reads; once the session has started, a thread of our own calls ``listener``, if any."""
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
        """Whether the shared reader reads, and nobody who delivers."""
        return self._descriptor is not None

    @property
    def is_mine(self) -> bool:
        """Whether the thread that asks is the one that reads and delivers."""
        return self.thread == threading.get_ident()

    @property
    def is_reader(self) -> bool:
        """Whether the thread that asks is the one that reads and does no more."""
        return self.reader is not None and self.reader.ident == threading.get_ident()

    # -- by the thread that reads and delivers -------------------------------------------------------

    def deliver(self) -> None:
        """Note that this thread goes to the handlers, if it is the one; the lock is held."""
        if self.thread != threading.get_ident():
            return
        self._delivering = time.monotonic()
        self._behind = self._behind or self._delivering
        self._batches += 1
        if not self._watched:
            self._watched = True
            self._monitor.writer.wake()

    def read(self) -> bool:
        """Tell whether this thread is to read now, and note that it does; the lock is held."""
        if self.thread != threading.get_ident():
            return False
        if self._delivering is not None and time.monotonic() - self._delivering > _A_WHILE:
            self._reading.try_first()  # else it would seem to be idle, whatever has come meanwhile
        self._delivering = None
        self._wanted = False
        return True

    def read_some(self) -> bool:
        """Read once; False if that was the end."""
        if self._reading.step(self._idle):
            return True
        self.thread = None
        self._end()
        return False

    def _idle(self) -> None:
        self._behind = None
        self._monitor.notify_from_reader()

    def _read_and_deliver(self, listener: Callable[[], None]) -> None:
        if not self._monitor.enter("reader"):
            return
        self.thread = threading.get_ident()
        protocol = self._monitor.protocol
        own_reader_begins()
        try:
            while not protocol.started and self.read_some():
                pass
            if protocol.started:  # else who started it gets what has come
                listener()
        finally:
            own_reader_ends()

    # -- by others -----------------------------------------------------------------------------------

    def hand_over(self) -> bool:
        """Let the thread that asks read from here on, if the one is with its handlers; the lock is held."""
        if self.thread is None or self._delivering is None:
            return False
        self.thread = None
        return True

    def have_read(self, *, anybody: bool = False) -> None:
        """Before a wait for what reading brings: have somebody else read where this thread would have to.

        With ``anybody``, where whichever it is would have to, and may be with its handlers.
        """
        if self.thread is not None and (anybody or self.is_mine):
            self._wanted = True
            self._monitor.writer.wake()  # it starts the thread: in a signal handler none can be started

    def watch(self) -> float:
        """See to it that somebody reads, on the writer's thread; return in how many seconds to look again."""
        if self.thread is None:
            return float("inf")
        with self._monitor.lock:
            late, seconds = self.look(time.monotonic())
        if late and not (self.reader is not None and self.reader.is_alive()):
            try:
                self.reader = self._reader_of(self._read_instead)
                self.reader.start()
            except RuntimeError as exc:  # the next look tries again
                self.reader = None
                self._log.warning("no thread could be started to read beside a slow handler: %s", exc)
        return seconds

    def look(self, now: float) -> tuple[bool, float]:
        """Tell whether somebody else should read, and in how many seconds to look again; the lock is held."""
        if self.thread is None:
            return False, float("inf")
        since, behind = self._delivering, self._behind or now
        if since is not None:
            patience = _BEHIND if self._monitor.protocol.window.frames else _FLOODED
            if self._wanted or now - since >= _LONG or now - behind >= patience:
                return True, _LOOK
        elif self._batches == self._seen:  # a quiet session is not looked at; it says when it speaks again
            self._watched = False
            return False, float("inf")
        self._seen = self._batches
        return False, _LOOK

    def see_off(self, seconds: float) -> None:
        """Once the socket is shut: have the rest read, which is there now, within so many seconds."""
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

    # -- a reader that does nothing else -------------------------------------------------------------

    def _reader_of(self, target: Callable[[], None]) -> threading.Thread:
        return thread_of(f"speechmatics-rt-reader-{self._log.request_id}", target)

    def _read(self) -> None:
        if self._monitor.enter("reader"):
            own_reader_begins()
            try:
                self._read_on()
            finally:
                own_reader_ends()

    # -- by the shared reader; see shared_reader.Read --------------------------------------------------

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
        """Read for the one that is with its handlers, and will find its messages taken in."""
        with self._monitor.lock:
            if not self.hand_over():
                return
        self._read_on()

    def _read_on(self) -> None:
        try:
            self._reading.run()
        finally:
            self.thread = None
            self._end()
