"""Mixes the channels of a WAV into one, their mean."""

from __future__ import annotations

import array
import sys
from functools import partial
from typing import Any

from ..config import AudioEncoding, AudioFormat
from . import wav
from .reading import Reading, Source
from .source import AudioSource
from .split import whole_frames

__all__ = ["mix_channels"]

_FRAMES = 16384  # bytes read at a time
_NO_WAV = "its channels can't be mixed: it is not a WAV of PCM or mu-law samples"


def mix_channels(source: Source) -> AudioSource:
    """Open a WAV of PCM or mu-law with any number of channels as a source with one.

    Mu-law becomes 16-bit PCM, since its samples can't be added; other encodings stay as they are.

    Raises:
        AudioError: The source can't be read, or is something else.

    Example:
        >>> import io, wave
        >>> call = io.BytesIO()
        >>> with wave.open(call, "wb") as stereo:
        ...     stereo.setparams((2, 2, 16000, 0, "NONE", ""))
        ...     stereo.writeframes(b"".join(n.to_bytes(2, "little") for n in (100, 300, 5, 7)))
        >>> list(mix_channels(io.BytesIO(call.getvalue())))[0].hex()
        'c8000600'
    """
    reading = Reading(source, _FRAMES, None)
    try:
        stream = wav.Stream(reading)
        header = wav.read_header(stream, reading.fault, lambda _: None)
        if header is None:
            raise reading.fault(_NO_WAV)  # noqa: TRY301  # closed below
        one, channels = header.audio_format, header.channels
        encoding = AudioEncoding(one.encoding)
        frames = whole_frames(wav.samples(stream, header, reading.warn), header.frame, reading.warn)
        mixed = (_mixed(block, encoding, channels) for block in frames)
        raw = AudioFormat("pcm_s16le", one.sample_rate) if encoding is AudioEncoding.MULAW else one
        again = partial(mix_channels, source)
        return AudioSource(mixed, raw, duration=header.lasts(reading.length), reading=reading, again=again)
    except BaseException:
        reading.put_back()
        reading.close()
        raise


def _mixed(block: bytes, encoding: AudioEncoding, channels: int) -> bytes:
    """Mix whole frames."""
    floats = encoding is AudioEncoding.PCM_F32LE
    samples: Any
    if encoding is AudioEncoding.MULAW:
        samples = [_LINEAR[code] for code in block]
    else:
        samples = array.array("f" if floats else "h", block)
        if sys.byteorder == "big":
            samples.byteswap()
    sums = map(sum, zip(*(samples[number::channels] for number in range(channels))))
    means = (total / channels for total in sums) if floats else (total // channels for total in sums)
    mixed: Any = array.array("f" if floats else "h", means)
    if sys.byteorder == "big":
        mixed.byteswap()
    done: bytes = mixed.tobytes()
    return done


def _linear(code: int) -> int:
    """Decode one mu-law sample (ITU-T G.711)."""
    code = ~code & 0xFF
    size = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - size if code & 0x80 else size - 0x84


_LINEAR = [_linear(code) for code in range(256)]
