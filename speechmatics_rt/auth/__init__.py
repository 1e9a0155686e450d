"""Authentication: keys (``base``), temporary keys (``jwt``), and the HTTP requests for them (``pages``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .base import AuthBase, NoAuth, StaticKeyAuth, checked_key, headers_for, not_headers

if TYPE_CHECKING:
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
    "not_headers",
]

if not TYPE_CHECKING:  # few programs need them
    __getattr__, __dir__ = imported_late(__name__, {"jwt": ("JWTAuth",), "pages": ("get",)})
