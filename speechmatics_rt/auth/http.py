"""One HTTP request, connected as a session is: to whichever address answers first, with the same trust.

``requests`` and ``urllib3``, on which it stands, are imported here alone, when a request is made.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

from ..config import ConnectionConfig, environment_proxy
from ..network import certificate_refused, connect_to, shared_context

if TYPE_CHECKING:
    import ssl

    import requests

__all__ = ["exchange", "explained", "remaining"]


def remaining(deadline: float) -> float:
    """Return the seconds until then, as a lock takes them."""
    return min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)


def exchange(
    requests: Any, method: str, url: str, config: ConnectionConfig, deadline: float, *, most: int, **more: Any
) -> tuple[requests.Response, bytes]:
    """Make one request, with the client's proxy and TLS context; read ``most`` bytes or so of its answer.

    Raises:
        ConfigurationError: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names no certificates.
        requests.RequestException, OSError, ValueError: What requests makes of it.
    """
    until = deadline + 1  # a second more than the waiting thread has: it is the one to name the timeout
    timeout = None if until == float("inf") else remaining(until)
    parts, proxy = urlsplit(url), config.proxy
    secure = parts.scheme == "https"
    context = (config.ssl_context or shared_context()) if secure else None
    if proxy is None:
        proxy = environment_proxy(secure, parts.hostname or "", parts.port or (443 if secure else 80))
    with requests.Session() as http:
        http.mount(f"{parts.scheme}://", _adapter(context, until))
        answer = http.request(
            method,
            url,
            timeout=timeout,
            proxies={"http": proxy, "https": proxy},  # given, even if empty: else it would look by itself
            allow_redirects=False,  # a key follows no redirect
            stream=True,
            **more,
        )
        content = b""
        for piece in answer.iter_content(8192):
            content += piece
            if len(content) > most or not remaining(deadline):
                break
        return answer, content


def explained(error: Exception) -> tuple[str, bool]:
    """Say why a request failed, without what requests and urllib3 wrap it in; and whether that stays."""
    inner: Optional[BaseException] = error
    while inner is not None:
        why = certificate_refused(inner)
        if why:
            return why, True
        if isinstance(inner.__cause__, OSError) and type(inner).__name__ == "NewConnectionError":
            return str(inner.__cause__.strerror or inner.__cause__), False
        inner = inner.__cause__ or inner.__context__
    return str(getattr(error.args[0], "reason", error) if error.args else error), False


def _adapter(context: Optional[ssl.SSLContext], deadline: float) -> requests.adapters.HTTPAdapter:
    """Make requests connect as we do, and use a TLS context as it is.

    By itself it would wait for each address in turn until the time is over, and have CAs and checks of its
    own beside those of the context.
    """
    from requests.adapters import HTTPAdapter

    kept: dict[str, Any] = {} if context is None else {"ssl_context": context}
    pools = _pools(deadline)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **{**kept, **kwargs})
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **{**kept, **kwargs})
            if urlsplit(proxy).scheme in pools:  # for SOCKS there are others
                manager.pool_classes_by_scheme = pools
            return manager

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            if context is not None:
                conn.cert_reqs = context.verify_mode
                conn.ca_certs = conn.ca_cert_dir = None
                conn.assert_hostname = None if context.check_hostname else False

    return Adapter()


def _pools(deadline: float) -> dict[str, Any]:
    """Make urllib3's pools of connections, whose sockets are ours."""
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import NewConnectionError

    def dialled(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                try:
                    sock = connect_to(self._dns_host, self.port, deadline)
                except OSError as exc:
                    raise NewConnectionError(self, str(exc.strerror or exc)) from exc
                sock.settimeout(None if deadline == float("inf") else remaining(deadline))
                return sock

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    return {"http": dialled(HTTPConnectionPool), "https": dialled(HTTPSConnectionPool)}
