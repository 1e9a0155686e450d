"""Delivering between ``start_session()`` and ``stop_session()``, on a thread of ours."""

from __future__ import annotations

import contextvars
import threading
import weakref
from typing import Optional

from ..deadline import begin
from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError
from ..network import Latch, Messages
from .session import Session

__all__ = ["Listener"]


class Listener:
    """What the thread does that delivers between ``start_session()`` and ``stop_session()``; call it there.

    It holds the client weakly between messages, so that a dropped client is collected. Handlers see the
    context of who makes it.

    Attributes:
        begun: Set when the handlers of what came first have run, ``RecognitionStarted`` among it.
    """

    def __init__(self, session: Session, client: EventEmitter) -> None:
        self._session = session
        self._client = weakref.ref(client)
        self._context = contextvars.copy_context()
        self.begun = Latch()

    def __call__(self) -> None:
        self._context.run(self._run)

    def start(self) -> None:
        """Call it on a thread of its own."""
        name = f"speechmatics-rt-listener-{self._session.log.request_id}"
        begin(threading.Thread(target=self, name=name, daemon=True))

    def _run(self) -> None:
        session, connection = self._session, self._session.connection
        session.delivering = threading.get_ident()
        failure: Optional[SpeechmaticsError] = None
        try:
            arrived = connection.receive()
            while arrived and self._deliver(arrived):
                arrived = connection.receive()
        except SpeechmaticsError as exc:
            failure = exc
            if not isinstance(exc, SessionError):
                session.log.error("the session failed: %s", exc.text)  # noqa: TRY400  # stop_session() raises it
        except BaseException as exc:  # SystemExit in a handler
            failure = SessionError(f"a handler ended the delivery: {exc!r}")
            connection.fail(failure, exc)
            raise
        finally:
            # Who starts the session tells of a start that failed: it may be tried once more.
            session.end(failure, telling=connection.session_id is not None)
            self.begun.set()
            connection.close()

    def _deliver(self, arrived: Messages) -> bool:
        session, emitter = self._session, self._client()
        if emitter is None:
            session.orphaned = True
            return False
        while (item := arrived.take(emitter._wants)) is not None:
            session.check_closed()
            starts = item.message is not None and item.message["message"] == "RecognitionStarted"
            try:
                session.deliver(item.message, emitter, item.seen)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                session.handler_failed(exc)
            if starts:  # at once: what comes in the same breath may have handlers that take long
                self.begun.set()
        return True
