"""What goes over the wire in a measurement: audio that can be verified, and messages.

The audio of every session is one pattern, over and over, so that whoever receives it can tell each byte from
its place in the stream, however the stream was cut into frames.
"""

from __future__ import annotations

import functools
import json
import random
from typing import Any

__all__ = ["AUDIO", "WORDS", "Scale", "SCALES", "Verifier", "chunks", "frame", "transcript", "transcripts"]

WORDS = 17  # of a transcript: 3 kB
_PERIOD = 251 * 4096  # bytes; no multiple of it is likely to be lost unseen
AUDIO = random.Random(5).randbytes(_PERIOD)
_LONGEST = 1 << 20  # of a frame
_TWICE = AUDIO + AUDIO[:_LONGEST]


class Scale:
    """How much is measured.

    Attributes:
        frames: Of 4 kB, in an upload.
        messages: In a flood.
        setups: Sessions one after the other.
        live: Seconds of one live session.
        seconds: That many sessions run at a time.
        kept: Sessions whose memory is measured.
    """

    def __init__(
        self, *, frames: int, messages: int, setups: int, live: float, seconds: float, kept: int
    ) -> None:
        self.frames = frames
        self.messages = messages
        self.setups = setups
        self.live = live
        self.seconds = seconds
        self.kept = kept


SCALES = {
    "full": Scale(frames=10_000, messages=10_000, setups=100, live=6.0, seconds=6.0, kept=300),
    "short": Scale(frames=200, messages=200, setups=3, live=0.5, seconds=1.2, kept=5),
}


class Verifier:
    """Take the audio of one session and tell whether every byte of it is in its place.

    Example:
        >>> verifier = Verifier()
        >>> verifier.take(AUDIO[:4096]), verifier.take(AUDIO[4096:4100])
        (True, True)
        >>> verifier.take(AUDIO[4096:4100])
        False
    """

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = 0

    def take(self, payload: bytes) -> bool:
        size = len(payload)
        at = self._at
        right = payload == _TWICE[at : at + size]
        self._at = (at + size) % _PERIOD
        return right


def chunks(size: int, count: int) -> list[bytes]:
    """Return the first so many chunks of the audio."""
    period = len(AUDIO)
    return [_TWICE[at : at + size] for at in (n * size % period for n in range(count))]


def frame(payload: bytes) -> bytes:
    """Return a server's text frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + size.to_bytes(2, "big") + payload


def transcript(number: int, words: int = WORDS, sent_at: float | None = None) -> dict[str, Any]:
    """Return the final of an ordinary sentence, the ``number``-th of its session."""
    began = number * words * 0.32
    results = [
        {
            "type": "word",
            "start_time": round(began + i * 0.32, 2),
            "end_time": round(began + i * 0.32 + 0.28, 2),
            "alternatives": [
                {"content": f"speech{i}", "confidence": 0.97, "language": "en", "speaker": "S1"}
            ],
        }
        for i in range(words)
    ]
    text = " ".join(r["alternatives"][0]["content"] for r in results)  # type: ignore[index]
    metadata = {
        "start_time": round(began, 2),
        "end_time": round(began + words * 0.32, 2),
        "transcript": text + " ",
    }
    message = {"message": "AddTranscript", "format": "2.9", "results": results, "metadata": metadata}
    if sent_at is not None:
        message["sent_at"] = sent_at
    return message


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


@functools.lru_cache(maxsize=4)
def transcripts(count: int) -> tuple[bytes, ...]:
    """Return the payloads of a flood."""
    return tuple(encoded(transcript(number)) for number in range(count))
