"""Limits how much audio may be sent without an acknowledgement."""

from __future__ import annotations

from collections import deque
from typing import Optional

__all__ = ["Window"]


class Window:
    """Counts unacknowledged audio: frames over the whole session, seconds for each channel.

    The service buffers about 500 messages or 10 s of audio and then stops reading. Sending more only fills
    TCP buffers, and pings and requests wait behind the audio. Pure; its owner's lock guards it.

    Args:
        frames: The most unacknowledged frames in the session; None for no limit.
        seconds: The most unacknowledged seconds on each channel; None for no limit. Audio of unknown length
            (format ``file``) counts as 0 seconds, so that only frames are limited.

    Example:
        >>> window = Window(frames=2, seconds=10)
        >>> window.sent(None, 4.0); window.sent(None, 4.0)
        >>> window.admits(None, 4.0)
        False
        >>> window.acknowledged(None)  # half full: wake the sender
        True
        >>> window.admits(None, 4.0)
        True
    """

    __slots__ = ("_frames", "_limit", "_seconds", "_waiting", "frames")

    def __init__(self, frames: Optional[int], seconds: Optional[float]) -> None:
        self._frames = frames
        self._limit = seconds
        self.frames = 0
        self._waiting: dict[Optional[str], deque[float]] = {}
        self._seconds: dict[Optional[str], float] = {}

    @property
    def seconds(self) -> float:
        """Unacknowledged seconds of audio, over all channels."""
        return sum(self._seconds.values())

    def admits(self, channel: Optional[str], seconds: float) -> bool:
        """Return whether a frame may be sent now.

        On an idle channel it always may, whatever its length: a server that aligns channels may hold back
        the acknowledgements of one until it gets audio of the other.
        """
        if not self._waiting.get(channel):
            return True
        if self._frames is not None and self.frames >= self._frames:
            return False
        return self._limit is None or self._seconds.get(channel, 0.0) + seconds <= self._limit

    def sent(self, channel: Optional[str], seconds: float) -> None:
        self.frames += 1
        waiting = self._waiting.get(channel)
        if waiting is None:
            waiting = self._waiting[channel] = deque()
        waiting.append(seconds)
        if seconds:
            self._seconds[channel] = self._seconds.get(channel, 0.0) + seconds

    def acknowledged(self, channel: Optional[str]) -> bool:
        """Release the channel's oldest frame; a surplus acknowledgement releases nothing.

        Return whether the channel is at most half full, so that its waiting sender should be woken. Woken
        for each frame of an upload, sender and reader would take turns for every frame.
        """
        waiting = self._waiting.get(channel)
        if not waiting:
            return False
        self.frames -= 1
        seconds = waiting.popleft()
        if not waiting:
            self._seconds[channel] = 0.0  # exactly, so that rounding errors do not add up
            return True
        if seconds:
            self._seconds[channel] -= seconds
        if self._frames is not None and len(waiting) * 2 > self._frames:
            return False
        return self._limit is None or self._seconds.get(channel, 0.0) * 2 <= self._limit
