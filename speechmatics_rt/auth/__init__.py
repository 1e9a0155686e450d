"""Authentication: keys (``base``), temporary keys (``jwt``), and the HTTP requests for them (``pages``).

What a program's own ``auth`` raises becomes an error of this package in ``raised``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .base import AuthBase, NoAuth, StaticKeyAuth, checked_key, headers_for, not_headers
from .raised import asking, nobody_answered, told_of

if TYPE_CHECKING:
    from .jwt import JWTAuth
    from .pages import get

__all__ = [
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    "asking",
    "checked_key",
    "get",
    "headers_for",
    "nobody_answered",
    "not_headers",
    "told_of",
]

if not TYPE_CHECKING:  # few programs need them
    __getattr__, __dir__ = imported_late(__name__, {"jwt": ("JWTAuth",), "pages": ("get",)})
