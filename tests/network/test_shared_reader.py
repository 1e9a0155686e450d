"""Many connections on one reading thread: sessions go as they do with a thread each."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from speechmatics_rt import Client, ConnectionConfig, ConnectionError, SessionError
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network import shared_reader

from ..conftest import descriptors, threads
from ..looks import settled
from .conftest import PCM, started

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")

SECOND = bytes(32000)
SHARED = "speechmatics-rt-reader-shared"


def readers() -> list[str]:
    return [name for name in threads() if name.startswith("speechmatics-rt-reader")]


def test_the_first_connections_have_a_thread_each_and_all_others_share_one(serve, client_of) -> None:
    server = serve()
    clients = [started(client_of(server)) for _ in range(shared_reader.OWN + 5)]
    assert shared_reader._own == shared_reader.OWN
    assert readers().count(SHARED) == 1
    for client in clients:
        client.stop_session()


def test_every_session_of_the_shared_thread_gets_its_words(all_shared, serve, client_of) -> None:
    server = serve()
    clients = [started(client_of(server)) for _ in range(20)]
    assert readers() == [SHARED]
    for _ in range(6):
        for client in clients:
            client.send_audio(SECOND)
    for client in clients:
        client.stop_session()
    texts = {client.transcript.text for client in clients}
    assert len(texts) == 1
    assert texts.pop().startswith("Good morning")


def test_the_shared_thread_ends_with_its_last_session_and_begins_anew(all_shared, serve, client_of) -> None:
    server = serve()
    for _ in range(3):
        client = started(client_of(server))
        assert readers() == [SHARED]
        client.stop_session()
        assert settled(readers, 10) == []


def test_with_the_last_close_the_shared_thread_has_ended(all_shared, serve, client_of) -> None:
    server = serve()
    for _ in range(20):
        clients = [started(client_of(server)) for _ in range(3)]
        for client in clients:
            client.close()
        assert readers() == []


def test_where_no_thread_can_begin_nothing_waits_for_one_and_the_next_session_has_it(
    all_shared, serve, client_of, monkeypatch
) -> None:
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if "shared" in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    client = client_of(serve())
    with monkeypatch.context() as patch, pytest.raises(SessionError, match="can't start new thread"):
        patch.setattr(threading.Thread, "start", refused)
        started(client)
    assert shared_reader._shared is None
    began = time.monotonic()
    started(client).stop_session()
    assert time.monotonic() - began < 5


def test_what_ends_the_shared_thread_ends_its_sessions_and_the_next_has_another(
    all_shared, serve, client_of, monkeypatch, died
) -> None:
    server = serve()
    client = started(client_of(server))

    def broken(self: Any, seat: Any) -> bool:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(shared_reader._SharedReader, "_turn", broken)
        client.send_audio(SECOND)
        with pytest.raises(ConnectionError) as caught:
            client.stop_session()
    assert isinstance(caught.value.__cause__, MemoryError)
    assert died.get(timeout=10).exc_type is MemoryError
    assert died.empty()
    started(client_of(server)).stop_session()


def test_sessions_that_begin_while_others_end_are_all_read(all_shared, serve, client_of) -> None:
    server = serve()

    def run(number: int) -> str:
        with client_of(server) as client:
            return client.transcribe(SECOND * 3, audio_format=PCM).text

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(40)))) == 1


def test_a_session_that_is_lost_or_broken_takes_no_other_with_it(all_shared) -> None:
    server, bad = LocalServer(), LocalServer(faults=[Fault.reset(after_seconds=1)])
    with server, bad, Client(url=server.url) as stays, Client(url=bad.url) as goes:
        started(stays)
        started(goes)
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                goes.send_audio(SECOND)
        assert not goes.is_connected
        stays.send_audio(SECOND * 3)
        stays.stop_session()
        assert stays.transcript.text


@pytest.fixture
def soon_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechmatics_rt.protocol.client.INBOX_BYTES", 20_000)


def test_a_session_whose_handler_is_slow_is_paused_and_loses_nothing(all_shared, soon_full) -> None:
    go_on = threading.Event()
    seen = 0

    def slow(message: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        go_on.wait(30)

    count = 5000
    with LocalServer(faults=[Fault.flood(count=count)]) as flooding, LocalServer() as calm:
        flooded = Client(url=flooding.url, conn_config=ConnectionConfig(max_queue=10))
        with flooded, Client(url=calm.url) as other:
            flooded.on("AddTranscript", slow)  # start_session() would wait for a slow handler of the start
            started(flooded)
            flooded.send_audio(SECOND)
            started(other)
            other.send_audio(SECOND * 3)
            other.stop_session()  # while the first one does not read
            assert other.transcript.text
            depth = flooded.stats.queue_depth
            go_on.set()
            flooded.stop_session()
        assert depth < count
        assert seen > count


def test_a_session_may_be_closed_while_it_is_paused(all_shared, soon_full) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(message: dict[str, Any]) -> None:
        entered.set()
        go_on.wait(30)

    with LocalServer(faults=[Fault.flood(count=5000)]) as server:
        client = Client(url=server.url, conn_config=ConnectionConfig(max_queue=10, close_timeout=1))
        client.on("AddTranscript", slow)
        started(client)
        client.send_audio(SECOND)
        assert entered.wait(10)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 5
        go_on.set()


def test_log_handlers_that_fail_end_nobody_elses_session(all_shared, serve, client_of, died) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "the session ended" in record.getMessage():
                raise OSError("the disk is full")

    log, handler = logging.getLogger("speechmatics_rt.network.connection"), Broken()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        server = serve()
        first, second = started(client_of(server)), started(client_of(server))
        first.stop_session()
        second.send_audio(SECOND * 3)
        second.stop_session()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert second.transcript.text
    assert str(died.get(timeout=10).exc_value) == "the disk is full"
    while not died.empty():
        assert str(died.get().exc_value) == "the disk is full"


def test_while_a_log_handler_takes_its_time_the_audio_of_other_sessions_is_sent(
    all_shared, serve, client_of
) -> None:
    server = serve()
    logging_one, other = started(client_of(server)), started(client_of(server))
    entered, go_on = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "request_id", "") == logging_one.request_id and "<" in record.getMessage():
                entered.set()
                go_on.wait(30)

    log, handler = logging.getLogger("speechmatics_rt.wire"), Slow()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        logging_one.send_audio(SECOND)
        assert entered.wait(10)  # on the thread that reads both
        other.send_audio(SECOND)
        assert server.sessions[1].wait_for(lambda record: bool(record.frames), timeout=10)
    finally:
        go_on.set()
        log.setLevel(logging.NOTSET)
        log.removeHandler(handler)
    for client in (logging_one, other):
        client.stop_session()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_reads_its_own_sessions_and_the_parent_goes_on(
    all_shared, serve, client_of
) -> None:
    server = serve()
    client = started(client_of(server))
    client.send_audio(SECOND)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)  # a child that hangs is killed, and its status says so
        status = 1
        try:
            client.close()  # the parent's: closes a descriptor, and no more
            other = Client(url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context))
            text = other.transcribe(SECOND * 3, audio_format=PCM, timeout=20).text
            status = 0 if text and not client.is_connected else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.send_audio(SECOND * 3)
    client.stop_session()
    assert client.transcript.text


def test_without_epoll_as_under_gevent_each_connection_has_its_thread(
    all_shared, serve, client_of, monkeypatch
) -> None:
    monkeypatch.delattr(select, "epoll")
    client = started(client_of(serve()))
    assert shared_reader._own == 1
    assert SHARED not in readers()
    client.stop_session()


def test_without_a_descriptor_for_it_a_session_ends_with_that_reason(all_shared, monkeypatch) -> None:
    def pipe() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    with LocalServer() as server, Client(url=server.url) as client:
        before = descriptors()
        with (
            monkeypatch.context() as patch,
            pytest.raises(ConnectionError, match="Too many open files") as caught,
        ):
            patch.setattr(os, "pipe", pipe)
            started(client)
        assert "Too many open files" in str(caught.value.__cause__)
        assert settled(lambda: descriptors() > before, 5) is False  # though the client keeps its session
        started(client).stop_session()  # the next one tries again


@pytest.mark.parametrize("most", [1, 0])  # its own pipe alone, or not even that
def test_a_seat_that_the_kernel_does_not_watch_ends_with_its_reason(
    all_shared, monkeypatch, most: int
) -> None:
    class Full:
        def __init__(self) -> None:
            self._poll = epoll()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._poll, name)

        def register(self, descriptor: int, events: int) -> None:
            if len(watched) >= most:
                raise OSError(28, "No space left on device")
            watched.append(descriptor)
            self._poll.register(descriptor, events)

    epoll = select.epoll
    watched: list[int] = []
    monkeypatch.setattr(select, "epoll", Full)
    with LocalServer() as server, Client(url=server.url) as client, pytest.raises(ConnectionError):
        started(client)
