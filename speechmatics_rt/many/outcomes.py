"""Submits the jobs of a run to an executor, and yields their outcomes in order of completion."""

from __future__ import annotations

import collections
import concurrent.futures
import logging
import pickle
import queue
import random
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, Callable, Optional, cast

from ..events import as_raised
from ..exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    SpeechmaticsError,
    amend,
    without_frames,
)
from ..log import report
from ..threads import SLICE, is_meant_for_call
from .job import Job, Report
from .outcome import Outcome, Progress, Running
from .plan import Plan, holds_up_all, is_of_options, is_out_of_reach

__all__ = ["Outcomes"]

logger = logging.getLogger(__name__)

_ASKED_BEFORE = {"key": "who issues keys", "limiter": "the limiter"}  # by the stage of the error
_BEAT = 0.5  # seconds between calls of on_progress while sessions run


class Outcomes(Iterator[Outcome]):
    """An iterator over the outcomes of a run, in order of completion. For one thread.

    ``with`` closes it at the end of the block. Only :meth:`request_stop` may be called from other threads.
    """

    def __init__(
        self,
        sources: Iterable[Any],
        job: Job,
        executor: Executor,
        max_sessions: int,
        on_progress: Optional[Callable[[Progress], object]],
        *,
        raises: bool,
    ) -> None:
        self._job = job
        self._executor = executor
        self._on_progress = on_progress
        self._raises = raises  # what on_progress does
        self._told = False  # that it has failed
        self._plan = Plan(max_sessions)
        self._ahead = max_sessions + 1  # how many outcomes may be ready before no more jobs are submitted
        self._total = len(sources) if isinstance(sources, (list, tuple)) else None
        self._sources = enumerate(iter(sources))
        self._more = True  # whether there may be sources that were not taken yet
        self._held: dict[int, Any] = {}  # sources that were taken and are not finished
        self._last: dict[int, Report] = {}  # the latest failure of those that wait, its own if it has one
        self._futures: dict[int, Future[Report]] = {}
        self._begun = False  # a session, which the service has let in with the options of all
        self._refused: list[tuple[int, Report, int]] = []  # for its options, before that
        # Futures that are done, put by whatever thread; None: look at the flags.
        self._news: queue.SimpleQueue[Optional[tuple[int, Future[Report]]]] = queue.SimpleQueue()
        self._ready: collections.deque[Outcome] = collections.deque()
        self._stopping = self._closed = False
        self._ending: Optional[BaseException] = None  # what is raised at the end
        self._done = self._failed = 0
        self._seconds = 0.0

    # -- for the user ------------------------------------------------------------------------------------

    def __iter__(self) -> Outcomes:
        return self

    def __next__(self) -> Outcome:
        while True:
            try:
                return self._next()
            except KeyboardInterrupt as interrupt:
                if self._ending is not None or self._closed:
                    raise
                self._ending = interrupt  # raised after all outcomes that are ready
                self.close()

    def request_stop(self) -> None:
        """Start nothing more; the iteration ends when everything that runs is finished.

        Sources that wait to be retried are returned as failed. May be called from any thread, and in a
        signal handler.
        """
        self._stopping = True
        self._news.put(None)

    def close(self) -> None:
        """End the run now. Outcomes that are ready can still be iterated over; no others come.

        Sessions of this process are closed. In other processes, jobs that have not begun are cancelled;
        those that run can't be interrupted by any executor, and their outcomes are dropped.
        """
        self._closed = True
        for index in [*self._plan.stop(), *(index for index, _, _ in self._refused)]:
            self._forget(index)
        for future in list(self._futures.values()):
            future.cancel()
        self._job.sessions.close()

    def __enter__(self) -> Outcomes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "running"
        if self._is_over() and not self._ready:
            state = "closed" if self._closed else "over"
        of = "" if self._total is None else f" of {self._total}"
        failed = f", {self._failed} failed" if self._failed else ""
        return f"<{type(self).__name__} {state}, {self._done + self._failed}{of} finished{failed}>"

    def __del__(self, _at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _at_exit() and getattr(self, "_held", None):
            for future in list(self._futures.values()):
                future.cancel()
            self._job.sessions.abandon()

    # -- inside ------------------------------------------------------------------------------------------

    def _next(self) -> Outcome:
        while True:
            self._take_news()
            if self._closed:
                self._take_finished()
            self._judge_refusals()
            if not self._closed:
                self._begin()
            if self._stopping and not self._plan.stopped:  # perhaps because of what could not begin
                self._give_up(self._plan.stop())
            if self._ready:
                return self._ready.popleft()
            if self._is_over():
                ending, self._ending = self._ending, None
                if ending is not None:
                    raise ending
                raise StopIteration
            self._wait()

    def _is_over(self) -> bool:
        idle = not self._plan.running or self._closed  # once closed, nothing is waited for
        return idle and not self._plan.waiting and (self._plan.stopped or not self._more)

    def _begin(self) -> None:
        """Submit as many jobs as there is room for, and none while too many outcomes are ready."""
        while self._may_begin():
            index = self._plan.again(time.monotonic())
            if index is None:
                if not (self._more and self._plan.takes_more):
                    return
                try:
                    index, source = next(self._sources)
                except StopIteration:
                    self._more = False
                    return
                except Exception as exc:  # not swallowed: raised at the end of the iteration
                    if is_meant_for_call(exc):
                        raise
                    self._end_with(exc)
                    return
                self._held[index] = source
            self._submit(index)

    def _may_begin(self) -> bool:
        held = self._stopping or self._refused or len(self._ready) >= self._ahead
        return not held and self._plan.has_room(time.monotonic())

    def _submit(self, index: int) -> None:
        self._plan.begin()
        try:
            future = self._executor.submit(self._job, index, self._held[index])
        except Exception as exc:  # not swallowed: it is treated like the error of a future
            if is_meant_for_call(exc):
                self._drop(index)
                raise
            if isinstance(exc, RuntimeError):  # the executor was shut down, is broken, or has no thread left
                self._executor_failed(index, exc)
                return
            self._failed_to_run(index, exc)
            return
        self._futures[index] = future
        news = self._news  # not self, so that an executor that keeps its futures does not keep this alive
        future.add_done_callback(lambda done: news.put((index, done)))
        self._tell()

    def _wait(self) -> None:
        """Wait for a job to finish, or for the moment when another may begin."""
        due = float("inf") if self._refused else self._plan.due(more=self._more)
        seconds = due - time.monotonic()
        if self._on_progress is not None:
            seconds = min(seconds, _BEAT)
        try:
            news = self._news.get(timeout=min(max(0.0, seconds), SLICE))
        except queue.Empty:
            self._tell()
            return
        self._take(news)

    def _take_news(self) -> None:
        while True:
            try:
                news = self._news.get_nowait()
            except queue.Empty:
                return
            self._take(news)

    def _take_finished(self) -> None:
        """Take the futures that are done but were missed, because Ctrl-C came in between."""
        given = {outcome.index for outcome in self._ready}
        for index, future in list(self._futures.items()):
            if index not in given and future.done():
                self._take((index, future))

    def _take(self, news: Optional[tuple[int, Future[Report]]]) -> None:
        if news is None:
            return
        index, future = news
        if self._futures.get(index) is not future:
            return  # it has already been taken
        if future.cancelled():
            self._executor_failed(index, CancelledError("the executor cancelled the call"))
            return
        error = future.exception()
        if error is not None:
            if isinstance(error, Exception) and not isinstance(error, concurrent.futures.BrokenExecutor):
                self._failed_to_run(index, error)
            else:
                self._executor_failed(index, error)
            return
        report = future.result()
        self._begun = self._begun or report.session_id is not None
        if report.error is not None:
            self._take_failure(index, report, report.error)
        elif report.transcript is None:
            self._drop(index)  # closed before it began
        else:
            tries = self._plan.tries(index)
            self._plan.succeeded(index)
            self._give(index, report, tries)

    def _take_failure(self, index: int, report: Report, error: SpeechmaticsError) -> None:
        """Plan a retry, or report the failure."""
        if self._closed:
            self._drop(index)  # it failed because it was closed
            return
        if isinstance(error, AuthenticationError):
            self._drop(index)
            self._end_with(error)
            return
        tries = self._plan.tries(index)
        if tries > 1 and isinstance(error, AudioError) and report.session_id is None:
            report, tries = _not_again(self._last[index], error), tries - 1
        delay = self._plan.failed(index, error, time.monotonic(), random.random())  # noqa: S311  # jitter
        seconds = self._plan.out_of_reach
        if seconds is not None and is_out_of_reach(error):
            for each in [index, *self._plan.stop()]:  # none of them has failed
                self._forget(each)
            who = _ASKED_BEFORE.get(getattr(error, "stage", None) or "", "the service")
            amend(error, f"; {who} has been out of reach for {seconds:.0f} s")
            self._end_with(error)
        elif delay is None and is_of_options(error) and not self._begun:
            self._refused.append((index, report, tries))
            del self._futures[index]
        elif delay is None:
            self._give(index, report, tries)
        else:
            if not holds_up_all(error) or index not in self._last:
                self._last[index] = report
            del self._futures[index]
            self._tell()

    def _judge_refusals(self) -> None:
        """Take refusals for those of their sources once a session has begun, and of the options if none has.

        Nothing is started before that is known, which is when the first ones have ended.
        """
        if not self._refused or self._closed or not (self._begun or not self._plan.running):
            return
        refused, self._refused = self._refused, []
        for index, refusal, tries in refused:
            if self._begun:
                self._give(index, refusal, tries)
            else:
                self._forget(index)
                self._end_with(cast(SpeechmaticsError, refusal.error))

    def _executor_failed(self, index: int, error: BaseException) -> None:
        """End the run: the executor takes no more jobs, or somebody has ended one of its workers."""
        self._drop(index)
        if not self._closed:
            self._end_with(error)

    def _failed_to_run(self, index: int, error: Exception) -> None:
        """Report an error outside of the session: of the source, the options, or the limiter."""
        tries = self._plan.tries(index)
        if self._closed:
            self._drop(index)
            return
        if isinstance(error, (pickle.PicklingError, TypeError, AttributeError)):
            why = _unpicklable(self._job)
            if why is not None:
                self._drop(index)
                text = f"the options can't be sent to the workers of {type(self._executor).__name__}: {why}"
                self._end_with(ConfigurationError(text))
                return
            why = _unpicklable(self._held[index])
            if why is not None:
                told = AudioError(
                    f"the source can't be sent to another process ({why}); give a path or bytes"
                )
                told.__cause__ = error
                error = told
        without_frames(error)
        self._plan.dropped(index)
        self._ready_with(Outcome(index, self._held[index], None, error, tries))

    def _end_with(self, error: BaseException) -> None:
        """Start nothing more, and raise ``error`` after the outcomes of what runs."""
        if self._ending is None:
            self._ending = error
        self._stopping = True

    def _drop(self, index: int) -> None:
        """Forget a source that is neither done nor failed."""
        self._plan.dropped(index)
        self._forget(index)

    def _give_up(self, waiting: Iterable[int]) -> None:
        for index in waiting:
            self._give(index, self._last[index], self._plan.tries(index))

    def _forget(self, index: int) -> None:
        for table in (self._futures, self._last, self._held):
            table.pop(index, None)

    def _give(self, index: int, report: Report, tries: int) -> None:
        self._ready_with(
            Outcome(
                index,
                self._held[index],
                report.transcript,
                report.error,
                tries,
                report.stats,
                report.request_id,
                report.session_id,
            )
        )

    def _ready_with(self, outcome: Outcome) -> None:
        if outcome.ok:
            self._done += 1
            self._seconds += outcome.stats.seconds_transcribed
        else:
            self._failed += 1
        self._ready.append(outcome)
        self._forget(outcome.index)  # last: if Ctrl-C comes before, the source is still known
        self._tell(outcome)

    def _tell(self, outcome: Optional[Outcome] = None) -> None:
        if self._on_progress is None or self._closed:
            return
        look = self._job.sessions.stats
        running = tuple(Running(index, self._held[index], look(index)) for index in self._futures)
        pause = self._plan.pause(time.monotonic())
        cause = self._plan.cause if pause else None
        progress = Progress(
            self._done, self._failed, running, self._plan.waiting, pause, self._seconds, outcome, cause
        )
        try:
            self._on_progress(progress)
        except Exception as exc:
            if is_meant_for_call(exc):
                raise
            if self._raises:
                raise as_raised(exc, self._on_progress)  # noqa: B904  # as it is, or with its cause
            if not self._told:  # it may fail twice a second
                self._told = True
                report(logger, "on_progress failed, and may do so again: %r", self._on_progress, error=exc)


def _not_again(report: Report, error: AudioError) -> Report:
    """Return the report of a session that failed, and whose source can't be had a second time."""
    first = report.error
    if first is not None:
        amend(first, f"; it could not be tried again: {error.text}")
    return report


def _unpicklable(thing: Any) -> Optional[str]:
    """Return why a thing can't be pickled; None if it can."""
    try:
        pickle.dumps(thing)
    except Exception as exc:  # whatever it is, it is the answer
        if is_meant_for_call(exc):
            raise
        return str(exc)
    return None
