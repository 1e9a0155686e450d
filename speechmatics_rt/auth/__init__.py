"""Which header goes to which host: keys in ``base``, temporary keys in ``jwt``."""

from __future__ import annotations

from .base import AuthBase, NoAuth, StaticKeyAuth, headers_for
from .jwt import JWTAuth

__all__ = [
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    "headers_for",
]
