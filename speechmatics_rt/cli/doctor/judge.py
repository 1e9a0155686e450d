"""Turns observations on the way to the service into findings: what is wrong, and what to do. Pure."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...config import address_of
from ...exceptions import (
    AuthenticationError,
    ConnectionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
    TransportError,
)
from ..options import ExitCode
from ..shell import in_shell_words
from .certificates import Certificate, Refusal
from .checks import Finding, failed, ok, skipped, warning

__all__ = [
    "Reach",
    "Timing",
    "certificate_finding",
    "clock_finding",
    "dns_finding",
    "dns_failure",
    "family_finding",
    "key_finding",
    "latency_finding",
    "microphone_finding",
    "refusal_finding",
    "session_failure",
    "tunnel_failure",
]

_CLOCK = 30.0  # s that a clock may be off: temporary keys live for a minute
_FAR = 0.4  # s from audio to its acknowledgement that are felt in a conversation
_ROOM = -60.0  # dB below full scale; any room is louder
_SOON = 7  # days until a certificate ends that deserve a word


class Reach(NamedTuple):
    """How one family of addresses answers.

    Attributes:
        at: The address that was tried last, and its port.
        seconds: Until it answered; None if none did.
        error: Why none did.
        silent: Because nothing came back at all.
    """

    at: tuple[str, int]
    seconds: Optional[float] = None
    error: str = ""
    silent: bool = False

    @property
    def address(self) -> str:
        return address_of(*self.at)


class Timing(NamedTuple):
    """A session of one second, in seconds."""

    opened: float
    ended: float  # from the last audio to the end of the transcript
    acknowledged: Sequence[float]  # each piece of audio
    ids: str


def dns_finding(host: str, addresses: Sequence[str], seconds: float, *, whole: bool) -> Finding:
    """Judge the answer of a resolver; one that is not whole is about IPv4 alone, and came in the end."""
    shown = ", ".join(addresses[:4]) + (", ..." if len(addresses) > 4 else "")
    facts = {"host": host, "addresses": list(addresses), "seconds": seconds}
    if whole:
        return ok(f"{host} is {shown} ({_ms(seconds)})", **facts)
    return warning(
        f"{host} is {shown}, but there is no answer about IPv6: each connection starts 0.25 s late",
        "the resolver, or a router in front of it, drops queries for IPv6 (AAAA): fix it, or use another",
        **facts,
    )


def dns_failure(host: str, error: str, *, unknown: bool) -> Finding:
    """Judge a name that was not found: nobody knows it, or nobody was there to ask."""
    if unknown:
        return failed(
            f"no resolver knows {host}: {error}",
            "check the name, this machine's network, and any VPN",
        )
    return failed(
        f"no resolver answers for {host}: {error}", "is this machine online? /etc/resolv.conf names resolvers"
    )


def family_finding(
    family: str, reaches: Mapping[str, Reach], *, proxy: bool, needed: bool
) -> Optional[Finding]:
    """Judge one family of addresses beside the other.

    Args:
        family: ``IPv4`` or ``IPv6``.
        reaches: How each family answers that the name has addresses of.
        needed: This is the one to complain of, if neither answers.
    """
    reach = reaches.get(family)
    if reach is None:
        return None
    if reach.seconds is not None:
        return ok(
            f"{reach.address} answers ({_ms(reach.seconds)})", address=reach.address, seconds=reach.seconds
        )
    text = f"{reach.address}: {reach.error}"
    other = next((name for name, each in reaches.items() if each.seconds is not None), None)
    if other is not None:
        cost = "each connection may wait 0.25 s for it" if reach.silent else "it costs next to nothing"
        advice = f"{cost}; have {family} repaired here, or its address taken out of DNS"
        return warning(f"{text}; {other} is used", advice)
    if not needed:
        return warning(text, "")
    if reach.silent:
        advice = f"a firewall seems to drop it: have outgoing TCP to port {reach.at[1]} allowed"
        advice += "" if proxy else ", or name the company's proxy in https_proxy"
    elif "refused" in reach.error.lower():
        advice = "nobody listens there: is it the right port, and is the server running?"
    else:
        advice = "is this machine online, and is there a way to that network?"
    return failed(text, advice)


def tunnel_failure(proxy: str, host: str, status: Optional[int], error: str, *, named: bool) -> Finding:
    """Judge a proxy that does not let us through; ``named``: it was told a user and a password."""
    text = f"the proxy {proxy} does not let us through to {host}: {error}"
    if status == 407:
        advice = "it wants to know who asks: https_proxy=http://USER:PASSWORD@HOST:PORT"
        if named:
            advice = "is the user or the password wrong, or does it want another way to log in than Basic?"
        return failed(text, advice, status=status)
    if status in (403, 405):
        return failed(text, f"have {host} allowed there, for CONNECT and WebSockets", status=status)
    advice = "is it a proxy for CONNECT? If the host needs none, name it in no_proxy"
    return failed(text, advice, status=status)


def certificate_finding(version: str, certificate: Certificate, days: Optional[float]) -> Finding:
    """Judge a certificate that is believed; it holds for so many days more."""
    text = f"{version}, {certificate.described}"
    facts = {"version": version, **certificate.facts()}
    if days is not None and days < _SOON:
        text += f"; it ends in {days:.0f} days"
        return warning(text, "ask the operator of the server to renew it", **facts)
    return ok(text, **facts)


def refusal_finding(address: str, host: str, refusal: Refusal, skew: Optional[float]) -> Finding:
    """Judge a certificate that was refused."""
    facts = {} if refusal.certificate is None else refusal.certificate.facts()
    return failed(
        refusal.text(address), refusal.advice(host, skew), reason=refusal.reason, **facts, skew=skew
    )


def clock_finding(skew: Optional[float]) -> Finding:
    """Judge our clock by the server's: it is so many seconds ahead of it.

    Example:
        >>> clock_finding(-90.0).text
        "this machine's clock is 1 min 30 s behind the server's"
    """
    if skew is None:
        return skipped("the server does not tell its time")
    if abs(skew) <= _CLOCK:
        return ok(f"within {max(math.ceil(abs(skew)), 1)} s of the server's", skew=skew)
    which = "ahead of" if skew > 0 else "behind"
    return warning(
        f"this machine's clock is {_span(abs(skew))} {which} the server's",
        "set it (timedatectl set-ntp true): temporary keys and certificates depend on it",
        skew=skew,
    )


def key_finding(key: Optional[str], source: str, now: float) -> Finding:
    """Judge a key by its looks, without showing it.

    Args:
        source: Where it comes from.
        now: The time, since a temporary key tells when it ends.
    """
    if key is None:
        return ok(f"none is sent: {source}")
    end = _end_of(key)
    if end is None:
        return ok(f"from {source}, {len(key)} characters; whether it is taken shows in the session")
    if end <= now:
        return failed(
            f"from {source}: a temporary key that ended {_span(now - end)} ago",
            "get another one, or give the API key itself with --temporary-key, which gets one each time",
            ExitCode.AUTHENTICATION,
        )
    return ok(f"from {source}: a temporary key, good for {_span(end - now)} more")


def session_failure(error: SpeechmaticsError, host: str) -> Finding:
    """Judge why there was no session, by the kind of the error."""
    text = in_shell_words(error.text)
    ids = {"request_id": error.request_id, "session_id": error.session_id}
    facts: dict[str, Any] = {key: value for key, value in ids.items() if value}
    advice = ""
    if isinstance(error, AuthenticationError):
        advice = f"a key is valid in one region only, and this is {host}"
        if "No key was sent" not in text:  # else the text says how to give one
            advice = f"copy the key again; {advice}"
    elif isinstance(error, TranscriptionError):
        facts["type"] = error.type
        advice = {
            "quota_exceeded": "end other sessions of this key, wait for them, or ask for a higher limit",
            "not_allowed": "ask support what this key's contract holds",
        }.get(error.type or "", "")
    elif isinstance(error, ConnectionError) and error.status == 404:
        advice = "is it the right path? It ends in /v2"
    elif isinstance(error, TransportError) and "wss://" in text:
        advice = "does it speak TLS there? Then give its address with wss://"
    elif isinstance(error, TimeoutError):
        advice = "what came before took its time: the slowest line above says where"
    if error.retry_after is not None:
        advice = f"{advice}; " * bool(advice) + f"wait {error.retry_after:g} s at least before the next try"
    elif not advice and error.retryable:
        advice = "it may pass: try again in a minute"
    if not advice:
        advice = "if you can't make sense of it, give support the report of --report"
    return failed(text, advice, ExitCode.of(error), **facts)


def latency_finding(acknowledged: Sequence[float], connected: Optional[float]) -> Finding:
    """Judge how far away the service is, by how soon it acknowledges audio."""
    if not acknowledged:
        return skipped("no audio was acknowledged in time")
    ordered = sorted(acknowledged)
    median, worst = ordered[len(ordered) // 2], ordered[-1]
    text = f"audio is acknowledged after {_ms(median)} at the median, {_ms(worst)} at most"
    if connected is not None:
        text += f"; a connection takes {_ms(connected)}"
    facts = {"median": median, "worst": worst, "connect": connected}
    if median > _FAR:
        return warning(text, "use the nearest region, and a network that is not shared", **facts)
    return ok(text, **facts)


def microphone_finding(name: str, level: float, rate: int) -> Finding:
    """Judge what a microphone heard, in dB below full scale."""
    if level < _ROOM:
        text = f"{name} records at {rate} Hz, and hears nothing"
        return warning(text, "is it muted, or the wrong one? 'speechmatics-rt devices' lists them")
    return ok(f"{name} records at {rate} Hz; the loudest was {level:.0f} dB", level=level, rate=rate)


def _end_of(key: str) -> Optional[float]:
    """Find when a key ends, if it is a JSON web token: its middle is readable by anybody."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = float(claims["exp"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return end if math.isfinite(end) else None


def _ms(seconds: float) -> str:
    if seconds < 0.001:
        return "under 1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _span(seconds: float) -> str:
    """Write a time as a person says it.

    Example:
        >>> _span(45), _span(3700), _span(200000)
        ('45 s', '1 h 1 min', '2 days 7 h')
    """
    left, words = int(seconds), []
    for name, size in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {name}" + "s" * (name == "day" and count > 1))
    return " ".join(words[:2]) or "0 s"
