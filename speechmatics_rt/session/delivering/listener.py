"""The listener, which delivers messages between ``start_session()`` and ``stop_session()``."""

from __future__ import annotations

import contextvars
import threading
import weakref

from ...exceptions import SessionError, SpeechmaticsError
from ...log import show_uncaught
from ...network import has_shared_reader, share
from ...threads import Latch, begin
from ..recorder import Recordable
from ..session import Session
from .arrivals import Arrivals

__all__ = ["Listener"]


class Listener:
    """Delivers a session's messages to handlers, to its end. Calling it does so on the calling thread.

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
        self._over = False
        self._ended = False  # not Delivery.over, which a caller whose start has failed sets too
        self.begun = Latch()

    def __call__(self) -> None:
        self._context.run(self._run)

    def start(self) -> None:
        """Deliver on a thread of its own, or on the shared listener."""
        if has_shared_reader():
            self._session.delivery.thread = None  # no thread, except during deliver()
            share(self, self._session.connection.wake_on_arrival)
        else:
            self.start_alone()

    def start_alone(self) -> None:
        """Deliver the rest on a thread of its own."""
        name = f"speechmatics-rt-listener-{self._session.log.request_id}"
        begin(threading.Thread(target=self, name=name, daemon=True))

    def abandon(self) -> None:
        """Close the session without waiting."""
        self._session.connection.abandon()

    def deliver(self) -> bool:
        """Deliver what has arrived, without waiting; False once the session is over and must be closed."""
        session = self._session
        session.delivery.thread = threading.get_ident()
        try:
            return self._context.run(self._take_all)
        except BaseException:  # noqa: BLE001  # SystemExit in a handler ends only this session
            show_uncaught()
            return False
        finally:
            # So that another session's handler on this thread may wait for this session.
            session.delivery.thread = None

    def _run(self) -> None:
        session = self._session
        session.delivery.thread = threading.get_ident()
        try:
            while not self._over:
                self._take()
        finally:
            try:
                self._end()
            finally:  # even if a handler of SessionEnded raises SystemExit
                session.connection.close()

    def _take_all(self) -> bool:
        try:
            while self._take(0.0):
                pass
        finally:
            if self._over:
                self._end()  # here, so that all handlers of a session run on one thread if possible
        return not self._over

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            # If the start has failed, the caller emits the last events, since it may try again.
            try:
                self._session.end(telling=self._session.connection.session_id is not None)
            finally:
                self._context = contextvars.Context()  # keeps nothing of the caller's alive any more
                self.begun.set()

    def _take(self, deadline: float = float("inf")) -> bool:
        """Deliver what arrives next; False if nothing has arrived by the deadline, or nothing more will."""
        try:
            more = self._arrivals.receive(deadline)
            if more is None:
                return False
            self._over = not (more and self._deliver())
        except SpeechmaticsError as exc:
            self._over = True
            session = self._session
            session.ending.note(exc)
            if not isinstance(exc, SessionError):
                session.log.error("the session failed: %s", exc.text)  # noqa: TRY400  # stop_session() raises it
        except BaseException as exc:  # SystemExit in a handler
            self._over = True
            failure = SessionError(f"a handler ended the session: {exc!r}")
            self._session.ending.note(failure)
            self._session.connection.fail(failure, exc)
            raise
        return not self._over

    def _deliver(self) -> bool:
        """Run the handlers of what has arrived; False if the client is gone."""
        session, emitter, arrivals = self._session, self._client(), self._arrivals
        if emitter is None:
            session.delivery.orphaned = True
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
