"""The checks of the way to the service, from its name to a session."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import time
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, Optional, Union
from urllib.parse import parse_qs, urlsplit

from ...auth import AuthBase, JWTAuth, NoAuth, StaticKeyAuth
from ...client import Client
from ...config import ConnectionConfig, Target, is_cloud, parse, redact
from ...exceptions import AuthenticationError, SpeechmaticsError
from ...network import shared_context
from ...session import Connector
from ..options import KEY_VARIABLE, ExitCode
from .checks import Check, Finding, failed, ok, skipped
from .judge import (
    Reach,
    Timing,
    certificate_finding,
    clock_finding,
    dns_failure,
    dns_finding,
    family_finding,
    key_finding,
    latency_finding,
    refusal_finding,
    session_failure,
    tunnel_failure,
)
from .session import one_second
from .sockets import (
    FAMILIES,
    Proxy,
    TunnelError,
    agree_on_tls,
    look_up,
    proxy_to,
    reach,
    refusal_of,
    skew_of,
    tunnel,
)

__all__ = ["SERVICE", "Way"]

_URL_VARIABLE = "SPEECHMATICS_RT_URL"
_OPEN = 15.0  # s for the session to open; each step was seen to be quicker


class Way:
    """The way to one service, as far as it is known; each check adds what the next ones build on.

    Attributes:
        secrets: What no output may show.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given_url: Optional[str] = arguments.url
        self.given_key: Optional[str] = arguments.api_key
        self.temporary = bool(arguments.temporary_key)
        self.secrets = [self.given_key or "", os.environ.get(KEY_VARIABLE, "")]
        self.url = ""
        self.target: Target
        self.proxy: Optional[Proxy] = None
        self.found: list[Any] = []  # of getaddrinfo
        self.auth: AuthBase = NoAuth()
        self.timing: Optional[Timing] = None

    @property
    def next(self) -> tuple[str, int]:
        """Who is connected to: the proxy, or the server."""
        first = self.proxy or self.target
        return first.host, first.port

    @property
    def behind_socks(self) -> bool:
        return self.proxy is not None and self.proxy.scheme != "http"

    def connect(self) -> socket.socket:
        at = next(each.at for each in self.reaches.values() if each.seconds is not None)
        return tunnel(self.target, self.proxy, at)

    @cached_property
    def reaches(self) -> dict[str, Reach]:
        """How each family answers that the name has addresses of."""
        answers = {family: reach(self.found, number) for family, number in FAMILIES.items()}
        return {family: answer for family, answer in answers.items() if answer is not None}

    @cached_property
    def skew(self) -> Optional[float]:
        """How many seconds our clock is ahead of the server's."""
        return skew_of(self.connect, self.target)


def _address(way: Way) -> Finding:
    way.url = Connector(None, None, way.given_url, None, None, False).url
    way.target = parse(way.url)
    way.secrets += way.target.secrets
    of_environment = os.environ.get(_URL_VARIABLE)
    unsaid = _URL_VARIABLE if of_environment else "the default, in the EU"
    source = "--url, or the profile" if way.given_url else unsaid
    return ok(f"{redact(way.url)} (from {source})", url=redact(way.url))


def _proxy(way: Way) -> Finding:
    way.proxy = proxy_to(way.target)
    if way.proxy is None:
        return ok("none on the way", proxy=None)
    way.secrets += way.proxy.secrets
    if find_spec("python_socks") is None:
        why = "a proxy requires another package"
        return failed(why, "pip install 'speechmatics-rt-sync[proxy]'", ExitCode.USAGE)
    who = "with a user's name" if way.proxy.headers else "without a user's name"
    return ok(f"{way.proxy.shown}, {who}", proxy=way.proxy.shown)


def _dns(way: Way) -> Finding:
    host, port = way.next
    began = time.monotonic()
    try:
        way.found, whole = look_up(host, port)
    except (OSError, UnicodeError) as exc:
        unknown = isinstance(exc, socket.gaierror) and exc.errno != socket.EAI_AGAIN
        return dns_failure(host, getattr(exc, "strerror", None) or str(exc), unknown=unknown)
    addresses = list(dict.fromkeys(entry[4][0] for entry in way.found))
    if addresses == [host]:
        return ok(f"{host} is an address already", host=host, addresses=addresses)
    return dns_finding(host, addresses, time.monotonic() - began, whole=whole)


def _family(family: str, way: Way) -> Optional[Finding]:
    needed = family == next(iter(way.reaches), None)
    return family_finding(family, way.reaches, proxy=way.proxy is not None, needed=needed)


def _tunnel(way: Way) -> Optional[Finding]:
    if way.proxy is None:
        return None
    if way.behind_socks:
        return skipped("whether a SOCKS proxy lets us through shows in the session")
    began = time.monotonic()
    try:
        way.connect().close()
    except TunnelError as exc:
        named = bool(way.proxy.headers)
        return tunnel_failure(way.proxy.shown, way.target.address, exc.status, str(exc), named=named)
    return ok(f"{way.proxy.shown} lets us through to {way.target.address}", seconds=time.monotonic() - began)


def _tls(way: Way) -> Optional[Finding]:
    target = way.target
    if not target.secure:
        return skipped("ws:// is not encrypted: anybody in between can read everything")
    if way.behind_socks:
        return skipped("what is behind a SOCKS proxy shows in the session")
    context = shared_context()
    try:
        return certificate_finding(*agree_on_tls(way.connect, target.host, context))
    except ssl.SSLCertVerificationError as exc:
        refusal = refusal_of(way.connect, target.host, exc)
        return refusal_finding(target.address, target.host, refusal, way.skew if refusal.is_of_time else None)
    except (OSError, TunnelError) as exc:
        text = f"{target.address} does not agree on TLS: {getattr(exc, 'reason', None) or exc}"
        return failed(text, "does it speak TLS there at all? Perhaps its address begins with ws://")


def _clock(way: Way) -> Finding:
    if way.behind_socks:
        return skipped("the server was not asked for its time behind a SOCKS proxy")
    return clock_finding(way.skew)


def _key(way: Way) -> Finding:
    key = _bearer(StaticKeyAuth(way.given_key))
    source = "--api-key, or the profile" if way.given_key is not None else KEY_VARIABLE
    of_url = parse_qs(urlsplit(way.url).query).get("jwt")
    if key is None and of_url and not way.temporary:
        key, source = of_url[0], "the URL"
    if key is None and (is_cloud(way.url) or way.temporary):
        raise AuthenticationError(
            f"no key: set {KEY_VARIABLE}, or give --api-key; portal.speechmatics.com has keys"
        )
    skew: Optional[float] = vars(way).get("skew")  # if it was found out
    now = time.time() - (skew or 0.0)  # what a key says is by their clock
    if not way.temporary:
        way.auth = StaticKeyAuth(way.given_key)
        return key_finding(key, f"{KEY_VARIABLE} is not set" if key is None else source, now)
    way.auth = JWTAuth(way.given_key)
    way.auth.configure(ConnectionConfig(open_timeout=_OPEN, ssl_context=shared_context()))
    try:
        token = _bearer(way.auth)
    except SpeechmaticsError as exc:
        return session_failure(exc, way.target.host)
    way.secrets.append(token or "")
    return key_finding(token, f"the platform, for that of {source}", now)


def _bearer(auth: Union[JWTAuth, StaticKeyAuth]) -> Optional[str]:
    return auth.get_auth_headers().get("Authorization", "").rpartition(" ")[2] or None


def _session(way: Way) -> Finding:
    limits = ConnectionConfig(open_timeout=_OPEN, close_timeout=1)
    try:
        with Client(way.auth, url=way.given_url, conn_config=limits) as client:
            way.timing = one_second(client)
    except SpeechmaticsError as exc:
        return session_failure(exc, way.target.host)
    timing = way.timing
    return ok(
        f"ready after {timing.opened:.2f} s, took a second of silence, and ended {timing.ended:.2f} s later",
        opened=timing.opened,
        ended=timing.ended,
        ids=timing.ids,
    )


def _latency(way: Way) -> Optional[Finding]:
    if way.timing is None:
        return None
    connected = min((each.seconds for each in way.reaches.values() if each.seconds is not None), default=None)
    return latency_finding(way.timing.acknowledged, connected)


_WAY = ("address", "proxy", "dns", "ipv4", "ipv6", "tunnel")

SERVICE = [
    Check("address", _address),
    Check("proxy", _proxy, needs=("address",)),
    Check("dns", _dns, needs=("address", "proxy")),
    Check("ipv4", partial(_family, "IPv4"), needs=("dns",)),
    Check("ipv6", partial(_family, "IPv6"), needs=("dns",)),
    Check("tunnel", _tunnel, needs=_WAY[:-1]),
    Check("clock", _clock, needs=_WAY),
    Check("tls", _tls, needs=_WAY),
    Check("key", _key, needs=("address",)),
    Check("session", _session, needs=(*_WAY, "tls", "key")),
    Check("latency", _latency, needs=("session",)),
]
