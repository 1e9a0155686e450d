"""API keys, and temporary keys issued for them: JSON Web Tokens, signed with HMAC-SHA256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Optional

from ..threads import new_lock

__all__ = ["KeyRing"]


class KeyRing:
    """Which keys open a session, and temporary ones for those that may make them. Safe from all threads.

    Args:
        keys: The API keys; None: every key will do, and for a session none.
        time_scale: How many times faster than real time a temporary key ages.
        clock: Seconds, growing.

    Example:
        >>> ring = KeyRing(["secret"])
        >>> token = ring.issue(60)
        >>> ring.accepts(token), ring.accepts("secret"), ring.accepts("other")
        (True, True, False)
        >>> ring.expire()
        >>> ring.accepts(token)
        False
    """

    def __init__(
        self,
        keys: Optional[Collection[str]] = None,
        *,
        time_scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = None if keys is None else frozenset(keys)
        self._scale = time_scale
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._lock = new_lock()  # guards _issued; a leaf
        self._issued: dict[str, tuple[float, str]] = {}  # token: (when it ends on the clock, its type)

    def accepts(self, key: Optional[str]) -> bool:
        """Tell whether a key, or none, opens a Real-Time session."""
        if key is not None and self.made(key):
            with self._lock:
                end, kind = self._issued.get(key, (0.0, ""))
            return kind == "rt" and self._clock() < end
        return self._keys is None or key in self._keys

    def may_issue(self, key: Optional[str]) -> bool:
        """Tell whether a key is one that temporary keys are made from."""
        return key is not None and (self._keys is None or key in self._keys)

    def made(self, key: str) -> bool:
        """Tell whether a key is a temporary one of this ring, good or not."""
        signed, _, signature = key.rpartition(".")
        return hmac.compare_digest(signature.encode(), self._signature(signed).encode())

    def issue(self, ttl: int, kind: str = "rt") -> str:
        """Make a temporary key for ``ttl`` seconds."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + ttl, "type": kind, "jti": secrets.token_hex(8)}
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        token = f"{signed}.{self._signature(signed)}"
        now_here = self._clock()
        with self._lock:
            self._issued = {key: kept for key, kept in self._issued.items() if now_here < kept[0]}
            self._issued[token] = (now_here + ttl / self._scale, kind)
        return token

    def expire(self) -> None:
        """Refuse every temporary key made so far."""
        with self._lock:
            self._issued.clear()

    def _signature(self, signed: str) -> str:
        return _base64(hmac.new(self._secret, signed.encode(), hashlib.sha256).digest())


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
