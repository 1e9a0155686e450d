"""One session over several connections, without losing a word or saying one twice.

``backoff`` (when to try again), ``replay`` (what to keep and send again), ``stitch`` (how two sessions join
by time), ``speakers`` (who is who in both) and ``state`` (what follows from a loss) are pure; ``connection``
brings threads and sockets, and ``unreached`` stands for one that was refused.
"""

from __future__ import annotations

from .connection import ResumingConnection
from .unreached import unreached

__all__ = [
    "ResumingConnection",
    "unreached",
]
