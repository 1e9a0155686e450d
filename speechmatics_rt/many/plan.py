"""Decides what is tried when, and how much at once. Pure: its owner passes in the time, in seconds.

A retryable failure costs its source one of six tries, and a delay; the others go on meanwhile. A service
that is full costs no tries: nothing is started for a while, and then no more at once than were let in, plus
one for each session that succeeds. So programs that share a quota find their shares. If nobody answers, the
service, its proxy, who issues keys or who keeps the limit on sessions, that costs no tries either, and
nothing is started for a while; if it lasts, the run is over.
"""

from __future__ import annotations

import heapq
from typing import Optional

from ..exceptions import (
    FULL,
    ConnectionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
    TransportError,
)

__all__ = ["MOST_TRIES", "Plan", "holds_up_all", "is_full", "is_of_options", "is_out_of_reach"]

MOST_TRIES = 6  # of one source, over about half a minute
_LEAST, _LONGEST = 1.0, 60.0  # seconds before a retry
_PATIENCE = 5.0  # seconds at least that the documentation asks for after a full quota
_OUTAGE = 600.0  # seconds for which nobody reaches a service that was reached before
_NEVER_REACHED = 30.0  # the same, of one that was not: the address or the network is probably wrong
_OF_OPTIONS = ("invalid_config", "invalid_language", "invalid_model", "not_allowed")


def is_full(error: SpeechmaticsError) -> bool:
    """Whether an error means only that the service is full.

    Example:
        >>> is_full(TranscriptionError(type="quota_exceeded")), is_full(ConnectionError(code=1006))
        (True, False)
    """
    if isinstance(error, TranscriptionError):
        return error.type == "quota_exceeded" or (error.type is None and error.code == 4005)
    return isinstance(error, ConnectionError) and error.status in FULL


def is_out_of_reach(error: SpeechmaticsError) -> bool:
    """Whether nobody answered for now, so that no other source would have been luckier.

    Example:
        >>> is_out_of_reach(ConnectionError(unreached=True)), is_out_of_reach(ConnectionError(code=1006))
        (True, False)
    """
    # If the caller's limit on the whole call was the first to pass, that is no answer either.
    return error.unreached and (error.retryable or isinstance(error, TimeoutError))


def holds_up_all(error: SpeechmaticsError) -> bool:
    """Whether an error says nothing of its source, but that all have to wait."""
    return is_full(error) or is_out_of_reach(error)


def is_of_options(error: SpeechmaticsError) -> bool:
    """Whether the service refuses what was asked for, which is the same for all sources, but for channels.

    Example:
        >>> [is_of_options(TranscriptionError(type=kind)) for kind in ("invalid_model", "invalid_audio_type")]
        [True, False]
    """
    return isinstance(error, TranscriptionError) and error.type in _OF_OPTIONS


class Plan:
    """Which sources are started, retried, or given up. Sources are identified by their indices.

    Attributes:
        allowed: How many may run at once, as far as the service has admitted.
        running: How many run.
        stopped: Nothing is started any more.
        out_of_reach: For how many seconds nobody has reached the service, once that is too long: the run is
            over. None before.
        cause: The last error that made all wait.

    Example:
        >>> plan = Plan(2)
        >>> plan.begin(), plan.failed(0, ConnectionError(code=1006), now=10.0, jitter=0.0)
        (None, 1.0)
        >>> plan.again(10.5), plan.again(11.0)
        (None, 0)
    """

    def __init__(self, max_sessions: int) -> None:
        self.allowed = max_sessions
        self.running = 0
        self.stopped = False
        self._most = max_sessions
        self._opens = float("-inf")  # nothing starts before
        self.out_of_reach: Optional[float] = None
        self.cause: Optional[SpeechmaticsError] = None
        self._refusals = 0  # in a row, by a service that is full or out of reach
        self._reached = False  # the service has answered
        self._unreached_since: Optional[float] = None
        self._waiting: list[tuple[float, int]] = []  # a heap of when each is due
        self._failures: dict[int, int] = {}  # of those that will be retried

    @property
    def waiting(self) -> int:
        """How many wait to be retried."""
        return len(self._waiting)

    def has_room(self, now: float) -> bool:
        """Whether a session may start now."""
        return not self.stopped and self.running < self.allowed and now >= self._opens

    def again(self, now: float) -> Optional[int]:
        """Take a source whose retry is due; None if there is none."""
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[1]
        return None

    @property
    def takes_more(self) -> bool:
        """Whether a new source may be taken; limited, because those that wait are kept in memory."""
        return not self.stopped and len(self._waiting) < self._most

    def begin(self) -> None:
        """Note that a session starts."""
        self.running += 1

    def tries(self, index: int) -> int:
        """Return which try of a source this is, from 1."""
        return self._failures.get(index, 0) + 1

    def succeeded(self, index: int) -> None:
        """Note that a session succeeded: the service may admit one more."""
        self.running -= 1
        self._failures.pop(index, None)
        self._refusals = 0
        self._answered()
        self.allowed = min(self._most, self.allowed + 1)

    def dropped(self, index: int) -> None:
        """Note that a session ended, and forget its source."""
        self.running -= 1
        self._failures.pop(index, None)

    def failed(self, index: int, error: SpeechmaticsError, now: float, jitter: float) -> Optional[float]:
        """Return in how many seconds the source is to be retried; None if it is given up.

        Args:
            jitter: Random, 0 to 1, so that sources that failed together are not retried together.
        """
        self.running -= 1
        tries = self.tries(index)
        full, unreached = is_full(error), is_out_of_reach(error)
        if unreached:
            self._unanswered(now)
        elif isinstance(error, (TransportError, TimeoutError, TranscriptionError)):
            self._answered()
        held = full or unreached
        lasts = not held and (tries >= MOST_TRIES or not error.retryable)
        if self.stopped or self.out_of_reach is not None or lasts:
            self._failures.pop(index, None)
            return None
        asked = error.retry_after or 0.0
        if held:
            least = _PATIENCE if full else _LEAST
            delay = _pause(max(asked, least), least * 2 ** min(self._refusals, 8), jitter)
            if unreached:  # the last try comes when it has lasted too long, and not up to a minute later
                delay = max(asked, min(delay, self._patience(now)))
            if now >= self._opens:  # sessions refused together count as one refusal
                self._refusals += 1
                if full:
                    self.allowed = max(1, min(self.allowed, self.running))
            self.cause = error
            self._opens = max(self._opens, now + delay)
            delay = max(delay, self._opens - now)
        else:
            delay = _pause(max(asked, _LEAST), _LEAST * 2**tries, jitter)
            self._failures[index] = tries
        heapq.heappush(self._waiting, (now + delay, index))
        return delay

    def _answered(self) -> None:
        self._reached, self._unreached_since = True, None

    def _unanswered(self, now: float) -> None:
        if self._unreached_since is None:
            self._unreached_since = now
        if self._patience(now) <= 0:
            self.out_of_reach = now - self._unreached_since

    def _patience(self, now: float) -> float:
        """Return for how many seconds more the service may be out of reach."""
        since = now if self._unreached_since is None else self._unreached_since
        return since + (_OUTAGE if self._reached else _NEVER_REACHED) - now

    def pause(self, now: float) -> float:
        """Return for how many seconds nothing may start, because the service is full, or out of reach."""
        return max(0.0, self._opens - now)

    def due(self, *, more: bool) -> float:
        """Return when the next session may start; infinity if only the end of another can allow it.

        Args:
            more: Whether there may be sources that were not taken yet.
        """
        if self.stopped or self.running >= self.allowed:
            return float("inf")
        first = self._waiting[0][0] if self._waiting else float("inf")
        return max(self._opens, float("-inf") if more and self.takes_more else first)

    def stop(self) -> list[int]:
        """Start nothing more; return the sources whose retries are given up."""
        self.stopped = True
        left = [index for _, index in self._waiting]
        self._waiting.clear()
        return left


def _pause(least: float, longest: float, jitter: float) -> float:
    return least + jitter * max(0.0, min(longest, _LONGEST) - least)
