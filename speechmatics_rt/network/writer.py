"""Writes to the socket: at once on the sender's thread if possible, else on the writer thread.

The writer thread also enforces the deadlines.
"""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..exceptions import ConnectionError
from ..log import SessionLog
from .duplex import DuplexSocket
from .monitor import Monitor

__all__ = ["Writer"]

_GATHER = 0.0005  # seconds in which frames of an upload gather before they are written
_BURST = 0.001  # seconds; chunks closer together than this are an upload: the writer joins them
# The longest wait in seconds for a socket that is full: the writer's WakeUp does not end that wait.
_STUCK = 0.5


class Writer:
    """Writes what the protocol has queued, and on its own thread (:meth:`run`) enforces every deadline.

    Callers of :meth:`pump` and :meth:`write_soon` hold the monitor's lock, which also guards the attributes.
    *The writer keeps the time*: it sends pings, and enforces every deadline that no other thread waits for.

    Attributes:
        blocked: The socket is full; the writer thread waits for room, and no other thread tries to write.
        elsewhere: Has the shared reader write, if that is awake; returns False if it is not. None: there is
            no shared reader.
    """

    def __init__(self, sock: DuplexSocket, monitor: Monitor, log: SessionLog) -> None:
        self._sock = sock
        self._monitor = monitor
        self._log = log
        self.blocked = False
        self._progress = False  # bytes were sent since the thread last checked
        self._put_at = 0.0
        self.elsewhere: Optional[Callable[[], bool]] = None

    def write_soon(self, now: float) -> None:
        """Write at once, on this thread or the shared reader; leave an upload to the writer thread."""
        # So a live session wakes no thread for a chunk, and the writer joins many frames of an upload into
        # one write. The shared reader writes, if it is awake, since two threads that make one call after the
        # other on many sockets wait for each other every time.
        burst = now - self._put_at < _BURST
        self._put_at = now
        if burst:
            self._monitor.writer.wake()
        elif self.elsewhere is None or not self.elsewhere():
            self.pump()

    def pump(self) -> None:
        """Write what is queued until the socket is full; the writer thread then writes the rest."""
        protocol = self._monitor.protocol
        outbox = protocol.outbox
        if self.blocked or protocol.broken is not None:
            return
        was_full = outbox.full
        try:
            block = outbox.take()
            while block:
                count = self._sock.try_send(block)
                rest = outbox.wrote(count)
                self._progress |= count > 0
                if count < len(block):
                    self.blocked = True
                    self._monitor.writer.wake()
                    break
                block = rest
            protocol.room |= was_full and not outbox.full
        except OSError as exc:
            # Stored, not raised: the server may have sent a reason that the reader has yet to read.
            protocol.write_failed(exc, time.monotonic())
            self._monitor.writer.wake()
        except BaseException as exc:  # Ctrl-C inside a send: how much of the frame was sent is unknown
            error = ConnectionError("interrupted while sending", stage=protocol.state.phase.value)
            protocol.conclude(error, exc, now=time.monotonic())
            self._monitor.notify()
            self._sock.shut()
            raise

    def run(self, watch: Callable[[], float]) -> None:
        """Write the backlog, ping, and end a session that is overdue, until the reader has left.

        Args:
            watch: Called whenever this thread wakes; returns in how many seconds to call it again.
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
                    if protocol.outbox and protocol.conclusion is None:
                        # An upload: let some frames gather. Woken for each, the writer would compete with
                        # the sender for the interpreter lock, and a frame would cost four times as much.
                        time.sleep(_GATHER)
        except OSError as exc:  # the descriptor is closed: the reader sees that too, and concludes
            self._log.debug("the writer ends: %s", exc)

    def _work(self) -> tuple[float, bool]:
        """Do what is due; return the seconds until something else is, and whether to shut the socket."""
        monitor, protocol = self._monitor, self._monitor.protocol
        with monitor.lock:
            self.blocked = self._progress = False
            was_waiting = bool(protocol.outbox)
            self.pump()
            now = time.monotonic()
            if was_waiting and self._progress:
                protocol.progress_at = now
                protocol.keepalive.stand_still(now)  # the server must be reading
            wake_at = monitor.wakes_at = protocol.tick(now, self._sock.has_unread)
            protocol.room |= monitor.abandoned
            self.pump()
            monitor.notify()
            return wake_at - now, protocol.must_shut
