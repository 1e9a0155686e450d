"""The life of the local server: start, many sessions, close, nothing left behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from speechmatics_rt.exceptions import ConfigurationError, SessionError, TimeoutError
from speechmatics_rt.local import LocalServer

from ..looks import settled
from .raw_client import RawClient, dial, open_bare, request
from .test_pressure import Gate

FDS = "/proc/self/fd"


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if "local" in thread.name)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir(FDS)) if os.path.isdir(FDS) else 0


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_nothing_is_left_of_a_server_that_was_closed_in_mid_session(tls: bool) -> None:
    before = descriptors()
    with LocalServer(tls=tls) as server, dial(server), RawClient(server) as idle, RawClient(server) as busy:
        busy.start()
        busy.send_audio(1)
        server.wait_for_session(2)
        names = threads()
        assert len([name for name in names if name.startswith("speechmatics-rt-local-session-")]) == 3
        assert len([name for name in names if name.startswith("speechmatics-rt-local-accept-")]) == 1
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2
        assert threads() == []
        assert idle.closed() == (1001, "the local server is closing")
        assert busy.closed()[0] == 1001
    assert descriptors() == before


def test_all_that_start_opens_is_open_when_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, goes_on = threading.Event(), threading.Event()
    run = threading.Thread.run

    def later(thread: threading.Thread) -> None:
        waits.set()
        goes_on.wait(10)
        run(thread)

    monkeypatch.setattr(threading.Thread, "run", later)
    with LocalServer() as server:
        assert waits.wait(10)
        before = descriptors()
        goes_on.set()
        with RawClient(server) as client:
            client.start()
            client.finish(client.send_audio(0.2))
        for thread in threading.enumerate():
            if "session" in thread.name:
                thread.join(5)
        assert descriptors() == before


def test_a_server_that_gets_no_thread_turns_the_client_away_and_serves_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.endswith("-session-0"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with LocalServer() as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as first:
            assert first.recv(1) == b""
        with RawClient(server) as client:
            client.start()
            client.finish(client.send_audio(0.2))
    assert "can't accept: no thread could be started for the session: can't start new thread" in caplog.text


def test_sessions_leave_no_thread_and_no_descriptor() -> None:
    with LocalServer() as server:
        before = descriptors()
        for _ in range(20):
            with RawClient(server) as client:
                client.start()
                client.finish(client.send_audio(0.2))
        for record in server.sessions:
            record.wait_closed()
        assert len(server.sessions) == 20
        for thread in threading.enumerate():
            if "session" in thread.name:
                thread.join(5)
        assert descriptors() == before


def test_a_stuck_engine_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with LocalServer(gate) as server, RawClient(server) as client:
        client.start()
        client.send_audio(0.1)
        assert gate.entered.wait(5)
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            server.close()
        assert time.monotonic() - began < 4
    assert "speechmatics-rt-local-recogniser-0 is still busy" in caplog.text
    gate.open.set()
    for thread in threading.enumerate():
        if "recogniser" in thread.name:
            thread.join(5)
    assert gate.closed == 1


def test_a_server_starts_once() -> None:
    server = LocalServer().start()
    with pytest.raises(SessionError, match="starts once"):
        server.start()
    server.close()
    server.close()
    with pytest.raises(SessionError):
        server.start()
    unused = LocalServer()
    unused.close()


class HandedOver:
    """The lock of a server; once it is let go of, another thread does something with the server first."""

    def __init__(self, server: LocalServer, act: Callable[[], object]) -> None:
        self._server, self._act, self._lock = server, act, server._lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()
        self._server._lock = self._lock
        other = threading.Thread(target=self._act)
        other.start()
        other.join()


def test_of_two_threads_that_start_a_server_at_once_one_does() -> None:
    server, refused = LocalServer(), []

    def start_too() -> None:
        try:
            server.start()
        except SessionError as exc:
            refused.append(exc)

    server._lock = HandedOver(server, start_too)  # type: ignore[assignment]
    try:
        server.start()
        with RawClient(server) as client:
            client.start()
    finally:
        server.close()
    assert len(refused) == 1


def test_a_server_that_is_closed_as_it_starts_leaves_nothing_open() -> None:
    before = descriptors()
    server = LocalServer()
    server._lock = HandedOver(server, server.close)  # type: ignore[assignment]
    server.start()
    assert settled(threads, 3) == []
    assert descriptors() == before
    with pytest.raises(OSError, match="refused"):
        dial(server)


def test_the_port_can_be_chosen_and_taken() -> None:
    with LocalServer() as server:
        with pytest.raises(OSError, match=r"in use|Address"):
            LocalServer(port=server.port).start()
        port = server.port
    with LocalServer(port=port) as again:
        assert again.url == f"ws://127.0.0.1:{port}/v2"


def test_waiting_for_a_connection_that_does_not_come_ends() -> None:
    with LocalServer() as server:
        with pytest.raises(TimeoutError, match="0 connections came within"):
            server.wait_for_session(timeout=0.05)
        with open_bare(server):
            record = server.wait_for_session()
            with pytest.raises(TimeoutError, match="connection 0"):
                record.wait_for(lambda record: record.audio, timeout=0.05)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no engine is called 'magic'"):
        LocalServer("magic")
    with pytest.raises(ConfigurationError, match="not one string"):
        LocalServer(keys="abc")
    with pytest.raises(ConfigurationError, match="above 0"):
        LocalServer(speed=0)


def test_what_is_no_tls_is_dropped_by_wss() -> None:
    with LocalServer(tls=True) as server:
        with dial(server) as sock:
            sock.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.settimeout(5)
            try:
                while sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        server.sessions[0].wait_closed()
        assert server.ca_pem is not None
        assert server.ca_pem.startswith(b"-----BEGIN CERTIFICATE")
        with RawClient(server) as client:
            client.start()


def test_tls_spoken_to_a_plain_server_is_no_http() -> None:
    with LocalServer() as server:
        assert request(server, "\x16\x03\x01")[0] == 400


def test_a_client_that_vanishes_is_forgotten() -> None:
    with LocalServer() as server:
        sock = open_bare(server)
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        record = server.sessions[0].wait_closed()
        assert record.close_code is None


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['wsproto'] = None\n"
        "try:\n"
        "    import speechmatics_rt.local\n"
        "except ImportError as exc:\n"
        "    print(exc)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'speechmatics-rt-sync[server]'" in result.stdout


def test_a_hundred_sessions_at_once() -> None:
    with LocalServer() as server:
        clients = [RawClient(server) for _ in range(100)]
        try:
            for client in clients:
                client.start()
            for client in clients:
                client.send_audio(0.5)
            for client in clients:
                assert client.finish(5)[-1] == {"message": "EndOfTranscript"}
        finally:
            for client in clients:
                client.__exit__()
        assert sorted(record.index for record in server.sessions) == list(range(100))


def test_a_server_that_was_not_started_has_no_address_and_says_how_it_gets_one() -> None:
    with pytest.raises(SessionError, match=r"before it runs: use 'with', or start\(\)"):
        _ = LocalServer().url
    assert "not started" in repr(LocalServer())


@pytest.mark.skipif(not os.path.isdir(FDS), reason="there is no limit to set here")
@pytest.mark.parametrize("left", range(1, 6))
def test_a_server_without_descriptors_serves_again_once_there_are_some(left: int) -> None:
    resource = pytest.importorskip("resource")  # of POSIX alone
    with LocalServer() as server:
        before, (soft, hard) = descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + left, hard))
        try:
            with dial(server), contextlib.suppress(OSError):
                time.sleep(0.2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with RawClient(server) as client:
            client.start()
    assert threads() == []
