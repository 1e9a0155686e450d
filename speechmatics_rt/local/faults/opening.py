"""Faults before the first message: TCP, TLS, the HTTP answer."""

from __future__ import annotations

from typing import Any, Optional

from ..connection import Answer, Drip
from .kind import Target, kind

__all__ = ["OpeningFaults"]


class OpeningFaults:
    """Kinds whose usual moment lies before the session."""

    @kind("tls", "a TLS alert, then the end of the stream")
    def tls_alert(session: Target, description: int = 40) -> None:
        session.wire.send_under_tls(bytes([0x15, 3, 3, 0, 2, 2, description]))  # fatal; 40: handshake_failure
        session.peer.end()

    @kind("handshake", "an HTTP status, with Retry-After, Location or a body")
    def refuse(
        session: Target,
        status: int = 503,
        *,
        retry_after: Optional[float] = None,
        location: Optional[str] = None,
        body: Any = None,
    ) -> None:
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        if location is not None:
            headers["Location"] = location
        body = {"code": status, "error": "refused"} if body is None else body
        session.peer.answer(Answer(status, body, headers))

    @kind("handshake", "the next ``total`` bytes trickle")
    def drip(session: Target, size: int = 1, seconds: float = 0.01, total: int = 100) -> None:
        session.wire.drip = Drip(size, seconds, total)

    @kind("handshake", "neither reads nor writes for ``seconds``, or for ever")
    def hang(session: Target, seconds: Optional[float] = None) -> None:
        session.peer.hang(seconds)

    @kind("handshake", "101 with a header more: a cookie, an extension, a protocol")
    def header(session: Target, name: str = "Set-Cookie", value: str = "local=1; Path=/") -> None:
        session.peer.headers[name] = value

    @kind("handshake", "101 with the Accept of another key")
    def bad_accept(session: Target, value: str = "c2l4dGVlbiBieXRlcyBhbmQgNCE=") -> None:
        session.peer.headers["Sec-WebSocket-Accept"] = value
