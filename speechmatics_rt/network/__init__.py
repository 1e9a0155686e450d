"""The connection to the service: one socket, two threads, one lock.

``dialing`` makes it; ``duplex`` lets two threads use one TLS socket. ``connection`` owns the session on the
socket: the ``reader`` receives, the ``writer`` sends and enforces the deadlines. If a process has many
connections, the ``shared_reader`` receives and sends for all. ``wakeup`` has the ways to wait.
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
    context_of,
    dial,
    retry_after_in,
    shake_hands,
    shared_context,
)
from .link import Arrived, Link, Messages, Replaceable
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
    "context_of",
    "dial",
    "retry_after_in",
    "shake_hands",
    "shared_context",
]
