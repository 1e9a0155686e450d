"""Faults of frames and of what they say, as they stand on the wire."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from speechmatics_rt.local import Fault, LocalServer

from ..raw_client import FrameClient, RawClient, start_message

INFO = "recognition_quality"


def first_frame_of(*faults: Fault) -> Any:
    with LocalServer(faults=faults) as server, FrameClient(server) as bare:
        bare.start()
        return bare.frame()


def verdict_on(fault: Fault) -> Close:
    """Start a session, and return what an independent client says to this fault."""
    with LocalServer(faults=[fault]) as server, RawClient(server) as client:
        client.start()
        with pytest.raises(ConnectionClosedError) as caught:
            for _ in range(10):
                client.ws.recv(5)
        assert caught.value.sent is not None
        return caught.value.sent


# -- broken frames ---------------------------------------------------------------------------------------


def test_masked_frame() -> None:
    frame = first_frame_of(Fault.masked_frame())
    assert frame.masked
    assert frame.message["type"] == INFO


@pytest.mark.parametrize(("bit", "reserved"), [(1, 4), (2, 2), (3, 1)])
def test_reserved_bit(bit: int, reserved: int) -> None:
    frame = first_frame_of(Fault.reserved_bit(bit))
    assert (frame.reserved, frame.opcode, frame.message["type"]) == (reserved, 1, INFO)


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_unknown_opcode(opcode: int) -> None:
    frame = first_frame_of(Fault.unknown_opcode(opcode))
    assert (frame.opcode, frame.fin) == (opcode, True)


def test_long_ping() -> None:
    frame = first_frame_of(Fault.long_ping())
    assert (frame.opcode, len(frame.payload)) == (9, 126)


def test_split_ping() -> None:
    frame = first_frame_of(Fault.split_ping())
    assert (frame.opcode, frame.fin) == (9, False)


def test_lone_continuation() -> None:
    assert first_frame_of(Fault.lone_continuation()).opcode == 0


def test_torn_message() -> None:
    with LocalServer(faults=[Fault.torn_message()]) as server, FrameClient(server) as bare:
        bare.start()
        first, second = bare.frame(), bare.frame()
    assert (first.opcode, first.fin) == (1, False)
    assert (second.opcode, second.fin) == (1, True)


def test_overlong_frame() -> None:
    with LocalServer(faults=[Fault.overlong_frame(2**40)]) as server, FrameClient(server) as bare:
        bare.start()
        assert bare.exactly(2) == b"\x81\x7f"
        assert int.from_bytes(bare.exactly(8), "big") == 2**40
        assert bare.exactly(2) == b'{"'


def test_padded_length() -> None:
    with LocalServer(faults=[Fault.padded_length()]) as server, FrameClient(server) as bare:
        bare.start()
        assert bare.exactly(2) == b"\x81\x7f"
        size = int.from_bytes(bare.exactly(8), "big")
        assert size < 126
        assert json.loads(bare.exactly(size))["type"] == INFO


def test_raw_and_garbage_are_these_bytes() -> None:
    faults = [Fault.raw(b"abc"), Fault.garbage(50, seed=7)]
    with LocalServer(faults=faults) as server, FrameClient(server) as bare:
        bare.start()
        assert bare.exactly(53) == b"abc" + random.Random(7).randbytes(50)


def test_bad_utf8() -> None:
    frame = first_frame_of(Fault.bad_utf8())
    assert frame.opcode == 1
    with pytest.raises(UnicodeDecodeError):
        frame.payload.decode()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.masked_frame(), 1002),
        (Fault.reserved_bit(2), 1002),
        (Fault.unknown_opcode(), 1002),
        (Fault.long_ping(), 1002),
        (Fault.split_ping(), 1002),
        (Fault.lone_continuation(), 1002),
        (Fault.torn_message(), 1002),
        (Fault.bad_utf8(), 1007),
        (Fault.compressed(at="start"), 1002),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_another_client_finds_these_frames_broken(fault: Fault, code: int) -> None:
    if fault.kind == "compressed":
        with LocalServer(faults=[fault]) as server, RawClient(server) as client:
            client.send(start_message())
            with pytest.raises(ConnectionClosedError) as caught:
                client.receive()  # usage
                client.receive()  # quality
                client.receive()
            assert caught.value.sent is not None
            assert caught.value.sent.code == code
    else:
        assert verdict_on(fault).code == code


# -- rare frames that are right --------------------------------------------------------------------------


@pytest.mark.parametrize("pings", [False, True])
def test_fragments_are_whole_messages_for_another_client(pings: bool) -> None:
    with LocalServer(faults=[Fault.fragments(5, pings=pings, at="open")]) as server:
        with FrameClient(server) as bare:
            bare.send(start_message())
            frames = [bare.frame() for _ in range(60)]
            assert max(len(frame.payload) for frame in frames if frame.opcode < 9) <= 5
            assert {frame.opcode for frame in frames} == ({0, 1, 9} if pings else {0, 1})
        with RawClient(server) as client:
            client.start({"enable_partials": True})
            count = client.send_audio(2)
            assert [ack["seq_no"] for ack in client.finish(count) if ack["message"] == "AudioAdded"] == list(
                range(1, count + 1)
            )


def test_fragments_are_the_same_for_the_same_seed() -> None:
    def lengths(seed: int) -> list[int]:
        with LocalServer(faults=[Fault.fragments(9, seed=seed)]) as server, FrameClient(server) as bare:
            bare.start()
            bare.send_audio()
            return [len(bare.frame().payload) for _ in range(3)]

    assert lengths(1) == lengths(1)
    assert any(lengths(1) != lengths(seed) for seed in range(2, 6))


def test_compressed_messages_are_deflated() -> None:
    with LocalServer(faults=[Fault.compressed()]) as server, FrameClient(server) as bare:
        bare.start()
        bare.send_audio()
        frame = bare.frame()
    assert frame.reserved == 4
    text = zlib.decompressobj(wbits=-15).decompress(frame.payload + b"\0\0\xff\xff")
    assert json.loads(text) == {"message": "AudioAdded", "seq_no": 1}


def test_compression_that_was_agreed_on_is_understood() -> None:
    faults = [
        Fault.header("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover"),
        Fault.compressed(at="open"),
        Fault.info(at="open"),
    ]
    with LocalServer(faults=faults) as server, RawClient(server, compression="deflate") as client:
        assert client.receive()["quality"] == "broadcast"


def test_in_binary_sends_everything_in_binary_frames() -> None:
    with LocalServer(faults=[Fault.in_binary(at="open")]) as server, RawClient(server) as client:
        client.send(start_message())
        pieces = [client.ws.recv(5) for _ in range(3)]
    assert all(isinstance(piece, bytes) for piece in pieces)
    assert json.loads(pieces[2])["message"] == "RecognitionStarted"


# -- what messages say -----------------------------------------------------------------------------------


def text_of(fault: Fault) -> str:
    frame = first_frame_of(fault)
    assert (frame.opcode, frame.fin, frame.reserved) == (1, True, 0)
    text: str = frame.payload.decode()
    return text


def test_json_that_is_no_message() -> None:
    assert json.loads(text_of(Fault.not_object())) == ["AddTranscript", 1]
    assert json.loads(text_of(Fault.nameless()))["message"] == 7
    assert json.loads(text_of(Fault.nameless('{"type": "Info"}'))) == {"type": "Info"}
    assert text_of(Fault.deep_json(3)) == '{"message":"Info","deep":[[[]]]}'
    assert len(text_of(Fault.deep_json())) > 400_000
    assert text_of(Fault.long_number(5)) == '{"message":"Info","number":99999}'


@pytest.mark.parametrize("type", ["recognition_quality", "concurrent_session_usage", "model_redirect", "new"])
def test_info_of_any_type(type: str) -> None:
    info = json.loads(text_of(Fault.info(type, "why")))
    assert (info["message"], info["type"], info["reason"]) == ("Info", type, "why")
    assert ("quality" in info, "quota" in info) == (type == INFO, type == "concurrent_session_usage")


@pytest.mark.parametrize("type", ["duration_limit_exceeded", "idle_timeout", "speaker_id", "new"])
def test_warning_of_any_type(type: str) -> None:
    warning = json.loads(text_of(Fault.warning(type)))
    assert (warning["message"], warning["type"], warning["reason"]) == ("Warning", type, type)
    assert ("duration_limit" in warning) == (type == "duration_limit_exceeded")


def test_unknown_field_is_in_every_message_from_then_on() -> None:
    faults = [Fault.unknown_field(), Fault.unknown_field("later", 3, after_messages=2)]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(0.2))
    assert all(message["something_new"] == {"nested": [1, 2, 3]} for message in client.received)
    assert [message.get("later") for message in client.received] == [None, None, None, None, 3, 3, 3]


def test_a_flood_is_of_twenty_thousand_and_oversize_is_five_megabytes_unless_told_otherwise() -> None:
    with LocalServer(faults=[Fault.flood(), Fault.oversize()]) as server, RawClient(server) as client:
        client.start()
        client.finish()
    said = client.received_of("AddTranscript")
    assert len(said) == 20_001
    assert len(said[-1]["metadata"]["transcript"]) > 2_000_000
    assert 4_999_000 < len(json.dumps(said[-1])) <= 5_000_100


def test_what_is_sent_too_much_can_be_of_a_channel() -> None:
    config = {"diarization": "channel", "channel_diarization_labels": ["a", "b"]}
    faults = [
        Fault.flood(2, channel="b"),
        Fault.oversize(1000, channel="a"),
        Fault.extra_acks(1, channel="b"),
    ]
    with LocalServer(faults=faults) as server, RawClient(server) as client:
        client.start(config)
        client.finish()
    assert [message["channel"] for message in client.received_of("AddTranscript")] == ["b", "b", "a"]
    assert client.received_of("ChannelAudioAdded")[0]["channel"] == "b"
