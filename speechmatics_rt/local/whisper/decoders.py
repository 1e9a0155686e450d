"""Converts what clients send to the one format of the recogniser: 16 kHz, one channel, 16 bit.

Each decoder takes audio in pieces cut at any byte, and returns little-endian ``int16`` samples as ``bytes``:
the format of the voice detector, exact for telephone and CD audio alike.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Callable, Optional, Protocol

import numpy as np

from ...exceptions import AudioError, ConfigurationError
from .container import Container

__all__ = ["SAMPLE_RATE", "Decoder", "FileDecoder", "SampleDecoder", "decoder_for", "raw_decoder"]

SAMPLE_RATE = 16_000  # what Whisper and the voice detector were made for

Samples = Any  # numpy array of float32, -1 to 1


class Decoder(Protocol):
    """Bytes of one format in, 16 kHz samples out; from one thread."""

    @property
    def damage(self) -> str:
        """What could not be heard, once finished; empty if all was."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return the samples they complete."""

    def finish(self) -> bytes:
        """Return the samples still held back; nothing can be fed after it."""

    def close(self) -> None:
        """Give up without the rest; harmless after finish and when called twice."""


def decoder_for(audio_format: Mapping[str, Any]) -> Decoder:
    """Make the decoder for the ``audio_format`` of a StartRecognition message.

    Raises:
        ConfigurationError: The encoding is none of ``pcm_s16le``, ``pcm_f32le`` and ``mulaw``, the
            rate is not positive, or the type is neither ``raw`` nor ``file``.
    """
    kind = audio_format.get("type")
    if kind == "raw":
        return raw_decoder(str(audio_format.get("encoding")), audio_format.get("sample_rate"))
    if kind == "file":
        return FileDecoder()
    raise ConfigurationError(f"audio_format.type must be 'raw' or 'file', not {kind!r}")


# -- one encoding to float32 ------------------------------------------------------------------------


def _mulaw_table() -> Samples:
    """Expand all 256 codes of ITU-T G.711 mu-law: a sign, three bits of exponent, four of mantissa."""
    code: Samples = ~np.arange(256, dtype=np.uint8)  # the line carries them inverted
    exponent = (code >> 4 & 7).astype(np.int32)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << exponent) - 132
    return (np.where(code & 128, -magnitude, magnitude) / 32768).astype(np.float32)


_MULAW = _mulaw_table()


def _floats(data: bytes, dtype: str) -> Samples:
    # NaN and infinities would spread through the resampler over all that follows
    finite: Samples = np.nan_to_num(np.frombuffer(data, dtype), nan=0.0, posinf=1.0, neginf=-1.0)
    return finite.clip(-1, 1).astype(np.float32)


def _int24(data: bytes) -> Samples:
    wide: Samples = np.zeros((len(data) // 3, 4), np.uint8)  # the lowest byte stays 0: as loud in 32 bits
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _integers(wide.tobytes(), "<i4")


def _integers(data: bytes, dtype: str) -> Samples:
    samples = np.frombuffer(data, dtype)
    return (samples / -float(np.iinfo(dtype).min)).astype(np.float32)


_Encoding = tuple[int, Callable[[bytes], Samples]]  # bytes a sample, and how they are read
_ENCODINGS: dict[str, _Encoding] = {
    "pcm_s16le": (2, lambda data: _integers(data, "<i2")),
    "pcm_f32le": (4, lambda data: _floats(data, "<f4")),
    "mulaw": (1, lambda data: _MULAW[np.frombuffer(data, np.uint8)]),
}
_WAV_ENCODINGS: dict[tuple[int, int], _Encoding] = {  # by format tag and bits a sample
    (1, 8): (1, lambda data: (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128),
    (1, 16): _ENCODINGS["pcm_s16le"],
    (1, 24): (3, _int24),
    (1, 32): (4, lambda data: _integers(data, "<i4")),
    (3, 32): _ENCODINGS["pcm_f32le"],
    (3, 64): (8, lambda data: _floats(data, "<f8")),
    (7, 8): _ENCODINGS["mulaw"],
}


def raw_decoder(encoding: str, sample_rate: Any) -> SampleDecoder:
    """Make the decoder of headerless samples of one channel.

    Args:
        encoding: ``pcm_s16le``, ``pcm_f32le`` or ``mulaw``.
        sample_rate: In Hz; whatever it is, 16 kHz come out.

    Example:
        >>> decoder = raw_decoder("pcm_s16le", 16000)
        >>> decoder.feed(bytes([1, 2, 3])), decoder.feed(bytes([4]))
        (b'\\x01\\x02', b'\\x03\\x04')
    """
    if encoding not in _ENCODINGS:
        raise ConfigurationError(f"the encoding must be one of {', '.join(_ENCODINGS)}, not {encoding!r}")
    return SampleDecoder(_ENCODINGS[encoding], sample_rate, channels=1)


class SampleDecoder:
    """Interleaved frames of one encoding; the bytes of a cut one wait for the rest, or are dropped."""

    damage = ""

    def __init__(self, encoding: _Encoding, sample_rate: Any, channels: int) -> None:
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate <= 0:
            raise ConfigurationError(f"the sample rate must be a positive number of Hz, not {sample_rate!r}")
        width, self._read = encoding
        self._channels = channels
        self._frame = width * channels
        self._rest = b""
        self._resampler: Any = None
        if sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32")

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % self._frame
        self._rest = data[whole:]
        return self._resampled(data[:whole], last=False) if whole else b""

    def finish(self) -> bytes:
        return self._resampled(b"", last=True) if self._resampler is not None else b""

    def close(self) -> None:
        """Nothing is held but memory."""

    def _resampled(self, data: bytes, *, last: bool) -> bytes:
        samples = self._read(data)
        if self._channels > 1:
            samples = samples.reshape(-1, self._channels).mean(axis=1)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        return _int16(samples)


def _int16(samples: Samples) -> bytes:
    scaled: Samples = np.rint(samples * 32768).clip(-32768, 32767)
    return bytes(scaled.astype("<i2").tobytes())


# -- recordings with a header -----------------------------------------------------------------------


class FileDecoder:
    """A recording in its container, recognised by its first bytes.

    WAV with integers of 8 to 32 bits, floats or mu-law is read here, as it arrives; any number of
    channels becomes one. Everything else is PyAV's.

    Raises:
        AudioError: From ``feed`` or ``finish``: the recording can't be read.
    """

    def __init__(self) -> None:
        self._head = b""
        self._inner: Optional[Decoder] = None

    @property
    def damage(self) -> str:
        return self._inner.damage if self._inner is not None else ""

    def feed(self, data: bytes) -> bytes:
        if self._inner is None:
            self._head += data
            opened = _opened(self._head)
            if opened is None:
                return b""
            self._inner, data = opened
            self._head = b""
        return self._inner.feed(data)

    def finish(self) -> bytes:
        if self._inner is None and self._head:
            raise AudioError(f"the recording ended after {len(self._head)} bytes, inside its header")
        return self._inner.finish() if self._inner is not None else b""

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()


class _WavData:
    """The ``data`` chunk of a WAV; what may follow it (titles, cue points) is no sound."""

    def __init__(self, samples: SampleDecoder, size: Optional[int]) -> None:
        self._samples = samples
        self._left = size
        self._behind = b""  # the first bytes of what follows
        self._further = 0  # bytes that follow
        self.damage = ""

    def feed(self, data: bytes) -> bytes:
        if self._left is not None:
            further = data[self._left :]
            data = data[: self._left]
            self._left -= len(data)
            self._behind += further[: 5 - len(self._behind)]
            self._further += len(further)
        return self._samples.feed(data)

    def finish(self) -> bytes:
        if self._left:
            self.damage = f"the WAV ends {self._left} bytes before its header says"
        elif self._further >= 12 and not _begins_chunk(self._behind):
            self.damage = (
                f"the WAV goes on for {self._further} bytes behind the sound that its header announces, with "
                "no chunk of a WAV; they are not heard"
            )
        return self._samples.finish()

    def close(self) -> None:
        """Nothing is held but memory."""


def _begins_chunk(data: bytes) -> bool:
    """Whether there is the name of a chunk, perhaps behind a byte of padding, or nothing but zeros."""
    names = (data[:4], data[1:5] if data[:1] == b"\0" else b"")
    return not any(data) or any(
        name.isascii() and name.decode("ascii").isprintable() for name in names if name
    )


_HEAD_LIMIT = 1 << 20  # cover pictures may stand before the sound; what is longer is no header


def _opened(head: bytes) -> Optional[tuple[Decoder, bytes]]:
    """Choose the decoder and the bytes that are its own; None while the header is incomplete."""
    if len(head) < 12:
        return None
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return Container(SAMPLE_RATE), head
    encoding: Optional[tuple[_Encoding, int, int]] = None
    at = 12
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            if encoding is None:
                raise AudioError("the WAV has no 'fmt ' chunk before its sound")
            # programs that write to a pipe can't know the size: they leave 0 or the largest number
            return _WavData(SampleDecoder(*encoding), size if 0 < size < 0xFFFFFF00 else None), head[at:]
        if at + size > len(head):
            break
        if name == b"fmt ":
            encoding = _wav_format(head[at : at + size])
            if encoding is None:
                return Container(SAMPLE_RATE), head
        at += size + size % 2  # chunks start at even places
    if len(head) > _HEAD_LIMIT:
        raise AudioError(f"the WAV has no sound in its first {_HEAD_LIMIT} bytes")
    return None


def _wav_format(chunk: bytes) -> Optional[tuple[_Encoding, int, int]]:
    """Read a ``fmt `` chunk: encoding, sample rate, channels; None if the encoding is another's to read."""
    if len(chunk) < 16:
        raise AudioError(f"the WAV's 'fmt ' chunk has {len(chunk)} bytes, not 16 or more")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == 0xFFFE and len(chunk) >= 26:  # "extensible": the tag proper opens the sub-format's GUID
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if not channels or not rate:
        raise AudioError(f"the WAV claims {channels} channels at {rate} Hz")
    encoding = _WAV_ENCODINGS.get((tag, bits))
    return None if encoding is None else (encoding, rate, channels)
