"""The HTTP side of the local server: reading a request, judging it, upgrading it. No socket here."""

from __future__ import annotations

import http
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import parse_qsl, urlsplit

import h11
import wsproto
from wsproto.events import AcceptConnection
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

__all__ = ["Answer", "Handshake", "Refusal", "Request"]

_BODY = 65_536  # bytes


@dataclass(frozen=True)
class Answer:
    """An HTTP answer after which the connection ends; a body of bytes goes as it is, any other as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        fields.update({"Connection": "close", **self.headers})
        try:
            phrase = http.HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"{name}: {value}" for name, value in fields.items()]
        head = "\r\n".join([f"HTTP/1.1 {self.status} {phrase}", *lines, "", ""])
        return head.encode("latin-1") + content


class Refusal(Exception):
    """The handshake is answered with this instead of 101."""

    def __init__(self, status: int, error: str, headers: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(error)
        self.answer = Answer(status, {"code": status, "error": error}, headers or {})


@dataclass(frozen=True)
class Request:
    """One HTTP request; header names are in lower case, of repeated names the last counts."""

    method: str
    target: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def language(self) -> Optional[str]:
        """The language of the older form ``/v2/<language>``."""
        return self.path[len("/v2/") :] or None

    @property
    def key(self) -> Optional[str]:
        """The API key or token: of the header, else of the query."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return key.strip()
        return self.query.get("jwt") or None


class Handshake:
    """Reads one request, then refuses or upgrades it.

    Example:
        >>> handshake = Handshake()
        >>> request = handshake.receive(b"POST /v2 HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 0\\r\\n\\r\\n")
        >>> handshake.upgrade(request, accepts=lambda key: True)
        Traceback (most recent call last):
        ...
        speechmatics_rt.local.connection.handshake.Refusal: only GET is allowed here
    """

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=65_536)
        self._head: Any = None  # h11.Request, once its head has been read
        self._body = b""
        self.request: Optional[Request] = None

    def receive(self, data: bytes) -> Optional[Request]:
        """Take bytes; return the request when all of it is here.

        Raises:
            Refusal: It is no HTTP (400).
        """
        try:
            self._http.receive_data(data)
            while self.request is None:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > _BODY:
                        raise Refusal(413, f"a body of more than {_BODY} bytes is not read")
                elif isinstance(event, h11.EndOfMessage):
                    self.request = _request(self._head, self._body)
                else:
                    return None
        except (h11.RemoteProtocolError, UnicodeDecodeError, ValueError) as exc:
            raise Refusal(400, f"this is not an HTTP request: {exc}") from exc
        return self.request

    def upgrade(
        self,
        request: Request,
        accepts: Callable[[Optional[str]], bool],
        headers: Optional[Mapping[str, str]] = None,
    ) -> tuple[bytes, wsproto.Connection, bytes]:
        """Judge the request; return the 101, the WebSocket connection, and bytes that came early.

        Args:
            request: What :meth:`receive` has returned.
            accepts: Tells whether an API key or token is good.
            headers: What the 101 has besides, or instead.

        Raises:
            Refusal: 404 for the path, 405 for the method, 400 for the upgrade, 401 for the key.
        """
        if request.path != "/v2" and not (request.path.startswith("/v2/") and request.path.count("/") == 2):
            raise Refusal(404, f"no such path: {request.path}")
        if request.method != "GET":
            raise Refusal(405, "only GET is allowed here", {"Allow": "GET"})
        upgrading = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        try:
            upgrading.initiate_upgrade_connection(list(self._head.headers.raw_items()), self._head.target)
        except (RemoteProtocolError, LocalProtocolError, UnicodeError) as exc:
            hint = getattr(exc, "event_hint", None)
            status = hint.status_code if hint is not None else 400
            known = {"Sec-WebSocket-Version": "13"} if status == 426 else None
            raise Refusal(status, str(exc), known) from exc
        if not accepts(request.key):
            raise Refusal(401, "the API key or token is missing or invalid", {"WWW-Authenticate": "Bearer"})
        answer = upgrading.send(AcceptConnection())
        if headers:
            answer = _with_headers(answer, headers)
        early, _ = self._http.trailing_data
        return answer, wsproto.Connection(wsproto.ConnectionType.SERVER), early


def _with_headers(answer: bytes, headers: Mapping[str, str]) -> bytes:
    """Put headers into an answer, in place of those of the same names."""
    names = {name.lower() for name in headers}
    status, *lines = answer.decode("latin-1").rstrip().split("\r\n")
    lines = [line for line in lines if line.split(":")[0].lower() not in names]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def _request(head: Any, body: bytes) -> Request:
    target = head.target.decode("ascii")
    parts = urlsplit(target)
    return Request(
        method=head.method.decode("ascii"),
        target=target,
        path=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )
