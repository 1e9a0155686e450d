"""The WebSocket of one client: the HTTP request, frames in and out, the close."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Optional, Protocol, Union

import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from .handshake import Handshake, Refusal, Request, http_answer
from .record import SessionRecord
from .wire import Wire

__all__ = ["CLOSE_TIMEOUT", "Listener", "Peer"]

CLOSE_TIMEOUT = 5.0  # s for the client's close frame


class Listener(Protocol):
    """Who is told what the client does; each call may answer through the peer."""

    def requested(self) -> None:
        """The HTTP request is read; nothing is answered yet."""

    def opened(self) -> None:
        """101 is sent."""

    def text(self, text: str) -> None:
        """A text message came."""

    def binary(self, data: bytes) -> None:
        """A binary message came."""

    def full(self) -> bool:
        """Tell whether no further message is to be read for now; :meth:`Peer.read_on` ends that."""

    def lost(self, code: Optional[int], reason: str) -> None:
        """The client has closed, with this close frame, or None: without."""


class Peer:
    """One client on one wire. All calls belong to the wire's thread.

    Attributes:
        closing: Our last bytes are said: an HTTP refusal, a close frame or the end of the stream.
        pongs, speaks, hears: Answer pings; send frames; read at all. Faults switch them off.
        last_sign: ``time.monotonic()`` of the last ping, pong or message.
    """

    def __init__(
        self,
        wire: Wire,
        record: SessionRecord,
        listener: Listener,
        *,
        keys: Optional[Collection[str]],
        time_scale: float = 1.0,
    ) -> None:
        self.wire = wire
        self.closing = False
        self.pongs = True
        self.speaks = True
        self.hears = True
        self.last_sign = time.monotonic()
        self._record = record
        self._listener = listener
        self._keys = keys
        self._time_scale = time_scale
        self._handshake = Handshake()
        self._ws: Optional[wsproto.Connection] = None
        self._parts: list[Any] = []  # of a message in several frames
        self._stalled = False  # frames wait, because the listener is full or deaf

    @property
    def request(self) -> Optional[Request]:
        return self._handshake.request

    def run(self) -> None:
        """Serve the client until the connection is over."""
        self.wire.run(self._received)

    # -- out -------------------------------------------------------------------------------------

    def answer(self, status: int, body: Any = None, headers: Optional[Mapping[str, str]] = None) -> None:
        """Answer the HTTP request, and do not upgrade."""
        self._record.status = status
        self._last_bytes(http_answer(status, body, headers))

    def send(self, data: Union[str, bytes]) -> None:
        """Send a text message of a str, a binary one of bytes."""
        if self.speaks and not self.closing and self._ws is not None:
            kind = TextMessage if isinstance(data, str) else BytesMessage
            self.wire.send(self._ws.send(kind(data=data)))

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        if not self.closing:
            self.wire.send(data)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; wait for the client's, but not long."""
        if self.closing or self._ws is None:
            return
        self.closing = True
        self._record.server_code, self._record.server_reason = code, reason
        self.wire.send(self._ws.send(CloseConnection(code=code, reason=reason)))
        self.later("close", CLOSE_TIMEOUT, self.wire.finish)
        self.wire.call(self.read_on)  # the client's close frame may be among the frames that wait

    def end(self) -> None:
        """End the stream (FIN) without a close frame."""
        self._last_bytes(b"")

    def reset(self) -> None:
        """Drop the connection (RST)."""
        self.closing = True
        self.wire.reset()

    def leave(self) -> None:
        """Go away, politely but at once."""
        self.close(1001, "the local server is closing")
        self.closing = True
        self.wire.finish(within=0.5)

    def later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Run a callback in so many seconds of the service's clock."""
        self.wire.later(name, seconds / self._time_scale, callback)

    def _last_bytes(self, data: bytes) -> None:
        if not self.closing:
            self.closing = True
            self.wire.send(data)
            self.wire.finish()

    # -- in --------------------------------------------------------------------------------------

    def read_on(self) -> None:
        """Take the frames that are here, until there is no more, or no room for more."""
        if self._ws is None:
            return
        self._stalled = False
        for event in self._ws.events():
            self._event(event)
            if not self.closing and (not self.hears or self._listener.full()):
                self._stalled = True  # what is left stays in the protocol's buffer, then in the kernel's
                break
        self.wire.reading = not self._stalled

    def room(self) -> None:
        """Read on if that was stopped; for the listener, when it is no longer full."""
        if self._stalled and self.hears and not self._listener.full():
            self.read_on()

    def deafen(self) -> None:
        """Read nothing more."""
        self.hears = self.wire.reading = False
        self._stalled = True

    def _received(self, data: bytes) -> None:
        if not data:
            self.closing = True
            self._listener.lost(None, "")
            self.wire.finish()
        elif self._ws is not None:
            if self._ws.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                self._ws.receive_data(data)
                self.read_on()
        elif not self.closing:
            self._shake_hands(data)

    def _shake_hands(self, data: bytes) -> None:
        try:
            request = self._handshake.receive(data)
            if request is None:
                return
            self._write_down(request)
            self._listener.requested()
            if not self.closing:
                answer, self._ws, early = self._handshake.upgrade(self._keys)
        except Refusal as refusal:
            self.answer(refusal.status, refusal.body, refusal.headers)
            return
        if self._ws is not None:
            self._record.status = 101
            self.wire.send(answer)
            self._listener.opened()
            if early:
                self._received(early)

    def _write_down(self, request: Request) -> None:
        record = self._record
        record.method, record.target, record.path = request.method, request.target, request.path
        record.query, record.headers = dict(request.query), dict(request.headers)

    def _event(self, event: Event) -> None:
        self.last_sign = time.monotonic()
        if isinstance(event, (TextMessage, BytesMessage)):
            self._parts.append(event.data)
            if event.message_finished:
                parts, self._parts = self._parts, []
                if self.closing:
                    return  # after our last word nothing counts but the close frame
                if isinstance(event, TextMessage):
                    self._listener.text("".join(parts))
                else:
                    self._listener.binary(b"".join(parts))
        elif isinstance(event, Ping):
            self._record.ping()
            if self.pongs and not self.closing and self._ws is not None:
                self.wire.send(self._ws.send(event.response()))
        elif isinstance(event, Pong):
            self._record.pong()
        elif isinstance(event, CloseConnection):
            self._closed_by_client(int(event.code), event.reason or "")

    def _closed_by_client(self, code: int, reason: str) -> None:
        if self._ws is not None and self._ws.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self.close(code, reason)  # no close frame came, but a broken one: this is the parser's verdict
            self._listener.lost(code, reason)
            self.wire.finish()
            return
        self._record.close_code, self._record.close_reason = code, reason
        self.close(1000 if code == 1005 else code)
        self._listener.lost(code, reason)
        self.wire.finish()
