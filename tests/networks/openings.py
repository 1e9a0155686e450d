"""What stands in the way of a connection in real networks, as a table: names, addresses, firewalls.

Each row says what the names answer and what becomes of packets, and what a client makes of it: the seconds in
which it opens, or the exact error and its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from .hosts import CABLE, CLIENT, SERVER, Host, Network

__all__ = ["OPENINGS", "Opening", "Raises", "call", "prepare"]

PORT = 8000
NAME = "service.test"
DEAD_6 = [f"2001:db8:77::de{n}" for n in range(1, 5)]
LIVE_6 = "2001:db8:77::2"
DEAD_4 = [f"10.77.{n}.2" for n in range(1, 8)]
LAST_4 = "10.77.8.2"
NOBODY = "10.77.0.99"  # an address of the same cable that no host has


@dataclass(frozen=True)
class Raises:
    """The exact error, and words of it."""

    kind: str
    stage: Optional[str] = None
    says: str = ""
    retryable: bool = True
    status: Optional[int] = None
    code: Optional[int] = None

    def differs(self, error: Optional[Mapping[str, Any]]) -> list[str]:
        """Say in what a described error is another one."""
        if error is None:
            return [f"no error, where {self.kind} was promised"]
        found = (
            error["kind"],
            error.get("stage"),
            error["retryable"],
            error.get("status"),
            error.get("code"),
        )
        promised = (self.kind, self.stage, self.retryable, self.status, self.code)
        wrong = [] if found == promised else [f"{found}, promised was {promised}: {error['text']}"]
        return wrong + [f"{self.says!r} is not in {error['text']!r}"] * (self.says not in error["text"])


@dataclass(frozen=True)
class Opening:
    """One row.

    Attributes:
        name: What is the matter.
        within: From when to when (s) it opens, or raises.
        raises: The error; None if it opens.
        names: What the names answer, as for :class:`.names.Names`; None where the address is called.
        walls: Rules for the firewall of a host.
        routes: Words for ``ip``, by host.
        config: Of ``ConnectionConfig``.
        resolver: A line more of ``resolv.conf``.
        key: A temporary key is asked for first, at the same address, and both over TLS.
        short: Whether it is in the short form.
    """

    name: str
    within: tuple[float, float]
    raises: Optional[Raises] = None
    names: Optional[Mapping[str, Any]] = None
    walls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    resolver: str = ""
    key: bool = False
    short: bool = False


_AT_ONCE = (0.0, 0.5)
_DEAD_V6 = {"server": ("input ip6 nexthdr tcp drop",)}
_DEAD_V4 = {"server": tuple(f"input ip daddr {one} drop" for one in DEAD_4)}
_REFUSED_V4 = {
    "server": tuple(f"input ip daddr {one} tcp dport {PORT} reject with tcp reset" for one in DEAD_4)
}
_NO_NAME = "find the address of service.test:8000"

OPENINGS = [
    Opening("nothing is the matter", _AT_ONCE, names={"a": [SERVER]}),
    # -- IPv6 that is announced and dead
    Opening(
        "IPv6 is announced and dead",
        _AT_ONCE,
        names={"a": [SERVER], "aaaa": [LIVE_6]},
        walls=_DEAD_V6,
        short=True,
    ),
    Opening(
        "four IPv6 addresses are announced and dead",
        _AT_ONCE,
        names={"a": [SERVER], "aaaa": DEAD_6},
        walls=_DEAD_V6,
        short=True,
    ),
    Opening(
        "IPv6 is announced, and a router says there is no way",
        _AT_ONCE,
        names={"a": [SERVER], "aaaa": [LIVE_6]},
        walls={"server": ("input ip6 nexthdr tcp reject with icmpv6 no-route",)},
    ),
    Opening(
        "IPv6 is announced, and this host has none",
        _AT_ONCE,
        names={"a": [SERVER], "aaaa": DEAD_6},
        routes={"client": ("-6 addr flush dev CABLE",)},
    ),
    Opening(
        "IPv6 is announced and dead, and a temporary key is wanted first",
        (0.5, 1.0),
        names={"a": [SERVER], "aaaa": [LIVE_6]},
        walls=_DEAD_V6,
        key=True,
        short=True,
    ),
    # -- names
    Opening("names take 4 s", (4.0, 5.0), names={"a": [SERVER], "delay": 4.0}),
    Opening(
        "names take 5 s, for which the resolver waits",
        (5.0, 6.0),
        names={"a": [SERVER], "delay": 5.0},
        resolver="options timeout:8",
    ),
    Opening(
        "names take 5 s, and 2 are allowed",
        (2.0, 3.0),
        Raises("TimeoutError", "open", _NO_NAME),
        names={"a": [SERVER], "delay": 5.0},
        config={"open_timeout": 2},
        short=True,
    ),
    Opening(
        "names take 1 s", (1.0, 1.7), names={"a": [SERVER], "aaaa": [LIVE_6], "delay": 1.0}, walls=_DEAD_V6
    ),
    Opening(
        "names never answer",
        (3.0, 4.0),
        Raises("TimeoutError", "open", _NO_NAME),
        names={"silent": ["A", "AAAA"]},
        config={"open_timeout": 3},
    ),
    Opening(
        "names never answer, and the resolver gives up",
        (9.0, 13.0),
        Raises("ConnectionError", "dns", "Temporary failure"),
        names={"silent": ["A", "AAAA"]},
        config={"open_timeout": 30},
    ),
    Opening(
        "the question for IPv6 is never answered",
        _AT_ONCE,
        names={"a": [SERVER], "silent": ["AAAA"]},
        resolver="options timeout:2 attempts:1",  # it is in the end that it gives up, and its thread with it
        short=True,
    ),
    Opening(
        "the name does not exist",
        _AT_ONCE,
        Raises("ConnectionError", "dns", "not known"),
        names={"code": "NXDOMAIN"},
        short=True,
    ),
    Opening(
        "the name server fails",
        (0.0, 1.0),
        Raises("ConnectionError", "dns", "Temporary failure"),
        names={"code": "SERVFAIL"},
    ),
    Opening(
        "the name server refuses",
        (0.0, 1.0),
        Raises("ConnectionError", "dns", "Temporary failure"),
        names={"code": "REFUSED"},
    ),
    Opening("the name has no address", _AT_ONCE, Raises("ConnectionError", "dns", "No address"), names={}),
    Opening(
        "there is no name server",
        (0.0, 1.0),
        Raises("ConnectionError", "dns", "Temporary failure"),
        names={"a": [SERVER]},
        walls={"server": ("input udp dport 53 reject",)},
    ),
    Opening(
        "the name leads to a host that serves something else",
        _AT_ONCE,
        Raises("ConnectionError", "tcp", "refused"),
        names={"a": [CLIENT]},
    ),
    Opening(
        "the name leads to nobody",
        (0.5, 4.5),
        Raises("ConnectionError", "tcp", "No route to host"),
        names={"a": [NOBODY]},
    ),
    Opening(
        "of eight addresses the first seven are dead",
        (1.7, 2.5),
        names={"a": [*DEAD_4, LAST_4]},
        walls=_DEAD_V4,
        short=True,
    ),
    Opening(
        "of eight addresses the first seven refuse",
        _AT_ONCE,
        names={"a": [*DEAD_4, LAST_4]},
        walls=_REFUSED_V4,
    ),
    # -- packets
    Opening(
        "a firewall drops silently",
        (3.0, 4.0),
        Raises("TimeoutError", "open", "connect to"),
        walls={"server": (f"input tcp dport {PORT} drop",)},
        config={"open_timeout": 3},
        short=True,
    ),
    Opening(
        "a firewall drops the answers alone",
        (3.0, 4.0),
        Raises("TimeoutError", "open", "connect to"),
        walls={"server": (f"output tcp sport {PORT} drop",)},
        config={"open_timeout": 3},
    ),
    Opening(
        "a firewall drops all but the handshake",
        (3.0, 4.0),
        Raises("TimeoutError", "open", "upgrade"),
        walls={"server": (f"input tcp dport {PORT} tcp flags & psh == psh drop",)},
        config={"open_timeout": 3},
    ),
    Opening(
        "a firewall prohibits",
        _AT_ONCE,
        Raises("ConnectionError", "tcp", "No route to host"),
        walls={"server": (f"input tcp dport {PORT} reject with icmp admin-prohibited",)},
    ),
    Opening(
        "a firewall resets",
        _AT_ONCE,
        Raises("ConnectionError", "tcp", "refused"),
        walls={"server": (f"input tcp dport {PORT} reject with tcp reset",)},
    ),
    Opening(
        "the link is down",
        _AT_ONCE,
        Raises("ConnectionError", "tcp", "unreachable"),
        routes={"client": ("link set CABLE down",)},
    ),
]


def prepare(network: Network, row: Opening) -> str:
    """Make the network of a row and what serves in it; return the address to call."""
    client, server = network["client"], network["server"]
    for address in (*DEAD_4, LAST_4):
        server.ip("addr", "add", f"{address}/24", "dev", CABLE)
        client.ip("route", "add", address, "via", SERVER)
    server.write("hosts", f"127.0.0.1 localhost\n{SERVER} {NAME}\n")
    secure = {"tls": True, "trust": str(network.folder / "ca.pem")} if row.key else {}
    serving = [
        server.python("service", {"host": NAME if row.key else "0.0.0.0", "port": PORT, **secure}),
        *resolver(client, server, row.names, row.resolver),
    ]
    for host, rules in row.walls.items():
        network[host].firewall(*rules)
    for host, words in row.routes.items():
        for line in words:
            network[host].ip(*line.replace("CABLE", CABLE).split())
    for process in serving:
        process.told("serves")
    return f"{'wss' if row.key else 'ws'}://{SERVER if row.names is None else NAME}:{PORT}/v2"


def resolver(client: Host, server: Host, names: Optional[Mapping[str, Any]], more: str = "") -> list[Any]:
    """Have a server of names, and the client ask it."""
    if names is None:
        return []
    client.write("resolv.conf", f"nameserver {SERVER}\n{more}\n")
    return [server.python("names", names)]


def call(network: Network, row: Opening) -> dict[str, Any]:
    """Call as the row says; return what was told, ``after`` (s), and ``wrong``, what is not as promised."""
    url = prepare(network, row)
    wanted = {"url": url, "config": dict(row.config), "resume": None, "seconds": 1, "speed": 20}
    trust = {}
    if row.key:
        wanted["keys"] = f"https://{NAME}:{PORT}"
        trust["SSL_CERT_FILE"] = str(network.folder / "ca.pem")
    caller = network["client"].python("caller", wanted, **trust)
    ended = caller.told("ended", 60)
    after = ended["seconds"] if ended["error"] else caller.told("opened")["after"]
    wrong = row.raises.differs(ended["error"]) if row.raises else []
    if not row.raises and (ended["error"] or ended["missing"]):
        wrong.append(f"{ended['missing']} words missing: {ended['error']}")
    if not row.within[0] <= after <= row.within[1]:
        wrong.append(f"{after:.2f} s, promised were {row.within[0]:g} to {row.within[1]:g}")
    if ended["left"]:
        wrong.append(f"left behind: {ended['left']}")
    return {**ended, "after": after, "wrong": wrong}
