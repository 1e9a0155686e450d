"""Raw samples, WAV and other containers become 16 kHz int16, however the bytes were cut."""

from __future__ import annotations

import io
import struct
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("soxr")

from speechmatics_rt import Client, TranscriptionError  # noqa: E402
from speechmatics_rt.exceptions import AudioError, ConfigurationError  # noqa: E402
from speechmatics_rt.local import LocalServer  # noqa: E402
from speechmatics_rt.local.whisper.decoders import (  # noqa: E402
    Decoder,
    FileDecoder,
    decoder_for,
    raw_decoder,
)

pytestmark = pytest.mark.speech


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> Any:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def int16(samples: Any) -> bytes:
    return bytes(np.rint(samples * 32767).astype("<i2").tobytes())


def decoded(decoder: Decoder, data: bytes, piece: int = 1000) -> Any:
    out = b"".join(decoder.feed(data[at : at + piece]) for at in range(0, len(data), piece))
    return np.frombuffer(out + decoder.finish(), "<i2") / 32768


def wav(
    fmt: bytes, data: bytes, before: bytes = b"", size: Optional[int] = None, riff: bytes = b"RIFF"
) -> bytes:
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + before
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return riff + struct.pack("<I", len(body)) + body


def fmt(tag: int, channels: int, rate: int, bits: int) -> bytes:
    width = bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, bits)


def test_16_kHz_int16_comes_out_bit_for_bit() -> None:
    data = bytes(np.arange(-32768, 32768, dtype="<i2").tobytes())
    decoder = raw_decoder("pcm_s16le", 16000)
    assert decoder.feed(data) + decoder.finish() == data


@pytest.mark.parametrize("piece", [1, 3, 7, 4096])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw"])
def test_samples_cut_between_messages_are_put_together(encoding: str, piece: int) -> None:
    samples = tone(0.05, 16000)
    data = {"pcm_s16le": int16(samples), "pcm_f32le": samples.tobytes(), "mulaw": bytes(range(256))}[encoding]
    whole = decoded(raw_decoder(encoding, 16000), data, len(data))
    assert len(whole)
    np.testing.assert_array_equal(decoded(raw_decoder(encoding, 16000), data, piece), whole)


def test_a_sample_never_completed_is_dropped() -> None:
    decoder = raw_decoder("pcm_f32le", 16000)
    assert decoder.feed(b"\0\0\0") + decoder.finish() == b""


def test_mu_law_has_the_values_of_G_711() -> None:
    values = np.frombuffer(raw_decoder("mulaw", 16000).feed(bytes(range(256))), "<i2")
    assert list(values[[0x00, 0x0F, 0x7F, 0x80, 0x8F, 0xFF]]) == [-32124, -16764, 0, 32124, 16764, 0]
    assert sorted(values[128:], reverse=True) == list(values[128:])
    np.testing.assert_array_equal(values[:128], -values[128:])


def test_floats_that_are_no_numbers_become_silence_and_loud_ones_are_clipped() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 7.0, -7.0, 0.25], "<f4").tobytes()
    values = np.frombuffer(raw_decoder("pcm_f32le", 16000).feed(data), "<i2")
    assert list(values) == [0, 32767, -32768, 32767, -32768, 8192]


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_comes_out_at_16_kHz_with_length_and_pitch_kept(rate: int) -> None:
    samples = decoded(raw_decoder("pcm_f32le", rate), tone(1.0, rate).tobytes(), 999)
    assert abs(len(samples) - 16000) <= 2
    assert np.argmax(np.abs(np.fft.rfft(samples[:16000]))) == 440
    assert np.max(np.abs(samples[1000:-1000])) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("audio_format", "names"),
    [
        ({"type": "raw", "encoding": "pcm_s8", "sample_rate": 16000}, "pcm_s8"),
        ({"type": "raw", "encoding": "mulaw", "sample_rate": 0}, "sample rate"),
        ({"type": "raw", "encoding": "mulaw"}, "sample rate"),
        ({"type": "tape"}, "tape"),
    ],
)
def test_a_format_that_is_none_is_refused_before_any_audio(audio_format: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        decoder_for(audio_format)


def encoded_wavs() -> Iterator[tuple[str, bytes]]:
    x = tone(0.5, 16000)
    yield "u8", wav(fmt(1, 1, 16000, 8), np.rint(x * 127 + 128).astype(np.uint8).tobytes())
    yield "s16", wav(fmt(1, 1, 16000, 16), int16(x))
    wide = np.rint(x * (2**31 - 1)).astype("<i4")
    yield "s24", wav(fmt(1, 1, 16000, 24), wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes())
    yield "s32", wav(fmt(1, 1, 16000, 32), wide.tobytes())
    yield "f32", wav(fmt(3, 1, 16000, 32), x.tobytes())
    yield "f64", wav(fmt(3, 1, 16000, 64), x.astype("<f8").tobytes())
    both = np.stack([x, np.zeros_like(x)], axis=1) * 2
    yield "stereo", wav(fmt(3, 2, 16000, 32), both.astype("<f4").tobytes())
    subformat = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    yield "extensible", wav(fmt(0xFFFE, 1, 16000, 16) + subformat, int16(x))
    titles = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"  # of odd length: a byte is filled in
    yield (
        "titles before, cues behind",
        wav(fmt(1, 1, 16000, 16), int16(x), titles, len(x) * 2) + b"cue " + bytes(9),
    )
    yield "piped", wav(fmt(1, 1, 16000, 16), int16(x), size=0xFFFFFFFF)
    yield "RF64", wav(fmt(1, 1, 16000, 16), int16(x), size=0xFFFFFFFF, riff=b"RF64")


WAVS = list(encoded_wavs())


@pytest.mark.parametrize("piece", [1, 1000])
@pytest.mark.parametrize(("name", "data"), WAVS, ids=[name for name, _ in WAVS])
def test_a_wav_of_any_usual_kind_is_read_as_it_arrives(name: str, data: bytes, piece: int) -> None:
    samples = decoded(FileDecoder(), data, piece)
    assert len(samples) == 8000
    np.testing.assert_allclose(samples, tone(0.5, 16000), atol=0.01 if name == "u8" else 1e-4)


def test_the_sound_of_a_wav_comes_out_before_its_end_arrives() -> None:
    data = wav(fmt(1, 1, 16000, 16), int16(tone(0.5, 16000)))
    assert len(FileDecoder().feed(data[:1044])) == 1000


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"RIFF", "ended after 4 bytes"),
        (wav(fmt(1, 1, 16000, 16), b"")[:30], "ended after 30 bytes"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "no 'fmt '"),
        (wav(b"\1\0\1\0", b""), "4 bytes"),
        (wav(fmt(1, 0, 16000, 16), b""), "0 channels"),
    ],
)
def test_a_broken_wav_says_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(AudioError, match=says):
        decoded(FileDecoder(), data)


def test_another_container_without_PyAV_names_what_to_install_and_is_not_worth_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with LocalServer("whisper") as server, Client(url=server.url) as client:
        with pytest.raises(TranscriptionError, match=r"speechmatics-rt-sync\[local-file\]") as caught:
            client.transcribe(b"fLaC" + bytes(1000), timeout=30)
        assert caught.value.type == "invalid_audio_type"
        assert not caught.value.retryable


@pytest.mark.parametrize("has_av", [True, False], ids=["with PyAV", "without"])
def test_headerless_samples_that_come_as_a_file_are_told_how_to_come(
    has_av: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_av:
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    decoder = FileDecoder()
    with pytest.raises(AudioError, match="headerless samples need audio_format="):
        decoded(decoder, int16(tone(1.0, 16000)))
    decoder.close()


def in_container(name: str, codec: str, rate: int = 16000, seconds: float = 2.0) -> bytes:
    av = pytest.importorskip("av")
    target = io.BytesIO()
    with av.open(target, "w", format=name) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(
            np.frombuffer(int16(tone(seconds, rate)), "<i2").reshape(1, -1), format="s16", layout="mono"
        )
        frame.rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    return target.getvalue()


CONTAINERS = [("flac", "flac"), ("mp3", "mp3"), ("ogg", "libopus"), ("mp4", "aac"), ("adts", "aac")]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_other_containers_are_decoded_by_PyAV(name: str, codec: str) -> None:
    rate = 48000 if codec == "libopus" else 16000
    before = set(threading.enumerate())
    decoder = FileDecoder()
    samples = decoded(decoder, in_container(name, codec, rate))
    decoder.close()
    assert len(samples) == pytest.approx(32000, abs=2500)  # lossy codecs fill their last block
    spectrum = np.abs(np.fft.rfft(samples[4000:20000]))
    assert abs(int(np.argmax(spectrum)) - 440) <= 1
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("name", "codec"), [("flac", "flac"), ("mp3", "mp3"), ("ogg", "libopus")])
def test_a_container_made_for_streaming_is_decoded_before_its_end_arrives(name: str, codec: str) -> None:
    data = in_container(name, codec, 48000 if codec == "libopus" else 16000, seconds=20)
    decoder = FileDecoder()
    out = decoder.feed(data[: len(data) // 2])
    deadline = time.monotonic() + 20
    while not out and time.monotonic() < deadline:
        out = decoder.feed(b"")
    decoder.close()
    assert out


def test_a_wav_with_an_unusual_codec_goes_to_PyAV() -> None:
    samples = decoded(FileDecoder(), in_container("wav", "adpcm_ms"))
    assert len(samples) == pytest.approx(32000, abs=2500)


def test_noise_instead_of_a_recording_is_an_audio_error() -> None:
    pytest.importorskip("av")
    decoder = FileDecoder()
    with pytest.raises(AudioError, match="can't be decoded"):
        decoded(decoder, bytes(range(256)) * 20)
    decoder.close()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def holed(data: bytes) -> bytes:
    return cut(data) + b"\xaa" * 300 + data[len(data) // 2 :]


def overwritten(data: bytes) -> bytes:
    return cut(data) + b"\xaa" * 300 + data[len(data) // 2 + 300 :]


def faststart(tmp_path: Path) -> bytes:
    """An m4a whose index stands at its beginning, as those made for the web."""
    av = pytest.importorskip("av")
    path = str(tmp_path / "fast.m4a")
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=16000, frame_size=1024)
        samples = np.frombuffer(int16(tone(2.0, 16000)), "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = 16000
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    return Path(path).read_bytes()


@pytest.mark.parametrize("piece", [700, 10**6])
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("mp3 joined", 4.0),
        ("mp3 joined at another rate", 4.0),
        ("mp3 with a hole", 2.0),
        ("aac with a hole", 2.0),
        ("half a flac", 0.5),
        ("half an m4a", 1.0),
        ("m4a with a hole", 2.0),
    ],
)
def test_a_damaged_recording_gives_what_can_be_heard_and_says_so(
    name: str, seconds: float, piece: int, tmp_path: Path
) -> None:
    mp3 = in_container("mp3", "mp3")
    data = {
        "mp3 joined": lambda: mp3 + mp3,
        "mp3 joined at another rate": lambda: mp3 + in_container("mp3", "mp3", 44100),
        "mp3 with a hole": lambda: holed(mp3),
        "aac with a hole": lambda: holed(in_container("adts", "aac")),
        "half a flac": lambda: cut(in_container("flac", "flac")),
        "half an m4a": lambda: cut(faststart(tmp_path)),
        "m4a with a hole": lambda: overwritten(faststart(tmp_path)),
    }[name]()
    decoder = FileDecoder()
    heard = decoded(decoder, data, piece)
    decoder.close()
    assert seconds - 0.3 < len(heard) / 16000 < seconds + 0.3
    assert decoder.damage


def test_a_whole_recording_has_no_damage(tmp_path: Path) -> None:
    for data in (in_container("mp3", "mp3"), in_container("mp4", "aac"), faststart(tmp_path), WAVS[0][1]):
        decoder = FileDecoder()
        decoded(decoder, data)
        decoder.close()
        assert not decoder.damage


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_wav_that_goes_on_behind_its_sound_says_so_unless_chunks_follow(piece: int) -> None:
    for rest, heard in (
        (b"\x07\xf1\x22\x31" * 1000, "goes on for 4000 bytes"),
        (b"LIST\x04\0\0\0INFO", ""),
        (b"\0LIST\x04\0\0\0INFO", ""),
        (bytes(4000), ""),
    ):
        decoder = FileDecoder()
        assert len(decoded(decoder, wav(fmt(1, 1, 16000, 16), bytes(9000)) + rest, piece)) == 4500
        assert heard in decoder.damage
        assert bool(heard) == bool(decoder.damage)


def test_a_wav_cut_short_says_so() -> None:
    decoder = FileDecoder()
    assert len(decoded(decoder, wav(fmt(1, 1, 16000, 24), bytes(9000), size=90000)))
    assert "81000 bytes before its header says" in decoder.damage


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0) + bytes(3000)
NO_RECORDINGS = {
    "a PDF": b"%PDF-1.7\n" + bytes(5000),
    "text": b"Dear Sir,\r\nthe recording is attached.\r\n" * 99,
    "text: '<!doctype html>": b"<!doctype html>" + b"<p>Not found" * 99,
    "PNG": PNG,
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(3000),
    "ZIP": b"PK\x03\x04" + bytes(3000),
}


@pytest.mark.parametrize("kind", NO_RECORDINGS)
def test_what_is_no_recording_is_called_what_it_is(kind: str) -> None:
    pytest.importorskip("av")
    decoder = FileDecoder()
    with pytest.raises(AudioError, match=f"can't be decoded: it is .*{kind}"):
        decoded(decoder, NO_RECORDINGS[kind])
    decoder.close()


def test_an_m4a_without_its_index_is_called_so() -> None:
    decoder = FileDecoder()
    with pytest.raises(AudioError, match="without its index"):
        decoded(decoder, cut(in_container("mp4", "aac")))
    decoder.close()


def test_what_is_no_recording_ends_the_session_and_is_not_worth_another_try() -> None:
    pytest.importorskip("av")
    with LocalServer("whisper") as server, Client(url=server.url) as client:
        client.start_session()  # transcribe() itself refuses a PDF
        with pytest.raises(TranscriptionError, match="it is a PDF") as caught:
            client.send_audio(NO_RECORDINGS["a PDF"])
            client.stop_session(timeout=30)
        assert caught.value.type == "invalid_audio_type"
        assert not caught.value.retryable


def test_of_a_damaged_recording_the_client_is_warned_and_gets_its_transcript() -> None:
    pytest.importorskip("av")
    warned: list[str] = []
    with LocalServer("whisper") as server, Client(url=server.url) as client:
        client.on("Warning", lambda message: warned.append(message["reason"]))
        client.transcribe(holed(in_container("mp3", "mp3")), timeout=30)
    assert warned == ["1 damaged place in the recording skipped"]


def test_close_in_mid_recording_ends_the_decoding_thread() -> None:
    pytest.importorskip("av")
    before = set(threading.enumerate())
    decoder = FileDecoder()
    decoder.feed(in_container("flac", "flac")[:2000])
    decoder.close()
    decoder.close()
    assert set(threading.enumerate()) <= before


def test_the_file_of_the_examples_is_read_as_the_standard_library_reads_it() -> None:
    path = "examples/audio/librivox_3_sentences.wav"
    with wave.open(path) as file:
        frames = file.readframes(file.getnframes())
    with open(path, "rb") as raw:
        decoder = FileDecoder()
        assert decoder.feed(raw.read()) + decoder.finish() == frames
