"""The channels of a WAV taken apart: in each form, and of whatever holds it."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AudioError,
    AudioFormat,
    Client,
    MultiChannelClient,
    SpeechmaticsError,
    split_channels,
)
from speechmatics_rt.audio import mix_channels
from speechmatics_rt.local import Fault, LocalServer, SessionRecord

LABELS = ["agent", "caller"]


def wav(tag: int, bits: int, data: bytes, channels: int = 2) -> bytes:
    size = bits // 8 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, 8000, 8000 * size, size, bits)
    whole = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(whole)) + whole


# One frame after the other: full scale up, full scale down; a little up, silence. A-law by ITU-T G.711.
FORMS = [
    (1, 8, bytes([0xFF, 0x00, 0x81, 0x80]), [0x7F00, -0x8000, 0x100, 0]),
    (1, 16, struct.pack("<4h", 32767, -32768, 1, 0), [32767, -32768, 1, 0]),
    (1, 24, b"\x11\xff\x7f\x11\x00\x80\x11\x01\x00\x00\x00\x00", [32767, -32768, 1, 0]),
    (1, 32, b"ab\xff\x7fab\x00\x80ab\x01\x00\x00\x00\x00\x00", [32767, -32768, 1, 0]),
    (6, 8, bytes([0xAA, 0x2A, 0xD5, 0x55]), [32256, -32256, 8, -8]),
]


@pytest.mark.parametrize(("tag", "bits", "data", "values"), FORMS)
def test_what_the_service_does_not_take_raw_becomes_16_bit_pcm(tag, bits, data, values) -> None:
    sources = split_channels(wav(tag, bits, data * 50), LABELS)
    for number, label in enumerate(LABELS):
        assert sources[label].audio_format == AudioFormat("pcm_s16le", 8000)
        assert sources[label].duration == 100 / 8000
        assert b"".join(sources[label]) == struct.pack("<2h", *values[number::2]) * 50
    mixed = mix_channels(wav(tag, bits, data * 50))
    assert mixed.audio_format == AudioFormat("pcm_s16le", 8000)
    means = struct.pack("<2h", sum(values[:2]) // 2, sum(values[2:]) // 2)
    assert b"".join(mixed) == means * 50


@pytest.mark.parametrize(("tag", "bits", "encoding"), [(7, 8, "mulaw"), (3, 32, "pcm_f32le")])
def test_what_the_service_takes_raw_stays_as_it_is(tag, bits, encoding) -> None:
    sources = split_channels(wav(tag, bits, b"aaaabbbb" * 50), LABELS)
    assert sources["agent"].audio_format == AudioFormat(encoding, 8000)
    if bits == 32:
        assert b"".join(sources["caller"]) == b"bbbb" * 50


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            wav(0x11, 4, bytes(80)),
            "the WAV holds IMA ADPCM, whose channels can't be told apart here; convert",
        ),
        (wav(3, 64, bytes(80)), "the WAV holds 64-bit float, whose channels can't be told apart here; conv"),
        (wav(0xABCD, 16, bytes(80)), "the WAV holds format 0xabcd, whose"),
        (
            b"RIFF\0\0\0\0WAVEdata\0\0\0\0" + bytes(80),
            "the header of the WAV can't be understood; convert it",
        ),
        (
            b"ID3\4\0" + bytes(80),
            "it is not a WAV; convert it beforehand: ffmpeg -i FILE -c:a pcm_s16le out.wav",
        ),
        (b"\x1f\x8b\x08\0" + bytes(80), "the audio source is a gzip archive; unpack it first"),
    ],
)
def test_what_can_not_be_taken_apart_is_named_with_the_command_that_helps(content, why) -> None:
    with pytest.raises(AudioError) as caught:
        split_channels(content, LABELS)
    assert str(caught.value).startswith(f"channel 'agent': {why}")
    with pytest.raises(AudioError) as caught:
        mix_channels(content)
    assert str(caught.value).startswith(why)


def test_a_stereo_file_that_has_to_be_converted_first_is_said_to_be_so_at_once() -> None:
    with pytest.raises(AudioError, match=r"split_channels.*\(of IMA ADPCM: convert it beforehand: ffmpeg"):
        Client(url="ws://127.0.0.1:1/v2").transcribe(wav(0x11, 4, bytes(80)))


# -- what holds it ----------------------------------------------------------------------------------------

SECONDS = 30
AGENT, CALLER = (struct.pack("<h", number) * 8000 * SECONDS for number in (1, 2))
CALL = wav(1, 16, struct.pack("<2h", 1, 2) * 8000 * SECONDS)


class Upload:
    """A file as web frameworks hand it on: no io object, but with its methods."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read, self.tell, self.seek = self._file.read, self._file.tell, self._file.seek


def _behind(data: bytes) -> io.BytesIO:
    file = io.BytesIO(b"form-data" + data)
    file.seek(9)
    return file


def _spooled(data: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115  # its end is that of the test
    file.write(data)
    file.seek(0)
    return file


HOLDERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "BytesIO": io.BytesIO,
    "BytesIO, from where it stands": _behind,
    "an upload": Upload,
    "a spooled file": _spooled,
    "blocks": lambda data: [data[:1000], data[1000:]],
}


@pytest.mark.parametrize("kind", [*HOLDERS, "path", "open file"])
def test_a_call_in_whatever_holds_it_is_split_and_sent_twice(kind: str, tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(CALL)
    given: Any = tmp_path / "call.wav"
    if kind == "open file":
        given = open(given, "rb")  # noqa: SIM115  # closed below
    elif kind != "path":
        given = HOLDERS[kind](CALL)
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        sources = split_channels(given, LABELS)
        for _ in range(2):
            client.transcribe(sources)
            assert server.sessions[-1].audio_of("agent") == AGENT
            assert server.sessions[-1].audio_of("caller") == CALLER
    if kind == "open file":
        assert not given.closed
    if hasattr(given, "close"):
        given.close()


def test_after_a_failed_call_the_file_stands_where_it_stood() -> None:
    file = _behind(CALL)
    with pytest.raises(OSError, match="connect"):
        MultiChannelClient(url="ws://127.0.0.1:1/v2").transcribe(split_channels(file, LABELS))
    assert file.tell() == 9
    with pytest.raises(AudioError, match="2 channels, but 3 labels"):
        split_channels(file, [*LABELS, "other"])
    assert file.tell() == 9


def _pipe(data: bytes) -> int:
    reader, writer = os.pipe()

    def write() -> None:
        with open(writer, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=write, daemon=True).start()
    return reader


def _in_blocks(data: bytes) -> Iterator[bytes]:
    """Give it in blocks that cut headers and frames anywhere."""
    for at in range(0, len(data), 1013):
        yield data[at : at + 1013]


@pytest.fixture(params=["a pipe", "a buffered pipe", "a generator", "a device"])
def once(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A call that can be read only once."""
    if request.param == "a generator":
        yield _in_blocks(CALL)
    elif request.param == "a device":
        descriptor = _pipe(CALL)
        yield f"/dev/fd/{descriptor}"
        os.close(descriptor)
    else:
        with open(_pipe(CALL), "rb", buffering=0 if request.param == "a pipe" else -1) as pipe:
            yield pipe


def test_what_can_be_read_only_once_is_split_once_and_then_said_to_be_at_its_end(once: Any) -> None:
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        sources = split_channels(once, LABELS)
        client.transcribe(sources)
        assert server.sessions[0].audio_of("agent") == AGENT
        assert server.sessions[0].audio_of("caller") == CALLER
        with pytest.raises(AudioError, match="has been read to its end"):
            client.transcribe(sources)
        with pytest.raises(AudioError, match="has been read to its end"):
            split_channels(once, LABELS)


def test_of_what_can_be_read_only_once_nothing_is_lost_as_long_as_nothing_was_sent(once: Any) -> None:
    for _ in range(2):  # of one call's sources, and of another's
        sources = split_channels(once, LABELS)
        for _ in range(2):
            with pytest.raises(OSError, match="connect"):
                MultiChannelClient(url="ws://127.0.0.1:1/v2").transcribe(sources)
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        client.transcribe(sources)
        assert server.sessions[0].audio_of("agent") == AGENT
        assert server.sessions[0].audio_of("caller") == CALLER


def test_what_was_sent_in_part_is_not_taken_for_the_whole() -> None:
    blocks = _in_blocks(CALL)
    with (
        LocalServer(faults=[Fault.reset(after_seconds=5)]) as server,
        MultiChannelClient(url=server.url) as client,
    ):
        sources = split_channels(blocks, LABELS)
        with pytest.raises(SpeechmaticsError):
            client.transcribe(sources)
        for again in (lambda: client.transcribe(sources), lambda: split_channels(blocks, LABELS)):
            with pytest.raises(AudioError, match="by a call that failed, and can't be rewound"):
                again()


def _has(label: str, size: int, record: SessionRecord) -> bool:
    return len(record.audio_of(label)) == size


def test_a_stream_of_two_channels_is_sent_as_it_comes() -> None:
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:

        def live() -> Iterator[bytes]:
            yield CALL[:44]
            for size in (1600, 3200, 4800):
                yield struct.pack("<2h", 1, 2) * 800
                for label in LABELS:
                    arrived = partial(_has, label, size)
                    server.wait_for_session().wait_for(arrived)

        client.transcribe(split_channels(live(), LABELS))
    assert server.sessions[0].audio_of("agent") == AGENT[:4800]


def test_a_stream_that_breaks_off_ends_the_call_with_its_error() -> None:
    def breaks_off() -> Iterator[bytes]:
        yield CALL[:64044]
        raise OSError("the line is dead")

    with (
        LocalServer() as server,
        pytest.raises(AudioError, match=r"failed after 64044 bytes: OSError: the line is") as caught,
    ):
        MultiChannelClient(url=server.url).transcribe(split_channels(breaks_off(), LABELS))
    assert isinstance(caught.value.__cause__, OSError)


def test_two_threads_that_read_one_file_at_two_places_get_what_stands_there() -> None:
    sources = split_channels(io.BytesIO(CALL), LABELS)
    heard: dict[str, bytes] = {}

    def read(label: str) -> None:
        heard[label] = b"".join(sources[label])

    threads = [threading.Thread(target=read, args=(label,)) for label in LABELS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"agent": AGENT, "caller": CALLER}


def _ended() -> io.BytesIO:
    file = io.BytesIO(b"RIFF")
    file.seek(4)
    return file


async def _asynchronously(size: int) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (iter([]), "the audio source is empty, or has been read to its end: it can be read only once"),
        (iter([b"words"]), "channel 'agent': it is not a WAV"),
        (b"", "the audio source is empty"),
        (_ended(), "its position is the end, after 4 bytes; seek"),
        (None, "the audio source is None; give a path"),
        (5, "a number is not audio"),
        (io.StringIO("text"), '"rb"'),
        (type("Awaited", (), {"read": staticmethod(_asynchronously)})(), "asynchronous"),
    ],
)
def test_what_can_not_be_split_is_an_audio_error_that_says_what_to_give(source: Any, why: str) -> None:
    with pytest.raises(AudioError, match=why) as caught:
        split_channels(source, LABELS)
    assert len(str(caught.value)) < 300


def test_a_format_that_is_not_that_of_the_channels_is_refused() -> None:
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        sources = split_channels(wav(7, 8, bytes(1600)), LABELS)
        with pytest.raises(
            AudioError, match=r"gives mulaw at 8000 Hz, but audio_format says mulaw at 16000 Hz"
        ):
            client.transcribe(sources, audio_format=AudioFormat("mulaw", 16000))
        client.transcribe(sources, audio_format=AudioFormat("mulaw", 8000))
