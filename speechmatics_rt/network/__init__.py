"""One socket, two threads, one lock.

``dialer`` makes the connection (proxy, TLS), ``reach`` its first part (DNS, TCP), ``upgrade`` judges the
answer, ``duplex`` lets two threads use one TLS socket, ``trust`` heeds the variables for certificates.
``connection`` owns a session on it: the ``reader`` takes in, the ``writer`` sends and keeps the time. Where
there are many, the ``shared_reader`` does it for all, and the ``shared_listener`` runs their handlers.
``wakeup`` has the ways to wait.
"""

from __future__ import annotations

from .connection import Connection
from .dialer import Upgraded, certificate_refused, check_patches, connect_through, dial
from .duplex import shared_context
from .link import Arrived, Link, Messages
from .opening import Opening
from .reach import connect_to
from .shared_listener import share
from .shared_reader import has_shared_reader
from .wakeup import Latch, WaitList, Wakes, WakeUp

__all__ = [
    "Arrived",
    "Connection",
    "WakeUp",
    "Wakes",
    "Latch",
    "Link",
    "Messages",
    "Opening",
    "Upgraded",
    "WaitList",
    "certificate_refused",
    "check_patches",
    "connect_through",
    "connect_to",
    "dial",
    "has_shared_reader",
    "share",
    "shared_context",
]
