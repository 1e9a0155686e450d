"""TLS over a connected socket, of which nothing stays open if it can't begin."""

from __future__ import annotations

import socket
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl  # at run time only if TLS is used: it takes longer to import than the rest of the package

__all__ = ["wrap_tls"]


def wrap_tls(context: ssl.SSLContext, sock: socket.socket, **options: Any) -> ssl.SSLSocket:
    """Call ``context.wrap_socket(sock, ...)``, and leave no descriptor behind if it raises.

    ``wrap_socket`` moves the descriptor from ``sock`` to a socket that it makes. If the peer resets the
    connection just then (before CPython 3.13), or Ctrl-C comes, it forgets that socket with its descriptor
    open, and the garbage collector closes it some time later, with a ResourceWarning.

    Raises:
        OSError: The connection is dead, or the handshake failed, if ``options`` ask for one.
    """
    try:
        return context.wrap_socket(sock, **options)
    except BaseException as exc:
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            made = frame.f_locals.get("self")  # the one that was being made is known there alone
            if isinstance(made, socket.socket) and sock.fileno() < 0:
                made.close()
            elif isinstance(made, socket.socket):
                made.detach()  # the descriptor is still that of sock
        raise
