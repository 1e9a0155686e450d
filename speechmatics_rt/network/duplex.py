"""A socket, plain or TLS, that one reading and one writing thread share safely.

OpenSSL forbids simultaneous reads and writes on one TLS connection, and Python's ``ssl`` module does not
prevent them: streams get corrupted and processes crash. So a :class:`DuplexSocket` makes every call that
reads or writes non-blocking, under a lock that is held for that single call, and waits without the lock.
Plain sockets take the same path.

This module knows nothing of WebSocket or of this package's errors: failures of a socket are raised as
:class:`OSError` (:class:`ssl.SSLError` and :class:`socket.timeout` are subclasses), for the callers to name.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ..threads import new_lock

if TYPE_CHECKING:
    from ..tls import TlsStream  # at run time only if TLS is used: ssl takes longer to import than all else

__all__ = ["DuplexSocket", "wait_ready"]

_LONGEST_WAIT = 3600.0  # seconds in one call, since poll() takes no more than 24 days
_SHORT_WAIT = 0.5  # seconds in one call, where a wake-up can get lost


class DuplexSocket:
    """A connected socket for two threads: one reads, and one at a time writes.

    ``_lock`` is held for each single call that reads, writes or closes, and for nothing else; none of those
    can wait. ``shut`` takes no lock.

    Every method raises :class:`OSError` when the connection is dead: :class:`BrokenPipeError`,
    :class:`ConnectionResetError`, :class:`ssl.SSLError`, or ``EBADF`` after ``close``.

    Attributes:
        emptied: The last read took all that had arrived.
        reading_writes: The last ``try_recv`` needed room to write first, as TLS may.

    Example:
        >>> here, there = socket.socketpair()
        >>> duplex, other = DuplexSocket(here), DuplexSocket(there)
        >>> duplex.try_send(b"hello")
        5
        >>> buffer = bytearray(8)
        >>> other.recv_into(buffer, timeout=1)
        5
        >>> duplex.shut()
        >>> other.recv_into(buffer)
        0
        >>> duplex.close(); other.close()
    """

    max_block = 64 * 1024  # the most bytes worth giving to try_send() at once

    __slots__ = (
        "__weakref__",
        "_blocked",
        "_fd",
        "_lock",
        "_longest",
        "_pending",
        "_pid",
        "_poll_of",
        "_read_poll",
        "_recv_into",
        "_send",
        "_send_reads",
        "_shut",
        "_sock",
        "_want_read",
        "_want_write",
        "emptied",
        "reading_writes",
    )

    def __init__(self, sock: socket.socket, tls: Optional[TlsStream] = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._pid = os.getpid()
        self._lock = new_lock()
        self._shut = False
        self._recv_into: Callable[..., int] = (tls or sock).recv_into
        self._send = (tls or sock).send
        self.emptied = False
        # The reading thread's own, since a poll object serves one thread at a time.
        self._read_poll: Any = None
        self._poll_of = 0
        self._send_reads = False  # the last try_send needed to read first
        self._blocked: tuple[type[OSError], ...] = (BlockingIOError,)
        self._want_read: tuple[type[OSError], ...] = ()
        self._want_write: tuple[type[OSError], ...] = ()
        self._pending: Optional[Callable[[], int]] = None
        self._longest = _LONGEST_WAIT
        self.reading_writes = False
        if tls is not None:
            self._speak(tls)

    def _speak(self, tls: TlsStream) -> None:
        import ssl

        self._pending = tls.pending
        self._want_read, self._want_write = (ssl.SSLWantReadError,), (ssl.SSLWantWriteError,)
        self._blocked = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
        # With a caller's own context a server may renegotiate (up to TLS 1.2). A write then reads, and may
        # take in data while the reader waits for the descriptor: so check again soon.
        forbidden = getattr(ssl, "OP_NO_RENEGOTIATION", 0)
        if tls.state.version() != "TLSv1.3" and not tls.state.context.options & forbidden:
            self._longest = _SHORT_WAIT

    def recv_into(
        self, buffer: Any, timeout: Optional[float] = None, idle: Optional[Callable[[], object]] = None
    ) -> int:
        """Read at least one byte into ``buffer`` and return how many; 0 at the end of the stream.

        For one thread at a time; ``buffer`` is a writable buffer of bytes, not empty. Waits for data at most
        ``timeout`` seconds, or with None until there is some or :meth:`shut` is called. Calls ``idle`` once,
        before it waits.

        Raises:
            socket.timeout: Nothing came within ``timeout``.
            OSError: The connection is dead.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        # Try first, wait second: poll() does not see bytes that TLS has taken in. Only if the last read
        # emptied the socket, wait at once: that saves a failing call, 4 us of a live session's 50.
        emptied, self.emptied = self.emptied, False
        writes = False
        while True:
            try:
                if not emptied:
                    with self._lock:
                        count = self._recv_into(buffer)
                    self.emptied = count < len(buffer)
                    return count
            except self._blocked as exc:
                writes = isinstance(exc, self._want_write)
            except (OSError, ValueError) as exc:
                if self._fd >= 0 and self._shut:
                    return 0  # the kernel may report a reset
                raise _as_os_error(exc) from exc
            emptied = False
            if self._pending is not None:
                with self._lock:  # a write may have read since, see _speak
                    if self._pending():
                        continue
            longest = self._longest
            if deadline is not None:
                longest = min(deadline - time.monotonic(), longest)
                if longest <= 0:
                    raise socket.timeout(f"nothing received in {timeout:g} s")
            if idle is not None:
                idle()
                idle = None
            self._wait_to_read(writes, longest)

    def try_recv(self, buffer: Any) -> Optional[int]:
        """Read into ``buffer`` without waiting; return how many bytes, None if there are none, 0 at the end.

        For one thread at a time, which then reads only by this method.

        Raises:
            OSError: The connection is dead.
        """
        try:
            with self._lock:
                count = self._recv_into(buffer)
                self.emptied = count < len(buffer) and not (self._pending is not None and self._pending())
        except self._blocked as exc:
            self.reading_writes = isinstance(exc, self._want_write)
            return None
        except (OSError, ValueError) as exc:
            if self._fd >= 0 and self._shut:
                return 0  # see recv_into()
            raise _as_os_error(exc) from exc
        return count

    def has_unread(self) -> bool:
        """Whether there is something to read now, the end included. May be called from any thread."""
        try:
            with self._lock:
                if self._pending is not None and self._pending():
                    return True
            return bool(wait_ready((self._fd,), False, 0.0))
        except (OSError, ValueError):
            return False  # closed

    def forget_emptied(self) -> None:
        """Have the next :meth:`recv_into` try before it waits."""
        self.emptied = False

    @property
    def is_told_by_its_descriptor(self) -> bool:
        """Whether polling the descriptor reports all data; with renegotiation it does not."""
        return self._longest == _LONGEST_WAIT

    def _wait_to_read(self, writes: bool, seconds: float) -> None:
        if not writes and self._fd >= 0:
            thread = threading.get_ident()
            if self._poll_of != thread and sys.platform != "win32" and hasattr(select, "poll"):
                self._read_poll = select.poll()
                self._read_poll.register(self._fd, select.POLLIN)
                self._poll_of = thread  # a poll object of gevent belongs to the thread that made it
            if self._poll_of == thread:
                self._read_poll.poll(seconds * 1000)
                return
        wait_ready((self._fd,), writes, seconds)

    def try_send(self, data: Any) -> int:
        """Try once to send, without waiting; return the number of bytes taken, 0 if it would block.

        For one thread at a time. Over TLS it is all or nothing, and after a 0 **the same bytes must be sent
        again before any others**, and no fewer: part of them may be on the wire. Of data longer than
        ``max_block`` only the first ``max_block`` bytes are tried. ``data`` is bytes-like, and not empty.

        Raises:
            OSError: The connection is dead. After this, or any other exception, never send again.
        """
        if len(data) > self.max_block:
            data = memoryview(data)[: self.max_block]
        try:
            with self._lock:
                return self._send(data)
        except self._blocked as exc:
            self._send_reads = isinstance(exc, self._want_read)
            return 0
        except ValueError as exc:
            raise _as_os_error(exc) from exc

    def wait_sendable(self, timeout: Optional[float]) -> bool:
        """Wait until ``try_send`` can be tried again; return False after ``timeout`` seconds without that.

        After True the next try may still take nothing. With None it waits without limit, or for :meth:`shut`.

        Raises:
            OSError: The connection is dead (mostly this is left to the next ``try_send``).
        """
        now = time.monotonic()
        deadline = math.inf if timeout is None else now + timeout
        # If a write needs to read, the reading thread may read that first, and poll() would never return.
        # This happens only in a renegotiation, so a short wait does, without a signal between the threads.
        longest = _SHORT_WAIT if self._send_reads else self._longest
        if wait_ready((self._fd,), not self._send_reads, min(deadline - now, longest)):
            return True
        return time.monotonic() < deadline

    def unread(self, data: bytes) -> None:
        """Give back bytes read ahead: ``recv_into`` returns them first. Call it before the threads start."""
        if not data:
            return
        self.emptied = False
        rest, further = memoryview(data), self._recv_into
        owner = weakref.ref(self)  # without a cycle, which would keep a socket that nobody has

        def recv_into(buffer: Any) -> int:
            nonlocal rest
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            duplex = owner()
            if not rest and duplex is not None:
                duplex._recv_into = further  # so later reads cost nothing more
            return count

        self._recv_into = recv_into

    def shut(self) -> None:
        """Shut down both directions now; both threads wake up. For any thread, finaliser or signal handler.

        Takes no lock and never raises; a second call does nothing. In a forked child it does nothing, since
        the connection is the parent's.
        """
        if os.getpid() != self._pid:
            return
        self._shut = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already shut, closed or lost, which has woken the threads

    def close(self) -> None:
        """Close the descriptor; only after both threads have left, or in a forked child. Never waits.

        A second call does nothing. The other end gets no TLS close alert: a WebSocket ends with a close frame
        of its own, and in a child an alert would end the parent's connection.
        """
        self._fd = -1  # first, as the number may soon be reused
        with self._lock:  # without the interpreter lock two threads could close the number twice
            self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor's number, -1 once closed."""
        return self._fd


def wait_ready(descriptors: Sequence[int], writes: bool, seconds: float) -> list[int]:
    """Wait until some descriptors can be written (else read), or have failed or ended; return those.

    Returns an empty list after at most ``seconds``, sometimes sooner: the caller checks the deadline. Uses
    ``poll`` where it exists, since ``select`` stops at descriptor 1,024.

    Raises:
        OSError: A descriptor is closed (``EBADF``).
    """
    try:
        if sys.platform != "win32" and hasattr(select, "poll"):  # eventlet removes it
            poll = select.poll()  # a new one: that takes 0.5 us, and a poll object serves one thread only
            for descriptor in descriptors:
                poll.register(descriptor, select.POLLOUT if writes else select.POLLIN)
            return [descriptor for descriptor, _ in poll.poll(min(max(seconds, 0), _LONGEST_WAIT) * 1000)]
        # On Windows Ctrl-C does not interrupt select(), and it may not notice a shutdown from this end, so it
        # waits in slices. It reports a failed connect() in the third list.
        readers, writers = ([], descriptors) if writes else (descriptors, [])
        found = select.select(readers, writers, descriptors, min(max(seconds, 0), _SHORT_WAIT))
        return list({*found[0], *found[1], *found[2]})
    except ValueError as exc:  # descriptor -1
        raise _as_os_error(exc) from exc


def _as_os_error(exc: Exception) -> OSError:
    """Return an OSError as it is; some calls raise ValueError for a closed socket."""
    return exc if isinstance(exc, OSError) else OSError(errno.EBADF, f"the socket is closed ({exc})")
