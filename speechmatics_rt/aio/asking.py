"""What an asyncio client can ask during a session."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Literal, Optional, overload

from .. import messages
from ..session import Answer, Session, ask_for_speakers, said_before, waiting, waits_for_itself
from ..transcript import Utterance
from .bridge import in_thread
from .core import BlockingCore
from .rounds import rounds_here

__all__ = ["AsyncAsking"]


class AsyncAsking:
    """The questions of an asyncio client, whatever its channels; see :class:`Asking`."""

    _behind: BlockingCore

    @overload
    async def get_speakers(
        self, *, final: Literal[False] = ..., wait: Literal[True] = ..., timeout: Optional[float] = ...
    ) -> messages.SpeakersResultMessage: ...
    @overload
    async def get_speakers(
        self, *, final: bool = ..., wait: bool = ..., timeout: Optional[float] = ...
    ) -> Optional[messages.SpeakersResultMessage]: ...
    async def get_speakers(
        self, *, final: bool = False, wait: bool = True, timeout: Optional[float] = 10.0
    ) -> Optional[messages.SpeakersResultMessage]:
        """Ask for the identifiers of the speakers, and return them; see :meth:`BaseClient.get_speakers`."""
        message = ask_for_speakers(final, wait, timeout)
        if final or not wait:
            await self._in_turn(self._behind._running().send, message)
            return None
        answer = Answer(self._behind._running().turns.answers, message)
        result: messages.SpeakersResultMessage = await self._ask(answer, timeout)
        return result

    # -- inside --------------------------------------------------------------------------------------

    async def _in_turn(self, function: Callable[..., object], *args: Any, **options: Any) -> None:
        raise NotImplementedError

    async def _waits_here(self, session: Session, timeout: Optional[float]) -> bool:
        raise NotImplementedError

    async def _ask(self, answer: Answer, timeout: Optional[float]) -> Any:
        """Send a question and wait for its answer, which a task of the loop delivers."""
        session = self._behind._running()
        began = time.monotonic()
        if await self._waits_here(session, timeout):
            raise waits_for_itself(answer.question)
        left = None if timeout is None else timeout - (time.monotonic() - began)
        with answer, waiting(session.delivery, rounds_here()) as may_wait:
            if not may_wait:
                raise waits_for_itself(answer.question)
            try:
                await self._in_turn(session.send, answer.question)
                await in_thread(answer.over.wait, left)
            except asyncio.CancelledError:
                answer.over.set()  # for the thread that waits
                raise
        return answer.result(timeout, session.ending)

    async def _finalize(
        self, session: Session, message: dict[str, Any], timeout: Optional[float]
    ) -> Optional[Utterance]:
        utterance: Optional[Utterance] = await self._ask(said_before(session, message), timeout)
        return utterance
