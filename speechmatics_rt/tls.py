"""TLS over a connected socket that stays the caller's."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

__all__ = ["TlsStream"]

_BLOCK = 16 * 1024 + 512  # one whole record as it is on the wire


class TlsStream:
    """TLS spoken in memory, over a socket that this neither closes nor changes.

    ``ssl.SSLContext.wrap_socket`` would make a second socket of the same descriptor, and take that from the
    first: if the peer resets the connection just then, or Ctrl-C comes, nobody has the one to be closed.

    For one thread at a time. Raises what the socket raises, such as :class:`socket.timeout`; if it never
    waits, :class:`ssl.SSLWantReadError` and :class:`ssl.SSLWantWriteError` say what to wait for.

    Attributes:
        state: Tells the version and the certificate.

    Example:
        >>> here, there = socket.socketpair()
        >>> here.setblocking(False)
        >>> stream = TlsStream(here, ssl.create_default_context(), server_hostname="localhost")
        >>> stream.do_handshake()
        Traceback (most recent call last):
        ssl.SSLWantReadError: nothing has arrived
        >>> there.recv(3)  # the first handshake record
        b'\\x16\\x03\\x01'
        >>> here.close(); there.close()
    """

    __slots__ = ("_decrypted", "_encrypted", "_incoming", "_outgoing", "_sock", "_unsent", "state")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, **options: Any) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.state = context.wrap_bio(self._incoming, self._outgoing, **options)
        self._unsent = b""
        self._decrypted = False  # a record was begun, of which more may be left to read
        self._encrypted = 0  # bytes of the data given to send() that are among what is unsent

    def do_handshake(self) -> None:
        while True:
            try:
                self.state.do_handshake()
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLError:
                self._send_alert()
                raise
            else:
                return self._flush()

    def recv_into(self, buffer: Any) -> int:
        """Read at least one byte, of one record; return how many, 0 at the end.

        An end without a close alert is an end, too, as Python's own sockets have it.
        """
        size = len(buffer)
        if not (self._decrypted or self._incoming.pending):
            self._fill()
        while True:
            try:
                count: int = self.state.read(size, buffer)  # type: ignore[assignment]  # not bytes
            except ssl.SSLWantReadError:
                self._decrypted = False
                self._fill()
            except ssl.SSLError as exc:
                if isinstance(exc, ssl.SSLEOFError) or exc.reason == "UNEXPECTED_EOF_WHILE_READING":  # 3.9
                    return 0
                self._send_alert()
                raise
            else:
                self._decrypted = count == size
                if self._outgoing.pending:
                    with suppress(ssl.SSLWantWriteError):  # the next call sends the rest
                        self._flush()
                return count

    def recv(self, count: int) -> bytes:
        buffer = bytearray(min(count, _BLOCK))
        return bytes(buffer[: self.recv_into(buffer)])

    def send(self, data: Any) -> int:
        """Send all of ``data``, which is not empty, and return how much that is.

        If it raises that it has to wait, the next call must have the same data; what is added at their end by
        then is left for the call after that.
        """
        while not self._encrypted:
            try:
                self._encrypted = self.state.write(data)
            except ssl.SSLWantReadError:  # a handshake in between, up to TLS 1.2
                self._fill()
                self._decrypted = True
        self._flush()
        sent, self._encrypted = self._encrypted, 0
        return sent

    def pending(self) -> int:
        """Return how many bytes have been read from the socket, and not from here."""
        return self._incoming.pending or self.state.pending()

    def end(self) -> None:
        """Send the close alert; its answer is not waited for."""
        with suppress(OSError):
            self.state.unwrap()  # begins to wait for it
        self._flush()

    def _fill(self) -> None:
        """Take in what has arrived, once all is sent that the peer may wait for."""
        if self._outgoing.pending or (self._unsent and not self._encrypted):
            self._flush()
        try:
            data = self._sock.recv(_BLOCK)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing has arrived") from None
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        unsent = self._unsent + self._outgoing.read()
        try:
            while unsent:
                unsent = unsent[self._sock.send(unsent) :]
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "there is no room to send") from None
        finally:
            self._unsent = unsent

    def _send_alert(self) -> None:
        """Tell the peer what is wrong, if there is anything to tell and room for it."""
        with suppress(OSError):
            self._flush()
