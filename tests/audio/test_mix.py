"""Several channels made one, in each encoding that goes raw."""

from __future__ import annotations

import io
import struct

import pytest

from speechmatics_rt.audio import mix_channels
from speechmatics_rt.exceptions import AudioError


def wav(tag: int, bits: int, channels: int, data: bytes) -> io.BytesIO:
    size = bits // 8 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, 8000, 8000 * size, size, bits)
    whole = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return io.BytesIO(struct.pack("<4sI", b"RIFF", len(whole)) + whole)


def test_the_loudest_of_three_channels_does_not_overflow() -> None:
    data = struct.pack("<6h", 32767, 32767, 32767, -32768, -32768, -32768)
    assert b"".join(mix_channels(wav(1, 16, 3, data))) == struct.pack("<2h", 32767, -32768)


def test_floats_stay_floats() -> None:
    source = mix_channels(wav(3, 32, 2, struct.pack("<4f", 0.5, 0.0, -1.0, 1.0)))
    assert source.audio_format.to_dict()["encoding"] == "pcm_f32le"
    assert struct.unpack("<2f", b"".join(source)) == (0.25, 0.0)


def test_mu_law_becomes_linear() -> None:
    source = mix_channels(wav(7, 8, 2, bytes([0xFF, 0xFF, 0x80, 0x80, 0x00, 0x00, 0x00, 0x80])))
    assert source.audio_format.to_dict() == {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}
    assert struct.unpack("<4h", b"".join(source)) == (0, 32124, -32124, 0)  # the table of G.711


def test_a_mono_wav_stays_as_it_is_and_its_length_is_known() -> None:
    source = mix_channels(wav(1, 16, 1, bytes(16000)))
    assert source.duration == 1.0
    assert b"".join(source) == bytes(16000)


def test_a_wav_that_ends_inside_a_frame_gives_its_whole_ones_with_a_warning(caplog) -> None:
    source = mix_channels(io.BytesIO(wav(1, 16, 2, bytes(8)).getvalue()[:-1]))
    assert b"".join(source) == bytes(2)
    assert "WAV" in caplog.text


def test_what_is_no_wav_is_refused() -> None:
    with pytest.raises(AudioError, match="not a WAV"):
        mix_channels(io.BytesIO(bytes(100)))
