"""Which header goes to which host: keys in ``base``, temporary keys, and pages that need none, in ``jwt``."""

from __future__ import annotations

from .base import AuthBase, NoAuth, StaticKeyAuth, checked_key, headers_for
from .jwt import JWTAuth, get

__all__ = [
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    "checked_key",
    "get",
    "headers_for",
]
