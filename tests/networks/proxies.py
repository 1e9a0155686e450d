"""Proxies of the wild, as Debian has them, between a client and a server that have no other way: as a table.

Each is a process on a host of its own, with a configuration of its own in a folder that is gone in the end.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import trustme

from .hosts import Host, Network, Process, until
from .openings import Raises

__all__ = ["PROXIES", "Proxied", "run"]

NAME, ORIGIN = "service.test", "10.88.0.2"
PORT, TLS_PORT, OTHER_PORT, DEAD_PORT = 8000, 8443, 9000, 8001
USER, PASSWORD = "caller", "s3cret"
INSPECTOR = "Example Corp Inspection"

HTTP, SOCKS = 3128, 1080


def squid(host: Host, folder: Path, *more: str, listen: str = "") -> Process:
    lines = [f"http_port 0.0.0.0:{HTTP} {listen}", f"acl served port {PORT} {TLS_PORT} {DEAD_PORT}"]
    lines += ["http_access deny CONNECT !served", *(more or ["http_access allow all"])]
    lines += ["pid_filename none", "access_log none", f"cache_log {folder}/squid.log", "cache deny all"]
    lines += ["shutdown_lifetime 0 seconds", "visible_hostname proxy.test", "netdb_filename none"]
    lines += [
        "dns_timeout 1 second",
        "connect_timeout 2 seconds",
        "forward_timeout 3 seconds",
        f"coredump_dir {folder}",
        "pinger_enable off",
    ]
    (folder / "squid.conf").write_text("\n".join(lines) + "\n")
    return listening(host, HTTP, "squid", "-N", "-f", str(folder / "squid.conf"))


def squid_with_password(host: Host, folder: Path) -> Process:
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    (folder / "passwords").write_text(f"{USER}:{hashed}")
    return squid(
        host,
        folder,
        f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/passwords",
        "acl known proxy_auth REQUIRED",
        "http_access allow known",
        "http_access deny all",
    )


def squid_that_inspects(host: Host, folder: Path, *more: str) -> Process:
    """It opens what is encrypted, and shows certificates of its own for whatever host is asked for."""
    authority = trustme.CA(organization_name="Example Corp", organization_unit_name=INSPECTOR)
    (folder / "inspector.pem").write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    (folder / "trusted.pem").write_bytes(authority.cert_pem.bytes())
    helper = "/usr/lib/squid/security_file_certgen"
    subprocess.run([helper, "-c", "-s", f"{folder}/made", "-M", "4MB"], check=True, capture_output=True)
    shutil.chown(folder / "made", "proxy")
    for path in (folder / "made").rglob("*"):
        shutil.chown(path, "proxy")
    return squid(
        host,
        folder,
        "http_access allow all",
        f"sslcrtd_program {helper} -s {folder}/made -M 4MB",
        f"tls_outgoing_options cafile={folder}/origin.pem",
        "ssl_bump bump all",
        *more,
        listen=f"ssl-bump tls-cert={folder}/inspector.pem generate-host-certificates=on",
    )


def squid_that_inspects_and_upgrades(host: Host, folder: Path) -> Process:
    return squid_that_inspects(host, folder, "http_upgrade_request_protocols websocket allow all")


def tinyproxy(host: Host, folder: Path, *more: str) -> Process:
    lines = [
        f"Port {HTTP}",
        "Listen 0.0.0.0",
        "Timeout 60",
        f"ConnectPort {PORT}",
        f"ConnectPort {TLS_PORT}",
        *more,
    ]
    (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
    return listening(host, HTTP, "tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf"))


def tinyproxy_with_password(host: Host, folder: Path) -> Process:
    return tinyproxy(host, folder, f"BasicAuth {USER} {PASSWORD}")


def dante(host: Host, folder: Path, method: str = "none") -> Process:
    conf = f"""
        logoutput: stderr
        internal: 0.0.0.0 port = {SOCKS}
        external: to10880
        clientmethod: none
        socksmethod: {method}
        user.privileged: root
        user.unprivileged: nobody
        client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
        socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = {OTHER_PORT} }}
        socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
    """
    (folder / "danted.conf").write_text(conf)
    return listening(host, SOCKS, "danted", "-f", str(folder / "danted.conf"))


def dante_with_password(host: Host, folder: Path) -> Process:
    """Its users are those of its host, which has files of its own for them."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    host.write("passwd", Path("/etc/passwd").read_text() + f"{USER}:x:64000:64000::/nonexistent:/bin/false\n")
    host.write("shadow", f"{USER}:{hashed.strip()}:19000:0:99999:7:::\n")
    return dante(host, folder, "username")


def microsocks(host: Host, folder: Path, *more: str) -> Process:
    return listening(host, SOCKS, "microsocks", "-i", "0.0.0.0", "-p", str(SOCKS), *more)


def microsocks_with_password(host: Host, folder: Path) -> Process:
    return microsocks(host, folder, "-u", USER, "-P", PASSWORD)


def listening(host: Host, port: int, *command: str) -> Process:
    process = host.start(*command)
    opened = f":{port:04X} 00000000:0000 0A"
    until(lambda: process.is_over or opened in process.sockets(), 20)
    assert not process.is_over, "\n".join(process.lines)
    return process


Start = Callable[[Host, Path], Process]


@dataclass(frozen=True)
class Proxied:
    """One row.

    Attributes:
        name: Which proxy, and what is the matter.
        proxy: Starts it.
        url: Of the proxy, as the client is given it.
        target: What is asked for; over TLS where it begins with wss.
        raises: The error; None if all words arrive.
        within: Seconds until the error, or until the session is open.
        trusts: Whose certificates the client believes: "origin", or "inspector" for those of the proxy.
        breaks: The proxy ends in mid-session, and begins anew a second later.
        walls: Rules for the server's firewall.
        first: What the client knows as the first address of the server, if there are two.
        config: Of ``ConnectionConfig``.
        short: Whether it is in the short form.
    """

    name: str
    proxy: Start
    url: str
    target: str = f"ws://{NAME}:{PORT}/v2"
    raises: Optional[Raises] = None
    within: float = 2.0
    trusts: str = "origin"
    breaks: bool = False
    walls: tuple[str, ...] = ()
    first: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    short: bool = False

    @property
    def program(self) -> str:
        return {"dante": "danted"}.get(name := self.proxy.__name__.split("_")[0], name)

    @property
    def hindrance(self) -> Optional[str]:
        """Why this machine's program can't do it, if so."""
        if "inspects" in self.proxy.__name__ and not Path("/usr/lib/squid/security_file_certgen").exists():
            return "this squid knows no TLS; Debian's squid-openssl does"
        return None


_HTTP, _HTTP_AS, _HTTP_WRONG = (
    f"http://{who}10.77.0.2:{HTTP}" for who in ("", f"{USER}:{PASSWORD}@", f"{USER}:wr0ng@")
)
_SOCKS, _SOCKS_AS, _SOCKS_WRONG = (
    f"socks5h://{who}10.77.0.2:{SOCKS}" for who in ("", f"{USER}:{PASSWORD}@", f"{USER}:wr0ng@")
)
_WSS = f"wss://{NAME}:{TLS_PORT}/v2"
_FORBIDDEN, _DEAD, _UNKNOWN = (
    f"ws://{NAME}:{OTHER_PORT}/v2",
    f"ws://{NAME}:{DEAD_PORT}/v2",
    f"ws://nowhere.test:{PORT}/v2",
)
_407 = Raises("ConnectionError", "proxy", "407", retryable=False)
_401 = Raises("ConnectionError", "proxy", "401", retryable=False)
_403 = Raises("ConnectionError", "proxy", "403", retryable=False)
_LOST = Raises("ConnectionError", "streaming", "lost in mid-stream", code=1006)
_INSPECTED = Raises("ConnectionError", "tls", INSPECTOR, retryable=False)

PROXIES = [
    Proxied("squid", squid, _HTTP, short=True),
    Proxied("squid, over TLS", squid, _HTTP, _WSS),
    Proxied("squid, with a password", squid_with_password, _HTTP_AS),
    Proxied("squid, with a wrong password", squid_with_password, _HTTP_WRONG, raises=_407, short=True),
    Proxied("squid, without the password that it wants", squid_with_password, _HTTP, raises=_407),
    Proxied("squid, for a port that it forbids", squid, _HTTP, _FORBIDDEN, _403),
    Proxied(
        "squid, for a port where nobody listens",
        squid,
        _HTTP,
        _DEAD,
        Raises("ConnectionError", "proxy", "503"),
    ),
    Proxied(
        "squid, for a name that it does not know",
        squid,
        _HTTP,
        _UNKNOWN,
        Raises("ConnectionError", "proxy", "500"),
        within=8,
    ),
    Proxied(
        "squid, for a server that is silent",
        squid,
        _HTTP,
        raises=Raises("ConnectionError", "proxy", "503"),
        within=8,
        walls=(f"input tcp dport {PORT} drop",),
    ),
    Proxied(
        "squid, for a server that is silent, and 1 s is allowed",
        squid,
        _HTTP,
        raises=Raises("TimeoutError", "open", "the proxy"),
        walls=(f"input tcp dport {PORT} drop",),
        config={"open_timeout": 1},
    ),
    Proxied("squid ends after the upgrade", squid, _HTTP, raises=_LOST, breaks=True, short=True),
    Proxied("squid ends after the upgrade, over TLS", squid, _HTTP, _WSS, raises=_LOST, breaks=True),
    Proxied(
        "squid inspects TLS, and nobody knows it",
        squid_that_inspects_and_upgrades,
        _HTTP,
        _WSS,
        raises=_INSPECTED,
        short=True,
    ),
    Proxied(
        "squid inspects TLS, and is trusted",
        squid_that_inspects_and_upgrades,
        _HTTP,
        _WSS,
        trusts="inspector",
        short=True,
    ),
    Proxied(
        "squid inspects TLS, is trusted, and lets no WebSocket through",
        squid_that_inspects,
        _HTTP,
        _WSS,
        raises=Raises("ConnectionError", "upgrade", "HTTP 400", status=400, retryable=False),
        trusts="inspector",
    ),
    Proxied("tinyproxy", tinyproxy, _HTTP),
    Proxied("tinyproxy, with a password", tinyproxy_with_password, _HTTP_AS),
    Proxied("tinyproxy, with a wrong password", tinyproxy_with_password, _HTTP_WRONG, raises=_401),
    Proxied("tinyproxy, for a port that it forbids", tinyproxy, _HTTP, _FORBIDDEN, _403),
    Proxied("dante", dante, _SOCKS, short=True),
    Proxied("dante, over TLS", dante, _SOCKS, _WSS),
    Proxied("dante, where the client looks names up", dante, _SOCKS.replace("socks5h", "socks5")),
    Proxied(
        "dante, where the first of two addresses is dead",
        dante,
        _SOCKS.replace("socks5h", "socks5"),
        first="10.88.0.99",
    ),
    Proxied("dante, with a password", dante_with_password, _SOCKS_AS),
    Proxied(
        "dante, with a wrong password",
        dante_with_password,
        _SOCKS_WRONG,
        raises=Raises("ConnectionError", "proxy", "password", retryable=False),
    ),
    Proxied(
        "dante, without the password that it wants",
        dante_with_password,
        _SOCKS,
        raises=Raises("ConnectionError", "proxy", "authentication", retryable=False),
    ),
    Proxied(
        "dante, for a port that it forbids",
        dante,
        _SOCKS,
        _FORBIDDEN,
        Raises("ConnectionError", "proxy", "not allowed", retryable=False),
    ),
    Proxied(
        "dante, for a port where nobody listens",
        dante,
        _SOCKS,
        _DEAD,
        Raises("ConnectionError", "proxy", "refused"),
    ),
    Proxied("dante ends after the upgrade", dante, _SOCKS, raises=_LOST, breaks=True),
    Proxied("microsocks", microsocks, _SOCKS),
    Proxied("microsocks, with a password", microsocks_with_password, _SOCKS_AS),
    Proxied(
        "microsocks, with a wrong password",
        microsocks_with_password,
        _SOCKS_WRONG,
        raises=Raises("ConnectionError", "proxy", "password", retryable=False),
    ),
]


@contextmanager
def network_of(row: Proxied) -> Iterator[Network]:
    """The client knows the proxy alone; the proxy knows the server, and its name."""
    with Network() as network:
        client, proxy, server = (network.host(name) for name in ("client", "proxy", "server"))
        network.join(client, proxy)
        network.join(proxy, server, net="10.88.0", prefix="2001:db8:88::")
        for host in (client, proxy, server):
            host.write("hosts", f"127.0.0.1 localhost\n{ORIGIN} {NAME}\n")
        yield network


def run(row: Proxied, *, resume: bool = False) -> dict[str, Any]:
    """Run a session through a row's proxy; return what was told, with ``after`` and ``wrong``."""
    with network_of(row) as network:
        folder, server, proxy = network.folder, network["server"], network["proxy"]
        server.firewall(*row.walls)
        if row.first:
            network["client"].write("hosts", f"127.0.0.1 localhost\n{row.first} {NAME}\n{ORIGIN} {NAME}\n")
        secure = row.target.startswith("wss")
        wanted: dict[str, Any] = {"host": NAME, "port": PORT}
        if secure:
            wanted = {"host": NAME, "port": TLS_PORT, "tls": True, "trust": str(folder / "origin.pem")}
        server.python("service", wanted).told("serves")
        process = row.proxy(proxy, folder)
        trusted = folder / ("trusted.pem" if row.trusts == "inspector" else "origin.pem")
        config = {"proxy": row.url, **row.config}
        wanted = {"url": row.target, "config": config, "seconds": 30, "speed": 10}
        policy = {"min_delay": 0.2, "max_delay": 0.5, "replay_speed": 50} if resume else None
        environment = {"SSL_CERT_FILE": str(trusted)} if secure else {}
        caller = network["client"].python("caller", {**wanted, "resume": policy}, **environment)
        back = struck = 0.0
        if row.breaks:
            caller.told("AddTranscript", until=5)
            struck = time.monotonic()
            process.kill()
            if resume:
                caller.told("Reconnecting")
                back = time.monotonic()
                row.proxy(proxy, folder)
        ended = caller.told("ended", 60)
        if row.breaks:
            after = caller.told("Resumed")["at"] - back if resume else ended["ended_at"] - struck
        else:
            after = (
                ended["seconds"]
                if row.raises
                else caller.told("opened", 0.1)["after"]
                if not ended["error"]
                else -1
            )
        found = row.raises.differs(ended["error"]) if row.raises and not resume else []
        if (resume or not row.raises) and (ended["error"] or ended["missing"] or ended["disorder"]):
            found.append(f"{ended['missing']} words missing: {ended['error']}")
        if ended["twice"] or ended["left"]:
            found.append(f"{ended['twice']} words twice, left behind: {ended['left']}")
        if not 0 <= after <= row.within + 2.0 * resume:
            found.append(f"{after:.1f} s, promised were {row.within:g}")
        return {**ended, "after": after, "wrong": found}
