"""One session over several connections, without a word lost or repeated.

Pure are ``backoff`` (when to reconnect), ``replay`` (what to keep and send again), ``stitch`` (how two
sessions join by time), ``speakers`` (who is who in both) and ``state`` (what follows from a loss).
``monitor`` is the lock, with what it guards and who waits; ``connection`` is the link, ``sending`` the half
of it that senders call, ``reconnection`` the thread that reconnects, and ``unreached`` stands for a first
connection that was refused.
"""

from __future__ import annotations

from .connection import ResumingConnection
from .unreached import Unreached

__all__ = [
    "ResumingConnection",
    "Unreached",
]
