"""The messages of a session as an iterator, on the thread of whoever iterates."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, Optional, cast

from ..audio import AudioSource
from ..events import EventEmitter
from ..exceptions import SpeechmaticsError, TimeoutError, no_pickle
from ..messages import ServerMessage
from ..protocol import ACKNOWLEDGEMENTS
from ..transcript import Transcript
from .session import Session

__all__ = ["MessageStream"]

_INTERRUPTED = 1.0  # seconds for the server's close frame when who iterates is interrupted


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
        sources: Iterable[AudioSource] = (),
    ) -> None:
        self._session = session
        self._client = client
        self._deadline = deadline
        self._timeout = timeout
        self._sources = tuple(sources)
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
                    session.check_closed()
                    return message
                arrived = session.connection.receive(self._deadline)
                if arrived is None:
                    raise TimeoutError(  # noqa: TRY301  # like any other end of the session
                        f"the transcription was not complete within {self._timeout:g} s",
                        stage="whole",
                        seconds=self._timeout,
                    )
                if not arrived:
                    break
                self._arrived = arrived
        except SpeechmaticsError as exc:
            session.conclude(exc, self._deadline)
            self.put_back()
            session.raise_failure(exc)
        except BaseException:  # Ctrl-C, a greenlet's end, a worker's time limit: nobody will come back
            session.conclude(deadline=time.monotonic() + _INTERRUPTED)
            self.put_back()
            raise
        session.conclude(deadline=self._deadline)
        if session.failure is not None:
            self.put_back()
        session.raise_failure()
        raise StopIteration

    def finish(self) -> Transcript:
        """Run to the end of the transcript and return it; handlers run on this thread meanwhile."""
        with self:
            for _ in self:
                pass
        return self.transcript

    def put_back(self) -> None:
        """Let a second attempt see the whole of the sources; when this one has failed, and is closed."""
        for source in self._sources:
            source.put_back()

    def close(self) -> None:
        """End the session if it still runs; what had not arrived is lost."""
        self._arrived = iter(())
        self._session.conclude()

    def __enter__(self) -> MessageStream:
        self._session.entered = True
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        try:
            self.close()
        except BaseException:  # Ctrl-C in the middle of it: nobody comes after this
            self.close()
            raise
        if exc_type is not None:
            self.put_back()

    def __repr__(self) -> str:
        state = "over" if self._session.delivered.is_set() else "running"
        return f"<{type(self).__name__} of session {self._session.log.request_id}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, "it belongs to a session of this process; its transcript can be")

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is None or session.delivered.is_set():
            return
        session.end(telling=False)  # its client tells, when it is closed or begins anew
        session.connection.abandon()
        if not session.closed:
            text = f"a stream was dropped before its end; use 'with' or close(): {self!r}"
            warnings.warn(text, ResourceWarning, 2)
