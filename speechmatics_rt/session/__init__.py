"""One session as its client sees it.

``session`` is what belongs to it: connection, transcript, figures, outcome. ``sender`` reads sources and
sends them, ``listener`` and ``stream`` deliver what comes, ``connector`` opens connections with a client's
options, ``latency`` measures.
"""

from __future__ import annotations

from .connector import Service, request_id_of
from .sender import feed
from .session import Conversation, MessageStream, listen

__all__ = [
    "Conversation",
    "MessageStream",
    "Service",
    "feed",
    "listen",
    "request_id_of",
]
