"""One session in progress, without socket, thread, clock or log: what is known, and what follows from it.

``state`` is the table of who may say what when, for both ends of the wire; ``frames`` and ``codec`` turn
bytes into frames and messages and back, ``glance`` sees what one is about without that; ``window``,
``outbox`` and ``keepalive`` count, order and time.
``client`` holds all of these as one object, under its owner's one lock.
"""

from __future__ import annotations

from . import codec, frames
from .client import ACKNOWLEDGEMENTS, SPEECH, ClientProtocol, Incoming, Outcome, Payload
from .glance import glance, results_in, seen_in
from .state import Phase, ProtocolState, Role

__all__ = [
    "ACKNOWLEDGEMENTS",
    "SPEECH",
    "Payload",
    "ClientProtocol",
    "Incoming",
    "Role",
    "ProtocolState",
    "Phase",
    "Outcome",
    "codec",
    "frames",
    "glance",
    "results_in",
    "seen_in",
]
