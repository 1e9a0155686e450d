"""The service's limits on silence and on the duration of a session. Pure: the time is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

__all__ = ["Limits"]

_MINUTE = 60.0


@dataclass(frozen=True)
class _Step:
    since: str  # "sign": audio, ping or pong; "audio"; "start"
    minutes: int
    left: Optional[int] = None  # minutes to the limit; None: this is the limit


_STEPS = (
    _Step("sign", 3),
    *(_Step("audio", 60 - left, left) for left in (15, 10, 5)),
    _Step("audio", 60),
    *(_Step("start", 48 * 60 - left, left) for left in (45, 30, 15)),
    _Step("start", 48 * 60),
)


class Limits:
    """Warns and ends a session that is silent or open for too long.

    Times are seconds of the service's clock.

    Example:
        >>> limits = Limits(start=0.0)
        >>> limits.check(now=1.0, sign=1.0, audio=0.0)
        ([], 180.0)
        >>> [message], _ = limits.check(now=2701.0, sign=2700.0, audio=0.0)
        >>> message["message"], message["type"]
        ('Warning', 'idle_timeout')
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._sent: set[tuple[_Step, float]] = set()

    def check(self, now: float, sign: float, audio: float) -> tuple[list[dict[str, Any]], float]:
        """Return the Warnings and Errors that are due, and the seconds until the next may be.

        Args:
            now: The time.
            sign: When audio, a ping or a pong last came.
            audio: When audio last came.
        """
        since = {"sign": sign, "audio": audio, "start": self._start}
        due: list[dict[str, Any]] = []
        wait = math.inf
        for step in _STEPS:
            when = since[step.since] + step.minutes * _MINUTE
            if when > now:
                wait = min(wait, when - now)
            elif (step, when) not in self._sent:
                self._sent.add((step, when))
                due.append(_message(step))
        return due, wait


def _message(step: _Step) -> dict[str, Any]:
    kind = "session_timeout" if step.since == "start" else "idle_timeout"
    if step.left is None:
        reason = {
            "sign": f"neither audio nor a ping within {step.minutes} minutes",
            "audio": f"no audio within {step.minutes} minutes",
            "start": f"the session has been active for {step.minutes} minutes",
        }[step.since]
        return {"message": "Error", "type": kind, "reason": reason}
    why = (
        f"max duration, session has been active for {step.minutes}m"
        if step.since == "start"
        else f"inactivity, no audio sent within the last {step.minutes}m"
    )
    return {
        "message": "Warning",
        "type": kind,
        "reason": f"Session will timeout in {step.left}m due to {why}",
    }
