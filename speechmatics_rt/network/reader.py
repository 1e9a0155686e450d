"""From the bytes of a socket to messages: frames, strict UTF-8, JSON."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, NamedTuple, Optional

from ..exceptions import ProtocolError
from ..log import SessionLog, wire
from ..protocol import Heard, codec, frames
from .duplex import DuplexSocket

__all__ = ["Arrived", "Receiver"]

_SPEECH = {
    kind: {"message": kind}
    for kind in ("AddTranscript", "AddPartialTranscript", "AddTranslation", "AddPartialTranslation")
}


_READS = 16  # from a flood, before those who wait are woken


class Arrived(NamedTuple):
    """What one read of the socket brought: messages in order, the latest ping, the close frame."""

    heard: list[Heard]
    ping: Optional[bytes]
    close: Optional[frames.Close]


class Receiver:
    """Read a connection until it ends; decode what was read.

    :meth:`run` belongs to the reader thread. :meth:`decode` may run on another one, for the messages that
    are decoded by whoever handles them.

    Attributes:
        skipped: Frames that held no message.
    """

    def __init__(self, sock: DuplexSocket, max_size: Optional[int], log: SessionLog) -> None:
        self._sock = sock
        self._decoder = frames.Decoder(max_size)
        self._log = log
        self._skipped_lock = threading.Lock()  # guards the count; nothing else is done under it
        self.skipped = 0

    def run(
        self,
        hear: Callable[[Arrived], bool],
        idle: Callable[[], object],
    ) -> tuple[Optional[ProtocolError], Optional[BaseException]]:
        """Hand on what arrives until ``hear`` says it was the last, or the stream ends.

        Args:
            hear: Takes what has arrived; True if nothing more is to come.
            idle: Called when nothing more is at hand, and in a flood every now and then: the moment to wake
                those who wait for what was heard. Woken earlier they would fight the reader for the
                interpreter lock, and for ours.

        Returns:
            The broken rule that ended it, if that is what happened, and the cause.
        """
        reads = 0
        try:
            while True:
                reads += 1
                if reads % _READS == 0:
                    idle()
                count = self._sock.recv_into(self._decoder.buffer(), None, idle)
                if not count or self._hand_on(self._decoder.received(count), hear):
                    return None, None
        except OSError as exc:
            return None, exc
        except frames.FrameError as exc:
            return ProtocolError(f"the server broke the WebSocket protocol: {exc}", code=exc.code), exc
        except ProtocolError as exc:
            return exc, exc.__cause__
        except Exception as exc:  # noqa: BLE001  # not swallowed: whatever ends the reader ends the session
            return ProtocolError(f"reading failed: {type(exc).__name__}: {exc}", code=1002), exc

    def _hand_on(self, events: list[tuple[int, bytes]], hear: Callable[[Arrived], bool]) -> bool:
        heard: list[Heard] = []
        ping: Optional[bytes] = None
        close: Optional[frames.Close] = None
        failure: Optional[ProtocolError] = None
        for opcode, payload in events:
            if opcode == frames.PING:
                ping = payload
            elif opcode == frames.CLOSE:
                close = frames.Close.parse(payload)
            elif opcode != frames.PONG:
                try:
                    self._take(payload, heard)
                except ProtocolError as exc:
                    failure = exc  # raised below, when what came before it has been heard
                    break
        last = hear(Arrived(heard, ping, close))
        if failure is not None:
            raise failure
        return last

    def _take(self, payload: bytes, heard: list[Heard]) -> None:
        speech = codec.peek(payload)
        if speech is not None:
            heard.append(Heard(_SPEECH[speech], payload, len(payload)))
            return
        message = self.decode(payload)
        if message is not None:
            heard.append(Heard(message, message, len(payload)))

    def decode(self, payload: bytes) -> Optional[dict[str, Any]]:
        """Decode a message; None, logged and counted, if it is none.

        Raises:
            ProtocolError: It isn't UTF-8, or nothing that Python could read: nested thousands deep, say.
        """
        try:
            message = codec.decode(payload)
            if wire.isEnabledFor(logging.DEBUG):
                self._log.on(wire).debug("< %s", message)
        except codec.MessageError as exc:
            with self._skipped_lock:
                self.skipped += 1
            self._log.warning("skipped what is no message: %s", exc)
            return None
        except UnicodeDecodeError as exc:
            raise ProtocolError(f"the server sent text that is not UTF-8: {exc}", code=1007) from exc
        except (ValueError, RecursionError, MemoryError) as exc:
            text = f"a message of the server could not be read: {type(exc).__name__}: {exc}"
            raise ProtocolError(text, code=1003) from exc
        return message
