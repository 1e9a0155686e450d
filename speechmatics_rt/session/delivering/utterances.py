"""The utterances of a session as an iterator."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ...config import ConversationConfig, TranscriptionConfig
from ...exceptions import SpeechmaticsError, without_frames
from ...messages import channel_of
from ...transcript import Transcript, Utterance, Utterances
from .stream import MessageStream

__all__ = ["Spoken", "UtteranceStream", "with_turns"]

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


class Spoken:
    """What an iterator of utterances returns next: those that have ended, and perhaps those in progress.

    Attributes:
        over: No more messages come.
    """

    def __init__(self, *, partials: bool) -> None:
        self._partials = partials
        self._following = Utterances()
        self._shown: dict[Optional[str], Utterance] = {}
        self._due: deque[Utterance] = deque()
        self._failure: Optional[SpeechmaticsError] = None
        self.over = False

    def add(self, message: Mapping[str, Any]) -> None:
        over = self._following.add(message)
        self._due.extend(over)
        if self._partials and message["message"] == "AddPartialTranscript":
            channel = channel_of(message)
            spoken = self._following.spoken(channel)
            if spoken is not None and spoken != self._shown.get(channel):
                self._shown[channel] = spoken
                self._due.append(spoken)

    def end(self, ended_by: Exception) -> None:
        """End the last utterances. If an error of the session has ended it, it is raised after them."""
        self.over = True
        self._failure = ended_by if isinstance(ended_by, SpeechmaticsError) else None
        self._due.extend(self._following.end())

    def next(self) -> Optional[Utterance]:
        """Return the next utterance, or None; after the last one raise the error, once."""
        if self._due:
            return self._due.popleft()
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise without_frames(failure)
            finally:
                del failure  # its traceback has this frame
        return None


class UtteranceStream:
    """The utterances of one session, as an iterator: ``for utterance in client.utterances(source)``.

    Each is returned when it has ended; the last ones come before an error is raised. Leaving the iteration
    early ends the session, as with :class:`MessageStream`.
    """

    def __init__(self, messages: MessageStream, *, partials: bool) -> None:
        self._messages = messages
        self._spoken = Spoken(partials=partials)

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return self._messages.transcript

    def __iter__(self) -> UtteranceStream:
        return self

    def __next__(self) -> Utterance:
        spoken = self._spoken
        while (utterance := spoken.next()) is None:
            if spoken.over:
                raise StopIteration
            try:
                spoken.add(next(self._messages))
            except (StopIteration, SpeechmaticsError) as exc:
                if not self._messages._is_over:  # the error is a handler's
                    raise
                spoken.end(exc)
        return utterance

    def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        self._messages.close()

    def __enter__(self) -> UtteranceStream:
        self._messages.__enter__()
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        self._messages.__exit__(exc_type)
