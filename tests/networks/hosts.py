"""Hosts in network namespaces, joined by cables: each with its addresses, firewall, resolver and processes.

Names hold the number of this process, so several runs get along, and what a killed run has left is removed by
the next one. Whatever a host runs is a process of its own, started inside of its namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

__all__ = [
    "CABLE",
    "CLIENT",
    "SERVER",
    "Host",
    "Network",
    "Process",
    "left_of",
    "missing",
    "tidy",
    "two_hosts",
]

ROOT = Path(__file__).parent.parent.parent
CLIENT, SERVER = "10.77.0.1", "10.77.0.2"

_OURS = "speechmatics-rt-test"
_ETC = Path("/etc/netns")
_STARTED = 30.0  # seconds until a process says something: a busy machine
_ENDED = 10.0


def missing() -> Optional[str]:
    """Return why this machine can't make networks, or None if it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux'"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if reason := without("ip", "nft"):
        return reason
    probe = f"{_OURS}-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    try:
        for attempt in (
            ["ip", "link", "add", "probe", "type", "veth"],
            ["ip", "tuntap", "add", "probed", "mode", "tun"],
            ["nft", "add", "table", "inet", "probe"],
        ):
            tried = subprocess.run(
                ["ip", "netns", "exec", probe, *attempt], capture_output=True, text=True, check=False
            )
            if tried.returncode:
                return f"{' '.join(attempt)}: {tried.stderr.strip()}"
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return None


def without(*programs: str) -> Optional[str]:
    """Return which of the programs this machine has not, in words; None if it has them all."""
    lacking = [program for program in programs if not shutil.which(program, path=_paths())]
    return f"there is no {' and no '.join(lacking)} here" if lacking else None


def left_of(process: int) -> list[str]:
    """What is there of the networks of a process: namespaces, their files, folders."""
    places = [Path("/run/netns"), _ETC, Path(tempfile.gettempdir())]
    return [str(path) for place in places for path in place.glob(f"{_OURS}-{process}-*")]


class Process:
    """A program on a host, what it has said so far line by line, and its end."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": _paths(), "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # what it starts itself ends with it
        )
        self._reader = threading.Thread(target=self._read, name=f"reads-{self._process.pid}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, wanted: Callable[[str], Any], seconds: float = _STARTED) -> str:
        """Wait for a line, from the first on; return it."""

        def found() -> Optional[str]:
            return next((line for line in self.lines if wanted(line)), None)

        with self._news:
            self._news.wait_for(lambda: found() or not self._reader.is_alive(), seconds)
            line = found()
            assert line is not None, "it did not say so:\n" + "\n".join(self.lines)
            return line

    def told(self, what: str, seconds: float = _STARTED, **wanted: Any) -> dict[str, Any]:
        """Wait for a line of JSON that tells of something, and return it; a number is the least one."""

        def is_it(line: str) -> bool:
            if not line.startswith("{"):
                return False
            said = json.loads(line)
            return said.get("told") == what and all(said[name] >= least for name, least in wanted.items())

        told: dict[str, Any] = json.loads(self.wait_for(is_it, seconds))
        return told

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def sockets(self) -> str:
        """The TCP sockets of its host, as the kernel lists them."""
        try:
            return Path(f"/proc/{self._process.pid}/net/tcp").read_text()
        except OSError:
            return ""  # it is over

    def kill(self) -> None:
        """End it, and what it has started itself, as a machine that loses power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_ENDED)

    def end(self) -> None:
        """Ask it to end, as its operator would; end by force what does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(_ENDED)
        self.kill()
        self._reader.join(_ENDED)
        self._process.stdout.close()


class Host:
    """One namespace. Its files (``resolv.conf``, ``hosts``) are those that its processes find in ``/etc``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.processes: list[Process] = []
        self.etc = _ETC / name
        self.etc.mkdir(parents=True)
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        self.write("hosts", "127.0.0.1 localhost\n::1 localhost\n")
        _run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def write(self, name: str, text: str) -> None:
        (self.etc / name).write_text(text)

    def ip(self, *words: str) -> None:
        _run("ip", "-n", self.name, *words)

    def firewall(self, *rules: str) -> None:
        """Have these rules of nft and no others; each begins with the chain: ``input tcp dport 80 drop``."""
        lines = ["table inet wall", "delete table inet wall", "table inet wall {"]
        for chain in ("input", "output", "forward"):
            lines.append(f"chain {chain} {{ type filter hook {chain} priority 0;")
            lines += [rule.partition(" ")[2] for rule in rules if rule.startswith(f"{chain} ")]
            lines.append("}")
        lines.append("}\n")
        _run("ip", "netns", "exec", self.name, "nft", "-f", "-", given="\n".join(lines))

    def run(self, *command: str) -> None:
        _run("ip", "netns", "exec", self.name, *command)

    def start(self, *command: str, **environment: str) -> Process:
        process = Process(["ip", "netns", "exec", self.name, *command], environment)
        self.processes.append(process)
        return process

    def python(self, module: str, wanted: Mapping[str, Any], **environment: str) -> Process:
        """Start a module of this folder; it gets ``wanted`` as JSON."""
        name = f"{__package__}.{module}"
        return self.start(sys.executable, "-m", name, json.dumps(wanted), **environment)

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()


class Network:
    """Hosts and the cables between them; nothing stays of them after the ``with``."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._leaving = contextlib.ExitStack()

    def __enter__(self) -> Network:
        self._remove_leavings()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_OURS}-{os.getpid()}-"))  # for files of what runs here
        self._leaving.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o777)  # some of it gives root up
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    @staticmethod
    def _remove_leavings() -> None:
        """Remove what those have left who were killed."""
        for path in [*Path("/run/netns").glob(f"{_OURS}-*"), *Path(tempfile.gettempdir()).glob(f"{_OURS}-*")]:
            if Path(f"/proc/{path.name.split('-')[3]}").exists():
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _remove(path.name)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def host(self, name: str) -> Host:
        full = f"{_OURS}-{os.getpid()}-{name}"
        self._leaving.callback(_remove, full)
        self.hosts[name] = host = Host(full)
        self._leaving.callback(host.end)
        return host

    def join(self, one: Host, other: Host, *, net: str = "10.77.0", prefix: str = "2001:db8:77::") -> None:
        """Lay a cable: the first host is ``.1``, the other ``.2``, in IPv4 and IPv6."""
        end = f"to{net.replace('.', '')}"
        _run(
            "ip",
            "link",
            "add",
            end,
            "netns",
            one.name,
            "type",
            "veth",
            "peer",
            "name",
            end,
            "netns",
            other.name,
        )
        for number, host in enumerate((one, other), 1):
            host.ip("addr", "add", f"{net}.{number}/24", "dev", end)
            host.ip("addr", "add", f"{prefix}{number}/64", "dev", end, "nodad")
            host.ip("link", "set", end, "up")

    def join_slowly(self, one: Host, other: Host, **manner: Any) -> None:
        """Lay a cable that delays, loses and reorders packets, or is narrow; see :mod:`.wire`."""
        ends = [{"host": one.name, "address": CLIENT}, {"host": other.name, "address": SERVER}]
        wanted = {"ends": ends, **manner}
        process = Process([sys.executable, "-m", f"{__package__}.wire", json.dumps(wanted)], {})
        one.processes.append(process)
        process.told("laid")


CABLE = "to10770"  # what the cable between client and server is called at both of its ends


def until(condition: Callable[[], Any], seconds: float) -> None:
    """Wait for what nobody tells: the state of a kernel, a port that another's program opens."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


@contextmanager
def two_hosts() -> Iterator[Network]:
    """A client and a server with a cable between them; each knows both by name."""
    with Network() as network:
        network.join(network.host("client"), network.host("server"))
        yield network


def tidy() -> None:
    """Remove the folder of what is said in ``/etc`` of namespaces, if nobody has any."""
    with contextlib.suppress(OSError):
        _ETC.rmdir()


def _paths() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _run(*command: str, given: str = "") -> None:
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": _paths()},
    )
    assert not done.returncode, f"{' '.join(command)}: {done.stderr}{given}"


def _remove(name: str) -> None:
    """Remove a namespace, its files, and what runs in it still: the programs of a run that was killed."""
    shutil.rmtree(_ETC / name, ignore_errors=True)
    running = subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    ).stdout
    for process in map(int, running.split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
