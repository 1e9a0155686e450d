"""One session over several connections, without a word lost or repeated.

Pure are ``backoff`` (when to reconnect), ``replay`` (what to keep and send again), ``stitch`` (how two
sessions join by time), ``speakers`` (who is who in both) and ``state`` (what follows from a loss).
``connection`` adds threads and sockets, ``sending`` is the half of it for those that send, ``attempt`` the
thread that reconnects, and ``unreached`` stands for a first connection that was refused.
"""

from __future__ import annotations

from .connection import ResumingConnection
from .unreached import Unreached

__all__ = [
    "ResumingConnection",
    "Unreached",
]
