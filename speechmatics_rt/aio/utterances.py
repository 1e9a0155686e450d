"""The utterances of a session as an asynchronous iterator."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any, Optional

from ..exceptions import SpeechmaticsError
from ..transcript import Transcript, Utterance
from .rounds import Round
from .stream import AsyncMessageStream

__all__ = ["AsyncUtteranceStream"]


class AsyncUtteranceStream:
    """The utterances of one session: ``async for utterance in client.utterances(source)``.

    See :class:`UtteranceStream`. Leaving the iteration early ends the session, as with
    :class:`AsyncMessageStream`.
    """

    def __init__(self, messages: AsyncMessageStream, *, partials: bool) -> None:
        self._messages = messages
        self._partials = partials
        self._due: Optional[deque[Utterance]] = None  # once the session is open
        self._failed = False  # the session has, which is raised after the last ones

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return self._messages.transcript

    def __repr__(self) -> str:
        return repr(self._messages).replace(type(self._messages).__name__, type(self).__name__, 1)

    def __aiter__(self) -> AsyncUtteranceStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Utterance]:
        return self._next(Round())

    async def _next(self, asked: Round) -> Utterance:
        messages = self._messages
        messages._begin(asked)
        dispatcher = messages._dispatcher or await messages._opened()
        if dispatcher is None:
            raise StopAsyncIteration  # it was closed before
        due = self._due
        if due is None:
            due = self._due = dispatcher.session.turns.follow(partials=self._partials)
        while not due:
            if self._failed:
                self._failed = False
                dispatcher.session.ending.raise_failure()
            try:
                await messages._message()
            except StopAsyncIteration:
                if not due:
                    raise
            except SpeechmaticsError:
                if not (due and messages._is_over):
                    raise
                self._failed = True
        return due.popleft()

    async def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        await self._messages.close()

    async def aclose(self) -> None:
        """Do the same as :meth:`close`, under the name that :func:`contextlib.aclosing` calls."""
        await self.close()

    def __aenter__(self) -> Coroutine[Any, Any, AsyncUtteranceStream]:
        return self._enter(self._messages.__aenter__())

    async def _enter(self, entering: Coroutine[Any, Any, object]) -> AsyncUtteranceStream:
        await entering
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        await self._messages.__aexit__(exc_type)
