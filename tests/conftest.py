"""What every test stands on: the local server over ws and wss, and the count of what is left behind."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from speechmatics_rt import Client, ConnectionConfig
from speechmatics_rt.local import LocalServer
from speechmatics_rt.protocol import client as protocol

from .cli import command
from .cli.forked import ForkServer
from .groups import scheduler
from .looks import settled
from .report import pytest_terminal_summary, report  # noqa: F401  (a hook and a fixture)
from .samples import load_profiles
from .schemas import check_sessions

SPEECH = Path(__file__).parent.parent / "examples" / "audio" / "librivox_3_sentences.wav"
RAW = {"encoding": "pcm_s16le", "sample_rate": 16000}

load_profiles()


def threads() -> list[str]:
    """Name the threads of ours that run.

    Ctrl-C inside ``Thread.start()`` may leave a record of one in Python that never does, or one that waits
    for ever before its first line: ``start()`` is not safe from it, and nothing of a session is open there.
    """
    running = [thread for thread in threading.enumerate() if thread.is_alive()]
    return sorted(thread.name for thread in running if thread.name.startswith("speechmatics-rt"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@contextmanager
def a_closed_port() -> Iterator[int]:
    """Give a port that refuses: bound, so that no test beside this one gets it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def pytest_configure() -> None:
    """Let the many processes that tests start keep their byte code, as those of users do, wherever this runs.

    Without it each compiles the whole package anew: 0.46 s of processor time for the command, not 0.28.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """Pass over the tests that start web servers where they are not asked for: they import all of these."""
    unasked = collection_path.name == "e2e" and "not e2e" in config.option.markexpr
    return True if unasked and collection_path.parent == Path(__file__).parent else None


def pytest_xdist_auto_num_workers() -> int:
    """Run four times as many tests at a time as there are cores: they wait longer than they work."""
    return 4 * (os.cpu_count() or 1)


def pytest_collection(session: pytest.Session) -> None:
    """Import a share of the modules first, if all are to be tested: the other workers find those compiled.

    Each would compile all of them, with the assertions rewritten, on a checkout that is new: 4 s of work.
    Garbage is collected once all is there: on the way it would be looked for in what stays, over and over.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != ["tests"]:
        return
    gc.disable()
    here = Path(__file__).parent
    modules = sorted(path for path in here.rglob("test_*.py") if here / "e2e" not in path.parents)
    for path in modules[int(worker["workerid"][2:]) :: worker["workercount"]]:
        try:
            importlib.import_module(".".join(path.relative_to(here.parent).with_suffix("").parts))
        except (Exception, pytest.skip.Exception):
            pass  # as it is collected the reason is told


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out what shares something to one worker."""
    return scheduler(config, log) if config.option.dist == "loadgroup" else None


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of all later collections of garbage: it stays to the end."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a thread of ours runs or a descriptor is open that was not before.

    What a test has patched is patched until then: a thread that ends may need it.

    What a cycle of garbage holds is collected only when the counts differ: each test is held to the count it
    began with, so that none hands garbage on to the next. What is alive after that mostly stays (reports of
    tests, modules imported late), so the next collection need not look at it.
    """
    running, opened = Counter(threads()), descriptors()

    def left() -> list[str]:
        more = descriptors() - opened
        return [*(Counter(threads()) - running), *[f"{more} descriptors"] * (more > 0)]

    def after_collection() -> list[str]:
        gc.collect()  # a failing test keeps its frames alive for a moment
        return left()

    yield
    if left():
        assert settled(after_collection, 3) == []
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def surroundings() -> Iterator[None]:
    """Have all tests begin alike: one fixture, since each more is looked up for every one of thousands.

    No key or address comes from the environment. All servers of one name present one certificate: each would
    make keys of its own, for 10 ms. Ctrl-C is taken back where tests run in the background: shells have it
    ignored there, for children too.
    """
    from speechmatics_rt.local import certificates

    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPEECHMATICS_API_KEY", "SPEECHMATICS_RT_URL", "SM_MANAGEMENT_PLATFORM_URL"):
            patch.delenv(name, raising=False)
        patch.setattr(certificates, "Certificates", functools.cache(certificates.Certificates))
        yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def programs_are_forked(surroundings: None) -> Iterator[None]:
    """Start programs as forks of one that has imported the package, where that is the same."""
    if sys.platform != "linux":
        yield
        return
    with ForkServer(command.environment()) as command.fork_server:
        yield
    command.fork_server = None


@pytest.fixture(scope="session")
def closed_servers() -> Iterator[list[LocalServer]]:
    """Note each local server that is closed, until its sessions are checked."""
    close = LocalServer.close
    closed: list[LocalServer] = []

    def noted(self: LocalServer) -> None:
        close(self)
        if self not in closed:
            closed.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalServer, "close", noted)
        yield closed
    for server in closed:
        check_sessions(server)


@pytest.fixture(autouse=True)
def every_session_keeps_to_the_schemas(closed_servers: list[LocalServer]) -> Iterator[None]:
    """Check both sides of every session of every local server: after the test, which may time its close."""
    yield
    while closed_servers:
        check_sessions(closed_servers.pop())


@pytest.fixture(params=["ws", "wss"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., LocalServer]]:
    """Start local servers: ``serve(faults=[...])``. Each test that uses it runs over ws and over wss."""
    servers = []

    def start(engine: Any = "scripted", **options: Any) -> LocalServer:
        server = LocalServer(engine, tls=request.param == "wss", **options).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    """Make clients of a server: ``client_of(server, ping_interval=1)``; closed after the test."""
    clients = []

    def make(server: LocalServer, *, kind: type = Client, **options: Any) -> Any:
        names = set(ConnectionConfig.__dataclass_fields__)
        config = {name: options.pop(name) for name in list(options) if name in names}
        conn_config = ConnectionConfig(ssl_context=server.ssl_context, **config)
        client = kind(url=server.url, conn_config=conn_config, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def brief_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have sessions that have failed wait less for a last word of the server's, where it has none."""
    monkeypatch.setattr(protocol, "CLOSE_GRACE", 0.05)
