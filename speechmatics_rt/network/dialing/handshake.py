"""The TLS handshake under a deadline, and the context that it uses by default."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Optional

from ...config import ConnectionConfig
from ...threads import importing, new_lock
from ..duplex import DuplexSocket, wait_ready

if TYPE_CHECKING:
    import ssl  # at run time only if TLS is used: it takes longer to import than the rest of the package

    from ...tls import TlsStream

__all__ = ["connect_tls", "context_of", "shake_hands", "shared_context"]

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
            # With this, no write ever reads; see DuplexSocket._speak.
            context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
            _context = context
        return _context


def context_of(config: ConnectionConfig) -> ssl.SSLContext:
    """Return the TLS context of a program's own, if it has given one; else the shared one."""
    return shared_context() if config.ssl_context is None else config.ssl_context


def connect_tls(
    sock: socket.socket, context: ssl.SSLContext, server_hostname: str, deadline: float
) -> DuplexSocket:
    """Do the TLS handshake on a connected socket, before ``deadline`` (of :func:`time.monotonic`).

    Takes ownership of ``sock``: if anything is raised, it is closed.

    Raises:
        socket.timeout: The deadline passed.
        ssl.SSLError: The handshake failed. For a refused certificate ``ssl.SSLCertVerificationError``, whose
            ``verify_message`` also says who issued it.
        OSError: The connection is dead.
    """
    try:
        with importing:
            import ssl

            from ...tls import TlsStream

        sock.setblocking(False)
        tls = TlsStream(sock, context, server_hostname=server_hostname)
        try:
            shake_hands(tls, sock, deadline)
        except ssl.SSLCertVerificationError as exc:
            with importing:
                from .trust import issuer_of

            issuer = issuer_of(tls.state)
            if issuer:
                exc.verify_message = f"{exc.verify_message.rstrip('.')}; it was issued by {issuer}"
            raise
        return DuplexSocket(sock, tls)
    except BaseException:
        sock.close()
        raise


def shake_hands(tls: TlsStream, sock: socket.socket, deadline: float) -> None:
    """Do the TLS handshake over ``sock``, which never waits itself.

    Raises:
        OSError: As for :func:`connect_tls`.
    """
    import ssl

    while True:
        try:
            return tls.do_handshake()
        except ssl.SSLWantReadError:
            writes = False
        except ssl.SSLWantWriteError:
            writes = True
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the TLS handshake took too long")
        wait_ready((sock.fileno(),), writes, left)
