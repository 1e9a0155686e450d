"""A client for the tests of the local server: the websockets library, and bare sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.sync.client import connect
from websockets.uri import parse_uri

from speechmatics_rt.local import LocalServer

RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
SECOND = bytes(32000)  # of RAW
PATIENCE = 40.0  # s for what is sure to come; a busy machine takes its time, and what tests measure they say


def start_message(config: Optional[dict[str, Any]] = None, **top: Any) -> dict[str, Any]:
    settings = {"language": "en", **(config or {})}
    return {"message": "StartRecognition", "audio_format": RAW, "transcription_config": settings, **top}


class RawClient:
    """One connection that sends JSON and audio, and keeps all it received."""

    def __init__(self, server: LocalServer, path: str = "", **options: Any) -> None:
        self.received: list[dict[str, Any]] = []
        options.setdefault("compression", None)
        options.setdefault("max_size", None)
        options.setdefault("ping_interval", None)
        self._open = ExitStack()
        # The library reads a TLS socket on one thread and writes it on another, without a lock between
        # them: now and then a message is lost. So over TLS only its protocol is used, on one thread.
        plain = server.ssl_context is None
        opened = (
            connect(server.url + path, **options)
            if plain
            else OneThread(server, options.get("additional_headers", {}))
        )
        self.ws: Any = self._open.enter_context(opened)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def send(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionClosed):  # a test that matters sees why
            self.ws.send(json.dumps(message))

    def send_audio(self, seconds: float = 1.0, chunk: float = 0.1) -> int:
        count = round(seconds / chunk)
        with suppress(ConnectionClosed):
            for _ in range(count):
                self.ws.send(bytes(round(32000 * chunk)))
        return count

    def start(self, config: Optional[dict[str, Any]] = None, **top: Any) -> dict[str, Any]:
        self.send(start_message(config, **top))
        return self.until("RecognitionStarted")

    def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.ws.recv(timeout))
        self.received.append(message)
        return message

    def until(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        while True:
            message = self.receive(timeout)
            if message["message"] == kind:
                return message

    def finish(self, count: int = 0) -> list[dict[str, Any]]:
        """End the stream, receive all of the rest, and return everything received."""
        self.send({"message": "EndOfStream", "last_seq_no": count})
        self.until("EndOfTranscript")
        return self.received

    def received_of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["message"] == kind]

    def closed(self) -> tuple[int, str]:
        """Read to the end; return the server's close code and reason, 1006 if there was none."""
        try:
            while True:
                self.received.append(json.loads(self.ws.recv(PATIENCE)))
        except ConnectionClosed as exc:
            return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "")


class OneThread:
    """The protocol of the websockets library over a blocking TLS socket."""

    def __init__(self, server: LocalServer, headers: Mapping[str, str]) -> None:
        assert server.ssl_context is not None
        sock = dial(server)
        self.socket = server.ssl_context.wrap_socket(sock, server_hostname="localhost")
        self._protocol = ClientProtocol(parse_uri(server.url), max_size=None)
        self._parts: list[Frame] = []
        opening = self._protocol.connect()
        opening.headers.update(headers)
        self._protocol.send_request(opening)
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._take()

    def __enter__(self) -> OneThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: Any) -> None:
        if self._protocol.state is not State.OPEN:
            while self._protocol.state is not State.CLOSED:
                self._take()
            raise self._protocol.close_exc
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        self._flush()

    def recv(self, timeout: Optional[float] = None) -> Any:
        self.socket.settimeout(timeout)
        while True:
            while self._parts:
                frame = self._parts.pop(0)
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                    return frame.data.decode() if frame.opcode is Opcode.TEXT else frame.data
            if self._protocol.state is State.CLOSED:
                raise self._protocol.close_exc
            self._take()

    def close(self) -> None:
        with suppress(OSError):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(1000)
                self._flush()
            while self._protocol.state is not State.CLOSED:
                self._take()
        self.socket.close()

    def _take(self) -> None:
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._parts += [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                self.socket.sendall(data) if data else self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._protocol.receive_eof()
                return


def request(server: LocalServer, head: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send a bare HTTP request, with ``head`` as it is, and return status, headers and body."""
    with dial(server) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return answer(sock)


def answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while piece := sock.recv(65536):
        data += piece
        if data.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in data:
            break
    head, _, body = data.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    pairs = (field.split(": ", 1) for field in fields)
    return int(status.split()[1]), {name.lower(): value for name, value in pairs}, body


def dial(server: LocalServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


UPGRADE = """GET {path} HTTP/1.1
Host: localhost
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13"""


def open_bare(server: LocalServer) -> socket.socket:
    """Open a WebSocket on a bare socket."""
    sock = dial(server)
    sock.sendall(UPGRADE.format(path="/v2").replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert answer(sock)[0] == 101
    return sock


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Build a client's frame; the mask is zero, so the payload stands as it is."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def push(sock: socket.socket, frame: bytes, count: int) -> int:
    """Send as many frames as the connection takes, and return their number; the next one is cut."""
    sock.settimeout(0.3)
    for number in range(count):
        try:
            sock.sendall(frame)
        except socket.timeout:
            return number
    return count


class SeenFrame(NamedTuple):
    """A frame as it stood on the wire."""

    fin: bool
    reserved: int
    opcode: int
    masked: bool
    payload: bytes

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.payload)
        return message


class FrameClient:
    """A WebSocket on a bare socket: it reads frame by frame, and answers nothing by itself."""

    def __init__(self, server: LocalServer) -> None:
        self.socket: socket.socket = dial(server)
        if server.ssl_context is not None:
            self.socket = server.ssl_context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.sendall(UPGRADE.format(path="/v2").replace("\n", "\r\n").encode() + b"\r\n\r\n")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.exactly(1)
        assert self.head.startswith(b"HTTP/1.1 101 ")

    def __enter__(self) -> FrameClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: Mapping[str, Any]) -> None:
        self.socket.sendall(masked(1, json.dumps(message).encode()))

    def send_audio(self, size: int = 3200) -> None:
        self.socket.sendall(masked(2, bytes(size)))

    def start(self, config: Optional[dict[str, Any]] = None) -> None:
        """Start, and read up to RecognitionStarted."""
        self.send(start_message(config))
        self.until("RecognitionStarted")

    def end(self) -> None:
        self.send({"message": "EndOfStream", "last_seq_no": 0})

    def until(self, kind: str) -> list[SeenFrame]:
        frames = [self.frame()]
        while frames[-1].opcode > 2 or frames[-1].message["message"] != kind:
            frames.append(self.frame())
        return frames

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError(data)
            data += piece
        return data

    def frame(self) -> SeenFrame:
        first, second = self.exactly(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
        mask = self.exactly(4) if second & 128 else bytes(4)
        payload = self.exactly(size)
        clear = (
            bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload)) if second & 128 else payload
        )
        return SeenFrame(bool(first & 128), first >> 4 & 7, first & 15, bool(second & 128), clear)

    def rest(self) -> list[SeenFrame]:
        """Read all frames up to the end of the stream."""
        frames = []
        while True:
            try:
                frames.append(self.frame())
            except EOFError:
                return frames

    def is_quiet(self, seconds: float = 0.15) -> bool:
        """True if the connection is open and nothing comes for a while."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b"?"  # never sent: anything that comes is noise, or the end
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(10)
