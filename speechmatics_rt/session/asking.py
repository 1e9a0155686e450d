"""What a client asks of the service and waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Optional, overload

from ..config import FLAG, checked
from .request import SECONDS

if TYPE_CHECKING:
    from ..messages import SpeakersResultMessage
    from .session import Session

__all__ = ["Asking", "ask_for_speakers"]


def ask_for_speakers(final: Any, wait: Any, timeout: Any) -> dict[str, Any]:
    """Check the arguments of ``get_speakers()``, and return the message that asks."""
    FLAG("final", final)
    FLAG("wait", wait)
    checked("timeout", timeout, SECONDS)
    return {"message": "GetSpeakers", "final": final}


class Asking:
    """The questions of a client, whatever its channels."""

    def _running(self) -> Session:
        raise NotImplementedError

    @overload
    def get_speakers(
        self, *, final: Literal[False] = ..., wait: Literal[True] = ..., timeout: Optional[float] = ...
    ) -> SpeakersResultMessage: ...
    @overload
    def get_speakers(
        self, *, final: bool = ..., wait: bool = ..., timeout: Optional[float] = ...
    ) -> Optional[SpeakersResultMessage]: ...
    def get_speakers(
        self, *, final: bool = False, wait: bool = True, timeout: Optional[float] = 10.0
    ) -> Optional[SpeakersResultMessage]:
        """Ask for the identifiers of the speakers, and return the answer, which handlers get too.

        Args:
            final: Have the server answer at the end of the transcript instead of now; not waited for.
            wait: False asks and returns None: in handlers, which would wait for themselves.
            timeout: The most seconds to wait; None: as long as the session runs.

        Raises:
            ConfigurationError: An argument is of a wrong kind.
            SessionError: No session is running, or this is the thread that would deliver the answer.
            TimeoutError: Stage ``"answer"``.
        """
        message, session = ask_for_speakers(final, wait, timeout), self._running()
        if final or not wait:
            session.send(message)
            return None
        answer: SpeakersResultMessage = session.ask(message, "SpeakersResult", timeout=timeout)
        return answer
