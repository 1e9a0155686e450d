"""The asyncio face over the same threads: ``client``, with a ``core`` that blocks behind each.

``dispatch`` runs handlers on the loop, ``bridge`` crosses between loop and threads.
"""

from __future__ import annotations

from .client import AsyncClient, AsyncMessageStream, AsyncMicrophone, AsyncMultiChannelClient

__all__ = [
    "AsyncClient",
    "AsyncMessageStream",
    "AsyncMicrophone",
    "AsyncMultiChannelClient",
]
