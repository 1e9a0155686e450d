"""HTTP requests within limits of time and size, connected like a session.

They race the addresses of a host, and trust the same certificates. ``requests`` (with ``urllib3``) is
imported on first use.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

from ..config import ConnectionConfig, environment_proxy, proxy_parts
from ..exceptions import ConfigurationError, ConnectionError, TimeoutError
from ..network import Opening, certificate_refused, connect_through, connect_to, context_of
from ..threads import OverdueError, call_until, importing

if TYPE_CHECKING:
    import ssl

    import requests

__all__ = ["Exchange", "get", "no_answer", "remaining"]

_LONGEST_PAGE = 1024 * 1024
_PROXIES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def remaining(deadline: float) -> float:
    """Return the seconds until ``deadline`` (monotonic), within what a lock accepts."""
    return min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)


class Exchange:
    """A request that one thread makes, and another may break off.

    The library's timeouts apply to each piece that arrives, so a slow server could hold the thread as long
    as it likes: whoever waits for that thread breaks off at the deadline.

    Args:
        url: The URL.
        config: The client's proxy and TLS context.
        deadline: On the monotonic clock; nothing is read after it.
        most: About how many bytes of the answer are read at most.
    """

    def __init__(self, url: str, config: ConnectionConfig, deadline: float, *, most: int) -> None:
        self._url = url
        self._config = config
        self._deadline = deadline
        self._most = most
        self._socks = ""  # the proxy, if it is a SOCKS proxy
        self._opening = Opening()
        self._copies: list[socket.socket] = []  # of the library's sockets, which it replaces for TLS

    def run(
        self, requests: Any, method: str, *, headers: Optional[dict[str, str]] = None, **more: Any
    ) -> tuple[requests.Response, bytes]:
        """Make the request; ``more`` is passed to ``requests``, whose exceptions are raised.

        Raises:
            ConfigurationError: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names no certificates; or the proxy is
                of an unknown kind, or a package for it is missing.
        """
        from urllib3.exceptions import HTTPError

        parts, proxy = urlsplit(self._url), self._config.proxy
        secure = parts.scheme == "https"
        context = context_of(self._config) if secure else None
        if proxy is None:
            port = parts.port or (443 if secure else 80)
            proxy = environment_proxy(secure, parts.hostname or "", port)
        if proxy:  # the library ignores some that are no URL
            proxy_parts(proxy, _PROXIES, secure=secure, given=self._config.proxy)
        if proxy.lower().startswith("socks"):  # the library's own connections to these would not race
            self._socks, proxy = proxy, ""
        try:
            with requests.Session() as http:
                http.mount(f"{parts.scheme}://", self._adapter(context))
                answer = http.request(
                    method,
                    self._url,
                    timeout=self._patience,
                    proxies={"http": proxy, "https": proxy},  # even if empty, or it reads the environment
                    allow_redirects=False,  # a key follows no redirect
                    stream=True,
                    # Nothing is decompressed: a few bytes could become gigabytes.
                    headers={**(headers or {}), "Accept-Encoding": "identity"},
                    **more,
                )
                content = bytearray()
                for piece in answer.raw.stream(8192, decode_content=False):
                    content += piece
                    if len(content) > self._most or not remaining(self._deadline):
                        break
                return answer, bytes(content)
        except HTTPError as exc:  # raised while reading the body, where requests does not wrap it
            raise requests.exceptions.ConnectionError(exc) from exc
        finally:
            self._opening.let_go()
            for sock in self._copies:
                sock.close()

    def break_off(self) -> None:
        """End the request, whatever it waits for, and any retry. May be called on any thread."""
        self._opening.give_up()

    def pause(self, seconds: float) -> bool:
        """Wait before a retry; False if the request was broken off."""
        return self._opening.pause(time.monotonic() + seconds)

    @property
    def _until(self) -> float:
        # A second more than the waiting thread has, so that that one reports the timeout.
        return self._deadline + 1

    @property
    def _patience(self) -> Optional[float]:
        return None if self._deadline == float("inf") else remaining(self._until)

    def _connect(self, host: str, port: int) -> socket.socket:
        if self._socks:
            sock = connect_through(self._socks, host, port, self._until, self._opening)
        else:
            sock = connect_to(host, port, self._until, self._opening)
        sock.settimeout(self._patience)
        self._copies.append(sock.dup())
        self._opening.hold(self._copies[-1])
        return sock

    def _adapter(self, context: Optional[ssl.SSLContext]) -> requests.adapters.HTTPAdapter:
        """Make requests connect as sessions do, and use a TLS context as it is.

        By itself it would wait for each address in turn, and add certificates and checks to the context.
        """
        from requests.adapters import HTTPAdapter
        from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
        from urllib3.exceptions import NewConnectionError

        exchange = self

        def connected(pool: Any) -> Any:
            class Connection(pool.ConnectionCls):  # type: ignore[misc]  # a class in an attribute
                def _new_conn(self) -> socket.socket:
                    try:
                        return exchange._connect(self._dns_host, self.port)
                    except OSError as exc:
                        raise NewConnectionError(self, str(exc.strerror or exc)) from exc

            return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

        pools = {"http": connected(HTTPConnectionPool), "https": connected(HTTPSConnectionPool)}
        own: dict[str, Any] = {} if context is None else {"ssl_context": context}

        class Adapter(HTTPAdapter):
            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                kwargs.update(own)
                super().init_poolmanager(*args, **kwargs)
                self.poolmanager.pool_classes_by_scheme = pools

            def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
                manager = super().proxy_manager_for(proxy, **own, **kwargs)
                manager.pool_classes_by_scheme = pools
                return manager

            def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
                if context is not None:
                    conn.cert_reqs = context.verify_mode
                    conn.ca_certs = conn.ca_cert_dir = None
                    conn.assert_hostname = None if context.check_hostname else False

        return Adapter()


def no_answer(what: str, stage: str, error: Exception) -> ConnectionError:
    """Return the error for a request without an answer, with the reason from inside requests and urllib3."""
    inner: Optional[BaseException] = error
    while inner is not None:
        why = certificate_refused(inner)
        if why:
            return ConnectionError(f"{what}: {why}", stage=stage, lasting=True)
        cause = inner.__cause__
        if isinstance(cause, OSError) and type(inner).__name__ == "NewConnectionError":
            why, lasting = str(cause.strerror or cause), getattr(cause, "lasting", False)
            return ConnectionError(f"{what}: {why}", stage=stage, lasting=lasting, unreached=True)
        inner = inner.__cause__ or inner.__context__
    why = str(getattr(error.args[0], "reason", error) if error.args else error)
    return ConnectionError(f"{what}: {why}", stage=stage)


def get(url: str, config: ConnectionConfig, *, name: str, caller: str) -> tuple[int, bytes]:
    """Fetch a page that needs no key; return its status and content.

    Args:
        url: The URL.
        config: Proxy, TLS context, and ``open_timeout`` as the limit on everything.
        name: What the page is, for errors, whose ``stage`` it becomes.
        caller: The call of this package that needs it, for the error of a missing package.

    Raises:
        ConfigurationError: The package ``requests`` is missing.
        ConnectionError: The host can't be reached.
        TimeoutError: Stage ``"open"``.
    """
    try:
        with importing:
            import requests
    except ImportError as exc:
        text = f"{caller} needs the package {exc.name}: pip install 'speechmatics-rt-sync[jwt]'"
        raise ConfigurationError(text) from exc
    host, limit = urlsplit(url).hostname, config.open_timeout
    deadline = float("inf") if limit is None else time.monotonic() + limit
    exchange = Exchange(url, config, deadline, most=_LONGEST_PAGE)

    def ask() -> tuple[int, bytes]:
        answer, content = exchange.run(requests, "GET")
        return answer.status_code, content

    try:
        return call_until(deadline, ask, name=f"speechmatics-rt-page-{host}")
    except OverdueError:
        text = f"{host} did not answer within {limit or 0:g} s"
        raise TimeoutError(text, stage="open", seconds=limit) from None
    except ConfigurationError:
        raise
    except (requests.RequestException, OSError, ValueError) as exc:
        raise no_answer(f"can't get the {name} of {host}", name, exc) from exc
    finally:
        exchange.break_off()  # whatever of it still runs, nobody waits for
