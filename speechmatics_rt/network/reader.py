"""Turns the bytes from a socket into messages: frames, strict UTF-8, JSON."""

from __future__ import annotations

import enum
import logging
import time
from typing import Any, Callable, Optional

from ..exceptions import ProtocolError
from ..log import SessionLog, wire
from ..messages import Secrets
from ..protocol import Incoming, Phase, codec, frames
from ..threads import new_lock
from .duplex import DuplexSocket
from .monitor import Monitor
from .wakeup import WaitList
from .writer import Writer

__all__ = ["Reader", "Turn"]

_KNOWN = {  # all that the session must know of messages that are not decoded here
    kind: {"message": kind} for kind in codec.NAMES.values()
}
_DECODED = 8  # a small message takes this many times the memory of its bytes once decoded
_READS = 16  # in a flood, after so many reads waiting threads are woken


class Turn(enum.Enum):
    """How a turn of reading has ended."""

    WAIT = "there is nothing more to read now"
    ROOM = "TLS must write before it can read"
    MORE = "there may be more to read; other connections come first"
    FULL = "too much is undelivered"
    OVER = "the connection has ended"


class Reader:
    """Reads a connection until it ends: on a reader thread, on the listener, or on the shared reader.

    *The reader reaches the conclusion*: it reads to the end of the stream, so that the server's own ``Error``
    wins over a broken pipe. :meth:`decode` may run on another thread, as most messages are decoded where they
    are handled.

    Args:
        wants: Whether any handler listens to acknowledgements; if none does, they are not delivered.
        secrets: Hidden where the server repeats them, except in transcripts.

    Attributes:
        skipped: Frames that held no message.
        logged: Messages are logged; whoever receives sets it, now and then, since asking takes a call.
    """

    def __init__(
        self,
        sock: DuplexSocket,
        monitor: Monitor,
        writer: Writer,
        log: SessionLog,
        *,
        max_size: Optional[int],
        wants: Callable[[str], bool],
        secrets: Secrets,
    ) -> None:
        self._sock = sock
        self._monitor = monitor
        self._writer = writer
        self._log = log
        self._wants = wants
        self._secrets = secrets
        self._decoder = frames.Decoder(max_size)
        self._began = time.monotonic()
        self._skipped_lock = new_lock()  # guards the count; nothing else is done under it
        self.skipped = 0
        self.logged = wire.isEnabledFor(logging.DEBUG)

    @property
    def descriptor(self) -> Optional[int]:
        """The descriptor to poll for data; None if it does not report all data (see DuplexSocket)."""
        return self._sock.fileno() if self._sock.is_told_by_its_descriptor else None

    def run(self) -> None:
        """Take in what arrives until the stream ends; pause while too much of it is undelivered."""
        # Waiting threads are woken once there is nothing more to read, and in a flood now and then. Woken
        # earlier, they would compete with the reader for the interpreter lock and the connection's lock.
        idle = self._monitor.notify_from_reader
        reads = 0
        while self.step(idle):
            self._wait_while_flooded()
            reads += 1
            if reads % _READS == 0:
                idle()

    def step(self, idle: Callable[[], object]) -> bool:
        """Wait for data and take it in; return False at the end of the stream, with the conclusion reached.

        Calls ``idle`` once, before it waits.
        """
        try:
            count = self._sock.recv_into(self._decoder.buffer(), None, idle)
            if count and not self._hand_on(self._decoder.received(count)):
                return True
            self._conclude(None, None)
        except BaseException as exc:  # whatever ends the reader, such as a log handler's SystemExit
            self._conclude(*_what_ended_it(exc))
            if not isinstance(exc, Exception):
                raise
        return False

    def try_first(self) -> None:
        """Have the next :meth:`step` read before it waits, as data may have arrived since the last one."""
        self._sock.forget_emptied()

    def turn(self) -> Turn:
        """Take in what has arrived, without waiting; at the end of the stream reach the conclusion."""
        monitor, sock = self._monitor, self._sock
        try:
            for _ in range(_READS):
                if monitor.protocol.flooded and not monitor.abandoned:
                    return Turn.FULL
                count = sock.try_recv(self._decoder.buffer())
                if count is None:
                    return Turn.ROOM if sock.reading_writes else Turn.WAIT
                if not count or self._hand_on(self._decoder.received(count)):
                    self._conclude(None, None)
                    return Turn.OVER
                if sock.emptied:
                    return Turn.WAIT
        except BaseException as exc:  # noqa: BLE001  # see step(); not raised, as this thread serves others
            self._conclude(*_what_ended_it(exc))
            return Turn.OVER
        else:
            return Turn.MORE
        finally:
            monitor.notify_from_reader()

    def fail(self, cause: Optional[BaseException]) -> None:
        """Reach the conclusion, as the connection can't be read any further."""
        self._conclude(None, cause)

    def _conclude(self, error: Optional[ProtocolError], cause: Optional[BaseException]) -> None:
        with self._monitor.lock:
            self._monitor.protocol.receive_eof(error, cause, time.monotonic())
            self._writer.pump()
            self._monitor.notify()

    def _hand_on(self, events: list[tuple[int, bytes]]) -> bool:
        """Decode what arrived and take it in; return True once the server has sent its close frame."""
        messages: list[Incoming] = []
        ping: Optional[bytes] = None  # the latest
        close: Optional[frames.Close] = None
        failure: Optional[ProtocolError] = None
        for opcode, payload in events:
            if opcode < frames.CLOSE:
                kind = codec.peek(payload)
                if kind is not None and (kind != "AudioAdded" or not self.logged):
                    messages.append((_KNOWN[kind], payload, len(payload)))
                    continue
                try:
                    message = self.decode(self._secrets.hide(payload))
                except ProtocolError as exc:
                    failure = exc  # raised below, after what came before it was taken in
                    break
                if message is not None:
                    messages.append((message, message, _DECODED * len(payload)))
            elif opcode == frames.PING:
                ping = payload
            elif opcode == frames.CLOSE:
                close = frames.Close.parse(self._secrets.hide(payload))
        self._take_in(messages, ping, close)
        if failure is not None:
            raise failure
        return close is not None

    def _take_in(
        self, messages: list[Incoming], ping: Optional[bytes], close: Optional[frames.Close]
    ) -> None:
        """Pass to the protocol what arrived, in order."""
        monitor, protocol = self._monitor, self._monitor.protocol
        starting = protocol.state.phase is Phase.STARTING
        with monitor.lock:
            protocol.receive(messages, time.monotonic(), self._wants)
            if ping is not None:
                protocol.receive_ping(ping)
            if close is not None:
                protocol.receive_close(close)
            if ping is not None or protocol.outbox.closing:  # all else is written by who sends it
                self._writer.pump()
        if starting and protocol.state.session_id is not None:
            self._log.session_id = protocol.state.session_id
            self._log.debug("recognition started after %.2f s", time.monotonic() - self._began)

    def _wait_while_flooded(self) -> None:
        monitor, protocol = self._monitor, self._monitor.protocol
        while protocol.flooded:  # the ping deadline is suspended meanwhile
            with monitor.lock:
                if not protocol.flooded or monitor.abandoned:
                    break
                monitor.notify()
                ticket = monitor.room.ticket()
            WaitList.wait(ticket, float("inf"))

    def decode(self, payload: bytes) -> Optional[dict[str, Any]]:
        """Decode a payload; return None, after logging and counting it, if it is not a message.

        Raises:
            ProtocolError: It is not UTF-8, or Python can't parse it, nested thousands deep for example.
        """
        logged = self.logged
        try:
            message = codec.decode(self._secrets.hide(payload) if logged else payload)
            if logged:
                self._log.on(wire).debug("< %s", message)
        except codec.MessageError as exc:
            with self._skipped_lock:
                self.skipped += 1
            self._log.warning("skipped a frame that is not a message: %s", self._secrets.hide_in(str(exc)))
            return None
        except UnicodeDecodeError as exc:
            raise ProtocolError(f"the server sent text that is not UTF-8: {exc}", code=1007) from exc
        except (ValueError, RecursionError, MemoryError) as exc:
            text = f"a message from the server could not be decoded: {type(exc).__name__}: {exc}"
            raise ProtocolError(text, code=1003) from exc
        return message


def _what_ended_it(exc: BaseException) -> tuple[Optional[ProtocolError], Optional[BaseException]]:
    """Return the ProtocolError that an exception of the reader stands for, if any, and its cause."""
    if isinstance(exc, OSError):
        return None, exc
    if isinstance(exc, frames.FrameError):
        return ProtocolError(f"the server broke the WebSocket protocol: {exc}", code=exc.code), exc
    if isinstance(exc, ProtocolError):
        return exc, exc.__cause__
    return ProtocolError(f"reading failed: {type(exc).__name__}: {exc}", code=1002), exc
