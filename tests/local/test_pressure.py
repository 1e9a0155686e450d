"""How the local server reads: at its pace, no more than it may hold, fast if nothing holds it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import pytest

from speechmatics_rt.local import LocalServer, ScriptedEngine
from speechmatics_rt.local.engines import final

from .raw_client import RawClient, masked, open_bare, push, start_message


class Gate:
    """An engine whose recogniser works only while the gate is open."""

    slow = True

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.fed: list[int] = []
        self.closed = 0
        self.threads: set[str] = set()
        self.fail: Optional[Exception] = None

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return ScriptedEngine().language_pack_info(language)

    def recogniser(self, settings: Mapping[str, Any]) -> Gate:
        return self

    def feed(self, audio: bytes) -> Iterable[dict[str, Any]]:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        self.open.wait(20)
        self.fed.append(len(audio))
        if self.fail is not None:
            raise self.fail
        yield final([], 0.0, 0.0)

    def configure(self, changes: Mapping[str, Any]) -> None: ...

    def force_end_of_utterance(self, timestamp: Optional[float]) -> Iterable[dict[str, Any]]:
        return []

    def speakers(self) -> list[dict[str, Any]]:
        return []

    def finish(self) -> Iterable[dict[str, Any]]:
        return [final([], 0.0, float(len(self.fed)))]

    def close(self) -> None:
        self.closed += 1


def test_ten_seconds_are_read_ahead_and_no_more_until_there_is_room() -> None:
    gate = Gate()
    with LocalServer(gate) as server:
        with RawClient(server) as client:
            client.start()
            sender = threading.Thread(target=client.send_audio, args=(400.0, 1.0))
            sender.start()
            record = server.sessions[0].wait_for(lambda record: len(record.frames) == 10)
            sender.join(0.3)
            assert sender.is_alive()  # 12.8 MB do not fit anywhere
            assert len(record.frames) == 10
            assert len(record.said("AudioAdded")) == 10
            gate.open.set()
            reader = threading.Thread(target=lambda: [client.receive() for _ in range(400)])
            reader.start()
            sender.join(10)
            assert not sender.is_alive()
            client.send({"message": "EndOfStream", "last_seq_no": 400})
            reader.join(10)
            client.until("EndOfTranscript")
        assert record.wait_closed().frames == [32000] * 400
        assert sum(gate.fed) == 400 * 32000
        assert len(gate.fed) < 400  # what waits for a slow engine is handed over in one piece
        assert gate.threads == {"speechmatics-rt-local-recogniser-0"}
        assert gate.closed == 1


def test_five_hundred_messages_are_read_ahead_and_no_more() -> None:
    gate = Gate()
    with LocalServer(gate) as server, open_bare(server) as sock:
        sock.sendall(masked(1, json.dumps(start_message(audio_format={"type": "file"})).encode()))
        record = server.sessions[0]
        sent = push(sock, masked(2, bytes(100_000)), 600)
        record.wait_for(lambda record: len(record.frames) == 500 or sent < 500)
        assert len(record.frames) == 500
        assert sent < 600
        gate.open.set()


def test_pings_are_answered_while_a_slow_engine_works() -> None:
    gate = Gate()
    with LocalServer(gate) as server, RawClient(server) as client:
        client.start()
        client.send_audio(1)
        assert gate.entered.wait(5)
        assert client.ws.ping().wait(5)
        gate.open.set()
        client.finish(10)


def test_an_engine_that_fails_ends_the_session_with_job_error(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.fail = ValueError("no model")
    gate.open.set()
    for gate.slow in (True, False):
        with LocalServer(gate) as server, RawClient(server) as client:
            client.start()
            client.send_audio(0.1)
            assert client.closed() == (4013, "job_error")
            assert client.received_of("Error")[0]["reason"] == "the engine failed: no model"
        assert "the engine failed in connection 0" in caplog.text
        caplog.clear()
    assert gate.closed == 2


def test_at_real_time_speed_audio_is_consumed_no_faster() -> None:
    with LocalServer(speed=10.0) as server, RawClient(server) as client:
        client.start()
        began = time.monotonic()
        client.finish(client.send_audio(5))
        assert 0.49 <= time.monotonic() - began < 3


def test_a_client_that_does_not_read_stops_being_read() -> None:
    with LocalServer() as server, open_bare(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(masked(1, json.dumps(start_message({"enable_partials": True})).encode()))
        sent = push(sock, masked(2, bytes(320_000)), 10_000)
        assert sent < 10_000


def test_small_messages_pass_at_thousands_a_second() -> None:
    count = 5000
    frame = masked(2, bytes(320))
    with LocalServer() as server, open_bare(server) as sock:
        sock.sendall(masked(1, json.dumps(start_message()).encode()))
        began = time.process_time()  # both ends are in this process, and the machine may be busy
        sender = threading.Thread(target=lambda: [sock.sendall(frame * 50) for _ in range(count // 50)])
        sender.start()
        tail = b""
        while f'"seq_no":{count}}}'.encode() not in tail:
            piece = sock.recv(65536)
            assert piece
            tail = tail[-100:] + piece
        elapsed = time.process_time() - began
        sender.join()
    assert elapsed < 5, elapsed  # about 0.5 s
