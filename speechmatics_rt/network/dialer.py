"""From a URL to an upgraded socket: name, TCP, proxy, TLS and the WebSocket upgrade, under one deadline.

The socket is ours from the first step; websocket-client only writes the upgrade request and judges the
answer. The library's own connecting follows redirects with the API key, waits without end, and keeps
cookies for the whole process, so it is lent the socket (see :class:`UpgradeSocket`), never given it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from ..config import (
    ConnectionConfig,
    Target,
    address_of,
    check_url,
    environment_proxy,
    header_line,
    parse,
    redact,
    with_sdk,
)
from ..deadline import OverdueError, call_until
from ..exceptions import ConfigurationError, ConnectionError, ProtocolError, SpeechmaticsError, TimeoutError
from ..locks import importing
from ..messages import one_line
from .duplex import DuplexSocket, connect_tls, shared_context, wait_ready
from .upgrade import BorrowedSocket, UpgradeSocket, refusal

__all__ = ["Upgraded", "check_patches", "check_url", "dial", "redact", "with_sdk"]

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")  # OpenSSL's, of plain text
_WSA = 10_000  # from here on the numbers of Windows Sockets
_STAGGER = 0.25  # s until the next address is tried beside one that hasn't answered, as RFC 8305 recommends


class Upgraded(NamedTuple):
    """A socket just after the answer 101; the first frame's first byte is the next to be read."""

    sock: DuplexSocket
    headers: dict[str, str]  # of the answer; lower-case names
    elapsed: float  # seconds from DNS to 101


def dial(url: str, headers: Mapping[str, str], config: ConnectionConfig, *, deadline: float) -> Upgraded:
    """Connect to ``url`` and upgrade to a WebSocket, all before ``deadline`` (of :func:`time.monotonic`).

    Whatever is raised, KeyboardInterrupt included, no socket stays open. A name resolution that hangs can't
    be stopped: its daemon thread is left behind.

    Args:
        url: ``ws://`` or ``wss://``.
        headers: Sent with the request as they are; the caller has decided about ``Authorization``.
        config: Of it, ``ssl_context``, ``proxy`` and, for the error's text, ``open_timeout``.
        deadline: ``math.inf`` for none.

    Raises:
        ConfigurationError: The URL, a header, the proxy or ``SSL_CERT_FILE`` is wrong, or a package is
            missing. Before anything is sent.
        AuthenticationError: HTTP 401 or 403.
        ConnectionError: Any other failure; see its ``stage``, ``status`` and ``retry_after``.
        ProtocolError: What answered doesn't speak HTTP, or not WebSocket.
        TimeoutError: The deadline passed; stage ``"open"``.
    """
    target = parse(url)
    fields = [header_line(name, value) for name, value in headers.items()]
    websocket = _websocket()
    proxy = _proxy_for(target, config.proxy)
    context = (config.ssl_context or shared_context()) if target.secure else None
    attempt = _Attempt(target, deadline, config.open_timeout)
    opened: Any = None
    try:  # around all of it, to the last line: Ctrl-C may come between any two
        opened = _reach(attempt, proxy)
        if proxy is not None:
            _tunnel(attempt, proxy, opened)
        if context is not None:
            with attempt.step("tls", f"agree on TLS with {target.address}"):
                opened = connect_tls(opened, context, target.host, deadline)
        else:
            opened = DuplexSocket(opened)
        answer = _upgrade(attempt, websocket, opened, fields)
        return Upgraded(opened, answer, time.monotonic() - attempt.begun)
    except BaseException:
        if opened is not None:
            opened.close()
        raise


def check_patches() -> None:
    """Refuse sockets and threads that were replaced so that no session could work.

    Raises:
        ConfigurationError: By eventlet, or by gevent in part.
    """
    if not hasattr(socket.socket, "shutdown"):
        raise ConfigurationError(
            "eventlet has replaced sockets with such as can't be shut down, which is how a session is ended: "
            "use gevent or threads, or eventlet.monkey_patch(socket=False, select=False, thread=False)"
        )
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.is_module_patched("threading") and not monkey.is_module_patched("select"):
        raise ConfigurationError(
            "gevent has replaced threads but not select, so that who waits for a socket would stop them all: "
            "call monkey.patch_all() without select=False"
        )


# -- one attempt, and how its failures are told ---------------------------------------------------------


class _Attempt:
    """Where one dialling goes, since when and until when."""

    def __init__(self, target: Target, deadline: float, limit: Optional[float]) -> None:
        self.target = target
        self.begun = time.monotonic()
        self.deadline = deadline
        self._limit = limit

    @contextmanager
    def step(self, stage: str, doing: str) -> Iterator[None]:
        """Turn whatever a step raises into this package's errors; ``doing`` completes "could not"."""
        try:
            yield
        except SpeechmaticsError:
            raise
        except (OSError, ValueError) as exc:
            # From 3.10 on the kernel's own ETIMEDOUT is of the same class; only ours has no number.
            if isinstance(exc, socket.timeout) and exc.errno is None:
                elapsed = time.monotonic() - self.begun
                raise TimeoutError(
                    f"no connection after {elapsed:.1f} s: the time ran out trying to {doing}",
                    stage="open",
                    seconds=self._limit,
                ) from exc
            text = f"could not {doing}: {_told(exc)}"
            raise ConnectionError(text, stage=stage, lasting=_lasts(exc)) from exc


def _lasts(exc: Exception) -> bool:
    """Whether the certificate was refused, or there is no TLS at all: another try finds the same."""
    return bool(getattr(exc, "verify_message", None)) or getattr(exc, "reason", None) in _NO_TLS


def _told(exc: Exception) -> str:
    why = getattr(exc, "verify_message", None)  # of ssl.SSLCertVerificationError
    if why:
        return (
            f"its certificate was refused ({why}). For a server with a certificate of your own, such as "
            f"a container, pass ConnectionConfig(ssl_context=ssl.create_default_context(cafile=...))"
        )
    if getattr(exc, "reason", None) in _NO_TLS:
        return "the server doesn't speak TLS there. Perhaps its address begins with ws://"
    return str(getattr(exc, "strerror", None) or exc)


# -- DNS and TCP ---------------------------------------------------------------------------------------


def _reach(attempt: _Attempt, proxy: Optional[_Proxy]) -> socket.socket:
    """Open a TCP connection to the target, or to the proxy on the way there."""
    host, port = (proxy.host, proxy.port) if proxy else (attempt.target.host, attempt.target.port)
    whom = f"the proxy {address_of(host, port)}" if proxy else address_of(host, port)
    with attempt.step("proxy" if proxy else "dns", f"find the address of {whom}"):
        addresses = _resolve(host, port, attempt.deadline)
    with attempt.step("proxy" if proxy else "tcp", f"connect to {whom}"):
        return _connect(addresses, attempt.deadline)


def _resolve(host: str, port: int, deadline: float) -> list[Any]:
    """Look a name up on a thread of its own, since getaddrinfo() takes no timeout."""

    def look_up() -> list[Any]:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    if _is_numeric(host):
        return look_up()
    try:
        return call_until(deadline, look_up, name=f"speechmatics-rt-dns-{host}")
    except OverdueError:
        raise socket.timeout("no answer from the resolver") from None


def _is_numeric(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _connect(addresses: list[Any], deadline: float) -> socket.socket:
    """Connect to whichever address answers first, each begun when the one before fails or after 0.25 s.

    A fair share of the time for each would be as simple, but an IPv6 route that swallows everything would
    then cost half of it; this way it costs 0.25 s.
    """
    waiting = deque(addresses)
    racing: dict[int, tuple[socket.socket, str]] = {}
    failures: list[str] = []
    opened: list[socket.socket] = []  # all of them, from their first moment
    try:
        while waiting or racing:
            if waiting:
                family, kind, protocol, _, address = waiting.popleft()
                try:
                    opened.append(socket.socket(family, kind, protocol))
                    _begin(opened[-1], address)
                except OSError as exc:  # no route, or a family this machine doesn't have
                    failures.append(f"{address[0]}: {_told(exc)}")
                    continue
                racing[opened[-1].fileno()] = opened[-1], address[0]
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("nobody answered")  # noqa: TRY301  # closed below, like after any other
            for descriptor in wait_ready(list(racing), True, min(left, _STAGGER) if waiting else left):
                sock, name = racing.pop(descriptor)
                failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not failed:
                    for loser in opened:
                        if loser is not sock:
                            loser.close()
                    return sock
                sock.close()
                failures.append(f"{name}: {_meaning(failed)}")
        raise OSError("; ".join(failures) or "it has no address")  # noqa: TRY301
    except BaseException:
        for sock in opened:
            sock.close()
        raise


def _begin(sock: socket.socket, address: Any) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # The kernel's own probes keep the entry in a router's table; our pings find a dead connection.
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, _meaning(code))


def _meaning(code: int) -> str:
    """Say what an error of a socket means: the codes of Windows' own (WSA...) only FormatError knows."""
    if code >= _WSA and sys.platform == "win32":
        import ctypes

        return ctypes.FormatError(code).strip()
    return os.strerror(code)


# -- the proxy -----------------------------------------------------------------------------------------


class _Proxy(NamedTuple):
    scheme: str
    host: str
    port: int
    username: Optional[str]
    password: Optional[str]


_PROXIES = {  # python-socks' name of the protocol, the usual port, and whether the proxy resolves names
    "http": ("HTTP", 80, True),
    "socks4": ("SOCKS4", 1080, False),
    "socks4a": ("SOCKS4", 1080, True),
    "socks5": ("SOCKS5", 1080, False),
    "socks5h": ("SOCKS5", 1080, True),
}


def _proxy_for(target: Target, given: Optional[str]) -> Optional[_Proxy]:
    """Return the proxy to use: the given one (``""``: none), else the environment's."""
    source = "proxy"
    if given is None:
        source = "the proxy of the environment"
        given = environment_proxy(target.secure, target.host, target.port)
    if not given:
        return None
    try:
        parts = urlsplit(given)
        usual = _PROXIES[parts.scheme][1]
        host, port = parts.hostname, parts.port or usual
    except (ValueError, KeyError):
        host = port = None
    if not host or not port:  # the URL itself stays out of the text: it may hold a password
        raise ConfigurationError(f"{source} must be a URL with one of the schemes {', '.join(_PROXIES)}")
    try:
        import python_socks.sync  # noqa: F401  # missing packages are told before any I/O
    except ImportError as exc:
        raise ConfigurationError(
            f"{source} needs a package more: pip install 'speechmatics-rt-sync[proxy]'"
            f' (or ConnectionConfig(proxy="") to go without)'
        ) from exc
    username = unquote(parts.username) if parts.username else None
    return _Proxy(parts.scheme, host, port, username, unquote(parts.password or "") if username else None)


def _tunnel(attempt: _Attempt, proxy: _Proxy, sock: socket.socket) -> None:
    """Have the proxy connect ``sock`` through to the target."""
    from python_socks import ProxyError, ProxyTimeoutError, ProxyType
    from python_socks.sync import Proxy

    protocol, _, resolves = _PROXIES[proxy.scheme]
    host = attempt.target.host
    if not resolves:
        with attempt.step("dns", f"find the address of {attempt.target.address}"):
            found = _resolve(host, attempt.target.port, attempt.deadline)
            wanted = [entry for entry in found if protocol == "SOCKS5" or entry[0] == socket.AF_INET]
            if not wanted:
                raise OSError("it has no IPv4 address, and socks4 knows no other")
            host = wanted[0][4][0]
    lent = (UpgradeSocket if protocol == "HTTP" else BorrowedSocket)(DuplexSocket(sock), attempt.deadline)
    with attempt.step("proxy", f"get through the proxy {address_of(proxy.host, proxy.port)}"):
        try:
            Proxy(
                ProxyType[protocol],
                proxy.host,
                proxy.port,
                proxy.username,
                proxy.password,
                rdns=True,
                forward=_Forward(lent),
            ).connect(host, attempt.target.port)
        except ProxyTimeoutError as exc:
            raise socket.timeout(str(exc)) from exc
        except (ProxyError, ProtocolError) as exc:
            hint = ". Its URL takes user:password@" if getattr(exc, "error_code", None) == 407 else ""
            raise OSError(f"{one_line(str(exc), 300)}{hint}") from exc  # it may hold the proxy's own words


class _Forward(NamedTuple):
    """What python-socks takes for an earlier proxy of a chain: it hands over the socket we connected."""

    lent: BorrowedSocket

    def connect(self, dest_host: str, dest_port: int, timeout: Optional[float] = None) -> BorrowedSocket:
        return self.lent


# -- the upgrade ---------------------------------------------------------------------------------------


def _websocket() -> Any:
    with importing:
        import websocket

    if not hasattr(websocket, "create_connection"):
        raise ConfigurationError(
            "another package named websocket stands in the way of websocket-client: "
            "pip uninstall websocket; pip install --force-reinstall websocket-client"
        )
    return websocket


def _upgrade(attempt: _Attempt, websocket: Any, sock: DuplexSocket, fields: list[str]) -> dict[str, str]:
    """Send the request and judge the answer; return the answer's headers."""
    target = attempt.target
    answer = UpgradeSocket(sock, attempt.deadline)
    problem: Optional[Exception] = None
    # The library looks into its process-wide cookies by the URL's host: a name nobody can know has none.
    nowhere = os.urandom(8).hex()
    with attempt.step("upgrade", f"upgrade the connection to {target.address} to a WebSocket"):
        try:
            websocket.WebSocket(enable_multithread=True, skip_utf8_validation=True).connect(
                f"ws://{nowhere}{target.resource}",
                socket=answer,
                host=target.host_field,
                header=fields,
                suppress_origin=True,
                redirect_limit=0,
            )
        except Exception as exc:  # noqa: BLE001  # versions differ in what they raise, so the head decides
            problem = exc
        if answer.failure is not None:
            raise answer.failure
        if not answer.status:
            raise OSError(f"the request could not be made ({problem})") from problem
    if answer.status != 101:
        raise refusal(answer, target, fields) from None
    if problem is not None:
        raise ProtocolError(
            f"{target.address} answered the upgrade, but not as a WebSocket: {problem}"
        ) from problem
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        if name in answer.headers:
            raise ProtocolError(f"{target.address} chose a {name} that was not offered")
    sock.unread(answer.rest)
    return answer.headers
