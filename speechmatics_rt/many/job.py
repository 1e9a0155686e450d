"""What a worker does with one source, on whatever machine: one client, one session."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, NamedTuple, Optional

from ..auth import nobody_answered, told_of
from ..baseclient import BaseClient
from ..client import Client
from ..config import TranscriptionConfig, kept
from ..exceptions import ConnectionError, SpeechmaticsError, without_frames
from ..log import report as log_error
from ..multichannel import MultiChannelClient
from ..stats import SessionStats
from ..threads import is_meant_for_call, new_lock
from ..transcript import Transcript

__all__ = ["Job", "Report", "Sessions"]

logger = logging.getLogger(__name__)


class Report(NamedTuple):
    """What a worker returns. It can be pickled."""

    transcript: Optional[Transcript] = None
    error: Optional[SpeechmaticsError] = None
    stats: SessionStats = SessionStats()
    request_id: Optional[str] = None
    session_id: Optional[str] = None


class Sessions:
    """The sessions that run in this process, to be inspected and ended. A pickled copy is empty."""

    def __init__(self) -> None:
        self._lock = new_lock()  # guards what is below; held for assignments only
        self._clients: dict[int, BaseClient] = {}
        self._closed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Sessions, ()

    def begin(self, index: int, client: BaseClient) -> bool:
        """Register a client until :meth:`end`; return False if it must not begin a session any more."""
        with self._lock:
            self._clients[index] = client
            closed = self._closed
        # A client that is closed before it begins to open a session does not notice.
        client.on("RecognitionStarted", lambda _: client.close() if self._closed else None)
        return not closed

    def end(self, index: int) -> None:
        with self._lock:
            self._clients.pop(index, None)

    def stats(self, index: int) -> Optional[SessionStats]:
        """Return the figures of a session that runs here."""
        client = self._clients.get(index)
        return None if client is None else client.stats

    def close(self) -> None:
        """End all sessions now, and let none begin."""
        with self._lock:
            self._closed = True
            clients = list(self._clients.values())
        for client in clients:
            client.close()

    def abandon(self) -> None:
        """End the audio of all sessions, and let none begin. Takes no lock and waits for nothing."""
        self._closed = True
        for client in list(self._clients.values()):
            client.request_stop()


class Job:
    """The options that all sources of a run share. Call it to transcribe one; it pickles if its options do.

    What the caller changes in them later is not meant.

    Args:
        client: The options of the client.
        session: The options of ``transcribe()``.
        limiter: A context manager entered around each session.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        session: Mapping[str, Any],
        limiter: Optional[AbstractContextManager[Any]],
    ) -> None:
        self.sessions = Sessions()
        self._client = kept(dict(client))
        self._session = kept(dict(session))
        self._limiter = limiter

    def __call__(self, index: int, source: Any) -> Report:
        """Transcribe one source. A SpeechmaticsError is returned; any other error is left to the executor."""
        report: Optional[Report] = None
        try:
            with ExitStack() as entered:
                refusal = self._enter(entered)
                report = self._transcribe(index, source) if refusal is None else Report(error=refusal)
        except Exception as exc:
            if report is None or is_meant_for_call(exc):
                raise
            log_error(logger, "the limiter failed when it was left", error=exc)  # the transcript is made
        return report

    def _enter(self, entered: ExitStack) -> Optional[SpeechmaticsError]:
        """Enter the limiter; return the error that it stands for if it is out of reach."""
        if self._limiter is None:
            return None
        try:
            entered.enter_context(self._limiter)
        except Exception as exc:
            if is_meant_for_call(exc) or not nobody_answered(exc):
                raise
            return ConnectionError(f"the limiter raised {told_of(exc)}", stage="limiter", unreached=True)
        return None

    def _transcribe(self, index: int, source: Any) -> Report:
        transcript = error = None
        kind: Any = MultiChannelClient if isinstance(source, Mapping) else Client
        with kind(**self._client) as client:
            try:
                if self.sessions.begin(index, client):
                    transcript = client.transcribe(source, **self._options_for(source))
            except SpeechmaticsError as exc:
                without_frames(exc)  # the frames hold the source, and its audio
                error = exc
            finally:
                self.sessions.end(index)
            return Report(transcript, error, client.stats, client.request_id, client.session_id)

    def _options_for(self, source: Any) -> dict[str, Any]:
        """Return the options of a session: where there are channels, speakers are told apart in each."""
        given = self._session.get("transcription_config")
        if given is None or not isinstance(source, Mapping):
            return self._session
        config = TranscriptionConfig.of(given, "transcription_config")
        if config.diarization == "speaker":
            config = replace(
                config, diarization="channel_and_speaker", channel_diarization_labels=list(source)
            )
        return {**self._session, "transcription_config": config}
