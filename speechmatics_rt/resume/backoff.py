"""When a lost connection is tried again, how often, and how long: pure."""

from __future__ import annotations

from typing import Any, Optional

from ..config import ResumePolicy
from ..exceptions import SpeechmaticsError

__all__ = ["Outage"]

_FULL = (429, 503)  # HTTP: too many sessions, or no slot for one


class Outage:
    """The time from a loss to the session that is of use, or to the end. Seconds of its owner's clock.

    A session that ends without progress belongs to the outage before it; the time it lived doesn't count.

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

    def go_on(self, connected: float) -> None:
        """Take up again, after so many seconds of a session that was of no use."""
        self.began += connected
        self.until += connected

    def pause(self, error: SpeechmaticsError, jitter: float) -> float:
        """Return how long to wait after ``error``, ``jitter`` being random, 0 to 1; at least as asked."""
        policy = self._policy
        longest: float = min(policy.max_delay, policy.min_delay * 2 ** min(self.attempts + 1, 60))
        status = getattr(error, "status", None)
        asked = policy.busy_delay if error.retry_after is not None or status in _FULL else 0.0
        if status is not None:  # the server's own word; without a status it is the documentation's
            asked = max(asked, error.retry_after or 0.0)
        return max(policy.min_delay, asked) + jitter * max(0.0, longest - policy.min_delay)

    def plan(self, now: float, delay: float) -> bool:
        """Plan an attempt after ``delay``; False if there were enough."""
        if self.attempts >= self._policy.max_attempts or now + delay > self.until:
            return False
        self.attempts += 1
        self.due, self.trying = now + delay, False
        return True
