"""The messages of a session as an iterator, on the thread of whoever iterates."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any, Optional, cast

from ..events import EventEmitter
from ..exceptions import SpeechmaticsError, TimeoutError
from ..messages import ServerMessage
from ..protocol import ACKNOWLEDGEMENTS
from ..transcript import Transcript
from .session import Session

__all__ = ["MessageStream"]


class MessageStream:
    """The messages of one session, as an iterator: ``for message in client.stream(file)``.

    Each message is delivered to its handlers first, on the thread that iterates, and then returned. All
    server messages come but the acknowledgements of audio. The iteration ends after ``EndOfTranscript``
    and raises what went wrong, with ``transcript`` holding what was heard.

    Leaving it unfinished ends the session: by ``close()``, by ``with``, or by dropping the stream.

    Attributes:
        transcript: What was heard so far; complete when the iteration has ended.
    """

    # An object rather than a generator: a generator that is dropped while it waits can't be closed from
    # its finaliser, and one that was never started wouldn't run its cleanup at all.

    def __init__(
        self,
        session: Session,
        client: EventEmitter,
        *,
        deadline: float = float("inf"),
        timeout: Optional[float] = None,
    ) -> None:
        self._session = session
        self._client = client
        self._deadline = deadline
        self._timeout = timeout
        self._arrived: Iterator[dict[str, Any]] = iter(())
        session.delivering = threading.get_ident()

    @property
    def transcript(self) -> Transcript:
        return self._session.transcript

    def __iter__(self) -> MessageStream:
        return self

    def __next__(self) -> ServerMessage:
        session = self._session
        if session.delivered.is_set():
            raise StopIteration
        session.delivering = threading.get_ident()
        while True:
            message = self._next()
            kind = message["message"]  # a handler may do with its message what it likes
            session.deliver(message, self._client)
            if kind not in ACKNOWLEDGEMENTS:
                return cast("ServerMessage", message)  # what is in it is for the server to say

    def _next(self) -> dict[str, Any]:
        """Wait for the next message; end the stream when there is none to come."""
        session = self._session
        try:
            while True:
                for message in self._arrived:
                    return message
                arrived = session.connection.receive(self._deadline)
                if arrived is None:
                    raise TimeoutError(  # like any other end of the session
                        f"the transcription was not complete within {self._timeout:g} s",
                        stage="whole",
                        seconds=self._timeout,
                    )
                if not arrived:
                    break
                self._arrived = arrived
        except SpeechmaticsError as exc:
            self._failed(exc)
            raise
        session.end()
        session.connection.close()
        raise StopIteration

    def finish(self) -> Transcript:
        """Run to the end of the transcript and return it; handlers run on this thread meanwhile."""
        with self:
            for _ in self:
                pass
        return self.transcript

    def _failed(self, error: SpeechmaticsError) -> None:
        self._session.end(error)
        self._session.connection.close()
        self._session.annotate(error)

    def close(self) -> None:
        """End the session if it still runs; what had not arrived is lost."""
        self._arrived = iter(())
        try:
            self._session.connection.close()
        finally:
            self._session.end()

    def __enter__(self) -> MessageStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.close()
        except BaseException:  # Ctrl-C in the middle of it: nobody comes after this
            self.close()
            raise

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is None or session.delivered.is_set():
            return
        session.end()
        session.connection.abandon()
        if not session.closed:
            text = f"a stream was dropped before its end; use 'with' or close(): {self!r}"
            warnings.warn(text, ResourceWarning, 2)
