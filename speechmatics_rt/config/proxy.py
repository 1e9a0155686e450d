"""Which proxy the environment names, and which hosts it excepts."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import Optional, Union
from urllib.parse import SplitResult, urlsplit

from ..exceptions import ConfigurationError, shown
from ..threads import importing
from .url import address_of, ascii_host, is_loopback, redact

__all__ = ["environment_proxy", "is_excepted", "proxy_parts"]

_PASSWORD = re.compile(r"(?s):(?!//)(?!\d{1,5}[/\"']*\Z).*")  # what is no port may be one


def environment_proxy(secure: bool, host: str, port: int) -> str:
    """Return the URL of the proxy for a host, or ``""`` for none.

    It is taken from ``https_proxy`` for TLS, else from ``http_proxy``; failing that from ``all_proxy``, or
    from the system's settings. ``no_proxy`` excepts hosts. This machine itself is never reached through a
    proxy, so that the local server works behind any.
    """
    if is_loopback(host):
        return ""
    with importing:
        from urllib.request import getproxies, proxy_bypass  # 20 ms that an explicit proxy need not cost

    found = getproxies()
    proxy = found.get("https" if secure else "http") or found.get("all") or ""
    # proxy_bypass() is asked for the system's settings; of no_proxy it only knows whole names.
    if not proxy or is_excepted(found.get("no", ""), host, port):
        return ""
    if "no" not in found and (proxy_bypass(host) or proxy_bypass(address_of(host, port))):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_parts(url: str, schemes: Iterable[str], *, secure: bool, given: Optional[str]) -> SplitResult:
    """Return the parts of a proxy's URL.

    Args:
        url: The URL.
        schemes: Those that are known.
        secure: As for :func:`environment_proxy`.
        given: The option; None if the proxy is that of the environment, whose variable the error names.

    Raises:
        ConfigurationError: It is no URL, or its scheme is unknown. The text has no password.

    Example:
        >>> proxy_parts("http://proxy:3128", ["http"], secure=True, given=None).hostname
        'proxy'
    """
    wrong = f" with a scheme of {', '.join(schemes)}"
    try:
        parts = urlsplit(url)
        if parts.scheme in schemes and parts.hostname:
            wrong = ": its port is not a number from 1 to 65535"
            if parts.port != 0:
                return parts
    except ValueError:
        pass  # a malformed host or port
    raise ConfigurationError(_told(secure, given, wrong))


def _told(secure: bool, given: Optional[str], wrong: str) -> str:
    """Say that a proxy is no URL, and what is ``wrong``."""
    name, value = ("proxy", given) if given is not None else _of_environment(secure)
    mark = re.match(r"\W?(?:[a-z][a-z0-9+.-]*://)?", value)
    start = mark[0] if mark else ""
    told = start + _PASSWORD.sub(":***", re.sub(r"(?s).*@", "***@", value[len(start) :]))
    text = f"{name}={shown(redact(told))} is not the URL of a proxy{wrong}"
    if value[:1] in ("'", '"'):
        text += "; it is in quotes: remove them (docker's --env-file and Windows' set keep them)"
    elif start == "https://":
        text += "; most proxies are spoken to without TLS, whatever goes through them: try http://"
    return text


def _of_environment(secure: bool) -> tuple[str, str]:
    """Return the name and value of the variable that names the proxy, or of the system's setting."""
    from urllib.request import getproxies

    for kind in ("https" if secure else "http", "all"):
        for name in sorted(os.environ, reverse=True):  # those in lower case first, as in getproxies()
            if name.lower() == f"{kind}_proxy" and os.environ[name]:
                return name, os.environ[name]
    found = getproxies()
    return "the system's proxy", found.get("https" if secure else "http") or found.get("all") or ""


def is_excepted(no_proxy: str, host: str, port: int) -> bool:
    """Whether ``no_proxy`` covers a host: by its name, a domain above it, its address, or its network.

    There is no standard for the variable, so this accepts what curl, Go and requests do: entries are
    separated by commas or spaces, and may end in a port. A leading dot or ``*.`` changes nothing. Names are
    not resolved, since inside a company often only the proxy can.

    Example:
        >>> is_excepted("localhost, 10.0.0.0/8, *.corp.example", "10.1.2.3", 9000)
        True
        >>> is_excepted("corp.example:443", "asr.corp.example", 9000)
        False
    """
    host = host.lower().rstrip(".")
    address = _address(host)
    return any(_holds(entry.lower(), host, address, port) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _holds(entry: str, host: str, address: Optional[_Address], port: int) -> bool:
    with_port = re.fullmatch(r"(\[.*\](?:/\d+)?|[^:]*):(\d+)", entry)
    if with_port is not None:
        entry = with_port[1]
        if int(with_port[2]) != port:
            return False
    entry = entry.replace("[", "").replace("]", "")
    if address is not None:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:  # a name, or a wildcard
            return "*" in entry and _matches(entry, host)
        return address in network
    domain = entry.rstrip(".")
    domain = domain if domain == "*" else domain.lstrip("*").lstrip(".")
    return bool(domain) and (_matches(domain, host) or _matches(f"*.{domain}", host))


_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def _address(host: str) -> Optional[_Address]:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])  # the zone says which interface, not where
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _matches(pattern: str, host: str) -> bool:
    try:
        pattern = ascii_host(pattern)
    except ValueError:
        return False
    first, *parts = pattern.split("*")
    if not parts:
        return host == first
    if not host.startswith(first):
        return False
    at = len(first)
    for part in parts[:-1]:
        # The first match leaves the most room for the others. A regular expression would try all of them.
        at = host.find(part, at) + len(part)
        if at < len(part):
            return False
    return host.endswith(parts[-1]) and at + len(parts[-1]) <= len(host)
