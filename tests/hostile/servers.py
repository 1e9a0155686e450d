"""Servers that mean harm, as bytes on a socket: no library would write what these do."""

from __future__ import annotations

import base64
import hashlib
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Optional

__all__ = ["Attack", "HostileServer", "Victim", "frame"]

PATIENCE = 60.0  # s after which a server gives up, so that none outlives its test
STARTED = b'{"message":"RecognitionStarted","id":"1","language_pack_info":{"word_delimiter":" "}}'


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, length: Optional[int] = None) -> bytes:
    """Build a frame of a server; ``length`` is what its header says."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 2**16:
        return head + b"\x7e" + struct.pack("!H", size) + payload
    return head + b"\x7f" + struct.pack("!Q", size) + payload


class Victim:
    """One connection of a client, as the server sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = time.monotonic() + PATIENCE

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def flood(self, pieces: Iterable[bytes], *, pause: float = 0.0) -> None:
        """Send them all, or until the client has left; ``pause`` seconds after each."""
        for piece in pieces:
            if time.monotonic() > self._until:
                return
            self.send(piece)
            if pause:
                time.sleep(pause)  # what is dripped comes slowly

    def wait(self) -> None:
        """Say nothing more, and stay until the client leaves."""
        with suppress(OSError):
            while time.monotonic() < self._until and self._connection.recv(65536):
                pass

    def read_head(self) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._connection.recv(4096)
            if not part:
                raise OSError("the client left")
            head += part
        return head

    def upgrade(self) -> None:
        head = self.read_head().decode("latin-1")
        key = next(line for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        digest = hashlib.sha1(
            key.partition(":")[2].strip().encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        ).digest()
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def start(self, started: bytes = STARTED) -> None:
        """Begin a session, and from then on read what the client sends, and do nothing with it."""
        self.upgrade()
        self._connection.recv(65536)  # StartRecognition
        self.send(frame(1, started))
        if isinstance(self._connection, ssl.SSLSocket):
            return  # it can't be read on one thread and written on another; what clients send fits buffers
        threading.Thread(target=self.wait, daemon=True).start()


Attack = Callable[[Victim], object]


class HostileServer:
    """Does the same to every client that connects."""

    def __init__(self, attack: Attack, context: Optional[ssl.SSLContext] = None) -> None:
        self._attack, self._context = attack, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[Any] = [self._listener]
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            for _ in itertools.count():
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(PATIENCE)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            victim = Victim(connection)
            self._attack(victim)
            victim.wait()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()
