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

    ``wrap_socket`` makes a socket of the same descriptor, and then takes that from ``sock``. If the peer
    resets the connection just then (before CPython 3.13), or Ctrl-C comes, it forgets what it has made, which
    the garbage collector closes some time later, with a ResourceWarning.

    Raises:
        OSError: The connection is dead, or the handshake failed, if ``options`` ask for one.
    """
    descriptor = sock.fileno()
    try:
        return context.wrap_socket(sock, **options)
    except BaseException as exc:
        for each in _sockets_in(exc):
            if each is sock or each.fileno() != descriptor:
                continue
            if sock.fileno() < 0:
                each.close()
            else:
                each.detach()  # the descriptor is still that of sock
        raise


def _sockets_in(raised: BaseException) -> list[socket.socket]:
    """Return the sockets in the frames that an exception has left: there alone the one made is known."""
    # No class of ours can note it, since a caller's context may name, or wrap, one of its own. Nor does its
    # number, or a duplicate, tell when it is closed, after which the number may be that of another file.
    # TLS over memory (SSLObject) would make no second socket, but copy every byte once more.
    _, *left = [frame for frame, _ in traceback.walk_tb(raised.__traceback__)]  # the first is of wrap_tls()
    found = [each for frame in left for each in frame.f_locals.values()]
    return [each for each in found if isinstance(each, socket.socket)]
