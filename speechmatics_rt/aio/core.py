"""The blocking clients behind the asyncio ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ..baseclient import BaseClient
from ..client import Client
from ..config import Caller
from ..events import Event
from ..multichannel import MultiChannelClient
from ..session import MessageStream, Session
from .dispatch import AsyncEmitter

__all__ = ["BlockingCore", "SeveralCore", "SingleCore"]


class BlockingCore(BaseClient):
    """A blocking client that leaves the delivery of messages to the asyncio client in front of it."""

    stream: Callable[..., MessageStream]  # as the client has it, whose core this is

    def __init__(self, client: Callable[[], Optional[AsyncEmitter]], *args: Any, **options: Any) -> None:
        self._awaited = client
        self.caller: Optional[Caller] = None  # whose line warnings name, found on the loop
        self.loop_thread = 0  # the thread that starts a session: that of the loop
        self.unheard: list[Mapping[str, Any]] = []  # messages of a session that failed to start
        super().__init__(*args, **options)

    def _caller(self) -> Caller:  # found on the loop, since this runs on a thread without the user's frames
        return self.caller or Caller.find()

    def _thread(self) -> int:  # that does it for the loop is of no account
        return self.loop_thread

    def emit(self, event: Event, message: Mapping[str, Any]) -> None:
        self.unheard.append(message)

    def _is_heard(self, name: str) -> bool:
        client = self._awaited()
        return client is not None and client._is_heard(name)

    def _hears(self, name: str) -> bool:
        client = self._awaited()
        return client is not None and client._hears(name)

    def _listener(self, session: Session) -> None:
        """Start no thread: the task of :func:`listen` delivers."""

    def _tell_late(self, session: Session) -> None:
        """Leave ``SessionEnded`` to the asyncio client, too."""


class SingleCore(BlockingCore, Client):
    pass


class SeveralCore(BlockingCore, MultiChannelClient):
    pass
