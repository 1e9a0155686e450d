"""One session as its client sees it.

``session`` is what belongs to it: connection, transcript, figures, outcome. ``sender`` reads sources and
sends them, ``listener`` and ``stream`` deliver what comes, ``connector`` opens connections with a client's
options, ``latency`` measures.
"""

from __future__ import annotations

from .connector import Connector, request_id_of
from .listener import Listener
from .request import (
    SECONDS,
    UNSET,
    SessionOptions,
    SessionRequest,
    SourceOptions,
    check_label,
    check_timestamp,
    labels_of,
    spelled_out,
)
from .sender import feed
from .session import Session
from .stream import MessageStream

__all__ = [
    "SECONDS",
    "UNSET",
    "Connector",
    "Listener",
    "MessageStream",
    "Session",
    "SessionOptions",
    "SessionRequest",
    "SourceOptions",
    "check_label",
    "check_timestamp",
    "feed",
    "labels_of",
    "request_id_of",
    "spelled_out",
]
