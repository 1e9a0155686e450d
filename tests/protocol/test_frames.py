from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import Optional

import pytest
import wsproto.events
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websocket._abnf import ABNF, frame_buffer
from wsproto.connection import Connection, ConnectionType

from speechmatics_rt.protocol import frames
from speechmatics_rt.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Decoder,
    FrameError,
    close_payload,
    encode,
)

SIZES = (0, 1, 2, 3, 4, 5, 125, 126, 127, 4096, 65535, 65536, 70001)


def server_frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, first: Optional[int] = None
) -> bytes:
    """Build an unmasked frame by hand; ``first`` replaces the whole first byte."""
    head = (0x80 if final else 0) | opcode if first is None else first
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65536:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload


def cut(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(wire) + 1) for place in cuts} | {0, len(wire)})
    return [wire[a:b] for a, b in zip(places, places[1:])]


def decode(
    pieces: list[bytes], max_size: Optional[int] = None
) -> tuple[list[tuple[int, bytes]], Optional[FrameError]]:
    """Feed the pieces; return the events and the fault, if there was one."""
    decoder = Decoder(max_size)
    events: list[tuple[int, bytes]] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.buffer()
    except FrameError as exc:
        return events, exc
    return events, None


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes, bool]]]:
    """Draw what a server means to say, and the frames that say it, control frames between fragments."""
    events, wire = [], []

    def control() -> None:
        for _ in range(draw(st.integers(0, 2))):
            frame = (draw(st.sampled_from((PING, PONG))), draw(st.binary(max_size=125)))
            events.append(frame)
            wire.append((*frame, True))

    sizes = st.sampled_from(SIZES) | st.integers(0, 300)
    for _ in range(draw(st.integers(0, 5))):
        control()
        opcode = draw(st.sampled_from((TEXT, BINARY)))
        text = (draw(st.text(max_size=8)) or "x").encode()
        size = draw(sizes)
        payload = (text * (size // len(text) + 1))[:size].decode(errors="ignore").encode()
        parts = cut(payload, draw(st.lists(st.integers(0, 10**6), max_size=3))) or [b""]
        for number, part in enumerate(parts):
            wire.append((CONTINUATION if number else opcode, part, number == len(parts) - 1))
            if number < len(parts) - 1:
                control()
        events.append((opcode, payload))
    control()
    return events, wire


CUTS = st.lists(st.integers(0, 10**6), max_size=12)


# -- encoding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masker", ["python", "installed"])
def test_a_frame_is_byte_for_byte_the_one_websocket_client_builds(monkeypatch, masker, size):
    if masker == "python":
        monkeypatch.setattr(frames, "_apply_mask", frames._xor)
    payload, key = os.urandom(size), os.urandom(4)
    theirs = ABNF.create_frame(payload, ABNF.OPCODE_BINARY)
    theirs.get_mask_key = lambda _: key
    assert encode(BINARY, payload, mask=key) == theirs.format()


@given(payload=st.binary(max_size=5000), opcode=st.sampled_from((TEXT, BINARY, PING, PONG)))
def test_websocket_client_reads_what_we_encode(payload, opcode):
    payload = payload[:125] if opcode in (PING, PONG) else payload
    wire = bytearray(encode(opcode, payload))

    def recv(size: int) -> bytes:
        data, wire[:size] = bytes(wire[:size]), b""
        return data

    assert wire[1] & 0x80  # masked
    frame = frame_buffer(recv, skip_utf8_validation=True).recv_frame()
    assert (frame.fin, frame.opcode, frame.data) == (1, opcode, payload)
    assert not wire


@given(messages=st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=6), cuts=CUTS)
def test_wsproto_reads_what_we_encode(messages, cuts):
    wire = b"".join(
        encode(TEXT, message.encode()) if isinstance(message, str) else encode(BINARY, message)
        for message in messages
    ) + encode(CLOSE, close_payload(1000))
    server = Connection(ConnectionType.SERVER)
    heard: list[object] = []
    parts: list = []
    for piece in cut(wire, cuts):
        server.receive_data(piece)
        for event in server.events():
            if isinstance(event, wsproto.events.Message):
                parts.append(event.data)
                if event.message_finished:
                    heard.append(parts[0][:0].join(parts))
                    parts = []
            else:
                heard.append((event.code, event.reason))
    assert heard == [*messages, (1000, "")]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("h")])
def test_every_kind_of_bytes_gives_the_same_frame(kind):
    payload = os.urandom(400)
    assert encode(BINARY, kind(payload), mask=b"mask") == encode(BINARY, payload, mask=b"mask")


def test_each_frame_has_its_own_key_and_never_the_zero_one(monkeypatch):
    assert len({encode(TEXT, b"")[2:6] for _ in range(200)}) == 200
    stock = [bytes(1024), bytes(1020) + b"\0\0\0\1"]
    monkeypatch.setattr(frames, "_masks", [])
    monkeypatch.setattr(frames.os, "urandom", lambda size: stock.pop(0))
    assert encode(TEXT, b"")[2:6] == b"\0\0\0\1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_keys_of_its_own():
    encode(TEXT, b"")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(encode(TEXT, b"")[2:6] for _ in range(10)))
        os._exit(0)
    os.close(writing)
    theirs = os.read(reading, 40)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0
    ours = {encode(TEXT, b"")[2:6] for _ in range(300)}
    assert len(theirs) == 40
    assert not {theirs[at : at + 4] for at in range(0, 40, 4)} & ours


def test_threads_encode_at_once_without_sharing_keys():
    made: list[list[bytes]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda out=out: out.extend(encode(TEXT, b"x") for _ in range(500)))
        for out in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({frame[2:6] for out in made for frame in out}) > 1990  # 2,000 draws of 4 bytes


def test_importing_the_codec_does_not_import_the_websockets_package():
    code = "import sys, speechmatics_rt.protocol.frames; print('websockets' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_websockets_package_still_works_when_imported_after_us():
    pytest.importorskip("websockets.speedups")
    code = (
        "import speechmatics_rt.protocol.frames as f, websockets.frames as w;"
        "assert w.Frame(w.Opcode.BINARY, b'speech').serialize(mask=True)[:2] == f.encode(2, b'speech')[:2];"
        "print(f._apply_mask is w.apply_mask)"
    )
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "True"


def test_a_masker_that_computes_something_else_is_not_used(monkeypatch):
    fake = type(sys)("websockets.speedups")
    fake.apply_mask = lambda data, mask: data
    monkeypatch.setitem(sys.modules, "websockets.speedups", fake)
    assert frames._c_masker() is None


def test_without_websockets_masking_is_pure_python(monkeypatch):
    monkeypatch.delitem(sys.modules, "websockets.speedups", raising=False)
    monkeypatch.setattr(frames.PathFinder, "find_spec", lambda *args: None)
    assert frames._c_masker() is None


# -- decoding ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(session=conversations(), cuts=CUTS)
def test_what_websocket_client_builds_is_decoded_whatever_the_cuts(session, cuts):
    events, said = session
    wire = b"".join(ABNF(int(final), 0, 0, 0, opcode, 0, payload).format() for opcode, payload, final in said)
    assert decode(cut(wire, cuts)) == (events, None)


@settings(deadline=None)
@given(session=conversations(), cuts=CUTS)
def test_what_wsproto_builds_is_decoded_whatever_the_cuts(session, cuts):
    events, said = session
    server = Connection(ConnectionType.SERVER)
    wire = b""
    for opcode, payload, final in said:
        if opcode in (PING, PONG):
            event = (wsproto.events.Ping if opcode == PING else wsproto.events.Pong)(payload)
        else:
            event = wsproto.events.BytesMessage(payload, message_finished=final)
        wire += server.send(event)
    opcodes = [(BINARY if opcode == TEXT else opcode, payload) for opcode, payload in events]
    assert decode(cut(wire, cuts)) == (opcodes, None)


@settings(deadline=None)
@given(wire=st.binary(max_size=400), cuts=CUTS, max_size=st.none() | st.integers(0, 300))
@example(wire=b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", cuts=[], max_size=None)
@example(wire=b"\x88\x00garbage after the end", cuts=[1, 2, 5], max_size=None)
def test_any_bytes_give_the_same_events_and_fault_however_they_are_cut(wire, cuts, max_size):
    whole, fault = decode([wire], max_size)
    again, same = decode(cut(wire, cuts), max_size)
    assert whole == again
    assert (fault and (fault.code, str(fault))) == (same and (same.code, str(same)))


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives_byte_by_byte_or_at_once(size):
    payload = os.urandom(size)
    wire = server_frame(BINARY, payload)
    pieces = [wire[i : i + 1] for i in range(20)] + [wire[20:]]
    assert decode(pieces) == decode([wire]) == ([(BINARY, payload)], None)


def test_a_reader_may_receive_straight_into_the_buffer():
    decoder = Decoder()
    heard = []
    wire = b"".join(server_frame(TEXT, b"%d" % number * 900) for number in range(50))
    while wire:
        room = decoder.buffer()
        count = min(len(room), len(wire), 1460)
        room[:count] = wire[:count]
        wire = wire[count:]
        heard += decoder.received(count)
    assert heard == [(TEXT, b"%d" % number * 900) for number in range(50)]


def test_the_buffer_grows_to_the_frame_and_shrinks_after_it():
    decoder = Decoder()
    assert len(decoder.buffer()) == 8192
    wire = server_frame(TEXT, bytes(300_000))
    decoder.feed(wire[:100])
    assert len(decoder.buffer()) == len(wire) - 100  # the rest in one read, and nothing of the next frame
    assert decoder.feed(wire[100:]) == [(TEXT, bytes(300_000))]
    assert len(decoder.buffer()) == 8192


def test_memory_follows_what_arrived_and_not_what_was_announced():
    decoder = Decoder(max_size=None)
    decoder.feed(b"\x82\x7f" + (1 << 60).to_bytes(8, "big"))
    assert len(decoder.buffer()) < 2 * 1024 * 1024
    for _ in range(5):
        decoder.feed(bytes(1024 * 1024))
    assert len(decoder.buffer()) < 12 * 1024 * 1024


def test_a_message_of_several_mebibytes_is_whole():
    payload = os.urandom(1 << 20) * 5
    wire = server_frame(BINARY, payload)
    assert decode([wire[i : i + 60_000] for i in range(0, len(wire), 60_000)]) == ([(BINARY, payload)], None)


def test_half_a_length_is_not_completed_from_older_bytes():
    decoder = Decoder(max_size=300)
    decoder.feed(server_frame(BINARY, b"\xff" * 200))
    wire = server_frame(BINARY, b"b" * 256)
    assert [decoder.feed(wire[i : i + 1]) for i in range(4)] == [[]] * 4
    assert decoder.feed(wire[4:]) == [(BINARY, b"b" * 256)]


def test_a_flood_of_empty_fragments_holds_no_memory():
    decoder = Decoder()
    decoder.feed(server_frame(TEXT, b"", final=False))
    for _ in range(100):
        decoder.feed(server_frame(CONTINUATION, b"", final=False) * 1000)
    assert len(decoder._message) == 0
    assert decoder.feed(server_frame(CONTINUATION, b"end")) == [(TEXT, b"end")]


def test_a_length_in_more_bytes_than_necessary_is_accepted():
    assert (
        decode([b"\x81\x7e\x00\x02Hi", b"\x81\x7f" + (2).to_bytes(8, "big") + b"Hi"])[0]
        == [(TEXT, b"Hi")] * 2
    )


def test_text_is_handed_on_without_looking_at_its_encoding():
    assert decode([server_frame(TEXT, b"\xff")]) == ([(TEXT, b"\xff")], None)


def test_what_follows_a_close_frame_is_dropped():
    decoder = Decoder()
    wire = server_frame(TEXT, b"last") + server_frame(CLOSE, b"\x03\xe9bye")
    assert decoder.feed(wire + b"\xff\xff\xff") == [(TEXT, b"last"), (CLOSE, b"\x03\xe9bye")]
    assert len(decoder.buffer()) == 8192
    assert decoder.feed(server_frame(TEXT, b"late")) == []
    assert len(decoder.buffer()) == 8192


BIG_CONTROL = bytes((0x89, 126)) + (126).to_bytes(2, "big") + bytes(126)
MALFORMED = {
    "masked": (encode(TEXT, b"hello"), 1002),
    "masked, long": (encode(TEXT, bytes(300)), 1002),
    "reserved bit 1": (server_frame(TEXT, b"x", first=0xC1), 1002),
    "reserved bit 2": (server_frame(TEXT, b"x", first=0xA1), 1002),
    "reserved bit 3": (server_frame(TEXT, b"x", first=0x91), 1002),
    "reserved bit on a ping": (server_frame(PING, b"x", first=0xC9), 1002),
    **{
        f"opcode {code:x}": (server_frame(code, b"x"), 1002)
        for code in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)
    },
    "ping in fragments": (server_frame(PING, b"x", final=False), 1002),
    "close in fragments": (server_frame(CLOSE, b"", final=False), 1002),
    "ping too long": (BIG_CONTROL, 1002),
    "continuation of nothing": (server_frame(CONTINUATION, b"x"), 1002),
    "continuation after the end": (
        server_frame(TEXT, b"a", final=False)
        + server_frame(CONTINUATION, b"b")
        + server_frame(CONTINUATION, b"c"),
        1002,
    ),
    "message in a message": (server_frame(TEXT, b"a", final=False) + server_frame(TEXT, b"b"), 1002),
    "length beyond 63 bits": (b"\x82\x7f" + (1 << 63).to_bytes(8, "big"), 1002),
    "close of one byte": (server_frame(CLOSE, b"\x03"), 1002),
    **{
        f"close with code {code}": (server_frame(CLOSE, code.to_bytes(2, "big")), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "close with a bad reason": (server_frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_malformed_frames_are_refused_after_what_came_before_them(name, step):
    bad, code = MALFORMED[name]
    wire = server_frame(TEXT, b"Error: last words") + bad
    events, fault = decode([wire[i : i + step] for i in range(0, len(wire), step)])
    assert events[0] == (TEXT, b"Error: last words")
    assert fault is not None
    assert fault.code == code


def test_a_fault_waits_for_the_next_read_and_is_raised_again_and_again():
    decoder = Decoder()
    assert decoder.feed(server_frame(TEXT, b"words") + b"\xf1\x00" + server_frame(TEXT, b"lost")) == [
        (TEXT, b"words")
    ]
    for _ in range(2):
        with pytest.raises(FrameError, match="reserved bits"):
            decoder.buffer()
    with pytest.raises(FrameError):
        decoder.feed(b"")


@pytest.mark.parametrize(
    "wire",
    [
        server_frame(TEXT, bytes(101))[:2],
        server_frame(BINARY, bytes(1000))[:4],
        b"\x81\x7f" + (1 << 62).to_bytes(8, "big"),
        server_frame(TEXT, bytes(100), final=False) + server_frame(CONTINUATION, b"1")[:2],
    ],
)
def test_a_message_over_the_limit_is_refused_by_its_header_alone(wire):
    _, fault = decode([wire], max_size=100)
    assert fault is not None
    assert fault.code == 1009
    assert "100" in str(fault)


def test_a_message_of_exactly_the_limit_passes_and_control_frames_do_not_count():
    wire = (
        server_frame(TEXT, bytes(60), final=False)
        + server_frame(PING, bytes(125))
        + server_frame(CONTINUATION, bytes(40))
    )
    assert decode([wire], max_size=100) == ([(PING, bytes(125)), (TEXT, bytes(100))], None)


def test_a_fault_survives_pickling():
    again = pickle.loads(pickle.dumps(FrameError(1009, "too large")))
    assert (again.code, str(again)) == (1009, "too large")


# -- close payloads ------------------------------------------------------------------------------------


@given(code=st.sampled_from((1000, 1003, 1007, 1014, 3000, 4005, 4999)), reason=st.text(max_size=40))
def test_a_close_frame_says_the_code_that_was_sent_and_why(code, reason):
    assert Close.parse(close_payload(code)) == (code, "")
    assert Close.parse(close_payload(code) + reason.encode()) == (code, reason)


def test_a_close_frame_without_a_code_is_read_as_1005():
    assert Close.parse(b"") == (1005, "")


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 70000])
def test_a_code_that_must_not_be_sent_is_refused(code):
    with pytest.raises(ValueError, match=str(code)):
        close_payload(code)


def test_a_flood_is_read_in_larger_pieces_and_a_quiet_wire_gives_the_memory_back():
    decoder, one = Decoder(), server_frame(TEXT, bytes(1000))
    wire = one * 1000
    sizes = []
    while wire:
        room = decoder.buffer()
        sizes.append(len(decoder.buffer()))
        count = min(len(room), len(wire))
        room[:count] = wire[:count]
        wire = wire[count:]
        assert set(decoder.received(count)) <= {(TEXT, bytes(1000))}
    assert max(sizes) <= 128 * 1024
    assert len(sizes) < 20
    decoder.feed(one)
    assert len(decoder.buffer()) == 8192
