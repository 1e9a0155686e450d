"""The messages of a session as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from .. import messages
from ..events import everything
from ..exceptions import SessionError, SpeechmaticsError
from ..protocol import ACKNOWLEDGEMENTS
from ..session import MessageStream, SessionRequest
from ..transcript import Transcript
from .bridge import Bridge, in_thread, step_of
from .core import CallOfLoop
from .dispatch import Dispatcher
from .rounds import Round

if TYPE_CHECKING:
    from .baseclient import AsyncBaseClient

__all__ = ["AsyncMessageStream"]


class AsyncMessageStream:
    """The messages of one session: ``async for message in client.stream(source)``.

    Each message is first passed to its handlers and then returned, as by :class:`MessageStream`. Leaving the
    iteration early, by ``async with``, ``close()``, cancellation, or by dropping it, ends the session. One
    task at a time may wait for a message; any may close it.
    """

    def __init__(self, client: AsyncBaseClient, source: Any, request: SessionRequest) -> None:
        self._client = client
        self._source = source
        self._request = request
        self._bridges: list[Bridge] = []
        self._call: Optional[CallOfLoop] = None  # while it opens the session
        self._messages: Optional[MessageStream] = None  # never iterated; it warns if it is dropped
        self._dispatcher: Optional[Dispatcher] = None
        self._closed = False  # or its session did not start
        self._awaited = False  # a task waits for a message, or for the start of the session
        self._round: Optional[Round] = None  # that of the program's loop

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return Transcript() if self._messages is None else self._messages.transcript

    @property
    def _is_over(self) -> bool:
        return self._closed if self._messages is None else self._messages._is_over

    def __repr__(self) -> str:
        messages = self._messages
        if messages is None:
            return f"<{type(self).__name__}, {'over' if self._closed else 'not started'}>"
        return repr(messages).replace(type(messages).__name__, type(self).__name__, 1)

    def __aenter__(self) -> Coroutine[Any, Any, AsyncMessageStream]:
        # What the program does before it asks for the first message is a round, too; see __anext__().
        return self._enter(Round(entered=True) if self._dispatcher is None else None)

    async def _enter(self, entered: Optional[Round]) -> AsyncMessageStream:
        """Open the session, unless that has been done, and begin the round of who has entered, if any."""
        if self._dispatcher is None:
            self._begin(entered)
            await self._opened()
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        await self.close()
        if exc_type is not None:
            await self._put_back()

    async def _put_back(self) -> None:
        """Rewind the source for a second attempt; on a thread, since that may need the loop."""
        if self._messages is not None:
            await in_thread(self._messages.undo)

    def __aiter__(self) -> AsyncMessageStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, messages.ServerMessage]:
        # The round begins here, not in the coroutine, which ``wait_for()`` may run in another task.
        return self._next(Round())

    async def _next(self, asked: Round) -> messages.ServerMessage:
        """Return what the iterator returns, to the round that has asked."""
        self._begin(asked)
        return await self._message()

    def _begin(self, asked: Optional[Round]) -> None:
        """End the round before, and begin that which asks for the next message, if it is one of a loop."""
        if self._awaited:
            if asked is not None:
                asked.end()
            raise self._refused()
        if self._round is not None:
            self._round.end()
        self._round = asked
        if self._dispatcher is not None:
            self._attend(self._dispatcher)

    def _attend(self, dispatcher: Dispatcher) -> None:
        dispatcher.body = self._round
        if self._round is not None:
            self._round.delivery = dispatcher.session.delivery

    async def _message(self) -> messages.ServerMessage:
        while (step := await self._step(everything)) is not None:
            kind, message = step
            if kind not in ACKNOWLEDGEMENTS:
                return cast("messages.ServerMessage", message)  # unchecked: it is the server's
        raise StopAsyncIteration

    async def _step(self, wants: Callable[[str], bool]) -> Optional[tuple[object, object]]:
        """Run the handlers of the next message; return its kind, which they may change, and it; or None."""
        if self._awaited:
            raise self._refused()
        dispatcher = self._dispatcher or await self._opened()
        if dispatcher is None:
            return None
        self._awaited = True
        try:
            item = await dispatcher.take(wants)
            if item is None:
                return None
            message, seen = item
            kind = message and message["message"]
            await dispatcher.deliver(message, seen)
        except asyncio.CancelledError:
            try:
                await self.close()
            finally:
                await self._put_back()
            raise
        except SpeechmaticsError:
            if self._is_over:  # else it is a handler's
                self._end_reads()
                await self._put_back()
            raise
        finally:
            self._awaited = False
        return kind, message

    async def finish(self) -> Transcript:
        """Run to the end of the transcript and return it."""
        wants = self._client._behind._wants
        self._begin(None)
        await self._enter(None)
        async with self:
            while await self._step(wants) is not None:
                pass
        return self.transcript

    async def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        self._leave()
        if self._call is not None:
            await in_thread(self._call.give_up)
        elif self._dispatcher is not None and not self._is_over:
            await self._dispatcher.end()

    async def aclose(self) -> None:
        """Do the same as :meth:`close`, under the name that :func:`contextlib.aclosing` calls."""
        await self.close()

    def _leave(self) -> None:
        """Ask for no more messages, and read no more."""
        self._closed = True
        self._end_reads()
        if self._round is not None:
            self._round.end()

    def _end_reads(self) -> None:
        for bridge in self._bridges:
            bridge.close()

    def _refused(self) -> SessionError:
        return SessionError(
            "a stream is already being iterated over: another task waits for its next message, and one at a "
            "time may; let that task pass messages on, or register handlers"
        )

    async def _opened(self) -> Optional[Dispatcher]:
        """Open the session, if that has not been done; return None if it was closed before."""
        if not self._closed:
            self._awaited = True
            try:
                await self._open()
            finally:
                self._awaited = False
        return self._dispatcher

    async def _open(self) -> None:
        client, source = self._client, self._bridged(self._source)
        self._call = call = CallOfLoop(client._behind, self._bridges)
        try:
            if self._round is not None:
                self._round.opening = call
            self._messages = blocking = await client._open(
                call, client._behind._streaming, source, self._request.from_now()
            )
        except BaseException:
            self._leave()
            raise
        finally:
            self._call = None
            if self._round is not None:
                self._round.opening = None
        self._dispatcher = client._dispatcher = Dispatcher(blocking._session, client, blocking._arrivals)
        self._attend(self._dispatcher)

    def _bridged(self, source: Any) -> Any:
        """Wrap asynchronous sources so that a thread can read them."""
        if isinstance(source, Mapping):
            bridged = {id(one): self._bridged(one) for one in source.values()}
            if all(bridged[id(one)] is one for one in source.values()):
                return source  # no channels, perhaps, but what only its class tells
            return {label: bridged[id(one)] for label, one in source.items()}  # one for two is seen there
        step = step_of(source, self._request.audio_format.chunk_size)
        if step is None:
            return source
        self._bridges.append(Bridge(step, source))
        return self._bridges[-1]
