"""The thread that delivers between ``start_session()`` and ``stop_session()``."""

from __future__ import annotations

import contextvars
import threading
import weakref
from typing import Optional

from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError
from ..network import Messages
from .session import Session

__all__ = ["listen"]


def listen(session: Session, client: EventEmitter) -> None:
    """Start the thread that delivers between ``start_session()`` and ``stop_session()``.

    It holds the client weakly between messages, so that a dropped client is collected.
    """
    connection, log = session.connection, session.log
    reference = weakref.ref(client)
    context = contextvars.copy_context()

    def deliver(arrived: Messages) -> bool:
        emitter = reference()
        if emitter is None:
            session.orphaned = True
            return False
        while (item := arrived.take(emitter._wants)) is not None:
            session.check_closed()
            try:
                session.deliver(item.message, emitter, item.seen)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                session.handler_failed(exc)
        return True

    session.delivering = None

    def run() -> None:
        session.delivering = threading.get_ident()
        failure: Optional[SpeechmaticsError] = None
        try:
            arrived = connection.receive()
            while arrived and deliver(arrived):
                arrived = connection.receive()
        except SpeechmaticsError as exc:
            failure = exc
            if not isinstance(exc, SessionError):
                log.error("the session failed: %s", exc.text)  # noqa: TRY400  # stop_session() raises it
        except BaseException as exc:  # SystemExit in a handler
            failure = SessionError(f"a handler ended the delivery: {exc!r}")
            connection.fail(failure, exc)
            raise
        finally:
            session.end(failure)
            connection.close()

    thread = threading.Thread(
        target=context.run, args=(run,), name=f"speechmatics-rt-listener-{log.request_id}", daemon=True
    )
    thread.start()
