"""What happens to a session in real networks, as a table: cables, firewalls, addresses.

Each row strikes in the middle of a session. Without ``resume`` it ends with the exact error, in its time, or
nothing is noticed; with it all words arrive, none twice, whatever was struck, as soon as the network is back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from .hosts import CABLE, SERVER, Network, two_hosts
from .openings import LIVE_6, NAME, PORT, Raises, resolver

__all__ = ["SESSIONS", "Session", "run"]

Step = Callable[[Network], None]

SPEED = 10  # times as fast as it sounds it is sent
_HEARD = 8  # seconds that are final when it strikes
_RESUME = {"min_delay": 0.2, "max_delay": 1.0, "max_attempts": 40, "replay_speed": 50}


@dataclass(frozen=True)
class Session:
    """One row.

    Attributes:
        name: What happens.
        steps: What is done to the network, and the seconds that it lasts; after the last one all is well.
        raises: The error without ``resume``; None if nothing is noticed.
        within: Seconds from the first step until the error; of those that go well, from start to end.
        back: Seconds from the last step until the session goes on, with ``resume``.
        cable: What the cable does to packets, as :class:`.wire.Direction` has it; None for a good one.
        names: What the name of the server is answered with; None where its address is called.
        walls: Rules for the server's firewall from the beginning.
        config: Of ``ConnectionConfig``.
        seconds: Of audio.
        short: Whether it is in the short form.
    """

    name: str
    steps: tuple[tuple[Step, float], ...] = ()
    raises: Optional[Raises] = None
    within: float = 6.0
    back: float = 4.0
    cable: Optional[Mapping[str, Any]] = None
    names: Optional[Mapping[str, Any]] = None
    walls: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=lambda: {"ping_interval": 0.5, "ping_timeout": 2})
    seconds: float = 60
    short: bool = False

    breaks = True  # each is to lose no word with ``resume``, whether it notices anything or not


def link(host: str, state: str) -> Step:
    return lambda network: network[host].ip("link", "set", CABLE, state)


def wall(*rules: str) -> Step:
    return lambda network: network["server"].firewall(*rules)


def another_address(network: Network) -> None:
    network["client"].ip("addr", "del", "10.77.0.1/24", "dev", CABLE)
    network["client"].ip("addr", "add", "10.77.0.3/24", "dev", CABLE)


def forget(network: Network) -> None:
    """As a router after its restart, which knows no connection, and lets none in but from its beginning."""
    server = network["server"]
    server.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
    server.firewall("input ct state invalid drop", f"input tcp dport {PORT} ct state new,established accept")


_SILENT = Raises("ConnectionError", "keepalive", "the server was silent for", code=1006)
_BROKEN = Raises("ConnectionError", "streaming", "lost in mid-stream", code=1006)
_BOTH = (f"input tcp dport {PORT} drop", f"output tcp sport {PORT} drop")
_RESET = f"input tcp dport {PORT} reject with tcp reset"
_FAR = {"delay": 0.3, "loss": 0.05}
_JUMBLED = {"delay": 0.05, "late": 0.2, "late_by": 0.15}
_NARROW = {"bits": 64_000, "delay": 0.02}
_PATIENT = {"ping_interval": 2, "ping_timeout": 20}
_BREAKS = ((wall(_RESET), 1.0), (wall(), 0.0))

SESSIONS = [
    Session(
        "the client's link is cut for 0.5 s",
        ((link("client", "down"), 0.5), (link("client", "up"), 0.0)),
        within=12,
    ),
    Session(
        "the client's link is cut",
        ((link("client", "down"), 4.0), (link("client", "up"), 0.0)),
        _SILENT,
        short=True,
    ),
    Session(
        "the server's link is cut", ((link("server", "down"), 4.0), (link("server", "up"), 0.0)), _SILENT
    ),
    Session(
        "the link is cut three times",
        ((link("client", "down"), 4.0), (link("client", "up"), 1.5)) * 2
        + ((link("client", "down"), 4.0), (link("client", "up"), 0.0)),
        _SILENT,
        seconds=300,
    ),
    Session(
        "the link is cut, and the names with it",
        ((link("client", "down"), 4.0), (link("client", "up"), 0.0)),
        _SILENT,
        names={"a": [SERVER]},
    ),
    Session("a firewall drops silently", ((wall(*_BOTH), 4.0), (wall(), 0.0)), _SILENT, short=True),
    Session("a firewall drops what the client sends", ((wall(_BOTH[0]), 4.0), (wall(), 0.0)), _SILENT),
    Session("a firewall drops what the server sends", ((wall(_BOTH[1]), 4.0), (wall(), 0.0)), _SILENT),
    Session("a firewall resets", ((wall(_RESET), 1.0), (wall(), 0.0)), _BROKEN, within=2.0),
    Session("a router forgets the connection", ((forget, 0.0),), _SILENT, back=7.0),
    Session("the client gets another address", ((another_address, 0.0),), _SILENT, back=7.0, short=True),
    Session(
        "IPv6 is dead, and the connection breaks",
        _BREAKS,
        _BROKEN,
        within=2.0,
        names={"a": [SERVER], "aaaa": [LIVE_6]},
        walls=("input ip6 nexthdr tcp drop",),
    ),
    Session("300 ms each way, and 5 % are lost", cable=_FAR, config=_PATIENT, within=40, short=True),
    Session("a fifth of the packets is overtaken", cable=_JUMBLED, config=_PATIENT, within=20),
    Session("64 kbit/s", cable=_NARROW, config=_PATIENT, within=40),
    Session(
        "300 ms, 5 % lost, a fifth overtaken, 64 kbit/s",
        cable={**_FAR, **_JUMBLED, **_NARROW, "delay": 0.3},
        config=_PATIENT,
        within=80,
    ),
    Session(
        "300 ms, 5 % lost, and the connection breaks",
        _BREAKS,
        _BROKEN,
        cable=_FAR,
        config=_PATIENT,
        within=4,
        back=20,
    ),
    Session(
        "overtaken packets, and the connection breaks",
        _BREAKS,
        _BROKEN,
        cable=_JUMBLED,
        config=_PATIENT,
        within=3,
        back=6,
    ),
    Session(
        "64 kbit/s, and the connection breaks",
        ((wall(_RESET), 4.0), (wall(), 0.0)),
        _BROKEN,
        cable=_NARROW,
        config=_PATIENT,
        within=6,
        back=20,
    ),
    Session(
        "a firewall drops silently, with the limits as they are",
        ((wall(*_BOTH), 90.0), (wall(), 0.0)),
        _SILENT,
        config={},
        within=85,
        back=10,
    ),
]


@contextmanager
def network_of(row: Session) -> Iterator[Network]:
    """Two hosts, and the row's cable between them."""
    if row.cable is None:
        with two_hosts() as network:
            yield network
        return
    with Network() as network:
        network.join_slowly(network.host("client"), network.host("server"), **row.cable)
        yield network


def run(row: Session, *, resume: bool) -> dict[str, Any]:
    """Run a session through a row; return what was told, ``after`` (s), and what is ``wrong``."""
    with network_of(row) as network:
        client, server = network["client"], network["server"]
        server.firewall(*row.walls)
        serving = [
            server.python("service", {"host": "0.0.0.0", "port": PORT}),
            *resolver(client, server, row.names),
        ]
        for process in serving:
            process.told("serves")
        host = SERVER if row.names is None else NAME
        wanted = {
            "url": f"ws://{host}:{PORT}/v2",
            "config": row.config,
            "seconds": row.seconds,
            "speed": SPEED,
        }
        caller = client.python("caller", {**wanted, "resume": _RESUME if resume else None})
        struck = back = began = caller.told("opened", row.within)["at"]
        if row.steps:
            caller.told("AddTranscript", row.within + 60, until=_HEARD)
            struck = time.monotonic()
            for step, seconds in row.steps if resume or not row.raises else row.steps[:1]:
                back = time.monotonic()
                step(network)
                time.sleep(seconds)  # how long it lasts
        ended = caller.told("ended", row.within + row.back + 60)
        if row.raises and resume:
            after = caller.told("Resumed", at=back)["at"] - back
        else:
            after = ended["ended_at"] - (struck if row.raises else began)
        return {**ended, "after": after, "wrong": wrong(row, resume, ended, after)}


def wrong(row: Session, resume: bool, ended: Mapping[str, Any], after: float) -> list[str]:
    """Say what is not as promised."""
    fails = row.raises is not None and not resume
    found = row.raises.differs(ended["error"]) if row.raises and fails else []
    if not fails and (ended["error"] or ended["missing"] or ended["disorder"]):
        found.append(f"{ended['missing']} words missing, {ended['disorder']} out of order: {ended['error']}")
    if ended["twice"]:
        found.append(f"{ended['twice']} words twice")
    if row.raises and resume and not ended["losses"]:
        found.append("no connection was lost")
    if not row.raises and ended["attempts"]:
        found.append(f"{ended['attempts']} attempts to reconnect, where nothing was to be noticed")
    bound = row.back if row.raises and resume else row.within
    if after > bound:
        found.append(f"{after:.1f} s, promised were {bound:g}")
    if ended["left"]:
        found.append(f"left behind: {ended['left']}")
    return found
