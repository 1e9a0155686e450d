"""What people give as a source: what works, what is waited for, and what is told to whom it does not."""

from __future__ import annotations

import array
import asyncio
import codecs
import contextlib
import gc
import gzip
import io
import itertools
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import wave
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechmatics_rt import AudioError, AudioFormat
from speechmatics_rt.audio import leftover
from speechmatics_rt.audio.hints import about_container
from speechmatics_rt.audio.source import AudioSource, open_source

from ..interrupts import Interrupt

PCM = AudioFormat("pcm_s16le", 16000)
SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"


def heard(source: AudioSource) -> bytes:
    try:
        return b"".join(source)
    finally:
        source.close()


# -- non-blocking ------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name == "nt", reason="pipes have no such mode there")


def slowly(write: Callable[[bytes], Any], close: Callable[[], Any], size: int) -> None:
    def run() -> None:
        for number in range(6):
            time.sleep(0.02)
            write(bytes([number]) * size)
        close()

    threading.Thread(target=run, daemon=True).start()


@posix
@pytest.mark.parametrize("buffering", [-1, 0, 16], ids=["buffered", "raw", "small buffer"])
def test_a_pipe_in_non_blocking_mode_is_waited_for(buffering: int) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    slowly(lambda data: os.write(writer, data), lambda: os.close(writer), 4999)
    with open(reader, "rb", buffering=buffering) as file:
        assert heard(open_source(file, AudioFormat("mulaw", 8000))) == b"".join(
            bytes([n]) * 4999 for n in range(6)
        )


@posix
def test_a_pipe_that_becomes_non_blocking_in_the_middle_is_waited_for() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as file:
        os.write(writer, b"abcd")
        source = open_source(file, PCM)
        os.set_blocking(reader, False)  # by whoever shares it
        slowly(lambda data: os.write(writer, data), lambda: os.close(writer), 200)
        assert heard(source) == b"abcd" + b"".join(bytes([n]) * 200 for n in range(6))


@posix
def test_a_socket_in_non_blocking_mode_is_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as file:
        ours.setblocking(False)
        slowly(theirs.sendall, theirs.close, 1000)
        assert len(heard(open_source(file, PCM))) == 6000


@posix
def test_standard_input_in_non_blocking_mode_is_waited_for() -> None:
    program = (
        "import os, sys\n"
        "from speechmatics_rt.audio.source import open_source\n"
        "from speechmatics_rt import AudioFormat\n"
        "os.set_blocking(0, False)\n"
        "print(len(b''.join(open_source(sys.stdin.buffer, AudioFormat('pcm_s16le', 16000)))))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    time.sleep(0.3)
    for _ in range(3):
        child.stdin.write(bytes(2000))
        child.stdin.flush()
        time.sleep(0.05)
    child.stdin.close()
    assert child.stdout.read() == b"6000\n"
    child.stdout.close()
    child.wait(30)


def test_what_has_no_descriptor_to_wait_for_is_named() -> None:
    class Empty(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> None:
            return None

    for source in (Empty(), io.BufferedReader(Empty())):
        with pytest.raises(AudioError, match="non-blocking"):
            open_source(source, PCM)


# -- text ----------------------------------------------------------------------------------------------

NO_TEXT = b"RIFF\x24\x80\0\0WAVEfmt " + bytes(range(256)) * 40


TEXT_FILES: dict[str, Callable[[Path], Any]] = {
    "utf-8": lambda path: path.open(encoding="utf-8"),
    "ascii": lambda path: path.open(encoding="ascii"),
    "latin-1": lambda path: path.open(encoding="latin-1"),
    "to write, too": lambda path: path.open("r+", encoding="cp1252"),
    "codecs": lambda path: codecs.open(path, encoding="utf-8"),  # noqa: SIM115  # closed below, as the others
    "gzip": lambda path: gzip.open(path, "rt"),  # noqa: SIM115
    "temporary": lambda path: tempfile.NamedTemporaryFile("w+", encoding="utf-8"),  # noqa: SIM115
    "spooled": lambda path: tempfile.SpooledTemporaryFile(mode="w+", encoding="utf-8"),  # noqa: SIM115
    "StringIO": lambda path: io.StringIO("RIFF"),
    "items": lambda path: iter(["RIFF"]),
}


@pytest.mark.parametrize("kind", TEXT_FILES)
@pytest.mark.parametrize("audio_format", [None, PCM])
@pytest.mark.filterwarnings("ignore:codecs.open")
def test_a_file_opened_as_text_is_told_to_be_opened_in_binary_mode(
    tmp_path: Path, kind: str, audio_format: Any
) -> None:
    (tmp_path / "a.wav").write_bytes(NO_TEXT)
    file = TEXT_FILES[kind](tmp_path / "a.wav")
    if kind in ("temporary", "spooled"):
        file.write("RIFF and more")
        file.seek(0)
    with pytest.raises(AudioError, match='"rb"'):
        open_source(file, audio_format)
    getattr(file, "close", int)()


# -- what is no source but nearly one -------------------------------------------------------------------


def made(module: str, name: str, **attributes: Any) -> Any:
    """An object of a class of that name, as hints see it; the package itself is not needed."""
    kind = type(name, (), {"__module__": module, **attributes})
    return kind()


@pytest.mark.parametrize(
    ("source", "way"),
    [
        (made("soundfile", "SoundFile", read=lambda self, frames: [0.5]), r"its path.*samplerate"),
        (
            made("pydub.audio_segment", "AudioSegment", __iter__=lambda self: iter([])),
            r"raw_data.*frame_rate",
        ),
        (made("httpx", "Response", read=lambda self: b""), r"iter_bytes\(\)"),
        (made("aiohttp.client_reqrep", "ClientResponse"), r"response\.content to AsyncClient"),
        (made("sounddevice", "_StreamBase", read=lambda self, frames: (b"", False)), "Microphone"),
        ({"agent": b"ab"}, "MultiChannelClient"),
        (["a.wav", "b.wav"], r"transcribe_many\(names\)"),
        ((Path("a.wav"),), r"transcribe_many\(names\)"),
        (0, "open"),
        (array.array("h", [1, 2]), r"tobytes\(\).*pcm_s16le"),
        (array.array("f", [1.0]), r"tobytes\(\).*pcm_f32le"),
        ([array.array("h", [1, 2])], r"tobytes\(\).*pcm_s16le"),
        ("https://example.com/a.wav", "urlopen"),
        ("file:///no/two%20calls.wav", "URL of a file on this machine: give '/no/two calls.wav'$"),
        ("file:/no/call.wav#t=5", "give '/no/call.wav'$"),
        ("file://localhost/no/call.wav", "give '/no/call.wav'$"),
        ("~/no such call.wav", re.escape(repr(os.path.expanduser("~/no such call.wav"))) + "$"),
        ("no such ~call.wav", "No such file or directory$"),
        (asyncio.StreamReader.__new__(asyncio.StreamReader), "AsyncClient"),
        (made("starlette", "UploadFile", file=io.BytesIO(), read=asyncio.sleep), "'file'"),
    ],
)
def test_what_is_no_source_is_told_what_to_give_instead(source: Any, way: str) -> None:
    with pytest.raises(AudioError, match=way):
        open_source(source, PCM)


def test_real_arrays_and_readers_are_told_what_to_give_instead(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    for kind, way in (("<i2", "pcm_s16le"), ("<f4", "pcm_f32le"), ("<f8", "astype"), ("<u1", "mulaw")):
        for source in (numpy.zeros(9, kind), [numpy.zeros(9, kind)]):
            with pytest.raises(AudioError, match=way):
                open_source(source, PCM)
    with pytest.raises(AudioError, match="one channel"):
        open_source(numpy.zeros((9, 2), "<i2"), PCM)
    assert heard(open_source(numpy.ones(9, "<i2").tobytes(), PCM)) == b"\1\0" * 9
    with wave.open(str(SPEECH)) as reader, pytest.raises(AudioError, match="'rb'"):
        open_source(reader)
    left, right = socket.socketpair()
    with left, right, pytest.raises(AudioError, match="makefile"):
        open_source(left, PCM)
    process = subprocess.Popen([sys.executable, "-c", "print('abc')"], stdout=subprocess.PIPE)
    with process, pytest.raises(AudioError, match=r"process\.stdout"):
        open_source(process, PCM)


# -- a second attempt -----------------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """Can't seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


class NoSeekable:
    """Like a SpooledTemporaryFile before Python 3.11."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.read, self.seek, self.tell = self._data.read, self._data.seek, self._data.tell


DATA = bytes(range(250)) * 100

ONCE: dict[str, Callable[[bytes], Any]] = {
    "generator": lambda data: (data[at : at + 5000] for at in range(0, len(data), 5000)),
    "iterator of a list": lambda data: iter([data[at : at + 5000] for at in range(0, len(data), 5000)]),
    "map": lambda data: map(bytes, [data[:9000], data[9000:]]),
    "chain": lambda data: itertools.chain([data[:9000], data[9000:]]),
    "callable": lambda data: iter(partial(io.BytesIO(data).read, 5000), b""),
    "pipe": Pipe,
    "buffered pipe": lambda data: io.BufferedReader(Pipe(data)),
}
AGAIN: dict[str, Callable[[bytes], Any]] = {
    "BytesIO": io.BytesIO,
    "without seekable": NoSeekable,
    "bytes": bytes,
    "bytearray": bytearray,
    "list": lambda data: [data[at : at + 5000] for at in range(0, len(data), 5000)],
}


def part_of(source: AudioSource) -> None:
    """What a call does that fails in the middle."""
    chunks = iter(source)
    next(chunks), next(chunks), next(chunks)
    source.put_back()
    source.close()


@pytest.mark.parametrize("kind", AGAIN)
def test_a_source_that_can_goes_back_when_a_call_fails(kind: str) -> None:
    source = AGAIN[kind](DATA)
    for _ in range(3):
        part_of(open_source(source, PCM))
    assert heard(open_source(source, PCM)) == DATA


def test_a_file_goes_back_to_where_it_stood_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    with open(tmp_path / "a", "rb") as file:
        file.seek(100)
        part_of(open_source(file, PCM))
        assert file.tell() == 100
        assert heard(open_source(file, PCM)) == DATA[100:]


@pytest.mark.parametrize("kind", ONCE)
def test_a_source_that_cannot_go_back_is_refused_with_how_far_it_was_read(kind: str) -> None:
    source = ONCE[kind](DATA)
    part_of(open_source(source, PCM))
    for _ in range(2):
        with pytest.raises(AudioError, match=r"was read up to byte \d{4,5} by a call that failed.*beginning"):
            open_source(source, PCM)


@pytest.mark.parametrize("refused", [0, 1, 2])
@pytest.mark.parametrize("kind", ONCE)
def test_what_is_left_can_be_asked_for_as_the_error_says(kind: str, refused: int) -> None:
    source = ONCE[kind](DATA)
    for _ in range(refused):  # by a service that is down, before the call that sends
        opened = open_source(source, PCM)
        opened.put_back()
        opened.close()
    part_of(open_source(source, PCM))
    with pytest.raises(AudioError) as caught:
        open_source(source, PCM)
    way = caught.value.text.rpartition("only the rest, ")[2]
    rest = heard(open_source(eval(way, {"itertools": itertools, "source": source}), PCM))
    assert rest
    assert DATA.endswith(rest)


@pytest.mark.parametrize("kind", [*ONCE, *AGAIN])
def test_nothing_is_lost_of_a_source_that_was_opened_and_not_sent(kind: str) -> None:
    source = {**ONCE, **AGAIN}[kind](DATA)
    for _ in range(3):  # a service that is down
        opened = open_source(source, PCM)
        opened.put_back()
        opened.close()
    assert heard(open_source(source, PCM)) == DATA


def test_a_generator_is_whole_after_attempts_that_have_read_it_to_different_places() -> None:
    generator = (DATA[at : at + 4] for at in range(0, len(DATA), 4))
    for audio_format in (PCM, None, PCM):  # without a format, what may be a header is read too
        opened = open_source(generator, audio_format)
        opened.put_back()
        opened.close()
        del opened
        gc.collect()
    assert heard(open_source(generator, PCM)) == DATA


def test_what_an_attempt_has_not_read_of_what_one_before_has_is_not_lost_if_it_fails_to_begin() -> None:
    generator = (DATA[at : at + 4] for at in range(0, len(DATA), 4))
    for _ in range(2):
        opened = open_source(generator)  # reads what may be a header
        opened.put_back()
        opened.close()
    opened = open_source(generator, PCM)
    assert next(iter(opened)) == DATA[:4]
    opened.put_back()
    opened.close()
    with pytest.raises(AudioError, match="was read up to byte 12 by a call that failed"):
        open_source(generator, PCM)


def test_a_source_that_is_dropped_is_not_closed_by_a_finaliser() -> None:
    opened = open_source(iter([DATA[:1000]] * 5), PCM)
    chunks = iter(opened)
    for _ in range(2):
        next(chunks)
    closed: list[bool] = []
    opened._reading.at_close(lambda: closed.append(True))  # where Ctrl-C would be lost
    del chunks, opened
    gc.collect()
    assert closed == []


def test_a_file_whose_header_is_refused_is_whole_for_the_next_call() -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as stereo:
        stereo.setparams((2, 2, 16000, 0, "NONE", ""))
        stereo.writeframes(bytes(40000))
    for source in (io.BytesIO(out.getvalue()), iter([out.getvalue()])):
        with pytest.raises(AudioError, match="2 channels"):
            open_source(source)
        assert heard(open_source(source, AudioFormat())) == out.getvalue()


def test_a_source_that_its_owner_has_moved_is_not_refused() -> None:
    class Moved(Pipe):
        def tell(self) -> int:
            return self._data.tell()

    source = Moved(DATA)
    part_of(open_source(source, PCM))
    source._data.seek(0)
    assert heard(open_source(source, PCM)) == DATA


def test_a_source_that_fails_to_go_back_is_refused_like_one_that_cannot(caplog: Any) -> None:
    class Stuck(io.BytesIO):
        def seek(self, *where: Any) -> int:
            raise OSError("tape is torn")

    source = Stuck(DATA)
    part_of(open_source(source, PCM))
    assert "tape is torn" in caplog.text
    with pytest.raises(AudioError, match="read up to byte"):
        open_source(source, PCM)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="objects are told apart here, not pipes")
@pytest.mark.parametrize("kind", ["descriptor", "path", "buffered", "socket"])
@pytest.mark.parametrize("sent", [True, False])
def test_a_pipe_is_the_same_source_by_whatever_object_it_is_read(kind: str, sent: bool) -> None:
    left, right = socket.socketpair() if kind == "socket" else (None, None)
    reader, writer = (left.fileno(), right.fileno()) if left and right else os.pipe()

    def opened() -> Any:
        if kind == "path":
            return f"/dev/fd/{reader}"
        return open(reader, "rb", buffering=-1 if kind == "buffered" else 0, closefd=False)

    os.write(writer, DATA[:20000])
    first, second = opened(), opened()
    source = open_source(first, PCM)
    if sent:
        part_of(source)
        with pytest.raises(AudioError, match="read up to byte"):
            open_source(second, PCM)
    else:
        source.put_back()
        source.close()
        if kind == "buffered":  # what the first one has in its buffer is out of reach
            with pytest.raises(AudioError, match="read up to byte"):
                open_source(second, PCM)
        else:
            os.close(writer) if right is None else right.shutdown(socket.SHUT_WR)
            assert heard(open_source(second, PCM)) == DATA[:20000]
    for end in (first, second):
        getattr(end, "close", int)()
    if left and right:
        left.close()
        right.close()
    else:
        os.close(reader)
        if sent or kind == "buffered":
            os.close(writer)


UNTRACKED: dict[str, Callable[[list[bytes]], Iterator[bytes]]] = {
    "iterator of a list": iter,
    "map": partial(map, bytes),
    "chain": itertools.chain,
}


class Recording(list[bytes]):
    """Of which it is seen when it is let go."""


@pytest.mark.parametrize("kind", UNTRACKED)
@pytest.mark.parametrize("sent", [True, False])
def test_what_has_no_weak_references_is_let_go_at_the_next_call(kind: str, sent: bool) -> None:
    def fail() -> weakref.ref[Recording]:
        recording = Recording([DATA] * 4)
        opened = open_source(UNTRACKED[kind](recording), PCM)
        if sent:
            part_of(opened)
        else:
            opened.put_back()
        return weakref.ref(recording)

    recordings = [fail() for _ in range(12)]
    heard(open_source(DATA, PCM))
    assert [recording() for recording in recordings] == [None] * 12


@pytest.mark.parametrize("kind", UNTRACKED)
def test_any_number_of_sources_without_weak_references_is_remembered(kind: str) -> None:
    sources = [UNTRACKED[kind]([DATA] * 2) for _ in range(50)]
    for source in sources:
        part_of(open_source(source, PCM))
    for source in sources:
        with pytest.raises(AudioError, match="read up to byte"):
            open_source(source, PCM)


def test_a_source_may_be_collected_while_others_are_looked_through() -> None:
    kept = [iter(blocks) for blocks in ([DATA] for _ in range(1000))]
    pairs = [(number, number) for number in range(5000)]  # so that none is at hand to be used again
    for source in kept:
        leftover.remember(id(source), source, 1, None)
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        gc.collect()
        circle = type("Circle", (io.BytesIO,), {})()
        circle.itself = circle
        key = id(circle)
        leftover.remember(key, circle, 1, None)
        del circle
        gc.set_threshold(200)
        gc.enable()
        leftover.let_go()
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
        del source, kept, pairs
    gc.collect()
    leftover.let_go()
    assert key not in leftover._left


def test_many_threads_may_fail_at_once() -> None:
    failures: list[BaseException] = []
    kept = [map(bytes, [DATA] * 2) for _ in range(300)]

    def work() -> None:
        try:
            for source in [map(bytes, [DATA] * 2) for _ in range(50)]:
                part_of(open_source(source, PCM))
        except BaseException as exc:  # shown by the main thread
            failures.append(exc)

    for source in kept:
        part_of(open_source(source, PCM))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert failures == []


def test_what_cannot_go_back_is_not_kept_alive() -> None:
    class Big(Pipe):
        gone = 0

        def __del__(self) -> None:
            Big.gone += 1

    for _ in range(20):
        part_of(open_source(Big(DATA), PCM))
    gc.collect()
    assert Big.gone == 20


def test_a_call_that_ended_well_leaves_a_source_where_it_is() -> None:
    file = io.BytesIO(DATA)
    assert heard(open_source(file, PCM)) == DATA
    assert file.tell() == len(DATA)


# -- tiny pieces -----------------------------------------------------------------------------------------


def test_tiny_pieces_are_gathered() -> None:
    chunks = list(open_source((DATA[at : at + 1] for at in range(len(DATA))), PCM))
    assert b"".join(chunks) == DATA
    assert len(chunks) < 2000  # of 25,000; how many are at hand is for the two threads to say


def test_what_is_at_hand_of_tiny_pieces_is_passed_on_while_the_source_waits() -> None:
    pieces: queue.Queue[bytes] = queue.Queue()
    for _ in range(30):
        pieces.put(b"ab")
    source = open_source(iter(pieces.get, b""), PCM)
    chunks = iter(source)
    got = b""
    while len(got) < 60:
        got += next(chunks)
    pieces.put(b"c")
    pieces.put(b"d")  # each comes when it is there, no matter that no more comes
    got = b""
    while len(got) < 2:
        got += next(chunks)
    assert got == b"cd"
    pieces.put(b"")
    assert list(chunks) == []
    source.close()


def test_ordinary_pieces_are_passed_on_as_they_are_by_one_thread() -> None:
    before = set(threading.enumerate())
    source = iter(open_source((bytes(160) for _ in range(3)), AudioFormat("mulaw", 8000)))
    assert [len(chunk) for chunk in source] == [160] * 3
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("size", [2, 320])
@pytest.mark.parametrize("refused", [False, True])
def test_a_source_that_is_dropped_runs_nothing_in_which_ctrl_c_would_be_lost(
    size: int, refused: bool
) -> None:
    pieces = itertools.repeat(bytes(size))
    if refused:
        open_source(pieces, PCM).put_back()
    source = open_source(pieces, PCM)
    reads = [iter(source)]
    next(reads[0]), next(reads[0])
    source.close()
    source = None
    gc.collect()  # what other tests have left is dropped here, and not while lines are counted
    interrupt = Interrupt()
    assert interrupt.during(reads.clear) is None
    assert interrupt.lines == 0


def test_an_error_after_tiny_pieces_comes_after_all_of_them() -> None:
    def failing() -> Iterator[bytes]:
        yield from itertools.repeat(b"ab", 50)
        raise ZeroDivisionError("sensor")

    got = b""
    with pytest.raises(AudioError, match="failed after 100 bytes: ZeroDivisionError"):
        for chunk in open_source(failing(), PCM):
            got += chunk
    assert got == b"ab" * 50


def test_closing_ends_the_thread_that_reads_ahead_and_one_that_waits_for_room() -> None:
    before = set(threading.enumerate())
    source = open_source(itertools.repeat(b"ab"), PCM)
    chunks = iter(source)
    next(chunks), next(chunks)
    (reading,) = set(threading.enumerate()) - before
    source.close()
    source.close()
    assert not reading.is_alive()


# -- any of it -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    data=st.binary(min_size=2, max_size=20_000).map(lambda data: data[: len(data) // 2 * 2]),
    sizes=st.lists(st.integers(0, 3000), max_size=40),
    chunk=st.integers(1, 3000).map(lambda count: 2 * count),
    kind=st.sampled_from(
        ["list", "generator", "file", "pipe", "buffered", "bytes", "bytearray", "memoryview"]
    ),
    failing=st.lists(st.none() | st.integers(1, 3000).map(lambda count: 2 * count), max_size=3),
)
def test_any_source_in_any_pieces_gives_the_same_bytes_whatever_attempts_have_failed(
    data: bytes, sizes: list[int], chunk: int, kind: str, failing: list[Optional[int]]
) -> None:
    def cut() -> Iterator[bytes]:
        at = 0
        for size in sizes:
            yield data[at : at + size]
            at += size
        yield data[at:]

    class Reads:
        def __init__(self) -> None:
            self._blocks = cut()

        def read(self, size: int) -> bytes:
            return next((block for block in self._blocks if block), b"")

    source: Any = {
        "list": lambda: list(cut()),
        "generator": cut,
        "file": lambda: io.BytesIO(data),
        "pipe": Reads,
        "buffered": lambda: io.BufferedReader(Pipe(data), 100),
        "bytes": lambda: data,
        "bytearray": lambda: bytearray(data),
        "memoryview": lambda: memoryview(data),
    }[kind]()
    assume(about_container(data) is None)  # what begins like a picture, say, is refused
    audio_format = AudioFormat("pcm_s16le", 16000, chunk_size=chunk)
    for size in failing:  # each reads as far as its format asks for
        with contextlib.suppress(AudioError):  # what looks like text, say, is none
            opened = open_source(source, None if size is None else replace(audio_format, chunk_size=size))
            opened.put_back()
            opened.close()
    source = open_source(source, audio_format)
    chunks = list(source)
    source.close()
    assert b"".join(chunks) == data
    assert all(type(piece) is bytes and 0 < len(piece) <= chunk and len(piece) % 2 == 0 for piece in chunks)


@pytest.mark.parametrize(
    ("kind", "times"), [(bytes, 0.1), (memoryview, 0.1), (bytearray, 1.1)], ids=["bytes", "view", "bytearray"]
)
@pytest.mark.parametrize("audio_format", [None, PCM, AudioFormat()])
def test_what_is_in_memory_already_is_cut_and_not_copied(kind: Any, times: float, audio_format: Any) -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as mono:
        mono.setparams((1, 2, 16000, 0, "NONE", ""))
        mono.writeframes(bytes(8 << 20))
    source = kind(out.getvalue())
    tracemalloc.start()
    try:
        total = sum(map(len, open_source(source, audio_format)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total >= 8 << 20
    assert peak < times * total


def test_a_file_whose_first_bytes_were_looked_at_goes_in_whole_chunks_and_is_read_by_one_thread(
    tmp_path,
) -> None:
    path = tmp_path / "speech.mp3"
    path.write_bytes(DATA)
    for audio in (path, io.BytesIO(DATA), DATA, memoryview(DATA)):
        source = open_source(audio)
        chunks = iter(source)
        sizes = [len(next(chunks))]
        before = set(threading.enumerate())
        sizes += map(len, chunks)
        assert set(sizes[:-1]) == {4096}
        assert set(threading.enumerate()) <= before
        source.close()
