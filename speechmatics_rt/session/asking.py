"""What a client says to the service in mid-session beside audio, and what it asks and waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Optional, Union, overload

from ..config import FLAG, ConversationConfig, checked, set_recognition_config
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
    """What a client may say and ask while a session runs, whatever its channels."""

    def _running(self) -> Session:
        raise NotImplementedError

    def _warn(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def update_config(
        self,
        *,
        max_delay: Optional[float] = None,
        max_delay_mode: Optional[str] = None,
        enable_partials: Optional[bool] = None,
        audio_filtering_config: Optional[Mapping[str, Any]] = None,
        conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None,
        **more: Any,
    ) -> None:
        """Change settings of the running session (``SetRecognitionConfig``); None leaves one as it is.

        Args:
            max_delay: Seconds from the end of a word to its final.
            max_delay_mode: ``"flexible"`` or ``"fixed"``.
            enable_partials: Send partials from now on, or no more.
            audio_filtering_config: Mapping of ``volume_threshold``, 0 to 100.
            conversation_config: A ConversationConfig or a mapping.
            **more: Fields of previews; the service takes no others in mid-session.

        Raises:
            ConfigurationError: Another field, or a value out of range.
            SessionError: No session is running.
        """
        session = self._running()
        language = session.start["transcription_config"]["language"]
        changes = {
            "max_delay": max_delay,
            "max_delay_mode": max_delay_mode,
            "enable_partials": enable_partials,
            "audio_filtering_config": audio_filtering_config,
            "conversation_config": conversation_config,
            **more,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        message = set_recognition_config(language, given)
        self._warn(message)
        session.send(message)

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
