"""What became of a source, and how a run is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from ..stats import SessionStats
from ..transcript import Transcript

__all__ = ["Outcome", "Progress", "Running"]


@dataclass(frozen=True)
class Outcome:
    """What became of one source. It pickles if its source does.

    Attributes:
        index: The place of the source among all, from 0.
        source: As it was given.
        transcript: All that was said, or None after an error; what was heard until then is in
            ``error.transcript``.
        error: Why there is no transcript: a :class:`SpeechmaticsError`, or what the executor says of a worker
            that was lost for good.
        tries: Sessions that were begun for it, this one among them; those that a full quota refused don't
            count.
        stats: Figures of its last session.
        request_id: Our id of its last session, for support.
        session_id: The service's.

    Example:
        >>> Outcome(0, "a.wav", None, ValueError("no audio")).ok
        False
    """

    index: int
    source: Any
    transcript: Optional[Transcript] = None
    error: Optional[BaseException] = None
    tries: int = 1
    stats: SessionStats = field(default_factory=SessionStats)
    request_id: Optional[str] = None
    session_id: Optional[str] = None

    @property
    def ok(self) -> bool:
        """Whether there is a transcript."""
        return self.error is None


@dataclass(frozen=True)
class Running:
    """A source that is being transcribed.

    Attributes:
        index: Its place among all.
        source: As it was given.
        stats: Figures of its session; None where that isn't known: it has not begun, or runs in another
            process.
    """

    index: int
    source: Any
    stats: Optional[SessionStats]


@dataclass(frozen=True)
class Progress:
    """How a run is going.

    Attributes:
        done: Transcripts so far.
        failed: Failures so far.
        running: What was handed to the executor and is not finished.
        waiting: How many are to be tried again.
        pause: Seconds until the next session, while the service is full; else 0.
        seconds: Seconds of audio in the transcripts so far.
        outcome: What has just been finished, if that is the news.
    """

    done: int
    failed: int
    running: tuple[Running, ...]
    waiting: int
    pause: float
    seconds: float
    outcome: Optional[Outcome] = None
