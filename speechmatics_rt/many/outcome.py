"""The outcome of a source, and the progress of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Optional, cast

from ..exceptions import SpeechmaticsError, shown
from ..stats import SessionStats
from ..transcript import Transcript

__all__ = ["Outcome", "Progress", "Running"]


class _Shown:
    """A dataclass with a source, which is shown on one line: without its audio, and without what is usual."""

    source: Any

    def __repr__(self) -> str:
        parts = []
        for item in fields(cast("Any", self)):
            value = getattr(self, item.name)
            if item.name == "source":
                parts.append(f"source={shown(value)}")
            elif isinstance(value, SessionStats):
                if value != SessionStats():
                    of = f" of {value.seconds_sent:.1f}" if value.seconds_sent else ""
                    parts.append(f"{item.name}=<{value.seconds_transcribed:.1f}{of} s final>")
            elif value != item.default:
                parts.append(f"{item.name}={value!r}")
        return f"{type(self).__qualname__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Outcome(_Shown):
    """The result of transcribing one source. It pickles if its source does.

    Attributes:
        index: The index of the source, from 0.
        source: The source, as it was given.
        transcript: The transcript, or None after an error; ``error.transcript`` then has the part so far.
        error: Why there is no transcript: a :class:`SpeechmaticsError`, or what the source or the executor
            has raised itself. ``if isinstance(outcome.error, SpeechmaticsError):`` tells a type checker that
            it has ``retryable`` and the rest.
        tries: How many sessions were started for it, without those that a full quota refused, or for which
            nobody was reached.
        stats: Figures of its last session.
        request_id: The client's id of its last session, for support.
        session_id: The service's id of its last session.

    Example:
        >>> Outcome(0, "a.wav", None, ValueError("no audio"))
        Outcome(index=0, source='a.wav', error=ValueError('no audio'))
    """

    index: int
    source: Any
    transcript: Optional[Transcript] = None
    error: Optional[BaseException] = None
    tries: int = 1
    stats: SessionStats = field(default_factory=SessionStats)
    request_id: Optional[str] = None
    session_id: Optional[str] = None

    def __hash__(self) -> int:
        return hash((self.index, self.request_id))  # a transcript has no hash, and a source may have none

    @property
    def ok(self) -> bool:
        """Whether there is a transcript."""
        return self.error is None

    def result(self) -> Transcript:
        """Return the transcript, or raise the error."""
        try:
            if self.error is not None:
                raise self.error
            return cast("Transcript", self.transcript)
        finally:
            del self  # the error's traceback has this frame, which had the error


@dataclass(frozen=True, repr=False)
class Running(_Shown):
    """A source that is being transcribed.

    Attributes:
        index: The index of the source, from 0.
        source: The source, as it was given.
        stats: Figures of its session; None if it has not begun, or runs in another process.
    """

    index: int
    source: Any
    stats: Optional[SessionStats]


@dataclass(frozen=True)
class Progress:
    """How a run is going.

    Attributes:
        done: The number of transcripts so far.
        failed: The number of failures so far.
        running: The sources that the executor is working on.
        waiting: The number of sources that wait to be retried.
        pause: Seconds until the next session may begin while the service is full, or out of reach; else 0.
        seconds: Seconds of audio in the transcripts so far.
        outcome: The outcome that this reports, if it reports one.
        cause: While there is a ``pause``, why: the error that was the last to make all wait.
    """

    done: int
    failed: int
    running: tuple[Running, ...]
    waiting: int
    pause: float
    seconds: float
    outcome: Optional[Outcome] = None
    cause: Optional[SpeechmaticsError] = None
