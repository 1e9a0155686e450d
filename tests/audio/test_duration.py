"""How long a source sounds, where that can be known before it has sounded."""

from __future__ import annotations

import gzip
import io
import os
import wave
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.audio import open_source, split_channels
from speechmatics_rt.audio.mix import mix_channels
from speechmatics_rt.config import AudioFormat

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def recording(seconds: float, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setparams((channels, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(int(seconds * 32000) * channels))
    return out.getvalue()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "audio.raw"
    path.write_bytes(SECOND * 3)
    return path


def lasts(source: Any, audio_format: Any = PCM) -> Any:
    opened = open_source(source, audio_format)
    opened.close()
    return opened.duration


def test_raw_samples_in_memory_and_on_a_disk_have_their_length(raw: Path) -> None:
    assert [lasts(kind(SECOND)) for kind in (bytes, bytearray, memoryview, io.BytesIO)] == [1.0] * 4
    assert lasts(memoryview(SECOND).cast("H")) == 1.0
    assert lasts(raw) == 3.0
    with open(raw, "rb") as buffered, open(raw, "rb", buffering=0) as unbuffered:
        assert lasts(buffered) == lasts(unbuffered) == 3.0


def test_what_was_read_before_does_not_count(raw: Path) -> None:
    with open(raw, "rb") as file:
        file.read(32000)
        assert lasts(file) == 2.0
    memory = io.BytesIO(SECOND * 3)
    memory.seek(64000)
    assert lasts(memory) == 1.0


def test_nothing_is_promised_of_what_only_its_end_can_tell(tmp_path: Path, raw: Path) -> None:
    packed = tmp_path / "audio.gz"
    packed.write_bytes(gzip.compress(SECOND))
    with gzip.open(packed) as file:
        assert lasts(file) is None
    assert lasts(iter([SECOND])) is None
    assert lasts(b"ID3" + bytes(900), None) is None
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb") as feed:
        feed.write(bytes(640))
        feed.flush()
        assert lasts(pipe) is None


def test_a_wav_lasts_as_its_header_says_and_less_if_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(recording(2.5))
    assert lasts(path, None) == lasts(iter([recording(2.5)]), None) == 2.5
    path.write_bytes(recording(2.5)[:-32000])
    assert lasts(path, None) == 1.5


def test_the_channels_of_a_stereo_wav_last_as_long_as_it_does(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(recording(2.0, channels=2))
    sources = split_channels(path, ["agent", "caller"])
    for source in (*sources.values(), mix_channels(path)):
        assert source.duration == 2.0
        source.close()
