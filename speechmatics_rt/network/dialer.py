"""Connects to a URL: DNS, TCP, proxy, TLS and the WebSocket upgrade, under one deadline.

This package makes the socket; websocket-client only writes the upgrade request and checks the answer. If it
connected by itself, it would follow redirects with the API key, wait without limit, and keep cookies for the
whole process. So it is lent the socket (see :class:`UpgradeSocket`), and can't close it.
"""

from __future__ import annotations

import copy
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from ..config import (
    ConnectionConfig,
    Target,
    address_of,
    environment_proxy,
    header_line,
    parse,
)
from ..exceptions import ConfigurationError, ConnectionError, ProtocolError, SpeechmaticsError, TimeoutError
from ..messages import Secrets, one_line
from ..threads import Call
from .duplex import DuplexSocket, connect_tls, shared_context
from .opening import Opening
from .reach import Lookup, connect, race
from .upgrade import PERHAPS_SECURE, BorrowedSocket, UpgradeSocket, secrets_in, upgrade, websocket_client

__all__ = [
    "Upgraded",
    "certificate_refused",
    "check_patches",
    "connect_through",
    "dial",
]

# OpenSSL's codes for a certificate that is not yet valid, expired, or for another host or address.
_NOT_OF_TRUST = (9, 10, 62, 64)
# OpenSSL's reasons if the server answers in plain text.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


class Upgraded(NamedTuple):
    """A socket just after the 101 answer; the next byte to read is the first of a frame."""

    sock: DuplexSocket
    headers: dict[str, str]  # of the answer; lower-case names
    elapsed: float  # seconds from DNS to 101
    secrets: Secrets  # the keys in the request


def dial(
    url: str,
    headers: Mapping[str, str],
    config: ConnectionConfig,
    *,
    deadline: float,
    since: Optional[float] = None,
    opening: Optional[Opening] = None,
) -> Upgraded:
    """Connect to ``url`` and upgrade to a WebSocket, all before ``deadline`` (of :func:`time.monotonic`).

    If anything is raised, KeyboardInterrupt included, no socket stays open. A name resolution that hangs
    can't be stopped: its daemon thread is left behind.

    Args:
        url: ``ws://`` or ``wss://``.
        headers: Sent with the request as they are, ``Authorization`` included.
        config: Provides ``ssl_context``, ``proxy`` and, for the error's text, ``open_timeout``.
        deadline: ``math.inf`` for none.
        since: When the wait began that the deadline ends, for the error's text; None: now.
        opening: Lets another thread give up the dialling, which then raises any of the errors below.

    Raises:
        ConfigurationError: The URL, a header, the proxy or ``SSL_CERT_FILE`` is wrong, or a package is
            missing. Before anything is sent.
        AuthenticationError: HTTP 401 or 403.
        ConnectionError: Any other failure; see its ``stage``, ``status`` and ``retry_after``.
        ProtocolError: The answer is not HTTP, or not a WebSocket upgrade.
        TimeoutError: The deadline passed; stage ``"open"``.
    """
    since = time.monotonic() if since is None else since
    target = parse(url)
    fields = [header_line(name, value) for name, value in headers.items()]
    secrets = secrets_in(target, fields)
    library = websocket_client()
    proxy = _proxy_for(target, config.proxy)
    context = (config.ssl_context or shared_context()) if target.secure else None
    attempt = _Attempt(target, since, deadline, config.open_timeout, opening or Opening())
    opened: Any = None
    try:  # around everything to the last line, since Ctrl-C may come between any two lines
        opened = _reach(attempt, None) if proxy is None else _through(attempt, proxy)
        if context is not None:
            with attempt.step("tls", f"agree on TLS with {target.address}", reached=True):
                opened = connect_tls(opened, context, target.host, deadline, hold=attempt.opening.hold)
        else:
            opened = DuplexSocket(opened)
        doing = f"upgrade the connection to {target.address} to a WebSocket"
        with attempt.step("upgrade", doing, reached=True):
            answer = upgrade(library, opened, target, fields, secrets, deadline)
        attempt.opening.let_go()
        return Upgraded(opened, answer, time.monotonic() - attempt.begun, secrets)
    except BaseException:
        if opened is not None:
            opened.close()
        attempt.opening.let_go()
        raise


def connect_through(proxy: str, host: str, port: int, deadline: float, opening: Opening) -> socket.socket:
    """Connect to a host through a proxy, for a protocol other than WebSocket.

    Args:
        proxy: The URL of the proxy.
        opening: As for :func:`dial`.

    Raises:
        ConfigurationError: The URL of the proxy is wrong, or a package is missing.
        ConnectionError: Stage ``"proxy"``, or ``"dns"``.
        TimeoutError: The deadline (of :func:`time.monotonic`) passed.
    """
    target = Target(False, host, port, "/", ())
    way = _proxy_for(target, proxy)
    attempt = _Attempt(target, time.monotonic(), deadline, None, opening)
    try:
        return _reach(attempt, None) if way is None else _through(attempt, way)
    finally:
        opening.let_go()


def check_patches() -> None:
    """Refuse an environment in which no session could work, before any I/O.

    Raises:
        ConfigurationError: eventlet has replaced sockets, gevent has replaced threads but not ``select``, or
            this is a sub-interpreter without daemon threads.
    """
    try:
        threading.Thread(name="speechmatics-rt-none", daemon=True)
    except RuntimeError as exc:
        raise ConfigurationError(
            f"{exc}, and a session needs daemon threads: run it in the main interpreter, or in a "
            "sub-interpreter that was made with the configuration 'legacy'"
        ) from exc
    if not hasattr(socket.socket, "shutdown"):
        raise ConfigurationError(
            "eventlet has replaced sockets by ones that can't be shut down, which is how a session ends: "
            "use gevent or threads, or eventlet.monkey_patch(socket=False, select=False, thread=False)"
        )
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.is_module_patched("threading") and not monkey.is_module_patched("select"):
        raise ConfigurationError(
            "gevent has replaced threads but not select, so waiting for a socket would block all of them: "
            "call monkey.patch_all() without select=False"
        )


# -- one attempt, and its errors ------------------------------------------------------------------------


class _Attempt:
    """The target of one dialling, its start and its deadline."""

    def __init__(
        self, target: Target, since: float, deadline: float, limit: Optional[float], opening: Opening
    ) -> None:
        self.target = target
        self.opening = opening
        self.begun = time.monotonic()
        self.deadline = deadline
        self._since = since
        self._limit = limit

    def given(self, opening: Opening) -> _Attempt:
        """Return a part of this attempt that can be given up by itself."""
        part = copy.copy(self)
        part.opening = opening
        return part

    @contextmanager
    def step(self, stage: str, doing: str, *, reached: bool = False) -> Iterator[None]:
        """Turn what a step raises into an error of this package.

        Args:
            stage: Its ``stage``.
            doing: Completes "could not".
            reached: There is a connection to the target.
        """
        try:
            yield
        except SpeechmaticsError:
            raise
        except (OSError, ValueError) as exc:
            # From Python 3.10 on the kernel's ETIMEDOUT has the same class, but it has an errno.
            if isinstance(exc, socket.timeout) and exc.errno is None:
                elapsed = time.monotonic() - self._since
                raise TimeoutError(
                    f"no connection after {elapsed:.1f} s: the time ran out trying to {doing}",
                    stage="open",
                    seconds=self._limit,
                ) from exc
            text = f"could not {doing}: {_told(exc)}"
            if stage == "upgrade" and not self.target.secure:
                text += f". {PERHAPS_SECURE}"
            raise ConnectionError(text, stage=stage, lasting=_lasts(exc), unreached=not reached) from exc


def _lasts(exc: Exception) -> bool:
    """Whether the certificate was refused, or the server speaks no TLS: another try would fail likewise."""
    return bool(getattr(exc, "verify_message", None)) or getattr(exc, "reason", None) in _NO_TLS


def certificate_refused(exc: BaseException) -> str:
    """Return why a certificate was refused, and what to do; empty for other errors."""
    why = getattr(exc, "verify_message", None)  # of ssl.SSLCertVerificationError
    if not why:
        return ""
    text = f"its certificate was refused ({why})"
    if getattr(exc, "verify_code", 0) in _NOT_OF_TRUST:
        return text
    return (
        f"{text}. If you or your company issued it, name its CA in SSL_CERT_FILE, or pass "
        "ConnectionConfig(ssl_context=ssl.create_default_context(cafile=...))"
    )


def _told(exc: Exception) -> str:
    why = certificate_refused(exc)
    if why:
        return why
    if getattr(exc, "reason", None) in _NO_TLS:
        return "the server doesn't speak TLS there. Perhaps its address begins with ws://"
    return str(getattr(exc, "strerror", None) or exc)


# -- DNS and TCP ---------------------------------------------------------------------------------------


def _reach(attempt: _Attempt, proxy: Optional[_Proxy]) -> socket.socket:
    """Open a TCP connection to the target, or to the proxy if there is one."""
    host, port = (proxy.host, proxy.port) if proxy else (attempt.target.host, attempt.target.port)
    whom = f"the proxy {address_of(host, port)}" if proxy else address_of(host, port)
    with attempt.step("proxy" if proxy else "dns", f"find the address of {whom}"):
        lookup = Lookup(host, port, attempt.opening)
        lookup.first(attempt.deadline)
    with attempt.step("proxy" if proxy else "tcp", f"connect to {whom}"):
        return connect(lookup, attempt.deadline)


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
_REFUSALS = (2, 7, 8)  # SOCKS5 replies: forbidden by the rules, command or address type not supported


def _proxy_for(target: Target, given: Optional[str]) -> Optional[_Proxy]:
    """Return the proxy to use: the given one (``""`` for none), else that of the environment."""
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
    if not host or not port:  # the text leaves the URL out, since it may hold a password
        raise ConfigurationError(f"{source} must be a URL with one of the schemes {', '.join(_PROXIES)}")
    try:
        import python_socks.sync  # noqa: F401  # so that a missing package is reported before any I/O
    except ImportError as exc:
        raise ConfigurationError(
            f"{source} requires another package: pip install 'speechmatics-rt-sync[proxy]'"
            f' (or ConnectionConfig(proxy="") to go without)'
        ) from exc
    username = unquote(parts.username) if parts.username else None
    return _Proxy(parts.scheme, host, port, username, unquote(parts.password or "") if username else None)


def _through(attempt: _Attempt, proxy: _Proxy) -> socket.socket:
    """Open a TCP connection to the target through the proxy; look the name up here if the proxy doesn't."""
    protocol, _, resolves = _PROXIES[proxy.scheme]
    target = attempt.target
    if resolves:
        sock = _reach(attempt, proxy)
        try:
            _ask(attempt, proxy, sock, target.host)
        except BaseException:
            sock.close()
            raise
        return sock
    family = socket.AF_INET if protocol == "SOCKS4" else socket.AF_UNSPEC  # SOCKS4 has no IPv6
    which = "an IPv4" if protocol == "SOCKS4" else "the"
    with attempt.step("dns", f"find {which} address of {target.address}"):
        lookup = Lookup(target.host, target.port, attempt.opening, family)
        lookup.first(attempt.deadline)
    with attempt.step("proxy", _doing(proxy)):
        return _race(attempt, proxy, lookup)


def _doing(proxy: _Proxy) -> str:
    return f"get through the proxy {address_of(proxy.host, proxy.port)}"


class _Way:
    """One attempt through a proxy, to one address of the target, on a thread of its own."""

    _call: Call[socket.socket]

    def __init__(self, attempt: _Attempt, proxy: _Proxy, lookup: Lookup, host: str) -> None:
        self.host = host
        self._whole = attempt
        self._part = attempt.given(Opening())  # so that it can be given up by itself
        self._proxy = proxy
        self._lookup = lookup
        self._reached = False  # the connection to the proxy was made
        self._made: Optional[socket.socket] = None

    def begin(self) -> None:
        name = f"speechmatics-rt-proxy-{self.host}"
        self._call = Call(self._open, name=name, done=self._lookup.news.wake)

    @property
    def is_over(self) -> bool:
        return self._call.is_over

    def result(self) -> socket.socket:
        try:
            sock = self._call.result()
        except ConnectionError as exc:
            if not self._reached or not _is_about_an_address(exc):
                self._lookup.stop()
            raise
        self._whole.opening.hold(sock)
        return sock

    def give_up(self) -> None:
        """Close what it has made; its thread closes what it is still making."""
        self._part.opening.give_up()
        if self._made is not None:
            self._made.close()

    def _open(self) -> socket.socket:
        sock = _reach(self._part, self._proxy)
        self._reached = True
        try:
            _ask(self._part, self._proxy, sock, self.host)
            self._made = sock
            if self._part.opening.given_up:  # checked after _made is set; give_up() does it the other way
                sock.close()
        except BaseException:
            sock.close()
            raise
        return sock


def _race(attempt: _Attempt, proxy: _Proxy, lookup: Lookup) -> socket.socket:
    """Have the proxy try each address, on a connection each, as :func:`connect` does without a proxy."""

    def wait(racing: list[_Way], seconds: float) -> list[_Way]:
        lookup.news.wait(seconds)
        return [way for way in racing if way.is_over]

    return race(
        lookup,
        attempt.deadline,
        attempt=lambda entry: _Way(attempt, proxy, lookup, entry[4][0]),
        wait=wait,
        none_of=lambda failures: _none_of(failures, proxy),
    )


def _none_of(failures: list[tuple[str, OSError]], proxy: _Proxy) -> OSError:
    """Return an error that says why each address failed."""
    if len(failures) == 1:
        return failures[0][1]
    told = "; ".join(f"{host}: {one_line(str(error.__cause__), 300)}" for host, error in failures)
    lasting = all(isinstance(error, ConnectionError) and error.lasting for _, error in failures)
    text = f"could not {_doing(proxy)}: {told}"
    return ConnectionError(text, stage="proxy", lasting=lasting, unreached=True)


def _is_about_an_address(error: ConnectionError) -> bool:
    """Whether the proxy may succeed with another address: it gave an error code, or hung up."""
    return getattr(error.__cause__, "error_code", None) is not None or not error.lasting


def _ask(attempt: _Attempt, proxy: _Proxy, sock: socket.socket, host: str) -> None:
    """Have the proxy at the other end of ``sock`` connect to a host."""
    from python_socks import ProxyError, ProxyTimeoutError, ProxyType
    from python_socks.sync import Proxy

    protocol = _PROXIES[proxy.scheme][0]
    lent = (UpgradeSocket if protocol == "HTTP" else BorrowedSocket)(DuplexSocket(sock), attempt.deadline)
    with attempt.step("proxy", _doing(proxy)):
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
            code = getattr(exc, "error_code", None)
            wants = code in (401, 407) or "authentication" in str(exc)
            raise ConnectionError(
                f"could not {_doing(proxy)}: {one_line(str(exc), 300)}"  # it may hold text of the proxy
                f"{'. Its URL takes user:password@' if wants else ''}",
                stage="proxy",
                lasting=_refuses(protocol, code, hung_up=lent.ended),
                unreached=True,
            ) from exc


def _refuses(protocol: str, code: Optional[int], *, hung_up: bool) -> bool:
    """Whether another try would fail likewise: the caller or the target is refused, or it is no proxy."""
    if code is None:
        return not hung_up
    if protocol == "HTTP":
        return code < 500 and code != 429
    return protocol == "SOCKS5" and code in _REFUSALS


class _Forward(NamedTuple):
    """Looks to python-socks like the previous proxy of a chain, and gives it the connected socket."""

    lent: BorrowedSocket

    def connect(self, dest_host: str, dest_port: int, timeout: Optional[float] = None) -> BorrowedSocket:
        return self.lent
