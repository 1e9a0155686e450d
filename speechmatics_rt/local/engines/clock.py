"""Computes the duration of audio from its bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Optional

__all__ = ["SAMPLE_WIDTHS", "AudioClock", "wav_header"]

SAMPLE_WIDTHS = {"pcm_f32le": 4, "pcm_s16le": 2, "mulaw": 1}
_FILE_RATE = 16_000  # bytes a second of a file that tells nothing: about 128 kbit/s


class AudioClock:
    """Counts audio bytes and tells the time they make.

    Raw audio is exact. Of a file the WAV header is read, if it has one; any other file is taken to have
    16,000 bytes a second.

    Example:
        >>> clock = AudioClock({"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000})
        >>> clock.feed(bytes(8000))
        >>> clock.seconds
        0.25
    """

    def __init__(self, audio_format: Mapping[str, Any]) -> None:
        self.raw = audio_format.get("type") == "raw"
        self._bytes = 0
        self._rate: Optional[float] = None
        self._head = b""  # of a file, until its kind is known
        if self.raw:
            self._rate = float(audio_format["sample_rate"] * SAMPLE_WIDTHS[audio_format["encoding"]])

    @property
    def seconds(self) -> float:
        return self._bytes / self._rate if self._rate else 0.0

    def feed(self, audio: bytes) -> None:
        """Count the bytes of one message."""
        if self._rate is None:
            self._head += audio
            found = wav_header(self._head)
            if found is None:
                return
            self._rate, header = found
            self._bytes = len(self._head) - header
            self._head = b""
        else:
            self._bytes += len(audio)

    def skip(self, size: int) -> None:
        """Count the bytes of a message that is not at hand."""
        self._rate = self._rate or float(_FILE_RATE)
        self._bytes += max(0, size)


def wav_header(head: bytes) -> Optional[tuple[float, int]]:
    """Return bytes a second and the length of the header; None if more is needed to tell."""
    if len(head) < 12:
        return None if head[:4] == b"RIFF"[: len(head)] else (float(_FILE_RATE), 0)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return float(_FILE_RATE), 0
    rate, offset = float(_FILE_RATE), 12
    while len(head) >= offset + 8:
        name, size = head[offset : offset + 4], struct.unpack_from("<I", head, offset + 4)[0]
        if name == b"data":
            return rate, offset + 8
        if name == b"fmt ":
            if len(head) < offset + 20:
                return None
            rate = float(struct.unpack_from("<I", head, offset + 16)[0] or _FILE_RATE)
        offset += 8 + size + size % 2  # chunks are padded to even lengths
    return None
