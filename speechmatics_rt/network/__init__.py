"""The connection to the service: one socket, two threads, one lock.

``dialing`` makes it; ``duplex`` lets two threads use one TLS socket. ``connection`` owns the session on the
socket: the ``reader`` receives, the ``writer`` sends and enforces the deadlines. If a process has many
connections, the ``shared_reader`` does both for all, and the ``shared_listener`` runs their handlers.
``wakeup`` has the ways to wait.
"""

from __future__ import annotations

from .connection import Connection
from .dialing import (
    Opening,
    Upgraded,
    certificate_refused,
    check_patches,
    connect_through,
    connect_to,
    dial,
    shake_hands,
    shared_context,
)
from .link import Arrived, Link, Messages, Replaceable
from .shared_listener import share
from .shared_reader import has_shared_reader
from .wakeup import WaitList, Wakes, WakeUp

__all__ = [
    "Arrived",
    "Connection",
    "WakeUp",
    "Wakes",
    "Link",
    "Messages",
    "Opening",
    "Replaceable",
    "Upgraded",
    "WaitList",
    "certificate_refused",
    "check_patches",
    "connect_through",
    "connect_to",
    "dial",
    "has_shared_reader",
    "shake_hands",
    "share",
    "shared_context",
]
