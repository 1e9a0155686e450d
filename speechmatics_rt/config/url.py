"""URLs of the service: checked, parsed, and redacted for logs; and the check of a header."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, Optional
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from ..exceptions import ConfigurationError
from ..threads import importing

__all__ = [
    "Target",
    "address_of",
    "ascii_host",
    "check_url",
    "header_line",
    "is_cloud",
    "is_loopback",
    "parse",
    "redact",
    "with_sdk",
]

_SECRET_PARAMETERS = frozenset({"jwt", "token", "access_token", "api_key", "key"})
_PLACE = re.compile(r"((?:[^/?#]*//)?)([^/?#]*)(.*)", re.DOTALL)  # as it begins, host, all the rest
_HOST_AND_PORT = re.compile(r"[\w.-]+(?::\d*)?|\[[^\[\]]*\](?::\d*)?")
_OF_A_PARAMETER = re.compile(r"[^#?@]*\?[^#@]*=[^#@]*@")
_PARAMETER = re.compile(r"(?<=[?&#])([^=?&#]*)=[^&#]*")
_BARE = re.compile(r"([\w.-]+)(?::\d+)?(?:/|\Z)")  # an address without a scheme
_SCHEMES = {"http": "ws", "https": "wss"}
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")  # the underscore is no letter of DNS, but of docker's names
_TWO_READINGS = frozenset("\u00df\u03c2\u200c\u200d")  # sharp s, final sigma, joiners
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OWN_HEADERS = re.compile(r"(?i)host|connection|upgrade|content-length|transfer-encoding|sec-websocket-.*")


class Target(NamedTuple):
    """The parts of a checked URL."""

    secure: bool
    host: str
    port: int
    resource: str  # path and query, as given
    secrets: tuple[str, ...]

    @property
    def address(self) -> str:
        return address_of(self.host, self.port)

    @property
    def host_field(self) -> str:
        """The Host header: the port only where it isn't the scheme's own."""
        return self.address if self.port != (443 if self.secure else 80) else address_of(self.host)


def check_url(url: str) -> None:
    """Raise ConfigurationError unless ``url`` is one that :func:`dial` can take."""
    parse(url)


def with_sdk(url: str, identifier: str, app: Optional[str] = None) -> str:
    """Add ``sm-sdk`` and ``sm-app`` to a checked URL's query, unless they are there; the rest stays as it is.

    Example:
        >>> with_sdk("wss://eu.rt.speechmatics.com/v2?jwt=a%2Fb", "python 1")
        'wss://eu.rt.speechmatics.com/v2?jwt=a%2Fb&sm-sdk=python%201'
    """
    for name, value in (("sm-sdk", identifier), ("sm-app", app)):
        query = urlsplit(url).query
        if value is not None and all(_name(parameter) != name for parameter in query.split("&")):
            joint = "" if url.endswith(("?", "&")) else "&" if query else "?"
            url = f"{url}{joint}{name}={quote(value, safe='')}"
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_cloud(url: str) -> bool:
    """Whether a URL is of the service's own cloud, which requires a key and accepts what is documented."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return f".{host}".endswith(".speechmatics.com")


def redact(url: str) -> str:
    """Return the URL without tokens and credentials, for logs and errors.

    Example:
        >>> redact("wss://eu.rt.speechmatics.com/v2?jwt=eyJhbGci&sm-sdk=x")
        'wss://eu.rt.speechmatics.com/v2?jwt=***&sm-sdk=x'
    """
    start, host, rest = _PLACE.match(url).groups()  # type: ignore[union-attr]  # it matches anything
    if "@" in host:
        host = f"***@{host.rpartition('@')[2]}"
    elif "@" in rest and not (_HOST_AND_PORT.fullmatch(host) and _OF_A_PARAMETER.match(rest)):
        # Credentials may hold a "/", "?" or "#", so that what looks like the host is part of them.
        host, rest = "***@", rest.rpartition("@")[2]
    return start + host + _PARAMETER.sub(_without_secret, rest)


def _without_secret(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}=***" if _name(parameter[1]) in _SECRET_PARAMETERS else parameter[0]


def _name(parameter: str) -> str:
    return unquote_plus(parameter.partition("=")[0]).lower()


def address_of(host: str, port: Optional[int] = None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def ascii_host(host: str) -> str:
    """Return a host's name in the ASCII form that DNS, TLS and the Host header use.

    Raises:
        ValueError: It has no such form.

    Example:
        >>> ascii_host("b\u00fccher.example")
        'xn--bcher-kva.example'
    """
    if host.isascii():
        return host.lower()
    if not _TWO_READINGS.isdisjoint(host):
        # Python's codec maps the sharp s to "ss", as browsers once did: another host, of another owner.
        raise ValueError(
            "has a host that old and new rules for international names read differently; write it in "
            "its ASCII form, xn--..."
        )
    try:
        with importing:  # the codec is, when it is first used, with all that it needs
            return host.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"has an invalid host: {_NO_LABEL}") from None


_NO_LABEL = (
    "each part between two dots has 1 to 63 letters, digits, hyphens or underscores (after the encoding "
    "of international names)"
)


def _is_host(host: str) -> bool:
    if ":" not in host:
        return all(map(_LABEL.fullmatch, host[: -1 if host.endswith(".") else None].split(".")))
    try:
        return bool(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return False


def parse(url: str) -> Target:
    def wrong(what: str) -> ConfigurationError:
        # Where credentials end can't be told in a malformed URL: the last @, to be safe.
        return ConfigurationError(f"the URL {re.sub('(?s)^.*@', '***@', redact(str(url)))!r} {what}")

    # First, because urlsplit() silently drops line ends.
    if not isinstance(url, str) or re.search(r"[\x00-\x20\x7f]", url):
        raise wrong("holds a space or control character" if isinstance(url, str) else "is not a string")
    if not url.isascii():
        with importing:
            import unicodedata  # noqa: F401  # as urlsplit() does
    try:
        parts = urlsplit(url)
        given, port = parts.hostname or "", parts.port
    except ValueError:  # its text may quote a part of the credentials
        raise wrong("can't be read: its host or its port is malformed") from None
    if parts.scheme not in ("ws", "wss"):
        raise wrong(f"must begin with ws:// or wss://{_meant(redact(url))}")
    if not given or port == 0:
        raise wrong("has no host" if not given else "has port 0")
    try:
        host = ascii_host(given)
    except ValueError as exc:
        raise wrong(str(exc)) from None
    if not _is_host(host):
        raise wrong(f"has an invalid host: {_NO_LABEL}")
    if parts.username is not None or parts.password is not None:
        raise wrong("holds credentials; use api_key or an auth object")
    if "#" in url:
        raise wrong("has a fragment, which a WebSocket URL must not have")
    if not parts.path.isascii() or not parts.query.isascii():
        raise wrong("must have its path and query percent-encoded")
    if ";" in parts.path:
        raise wrong("has a ';' in its path, which would be lost; write it as %3B")
    secrets = tuple(
        unquote(parameter.partition("=")[2])
        for parameter in parts.query.split("&")
        if _name(parameter) in _SECRET_PARAMETERS
    )
    secure = parts.scheme == "wss"
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, host, port or (443 if secure else 80), resource, secrets)


def _meant(url: str) -> str:
    """Suggest the address that was probably meant; nothing if a secret had to be left out of it.

    Example:
        >>> _meant("https://eu.rt.speechmatics.com/v2")
        "; did you mean 'wss://eu.rt.speechmatics.com/v2'?"
    """
    scheme, mark, rest = url.partition("://")
    instead = _SCHEMES.get(scheme.lower(), "")
    if not mark and (bare := _BARE.match(url)):
        instead = "ws" if is_loopback(bare[1]) else "wss"
    if not instead or "***" in url or "@" in url:
        return ""
    return f"; did you mean '{instead}://{rest if mark else url}'?"


def header_line(name: str, value: str) -> str:
    """Return a checked header as one line: websocket-client would let a line end add further headers."""
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is not a valid header name")
    if _OWN_HEADERS.fullmatch(name):
        raise ConfigurationError(f"the header {name} is set by the upgrade itself")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        # The value stays out of the text: it may be the key.
        raise ConfigurationError(f"the value of the header {name} must be printable ASCII on one line")
    return f"{name}: {value}"
