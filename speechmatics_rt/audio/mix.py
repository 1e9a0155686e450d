"""Mixes the channels of a WAV into one, their mean."""

from __future__ import annotations

import array
import sys
from functools import partial
from typing import Any

from ..config import AudioEncoding, AudioFormat
from . import wav
from .channels import frames_of, header_of
from .linear import to_16_bit
from .reading import Reading, Source
from .source import AudioSource

__all__ = ["mix_channels"]

_FRAMES = 16384  # bytes read at a time


def mix_channels(source: Source) -> AudioSource:
    """Open a WAV of PCM, mu-law or A-law with any number of channels as a source with one.

    Floats stay floats; everything else becomes 16-bit PCM.

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
        stream = wav.ByteStream(reading, length=reading.length)
        header = header_of(stream, reading, lambda form: None)
        kind, rate, channels = header.form
        floats = kind.encoding is AudioEncoding.PCM_F32LE
        frames = frames_of(stream, header, reading)
        mixed = (_mixed(block if floats else to_16_bit(block, kind), channels, floats) for block in frames)
        raw = AudioFormat("pcm_f32le" if floats else "pcm_s16le", rate)
        again = partial(mix_channels, source)
        return AudioSource(mixed, raw, duration=header.lasts(reading.length), reading=reading, again=again)
    except BaseException:
        reading.put_back()
        reading.close()
        raise


def _mixed(block: bytes, channels: int, floats: bool) -> bytes:
    """Mix whole frames."""
    samples: Any = array.array("f" if floats else "h", block)
    if sys.byteorder == "big":
        samples.byteswap()
    sums = map(sum, zip(*(samples[number::channels] for number in range(channels))))
    means = (total / channels for total in sums) if floats else (total // channels for total in sums)
    mixed: Any = array.array("f" if floats else "h", means)
    if sys.byteorder == "big":
        mixed.byteswap()
    done: bytes = mixed.tobytes()
    return done
