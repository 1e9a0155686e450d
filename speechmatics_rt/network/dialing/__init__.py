"""How a connection is made: from a URL to the first byte after the WebSocket upgrade, under one deadline.

``dialer`` goes all the way: to TCP by ``reach``, a race of the addresses of a name, or by ``proxy``; to TLS
by ``handshake``, with the certificates of ``trust``; to a WebSocket by ``upgrade``.
``attempt`` names what hinders it, and an ``opening`` lets another thread give it up.
"""

from __future__ import annotations

from .attempt import certificate_refused
from .dialer import Upgraded, check_patches, dial
from .handshake import context_of, shake_hands, shared_context
from .opening import Opening
from .proxy import connect_through
from .reach import connect_to
from .said import retry_after_in

__all__ = [
    "Opening",
    "Upgraded",
    "certificate_refused",
    "check_patches",
    "connect_through",
    "connect_to",
    "context_of",
    "dial",
    "retry_after_in",
    "shake_hands",
    "shared_context",
]
