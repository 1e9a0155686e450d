"""One accepted socket and the loop that serves it: bytes in, bytes out, timers, wake-ups."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from ...threads import new_lock
from ...tls import TlsStream

__all__ = ["Delay", "Drip", "Wire"]

_READ = 65_536
_SEND = 262_144
_UNSENT = 16 * 1024 * 1024  # a client that does not read: above this the server stops reading, too
_LONGEST = 3600.0  # s of one wait; some selectors take no more than weeks
_FINISH = 5.0  # s for a client that reads slowly to take the rest
_LINGER = 1.0  # s for the client's end of the stream, once ours is sent


@dataclass
class Drip:
    """Write ``size`` bytes, rest ``seconds``, and so on for ``total`` bytes."""

    size: int
    seconds: float
    total: int


class Wire:
    """A non-blocking socket, plain or TLS, used by one thread only.

    Every method except :meth:`call` belongs to the thread inside :meth:`run`. ``send`` only queues; the loop
    writes what is queued once per turn, so the answers to many frames leave together.
    """

    def __init__(self, sock: socket.socket, tls: Optional[ssl.SSLContext] = None) -> None:
        self.reading = True
        self.frozen = False  # nothing is read or written, though timers run
        self.notifies = True  # TLS ends with close_notify
        self.on_client_hello: Optional[Callable[[], None]] = None  # called once it is here
        self.drip: Optional[Drip] = None
        self.closed = False
        self._write_ended = False  # what is sent is dropped: our direction has ended
        self._half = False  # our direction ends once everything is written, and only ours
        self._left: Optional[int] = None  # bytes to write before the end
        self._resets = False  # and that end is RST
        self._unsent = bytearray()
        self._finishing = False
        self._eof = False
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._lock = new_lock()  # guards _calls and the life of _waker, for call(); a leaf
        self._calls: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        try:
            self._waker, self._woken = socket.socketpair()
        except OSError:
            self._selector.close()
            raise
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._interest = 0
        self._sock = sock
        self._tls: Optional[TlsStream] = None
        try:
            self._waker.setblocking(False)
            self._woken.setblocking(False)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._tls = TlsStream(sock, tls, server_side=True)
        except OSError:
            self.closed = True  # the client went before it was looked at
        self._handshaking = self._tls is not None

    # -- for any thread ------------------------------------------------------------------------------

    def call(self, callback: Callable[[], None]) -> None:
        """Run a callback on the loop's thread, soon; never after the end of the loop."""
        with self._lock:
            self._calls.append(callback)  # before the byte: who is woken finds it
            if self._waker.fileno() < 0:
                return
            try:
                self._waker.send(b"\0")
            except BlockingIOError:
                pass  # full of wake-ups, so it will wake

    # -- for callbacks of the loop -------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if not self._write_ended:
            self._unsent += data

    def send_under_tls(self, data: bytes) -> None:
        """Write a few bytes to TCP as they are, bypassing TLS, without waiting if they don't fit."""
        try:
            self._sock.send(data)
        except OSError:
            pass  # the client was faster

    def half_close(self) -> None:
        """End our direction once everything is written; go on reading."""
        self._half = True

    def cut_after(self, size: int, *, reset: bool) -> None:
        """End our direction, or reset, after ``size`` more bytes."""
        self._left, self._resets = len(self._unsent) + size, reset

    def later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Run a callback after a delay; a timer of the same name is replaced."""
        self._timers[name] = (time.monotonic() + seconds, callback)

    def after(self, name: str, seconds: Optional[float], callback: Callable[[], None]) -> None:
        """Run a callback after a delay, if there is one, or at once; None: never."""
        if seconds:
            self.later(name, seconds, callback)
        elif seconds is not None:
            callback()

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def finish(self) -> None:
        """End our direction once everything is written, wait a moment for the other's, then close."""
        if not self._finishing:
            self._finishing = True
            self.later("finish", _FINISH, self.stop)

    def stop(self) -> None:
        """Close at the end of this turn, whatever is unsent."""
        self.closed = True

    def reset(self) -> None:
        """Close with RST at once; what is unsent is lost."""
        pattern = "hh" if sys.platform == "win32" else "ii"
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(pattern, 1, 0))
        except OSError:
            pass  # the client was faster
        self.closed = True

    def run(self, received: Callable[[bytes], None]) -> None:
        """Serve until closed; ``received`` gets bytes, and ``b""`` when the client has ended its stream."""
        try:
            while not self.closed:
                ready = self._wait()
                self._run_calls()
                if ready & selectors.EVENT_READ or self._buffered():
                    self._read(received)
                self._run_timers()  # after reading: what has come is in time, however late we wake
                self._write()
        finally:
            self.close()

    def close(self) -> None:
        self.closed = True
        # Under the lock: call() must not write to a number that has become another socket's.
        with self._lock:
            self._waker.close()
            self._calls.clear()
        self._woken.close()
        self._selector.close()
        self._sock.close()

    # -- the loop ------------------------------------------------------------------------------------

    def _wait(self) -> int:
        interest = 0
        if self._wants_to_read():
            interest |= selectors.EVENT_READ
        if self._unsent and not (self._handshaking or self.frozen or "drip" in self._timers):
            interest |= selectors.EVENT_WRITE
        if interest != self._interest:
            if not self._interest:
                self._selector.register(self._sock, interest)
            elif not interest:
                self._selector.unregister(self._sock)
            else:
                self._selector.modify(self._sock, interest)
            self._interest = interest
        timeout = None  # until the socket, a wake-up or the server's end
        # Calls are looked at before the wait: one that comes later has left its byte, and ends the wait.
        if self._calls or self._buffered():
            timeout = 0.0
        elif self._timers:
            wait = min(when for when, _ in self._timers.values()) - time.monotonic()
            timeout = min(max(0.0, wait), _LONGEST)
        ready = 0
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._woken:
                self._woken.recv(4096)
            else:
                ready = mask
        return ready

    def _wants_to_read(self) -> bool:
        if self._eof or self.frozen:
            return False
        return (self.reading or self._finishing) and len(self._unsent) < _UNSENT

    def _buffered(self) -> bool:
        # TLS may have taken in bytes that no selector knows of.
        return self._tls is not None and self._wants_to_read() and self._tls.pending() > 0

    def _run_calls(self) -> None:
        while self._calls and not self.closed:
            self._calls.popleft()()

    def _run_timers(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        due = [(when, name) for name, (when, _) in self._timers.items() if when <= now]
        for _, name in sorted(due):  # by their times, however late we are
            timer = self._timers.pop(name, None)  # an earlier one may have cancelled it
            if timer is not None and not self.closed:
                timer[1]()

    def _read(self, received: Callable[[bytes], None]) -> None:
        if self.closed:
            return
        try:
            if self._tls is not None and self._handshaking:
                if not self._client_hello_may_be_answered():
                    return
                self._tls.do_handshake()
                self._handshaking = False
            data = (self._tls or self._sock).recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.closed = True  # reset by the client, or no TLS at all
            received(b"")
            return
        if data:
            if not self._finishing:
                received(data)
            return
        self._eof = True
        if self._finishing:
            self.closed = not self._unsent
        else:
            received(b"")

    def _client_hello_may_be_answered(self) -> bool:
        if self.on_client_hello is not None:
            callback, self.on_client_hello = self.on_client_hello, None
            callback()
        return not (self.closed or self.frozen or self._finishing)

    def _write(self) -> None:
        while self._unsent and not (
            self.closed or self.frozen or self._handshaking or "drip" in self._timers or self._left == 0
        ):
            size = self.drip.size if self.drip is not None else _SEND
            if self._left is not None:
                size = min(size, self._left)
            try:
                with memoryview(self._unsent)[:size] as view:
                    sent = (self._tls or self._sock).send(view)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self._unsent.clear()  # nobody will read it; what the client has sent can still be read
                self.finish()
                break
            del self._unsent[:sent]
            if self._left is not None:
                self._left -= sent
            if self.drip is not None:
                self.drip.total -= sent
                self.later("drip", self.drip.seconds, lambda: None)
                if self.drip.total <= 0:
                    self.drip = None
        if self._left == 0 and not self._write_ended and not self.closed:
            self._cut()
        if self.closed or self._unsent:
            return
        if self._half and not self._write_ended:
            self._shut()
        if self._finishing:
            self._leave()

    def _cut(self) -> None:
        self._unsent.clear()
        if self._resets:
            self.reset()
        else:
            self._shut()
            self.finish()

    def _leave(self) -> None:
        if self._eof:
            self.closed = True
        elif "linger" not in self._timers:
            if not self._write_ended:
                self._shut()
            self.later("linger", _LINGER, self.stop)

    def _shut(self) -> None:
        """End our direction."""
        self._write_ended = True
        try:
            if self._tls is not None and self.notifies:
                self._tls.end()
        except (OSError, ValueError):
            pass
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = True


class Delay:
    """Does one thing after the other, at once or, if a fault wants that, late. For the wire's thread.

    Attributes:
        seconds: So late. What waits already stays as late as it was, and nothing overtakes it.
    """

    def __init__(self, wire: Wire) -> None:
        self.seconds = 0.0
        self._wire = wire
        self._waiting: deque[Callable[[], None]] = deque()
        self._count = 0

    def do(self, act: Callable[[], None]) -> None:
        """Do something, now or late."""
        if not self.seconds and not self._waiting:
            act()
            return
        self._waiting.append(act)
        self._count += 1
        # Each does the first that waits: timers of one moment may come in any order.
        self._wire.later(f"delay {self._count}", self.seconds, lambda: self._waiting.popleft()())
