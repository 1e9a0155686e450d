"""What the local server asks of an engine and of its recognisers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional, Protocol

__all__ = ["Engine", "Recogniser"]


class Recogniser(Protocol):
    """Recognises the audio of a session, or of one channel of it.

    All calls come one after another from one thread: the session's own, or its worker if the engine is
    ``slow``. Messages are complete server messages (dicts ready for JSON) without ``channel``, which the
    server adds; they leave in the order given. What is raised here ends the session with the Error
    ``job_error`` and is logged.
    """

    def feed(self, audio: bytes) -> Iterable[dict[str, Any]]:
        """Take the bytes of one audio message, cut anywhere, and return what is to be sent now."""

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Take the checked fields of a SetRecognitionConfig, in force for the audio that follows."""

    def force_end_of_utterance(self, timestamp: Optional[float]) -> Iterable[dict[str, Any]]:
        """End the utterance at ``timestamp`` seconds of audio, or at the end of all audio so far if None.

        The forced AddTranscript comes first if words are open, then the forced EndOfUtterance, always.
        """

    def speakers(self) -> list[dict[str, Any]]:
        """Return the ``speakers`` of a SpeakersResult, as known now."""

    def finish(self) -> Iterable[dict[str, Any]]:
        """Return what is still owed when the audio has ended; the server adds EndOfTranscript."""

    def close(self) -> None:
        """Give back what the recogniser holds; called once, always, last."""


class Engine(Protocol):
    """A maker of recognisers, shared by all sessions of a server and called from all their threads.

    ``slow`` says that a recogniser's methods take long: the server then runs them on a worker thread
    of the session, and goes on reading meanwhile.
    """

    slow: bool

    def language_pack_info(self, language: str) -> dict[str, Any]:
        """Return ``language_pack_info`` for RecognitionStarted.

        Raises:
            ConfigurationError: The engine doesn't speak that language; the session gets ``invalid_language``.
        """

    def recogniser(self, settings: Mapping[str, Any]) -> Recogniser:
        """Open a recogniser for a StartRecognition message, which was checked.

        In a session of several channels there is one for each, and ``settings["channel"]`` names it.
        """

    def close(self) -> None:
        """Give back what the engine holds; the server calls it when it closes, if it made the engine."""
