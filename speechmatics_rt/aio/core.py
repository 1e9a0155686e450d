"""The blocking clients behind the asyncio ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional

from ..baseclient import BaseClient
from ..client import Client
from ..config import Caller
from ..events import Event, EventEmitter
from ..multichannel import MultiChannelClient
from ..session import Call, MessageStream, Session, SessionRequest
from .bridge import Bridge
from .dispatch import AsyncEmitter

__all__ = ["BlockingCore", "CallOfLoop", "SeveralCore", "SingleCore"]


class BlockingCore(BaseClient):
    """A blocking client that leaves the delivery of messages to the asyncio client in front of it."""

    # As the client has them, whose core this is:
    _request: Callable[[Any, Mapping[str, Any]], SessionRequest]
    _streaming: Callable[[Call, Any, SessionRequest], MessageStream]

    def __init__(self, client: Callable[[], Optional[AsyncEmitter]], *args: Any, **options: Any) -> None:
        self._awaited = client
        super().__init__(*args, **options)

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


class _Unheard(EventEmitter):
    """Keeps what handlers are told of a session that fails to start, for the loop to run them.

    Attributes:
        messages: The messages, and ``SessionEnded``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Mapping[str, Any]] = []

    def emit(self, event: Event, message: Mapping[str, Any]) -> None:
        self.messages.append(message)


class CallOfLoop(Call):
    """A call of an asyncio client, which opens a session on a thread.

    Args:
        client: The blocking client behind that one.
        bridges: The sources that are read in the loop.

    Attributes:
        unheard: What handlers are told of a session that fails to start.
    """

    def __init__(self, client: BlockingCore, bridges: Iterable[Bridge] = ()) -> None:
        unheard = _Unheard()
        self.unheard = unheard.messages
        super().__init__(client, Caller.find(), unheard)
        for bridge in bridges:
            self.opening.wait(bridge.close)
