"""A recogniser behind a bounded queue, fed at a chosen pace, on the session's thread or a worker thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional, Union

from ..threads import new_lock
from .connection import Wire
from .engines import AudioClock, Recogniser

__all__ = ["Recognition"]

_log = logging.getLogger(__name__)

BUFFER_SECONDS = 10.0  # the documented depth of the service's buffer, of raw audio
BUFFER_MESSAGES = 500
_JOIN = 2.0  # s a slow engine has to come back from its last call

Messages = Iterable[dict[str, Any]]
Call = Callable[[Recogniser], Messages]


class _Job(NamedTuple):
    call: Optional[Call]  # None: feed the audio
    audio: bytes = b""
    seconds: float = 0.0
    then: Optional[Callable[[], None]] = None

    def run(self, recogniser: Recogniser) -> list[dict[str, Any]]:
        return list(recogniser.feed(self.audio) if self.call is None else self.call(recogniser))


class Recognition:
    """The queue between one channel of a session and its recogniser.

    Used on the thread of the wire alone. A slow engine's calls run one after another on a worker
    thread, whose results come back through the wire's wake-up.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        clock: AudioClock,
        wire: Wire,
        *,
        name: str,
        worker: bool,
        speed: Optional[float],
        on_messages: Callable[[list[dict[str, Any]]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.clock = clock  # of the audio read
        self._recogniser = recogniser
        self._wire = wire
        self._name = name
        self._speed = speed
        self._on_messages = on_messages
        self._on_failure = on_failure
        self._waiting: deque[_Job] = deque()  # not due yet
        self._messages = 0  # audio messages read and not consumed
        self._seconds = 0.0  # and what they last
        self._due = 0.0  # when the audio consumed so far has had its time, at this speed
        self._over = False
        self._worker = (
            _Worker(recogniser, f"speechmatics-rt-local-recogniser-{name}", self._back) if worker else None
        )

    @property
    def full(self) -> bool:
        """True when no more audio is to be read for now."""
        if self._messages >= BUFFER_MESSAGES:
            return True
        return self.clock.raw and self._seconds >= BUFFER_SECONDS

    def feed(self, audio: bytes) -> float:
        """Queue the bytes of one audio message; return the seconds they last."""
        if not self._waiting:
            self._due = max(self._due, time.monotonic())
        before = self.clock.seconds
        self.clock.feed(audio)
        seconds = self.clock.seconds - before
        self._messages += 1
        self._seconds += seconds
        self._waiting.append(_Job(None, audio, seconds))
        self._move()
        return seconds

    def ask(self, call: Call, then: Optional[Callable[[], None]] = None) -> None:
        """Queue a call behind all audio so far; ``then`` runs once its messages are handed on."""
        self._waiting.append(_Job(call, then=then))
        self._move()

    def complete(self) -> None:
        """Tell a recogniser that wants to know it that the client has all it is to have."""
        getattr(self._recogniser, "complete", lambda: None)()

    def close(self) -> None:
        """Stop the worker, let go of the recogniser."""
        self._over = True  # first: what the worker brings back from now on is dropped
        self._waiting.clear()
        if self._worker is None:
            self._recogniser.close()
        else:
            self._worker.close()

    def _move(self) -> None:
        """Do the jobs that are due, and set a timer for the first that is not."""
        while self._waiting and not self._over:
            job = self._waiting[0]
            if self._speed is not None:
                wait = self._due - time.monotonic()
                if wait > 0:
                    self._wire.later(f"consume {self._name}", wait, self._move)
                    return
                self._due += job.seconds / self._speed  # not from now on: a late timer is made good
            self._waiting.popleft()
            if self._worker is not None:
                self._worker.put(job)
                continue
            try:
                result: Union[list[dict[str, Any]], Exception] = job.run(self._recogniser)
            except Exception as exc:  # noqa: BLE001  an engine may raise anything; the session ends with it
                result = exc
            self._done(job, result)

    def _back(self, jobs: list[_Job], result: Union[list[dict[str, Any]], Exception]) -> None:
        """Bring the worker's result to the wire's thread."""

        def arrive() -> None:
            for job in jobs[:-1]:
                self._done(job, [])
            self._done(jobs[-1], result)

        self._wire.call(arrive)

    def _done(self, job: _Job, result: Union[list[dict[str, Any]], Exception]) -> None:
        if job.call is None:
            self._messages -= 1
            self._seconds -= job.seconds
        if self._over:
            return
        if isinstance(result, Exception):
            self._over = True
            self._on_failure(result)
            return
        self._on_messages(result)
        if job.then is not None:
            job.then()


class _Worker:
    """A thread that runs the jobs of one slow recogniser in order, and closes it at the end."""

    def __init__(self, recogniser: Recogniser, name: str, back: Callable[[list[_Job], Any], None]) -> None:
        self._recogniser = recogniser
        self._back = back
        self._jobs: deque[_Job] = deque()
        self._closing = False
        self._news = threading.Condition(new_lock())  # guards _jobs and _closing; never held over a job
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: _Job) -> None:
        with self._news:
            self._jobs.append(job)
            self._news.notify()

    def close(self) -> None:
        with self._news:
            self._closing = True
            self._jobs.clear()
            self._news.notify()
        self._thread.join(_JOIN)
        if self._thread.is_alive():
            _log.warning("%s is still busy after %g s and is left behind", self._thread.name, _JOIN)

    def _run(self) -> None:
        try:
            while True:
                with self._news:
                    while not self._jobs and not self._closing:
                        self._news.wait()
                    if self._closing:
                        return
                    jobs = self._take()
                merged = _Job(jobs[0].call, b"".join(job.audio for job in jobs))
                try:
                    result: Any = merged.run(self._recogniser)
                except Exception as exc:  # noqa: BLE001  an engine may raise anything; the session ends with it
                    result = exc
                self._back(jobs, result)
        finally:
            self._recogniser.close()

    def _take(self) -> list[_Job]:
        """Take one call, or all audio that waits: an engine that is behind gets it as one piece."""
        jobs = [self._jobs.popleft()]
        while jobs[0].call is None and self._jobs and self._jobs[0].call is None:
            jobs.append(self._jobs.popleft())
        return jobs
