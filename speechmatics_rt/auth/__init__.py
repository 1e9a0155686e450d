"""Which header goes to which host: keys in ``base``, temporary ones in ``jwt``, by requests of ``pages``."""

from __future__ import annotations

from .base import AuthBase, NoAuth, StaticKeyAuth, checked_key, headers_for
from .jwt import JWTAuth
from .pages import get

__all__ = [
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    "checked_key",
    "get",
    "headers_for",
]
