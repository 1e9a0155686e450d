"""A stand-in for a first connection that was refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Optional, cast

from ..exceptions import ConnectionError, without_frames
from ..network import Connection, Messages
from ..protocol import ProtocolState, Role
from ..stats import SessionStats

__all__ = ["unreached"]


def unreached(error: ConnectionError) -> Connection:
    """Return a stand-in for a first connection that was refused with a retryable error.

    It is lost with ``error`` as soon as a session is started on it, like one that the server ends after the
    upgrade. What is sent before that is refused, as by any connection. Everything else that may happen to it
    before another one takes over does nothing.
    """
    return cast("Connection", _Unreached(error))


class _Unreached:
    session_id = None
    is_complete = interrupted = False

    def __init__(self, error: ConnectionError) -> None:
        without_frames(error)  # the frames hold the key
        self._error = error

    def start(self, message: object, deadline: float) -> NoReturn:
        raise self._error

    def send(self, message: Mapping[str, Any]) -> None:
        ProtocolState(Role.CLIENT).send(message)

    def send_audio(self, payload: object, *, channel: Optional[str] = None, **_: object) -> bool:
        ProtocolState(Role.CLIENT).send_audio(channel)
        return False

    def end_channel(self, channel: str) -> None:
        self.send({"message": "EndOfChannel", "channel": channel})

    def stats(self) -> SessionStats:
        return SessionStats()

    def left_over(self) -> Messages:
        return Messages((), lambda payload: None)

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is no process, no socket and no thread."""

    check = check_process = wake_on_arrival = end_stream = request_stop = fail = close = abandon = _nothing
