"""When to reconnect after a loss, how often, and for how long. Pure."""

from __future__ import annotations

import math
from typing import Any, Optional

from ..config import ResumePolicy
from ..exceptions import FULL, SpeechmaticsError

__all__ = ["Outage"]


class Outage:
    """The time from a loss until a session makes progress, or until the end. Seconds of its owner's clock.

    A session that ends without progress belongs to the outage before it; its own duration does not count.

    Attributes:
        error: The error of the loss.
        attempts: How many attempts were announced.
        message: The announcement of the latest attempt, in which handlers can forbid it.
        due: When that attempt may begin.
        trying: Whether it has begun.
        until: When the outage has lasted too long.
        renewed: Whether the token was renewed, which is done once.
    """

    def __init__(self, error: SpeechmaticsError, policy: ResumePolicy, now: float) -> None:
        self.error = error
        self.attempts = 0
        self.message: Optional[dict[str, Any]] = None
        self.began = self.due = now
        self.until = math.inf if policy.max_outage is None else now + policy.max_outage
        self.trying = self.renewed = False
        self._policy = policy

    def go_on(self, connected: float) -> None:
        """Continue the outage after ``connected`` seconds of a session without progress."""
        self.began += connected
        self.until += connected

    def pause(self, error: SpeechmaticsError, jitter: float) -> float:
        """Return how long to wait after ``error``; ``jitter`` is random, 0 to 1."""
        policy = self._policy
        longest: float = min(policy.max_delay, policy.min_delay * 2 ** min(self.attempts + 1, 60))
        status = getattr(error, "status", None)
        asked = policy.busy_delay if error.retry_after is not None or status in FULL else 0.0
        if status is not None:  # then retry_after is the server's; otherwise the documentation's
            asked = max(asked, error.retry_after or 0.0)
        return max(policy.min_delay, asked) + jitter * max(0.0, longest - policy.min_delay)

    def plan(self, now: float, delay: float) -> bool:
        """Plan an attempt after ``delay``; False if no more are allowed."""
        most = self._policy.max_attempts
        if (most is not None and self.attempts >= most) or now + delay > self.until:
            return False
        self.attempts += 1
        self.due, self.trying = now + delay, False
        return True
