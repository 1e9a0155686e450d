"""The asyncio face over the same threads: ``client``; ``dispatch`` runs handlers, ``bridge`` crosses over."""

from __future__ import annotations

from .client import AsyncClient, AsyncMessageStream, AsyncMicrophone, AsyncMultiChannelClient

__all__ = [
    "AsyncClient",
    "AsyncMessageStream",
    "AsyncMicrophone",
    "AsyncMultiChannelClient",
]
