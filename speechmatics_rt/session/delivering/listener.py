"""The listener, which delivers messages between ``start_session()`` and ``stop_session()``."""

from __future__ import annotations

import contextvars
import threading
import weakref

from ...exceptions import SessionError, SpeechmaticsError
from ...threads import Latch, begin
from ..recorder import Recordable
from ..session import Session
from .arrivals import Arrivals

__all__ = ["Listener"]


class Listener:
    """Delivers a session's messages to handlers, to its end, all on one thread: that which calls it.

    Between messages it refers to the client weakly, so that a dropped client is collected. Handlers run in
    the :mod:`contextvars` context of the thread that creates it.

    Attributes:
        begun: Set once the handlers of ``RecognitionStarted`` have run, or the session has ended.
    """

    def __init__(self, session: Session, client: Recordable) -> None:
        self._session = session
        self._client = weakref.ref(client)
        self._context = contextvars.copy_context()
        self._arrivals = Arrivals(session.connection, session.ending)
        self.begun = Latch()

    def __call__(self) -> None:
        session, context = self._session, self._context
        try:
            session.delivery.thread = threading.get_ident()
            session.delivery.closes = True
            context.run(self._run)
        except BaseException as exc:  # SystemExit in a handler; or no memory, even before the first line
            what = "the listener failed" if isinstance(exc, Exception) else "a handler ended the session"
            failure = SessionError(f"{what}: {exc!r}")
            session.ending.note(failure)
            session.connection.fail(failure, exc)
            raise
        finally:
            try:
                context.run(self._end)
            finally:  # even if a handler of SessionEnded raises SystemExit
                try:
                    session.connection.close()
                finally:  # only now: whoever waits would take the processor from what closes it
                    session.delivery.awaited.set()

    def start(self) -> None:
        """Call it on a thread that does nothing else."""
        name = f"speechmatics-rt-listener-{self._session.log.request_id}"
        begin(threading.Thread(target=self, name=name, daemon=True))

    def _run(self) -> None:
        while self._take():
            pass

    def _end(self) -> None:
        # If the start has failed, the caller emits the last events, since it may try again.
        try:
            self._session.end(telling=self._session.connection.session_id is not None)
        finally:
            self._context = contextvars.Context()  # keeps nothing of the caller's alive any more
            self.begun.set()

    def _take(self) -> bool:
        """Deliver what arrives next; return whether there may be more."""
        session = self._session
        try:
            return bool(self._arrivals.receive() and self._deliver())
        except SpeechmaticsError as exc:
            session.ending.note(exc)
            session.log_failure(exc)
            return False

    def _deliver(self) -> bool:
        """Run the handlers of what has arrived; False if the client is gone."""
        session, emitter, arrivals = self._session, self._client(), self._arrivals
        if emitter is None:
            session.delivery.orphaned = True
            session.log_failure()
            return False
        wants = emitter._wants
        while arrivals.here.waiting and (item := arrivals.take(wants)) is not None:
            message, seen = item
            starts = message is not None and message["message"] == "RecognitionStarted"
            try:
                session.deliver(message, emitter, seen)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                session.ending.handler_failed(exc)
            if starts:  # at once, since messages that arrived together with it may have slow handlers
                self.begun.set()
        return True
