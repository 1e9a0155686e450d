"""A stand-in for a first connection that was refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Optional

from ..exceptions import ConnectionError, SpeechmaticsError, without_frames
from ..network import Messages, Replaceable, Wakes
from ..protocol import Payload, ProtocolState, Role
from ..stats import SessionStats

__all__ = ["Unreached"]


class Unreached(Replaceable):
    """A first connection that was refused with a retryable error.

    It is lost with ``error`` as soon as a session is started on it, like one that the server ends after the
    upgrade. What is sent before that is refused, as by any connection. Everything else that may happen to it
    before another one takes over does nothing: there is no process, no socket and no thread.
    """

    session_id = None
    is_open = draining = is_complete = interrupted = False
    seconds_sent = 0.0
    bytes_sent = 0

    def __init__(self, error: ConnectionError) -> None:
        without_frames(error)  # the frames hold the key
        self._error = error

    def start(self, message: object, deadline: float = float("inf")) -> NoReturn:
        raise self._error

    def receive(self, deadline: float = float("inf")) -> NoReturn:
        raise self._error

    # -- refused before the start ----------------------------------------------------------------------

    def send(self, message: Mapping[str, Any]) -> None:
        ProtocolState(Role.CLIENT).send(message)

    def offer(self, message: Mapping[str, Any]) -> bool:
        self.send(message)
        return False

    def send_audio(self, payload: object, *, channel: Optional[str] = None, **options: object) -> bool:
        ProtocolState(Role.CLIENT).send_audio(channel)
        return False

    def wait_for_room(self, channel: Optional[str], seconds: float, feeding: bool) -> None:
        ProtocolState(Role.CLIENT).send_audio(channel)

    def wait_until(self, moment: float) -> bool:
        return False

    def end_channel(self, channel: str) -> None:
        self.send({"message": "EndOfChannel", "channel": channel})

    # -- nothing happened ------------------------------------------------------------------------------

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return 0.0

    def stats(self) -> SessionStats:
        return SessionStats()

    def left_over(self) -> Messages:
        return Messages((), self.decode)

    def decode(self, payload: Payload) -> Optional[dict[str, Any]]:
        return None

    # -- nothing to do ---------------------------------------------------------------------------------

    def check_process(self) -> None:
        pass

    def check(self, *locks: Any) -> None:
        pass

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        pass

    def end_stream(self) -> None:
        pass

    def request_stop(self) -> None:
        pass

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        pass

    def close(self, deadline: float = float("inf")) -> None:
        pass

    def abandon(self) -> None:
        pass
