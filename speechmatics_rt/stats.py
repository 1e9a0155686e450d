"""The figures of one session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Optional

__all__ = ["Latency", "SessionInfo", "SessionStats"]


@dataclass(frozen=True)
class Latency:
    """How late transcripts are, in seconds: from sending the end of their last word to calling handlers.

    Measured over the last 1,000 messages whose last word was new; earlier words in a message waited longer.
    Meaningful for audio that is sent at its natural pace; for a file sent at full speed it shows how far
    the server was behind.

    Attributes:
        p50, p90, p99: Percentiles.
        count: How many messages were measured.

    Example:
        >>> Latency.of([0.2, 0.3, 0.9, 0.4])
        Latency(p50=0.3, p90=0.9, p99=0.9, count=4)
    """

    p50: float
    p90: float
    p99: float
    count: int

    @classmethod
    def of(cls, samples: Iterable[float]) -> Optional[Latency]:
        """Summarise latencies in seconds; None if there are none."""
        ordered = sorted(samples)
        if not ordered:
            return None
        p50, p90, p99 = (ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.9, 0.99))
        return cls(p50, p90, p99, len(ordered))


@dataclass(frozen=True)
class SessionStats:
    """A snapshot of a session's figures.

    With ``resume`` they cover all connections of the session: audio counts once, however often it was sent.

    Attributes:
        seconds_sent: Seconds of audio sent, over all channels; 0 for format ``file``.
        seconds_acknowledged: Seconds of audio the server has acknowledged, over all channels.
        seconds_transcribed: The end of the last final, in seconds of audio.
        seconds_total: Seconds of audio in the source (of several channels, in the longest); None if not
            known (audio sent by hand, a live source, a compressed file), or from when the source goes on
            behind what it announced (a WAV whose recorder crashed, several WAVs in succession).
        progress: The final part of ``seconds_total``, 0 to 1; None while that is not known. Always 1 once
            the transcript is complete.
        lag: Seconds of audio that were sent and are not final, on the channel that is furthest behind.
        partial_latency: How late partials are; None before the first.
        final_latency: How late finals are; None before the first.
        frames_sent: Audio frames sent.
        unacknowledged_frames: Audio frames not acknowledged yet, those sent again by a reconnect included.
        bytes_sent: Bytes of audio sent.
        messages_received: Server messages, acknowledgements included.
        messages_skipped: Frames from the server that held no message (no JSON object with a ``message``).
            A transcript without a listener is only checked, and counted, when its text is read.
        queue_depth: Messages that have arrived and wait for a handler or the iterator.
        silence: Seconds since the server last sent anything.
        reconnects: How often the session went on over a new connection.
        replayed_seconds: Seconds of audio sent again by reconnects, on the channel with the most.
    """

    seconds_sent: float = 0.0
    seconds_acknowledged: float = 0.0
    seconds_transcribed: float = 0.0
    seconds_total: Optional[float] = None
    progress: Optional[float] = None
    lag: float = 0.0
    partial_latency: Optional[Latency] = None
    final_latency: Optional[Latency] = None
    frames_sent: int = 0
    unacknowledged_frames: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    messages_skipped: int = 0
    queue_depth: int = 0
    silence: float = 0.0
    reconnects: int = 0
    replayed_seconds: float = 0.0

    @property
    def unacknowledged_seconds(self) -> float:
        """Seconds of audio sent and not acknowledged, over all channels."""
        return max(0.0, self.seconds_sent - self.seconds_acknowledged)


@dataclass
class SessionInfo:
    """The identity and state of a session, as the official SDK shows them.

    Attributes:
        request_id: The client's id (header ``X-Request-Id``).
        session_id: The server's id, None before ``RecognitionStarted``.
        sequence_number: Audio messages sent.
        is_running: Whether audio may be sent.

    Example:
        >>> SessionInfo(request_id="7f3c").is_running
        False
    """

    request_id: str
    session_id: Optional[str] = None
    sequence_number: int = 0
    is_running: bool = False
