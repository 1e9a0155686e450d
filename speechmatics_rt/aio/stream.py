"""The messages of a session as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from .. import messages
from ..events import everything
from ..exceptions import SpeechmaticsError
from ..protocol import ACKNOWLEDGEMENTS
from ..session import MessageStream, SessionRequest
from ..transcript import Transcript
from .bridge import Bridge, in_thread, step_of
from .dispatch import Body, Dispatcher

if TYPE_CHECKING:
    from .baseclient import AsyncBaseClient

__all__ = ["AsyncMessageStream"]


class AsyncMessageStream:
    """The messages of one session: ``async for message in client.stream(source)``.

    Each message is first passed to its handlers and then returned, as by :class:`MessageStream`. Leaving the
    iteration early, by ``async with``, ``close()``, cancellation, or by dropping it, ends the session.
    """

    def __init__(self, client: AsyncBaseClient, source: Any, request: SessionRequest) -> None:
        self._client = client
        self._source = source
        self._request = request
        self._bridges: list[Bridge] = []
        self._messages: Optional[MessageStream] = None  # never iterated; it warns if it is dropped
        self._dispatcher: Optional[Dispatcher] = None
        self._body: Optional[Body] = None

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return Transcript() if self._messages is None else self._messages.transcript

    @property
    def _is_over(self) -> bool:
        return self._messages is None or self._messages._is_over

    async def __aenter__(self) -> AsyncMessageStream:
        await self._open()
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        await self.close()
        if exc_type is not None:
            await self._put_back()

    async def _put_back(self) -> None:
        """Rewind the source for a second attempt; on a thread, since that may need the loop."""
        if self._messages is not None:
            await in_thread(self._messages.put_back)

    def __aiter__(self) -> AsyncMessageStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, messages.ServerMessage]:
        self._asked()
        return self._next()

    def _asked(self) -> None:
        """Note who asks for a message; not in a coroutine, which ``wait_for()`` may run in another task."""
        self._body = Body()

    async def _next(self) -> messages.ServerMessage:
        """Return what the iterator returns."""
        while (step := await self._step(everything)) is not None:
            kind, message = step
            if kind not in ACKNOWLEDGEMENTS:
                return cast("messages.ServerMessage", message)  # unchecked: it is the server's
        raise StopAsyncIteration

    async def _step(self, wants: Callable[[str], bool]) -> Optional[tuple[object, object]]:
        """Run the handlers of the next message; return its kind, which they may change, and it; or None."""
        dispatcher = self._dispatcher or await self._open()
        dispatcher.task, dispatcher.body = asyncio.current_task(), self._body
        try:
            item = await dispatcher.take(wants)
            if item is None:
                return None
            message, seen = item
            kind = message and message["message"]
            await dispatcher.deliver(message, seen)
        except asyncio.CancelledError:
            await self.close()
            raise
        except SpeechmaticsError:
            if self._is_over:  # else it is a handler's
                self._end_reads()
                await self._put_back()
            raise
        return kind, message

    async def finish(self) -> Transcript:
        """Run to the end of the transcript and return it."""
        wants = self._client._behind._wants
        async with self:
            while await self._step(wants) is not None:
                pass
        return self.transcript

    async def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        self._end_reads()
        if self._dispatcher is not None and not self._is_over:
            await self._dispatcher.end()

    def _end_reads(self) -> None:
        for bridge in self._bridges:
            bridge.close()

    async def _open(self) -> Dispatcher:
        client, source = self._client, self._bridged(self._source)

        try:
            self._messages = blocking = await client._open(
                client._behind._streaming, source, self._request.from_now(), bridges=self._bridges
            )
        except BaseException:
            await self.close()
            raise
        dispatcher = Dispatcher(blocking._session, client, blocking._arrivals)
        self._dispatcher = client._dispatcher = dispatcher
        return dispatcher

    def _bridged(self, source: Any) -> Any:
        """Wrap asynchronous sources so that a thread can read them."""
        if isinstance(source, Mapping):
            bridged = {id(one): self._bridged(one) for one in source.values()}
            return {label: bridged[id(one)] for label, one in source.items()}  # one for two is seen there
        step = step_of(source, self._request.audio_format.chunk_size)
        if step is None:
            return source
        self._bridges.append(Bridge(step, source))
        return self._bridges[-1]
