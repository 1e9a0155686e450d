"""What a client can change and ask during a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Optional, Union, overload

from .. import messages
from ..config import FLAG, ConversationConfig, checked, set_recognition_config
from ..exceptions import ConfigurationError, SessionError
from .answers import Answer, waits_for_itself
from .request import SECONDS, UNSET, check_label, check_timestamp
from .stages import waiting
from .turns import Said

if TYPE_CHECKING:
    from ..transcript import Utterance
    from .session import Session

__all__ = ["Asking", "ask_for_speakers", "said_before"]


def ask_for_speakers(final: Any, wait: Any, timeout: Any) -> dict[str, Any]:
    """Check the arguments of ``get_speakers()``, and return the message that asks."""
    FLAG("final", final)
    FLAG("wait", wait)
    checked("timeout", timeout, SECONDS)
    return {"message": "GetSpeakers", "final": final}


def said_before(session: Session, message: Mapping[str, Any]) -> Said:
    """Return the answer to a message that forces the end of an utterance.

    Raises:
        ConfigurationError: Nothing of the transcript is kept, so there are no words to make an utterance of.
    """
    if session.transcript.keep == 0:
        raise ConfigurationError(
            "finalize() returns words of the transcript, of which keep_transcript=0 keeps none; keep some "
            "seconds, or use force_end_of_utterance() and a handler of Utterance"
        )
    return Said(session.turns, message, session.log)


class Asking:
    """The methods that change settings and ask questions during a session, whatever its channels."""

    def _running(self) -> Session:
        raise NotImplementedError

    def _warn(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _forced(
        self, timestamp: Optional[float], channel: Optional[str] = None
    ) -> tuple[Session, dict[str, Any]]:
        """Return the running session and the message that ends an utterance in it, checked."""
        check_timestamp(timestamp)
        if channel is not None:
            check_label(channel)
        session = self._running()
        labels = session.start["transcription_config"].get("channel_diarization_labels", ())
        if channel is not None and channel not in labels:  # a server may end the session for it
            there = ", ".join(map(repr, labels))
            raise SessionError(f"ForceEndOfUtterance names channel {channel!r}; the session has {there}")
        if timestamp is UNSET:
            timestamp = session.seconds_sent_on(channel)
        message = {"message": "ForceEndOfUtterance", "channel": channel, "timestamp": timestamp}
        return session, {name: value for name, value in message.items() if value is not None}

    def _changed(self, **changes: Any) -> tuple[Session, dict[str, Any]]:
        """Return the running session and the message that changes its settings, checked."""
        session = self._running()
        language = session.start["transcription_config"]["language"]
        given = {name: value for name, value in changes.items() if value is not None}
        message = set_recognition_config(language, given)
        self._warn(message)
        return session, message

    def update_config(
        self,
        *,
        max_delay: Optional[float] = None,
        max_delay_mode: Optional[Literal["flexible", "fixed"]] = None,
        enable_partials: Optional[bool] = None,
        audio_filtering_config: Optional[Mapping[str, Any]] = None,
        conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None,
        **more: Any,
    ) -> None:
        """Change settings of the running session (``SetRecognitionConfig``). None leaves one unchanged.

        Args:
            max_delay: Seconds from the end of a word to its final, 0.7 to 4. (A container that takes others
                gets them by :meth:`send_message`; a server that does not would end the session.)
            max_delay_mode: ``"flexible"`` or ``"fixed"``.
            enable_partials: Whether to send partials from now on.
            audio_filtering_config: Mapping with ``volume_threshold``, 0 to 100.
            conversation_config: A ConversationConfig or a mapping.
            **more: Further fields, of previews. The service accepts no others during a session.

        Raises:
            ConfigurationError: A field can't change during a session, or a value is out of range.
            SessionError: No session is running.
        """
        session, message = self._changed(
            max_delay=max_delay,
            max_delay_mode=max_delay_mode,
            enable_partials=enable_partials,
            audio_filtering_config=audio_filtering_config,
            conversation_config=conversation_config,
            **more,
        )
        session.send(message)

    @overload
    def get_speakers(
        self, *, final: Literal[False] = ..., wait: Literal[True] = ..., timeout: Optional[float] = ...
    ) -> messages.SpeakersResultMessage: ...
    @overload
    def get_speakers(
        self, *, final: bool = ..., wait: bool = ..., timeout: Optional[float] = ...
    ) -> Optional[messages.SpeakersResultMessage]: ...
    def get_speakers(
        self, *, final: bool = False, wait: bool = True, timeout: Optional[float] = 10.0
    ) -> Optional[messages.SpeakersResultMessage]:
        """Ask for the identifiers of the speakers, and return the answer. Handlers get it too.

        Args:
            final: Ask for an answer at the end of the transcript instead of now; returns None at once.
            wait: False only asks, and returns None: for handlers, which would wait for themselves.
            timeout: Seconds to wait at most; None waits as long as the session runs.

        Raises:
            ConfigurationError: An argument has a wrong type.
            SessionError: No session is running, or what would deliver the answer waits for this thread.
            TimeoutError: Stage ``"answer"``.
        """
        message, session = ask_for_speakers(final, wait, timeout), self._running()
        if final or not wait:
            session.send(message)
            return None
        answer = Answer(session.turns.answers, message)
        result: messages.SpeakersResultMessage = _ask(session, answer, timeout)
        return result

    def _finalize(
        self, session: Session, message: Mapping[str, Any], timeout: Optional[float]
    ) -> Optional[Utterance]:
        """Force the end of an utterance, by this message, and wait for it."""
        utterance: Optional[Utterance] = _ask(session, said_before(session, message), timeout)
        return utterance


def _ask(session: Session, answer: Answer, timeout: Optional[float]) -> Any:
    """Send a question and wait for its answer, for ``timeout`` seconds at most.

    Raises:
        SessionError: What would deliver the answer waits for this thread.
        TimeoutError: Stage ``"answer"``.
        SpeechmaticsError: The error that the session ended with.
    """
    with answer, waiting(session.delivery) as may_wait:
        if not may_wait:
            raise waits_for_itself(answer.question)
        session.send(answer.question)
        answer.over.wait(timeout)
    return answer.result(timeout, session.ending)
