"""One socket, two threads, one lock.

``dial`` makes the connection (DNS, TCP, proxy, TLS), ``upgrade`` judges the answer, ``duplex`` lets two
threads use one TLS socket. ``connection`` owns a session on it: the ``reader`` takes in, the ``writer``
sends and keeps the time. ``wakeup`` has the ways to wait.
"""

from __future__ import annotations

from .connection import Connection
from .dial import check_url, dial, redact, with_sdk
from .duplex import shared_context
from .wakeup import Doorbell, Latch, Waiters

__all__ = [
    "Connection",
    "Doorbell",
    "Latch",
    "Waiters",
    "check_url",
    "dial",
    "redact",
    "shared_context",
    "with_sdk",
]
