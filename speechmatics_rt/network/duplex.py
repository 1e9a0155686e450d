"""One socket, plain or TLS, safely shared by one reading and one writing thread.

OpenSSL forbids a read and a write at the same time on one TLS connection, and Python's ``ssl`` module
does not prevent it: streams get corrupted and processes crash. A :class:`DuplexSocket` therefore makes
every call on the real socket non-blocking, under one lock that is held for that single call, and waits
outside of it. Plain sockets take the same path.

The module knows no WebSocket and no error of this package: what fails on a socket is an :class:`OSError`
(:class:`ssl.SSLError` is one, so is :class:`socket.timeout`), for the floors above to name.
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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ..locks import importing, new_lock

if TYPE_CHECKING:
    import ssl  # at run time only where TLS is spoken: it takes longer to import than the rest of us

__all__ = ["DuplexSocket", "connect_tls", "shared_context", "wait_ready"]

_PLAIN_BLOCK = 64 * 1024
_TLS_BLOCK = 16 * 1024  # one TLS record; a longer write, once begun, would have to be repeated whole
_LONGEST_WAIT = 3600.0  # in one call, since poll() takes no more than 24 days; then we look again
_SHORT_WAIT = 0.5  # in one call, where a wake-up can get lost


class DuplexSocket:
    """A connected socket for two threads, one that reads and one at a time that writes.

    ``_lock`` guards each single call on the real socket; nothing else is done while it is held, and
    none of those calls can wait. ``shut`` and ``close`` take no lock.

    Every method raises :class:`OSError` when the connection is dead: :class:`BrokenPipeError`,
    :class:`ConnectionResetError`, :class:`ssl.SSLError`, or ``EBADF`` after ``close``.

    Attributes:
        max_block: The most bytes worth giving to ``try_send`` at once.
        reading_writes: The last ``try_recv`` lacked room to write something first, as TLS may have to.

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

    __slots__ = (
        "_blocked",
        "_emptied",
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
        "max_block",
        "reading_writes",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._pid = os.getpid()
        self._lock = new_lock()
        self._shut = False
        self._recv_into: Callable[..., int] = sock.recv_into
        self._send = sock.send
        self._emptied = False  # the last read took all there was
        # The reading thread's own, since a poll object serves one thread at a time.
        self._read_poll: Any = None
        self._poll_of = 0
        self._send_reads = False  # the last try_send lacked something to read
        self._blocked: tuple[type[OSError], ...] = (BlockingIOError,)
        self._want_read: tuple[type[OSError], ...] = ()
        self._want_write: tuple[type[OSError], ...] = ()
        self._pending: Optional[Callable[[], int]] = getattr(sock, "pending", None)
        self._longest = _LONGEST_WAIT
        self.reading_writes = False
        self.max_block = _PLAIN_BLOCK
        if self._pending is not None:
            self._speak_tls(sock)  # type: ignore[arg-type]

    def _speak_tls(self, sock: ssl.SSLSocket) -> None:
        import ssl

        self._want_read, self._want_write = (ssl.SSLWantReadError,), (ssl.SSLWantWriteError,)
        self._blocked = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self.max_block = _TLS_BLOCK
        # Under a caller's own context a server may renegotiate (TLS 1.2 at most). A write then reads, and
        # may pull data into OpenSSL's buffer while the reader waits for the descriptor: look again soon.
        forbidden = getattr(ssl, "OP_NO_RENEGOTIATION", 0)
        if sock.version() != "TLSv1.3" and not sock.context.options & forbidden:
            self._longest = _SHORT_WAIT

    def recv_into(
        self, buffer: Any, timeout: Optional[float] = None, idle: Optional[Callable[[], object]] = None
    ) -> int:
        """Read at least one byte into ``buffer`` and return how many; 0 at the end of the stream.

        One thread at a time; ``buffer`` is a writable buffer of bytes, not empty. Waits for data at most
        ``timeout`` seconds, or with None until there is some or :meth:`shut` is called. Before it waits it
        calls ``idle``, once.

        Raises:
            socket.timeout: Nothing came within ``timeout``.
            OSError: The connection is dead.
        """
        deadline = None
        # Try first, wait second: decrypted bytes inside OpenSSL are invisible to poll(). Only what the last
        # read emptied is waited for at once, which saves the refusal: 4 us of a live session's 50.
        emptied, self._emptied = self._emptied, False
        writes = False
        while True:
            try:
                if not emptied:
                    with self._lock:
                        count = self._recv_into(buffer)
                    self._emptied = count < len(buffer)
                    return count
            except self._blocked as exc:
                writes = isinstance(exc, self._want_write)
            except (OSError, ValueError) as exc:
                if self._fd >= 0 and (self._shut or _is_ragged_end(exc)):
                    return 0  # what comes after shut() the kernel may answer with a reset
                raise _as_os_error(exc) from exc
            emptied = False
            if self._pending is not None:
                with self._lock:  # a write may have read since, see _speak_tls
                    if self._pending():
                        continue
            now = time.monotonic()
            if deadline is None:
                deadline = math.inf if timeout is None else now + timeout
            if now >= deadline:
                raise socket.timeout(f"nothing received in {timeout:g} s")
            if idle is not None:
                idle()
                idle = None
            self._wait_to_read(writes, min(deadline - now, self._longest))

    def try_recv(self, buffer: Any) -> Optional[int]:
        """Read what is at hand into ``buffer``, without waiting: how many bytes; None if none, 0 at the end.

        One thread at a time, which then reads by this method alone.

        Raises:
            OSError: The connection is dead.
        """
        try:
            with self._lock:
                count = self._recv_into(buffer)
                self._emptied = count < len(buffer) and not (self._pending is not None and self._pending())
        except self._blocked as exc:
            self.reading_writes = isinstance(exc, self._want_write)
            return None
        except (OSError, ValueError) as exc:
            if self._fd >= 0 and (self._shut or _is_ragged_end(exc)):
                return 0  # see recv_into()
            raise _as_os_error(exc) from exc
        return count

    @property
    def is_emptied(self) -> bool:
        """Whether the last read took all that was at hand."""
        return self._emptied

    def has_unread(self) -> bool:
        """Whether there is something to read, or the end, at this moment. From any thread."""
        try:
            with self._lock:
                if self._pending is not None and self._pending():
                    return True
            return bool(wait_ready((self._fd,), False, 0.0))
        except (OSError, ValueError):
            return False  # closed

    def forget_emptied(self) -> None:
        """Have the next :meth:`recv_into` try before it waits."""
        self._emptied = False

    @property
    def is_told_by_its_descriptor(self) -> bool:
        """Whether the descriptor tells of everything that can be read; under a renegotiation it does not."""
        return self._longest == _LONGEST_WAIT

    def _wait_to_read(self, writes: bool, seconds: float) -> None:
        if not writes and self._fd >= 0:
            thread = threading.get_ident()
            if self._poll_of != thread and sys.platform != "win32" and hasattr(select, "poll"):
                self._read_poll = select.poll()
                self._read_poll.register(self._fd, select.POLLIN)
                self._poll_of = thread  # gevent's belongs to the thread that has made it
            if self._poll_of == thread:
                self._read_poll.poll(math.ceil(seconds * 1000))
                return
        wait_ready((self._fd,), writes, seconds)

    def try_send(self, data: Any) -> int:
        """Try once to send, without waiting; return the number of bytes taken, 0 if it would block.

        One thread at a time. Over TLS it is all or nothing, and after a 0 **the same bytes must come
        again before any others**, no fewer: part of them may be on the wire, and OpenSSL would either
        refuse the rest or mix it with the old. Of data longer than ``max_block`` only that much is
        tried, so that what has begun stays small. ``data`` is bytes-like, of bytes, not empty.

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
        """Wait for what the last ``try_send`` lacked; False if it didn't come within ``timeout`` seconds.

        True means: try again; it may still be too early. None waits until then or until :meth:`shut`.

        Raises:
            OSError: The connection is dead (mostly this is left to the next ``try_send``).
        """
        now = time.monotonic()
        deadline = math.inf if timeout is None else now + timeout
        # What a write wants to read the reading thread may take off the wire first, and poll() would never
        # tell. It takes a renegotiation, so it's not worth a signal between the two: only a short wait.
        longest = _SHORT_WAIT if self._send_reads else self._longest
        if wait_ready((self._fd,), not self._send_reads, min(deadline - now, longest)):
            return True
        return time.monotonic() < deadline

    def unread(self, data: bytes) -> None:
        """Give back bytes read ahead: ``recv_into`` returns them first. Only before the threads start."""
        if not data:
            return
        self._emptied = False
        rest, further = memoryview(data), self._recv_into

        def recv_into(buffer: Any) -> int:
            nonlocal rest
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            if not rest:
                self._recv_into = further  # from here on this costs nothing
            return count

        self._recv_into = recv_into

    def shut(self) -> None:
        """End both directions, now; both threads wake up. From any thread, finaliser or signal handler.

        Takes no lock and never raises; a second call does nothing. It is ``shutdown`` on the plain
        descriptor: :meth:`ssl.SSLSocket.shutdown` would drop the TLS layer, and the reader would get
        ciphertext. In a forked child it does nothing, since the connection is the parent's.
        """
        if os.getpid() != self._pid:
            return
        self._shut = True
        try:
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            pass  # already shut, closed or lost: whoever waits has been woken by that

    def close(self) -> None:
        """Close the descriptor; only after both threads have left, or in a forked child. Never waits.

        A second call does nothing. The other end gets no TLS close alert: a WebSocket has said goodbye
        in its own close frame, and in a child an alert would end the parent's connection.
        """
        self._fd = -1  # the number may soon be somebody else's
        self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor's number, -1 once closed."""
        return self._fd


def wait_ready(descriptors: Sequence[int], writes: bool, seconds: float) -> list[int]:
    """Wait until some descriptors can be written (else read), or have failed or ended; return those.

    None after at most ``seconds``, sometimes sooner: the caller knows the deadline. Uses ``poll`` where
    there is one, since ``select`` stops at descriptor 1,024.

    Raises:
        OSError: A descriptor is closed (``EBADF``).
    """
    try:
        if sys.platform != "win32" and hasattr(select, "poll"):  # eventlet takes it away
            poll = select.poll()  # made anew: 0.5 us, and a poll object serves one thread only
            for descriptor in descriptors:
                poll.register(descriptor, select.POLLOUT if writes else select.POLLIN)
            return [
                descriptor
                for descriptor, _ in poll.poll(math.ceil(min(max(seconds, 0), _LONGEST_WAIT) * 1000))
            ]
        # Windows' select() can't be interrupted by Ctrl-C and needn't notice a shutdown from this end, so
        # it waits in slices; in the third list it reports a connect() that failed.
        readers, writers = ([], descriptors) if writes else (descriptors, [])
        found = select.select(readers, writers, descriptors, min(max(seconds, 0), _SHORT_WAIT))
        return list({*found[0], *found[1], *found[2]})
    except ValueError as exc:  # descriptor -1
        raise _as_os_error(exc) from exc


def _as_os_error(exc: Exception) -> OSError:
    """Give back an OSError as it is; a ValueError is what some calls make of a closed socket."""
    return exc if isinstance(exc, OSError) else OSError(errno.EBADF, f"the socket is closed ({exc})")


def _is_ragged_end(exc: Exception) -> bool:
    """Whether a TLS stream just ended, without a close alert, as it does when a plain one ends.

    Python hides this itself, but from 3.9 with OpenSSL 3, which reports it under another name.
    """
    return getattr(exc, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"


_context: Optional[ssl.SSLContext] = None
_context_lock = new_lock()  # held while the one context is built: a second would cost 30 ms and 1 MB


def shared_context() -> ssl.SSLContext:
    """Return the one default TLS context of the process, built on first use; safe from any thread.

    It verifies certificates against the system's store, or ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.

    Raises:
        ConfigurationError: One of these names no certificates.
    """
    global _context  # noqa: PLW0603  # one per process is the point
    with _context_lock:
        if _context is None:
            with importing:
                import ssl

            from .trust import trust_environment

            context = ssl.create_default_context()
            trust_environment(context)
            # See DuplexSocket._speak_tls: with this, no write ever reads.
            context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
            _context = context
        return _context


def connect_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    server_hostname: str,
    deadline: float,
    *,
    hold: Callable[[socket.socket], object] = lambda sock: None,
) -> DuplexSocket:
    """Do the TLS handshake on a connected socket, before ``deadline`` (of :func:`time.monotonic`).

    Takes ``sock`` over: whatever is raised, it is closed. What it becomes is given to ``hold`` meanwhile.

    Raises:
        socket.timeout: The deadline passed.
        ssl.SSLError: The handshake failed; ``ssl.SSLCertVerificationError`` for the certificate, whose
            ``verify_message`` then says who issued it, too.
        OSError: The connection is dead.
    """
    opened = [sock]
    try:
        sock.setblocking(False)
        # wrap_socket() takes the descriptor over from sock, so from here on the wrapped one is to be closed.
        # In one line, since Ctrl-C between two would find it nowhere. The first False: we are the client; the
        # second: it is shaken hands below, under the deadline.
        opened.append(context.wrap_socket(sock, False, False, server_hostname=server_hostname))
        hold(opened[1])
        _shake_hands(opened[1], deadline)  # type: ignore[arg-type]
        return DuplexSocket(opened[1])
    except BaseException:
        for each in opened:
            each.close()
        raise


def _shake_hands(tls: ssl.SSLSocket, deadline: float) -> None:
    import ssl

    while True:
        try:
            return tls.do_handshake()
        except ssl.SSLWantReadError:
            writes = False
        except ssl.SSLWantWriteError:
            writes = True
        except ssl.SSLCertVerificationError as exc:
            from .trust import issuer_of

            issuer = issuer_of(tls)
            if issuer:
                exc.verify_message = f"{exc.verify_message.rstrip('.')}; it was issued by {issuer}"
            raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the TLS handshake took too long")
        wait_ready((tls.fileno(),), writes, left)
