"""Tries each step of a connection by itself."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional
from urllib.parse import unquote

from ...config import Target, address_of, environment_proxy, proxy_parts
from ...network import shake_hands
from ...threads import OverdueError, call_until, importing
from ...tls import TlsStream
from .certificates import Certificate, Refusal
from .judge import Reach

__all__ = [
    "FAMILIES",
    "Proxy",
    "TunnelError",
    "agree_on_tls",
    "look_up",
    "proxy_to",
    "reach",
    "refusal_of",
    "skew_of",
    "tunnel",
]

_MOST_HEAD = 64 * 1024  # bytes of an answer's head
PATIENCE = 5.0  # s for each step; an answer usually takes less than one
_SCHEMES = ("http", "socks4", "socks4a", "socks5", "socks5h")
FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}

# OpenSSL's, which Python has no names for everywhere: believe the one certificate that is given, whoever has
# issued it, and whenever that was.
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000


class Proxy(NamedTuple):
    """What stands between, by the environment. ``secrets`` are not to be shown."""

    scheme: str
    host: str
    port: int
    headers: Mapping[str, str]
    secrets: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{self.scheme}://{address_of(self.host, self.port)}"


def proxy_to(target: Target) -> Optional[Proxy]:
    """Find the proxy on the way to a server.

    Raises:
        ConfigurationError: The environment's is no URL.
    """
    given = environment_proxy(target.secure, target.host, target.port)
    if not given:
        return None
    parts = proxy_parts(given, _SCHEMES, secure=target.secure, given=None)
    port = parts.port or (80 if parts.scheme == "http" else 1080)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    headers = {}
    if user:
        both = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {both}"
    written = (parts.username or "", parts.password or "")
    return Proxy(parts.scheme, parts.hostname or "", port, headers, (user, password, *written))


def look_up(host: str, port: int) -> tuple[list[Any], bool]:
    """Ask for the addresses of a name; who hears nothing asks about IPv4 alone, as sessions do.

    Returns:
        The addresses, and whether they are all.

    Raises:
        OSError: There are none, or nobody answered.
    """
    try:
        return _ask(host, port, socket.AF_UNSPEC), True
    except OverdueError:
        pass
    try:
        return _ask(host, port, socket.AF_INET), False
    except (OverdueError, OSError):
        raise socket.timeout(f"no answer within {PATIENCE:g} s") from None


def _ask(host: str, port: int, family: int) -> list[Any]:
    """Ask on a thread of its own: the resolver takes no timeout."""
    with importing:
        import encodings.idna  # noqa: F401  # as getaddrinfo() does
    return call_until(
        time.monotonic() + PATIENCE,
        lambda: list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)),
        name=f"speechmatics-rt-dns-{host}",
    )


def reach(found: list[Any], family: int) -> Optional[Reach]:
    """Connect to the addresses of one family, until one answers; None if it has none."""
    last = None
    deadline = time.monotonic() + PATIENCE
    for kind, _, _, _, address in found:
        if kind != family:
            continue
        at = address[0], address[1]
        began = time.monotonic()
        try:
            with socket.socket(kind, socket.SOCK_STREAM) as sock:
                sock.settimeout(max(0.1, deadline - began))
                sock.connect(address)
            return Reach(at, time.monotonic() - began)
        except socket.timeout:
            last = Reach(at, None, f"no answer within {time.monotonic() - began:.0f} s", silent=True)
        except OSError as exc:
            last = Reach(at, None, exc.strerror or str(exc))
    return last


class TunnelError(Exception):
    """A proxy did not connect us through; ``status`` is its HTTP status, if it gave one."""

    def __init__(self, text: str, status: Optional[int]) -> None:
        super().__init__(text)
        self.status = status


def tunnel(target: Target, proxy: Optional[Proxy], at: tuple[str, int]) -> socket.socket:
    """Connect to a server, through the proxy if there is one.

    Args:
        at: The address of the first of both, which answered before: no name is looked up.

    Raises:
        TunnelError: The proxy did not let us through.
        OSError: Nobody answered.
    """
    if proxy is None:
        return socket.create_connection(at, PATIENCE)
    from http.client import HTTPConnection, HTTPException

    http = HTTPConnection(*at, timeout=PATIENCE)
    http.set_tunnel(target.host, target.port, headers=dict(proxy.headers))
    try:
        http.connect()
    except (OSError, HTTPException) as exc:
        http.close()
        said = re.search(r"failed: (\d{3})\b", str(exc))
        text = f"HTTP {str(exc).partition('failed: ')[2]}" if said else str(exc) or type(exc).__name__
        raise TunnelError(text, int(said[1]) if said else None) from exc
    sock: socket.socket = http.sock
    return sock


def agree_on_tls(
    connect: Callable[[], socket.socket], host: str, context: ssl.SSLContext
) -> tuple[str, Certificate, Optional[float]]:
    """Agree on TLS; tell its version, whose certificate it is, and for how many days.

    Raises:
        ssl.SSLCertVerificationError: The certificate was refused; see :func:`refusal_of`.
        OSError: There was no TLS.
    """
    with connect() as sock:
        tls = _secured(sock, context, host).state
        decoded = tls.getpeercert() or {}
        return tls.version() or "TLS", Certificate.of(decoded), _days_left(decoded, time.time())


def _secured(sock: socket.socket, context: ssl.SSLContext, host: str) -> TlsStream:
    sock.setblocking(False)
    tls = TlsStream(sock, context, server_hostname=host)
    shake_hands(tls, sock, time.monotonic() + PATIENCE)
    return tls


def refusal_of(
    connect: Callable[[], socket.socket], host: str, error: ssl.SSLCertVerificationError
) -> Refusal:
    """Look at the certificate that was refused, with two more handshakes, over which nothing is sent.

    Python shows only certificates that it believes. So the second believes this one, and no other.
    """
    certificate = None
    try:
        with connect() as sock:
            encoded = _secured(sock, _unchecked(), host).state.getpeercert(binary_form=True)
        reader = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        reader.check_hostname = False
        reader.load_verify_locations(cadata=encoded or b"")
        reader.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN | _NO_CHECK_TIME)
        with connect() as sock:
            certificate = Certificate.of(_secured(sock, reader, host).state.getpeercert() or {})
    except (OSError, ValueError):
        pass  # the refusal is reported without it
    return Refusal(error.verify_code, error.verify_message, certificate)


def _unchecked() -> ssl.SSLContext:
    """Return what believes everybody, for who sends nothing that matters and believes nothing that comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _days_left(decoded: Mapping[str, Any], now: float) -> Optional[float]:
    """Tell for how many days a certificate still holds."""
    until = decoded.get("notAfter")
    return None if not until else (ssl.cert_time_to_seconds(str(until)) - now) / 86400


def skew_of(connect: Callable[[], socket.socket], target: Target) -> Optional[float]:
    """Ask the server for a page, for the time in its answer.

    No key goes along, and no certificate is looked at: it may be refused for its dates alone, and whose clock
    is wrong is the question. Who lies here gains nothing.

    Returns:
        The seconds that our clock is ahead, within a second; None if the server does not say.
    """
    from email.utils import mktime_tz, parsedate_tz

    try:
        with connect() as sock:
            stream = _secured(sock, _unchecked(), target.host) if target.secure else sock
            sock.settimeout(PATIENCE)
            before = time.time()
            stream.send(f"GET / HTTP/1.1\r\nHost: {target.host_field}\r\nConnection: close\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD:
                more = stream.recv(4096)
                if not more:
                    break
                head += more
            after = time.time()
    except (OSError, TunnelError):
        return None
    told = re.search(r"^date:(.*)", head.decode("latin-1"), re.IGNORECASE | re.MULTILINE)
    date = parsedate_tz(told[1]) if told else None
    try:  # it is cut to whole seconds, so it is half a second late on the whole
        return None if date is None else (before + after) / 2 - (mktime_tz(date) + 0.5)
    except (ValueError, OverflowError):  # an impossible year
        return None
