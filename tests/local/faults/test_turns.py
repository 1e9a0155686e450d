"""Faults of turn and of the connection, seen by a bare socket or by another client."""

from __future__ import annotations

import socket
import ssl
import time

import pytest
from websockets.exceptions import InvalidHandshake, InvalidMessage

from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.local.checks import CLOSE_CODES

from ..raw_client import UPGRADE, FrameClient, RawClient, dial, masked, request, start_message
from ..test_channels import CHANNELS, audio

UPGRADE_V2 = UPGRADE.format(path="/v2")


def kinds(client: RawClient) -> list[str]:
    return [message["message"] for message in client.received]


# -- before the session ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["accept", "handshake"])
def test_hang_answers_nothing_and_keeps_the_connection(at: str) -> None:
    with LocalServer(faults=[Fault.hang(at=at)]) as server, dial(server) as sock:
        sock.sendall(UPGRADE_V2.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        sock.settimeout(0.15)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("at", ["accept", "handshake"])
def test_hang_for_a_while_answers_late(at: str) -> None:
    with LocalServer(faults=[Fault.hang(0.2, at=at)]) as server:
        began = time.monotonic()
        assert request(server, UPGRADE_V2)[0] == 101
        assert time.monotonic() - began >= 0.2
        assert server.sessions[0].status == 101


def test_hang_in_mid_session_and_on_again() -> None:
    with LocalServer(faults=[Fault.hang(0.2, after_messages=3)]) as server, RawClient(server) as client:
        client.start()
        began = time.monotonic()
        client.finish(client.send_audio(1))
        assert time.monotonic() - began >= 0.2
        assert len(client.received_of("AudioAdded")) == 10


def greet(server: LocalServer) -> None:
    assert server.ssl_context is not None
    with server.ssl_context.wrap_socket(dial(server), server_hostname="localhost") as sock:
        sock.recv(1)


@pytest.mark.parametrize("at", ["accept", "tls"])
def test_the_end_in_the_tls_handshake(at: str) -> None:
    with LocalServer(tls=True, faults=[Fault.fin(at=at)]) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            greet(server)
        ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)
        # Python 3.9 has no class of its own for what OpenSSL 3 calls this.
        unnamed = getattr(caught.value, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"
        assert isinstance(caught.value, ends) or unnamed


def test_a_reset_in_the_tls_handshake() -> None:
    with LocalServer(tls=True, faults=[Fault.reset(at="tls")]) as server, pytest.raises(ConnectionResetError):
        greet(server)


def test_a_tls_alert() -> None:
    with (
        LocalServer(tls=True, faults=[Fault.tls_alert()]) as server,
        pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"),
    ):
        greet(server)


def test_hang_in_the_tls_handshake() -> None:
    with LocalServer(tls=True, faults=[Fault.hang(at="tls")]) as server, dial(server) as sock:
        sock.settimeout(0.15)
        assert server.ssl_context is not None
        with pytest.raises(socket.timeout):
            server.ssl_context.wrap_socket(sock, server_hostname="localhost")


def test_a_header_more_and_another_accept() -> None:
    faults = [Fault.header("Set-Cookie", "a=b"), Fault.header("X-More", "1"), Fault.bad_accept("nonsense")]
    with LocalServer(faults=faults) as server:
        status, headers, _ = request(server, UPGRADE_V2)
        assert (status, headers["set-cookie"], headers["x-more"]) == (101, "a=b", "1")
        assert headers["sec-websocket-accept"] == "nonsense"
    with LocalServer(faults=[Fault.bad_accept()]) as server, pytest.raises(InvalidHandshake, match="Accept"):
        RawClient(server)


def test_garbage_in_place_of_http() -> None:
    faults = [Fault.garbage(at="handshake"), Fault.fin(at="handshake")]
    with LocalServer(faults=faults) as server, pytest.raises(InvalidMessage):
        RawClient(server)


# -- bytes that stop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 12, 50])
def test_output_is_cut_at_any_byte_of_the_handshake(size: int) -> None:
    with LocalServer(faults=[Fault.cut_output(size, at="accept")]) as server, dial(server) as sock:
        sock.sendall(UPGRADE_V2.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        data = b""
        while piece := sock.recv(4096):
            data += piece
        assert len(data) == size
        assert data.startswith(b"HTTP/1.1 101 "[:size])


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("size", [1, 3, 20])
def test_output_is_cut_inside_a_frame(size: int, tls: bool) -> None:
    cut = Fault.cut_output(size, after_messages=2)
    with LocalServer(tls=tls, faults=[cut]) as server, FrameClient(server) as bare:
        bare.start()
        bare.send_audio()
        bare.until("AudioAdded")
        bare.send_audio()
        with pytest.raises(EOFError) as caught:
            bare.exactly(100)
        assert caught.value.args[0] == b'\x81#{"message":"AudioAdded","seq_no":2}'[:size]


def test_output_is_cut_by_a_reset() -> None:
    with LocalServer(faults=[Fault.cut_output(3, reset=True)]) as server, FrameClient(server) as bare:
        bare.start()
        bare.send_audio()
        assert bare.exactly(3) == b"\x81#{"
        with pytest.raises(ConnectionResetError):
            bare.rest()


def test_half_close_goes_on_reading() -> None:
    with LocalServer(faults=[Fault.half_close(after_messages=2)]) as server, FrameClient(server) as bare:
        bare.start()
        bare.send_audio()
        assert [frame.message["message"] for frame in bare.rest()] == ["AudioAdded"]
        for _ in range(5):
            bare.send_audio(1000)
        record = server.sessions[0].wait_for(lambda record: len(record.frames) == 6)
        assert not record.closed.is_set()


def test_without_notice_tls_ends_unclean() -> None:
    with LocalServer(tls=True, faults=[Fault.fin(notify=False)]) as server:
        assert server.ssl_context is not None
        server.ssl_context.options &= ~0x80  # SSL_OP_IGNORE_UNEXPECTED_EOF, which older Pythons set
        with FrameClient(server) as bare:
            bare.send(start_message())
            bare.socket.suppress_ragged_eofs = False  # type: ignore[attr-defined]
            with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                bare.rest()


# -- the start and the end -------------------------------------------------------------------------------


def test_no_start_and_a_second_one() -> None:
    with LocalServer(faults=[Fault.no_start()]) as server, FrameClient(server) as bare:
        bare.send(start_message())
        assert bare.frame().message["type"] == "concurrent_session_usage"
        assert bare.frame().message["type"] == "recognition_quality"
        assert bare.is_quiet()
    with LocalServer(faults=[Fault.double_start()]) as server, RawClient(server) as client:
        first = client.start()
        assert client.receive() == {**first, "id": "again"}


def test_the_end_comes_early() -> None:
    with LocalServer(faults=[Fault.early_end(after_seconds=0.5)]) as server, RawClient(server) as client:
        client.start()
        client.send_audio(1)
        client.until("EndOfTranscript")
        assert len(client.received_of("AudioAdded")) == 5
        assert client.ws.ping().wait(5)


def test_the_end_comes_late_or_never_or_twice() -> None:
    with LocalServer(faults=[Fault.late_end(0.2)]) as server, RawClient(server) as client:
        client.start()
        began = time.monotonic()
        client.finish()
        assert time.monotonic() - began >= 0.2
    with LocalServer(faults=[Fault.no_end()]) as server, FrameClient(server) as bare:
        bare.start()
        bare.end()
        assert bare.is_quiet()
    with LocalServer(faults=[Fault.double_end()]) as server, RawClient(server) as client:
        client.start()
        client.finish()
        client.until("EndOfTranscript")


def test_what_is_heard_comes_late_in_its_order_and_the_end_behind_it() -> None:
    plain: list[list[str]] = []
    for seconds in (0.0, 0.3):
        with LocalServer(faults=[Fault.late_transcripts(seconds)]) as server, RawClient(server) as client:
            speakers = {"diarization": "speaker", "speaker_diarization_config": {"get_speakers": True}}
            client.start({"enable_partials": True, **speakers})
            sent = time.monotonic()
            count = client.send_audio(4)
            client.until("AddPartialTranscript")
            assert time.monotonic() - sent >= seconds
            ended = time.monotonic()
            client.finish(count)
            assert time.monotonic() - ended >= seconds
        heard = [kind for kind in kinds(client) if kind != "AudioAdded"]
        assert heard[-2:] == ["SpeakersResult", "EndOfTranscript"]
        plain.append(heard)
    assert plain[0] == plain[1]


def test_what_is_heard_comes_late_from_a_moment_on() -> None:
    faults = [Fault.late_transcripts(0.4, after_seconds=2), Fault.late_transcripts(0.0, after_seconds=3)]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start({"enable_partials": True})
        client.finish(client.send_audio(9))
    ends = [message["metadata"]["end_time"] for message in client.received_of("AddTranscript")]
    assert ends == sorted(ends)


def test_a_fault_can_wait() -> None:
    faults = [Fault.close(1001, "bye", at="started", delay=0.2), Fault.unknown(delay=0.1)]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        began = time.monotonic()
        client.start()
        assert client.closed() == (1001, "bye")
        assert time.monotonic() - began >= 0.2
        assert kinds(client)[3:] == ["SomethingNew"]


# -- acknowledgements ------------------------------------------------------------------------------------


def acks_of(client: RawClient) -> list[int]:
    return [message["seq_no"] for message in client.received_of("AudioAdded")]


def test_acknowledgements_in_bursts_and_the_rest_at_the_end() -> None:
    with LocalServer(faults=[Fault.burst_acks(4)]) as server, FrameClient(server) as bare:
        bare.start({"max_delay": 4})
        for _ in range(3):
            bare.send_audio(320)
        assert bare.is_quiet()
        for _ in range(3):
            bare.send_audio(320)
        assert [bare.frame().message["seq_no"] for _ in range(4)] == [1, 2, 3, 4]
        assert bare.is_quiet()
        bare.end()
        assert [bare.frame().message["seq_no"] for _ in range(2)] == [5, 6]


def test_late_acknowledgements_keep_their_order() -> None:
    with LocalServer(faults=[Fault.late_acks(0.15)]) as server, RawClient(server) as client:
        client.start()
        began = time.monotonic()
        client.send_audio(0.5)
        for _ in range(5):
            client.until("AudioAdded")
        assert time.monotonic() - began >= 0.15
        assert acks_of(client) == [1, 2, 3, 4, 5]


def test_wrong_and_extra_acknowledgements() -> None:
    faults = [Fault.wrong_acks(7), Fault.extra_acks(3)]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(0.2))
    assert acks_of(client) == [1001, 1002, 1003, 8, 9]


def test_acknowledgements_go_wrong_on_one_channel() -> None:
    faults = [Fault.no_acks(channel="agent"), Fault.wrong_acks(10, channel="caller")]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start(CHANNELS)
        for channel in ("agent", "caller", "agent", "caller"):
            client.send(audio(channel))
        client.finish(4)
    acks = [(message["channel"], message["seq_no"]) for message in client.received_of("ChannelAudioAdded")]
    assert acks == [("caller", 11), ("caller", 12)]


# -- errors and the close --------------------------------------------------------------------------------


@pytest.mark.parametrize("type", sorted(CLOSE_CODES))
def test_an_error_of_each_type_with_without_and_only_as_close_code(type: str) -> None:
    faults = [
        Fault.error(type, "why", sessions=[0]),
        Fault.error(type, close=False, sessions=[1]),
        Fault.error(type, said=False, sessions=[2]),
    ]
    with LocalServer(faults=faults) as server:
        with RawClient(server) as client:
            client.start()
            assert client.closed() == CLOSE_CODES[type]
            assert client.received[-1] == {"message": "Error", "type": type, "reason": "why"}
        with FrameClient(server) as bare:
            bare.start()
            assert bare.frame().message["type"] == type
            assert bare.is_quiet(0.05)
        with RawClient(server) as client:
            client.start()
            assert client.closed() == CLOSE_CODES[type]
            assert not client.received_of("Error")


def test_no_close_reply() -> None:
    with LocalServer(faults=[Fault.no_close_reply()]) as server, FrameClient(server) as bare:
        bare.start()
        bare.socket.sendall(masked(8, b"\x03\xe8"))
        assert bare.is_quiet()
        assert server.sessions[0].close_code == 1000


def test_late_close_reply() -> None:
    with LocalServer(faults=[Fault.late_close_reply(0.15)]) as server, FrameClient(server) as bare:
        bare.start()
        began = time.monotonic()
        bare.socket.sendall(masked(8, b"\x03\xe8"))
        assert (bare.frame().opcode, bare.rest()) == (8, [])
        assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize("first", ["client", "server"])
def test_data_after_the_close_frame(first: str) -> None:
    faults = [Fault.data_after_close(), Fault.close(1000, after_messages=2)]
    with LocalServer(faults=faults) as server, FrameClient(server) as bare:
        bare.start()
        bare.send_audio() if first == "server" else bare.socket.sendall(masked(8, b"\x03\xe8"))
        frames = bare.rest() if first == "client" else [bare.frame() for _ in range(3)][1:]
        assert [frame.opcode for frame in frames] == [8, 1]
        assert frames[-1].message["message"] == "AddTranscript"


def test_data_before_the_close_reply() -> None:
    late = Fault.message({"message": "AddTranscript", "results": []}, at="closing")
    with LocalServer(faults=[late]) as server, FrameClient(server) as bare:
        bare.start()
        bare.socket.sendall(masked(8, b"\x03\xe8"))
        assert [frame.opcode for frame in bare.rest()] == [1, 8]


def test_a_close_frame_that_is_none() -> None:
    with LocalServer(faults=[Fault.bad_close(), Fault.unknown()]) as server, FrameClient(server) as bare:
        bare.start()
        frame = bare.frame()
        assert (frame.opcode, frame.payload) == (8, b"\x03")
        assert bare.is_quiet()


def test_the_server_may_close_first() -> None:
    with LocalServer(faults=[Fault.close(1000, at="ended")]) as server, FrameClient(server) as bare:
        bare.start()
        bare.end()
        assert bare.frame().message == {"message": "EndOfTranscript"}
        assert bare.frame().opcode == 8
