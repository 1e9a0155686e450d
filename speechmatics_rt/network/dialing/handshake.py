"""The TLS handshake under a deadline, and the context that it uses by default."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

from ...threads import importing, new_lock
from ...tls import wrap_tls
from ..duplex import DuplexSocket, wait_ready

if TYPE_CHECKING:
    import ssl  # at run time only if TLS is used: it takes longer to import than the rest of the package

__all__ = ["connect_tls", "shared_context"]

_context: Optional[ssl.SSLContext] = None
_context_lock = new_lock()  # held while the one context is built: a second would cost 30 ms and 1 MB


def shared_context() -> ssl.SSLContext:
    """Return the default TLS context of the process, built on first use; safe from any thread.

    It verifies certificates against the system's store, or ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.

    Raises:
        ConfigurationError: One of these names no certificates.
    """
    global _context  # noqa: PLW0603  # one per process is the point
    with _context_lock:
        if _context is None:
            with importing:
                import ssl

            from .trust import trust_environment

            context = ssl.create_default_context()
            trust_environment(context)
            # With this, no write ever reads; see DuplexSocket._speak_tls.
            context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
            _context = context
        return _context


def connect_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    server_hostname: str,
    deadline: float,
    *,
    hold: Callable[[socket.socket], object] = lambda sock: None,
) -> DuplexSocket:
    """Do the TLS handshake on a connected socket, before ``deadline`` (of :func:`time.monotonic`).

    Takes ownership of ``sock``: if anything is raised, it is closed. Passes the TLS socket to ``hold`` before
    the handshake.

    Raises:
        socket.timeout: The deadline passed.
        ssl.SSLError: The handshake failed. For a refused certificate ``ssl.SSLCertVerificationError``, whose
            ``verify_message`` also says who issued it.
        OSError: The connection is dead.
    """
    opened = [sock]
    try:
        sock.setblocking(False)
        # wrap_tls() takes the descriptor from sock, so from here on the new socket must be closed. It is
        # stored in the same line, so that Ctrl-C finds it. The handshake is done below, under the deadline.
        opened.append(wrap_tls(context, sock, do_handshake_on_connect=False, server_hostname=server_hostname))
        hold(opened[1])
        _shake_hands(opened[1], deadline)  # type: ignore[arg-type]
        return DuplexSocket(opened[1])
    except BaseException:
        for each in opened:
            each.close()
        raise


def _shake_hands(tls: ssl.SSLSocket, deadline: float) -> None:
    import ssl

    while True:
        try:
            return tls.do_handshake()
        except ssl.SSLWantReadError:
            writes = False
        except ssl.SSLWantWriteError:
            writes = True
        except ssl.SSLCertVerificationError as exc:
            from .trust import issuer_of

            issuer = issuer_of(tls)
            if issuer:
                exc.verify_message = f"{exc.verify_message.rstrip('.')}; it was issued by {issuer}"
            raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the TLS handshake took too long")
        wait_ready((tls.fileno(),), writes, left)
