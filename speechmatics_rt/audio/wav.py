"""The header of a WAV file: what the samples are, and where they lie.

Not the standard library's ``wave``: that wants files it can seek in, and knows neither float samples nor
the lengths that a recorder writes before it knows them. Pure but for asking for more bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from struct import unpack_from
from typing import Callable, NamedTuple, Optional

from ..config import AudioEncoding, AudioFormat
from ..exceptions import AudioError

__all__ = ["Fault", "Header", "at_most", "take_header"]

Fault = Callable[[str], AudioError]  # builds the error, with the channel's name

_ENCODINGS = {  # format tag, bits a sample
    (1, 16): AudioEncoding.PCM_S16LE,
    (3, 32): AudioEncoding.PCM_F32LE,
    (7, 8): AudioEncoding.MULAW,
}
_EXTENSIBLE = 0xFFFE
_EXTENSIBLE_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of a GUID that stands for a format tag
_LONGEST_HEADER = 1024 * 1024  # beyond that (pictures, notes) it goes as a file
_STREAMED = (0, 0xFFFFFFFF)  # lengths written by who couldn't know: ffmpeg to a pipe, a recorder that died


class Header(NamedTuple):
    """A WAV whose samples can go raw."""

    audio_format: AudioFormat  # of one channel
    channels: int
    start: int  # of the samples, in bytes
    size: Optional[int]  # bytes of samples; None: up to the end

    @property
    def duration(self) -> Optional[float]:
        rate = self.audio_format.bytes_per_sample * self.audio_format.sample_rate * self.channels
        return None if self.size is None else self.size / rate


def take_header(
    blocks: Iterator[bytes], fault: Fault, check_channels: Callable[[int], None]
) -> tuple[Optional[Header], Iterator[bytes]]:
    """Take off a header that is understood; put everything back if there is none.

    ``check_channels`` is told their number, in whatever encoding, and raises if it is the wrong one.
    """
    head = bytearray()

    def first(size: int) -> bytearray:
        while len(head) < size:
            block = next(blocks, None)
            if block is None:
                break
            head.extend(block)
        return head

    header = _read_header(first, fault, check_channels)
    rest = chain((bytes(head[header.start :] if header else head),), blocks)
    return header, rest if header is None or header.size is None else at_most(rest, header.size)


def at_most(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return  # other chunks may follow the samples


def _read_header(
    first: Callable[[int], bytearray], fault: Fault, check_channels: Callable[[int], None]
) -> Optional[Header]:
    """Read the chunks of a WAV up to its samples; ``first(n)`` gives its first n bytes, fewer at the end.

    None stands for what isn't a WAV, or is one that the service has to judge.
    """
    if not _is_wav(first(12)):
        return None
    at = 12
    encoding, rate, channels = None, 0, 0
    while at < _LONGEST_HEADER:
        head = first(at + 8)
        if len(head) < at + 8:
            raise fault(f"the WAV ends after {len(head)} bytes, inside its header; it holds no audio")
        name, size = unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            if encoding is None or not rate or not channels:
                return None
            whole = size - size % (AudioFormat(encoding).bytes_per_sample * channels)
            return Header(AudioFormat(encoding, rate), channels, at, None if size in _STREAMED else whole)
        if name == b"fmt " and 16 <= size <= _LONGEST_HEADER:
            head = first(at + size)
            if len(head) >= at + size:
                encoding, rate, channels = _read_format(bytes(head[at : at + size]))
                check_channels(channels)
        at += size + size % 2
    return None


def _is_wav(head: bytearray) -> bool:
    return len(head) >= 12 and head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _read_format(chunk: bytes) -> tuple[Optional[AudioEncoding], int, int]:
    tag, channels, rate, _, _, bits = unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and chunk[26:40] == _EXTENSIBLE_TAIL:
        (tag,) = unpack_from("<H", chunk, 24)
    return _ENCODINGS.get((tag, bits)), rate, channels
