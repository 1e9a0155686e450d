"""The messages of a session as an iterator, delivered on the thread that iterates."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Iterable
from typing import Callable, NoReturn, Optional, cast

from ... import messages
from ...audio import AudioSource
from ...events import everything
from ...exceptions import SessionError, SpeechmaticsError, no_pickle
from ...network import Arrived
from ...protocol import ACKNOWLEDGEMENTS
from ...threads import new_lock
from ...transcript import Transcript
from ..recorder import Recordable
from ..session import Session
from .arrivals import Arrivals

__all__ = ["MessageStream"]

_INTERRUPTED = 1.0  # seconds for the server's close frame when the iteration is interrupted


class MessageStream:
    """The messages of one session, as an iterator: ``for message in client.stream(file)``.

    Each message is first passed to its handlers, on the thread that iterates, and then returned. All server
    messages are returned, except acknowledgements of audio. The iteration ends after ``EndOfTranscript``;
    if the session fails it raises the error, which carries the ``transcript`` so far.

    Leaving the iteration early, by ``close()``, by ``with``, or by dropping the stream, ends the session.
    It is for one thread at a time: while one waits for the next message, another is refused (SessionError).

    Attributes:
        transcript: The transcript so far; complete when the iteration has ended.
    """

    # An object rather than a generator: a generator that is dropped while it waits can't be closed from
    # its finaliser, and one that was never started would not run its cleanup at all.

    def __init__(
        self,
        session: Session,
        client: Recordable,
        *,
        deadline: float = float("inf"),
        timeout: Optional[float] = None,
        sources: Iterable[AudioSource] = (),
    ) -> None:
        self._session = session
        self._client = client
        self._sources = tuple(sources)
        self._arrivals = Arrivals(session.connection, session.ending, deadline, timeout)
        self._turn = new_lock()  # held by who waits for a message and delivers it; never waited for
        session.delivery.at_rest = True

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; complete when the iteration has ended."""
        return self._session.transcript

    @property
    def _is_over(self) -> bool:
        return self._session.delivery.over.is_set()

    def __iter__(self) -> MessageStream:
        return self

    def __next__(self) -> messages.ServerMessage:
        if not self._turn.acquire(blocking=False):
            raise SessionError("another thread is iterating over this stream, which is for one at a time")
        delivery = self._session.delivery
        at_rest = delivery.at_rest
        try:
            delivery.at_rest = False
            while (item := self._next(everything)) is not None:
                message, seen = item
                message = message or {}  # it is there, since all are wanted
                kind = message["message"]  # before the handlers, which may change the message
                self._session.deliver(message, self._client, seen)
                if kind not in ACKNOWLEDGEMENTS:
                    return cast("messages.ServerMessage", message)  # unchecked: it is the server's
        finally:
            delivery.at_rest = at_rest
            self._turn.release()
        raise StopIteration

    def _next(self, wants: Callable[[str], bool]) -> Optional[Arrived]:
        """Wait for the next message; end the stream, and return None, if no more will come."""
        session, arrivals = self._session, self._arrivals
        if session.delivery.over.is_set():
            return None
        session.delivery.thread = threading.get_ident()
        try:
            while True:
                item = arrivals.take(wants)
                if item is not None:
                    return item
                if not arrivals.receive():
                    break
        except SpeechmaticsError as exc:
            self._conclude(exc)
            session.ending.raise_failure(exc)
        except BaseException:  # Ctrl-C, a greenlet's end, a worker's time limit: the caller is gone
            session.conclude(deadline=time.monotonic() + _INTERRUPTED)
            self.put_back()
            raise
        self._conclude()
        session.ending.raise_failure()
        return None

    def _conclude(self, failure: Optional[SpeechmaticsError] = None) -> None:
        session = self._session
        session.conclude(failure, self._arrivals.deadline)
        if session.ending.failure is not None:
            self.put_back()

    def finish(self) -> Transcript:
        """Run to the end of the transcript and return it. Handlers run on this thread."""
        wants = self._client._wants
        with self:
            while (item := self._next(wants)) is not None:
                message, seen = item
                self._session.deliver(message, self._client, seen)
        return self.transcript

    def put_back(self) -> None:
        """Rewind the sources for a second attempt, after this one has failed and is closed."""
        for source in self._sources:
            source.put_back()

    def undo(self) -> None:
        """Close and rewind, but tell nothing, for who delivers elsewhere."""
        self._session.wind_up(None, float("inf"))
        self.put_back()

    def close(self) -> None:
        """End the session if it still runs; any transcript still to come is lost."""
        self._arrivals.drop()
        self._session.conclude()

    def __enter__(self) -> MessageStream:
        self._session.delivery.at_rest = False
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        try:
            self.close()
        except BaseException:  # Ctrl-C in the middle: nobody else will close it
            self.close()
            raise
        if exc_type is not None:
            self.put_back()

    def __repr__(self) -> str:
        state = "over" if self._session.delivery.over.is_set() else "running"
        return f"<{type(self).__name__} of session {self._session.log.request_id}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, "it belongs to a session of this process; its transcript can be pickled")

    def __del__(self, _at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        session = getattr(self, "_session", None)
        if _at_exit() or session is None or session.delivery.over.is_set():
            return
        session.end(telling=False)  # its client emits SessionEnded, when it is closed or starts another
        session.connection.abandon()
        if not session.ending.closed:
            text = f"a stream was dropped before its end; use 'with' or close(): {self!r}"
            warnings.warn(text, ResourceWarning, 2)
