"""All threads of a session have a copy of the context of who started it, and keep it no longer than that."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest

import speechmatics_rt
from speechmatics_rt import AsyncClient, AuthBase, Client, ConnectionConfig, ResumePolicy, transcribe_many
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network import shared_reader

from ..looks import settled
from ..network.dialing.test_dialer import Service, SocksProxy

PACKAGE = str(Path(speechmatics_rt.__file__).parent)
RAW = {"encoding": "pcm_s16le", "sample_rate": 16000}
SECOND = bytes(32000)
QUICK = ResumePolicy(min_delay=0.01, max_delay=0.02)
TENANT: contextvars.ContextVar[Any] = contextvars.ContextVar("tenant")


class OfTenant(AuthBase):
    """Knows whose key to give by the context alone."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def get_auth_headers(self) -> dict[str, str]:
        self.seen.append(TENANT.get())
        return {"Authorization": f"Bearer {TENANT.get()}"}


class AwaitedOfTenant(OfTenant):
    async def get_auth_headers(self) -> dict[str, str]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().get_auth_headers()


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((f"{part_of()}: {record.getMessage()}", TENANT.get(None)))


@pytest.fixture
def log() -> Iterator[Log]:
    log, logger, servers = (
        Log(),
        logging.getLogger("speechmatics_rt"),
        logging.getLogger("speechmatics_rt.local"),
    )
    before = logger.level, servers.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    servers.setLevel(logging.CRITICAL)
    yield log
    logger.removeHandler(log)
    logger.setLevel(before[0])
    servers.setLevel(before[1])


def part_of() -> str:
    name = threading.current_thread().name
    return name.split("-")[2] if name.startswith("speechmatics-rt-") else "caller"


@pytest.fixture
def seen() -> Iterator[dict[str, set[Any]]]:
    """What the code of this package sees on each thread that begins, by the thread's part."""
    found: dict[str, set[Any]] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            found.setdefault(part_of(), set()).add(TENANT.get(None))

    threading.setprofile(note)
    yield found
    threading.setprofile(None)  # type: ignore[arg-type]


def transcribe(client: Client) -> None:
    client.transcribe(iter([SECOND] * 3), audio_format=RAW, timeout=60)


def by_hand(client: Client) -> None:
    client.start_session(audio_format=RAW)
    for _ in range(3):
        client.send_audio(SECOND)
    client.stop_session()


def stream(client: Client) -> None:
    for _ in client.stream(iter([SECOND] * 3), audio_format=RAW):
        pass


def of_tenant(tenant: Any, call: Callable[[], Any]) -> Any:
    """Call a function in a context of its own, of which nothing stays here."""

    def run() -> Any:
        TENANT.set(tenant)
        return call()

    return contextvars.copy_context().run(run)


PARTS = {
    transcribe: {"dns", "key", "source", "reader", "writer", "sender", "resume"},
    by_hand: {"dns", "key", "reader", "writer", "resume"},
    stream: {"dns", "key", "reader", "writer", "sender", "resume"},
}


@pytest.mark.parametrize("call", PARTS, ids=lambda call: call.__name__)
def test_each_thread_of_a_session_sees_the_context_of_who_started_it(
    log: Log, seen: dict[str, set[Any]], call: Callable[[Client], None]
) -> None:
    auth = OfTenant()
    with LocalServer(faults=[Fault.fin(after_seconds=1, sessions=[0])]) as server:
        client = Client(auth, url=server.url.replace("127.0.0.1", "localhost"), resume=QUICK)
        of_tenant("acme", lambda: call(client))
        client.close()
        assert client.stats.reconnects == 1
    assert auth.seen == ["acme", "acme"]
    seen = {part: values for part, values in seen.items() if part not in ("local", "caller")}
    assert seen.keys() >= PARTS[call]
    assert [part for part, values in seen.items() if "acme" not in values] == []
    assert [line for line, tenant in log.lines if tenant != "acme"] == []
    assert {line.partition(":")[0] for line, _ in log.lines} >= {"caller", "reader", "resume"}


def test_each_thread_of_an_event_loop_sees_the_context_of_the_task(
    log: Log, seen: dict[str, set[Any]]
) -> None:
    auth = AwaitedOfTenant()

    async def main() -> None:
        with LocalServer(faults=[Fault.fin(after_seconds=1, sessions=[0])]) as server:
            async with AsyncClient(auth, url=server.url, resume=QUICK) as client:
                await client.transcribe(SECOND * 3, audio_format=RAW)

    of_tenant("acme", lambda: asyncio.run(main()))
    assert auth.seen == ["acme", "acme"]
    seen = {part: values for part, values in seen.items() if part not in ("local", "caller")}
    assert seen.keys() >= {"aio", "key", "reader", "writer", "resume"}
    assert [part for part, values in seen.items() if "acme" not in values] == []
    assert [line for line, tenant in log.lines if tenant != "acme"] == []


def test_each_thread_of_many_sessions_sees_the_context_of_who_iterates(
    log: Log, seen: dict[str, set[Any]]
) -> None:
    pytest.importorskip("python_socks")
    auth = OfTenant()
    with LocalServer() as server, Service(SocksProxy()) as way:
        config = ConnectionConfig(proxy=f"socks5://me:ge%3Aheim@127.0.0.1:{way.port}")
        run = transcribe_many([SECOND] * 3, url=server.url, auth=auth, audio_format=RAW, conn_config=config)
        assert of_tenant("acme", lambda: [outcome.error for outcome in run]) == [None] * 3
    assert auth.seen == ["acme"] * 3
    seen = {part: values for part, values in seen.items() if part not in ("local", "caller")}
    assert seen.keys() >= {"many", "proxy", "key", "reader", "writer", "sender"}
    assert [part for part, values in seen.items() if "acme" not in values] == []
    assert [line for line, tenant in log.lines if tenant != "acme"] == []


def test_a_thread_that_reads_for_many_sessions_has_the_context_of_none(
    monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    if sys.platform != "linux":
        pytest.skip("there is no shared reader")
    monkeypatch.setattr(shared_reader, "OWN", 0)
    with LocalServer() as server, Client(url=server.url) as client:
        of_tenant("acme", lambda: transcribe(client))
    by_part = {line.partition(":")[0]: tenant for line, tenant in log.lines}
    assert by_part == {"caller": "acme", "reader": None}


class Value:
    """What a program keeps in its context."""


@pytest.mark.parametrize("resume", [False, QUICK], ids=["once", "resume"])
@pytest.mark.parametrize("call", PARTS, ids=lambda call: call.__name__)
def test_a_client_keeps_no_context_behind_its_session(call: Callable[[Client], None], resume: Any) -> None:
    with LocalServer(faults=[Fault.fin(after_seconds=1, sessions=[0])] if resume else []) as server:
        client = Client(url=server.url, resume=resume)

        def run() -> weakref.ref[Value]:
            value = Value()
            of_tenant(value, lambda: call(client))
            return weakref.ref(value)

        kept = run()
        gc.collect()
        assert not settled(lambda: kept() is not None, 5)
        client.close()
