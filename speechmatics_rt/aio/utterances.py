"""The utterances of a session as an asynchronous iterator."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Optional

from ..exceptions import SpeechmaticsError
from ..session import Spoken
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
        self._spoken = Spoken(partials=partials)

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return self._messages.transcript

    def __aiter__(self) -> AsyncUtteranceStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Utterance]:
        return self._next(Round())

    async def _next(self, asked: Round) -> Utterance:
        self._messages._begin(asked)
        spoken = self._spoken
        while (utterance := spoken.next()) is None:
            if spoken.over:
                raise StopAsyncIteration
            try:
                spoken.add(await self._messages._message())
            except (StopAsyncIteration, SpeechmaticsError) as exc:
                if not self._messages._is_over:  # the error is a handler's
                    raise
                spoken.end(exc)
        return utterance

    async def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        await self._messages.close()

    async def aclose(self) -> None:
        """Do the same as :meth:`close`, under the name that :func:`contextlib.aclosing` calls."""
        await self.close()

    async def __aenter__(self) -> AsyncUtteranceStream:
        await self._messages.__aenter__()
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        await self._messages.__aexit__(exc_type)
