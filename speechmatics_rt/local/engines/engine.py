"""The interface of an engine of the local server, and of its recognisers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional, Protocol

__all__ = ["Engine", "Recogniser"]


class Recogniser(Protocol):
    """Recognises the audio of a session, or of one channel of it.

    All calls come from one thread, one after another: the session's own, or its worker thread if the engine
    is ``slow``. Messages are complete server messages (dicts ready for JSON) without ``channel``, which the
    server adds; they are sent in the order returned. An exception ends the session with the Error
    ``job_error``, and is logged.

    A method ``complete()``, if there is one, is called when EndOfTranscript is due.
    """

    def feed(self, audio: bytes) -> Iterable[dict[str, Any]]:
        """Process one audio message, which may cut samples, and return the messages to send now."""

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Apply the checked fields of a SetRecognitionConfig to the audio that follows."""

    def force_end_of_utterance(self, timestamp: Optional[float]) -> Iterable[dict[str, Any]]:
        """End the utterance at ``timestamp`` seconds of audio, or at the end of all audio so far if None.

        Returns the forced AddTranscript, if words are left, and then always the forced EndOfUtterance.
        """

    def speakers(self) -> list[dict[str, Any]]:
        """Return the ``speakers`` of a SpeakersResult, as known now."""

    def finish(self) -> Iterable[dict[str, Any]]:
        """Return the remaining messages when the audio has ended; the server adds EndOfTranscript."""

    def close(self) -> None:
        """Release resources. Always called, once, as the last method."""


class Engine(Protocol):
    """Creates recognisers; shared by all sessions of a server, and called from all their threads.

    ``slow`` means that a recogniser's methods take long: the server then runs them on a worker thread of the
    session, and goes on reading meanwhile.
    """

    slow: bool

    def language_pack_info(self, language: str) -> dict[str, Any]:
        """Return ``language_pack_info`` for RecognitionStarted.

        Raises:
            ConfigurationError: The engine has no such language; the session gets ``invalid_language``.
        """

    def recogniser(self, settings: Mapping[str, Any]) -> Recogniser:
        """Create a recogniser for a StartRecognition message, which has been checked.

        In a session of several channels there is one for each, and ``settings["channel"]`` is its label.
        """

    def close(self) -> None:
        """Release resources. The server calls this when it closes, if it created the engine itself."""
