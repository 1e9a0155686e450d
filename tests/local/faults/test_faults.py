"""Every fault of the local server, seen on the wire."""

from __future__ import annotations

import json
import pickle
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import Client, ConfigurationError
from speechmatics_rt import ConnectionError as ConnectionFailed
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.local.faults import POINTS
from speechmatics_rt.local.faults.kind import KINDS

from ..raw_client import UPGRADE, RawClient, dial, masked, open_bare, push, request, start_message

UPGRADE_V2 = UPGRADE.format(path="/v2")
START = masked(1, json.dumps(start_message()).encode())


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


# -- the data --------------------------------------------------------------------------------------------


def test_a_fault_is_data() -> None:
    fault = Fault.refuse(503, retry_after=2, sessions=[0])
    assert fault == Fault(
        "refuse", at="handshake", sessions=(0,), options=(("status", 503), ("retry_after", 2))
    )
    assert pickle.loads(pickle.dumps(fault)) == fault
    assert hash(fault)
    assert (fault.applies(0), fault.applies(1)) == (True, False)


def test_the_table_in_the_docstring_is_the_table_of_the_faults() -> None:
    import speechmatics_rt.local.faults as module

    lines = str(module.__doc__).splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("kind "))
    rows = lines[head + 2 : lines.index(lines[head - 1], head + 2)]
    assert [tuple(re.split(r"\s{2,}", row, maxsplit=2)) for row in rows] == [
        (f"``{row.kind}``", row.at, row.what) for row in Fault.table()
    ]
    assert {row.kind for row in Fault.table()} == set(KINDS)
    assert all(callable(getattr(Fault, kind)) for kind in KINDS)


def test_every_fault_is_shown_by_a_test() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert {kind for kind in KINDS if f"Fault.{kind}" not in texts} == set()


def test_wrong_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="no fault is called 'explode'"):
        Fault("explode")
    with pytest.raises(ValueError, match="no point is called 'lunch'"):
        Fault.reset(at="lunch")
    with pytest.raises(ValueError, match="more than one moment"):
        Fault.reset(at="open", after_bytes=3)
    with pytest.raises(TypeError, match="volume"):
        Fault.reset(volume=3)


# -- at the handshake ------------------------------------------------------------------------------------


def test_refuse_with_retry_after_only_once() -> None:
    with LocalServer(faults=[Fault.refuse(503, retry_after=2, sessions=[0])]) as server:
        status, headers, body = request(server, UPGRADE_V2)
        assert (status, headers["retry-after"]) == (503, "2")
        assert json.loads(body)["code"] == 503
        assert request(server, UPGRADE_V2)[0] == 101


def test_refuse_with_a_redirect_and_a_body() -> None:
    with LocalServer(faults=[Fault.refuse(302, location="ws://elsewhere/v2", body=b"<p>")]) as server:
        status, headers, body = request(server, UPGRADE_V2)
        assert (status, headers["location"], body) == (302, "ws://elsewhere/v2", b"<p>")


def test_drip_makes_the_handshake_slow() -> None:
    with LocalServer(faults=[Fault.drip(size=10, seconds=0.01, total=100)]) as server, dial(server) as sock:
        began = time.monotonic()
        sock.sendall(UPGRADE_V2.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        assert sock.recv(65536) == b"HTTP/1.1 1"
        assert answer_after(sock, b"HTTP/1.1 1") == 101
        assert time.monotonic() - began >= 0.09


def answer_after(sock: socket.socket, data: bytes) -> int:
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    return int(data.split()[1])


@pytest.mark.parametrize("at", ["accept", "handshake"])
def test_reset_before_the_answer(at: str) -> None:
    with LocalServer(faults=[Fault.reset(at=at)]) as server, pytest.raises(ConnectionError):
        request(server, UPGRADE_V2)


def test_fin_before_the_answer() -> None:
    with LocalServer(faults=[Fault.fin(at="handshake")]) as server, dial(server) as sock:
        sock.sendall(UPGRADE_V2.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        assert read_all(sock) == b""


# -- in the session --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize(
    ("at", "kinds"),
    [
        ("open", ["Error"]),
        ("start", ["Info", "Info", "Error"]),
        ("started", ["Info", "Info", "RecognitionStarted", "Error"]),
    ],
)
def test_error_at_a_point(tls: bool, at: str, kinds: list[str]) -> None:
    with (
        LocalServer(tls=tls, faults=[Fault.error("quota_exceeded", at=at)]) as server,
        RawClient(server) as client,
    ):
        client.send(start_message())
        assert client.closed() == (4005, "quota_exceeded")
        assert [message["message"] for message in client.received] == kinds


def test_error_while_draining_and_instead_of_the_end() -> None:
    for at in ("drain", "end"):
        with (
            LocalServer(faults=[Fault.error("job_error", "no worker", at=at)]) as server,
            RawClient(server) as client,
        ):
            client.start()
            client.send_audio(1)
            client.send({"message": "EndOfStream", "last_seq_no": 10})
            assert client.closed() == (4013, "job_error")
            assert client.received[-1] == {"message": "Error", "type": "job_error", "reason": "no worker"}
            assert not client.received_of("EndOfTranscript")


def test_error_with_another_code_and_error_without_a_close() -> None:
    with LocalServer(faults=[Fault.error("idle_timeout", code=1013)]) as server, RawClient(server) as client:
        client.send(start_message())
        assert client.closed() == (1013, "idle_timeout")
    with LocalServer(faults=[Fault.error("job_error", close=False)]) as server, RawClient(server) as client:
        client.start()
        assert client.until("Error")["type"] == "job_error"
        with pytest.raises(TimeoutError):
            client.ws.recv(0.1)


def test_close_with_a_code_alone() -> None:
    with LocalServer(faults=[Fault.close(4006, "timelimit_exceeded", after_messages=3)]) as server:
        with RawClient(server) as client:
            client.start()
            client.send_audio(1)
            assert client.closed() == (4006, "timelimit_exceeded")
        record = server.sessions[0].wait_closed()
        assert record.frames == [3200, 3200]
        assert (record.server_code, record.close_code) == (4006, 4006)


def test_a_code_that_no_close_frame_has_is_refused() -> None:
    for code in (1006, 1015, -1, 65536):
        with pytest.raises(
            ConfigurationError, match=rf"close frame can have, not {code}; .* is the fault fin"
        ):
            Fault.close(code)


def test_close_without_a_code_is_an_empty_frame_which_a_client_may_retry() -> None:
    with LocalServer(faults=[Fault.close(1005, after_messages=3)]) as server:
        with RawClient(server) as client:
            client.start()
            client.send_audio(1)
            assert client.closed() == (1005, "")
        assert server.sessions[0].wait_closed().server_code == 1005
        with Client(url=server.url) as lost, pytest.raises(ConnectionFailed) as caught:
            lost.transcribe(bytes(320_000), audio_format={"encoding": "pcm_s16le", "sample_rate": 16000})
        assert (caught.value.code, caught.value.retryable) == (1005, True)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_reset_after_bytes(tls: bool) -> None:
    with LocalServer(tls=tls, faults=[Fault.reset(after_bytes=32000, sessions=[0])]) as server:
        with RawClient(server) as client:
            client.start()
            client.send_audio(2)
            assert client.closed() == (1006, "")
        assert len(server.sessions[0].wait_closed().audio) == 32000
        with RawClient(server) as client:
            client.start()
            client.finish(client.send_audio(2))


def test_reset_is_a_reset_on_the_wire() -> None:
    with LocalServer(faults=[Fault.reset()]) as server, open_bare(server) as sock:
        sock.sendall(START)
        with pytest.raises(ConnectionResetError):
            read_all(sock)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_fin_after_seconds_of_audio(tls: bool) -> None:
    with LocalServer(tls=tls, faults=[Fault.fin(after_seconds=0.5)]) as server:
        with RawClient(server) as client:
            client.start()
            client.send_audio(0.5)
            assert client.closed() == (1006, "")
        record = server.sessions[0].wait_closed()
        assert record.frames == [3200] * 5
        assert record.said("AudioAdded")[-1] == {"message": "AudioAdded", "seq_no": 5}
        assert client.received_of("AudioAdded") == record.said("AudioAdded")  # what was sent before arrives


def test_a_fault_may_wait_until_so_much_audio_is_final() -> None:
    with LocalServer(faults=[Fault.fin(after_final=2)]) as server, RawClient(server) as client:
        client.start({"max_delay": 0.7})
        client.send_audio(10)
        assert client.closed() == (1006, "")
        record = server.sessions[0].wait_closed()
        ends = [message["metadata"]["end_time"] for message in record.said("AddTranscript")]
        assert ends[-1] == record.final_seconds >= 2
        assert all(end < 2 for end in ends[:-1])
        assert record.struck == ["fin"]


def test_fin_is_the_end_of_the_stream_without_a_close_frame() -> None:
    with LocalServer(faults=[Fault.fin()]) as server, open_bare(server) as sock:
        sock.sendall(START)
        data = read_all(sock)
        assert data.endswith(b"}")
        assert b"RecognitionStarted" in data


def test_cut_frame_ends_in_the_middle_of_a_frame() -> None:
    with LocalServer(faults=[Fault.cut_frame()]) as server, open_bare(server) as sock:
        sock.sendall(START)
        data = read_all(sock)
        place = data.rindex(b"\x81\x7e\x01\x00")  # announces 256 bytes
        assert 0 < len(data) - place - 4 < 256


def test_silence_sends_nothing_more_but_answers_pings() -> None:
    with LocalServer(faults=[Fault.silence(after_messages=3)]) as server, RawClient(server) as client:
        client.start()
        client.send_audio(0.2)
        client.until("AudioAdded")
        client.send_audio(2)
        assert client.ws.ping().wait(5)
        assert server.sessions[0].wait_for(lambda record: len(record.frames) == 22)
        client.until("AudioAdded")
        with pytest.raises(TimeoutError):
            client.receive(0.1)


def test_no_acks_but_transcripts() -> None:
    with LocalServer(faults=[Fault.no_acks()]) as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(3))
        assert not client.received_of("AudioAdded")
        assert client.received_of("AddTranscript")


def test_no_pongs() -> None:
    with LocalServer(faults=[Fault.no_pongs()]) as server, RawClient(server) as client:
        client.start()
        pong = client.ws.ping()
        assert server.sessions[0].wait_for(lambda record: record.pings == 1)
        assert not pong.wait(0.1)


def test_stop_reading_leaves_everything_to_the_kernel() -> None:
    with LocalServer(faults=[Fault.stop_reading(after_messages=2)]) as server, open_bare(server) as sock:
        sock.sendall(START)
        assert push(sock, masked(2, bytes(60000)), 1000) < 1000
        assert len(server.sessions[0].frames) == 1


def test_late_start() -> None:
    with LocalServer(faults=[Fault.late_start(0.2)]) as server:
        with RawClient(server) as client:
            began = time.monotonic()
            client.start()
            assert time.monotonic() - began >= 0.2
        with RawClient(server) as client:
            client.send(start_message())
            client.send_audio(0.1)
            assert client.closed()[0] == 1003
            assert client.received_of("Error")[0]["type"] == "protocol_error"


def test_nonsense_in_frames() -> None:
    faults = [
        Fault.bad_json(),
        Fault.binary_json(),
        Fault.unknown(),
        Fault.message({"message": "EndOfTranscript"}),
    ]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start()
        broken, binary, unknown, end = (client.ws.recv(5) for _ in range(4))
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(broken)
    assert isinstance(binary, bytes)
    assert json.loads(binary)["type"] == "recognition_quality"
    assert json.loads(unknown)["message"] == "SomethingNew"
    assert json.loads(end) == {"message": "EndOfTranscript"}


def test_pings_of_the_server_are_answered_by_the_client() -> None:
    with LocalServer(faults=[Fault.pings(count=4, interval=0.01)]) as server, RawClient(server) as client:
        client.start()
        assert server.sessions[0].wait_for(lambda record: record.pongs == 4)


def test_a_flood_arrives_whole() -> None:
    with LocalServer(faults=[Fault.flood(3000)]) as server, RawClient(server) as client:
        client.start()
        client.finish()
        assert len(client.received_of("AddTranscript")) == 3000


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_an_oversized_transcript_arrives_whole(tls: bool) -> None:
    size = 5 * 1024 * 1024
    with LocalServer(tls=tls, faults=[Fault.oversize(size)]) as server, RawClient(server) as client:
        client.start()
        text = client.ws.recv(10)
        assert size - 100 < len(text) <= size
        assert json.loads(text)["message"] == "AddTranscript"
        client.finish()


def test_faults_compose_and_a_count_acts_once() -> None:
    faults = [
        Fault.unknown(after_messages=2),
        Fault.error("job_error", after_messages=4),
        Fault.no_acks(at="open"),
    ]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.send(start_message())
        client.send_audio(1)
        assert client.closed() == (4013, "job_error")
        kinds = [message["message"] for message in client.received]
        assert kinds == ["Info", "Info", "RecognitionStarted", "SomethingNew", "Error"]


def test_the_unread_rest_of_a_fault_does_not_hold_up_the_server() -> None:
    with LocalServer(faults=[Fault.oversize(8 * 1024 * 1024)]) as server, open_bare(server) as sock:
        sock.sendall(START)
        server.wait_for_session().wait_for(lambda record: record.said("AddTranscript"))
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2


SMALL: dict[str, dict[str, Any]] = {
    "flood": {"count": 10},
    "oversize": {"size": 1000},
    "deep_json": {"depth": 9},
    "message": {"message": {}},
}
SMALL["raw"] = {"data": b"raw"}


def test_any_fault_at_any_point_leaves_the_server_whole(caplog: pytest.LogCaptureFixture) -> None:
    says = [START, masked(2, bytes(3200)), masked(1, b'{"message":"EndOfStream","last_seq_no":1}')]
    client = UPGRADE_V2.replace("\n", "\r\n").encode() + b"\r\n\r\n" + b"".join(says) + masked(8, b"\x03\xe8")
    moments: list[dict[str, Any]] = [{"at": point} for point in POINTS]
    moments += [{"after_messages": 2}, {"at": "open", "delay": 0.001}]
    cases = [(kind, moment) for kind in sorted(KINDS) for moment in moments]
    faults = [
        getattr(Fault, kind)(**SMALL.get(kind, {}), **moment, sessions=[number])
        for number, (kind, moment) in enumerate(cases)
    ]
    with LocalServer(faults=faults) as server:
        for _ in cases:
            with suppress(OSError), dial(server) as sock:
                sock.sendall(client)
                sock.settimeout(0.005)
                while sock.recv(65536):
                    pass
        assert request(server, UPGRADE_V2)[0] == 101
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 4
    assert [record.getMessage() for record in caplog.records] == []
