"""Connects through a proxy, HTTP or SOCKS, whose protocol python-socks speaks."""

from __future__ import annotations

import re
import socket
import time
from base64 import b64encode
from typing import NamedTuple, Optional
from urllib.parse import unquote

from ...config import Target, address_of, environment_proxy, proxy_parts
from ...exceptions import ConfigurationError, ConnectionError, ProtocolError
from ...messages import Secrets, one_line
from ...threads import ThreadedCall, importing
from ..duplex import DuplexSocket
from .attempt import Attempt
from .opening import Opening
from .reach import Lookup, race
from .said import said_in
from .upgrade import BorrowedSocket, UpgradeSocket

__all__ = ["connect_tcp", "connect_through", "proxy_for"]


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
    attempt = Attempt(target, time.monotonic(), deadline, None, opening)
    try:
        return connect_tcp(attempt, proxy_for(target, proxy))
    finally:
        opening.let_go()


def connect_tcp(attempt: Attempt, proxy: Optional[_Proxy]) -> socket.socket:
    """Open a TCP connection to the target, through the proxy if there is one."""
    return attempt.reach() if proxy is None else _through(attempt, proxy)


class _Proxy(NamedTuple):
    scheme: str
    host: str
    port: int
    username: Optional[str]
    password: Optional[str]

    @property
    def secrets(self) -> Secrets:
        """What it must not be heard to repeat."""
        if self.username is None:
            return Secrets()
        both = f"{self.username}:{self.password}"
        alone = self.password or self.username  # a token may be given as the user
        return Secrets([alone, both, b64encode(both.encode("latin-1", "replace")).decode()])


_PROXIES = {  # python-socks' name of the protocol, the usual port, and whether the proxy resolves names
    "http": ("HTTP", 80, True),
    "socks4": ("SOCKS4", 1080, False),
    "socks4a": ("SOCKS4", 1080, True),
    "socks5": ("SOCKS5", 1080, False),
    "socks5h": ("SOCKS5", 1080, True),
}
_REFUSALS = (2, 7, 8)  # SOCKS5 replies: forbidden by the rules, command or address type not supported


def proxy_for(target: Target, given: Optional[str]) -> Optional[_Proxy]:
    """Return the proxy to use: the given one (``""`` for none), else that of the environment."""
    url = environment_proxy(target.secure, target.host, target.port) if given is None else given
    if not url:
        return None
    parts = proxy_parts(url, _PROXIES, secure=target.secure, given=given)
    host, port = parts.hostname or "", parts.port or _PROXIES[parts.scheme][1]
    try:
        with importing:
            import python_socks.sync  # noqa: F401  # so that a missing package is reported before any I/O
    except ImportError as exc:
        whose = "the proxy of the environment" if given is None else "proxy"
        raise ConfigurationError(
            f"{whose} requires another package: pip install 'speechmatics-rt-sync[proxy]'"
            f' (or ConnectionConfig(proxy="") to go without)'
        ) from exc
    username = unquote(parts.username) if parts.username else None
    return _Proxy(parts.scheme, host, port, username, unquote(parts.password or "") if username else None)


def _through(attempt: Attempt, proxy: _Proxy) -> socket.socket:
    """Open a TCP connection to the target through the proxy; look the name up here if the proxy doesn't."""
    protocol, _, resolves = _PROXIES[proxy.scheme]
    target = attempt.target
    if resolves:
        sock = attempt.reach((proxy.host, proxy.port))
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

    _call: ThreadedCall[socket.socket]

    def __init__(self, attempt: Attempt, proxy: _Proxy, lookup: Lookup, host: str) -> None:
        self.host = host
        self._whole = attempt
        self._part = attempt.given(Opening())  # so that it can be given up by itself
        self._proxy = proxy
        self._lookup = lookup
        self._reached = False  # the connection to the proxy was made
        self._made: Optional[socket.socket] = None

    def begin(self) -> None:
        name = f"speechmatics-rt-proxy-{self.host}"
        self._call = ThreadedCall(self._open, name=name, done=self._lookup.news.wake)

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
        sock = self._part.reach((self._proxy.host, self._proxy.port))
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


def _race(attempt: Attempt, proxy: _Proxy, lookup: Lookup) -> socket.socket:
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


def _ask(attempt: Attempt, proxy: _Proxy, sock: socket.socket, host: str) -> None:
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
            code, challenge = getattr(exc, "error_code", None), ""
            text = f"could not {_doing(proxy)}: {one_line(proxy.secrets.hide_in(str(exc)), 300)}"
            if isinstance(lent, UpgradeSocket) and lent.status and code:
                said, challenge = (
                    said_in(lent.body(), proxy.secrets),
                    lent.headers.get("proxy-authenticate", ""),
                )
                text += f": {said}" if said else ""
            if code in (401, 407) or "authentication" in str(exc):
                text += f". {_what_it_wants(proxy, challenge)}"
            raise ConnectionError(
                text, stage="proxy", lasting=_refuses(protocol, code, hung_up=lent.ended), unreached=True
            ) from exc


def _what_it_wants(proxy: _Proxy, challenge: str) -> str:
    """Say what to do about a proxy that wants to know who asks, by its ``Proxy-Authenticate``."""
    items = re.sub(r'"[^"]*"?', '""', challenge).split(",")  # schemes, and parameters of those
    schemes = [found[1] for found in map(_SCHEME.match, items) if found]
    if schemes and "basic" not in (scheme.lower() for scheme in schemes):
        return (
            f"It offers {', '.join(schemes[:5])}, and only Basic is spoken here: have it offer that, or go "
            "through a local proxy that speaks those, such as px or cntlm"
        )
    if proxy.username is None:
        return "Its URL takes user:password@"
    return "It does not accept the user or the password in its URL"


_SCHEME = re.compile(r"\s*([A-Za-z][\w-]{0,30})(?=\s+[^\s=]|\s*\Z)")


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
