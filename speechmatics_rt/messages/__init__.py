"""Names and shapes on the wire. Pure.

``types`` is the catalogue. ``fields`` reads what a server sent, without trust. ``handlers`` tells type
checkers which message a handler gets, and is never imported at run time.
"""

from __future__ import annotations

from .fields import channel_of, is_time, last_end, metadata_of, results_of, span, text_of, time_of, times_of
from .types import ClientMessageType, ServerMessage, ServerMessageType

__all__ = [
    "ClientMessageType",
    "ServerMessage",
    "ServerMessageType",
    "channel_of",
    "is_time",
    "last_end",
    "metadata_of",
    "results_of",
    "span",
    "text_of",
    "time_of",
    "times_of",
]
