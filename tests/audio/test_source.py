from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import wave
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speechmatics_rt.audio import mix_channels, split_channels
from speechmatics_rt.audio.hints import about_container
from speechmatics_rt.audio.source import Pacer, check_chunk, open_source
from speechmatics_rt.config.audio import AudioEncoding, AudioFormat
from speechmatics_rt.exceptions import AudioError, ConfigurationError, SessionError

PCM = AudioFormat(encoding="pcm_s16le", sample_rate=16000)
FLOAT = AudioFormat(encoding="pcm_f32le", sample_rate=16000)
FILE = AudioFormat()
SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    pad = b"\0" * (len(body) % 2)
    return name + struct.pack("<I", len(body) if size is None else size) + body + pad


def fmt(tag: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, extra: bytes = b"") -> bytes:
    align = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + extra)


def wav(*chunks: bytes, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body)) + body


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    out = []
    for size in sizes:
        out.append(data[:size])
        data = data[size:]
    return [*out, data]


class Reads:
    """An object with read(n) that gives prepared answers; an exception among them is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def read(self, size: int) -> object:
        self.asked.append(size)
        answer = self.answers.pop(0) if self.answers else b""
        if isinstance(answer, BaseException):
            raise answer
        return answer


# -- what a source may be ------------------------------------------------------------------------------

AUDIO = bytes(range(256)) * 40


@pytest.mark.parametrize(
    "make",
    [
        str,
        lambda path: path,
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: Reads(*pieces(path.read_bytes(), [100, 1000])),
        lambda path: pieces(path.read_bytes(), [1, 2, 3, 0, 5000]),
        lambda path: (bytearray(piece) for piece in pieces(path.read_bytes(), [7, 7])),
        lambda path: iter([memoryview(path.read_bytes()).cast("h")]),
        lambda path: path.read_bytes(),
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
    ],
    ids=[
        "str",
        "path",
        "BytesIO",
        "read",
        "list",
        "generator",
        "iterator",
        "bytes",
        "bytearray",
        "memoryview",
    ],
)
@pytest.mark.parametrize("audio_format", [None, FILE, PCM, FLOAT], ids=["none", "file", "16-bit", "float"])
def test_every_kind_of_source_gives_all_its_bytes_in_chunks(tmp_path, make, audio_format):
    path = tmp_path / "speech.raw"
    path.write_bytes(AUDIO)
    source = open_source(make(path), audio_format)
    chunks = list(source)
    source.close()
    sample = 1 if audio_format in (None, FILE) else audio_format.bytes_per_sample
    assert b"".join(chunks) == AUDIO
    assert all(
        type(chunk) is bytes and 0 < len(chunk) <= 4096 and len(chunk) % sample == 0 for chunk in chunks
    )
    assert source.audio_format == (audio_format or FILE)


@given(
    data=st.binary(min_size=1, max_size=3000),
    sizes=st.lists(st.integers(0, 700), max_size=20),
    samples=st.integers(1, 300),
    encoding=st.sampled_from(AudioEncoding),
)
def test_chunks_hold_whole_samples_whatever_the_reads(data, sizes, samples, encoding):
    assume(about_container(data) is None)
    audio_format = AudioFormat(encoding=encoding, sample_rate=44100)
    size = audio_format.bytes_per_sample
    audio_format.chunk_size = samples * size
    heard: list[bytes] = []
    ending = pytest.raises(AudioError, match="cuts a sample in two") if len(data) % size else nullcontext()
    with ending:
        heard.extend(open_source(pieces(data, sizes), audio_format, may_be_empty=True))
    assert b"".join(heard) in (data[: len(data) - len(data) % size], b"")
    assert heard or len(data) < size
    assert all(chunk and len(chunk) % size == 0 and len(chunk) <= audio_format.chunk_size for chunk in heard)


def test_a_live_source_is_passed_on_at_once_with_the_odd_rest_kept():
    a, b, c, d = (bytes([number]) * 1000 for number in range(4))
    source = Reads(b"a", b"b" + a, b + b"c", b"d" + c + b"e", b"f" + d)
    opened = iter(open_source(source, PCM))
    assert len(source.answers) == 3  # the first sample was there after two reads
    assert next(opened) == b"ab" + a
    assert next(opened) == b
    assert next(opened) == b"cd" + c
    assert len(source.answers) == 1
    assert list(opened) == [b"ef" + d]


def test_a_pipe_is_not_held_back_until_a_chunk_is_full():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as pipe:
        theirs.sendall(b"abcd")
        source = iter(open_source(pipe, PCM))
        assert next(source) == b"abcd"
        theirs.sendall(b"ef")
        assert next(source) == b"ef"
        theirs.shutdown(socket.SHUT_WR)
        assert list(source) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_held_back_either(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard = threading.Event()

    def speak() -> None:
        with open(path, "wb", buffering=0) as pipe:
            pipe.write(b"abcd")
            heard.wait(10)
            pipe.write(b"ef")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    source = open_source(path, PCM)
    chunks = iter(source)
    assert next(chunks) == b"abcd"
    heard.set()
    assert list(chunks) == [b"ef"]
    source.close()
    speaker.join(10)


def test_read_is_asked_for_one_chunk_at_a_time():
    source = Reads(bytes(320), bytes(320))
    list(open_source(source, AudioFormat("pcm_s16le", 16000, chunk_size=320)))
    assert source.asked == [320] * 3


def test_only_what_was_opened_here_is_closed(tmp_path):
    path = tmp_path / "speech.raw"
    path.write_bytes(bytes(100))
    source = open_source(path, PCM)
    source.close()
    with pytest.raises(AudioError, match="closed file"):
        list(source)
    mine = io.BytesIO(bytes(100))
    open_source(mine, PCM).close()
    assert not mine.closed


def test_raw_audio_tells_its_seconds_and_a_file_does_not():
    assert open_source(bytes(4), PCM).seconds(32000) == 1.0
    assert open_source(bytes(4), FLOAT).seconds(32000) == 0.5
    assert open_source(bytes(4), FILE).seconds(32000) is None


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [b"", [], [b"", b""], io.BytesIO()])
@pytest.mark.parametrize("audio_format", [None, PCM, FILE])
def test_an_empty_source_is_refused_when_it_is_opened(source, audio_format):
    with pytest.raises(AudioError, match=r"^the audio source is empty$"):
        open_source(source, audio_format)


@pytest.mark.parametrize("source", [iter(()), Reads()])
@pytest.mark.parametrize("audio_format", [None, PCM, FILE])
def test_a_source_that_gives_its_audio_once_may_also_stand_at_its_end(source, audio_format):
    with pytest.raises(AudioError, match=r"empty, or has been read to its end: it can be read only once"):
        open_source(source, audio_format)


def test_a_pipe_without_audio_points_to_the_process_that_writes_it():
    failing = [sys.executable, "-c", "exit(1)"]
    with (
        subprocess.Popen(failing, stdout=subprocess.PIPE) as process,
        pytest.raises(AudioError) as caught,
    ):
        open_source(process.stdout, PCM)
    assert caught.value.text.endswith("only once; if another process writes it, look how that has ended")


def test_a_file_that_was_read_already_is_said_to_stand_at_its_end():
    file = io.BytesIO(bytes(100))
    file.read()
    for options in ({}, {"may_be_empty": True}):  # as one of several channels it would be missed otherwise
        with pytest.raises(AudioError, match=r"its position is the end, after 100 bytes; seek\(0\)"):
            open_source(file, PCM, **options)


def test_an_empty_channel_may_be_accepted():
    source = open_source(b"", PCM, channel="left", may_be_empty=True)
    assert source.empty
    assert list(source) == []
    assert not open_source(b"ab", PCM, may_be_empty=True).empty


def test_an_empty_file_is_closed_again(tmp_path):
    (tmp_path / "empty").touch()  # a file left open would be a ResourceWarning, and so an error
    with pytest.raises(AudioError, match="empty"):
        open_source(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "audio_format", "why"),
    [
        (b"", None, "the audio source is empty"),
        (
            b"<html>404 Not Found</html>",
            None,
            "the audio source is text: it begins with '<html>404 Not Found",
        ),
        (
            wav(fmt(channels=2), chunk(b"data", bytes(80))),
            None,
            "the WAV has 2 channels; one is expected. Mix",
        ),
        (wav(fmt())[:30], None, "the WAV ends after 30 bytes, inside its header; it holds no audio"),
        (b"abc", PCM, "the audio ends after 3 bytes, which cuts a sample in two: pcm_s16le has 2 bytes a"),
    ],
)
@pytest.mark.parametrize("channel", [None, "agent"])
def test_what_is_wrong_with_a_file_is_told_with_its_name(tmp_path, content, audio_format, why, channel):
    (tmp_path / "call.wav").write_bytes(content)
    named = "" if channel is None else "channel 'agent': "
    for path in (tmp_path / "call.wav", str(tmp_path / "call.wav")):
        with (
            pytest.raises(AudioError) as caught,
            closing(open_source(path, audio_format, channel=channel)) as source,
        ):
            list(source)
        assert str(caught.value).startswith(f"{named}{str(path)!r}: {why}")
        assert caught.value.channel == channel
    with pytest.raises(AudioError) as caught:
        list(open_source([content], audio_format, channel=channel))  # which has no name
    assert str(caught.value).startswith(named + why)


def test_what_is_ignored_of_a_file_is_warned_of_with_its_name(tmp_path, caplog):
    (tmp_path / "call.wav").write_bytes(wav(fmt(), chunk(b"data", bytes(80)))[:-1])
    with closing(open_source(tmp_path / "call.wav")) as source:
        list(source)
    assert f"{str(tmp_path / 'call.wav')!r}: the WAV ends after 0.00 s of audio" in caplog.text


@pytest.mark.parametrize("name", ["missing.wav", ".", "nul\0byte"])
def test_what_cannot_be_opened_is_named_with_its_cause(tmp_path, name):
    with pytest.raises(AudioError, match=r"can't open the audio file|the audio source failed") as caught:
        open_source(str(tmp_path / name))
    assert isinstance(caught.value.__cause__, (OSError, ValueError))


def test_a_text_file_is_told_to_be_opened_in_binary_mode(tmp_path):
    (tmp_path / "speech.txt").write_text("RIFF")
    with open(tmp_path / "speech.txt", encoding="utf-8") as file, pytest.raises(AudioError, match='"rb"'):
        open_source(file)
    with pytest.raises(AudioError, match='"rb"'):
        list(open_source([b"ab", "cd"], PCM))


def test_what_is_no_source_is_named_in_a_sentence():
    kind = type("AudioSegment", (), {"__module__": "pydub.audio_segment"})
    with pytest.raises(AudioError, match=r"^the audio source is an AudioSegment; give segment"):
        open_source(kind())


def test_a_source_without_data_in_non_blocking_mode_is_named():
    with pytest.raises(AudioError, match="non-blocking"):
        open_source(Reads(None))


@pytest.mark.parametrize("source", [42, None, object(), 4.5])
def test_what_is_no_source_at_all_is_named(source):
    with pytest.raises(AudioError, match="give a path"):
        open_source(source)


def test_nothing_in_place_of_bytes_is_named():
    for source in ([None], iter([None]), (None for _ in range(3))):
        with pytest.raises(AudioError, match=r"^the audio is None, not bytes$"):
            open_source(source, PCM)
    with pytest.raises(AudioError, match=r"^the audio is None, not bytes$"):
        check_chunk(None, PCM)


def test_items_that_are_not_bytes_are_named():
    with pytest.raises(AudioError, match=r"the audio is int.*tobytes"):
        open_source([1, 2, 3])


class AsyncReader:
    async def read(self, size: int) -> bytes:
        return b""


async def async_chunks():
    yield b"ab"


@pytest.mark.parametrize("source", [AsyncReader(), async_chunks()])
def test_an_asynchronous_source_is_sent_to_the_asynchronous_client(source):
    with pytest.raises(AudioError, match="AsyncClient"):
        open_source(source)


def test_what_the_source_raises_is_the_cause_of_an_audio_error():
    fault = ZeroDivisionError("sensor")
    source = iter(open_source(Reads(bytes(10), bytes(10), fault), PCM, channel="left"))
    assert next(source) == next(source) == bytes(10)
    with pytest.raises(
        AudioError, match=r"channel 'left': .* failed after 20 bytes: ZeroDivisionError: sensor"
    ) as caught:
        next(source)
    assert caught.value.__cause__ is fault
    assert caught.value.channel == "left"


def test_an_error_of_this_package_passes_through_the_source():
    fault = SessionError("microphone closed")
    with pytest.raises(SessionError) as caught:
        open_source(Reads(fault))
    assert caught.value is fault


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_the_source_passes_and_is_no_audio_error(kind):
    with pytest.raises(kind):
        open_source(Reads(kind()), PCM)
    source = iter(open_source(Reads(b"ab", kind()), PCM))
    next(source)
    with pytest.raises(kind):
        next(source)


def test_audio_that_ends_inside_a_sample_is_an_error_after_the_last_whole_one():
    source = iter(open_source([bytes(4096), bytes(5)], FLOAT))
    assert [len(next(source)), len(next(source))] == [4096, 4]
    with pytest.raises(AudioError, match=r"4101 bytes.*pcm_f32le has 4 bytes"):
        next(source)


def test_a_wrong_format_is_refused_before_the_source_is_touched():
    source = Reads(bytes(10))
    with pytest.raises(ConfigurationError, match="chunk_size"):
        open_source(source, AudioFormat("pcm_s16le", 16000, chunk_size=33))
    assert source.asked == []


# -- chunks of the caller ------------------------------------------------------------------------------


def test_a_callers_chunk_comes_back_with_its_length_in_bytes():
    for payload in (b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"abcd").cast("h")):
        checked = check_chunk(payload, PCM)
        assert checked == b"abcd"
        assert len(checked) == 4
    assert check_chunk(memoryview(b"abcdefgh")[::2], PCM) == b"aceg"
    assert check_chunk(b"abc", FILE) == b"abc"


def test_a_callers_chunk_must_be_bytes_in_whole_samples():
    with pytest.raises(
        AudioError, match="channel 'b': a chunk of 3 bytes cuts a sample in two: pcm_s16le has 2"
    ):
        check_chunk(b"abc", PCM, channel="b")
    with pytest.raises(AudioError, match='"rb"'):
        check_chunk("abc", PCM)
    with pytest.raises(AudioError, match="tobytes"):
        check_chunk([1, 2], PCM)


# -- WAV -----------------------------------------------------------------------------------------------


def test_a_recording_is_sent_as_samples_without_its_header():
    with wave.open(str(SPEECH)) as theirs:
        samples, rate = theirs.readframes(theirs.getnframes()), theirs.getframerate()
    source = open_source(SPEECH)
    assert source.audio_format == AudioFormat(encoding="pcm_s16le", sample_rate=rate)
    assert b"".join(source) == samples
    assert source.duration == len(samples) / 2 / rate
    source.close()


@given(
    samples=st.binary(max_size=500),
    width=st.integers(1, 4),
    rate=st.sampled_from((8000, 16000, 44100, 48000)),
    before=st.lists(st.binary(max_size=60), max_size=3),
    sizes=st.lists(st.integers(0, 60), max_size=20),
)
def test_what_the_wave_module_writes_is_read_whatever_the_reads(samples, width, rate, before, sizes):
    samples = samples[: len(samples) // width * width]
    out = io.BytesIO()
    with wave.open(out, "wb") as theirs:
        theirs.setparams((1, width, rate, 0, "NONE", ""))
        theirs.writeframes(samples)
    head, tail = out.getvalue()[:12], out.getvalue()[12:]
    data = head + b"".join(chunk(b"LIST", body) for body in before) + tail
    source = open_source(pieces(data, sizes), may_be_empty=True)
    assert source.audio_format == AudioFormat(encoding="pcm_s16le", sample_rate=rate)
    assert source.duration == (len(samples) / width / rate if samples else None)
    sent = b"".join(source)
    assert len(sent) == len(samples) // width * 2
    if width == 1:  # unsigned
        assert sent == b"".join(bytes((0, (sample - 0x80) & 0xFF)) for sample in samples)
    else:  # of each sample the upper two bytes
        assert sent == b"".join(samples[end - 2 : end] for end in range(width, len(samples) + 1, width))


@given(data=st.binary(max_size=120), sizes=st.lists(st.integers(0, 20), max_size=8), start=st.booleans())
def test_any_bytes_are_sent_whole_or_refused(data, sizes, start):
    data = (b"RIFF\0\0\0\0WAVE" if start else b"") + data
    try:
        source = open_source(pieces(data, sizes))
    except AudioError:
        return
    sent = b"".join(source) if source.audio_format == FILE else data
    assert sent == data


GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (fmt(1, bits=16), "pcm_s16le"),
        (fmt(3, bits=32), "pcm_f32le"),
        (fmt(7, bits=8, rate=8000), "mulaw"),
        (fmt(7, bits=8, rate=8000, extra=b"\0\0"), "mulaw"),
        (fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + GUID_TAIL), "pcm_s16le"),
        (fmt(0xFFFE, bits=32, extra=struct.pack("<HHIH", 22, 32, 4, 3) + GUID_TAIL), "pcm_f32le"),
        (fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)), None),
        (fmt(0xFFFE), None),
        (fmt(3, bits=64), None),
        (fmt(0x55, bits=0), None),
        (fmt(rate=0), None),
        (fmt(channels=0), None),
        (chunk(b"fmt ", bytes(8)), None),
        (b"", None),
    ],
)
def test_what_the_service_takes_raw_goes_raw_and_all_else_as_a_file(header, encoding):
    data = wav(header, chunk(b"data", bytes(80)))
    source = open_source(data)
    if encoding is None:
        assert source.audio_format == FILE
        assert source.duration is None
        assert b"".join(source) == data
    else:
        assert source.audio_format.encoding == encoding
        assert b"".join(source) == bytes(80)
        assert source.duration == 80 / source.audio_format.bytes_per_sample / source.audio_format.sample_rate


@pytest.mark.parametrize(
    ("header", "sample", "linear"),
    [
        (fmt(1, bits=8), b"\x81", b"\0\1"),
        (fmt(1, bits=24), b"\xff\1\2", b"\1\2"),
        (fmt(1, bits=32), b"\xff\xff\1\2", b"\1\2"),
        (fmt(6, bits=8, rate=8000), b"\xd5", b"\x08\0"),
    ],
)
def test_a_wav_of_which_the_service_takes_no_samples_goes_as_16_bit_pcm(header, sample, linear):
    data = wav(header, chunk(b"data", sample * 400))
    for source in (open_source(data), open_source(pieces(data, [3, 1, 45, 7, 100]))):
        assert source.audio_format.encoding == "pcm_s16le"
        assert source.duration == 400 / source.audio_format.sample_rate
        assert b"".join(source) == linear * 400


def test_a_wav_that_is_said_to_be_a_file_is_sent_byte_for_byte():
    data = wav(fmt(channels=2), chunk(b"data", bytes(80)))
    source = open_source(data, FILE)
    assert b"".join(source) == data
    assert source.audio_format is FILE


MULAW = AudioFormat("mulaw", 8000, chunk_size=100)
EXTENSIBLE = fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + GUID_TAIL)


@pytest.mark.parametrize(
    ("header", "said"), [(fmt(), PCM), (EXTENSIBLE, PCM), (fmt(7, rate=8000, bits=8), MULAW)]
)
@pytest.mark.parametrize("magic", [b"RIFF", b"RF64", b"BW64"])
def test_a_wav_of_just_what_it_is_said_to_be_is_sent_without_its_header(header, said, magic):
    data = wav(chunk(b"LIST", b"notes"), header, chunk(b"data", b"ab" * 400), magic=magic)
    for source in (data, io.BytesIO(data), iter(pieces(data, [3, 1, 30]))):
        opened = open_source(source, said)
        assert opened.audio_format is said  # with its size of chunks
        assert opened.duration == 800 / said.bytes_per_sample / said.sample_rate
        assert b"".join(opened) == b"ab" * 400


@pytest.mark.parametrize(
    ("header", "said", "why"),
    [
        (
            fmt(7, channels=2, rate=8000, bits=8),
            MULAW,
            "the WAV holds mu-law at 8000 Hz in 2 channels, but audio_format says mulaw at 8000 Hz in one "
            "channel. Mix it to mono beforehand, give split_channels(",
        ),
        (
            fmt(),
            AudioFormat("pcm_s16le", 8000),
            "the WAV holds 16-bit PCM at 16000 Hz, but audio_format says pcm_s16le at 8000 Hz in one "
            "channel; leave audio_format out",
        ),
        (fmt(3, bits=32), PCM, "the WAV holds 32-bit float at 16000 Hz, but"),
        (fmt(6, rate=8000, bits=8), MULAW, "the WAV holds A-law at 8000 Hz, but"),
        (fmt(0x11, rate=8000, bits=4), MULAW, "the WAV holds IMA ADPCM at 8000 Hz, but"),
        (fmt(0xABCD), PCM, "the WAV holds format 0xabcd at 16000 Hz, but"),
        (fmt(rate=0), PCM, "the WAV holds 16-bit PCM at 0 Hz, but"),
        (
            b"",
            PCM,
            "it begins as a WAV does, whose header can't be understood, but audio_format says pcm_s16",
        ),
    ],
)
@pytest.mark.parametrize("channel", [None, "agent"])
def test_a_wav_of_something_else_than_it_is_said_to_be_is_refused(header, said, why, channel):
    data = wav(header, chunk(b"data", bytes(80)))
    for source in (data, io.BytesIO(data), iter([data])):
        with pytest.raises(AudioError) as caught:
            open_source(source, said, channel=channel)
        assert str(caught.value).startswith(why if channel is None else f"channel 'agent': {why}")


def test_samples_that_are_said_to_be_raw_are_not_held_back_to_see_whether_they_are_a_wav():
    for first, more in ((b"ab", b"cd"), (b"RI", b"xx"), (b"RIFF", b"abcdWAVx")):
        source = Reads(first, more)
        opened = iter(open_source(source, PCM))
        assert len(source.answers) == (0 if first[:1] == b"R" else 1)
        assert b"".join(opened) == first + more


def test_a_wav_of_more_than_4_gb_says_its_length_elsewhere(caplog):
    length = chunk(b"ds64", struct.pack("<QQQI", 2**33, 80, 40, 0))
    data = wav(length, fmt(), chunk(b"data", bytes(80), 0xFFFFFFFF), chunk(b"LIST", b"notes"), magic=b"RF64")
    source = open_source(iter([data]))
    assert source.duration == 80 / 32000
    assert b"".join(source) == bytes(80)
    assert not caplog.records


@pytest.mark.parametrize("bits", [16, 24])
def test_a_stereo_wav_is_refused_with_the_ways_out(bits):
    with pytest.raises(
        AudioError, match=r"2 channels.*Mix.*split.*MultiChannelClient.*AudioFormat\(\)"
    ) as caught:
        open_source(wav(fmt(channels=2, bits=bits), chunk(b"data", bytes(80))), channel="left")
    assert caught.value.channel == "left"


# What is written by ffmpeg, sox, arecord and others to a pipe, and by a recorder that died.
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_streamed_wav_is_read_to_its_end_and_promises_nothing(size, caplog):
    source = open_source(wav(fmt(), chunk(b"data", bytes(9000), size)))
    assert source.duration == 9000 / 32000  # by its length, which is known here
    assert b"".join(source) == bytes(9000)
    assert not caplog.records
    assert open_source(iter([wav(fmt(), chunk(b"data", bytes(9000), size))])).duration is None


def test_chunks_after_the_samples_are_not_sent():
    source = open_source(wav(fmt(), chunk(b"data", b"ab" * 4100), chunk(b"LIST", b"notes")))
    assert b"".join(source) == b"ab" * 4100


def test_a_wav_cut_short_gives_what_it_has_with_a_warning(caplog):
    assert b"".join(open_source(wav(fmt(), chunk(b"data", bytes(32000), 320000)))) == bytes(32000)
    assert "ends after 1.00 s of audio, but its header announces 10.00 s" in caplog.text


@pytest.mark.parametrize("end", [12, 15, 19, 30, 37, 43])
def test_a_wav_that_ends_in_its_header_is_refused(end):
    with pytest.raises(AudioError, match=f"after {end} bytes, inside its header"):
        open_source(wav(fmt(), chunk(b"data", bytes(80)))[:end])


def test_a_wav_that_ends_with_its_header_is_empty():
    with pytest.raises(AudioError, match="empty"):
        open_source(wav(fmt(), chunk(b"data", b"")))


@pytest.mark.parametrize("magic", [b"RIFX", b"FORM"])
def test_other_containers_go_as_files(magic):
    data = wav(fmt(), chunk(b"data", bytes(80)), magic=magic)
    assert b"".join(open_source(data)) == data


def test_a_header_beyond_all_bounds_goes_as_a_file():
    data = wav(chunk(b"LIST", bytes(1024 * 1024)), fmt(), chunk(b"data", bytes(80)))
    source = open_source(data)
    assert source.audio_format == FILE
    assert b"".join(source) == data


SAMPLES = b"ab" * 4100


def listened(data: object, **options) -> bytes:
    return b"".join(open_source(data, **options))


@pytest.mark.parametrize(
    ("header", "width"),
    [
        (fmt(), 2),
        (fmt(3, bits=32), 4),
        (fmt(0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + GUID_TAIL), 2),
    ],
)
@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 320000], ids=["true", "zero", "streamed", "more"])
def test_a_wav_cut_inside_a_sample_gives_its_whole_samples_with_a_warning(header, width, size, caplog):
    for cut in range(1, width):
        caplog.clear()
        data = wav(header, chunk(b"data", SAMPLES, size))[:-cut]
        assert listened([data]) == SAMPLES[:-width]
        assert "the WAV ends inside a sample" in caplog.text
        assert listened(pieces(data, [1, 1, 50, 3])) == SAMPLES[:-width]


def test_a_size_that_cuts_a_sample_is_rounded_down_without_a_word(caplog):
    assert listened(wav(fmt(), chunk(b"data", b"abc"))) == b"ab"
    assert not caplog.records


@pytest.mark.parametrize("filled", [True, False], ids=["padded", "not padded"])
@pytest.mark.parametrize(
    "between", [b"", chunk(b"LIST", b"notes"), bytes(16)], ids=["joined", "list", "zeros"]
)
def test_wavs_that_follow_one_another_are_heard_whole(filled, between, caplog):
    one = wav(fmt(7, bits=8), chunk(b"data", b"abc"))
    if not filled:
        one = one[:-1]
    two = wav(chunk(b"LIST", b"more"), fmt(7, bits=8), chunk(b"data", b"defg"))
    for sizes in ([], [1] * 200):
        assert listened(pieces(one + between + two + one, sizes)) == b"abcdefgabc"
    assert not caplog.records


def test_a_second_part_of_samples_is_heard():
    assert (
        listened(wav(fmt(), chunk(b"data", b"abcd"), chunk(b"note", b"x"), chunk(b"data", b"efgh")))
        == b"abcdefgh"
    )


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        (wav(fmt(rate=8000), chunk(b"data", bytes(80))), "another WAV follows.*another format"),
        (wav(fmt(channels=2), chunk(b"data", bytes(80))), "another WAV follows.*another format"),
        (wav(fmt(bits=24), chunk(b"data", bytes(80))), "another WAV follows.*another format"),
        (wav(fmt())[:30], "another WAV follows.*inside its header"),
        (b"\x07", r"the last bytes of the WAV \(1\) are ignored"),
        (chunk(b"LIST", b"notes", 500), "inside its chunk 'LIST'"),
        (chunk(b"LIST", b"notes") + b"\x07\xff\x00\x01" * 4000, "last chunk .* ignored: 0.50 s, if"),
        (b"TAG" + bytes(125), "the tag at the end of the WAV is ignored"),
        (b"ID3\x03\x00" + bytes(900), "the tag at the end of the WAV is ignored"),
    ],
)
def test_what_follows_the_samples_and_is_left_out_is_warned_of(rest, says, caplog):
    assert listened(wav(fmt(), chunk(b"data", SAMPLES)) + rest) == SAMPLES
    assert [bool(re.search(says, record.getMessage())) for record in caplog.records] == [True]


# A recorder that crashed has not brought its header up to date.
@pytest.mark.parametrize("silence", [0, 1, 30, 100_001], ids=lambda count: f"{count} zeros")
@pytest.mark.parametrize("announced", [2000, 2001, 2002, 2008])
@pytest.mark.parametrize("form", [fmt(), fmt(3, bits=32)], ids=["16-bit", "float"])
def test_samples_behind_those_that_the_header_announces_are_sent_and_told(form, announced, silence, caplog):
    audio = b"\x07\xf1\x22\x31" * 502 + bytes(silence)
    audio += b"\x07\xf1\x22\x31" * 9000
    audio = audio[: len(audio) // 4 * 4]
    crashed = wav(form, chunk(b"data", audio, announced))
    width = 4 if form != fmt() else 2
    for source in (crashed, pieces(crashed, []), pieces(crashed, [7] * 400)):
        caplog.clear()
        assert listened(source) == audio
        (record,) = caplog.records
        said = record.getMessage()
        of = f" of {len(audio) / width / 16000:.2f}" if source is crashed else ""
        assert f"the header of the WAV announces {announced // width / 16000:.2f}{of} s of audio" in said


def test_each_channel_gets_the_samples_that_the_header_does_not_announce(caplog):
    left, right = [b"\x01\xf1" * 3000, b"\x02\x31" * 3000]
    audio = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, 6000, 2))
    crashed = wav(fmt(channels=2), chunk(b"data", audio, 1003))
    opened = split_channels(crashed, ["left", "right"])
    assert {label: b"".join(source) for label, source in opened.items()} == {"left": left, "right": right}
    assert len(b"".join(mix_channels(crashed))) == 6000
    assert len(caplog.records) == 3


@pytest.mark.parametrize("name", [b"LIST", b"id3 ", b"bext", b"cue ", b"iXML", b"odd!"])
@pytest.mark.parametrize("padded", [True, False])
def test_chunks_behind_the_samples_are_never_sent_as_samples(name, padded, caplog):
    data = wav(fmt(7, bits=8), chunk(b"data", b"abc"))[: None if padded else -1]
    for rest in (chunk(name, b"\x07\xff" * 20_001), bytes(12) + chunk(name, b"x") * 3):
        for source in (data + rest, pieces(data + rest, [5] * 30)):
            assert listened(source) == b"abc"
    assert not caplog.records


def test_samples_that_could_be_the_name_of_a_chunk_are_none_if_no_chunk_fits_there(caplog):
    audio = b"\x01\x02" * 100 + b"loud" * 2000
    for source in (data := wav(fmt(), chunk(b"data", audio, 200)), pieces(data, [])):
        assert listened(source) == audio


@pytest.mark.parametrize(
    "after", [chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf60.16.100\0"), chunk(b"id3 ", b"x") * 2]
)
def test_a_wav_of_no_samples_with_other_chunks_is_empty_and_no_sound(after):
    with pytest.raises(AudioError, match="empty"):
        open_source(wav(fmt(), chunk(b"data", b""), after))
    # The header of a recorder that died says nothing of what came later: sound, whatever it looks like.
    died = wav(fmt(), chunk(b"data", b"")) + after
    assert listened(died) == after[: len(after) // 2 * 2]


@given(
    parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    sizes=st.lists(st.integers(0, 100), max_size=30),
    notes=st.booleans(),
)
def test_joined_wavs_are_heard_whole_whatever_the_reads(parts, sizes, notes):
    parts = [part[: len(part) // 2 * 2] or b"ab" for part in parts]
    note = [chunk(b"LIST", b"odd")] if notes else []
    data = b"".join(wav(fmt(), *note, chunk(b"data", part), *note) for part in parts)
    assert listened(pieces(data, sizes)) == b"".join(parts)


# -- pacing --------------------------------------------------------------------------------------------


def test_the_first_chunk_goes_at_once_and_each_other_when_the_audio_before_it_has_had_its_time():
    pacer = Pacer(1.0, now=50.0)
    assert [pacer.due(0.25), pacer.due(0.5), pacer.due(0.0), pacer.due(1.0)] == [50.0, 50.25, 50.75, 50.75]


def test_delays_never_add_up_and_nothing_is_early():
    pacer, now = Pacer(2.0, now=0.0), 0.0
    for number in range(1000):
        now = max(now, pacer.due(0.1)) + 0.01  # each wait takes 10 ms too long
        assert number * 0.05 <= now <= number * 0.05 + 0.011


def test_after_a_pause_only_what_fell_due_may_go_at_once():
    pacer = Pacer(1.0, now=0.0)
    times = [pacer.due(0.5) for _ in range(20)]
    assert sum(time <= 3.2 for time in times) == 7


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<title>404 Not Found</title>\n" * 200,
        "<html></html>",
        '{"error": "no such recording"}',
        "é" * 5000 + "x",
    ],
)
def test_a_page_or_a_letter_is_no_recording_and_is_refused_by_how_it_begins(tmp_path, text) -> None:
    saved = tmp_path / "recording.mp3"
    saved.write_text(text, encoding="utf-8")
    beginning = " ".join(text.split())[:15]
    for source in (saved, saved.read_bytes(), io.BytesIO(saved.read_bytes()), iter([saved.read_bytes()])):
        with pytest.raises(AudioError, match="is text: it begins with") as caught:
            open_source(source)
        assert beginning in caught.value.text


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_text_of_windows_is_refused_as_such(coding) -> None:
    text = "Good morning, and welcome.\n" * 20
    with pytest.raises(AudioError, match="is text: it begins with 'Good morning"):
        open_source(("\ufeff" + text).encode(coding))


def test_the_body_of_a_form_is_refused_and_the_file_in_it_asked_for() -> None:
    head = b'--7MA\r\nContent-Disposition: form-data; name="talk"; filename="talk.wav"\r\n\r\n'
    body = head + b"RIFF" + bytes(99)
    for audio_format in (None, PCM):
        for source in (body, io.BytesIO(body), iter([body])):
            with pytest.raises(
                AudioError, match=r"multipart/form-data.*: give request\.files\[name\] \(Flask\)"
            ):
                open_source(source, audio_format)


def test_a_file_that_is_closed_is_said_to_be(tmp_path) -> None:
    upload = tempfile.SpooledTemporaryFile()  # noqa: SIM115  # closed here, as by a web server
    (tmp_path / "talk.wav").write_bytes(b"RIFF")
    for source in (io.BytesIO(b"RIFF"), open(tmp_path / "talk.wav", "rb"), upload):  # noqa: SIM115
        source.close()
        with pytest.raises(AudioError, match="the audio source is closed; read it before"):
            open_source(source)


NO_AUDIO = {
    "gzip archive": gzip.compress(b"RIFF" * 100),
    "ZIP archive": b"PK\x03\x04\x14\0" + bytes(100),
    "bzip2 archive": bz2.compress(b"RIFF" * 100),
    "XZ archive": lzma.compress(b"RIFF" * 100),
    "PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3" + bytes(100),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "database": b"SQLite format 3\0" + bytes(100),
    "program": b"\x7fELF\2\1\1" + bytes(100),
}


@pytest.mark.parametrize("kind", NO_AUDIO)
def test_what_surely_is_no_audio_is_refused_by_how_it_begins(tmp_path, kind) -> None:
    (tmp_path / "a.wav").write_bytes(NO_AUDIO[kind])
    for source in (tmp_path / "a.wav", NO_AUDIO[kind], iter(pieces(NO_AUDIO[kind], [1] * 90))):
        with pytest.raises(
            AudioError, match=f"the audio source is an? {kind}(; unpack it first|, not audio)$"
        ):
            open_source(source)
    with pytest.raises(AudioError, match=f"the audio source is an? {kind}"):
        open_source(NO_AUDIO[kind], PCM)
    assert listened(NO_AUDIO[kind], audio_format=FILE) == NO_AUDIO[kind]  # its sender knows better


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04\0\0", "an MP3"),
        (b"OggS\0\x02", "an Ogg file"),
        (b"fLaC\0\0\0\x22", "a FLAC"),
        (b"\0\0\0\x20ftypM4A ", "an MP4"),
        (b"FORM\0\0\1\0AIFF", "an AIFF"),
    ],
)
def test_a_file_that_is_said_to_be_headerless_is_refused_by_how_it_begins(head, kind) -> None:
    data = head + bytes(1000)
    with pytest.raises(AudioError, match=f"is {kind}, but audio_format says that it has no header; leave"):
        open_source(data, PCM)
    assert listened(data) == listened(data, audio_format=FILE) == data


@pytest.mark.parametrize(
    "audio",
    [
        b"NIST_1A\n   1024\n" + b" " * 5000,
        b"#!AMR\n" + bytes(range(256)),
        b"ID3",
        b"text with \0 zero in it.....",
    ],
)
def test_what_only_begins_like_a_text_is_sent(audio) -> None:
    assert b"".join(open_source(audio)) == audio


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw"])
@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<title>404 Not Found</title>\n" * 200,
        "<!doctype html><title>No</title>",
        "<html></html>   ",
        "\ufeff\r\n <!doctype html><title>No</title> ",
        "<HTML><body>Bad gateway</body></HTML>",
        '<?xml version="1.0"?><Error/>   ',
        '{"error": {"code": 404, "message": "There is no such recording"}}' * 4,
        "Grüße, und guten Morgen allerseits. " * 20,
    ],
)
def test_a_page_and_a_longer_text_are_no_headerless_samples(text, encoding) -> None:
    data = text.encode()
    for source in (data, io.BytesIO(data), iter([data])):
        with pytest.raises(AudioError, match="is text: it begins with"):
            open_source(source, AudioFormat(encoding, 8000))


def test_samples_are_not_taken_for_text() -> None:
    phone = AudioFormat("mulaw", 8000)
    hum = [int(-9000 * abs(math.sin(math.pi * 50 * n / 8000))) for n in range(80)]
    for samples in (
        *(bytes([level]) * 8000 for level in range(256)),  # silence, and any constant level
        bytes(random.Random(5).choices(b"}~", k=8000)),  # faint noise below the middle
        bytes(random.Random(5).choices(b"wxyz{|}~", k=8000)),
        b"Hello " * 4000,  # a tone, for all that anybody knows
        bytes(to_mu_law(level) for level in hum),  # half a period of mains hum
    ):
        assert b"".join(open_source(samples, phone)) == samples


def to_mu_law(level: int) -> int:
    """Encode a 16-bit sample (G.711)."""
    sign, size = (0x80, -level) if level < 0 else (0, level)
    size = min(size, 32635) + 132
    exponent = size.bit_length() - 8
    return ~(sign | exponent << 4 | (size >> (exponent + 3)) & 15) & 0xFF


def test_a_text_is_sent_to_who_says_that_it_is_a_file_of_audio() -> None:
    assert b"".join(open_source(b"<html>" * 100, AudioFormat())) == b"<html>" * 100
