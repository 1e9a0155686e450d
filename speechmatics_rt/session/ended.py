"""``SessionEnded``, the last event of every session, even of one that could not start."""

from __future__ import annotations

import logging
from typing import Any, Optional

from ..events import EventEmitter
from ..exceptions import SpeechmaticsError
from ..log import OF_A_HANDLER

__all__ = ["session_ended", "tell_unstarted"]

logger = logging.getLogger(__name__)


def session_ended(error: Optional[BaseException]) -> dict[str, Any]:
    """Build the last event of a session. It has no error if the program itself ended it, or Ctrl-C did."""
    return {"message": "SessionEnded", "error": error if isinstance(error, SpeechmaticsError) else None}


def tell_unstarted(client: EventEmitter, error: BaseException) -> None:
    """Run the handlers of ``SessionEnded`` for a session that never had a connection."""
    try:
        client.emit("SessionEnded", session_ended(error))
    except Exception:  # with handler_errors="raise"; the error that prevented the start is raised instead
        logger.exception("a handler of SessionEnded failed", extra=OF_A_HANDLER)
