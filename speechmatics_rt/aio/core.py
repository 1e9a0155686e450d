"""The blocking clients behind the asyncio ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Callable, Optional

from ..baseclient import BaseClient
from ..client import Client
from ..config import Caller
from ..events import Event, EventEmitter
from ..multichannel import MultiChannelClient
from ..session import GRACE, Call, MessageStream, Session, SessionRequest
from ..threads import Latch
from .bridge import Bridge
from .dispatch import AsyncEmitter

__all__ = ["BlockingCore", "CallOfLoop", "SeveralCore", "SingleCore"]

# The marks of the calls whose handlers run here. Not the calls: tasks that are begun here keep their context.
_told: ContextVar[tuple[object, ...]] = ContextVar("speechmatics_rt_told", default=())


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

    Nothing is left of it when the thread has undone what it did, and the loop has run the handlers. Code
    that these wait for waits for the thread alone.

    Args:
        client: The blocking client behind that one.
        bridges: The sources that are read in the loop.

    Attributes:
        unheard: What handlers are told of a session that fails to start.
        opened: The session, or its stream. Kept until it is closed, since a stream that is dropped earlier
            would warn; emptied on the loop, so that the thread keeps nothing that the caller drops.
        cancelled: Nobody waits for it any more.
    """

    def __init__(self, client: BlockingCore, bridges: Iterable[Bridge] = ()) -> None:
        unheard = _Unheard()
        self._mark = object()
        self._undone = False
        self._when_undone: list[Callable[[], object]] = []
        self._left = ["the thread", "the loop"]
        self._through = Latch()  # the thread is, with its source too
        self._cancel_over = Latch()
        self.unheard = unheard.messages
        self.opened: list[Any] = []
        self.cancelled = False
        super().__init__(client, Caller.find(), unheard)
        for bridge in bridges:
            self.opening.wait(bridge.close)

    def open_session(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Call on a thread what opens the session; it gets the call first."""
        for one in self._client._living_calls():
            if isinstance(one, CallOfLoop) and one.cancelled:  # twice, perhaps: then nobody waits for this
                one._cancel_over.wait(GRACE)
        try:
            self.opened.append(function(self, *args, **options))
            if self.session is not None:
                # Here, since the number of this thread is soon that of another one.
                self.session.delivery.thread = None
            self._undo_if_cancelled()
        finally:
            self._through.set()

    def cancel(self) -> None:
        """Give it up on a thread, and wait for its source, for a moment: the next call may send that."""
        try:
            self.give_up()
            self._through.wait(GRACE)
            self._undo_if_cancelled()
        finally:
            self._cancel_over.set()

    def _undo_if_cancelled(self) -> None:
        if self.session is None or not (self.opened and self.cancelled):
            return  # both threads look here, each after it has noted its part
        if isinstance(self.opened[0], MessageStream):
            self.opened[0].undo()
        self.session.end(telling=False)

    @property
    def _is_over_here(self) -> bool:
        return self.is_over or (self._undone and self._mark in _told.get())

    def when_over(self, tell: Callable[[], object]) -> None:
        if self._mark not in _told.get():
            super().when_over(tell)
            return
        self._when_undone.append(tell)
        if self._undone:
            tell()

    def end(self) -> None:
        self._undone = True  # first, as in Call.end()
        for tell in self._when_undone:
            tell()
        self.leave()

    def leave(self) -> None:
        """Note that the loop has run the handlers, or the thread is done."""
        self._left.pop()
        if not self._left:
            super().end()

    async def tell(self, client: AsyncEmitter, messages: Iterable[Mapping[str, Any]]) -> None:
        """Run handlers on the loop; a session that they start does not wait for them."""
        token = _told.set((*_told.get(), self._mark))
        try:
            for message in messages:
                await client.deliver(message)
        finally:
            _told.reset(token)
