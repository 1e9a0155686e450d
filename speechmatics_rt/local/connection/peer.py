"""The WebSocket of one client: the HTTP request, frames in and out, the close."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Optional, Protocol, Union

import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from .handshake import Answer, Handshake, Refusal, Request
from .record import Headers, SessionRecord
from .wire import Wire

__all__ = ["CLOSE_TIMEOUT", "Listener", "Peer", "frame"]

CLOSE_TIMEOUT = 5.0  # s for the client's close frame


class Listener(Protocol):
    """Gets notified of what the client does; each call may answer through the peer."""

    def requested(self, request: Request) -> None:
        """The HTTP request has been read, and not answered yet."""

    def page(self, request: Request) -> Optional[Answer]:
        """Return the answer to a request that is not for a WebSocket, or None."""

    def accepts(self, key: Optional[str]) -> bool:
        """Whether this API key or token opens a session."""

    def opened(self) -> None:
        """101 has been sent."""

    def text(self, text: str) -> None:
        """A text message came."""

    def binary(self, data: bytes) -> None:
        """A binary message came."""

    def full(self, message: Union[str, bytes]) -> bool:
        """Whether this message can't be processed for now; :meth:`Peer.room` asks again."""

    def closing(self) -> None:
        """The client's close frame has been read, and not answered yet."""

    def lost(self, code: Optional[int], reason: str) -> None:
        """The client has closed, with this close frame, or without one (None)."""


class Peer:
    """One client on one wire. All calls belong to the wire's thread.

    Attributes:
        closing: Our last bytes are sent: an HTTP refusal, a close frame or the end of the stream.
        pongs, sends, receives: Answer pings; send frames; read at all. Faults switch them off.
        headers: What the 101 has besides, or instead.
        framing: Makes the frames of a message of an opcode and a payload.
        close_delay: Seconds before the client's close frame is answered; None: it isn't.
        after_close: Bytes behind our close frame.
        last_sign: ``time.monotonic()`` of the last ping, pong or message.
    """

    def __init__(
        self,
        wire: Wire,
        record: SessionRecord,
        listener: Listener,
        *,
        time_scale: float = 1.0,
    ) -> None:
        self.wire = wire
        self.closing = False
        self.pongs = True
        self.sends = True
        self.receives = True
        self.headers: dict[str, str] = {}
        self.framing: Callable[[int, bytes], bytes] = frame
        self.close_delay: Optional[float] = 0.0
        self.after_close = b""
        self.last_sign = time.monotonic()
        self._record = record
        self._listener = listener
        self._time_scale = time_scale
        self._handshake = Handshake()
        self._ws: Optional[wsproto.Connection] = None
        self._parts: list[Any] = []  # of a message in several frames
        self._held: Union[str, bytes, None] = None  # a message the listener has no room for
        self._stalled = False  # frames wait, because the listener is full or does not receive

    @property
    def request(self) -> Optional[Request]:
        return self._handshake.request

    def run(self) -> None:
        """Serve the client until the connection is over."""
        self.wire.run(self._received)

    # -- out -------------------------------------------------------------------------------------

    def answer(self, answer: Answer) -> None:
        """Answer the HTTP request, and do not upgrade."""
        self._record.status = answer.status
        self._last_bytes(answer.encode())

    def send(self, data: Union[str, bytes]) -> None:
        """Send a text message of a str, a binary one of bytes."""
        if self.sends and not self.closing and self._ws is not None:
            opcode, payload = (1, data.encode()) if isinstance(data, str) else (2, data)
            self.wire.send(self.framing(opcode, payload))

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        if not self.closing:
            self.wire.send(data)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, an empty one for 1005; wait for the client's, but not long."""
        if self.closing or self._ws is None:
            return
        self._record.server_code, self._record.server_reason = code, reason
        if code == 1005:  # stands for no code, as an empty frame has none
            self.close_with(frame(8))
        else:
            self.close_with(self._ws.send(CloseConnection(code=code, reason=reason)))

    def close_with(self, data: bytes) -> None:
        """Close with these bytes for a close frame."""
        if self.closing:
            return
        self.closing = True
        self._record.counts = False  # before the goodbye: who hears it may come back at once
        self.wire.send(data + self.after_close)
        self.later("close", CLOSE_TIMEOUT, self.wire.finish)
        self.wire.call(self.read_on)  # the client's close frame may be among the frames that wait

    def end(self) -> None:
        """End the stream (FIN) without a close frame."""
        self._record.counts = False
        self._last_bytes(b"")

    def reset(self) -> None:
        """Drop the connection (RST)."""
        self.closing = True
        self._record.counts = False
        self.wire.reset()

    def hang(self, seconds: Optional[float]) -> None:
        """Neither read nor write for so long; None: ever again."""
        self.wire.frozen = True
        if seconds is not None:
            self.wire.later("thaw", seconds, self._thaw)

    def _thaw(self) -> None:
        self.wire.frozen = False
        if self.request is not None and self._ws is None:
            self._answer_request()

    def leave(self) -> None:
        """Go away, politely but at once."""
        self.close(1001, "the local server is closing")
        self.closing = True
        self.wire.finish()
        self.wire.later("finish", 0.5, self.wire.stop)  # whatever was to end it later

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
        if self._held is not None:
            held, self._held = self._held, None
            self._message(held)
        if not self._stalled:
            for event in self._ws.events():
                self._event(event)
                if not self.closing and (self._stalled or not self.receives):
                    self._stalled = True  # what is left stays in the protocol's buffer, then in the kernel's
                    break
        self.wire.reading = not self._stalled

    def room(self) -> None:
        """Read on if that was stopped; for the listener, when it is no longer full."""
        if self._stalled and self.receives and not (self._held and self._listener.full(self._held)):
            self.read_on()

    def stop_receiving(self) -> None:
        """Read nothing more."""
        self.receives = self.wire.reading = False
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
            self._read_request(data)

    def _read_request(self, data: bytes) -> None:
        try:
            request = self._handshake.receive(data)
            if request is None:
                return
            self._record_request(request)
            self._listener.requested(request)
        except Refusal as refusal:
            self.answer(refusal.answer)
            return
        if not self.wire.frozen:
            self._answer_request()

    def _answer_request(self) -> None:
        request = self.request
        if request is None or self.closing:
            return
        page = self._listener.page(request)
        if page is not None:
            self.answer(page)
            return
        try:
            answer, self._ws, early = self._handshake.upgrade(request, self._listener.accepts, self.headers)
        except Refusal as refusal:
            self.answer(refusal.answer)
            return
        self._record.status = 101
        self._record.counts = True
        self.wire.send(answer)
        self._listener.opened()
        if early:
            self._received(early)

    def _record_request(self, request: Request) -> None:
        record = self._record
        record.method, record.target, record.path = request.method, request.target, request.path
        record.query, record.headers = dict(request.query), Headers(request.headers)
        record.body = request.body

    def _event(self, event: Event) -> None:
        self.last_sign = time.monotonic()
        if isinstance(event, (TextMessage, BytesMessage)):
            self._parts.append(event.data)
            if event.message_finished:
                parts, self._parts = self._parts, []
                text = isinstance(event, TextMessage)
                self._message("".join(parts) if text else b"".join(parts))
        elif isinstance(event, Ping):
            self._record.add_ping()
            if self.pongs and not self.closing and self._ws is not None:
                self.wire.send(self._ws.send(event.response()))
        elif isinstance(event, Pong):
            self._record.add_pong()
        elif isinstance(event, CloseConnection):
            self._closed_by_client(int(event.code), event.reason or "")

    def _message(self, message: Union[str, bytes]) -> None:
        if self.closing:
            return  # after our close frame nothing counts but the close frame
        if self._listener.full(message):
            self._held, self._stalled = message, True
        elif isinstance(message, str):
            self._listener.text(message)
        else:
            self._listener.binary(message)

    def _closed_by_client(self, code: int, reason: str) -> None:
        if self._ws is not None and self._ws.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self.close(code, reason)  # no close frame came, but a broken one: this is what the parser found
            self._listener.lost(code, reason)
            self.wire.finish()
            return
        self._record.close_code, self._record.close_reason = code, reason
        if not self.closing:
            self._listener.closing()
        self._listener.lost(code, reason)
        if self.closing:
            self.wire.finish()
        else:
            self.wire.after("reply", self.close_delay, lambda: self._reply(code))

    def _reply(self, code: int) -> None:
        self.close(1000 if code == 1005 else code)
        self.wire.finish()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes = b"",
    length: Optional[int] = None,
) -> bytes:
    """Build a frame, right or wrong: ``reserved`` bits as a number to 7, ``length`` as announced."""
    size = len(payload) if length is None else length
    head = bytes([(fin << 7) | (reserved << 4) | opcode])
    masked = 0x80 if mask else 0
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if mask:
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return head + mask + payload
