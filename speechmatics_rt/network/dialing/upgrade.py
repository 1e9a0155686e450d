"""The WebSocket upgrade: reads the answer within limits, and turns a refusal into an error.

websocket-client checks the handshake, but its limits of time and length and its handling of cookies and
redirects differ between versions. So it is lent a socket that enforces them.
"""

from __future__ import annotations

import io
import os
import re
import socket
import time
from typing import Any, Optional

from ...config import Target, is_loopback, redact
from ...exceptions import (
    CHECK_KEY,
    AuthenticationError,
    ConfigurationError,
    ConnectionError,
    ProtocolError,
    SpeechmaticsError,
)
from ...messages import Secrets
from ...threads import importing
from ..duplex import DuplexSocket
from .said import cleaned, retry_after_in, said_in

__all__ = [
    "PERHAPS_SECURE",
    "UpgradeSocket",
    "BorrowedSocket",
    "refusal",
    "secrets_in",
    "upgrade",
    "websocket_client",
]

PERHAPS_SECURE = "Perhaps its address begins with wss://"
_TLS_ALERT = b"\x15\x03"
_MOST_HEAD = 64 * 1024  # bytes of an answer's status line and headers
_MOST_BODY = 8 * 1024  # bytes read of a refusal's body, for the reason in it
_BODY_PATIENCE = 1.0  # seconds to wait for that body
_OF_UPGRADE = {
    *("upgrade", "connection"),
    *("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"),
}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")


class BorrowedSocket:
    """A DuplexSocket with the interface of a blocking socket, and one deadline for all calls of a library.

    The library can't close it: it would do so after any failure, without the owner knowing.
    """

    _closed = False  # websocket-client reads it
    ended = False  # the end of the stream was read

    def __init__(self, sock: DuplexSocket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline

    def recv(self, count: int) -> bytes:
        buffer = bytearray(min(count, 4096))
        received = self._sock.recv_into(buffer, self._left())
        self.ended = not received
        return bytes(buffer[:received])

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            taken = self._sock.try_send(rest)
            if not taken and not self._sock.wait_sendable(self._left()):
                raise socket.timeout("no room to send")
            rest = rest[taken:]

    def send(self, data: bytes) -> int:
        self.sendall(data)  # all, since websocket-client ignores how much of its request was sent
        return len(data)

    def fileno(self) -> int:
        return self._sock.fileno()

    def gettimeout(self) -> Optional[float]:
        return None  # with 0 the library would wait by itself

    def settimeout(self, timeout: Optional[float]) -> None:
        """Do nothing: the deadline applies."""

    def shutdown(self, how: int = 0) -> None:
        """Do nothing, and ``close`` likewise."""

    close = shutdown

    def give_back(self) -> None:
        """Keep nothing of the socket: a library's own object may be a cycle, and keep this for a while."""
        del self._sock

    def _left(self) -> Optional[float]:
        return None if self.deadline == float("inf") else max(0.0, self.deadline - time.monotonic())


class UpgradeSocket(BorrowedSocket):
    """A borrowed socket that reads the head of an HTTP answer itself, and passes on what an upgrade needs.

    After the head the library reads the end of the stream, so it reads no body of any announced length. It
    gets no ``Set-Cookie``, which websocket-client would keep for the whole process, and few headers, since it
    reads byte by byte, at 2 us each.
    """

    status = 0  # 0: the head was not read yet
    rest = b""  # the bytes that came after the head
    _head: Optional[io.BytesIO] = None  # what the library gets of it
    failure: Optional[Exception] = None  # why there is no head; kept here as libraries wrap what they catch

    def send(self, data: bytes) -> int:
        try:
            return super().send(data)
        except OSError as exc:
            self.failure = exc
            raise

    def recv(self, count: int) -> bytes:
        """Return the next bytes of the head, which the first call reads."""
        if self._head is None:
            try:
                self._head = io.BytesIO(self._read_head())
            except (OSError, ProtocolError) as exc:
                self.failure = exc
                raise
        return self._head.read(count)

    def _read_head(self) -> bytes:
        """Read the head; return what an upgrade needs of it."""
        received = bytearray()
        while b"\r\n\r\n" not in received:
            if len(received) > _MOST_HEAD:
                raise ProtocolError(f"the headers of the answer are longer than {_MOST_HEAD} bytes")
            if received.startswith(_TLS_ALERT):
                raise ProtocolError(f"the answer is an alert of TLS. {PERHAPS_SECURE}")
            if received and not received.startswith(b"HTTP/1."[: len(received)]):
                raise ProtocolError(f"the answer is not HTTP/1.1: it begins with {bytes(received[:20])!r}")
            part = super().recv(4096)
            if not part:
                raise OSError("the connection was closed without an answer")
            received += part
        head, _, self.rest = bytes(received).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = re.match(r"HTTP/1\.[01] ([1-5]\d\d)(?: |$)", first)
        # With a lone CR or LF inside a line, the library would see headers that this code does not.
        if not status or not all(_HEADER.fullmatch(line) for line in lines):
            raise ProtocolError("the answer's headers can't be read")
        self.headers: dict[str, str] = {}
        kept = [first]
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
            if name in _OF_UPGRADE:
                kept.append(line)
        self.status = int(status[1])
        return "\r\n".join([*kept, "", ""]).encode()

    def body(self) -> bytes:
        """Read the body: what arrives within a second, a few kilobytes at most."""
        self.deadline = min(self.deadline, time.monotonic() + _BODY_PATIENCE)
        length = self.headers.get("content-length", "")
        most = _MOST_BODY
        if length.isdecimal() and len(length) < 19:  # Python refuses to read thousands of digits
            most = min(int(length), most)
        body = self.rest
        try:
            while len(body) < most and not body.endswith(b"0\r\n\r\n"):  # the last of a chunked body
                part = super().recv(4096)
                if not part:
                    break
                body += part
        except OSError:
            pass  # the status is what matters; the body only explains it
        return body[:most]


def websocket_client() -> Any:
    """Import websocket-client.

    Raises:
        ConfigurationError: It is not installed, or another package is under its name.
    """
    try:
        with importing:
            import websocket
    except ImportError as exc:
        raise ConfigurationError(
            "the package websocket-client is missing from this Python: pip install websocket-client"
        ) from exc
    if not hasattr(websocket, "create_connection"):
        raise ConfigurationError(
            "another package named websocket is installed over websocket-client: "
            "pip uninstall websocket; pip install --force-reinstall websocket-client"
        )
    return websocket


def upgrade(
    library: Any, sock: DuplexSocket, target: Target, fields: list[str], secrets: Secrets, deadline: float
) -> dict[str, str]:
    """Send the request and check the answer; return the headers of the answer.

    Args:
        library: The module from :func:`websocket_client`.
        fields: Header lines of the request.
        secrets: See :func:`secrets_in`.

    Raises:
        OSError: There was no answer.
        SpeechmaticsError: The answer was a refusal, or not a WebSocket upgrade.
    """
    answer = UpgradeSocket(sock, deadline)
    try:
        _ask(library, answer, target, fields, secrets)
    finally:
        answer.give_back()
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        if name in answer.headers:
            raise ProtocolError(f"{target.address} chose a {name} that was not offered")
    sock.unread(answer.rest)
    return answer.headers


def _ask(library: Any, answer: UpgradeSocket, target: Target, fields: list[str], secrets: Secrets) -> None:
    """Have the library send the request and read the answer; raise what that says, or why there is none."""
    problem: Optional[Exception] = None
    # The library adds cookies from a store of the process, by the host of this URL: a random name has none.
    nowhere = os.urandom(8).hex()
    try:
        library.WebSocket(enable_multithread=True, skip_utf8_validation=True).connect(
            f"ws://{nowhere}{target.resource}",
            socket=answer,
            host=target.host_field,
            header=fields,
            suppress_origin=True,
            redirect_limit=0,
        )
    except Exception as exc:  # noqa: BLE001  # versions raise different errors, so the head decides
        problem = exc
    try:
        if answer.failure is not None:
            # The library raises what it catches from itself: a chain without end.
            raise answer.failure from None
        if not answer.status:
            raise OSError(f"the request could not be made ({problem})") from problem
        if answer.status != 101:
            raise refusal(answer, target, secrets, keyed=_has_key(target, fields)) from None
        if problem is not None:
            wrong = f"not as a WebSocket: {secrets.hide_in(str(problem))}"
            raise ProtocolError(f"{target.address} answered the upgrade, but {wrong}") from problem
    finally:
        del problem  # its traceback has this frame


def secrets_in(target: Target, fields: list[str]) -> Secrets:
    """Return the keys in a request, which the server may repeat, in a refusal or later."""
    secrets = [*target.secrets]
    for field in fields:
        name, _, value = field.partition(": ")
        if name.lower() in ("authorization", "cookie"):
            secrets += [value, value.rpartition(" ")[2]]
    return Secrets(secrets)


def _has_key(target: Target, fields: list[str]) -> bool:
    """Whether a request says who asks."""
    return bool(target.secrets) or any(
        field.lower().startswith(("authorization:", "cookie:")) for field in fields
    )


def refusal(answer: UpgradeSocket, target: Target, secrets: Secrets, *, keyed: bool) -> SpeechmaticsError:
    status = answer.status
    reason = said_in(answer.body(), secrets)
    text = f"{target.address} answered with HTTP {status}" + (f": {reason}" if reason else "")
    if status in (401, 403):
        advice = CHECK_KEY
        if not keyed:
            advice = "No key was sent: set SPEECHMATICS_API_KEY, or pass api_key="
            if not target.secure and not is_loopback(target.host):
                advice += "; over ws:// one from the environment is kept back, so use wss:// if possible"
        return AuthenticationError(f"{text}. {advice}", status=status)
    if 200 <= status < 300:
        text += ", as a web page, where a WebSocket was asked for. Check the address: that of the service is "
        text += "wss://eu.rt.speechmatics.com/v2"
    if 300 <= status < 400:
        where = cleaned(redact(answer.headers.get("location", "")), secrets)
        text += (
            f". It redirects to {where or 'nowhere'}; that is not followed, since the key would be sent along"
        )
    if status == 404:
        text += ". Check the path of the address; that of the service is /v2"
    if status == 400 and not target.secure:
        text += f". {PERHAPS_SECURE}"
    retry_after = retry_after_in(answer.headers)
    if retry_after is not None:
        text += f". Try again after {retry_after:g} s"
    return ConnectionError(
        text, stage="upgrade", status=status, retry_after=retry_after, reason=reason or None
    )
