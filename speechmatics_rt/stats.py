"""Figures of one session."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SessionStats"]


@dataclass(frozen=True)
class SessionStats:
    """A snapshot of a session's figures, consistent in itself.

    Attributes:
        seconds_sent: Seconds of audio sent, over all channels; 0 for format ``file``.
        seconds_acknowledged: Seconds of audio the server has acknowledged.
        seconds_transcribed: The end of the last final, in seconds of audio.
        frames_sent: Audio frames sent.
        unacknowledged_frames: Of those, not acknowledged yet.
        bytes_sent: Bytes of audio sent.
        messages_received: Server messages, acknowledgements included.
        messages_skipped: Frames from the server that held no message (no JSON object with a ``message``).
        queue_depth: Messages that have arrived and wait for a handler or the iterator.
        silence: Seconds since the server was last heard.
    """

    seconds_sent: float = 0.0
    seconds_acknowledged: float = 0.0
    seconds_transcribed: float = 0.0
    frames_sent: int = 0
    unacknowledged_frames: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    messages_skipped: int = 0
    queue_depth: int = 0
    silence: float = 0.0

    @property
    def unacknowledged_seconds(self) -> float:
        return max(0.0, self.seconds_sent - self.seconds_acknowledged)
