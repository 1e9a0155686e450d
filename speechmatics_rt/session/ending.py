"""How a session has ended, and ``SessionEnded``, the last event of each, even of one that could not start."""

from __future__ import annotations

import copy
import logging
from typing import Any, Callable, Optional

from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError, assign
from ..log import SessionLog, report
from ..network import Link
from ..threads import is_meant_for_call
from ..transcript import Transcript

__all__ = ["SessionEnding", "Unraised", "session_ended", "tell_unstarted"]

logger = logging.getLogger(__name__)


class SessionEnding:
    """How a session has ended, and whether its program knows.

    These are independent facts, each noted once and never taken back. So no lock is needed, and a signal
    handler or a finaliser may note them, too.

    Attributes:
        failure: The error that the session ended with: the first one, but that of a source before all.
        complete: EndOfTranscript has come.
        closed: The program has closed it, and waits for no handler.
        overtaken: Another session was started on the thread of a stream that was not in its loop.
    """

    def __init__(
        self,
        connection: Link,
        transcript: Transcript,
        log: SessionLog,
        unraised: Callable[[], Optional[Unraised]] = lambda: None,
    ) -> None:
        self.failure: Optional[SpeechmaticsError] = None
        self.complete = self.closed = self.overtaken = False
        self._of_source: Optional[SpeechmaticsError] = None
        self._unraised = unraised  # of a handler, raised if nothing else is
        self._raised = False
        self._connection = connection
        self._transcript = transcript
        self._log = log

    @property
    def is_known(self) -> bool:
        """Whether a call has raised an error since the end, or the program has closed it and does not ask."""
        return self.closed or self._raised

    def note(self, failure: Optional[SpeechmaticsError]) -> None:
        """Store the error it ended with; the first one wins."""
        failure = failure if self._of_source is None else self._of_source
        if self.failure is None and failure is not None:
            self.failure = _copy(failure)

    def source_failed(self, error: SpeechmaticsError) -> None:
        """End the audio where its source failed: what was sent is transcribed, then ``error`` is raised."""
        if not self._connection.draining:  # else the server's Error, or a requested end, came first
            self._of_source = error
            self._connection.end_stream()

    def handler_failed(self, error: Exception) -> None:
        """Log an error of a handler, and keep the first one for ``stop_session()``.

        It is logged so that nobody misses it, since the session may run on for hours, and may be closed.
        """
        text = "a handler failed; stop_session(), or the end of the loop, raises the first error of one"
        report(self._log, text, error=error)
        unraised = self._unraised()
        if unraised is not None and self.failure is None:
            unraised.keep(error)

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Add the transcript so far and the ids to an error that is about to reach the caller."""
        if not self._connection.is_open:
            self._raised = True
        return self._completed(error)

    def _completed(self, error: SpeechmaticsError) -> SpeechmaticsError:
        assign(error, "transcript", self._transcript)
        assign(error, "request_id", self._log.request_id)
        assign(error, "session_id", self._connection.session_id)
        return error

    def raise_failure(self, caught: Optional[SpeechmaticsError] = None) -> None:
        """Raise the error that ended it, if any: ``caught``, just raised, unless a source failed first."""
        if caught is not None and self._of_source is None:
            try:
                raise self.annotate(caught)
            finally:
                del caught  # as below
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        unraised = self._unraised()
        if unraised is not None and (error := unraised.take()) is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame, and what that has

    def event(self) -> dict[str, Any]:
        """Build ``SessionEnded``."""
        failure = self.failure
        if failure is None or (self.closed and isinstance(failure, SessionError)):
            return session_ended(None)  # complete, or ended by the program itself
        return session_ended(self._completed(_copy(failure)))


class Unraised:
    """The first error of a handler in a session, with its frames, to be raised once.

    They hold the client. So nothing holds this but the client itself, which can then be collected.
    """

    __slots__ = ("__weakref__", "_error", "_is_first")

    def __init__(self) -> None:
        self._error: Optional[Exception] = None
        self._is_first = True

    def keep(self, error: Exception) -> None:
        if self._is_first:
            self._is_first, self._error = False, error

    def take(self) -> Optional[Exception]:
        error, self._error = self._error, None
        return error


def _copy(error: SpeechmaticsError) -> SpeechmaticsError:
    """Copy an error with its cause, but without its traceback, which would keep frames alive."""
    copied = copy.copy(error)
    assign(copied, "__cause__", error.__cause__)
    return copied


def session_ended(error: Optional[BaseException]) -> dict[str, Any]:
    """Build the last event of a session. It has no error if the program itself ended it, or Ctrl-C did."""
    return {"message": "SessionEnded", "error": error if isinstance(error, SpeechmaticsError) else None}


def tell_unstarted(client: EventEmitter, error: Optional[BaseException]) -> None:
    """Run the handlers of ``SessionEnded`` for a session that never had a connection."""
    try:
        client.emit("SessionEnded", session_ended(error))
    except Exception as exc:  # with handler_errors="raise"; what prevented the start is raised instead
        if is_meant_for_call(exc):
            raise
        report(logger, "a handler of SessionEnded failed", error=exc)
