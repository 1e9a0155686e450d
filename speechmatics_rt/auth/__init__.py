"""Authentication: keys (``base``), temporary keys (``jwt``), and the HTTP requests for them (``pages``)."""

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
