"""Makes 16-bit PCM of samples that the service does not take raw, or that can't be added. Pure.

Each byte of the result is a byte of the sample, or is looked up for one: no sample is made a number.
"""

from __future__ import annotations

from typing import Callable

from .wav import SampleFormat

__all__ = ["to_16_bit"]


def to_16_bit(samples: bytes, kind: SampleFormat) -> bytes:
    """Convert whole integer samples; of longer ones the upper 16 bits remain.

    Example:
        >>> to_16_bit(bytes([0x80, 0xFF, 0x00]), SampleFormat("8-bit PCM", 1)).hex(" ", 2)
        '0000 007f 0080'
        >>> to_16_bit(bytes([1, 2, 3, 4, 5, 6]), SampleFormat("24-bit PCM", 3)).hex(" ", 2)
        '0203 0506'
    """
    size = kind.size
    linear = bytearray(len(samples) // size * 2)
    if size == 1:
        low, high = _TABLES[kind.name]
        linear[::2], linear[1::2] = samples.translate(low), samples.translate(high)
    else:
        linear[::2], linear[1::2] = samples[size - 2 :: size], samples[size - 1 :: size]
    return bytes(linear)


def _mu_law(code: int) -> int:
    """Decode one sample by the rules of ITU-T G.711."""
    code = ~code & 0xFF
    size = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - size if code & 0x80 else size - 0x84


def _a_law(code: int) -> int:
    """Decode one sample by the rules of ITU-T G.711."""
    code ^= 0x55
    segment, size = (code & 0x70) >> 4, ((code & 0x0F) << 4) + 8
    if segment:
        size = (size + 0x100) << (segment - 1)
    return size if code & 0x80 else -size


def _tables(value: Callable[[int], int]) -> tuple[bytes, bytes]:
    """Return the low and the high byte of the value of each code."""
    values = [value(code) & 0xFFFF for code in range(256)]
    return bytes(number & 0xFF for number in values), bytes(number >> 8 for number in values)


_TABLES = {
    "8-bit PCM": _tables(lambda code: (code - 0x80) << 8),
    "A-law": _tables(_a_law),
    "mu-law": _tables(_mu_law),
}
