"""The messages of a session as an iterator, on the thread of whoever iterates."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Iterable
from typing import Callable, NoReturn, Optional, cast

from ..audio import AudioSource
from ..events import EventEmitter
from ..exceptions import SpeechmaticsError, TimeoutError, no_pickle
from ..messages import ServerMessage
from ..network import Arrived, Messages
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
        self._arrived: Optional[Messages] = None
        session.delivering = threading.get_ident()

    @property
    def transcript(self) -> Transcript:
        return self._session.transcript

    def __iter__(self) -> MessageStream:
        return self

    def __next__(self) -> ServerMessage:
        while True:
            item = self._next(_everything)
            message = item.message or {}
            kind = message["message"]  # a handler may do with its message what it likes
            self._session.deliver(message, self._client, item.seen)
            if kind not in ACKNOWLEDGEMENTS:
                return cast("ServerMessage", message)  # what is in it is for the server to say

    def _next(self, wants: Callable[[str], bool]) -> Arrived:
        """Wait for the next message; end the stream when there is none to come."""
        session = self._session
        if session.delivered.is_set():
            raise StopIteration
        session.delivering = threading.get_ident()
        try:
            while True:
                # Asked before each, as messages may come without end, or handlers take long.
                late = time.monotonic() >= self._deadline and session.connection.is_open
                item = self._arrived.take(wants) if self._arrived is not None and not late else None
                if item is not None:
                    session.check_closed()
                    return item
                arrived = None if late else session.connection.receive(self._deadline)
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
            while True:
                try:
                    item = self._next(self._client._wants)
                except StopIteration:
                    return self.transcript
                self._session.deliver(item.message, self._client, item.seen)

    def put_back(self) -> None:
        """Let a second attempt see the whole of the sources; when this one has failed, and is closed."""
        for source in self._sources:
            source.put_back()

    def close(self) -> None:
        """End the session if it still runs; what had not arrived is lost."""
        self._arrived = None
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
        raise no_pickle(self, "it belongs to a session of this process; its transcript can be pickled")

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is None or session.delivered.is_set():
            return
        session.end(telling=False)  # its client tells, when it is closed or begins anew
        session.connection.abandon()
        if not session.closed and not sys.is_finalizing():  # see BaseClient.__del__
            text = f"a stream was dropped before its end; use 'with' or close(): {self!r}"
            warnings.warn(text, ResourceWarning, 2)


def _everything(kind: str) -> bool:
    """Whether somebody wants it: who iterates does."""
    return True
