"""When a lost connection is tried again, how often, and how long: pure."""

from __future__ import annotations

from typing import Any, Optional

from ..config import ResumePolicy
from ..exceptions import ConnectionError, SpeechmaticsError, TimeoutError, TranscriptionError

__all__ = ["Outage", "is_recoverable"]

_CODES = (None, 1001, 1005, 1006, 1011, 1012, 1013)
_BUSY = ("quota_exceeded", "job_error")


def is_recoverable(error: SpeechmaticsError, *, resuming: bool = False) -> bool:
    """Tell whether another connection may mend it; ``resuming``: an attempt at one has failed with it.

    Example:
        >>> is_recoverable(ConnectionError("lost", code=1006))
        True
        >>> is_recoverable(ConnectionError("refused", status=404))
        False
    """
    if isinstance(error, ConnectionError):
        refused = error.status is not None and error.status != 429 and error.status < 500
        return not refused and error.code in _CODES
    if isinstance(error, TimeoutError):
        return resuming or error.stage == "send"
    return isinstance(error, TranscriptionError) and error.retryable


class Outage:
    """The time from a loss to the session that takes over, or to the end. Seconds of its owner's clock.

    Attributes:
        error: The loss.
        attempts: How many were announced.
        message: What announced the latest, for the handlers to forbid it.
        due: When that attempt may begin.
        trying: Whether it was begun.
        until: When the outage has lasted too long.
        renewed: Whether the token was renewed; once is enough.
    """

    def __init__(self, error: SpeechmaticsError, policy: ResumePolicy, now: float) -> None:
        self.error = error
        self.attempts = 0
        self.message: Optional[dict[str, Any]] = None
        self.began = self.due = now
        self.until = now + policy.max_outage
        self.trying = self.renewed = False
        self._policy = policy

    def pause(self, error: SpeechmaticsError, jitter: float) -> float:
        """Return how long to wait after ``error``, ``jitter`` being random, 0 to 1; at least as asked."""
        policy = self._policy
        longest: float = min(policy.max_delay, policy.min_delay * 2 ** min(self.attempts, 60))
        asked = 0.0
        if isinstance(error, TranscriptionError) and error.type in _BUSY:
            asked = policy.busy_delay
        elif isinstance(error, ConnectionError):
            asked = error.retry_after or 0.0
        return max(policy.min_delay, asked) + jitter * max(0.0, longest - policy.min_delay)

    def plan(self, now: float, delay: float) -> bool:
        """Plan an attempt after ``delay``; False if there were enough."""
        if self.attempts >= self._policy.max_attempts or now + delay > self.until:
            return False
        self.attempts += 1
        self.due, self.trying = now + delay, False
        return True
