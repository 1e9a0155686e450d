"""Measures how far transcripts lag behind the audio. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..messages import Glance, heard_up_to
from ..protocol import seen_in

__all__ = ["Meter"]

_MARKS = 4096  # chunks whose time of sending is remembered, per channel; beyond that every second one
_SAMPLES = 1000  # messages of a kind that the percentiles are taken from


class _Track:
    """One channel: when its audio was sent, and how far it has been transcribed. In seconds of audio."""

    __slots__ = ("final", "marks", "sent", "words")

    def __init__(self) -> None:
        self.sent = 0.0
        # For each chunk that no final has covered: where it ended, and when it was sent. In one list, so that
        # Ctrl-C can't come between the two.
        self.marks: list[tuple[float, float]] = []
        self.final = 0.0  # the end of the finals
        self.words = {"AddTranscript": 0.0, "AddPartialTranscript": 0.0}  # the end of the last word measured


class Meter:
    """Compares when a word was sent with when it comes back.

    Each message with a new last word is measured once, from the sending of the chunk in which that word
    ended. Times are of the owner's clock; the owner's lock guards it.

    Example:
        >>> meter = Meter()
        >>> meter.sent(None, 1.0, now=100.0)
        >>> meter.received({"message": "AddTranscript", "metadata": {"start_time": 0, "end_time": 0.8},
        ...     "results": [{"type": "word", "start_time": 0.2, "end_time": 0.7}]}, now=100.25)
        >>> meter.finals
        [0.25]
        >>> round(meter.lag, 3)
        0.2
    """

    def __init__(self) -> None:
        self._tracks: dict[Optional[str], _Track] = {}
        self._over = False  # the transcript is complete
        self._samples: dict[str, deque[float]] = {
            kind: deque(maxlen=_SAMPLES) for kind in ("AddTranscript", "AddPartialTranscript")
        }

    def sent(self, channel: Optional[str], seconds: float, now: float) -> None:
        """Note that a chunk was sent; one of 0 seconds, whose duration is unknown, is ignored."""
        if not seconds:
            return
        track = self._tracks.get(channel)
        if track is None:
            track = self._tracks[channel] = _Track()
        track.sent += seconds
        track.marks.append((track.sent, now))
        if len(track.marks) > _MARKS:
            del track.marks[:-1:2]

    def received(self, message: Mapping[str, Any], now: float) -> None:
        """Note a message of the server."""
        if message["message"] == "EndOfTranscript":
            self._over = True
        else:
            self.heard(seen_in(message), now)

    def heard(self, transcripts: Iterable[Glance], now: float) -> None:
        """Note what was seen of transcripts, and of translations, which do not count."""
        for kind, _, _, end, up_to, _, channel in transcripts:
            track = self._tracks.get(channel)
            if track is None or kind not in self._samples:
                continue
            if end > track.words[kind] and track.marks and heard_up_to(end, track.sent) is not None:
                track.words[kind] = end
                self._samples[kind].append(max(0.0, now - self._moment(track, end)))
            if kind == "AddTranscript":
                track.final = max(track.final, heard_up_to(up_to, track.sent) or 0.0)
                # The last one stays, for words that end on its edge.
                del track.marks[: min(bisect_left(track.marks, (track.final,)), len(track.marks) - 1)]

    @staticmethod
    def _moment(track: _Track, second: float) -> float:
        """Return when a second of audio was sent; a word may seem to end a little after the last chunk."""
        return track.marks[min(bisect_left(track.marks, (second,)), len(track.marks) - 1)][1]

    @property
    def lag(self) -> float:
        """Seconds of audio that were sent and are not final, on the channel that is furthest behind."""
        if self._over:
            return 0.0
        return max((max(0.0, track.sent - track.final) for track in self._tracks.values()), default=0.0)

    @property
    def partials(self) -> list[float]:
        """How long after its last word each partial came; seconds."""
        return list(self._samples["AddPartialTranscript"])

    @property
    def finals(self) -> list[float]:
        """How long after its last word each final came; seconds."""
        return list(self._samples["AddTranscript"])
