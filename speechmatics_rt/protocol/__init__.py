"""The state of a running session, without socket, thread, clock or log.

``state`` is the table of messages and when they may be sent, for both ends of the wire. ``frames`` and
``codec`` turn bytes into frames and messages and back; ``glance`` reads a transcript's times without decoding
it. ``window`` limits the unacknowledged audio, ``outbox`` orders what is written, ``keepalive`` times the
pings. ``client`` combines all of these into one object, guarded by its owner's one lock.
"""

from __future__ import annotations

from . import codec, frames
from .client import ACKNOWLEDGEMENTS, ClientProtocol, Conclusion, Incoming, Payload
from .glance import glance, message_in, seen_in
from .state import Phase, ProtocolState, Role

__all__ = [
    "ACKNOWLEDGEMENTS",
    "Payload",
    "ClientProtocol",
    "Incoming",
    "Role",
    "ProtocolState",
    "Phase",
    "Conclusion",
    "codec",
    "frames",
    "glance",
    "message_in",
    "seen_in",
]
