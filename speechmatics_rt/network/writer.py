"""Whatever goes out: at once on the sender's thread where it can, else on one that also keeps the time."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..exceptions import ConnectionError
from ..log import SessionLog
from .duplex import DuplexSocket
from .monitor import Monitor

__all__ = ["Writer"]

_GATHER = 0.0005  # seconds
_BURST = 0.001  # seconds; chunks closer together than this are an upload: the writer joins them
# Seconds between looks at the time while the socket takes nothing: a wake-up can't be felt in that wait.
_STUCK = 0.5


class Writer:
    """Write what the protocol has queued; on its own thread (:meth:`run`) keep every deadline.

    :meth:`pump` and :meth:`write_soon` belong to whoever holds the monitor's lock, which also guards the
    attributes. *The writer keeps the time*: pings, and every deadline that nobody waits for.

    Attributes:
        blocked: The socket takes no more; the thread waits for it, nobody else tries.
        elsewhere: Asked to have it written by a thread that is awake anyway, and serves many; False if not.
    """

    def __init__(self, sock: DuplexSocket, monitor: Monitor, log: SessionLog) -> None:
        self._sock = sock
        self._monitor = monitor
        self._log = log
        self.blocked = False
        self._progress = False  # bytes have left since the thread last looked
        self._put_at = 0.0
        self.elsewhere: Optional[Callable[[], bool]] = None

    def write_soon(self, now: float) -> None:
        """Write at once, on this thread; but a burst is left to the writer's, which joins it."""
        # So a live session wakes no thread for a chunk, and an upload costs one write for many. And of two
        # threads that make one call after the other on many sockets, each waits for the other every time.
        burst = now - self._put_at < _BURST
        self._put_at = now
        if burst:
            self._monitor.writer.wake()
        elif self.elsewhere is None or not self.elsewhere():
            self.pump()

    def pump(self) -> None:
        """Write what is queued until the socket takes no more; then the thread goes on with it."""
        protocol = self._monitor.protocol
        outbox = protocol.outbox
        if self.blocked or protocol.broken is not None:
            return
        was_full = outbox.full
        try:
            block = outbox.take()
            while block:
                count = self._sock.try_send(block)
                outbox.wrote(count)
                self._progress |= count > 0
                if count < len(block):
                    self.blocked = True
                    self._monitor.writer.wake()
                    break
                block = outbox.take()
            protocol.room |= was_full and not outbox.full
        except OSError as exc:
            # Parked, not raised: the server may have sent its reason, and the reader is yet to read it.
            protocol.write_failed(exc, time.monotonic())
            self._monitor.writer.wake()
        except BaseException as exc:  # Ctrl-C inside a send: nobody knows how much of the frame went out
            error = ConnectionError("interrupted while sending", stage=protocol.state.phase.value)
            protocol.conclude(error, exc, now=time.monotonic())
            self._monitor.notify()
            self._sock.shut()
            raise

    def run(self, watch: Callable[[], float]) -> None:
        """Write the backlog, ping, and end what is overdue, until the reader has left.

        Args:
            watch: Called whenever this wakes: it looks after others, and says in how many seconds again.
        """
        monitor, protocol = self._monitor, self._monitor.protocol
        try:
            while not monitor.over:
                wait, must_shut = self._work()
                if must_shut:
                    self._sock.shut()
                    return
                wait = min(wait, watch())
                if self.blocked:
                    self._sock.wait_sendable(max(0.0, min(wait, _STUCK)))
                else:
                    monitor.writer.wait(wait)
                    if protocol.outbox and protocol.outcome is None:
                        # An upload: let some frames gather. Woken for each, the writer would fight the
                        # sender for the interpreter lock, at four times the price of a frame.
                        time.sleep(_GATHER)
        except OSError as exc:  # the descriptor is gone: the reader sees that too and says what it means
            self._log.debug("the writer ends: %s", exc)

    def _work(self) -> tuple[float, bool]:
        """Do what is due; return how many seconds there is nothing to do, and whether to shut the socket."""
        monitor, protocol = self._monitor, self._monitor.protocol
        with monitor.lock:
            self.blocked = self._progress = False
            was_waiting = bool(protocol.outbox)
            self.pump()
            now = time.monotonic()
            if was_waiting and self._progress:
                protocol.progress_at = now
                protocol.keepalive.stand_still(now)  # what leaves is read by somebody
            wake_at = protocol.tick(now, self._sock.has_unread)
            protocol.room |= monitor.abandoned
            self.pump()
            monitor.notify()
            return wake_at - now, protocol.must_shut
