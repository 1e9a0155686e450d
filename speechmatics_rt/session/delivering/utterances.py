"""The utterances of a session as an iterator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ...config import ConversationConfig, TranscriptionConfig
from ...exceptions import SpeechmaticsError
from ...transcript import Transcript, Utterance
from .stream import MessageStream

__all__ = ["UtteranceStream", "with_turns"]

_SILENCE = 0.5  # seconds without a word that end an utterance, as the service advises for turns


def with_turns(options: Mapping[str, Any], *, partials: bool) -> dict[str, Any]:
    """Return the options with end-of-utterance detection turned on, unless they say otherwise."""
    given = options.get("transcription_config")
    config = TranscriptionConfig() if given is None else TranscriptionConfig.of(given, "transcription_config")
    changes: dict[str, Any] = {}
    if config.conversation_config is None:
        changes["conversation_config"] = ConversationConfig(end_of_utterance_silence_trigger=_SILENCE)
    if partials:
        changes["enable_partials"] = True
    return {**options, "transcription_config": replace(config, **changes)}


class UtteranceStream:
    """The utterances of one session, as an iterator: ``for utterance in client.utterances(source)``.

    Each is returned when it has ended; the last ones come before the error of the session is raised. That of
    a handler is raised at once, and the iteration may go on. Leaving it early ends the session, as with
    :class:`MessageStream`.
    """

    def __init__(self, messages: MessageStream, *, partials: bool) -> None:
        self._messages = messages
        self._due = messages._session.turns.follow(partials=partials)
        self._failed = False  # the session has, which is raised after the last ones

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return self._messages.transcript

    def __repr__(self) -> str:
        return repr(self._messages).replace(type(self._messages).__name__, type(self).__name__, 1)

    def __iter__(self) -> UtteranceStream:
        return self

    def __next__(self) -> Utterance:
        while not self._due:
            if self._failed:
                self._failed = False
                self._messages._session.ending.raise_failure()
            try:
                next(self._messages)
            except StopIteration:
                if not self._due:
                    raise
            except SpeechmaticsError:
                if not (self._due and self._messages._is_over):
                    raise
                self._failed = True
        return self._due.popleft()

    def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        self._messages.close()

    def __enter__(self) -> UtteranceStream:
        self._messages.__enter__()
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        self._messages.__exit__(exc_type)
