"""Delivering between ``start_session()`` and ``stop_session()``, on a thread of ours."""

from __future__ import annotations

import contextvars
import threading
import weakref

from ..deadline import begin
from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError
from ..log import show_uncaught
from ..network import Latch, Messages, has_shared_reader, share
from .session import Session

__all__ = ["Listener"]


class Listener:
    """Who delivers between ``start_session()`` and ``stop_session()``; called, on the thread that calls.

    It holds the client weakly between messages, so that a dropped client is collected. Handlers see the
    context of who makes it.

    Attributes:
        begun: Set when the handlers of what came first have run, ``RecognitionStarted`` among it.
    """

    def __init__(self, session: Session, client: EventEmitter) -> None:
        self._session = session
        self._client = weakref.ref(client)
        self._context = contextvars.copy_context()
        self._over = False
        self._ended = False  # not Session.delivered: that is set by a caller, too, whose start has failed
        self.begun = Latch()

    def __call__(self) -> None:
        self._context.run(self._run)

    def start(self) -> None:
        """Deliver on a thread of our own, or on the one that many sessions share."""
        if has_shared_reader():
            self._session.delivering = None  # nobody, while it is nobody's turn
            share(self, self._session.connection.wake_on_arrival)
        else:
            self.start_alone()

    def start_alone(self) -> None:
        """Deliver what is left on a thread of its own."""
        name = f"speechmatics-rt-listener-{self._session.log.request_id}"
        begin(threading.Thread(target=self, name=name, daemon=True))

    def abandon(self) -> None:
        """Close the session without waiting."""
        self._session.connection.abandon()

    def deliver(self) -> bool:
        """Deliver what has arrived, without waiting; False once it is over, and is to be closed."""
        session = self._session
        session.delivering = threading.get_ident()
        try:
            return self._context.run(self._take_all)
        except BaseException:  # noqa: BLE001  # SystemExit in a handler: of this session alone
            show_uncaught()
            return False
        finally:
            # Another session's handler that waits for this one, on the same thread, is not in its way.
            session.delivering = None

    def _run(self) -> None:
        session = self._session
        session.delivering = threading.get_ident()
        try:
            while not self._over:
                self._take()
        finally:
            self._end()
            session.connection.close()

    def _take_all(self) -> bool:
        try:
            while self._take(0.0):
                pass
        finally:
            if self._over:
                self._end()  # here, so that all handlers of a session run on one thread if that can be
        return not self._over

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            # Who starts the session tells of a start that failed: it may be tried once more.
            self._session.end(telling=self._session.connection.session_id is not None)
            self.begun.set()

    def _take(self, deadline: float = float("inf")) -> bool:
        """Deliver what arrives next; False if nothing has by then, or will."""
        session, connection = self._session, self._session.connection
        try:
            arrived = connection.receive(deadline)
            if arrived is None:
                return False
            self._over = not (arrived and self._deliver(arrived))
        except SpeechmaticsError as exc:
            self._over = True
            session.note(exc)
            if not isinstance(exc, SessionError):
                session.log.error("the session failed: %s", exc.text)  # noqa: TRY400  # stop_session() raises it
        except BaseException as exc:  # SystemExit in a handler
            self._over = True
            failure = SessionError(f"a handler ended the session: {exc!r}")
            session.note(failure)
            connection.fail(failure, exc)
            raise
        return not self._over

    def _deliver(self, arrived: Messages) -> bool:
        session, emitter = self._session, self._client()
        if emitter is None:
            session.orphaned = True
            return False
        while arrived.waiting and (item := arrived.take(emitter._wants)) is not None:
            session.check_closed()
            starts = item.message is not None and item.message["message"] == "RecognitionStarted"
            try:
                session.deliver(item.message, emitter, item.seen)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                session.handler_failed(exc)
            if starts:  # at once: what comes in the same breath may have handlers that take long
                self.begun.set()
        return True
