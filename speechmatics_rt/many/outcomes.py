"""Submits the jobs of a run to an executor, and yields their outcomes in order of completion."""

from __future__ import annotations

import collections
import concurrent.futures
import pickle
import queue
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..audio import Source
from ..auth import AuthBase
from ..client import Client
from ..config import ConnectionConfig, ResumePolicy, a_kind, number, refused
from ..events import as_raised, is_meant_for_call
from ..exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    SpeechmaticsError,
    without_frames,
)
from ..session import SessionRequest, SourceOptions, spelled_out
from ..threads import SLICE
from .job import Job, Report
from .outcome import Outcome, Progress, Running
from .plan import Plan, is_out_of_reach
from .threads import Threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Outcomes", "transcribe_many"]

OneSource = Union[Source, Mapping[str, Source]]

_BEAT = 0.5  # seconds between calls of on_progress while sessions run
_NO_SOURCES = (str, bytes, bytearray, memoryview, Mapping)  # each is one source, or its parts
_AT_ONCE = number(1, whole=True)


@spelled_out
def transcribe_many(
    sources: Iterable[OneSource],
    *,
    executor: Optional[Executor] = None,
    max_sessions: int = 2,
    limiter: Optional[AbstractContextManager[Any]] = None,
    on_progress: Optional[Callable[[Progress], object]] = None,
    auth: Optional[AuthBase] = None,
    api_key: Optional[str] = None,
    url: Optional[str] = None,
    conn_config: Optional[ConnectionConfig] = None,
    sdk_identifier: Optional[str] = None,
    app: Optional[str] = None,
    resume: Union[bool, ResumePolicy] = False,
    keep_transcript: Optional[float] = None,
    **options: Unpack[SourceOptions],
) -> Outcomes:
    """Transcribe many sources, several at once, and return an iterator over their outcomes.

    Outcomes come as sources are finished. A source that fails has an :class:`Outcome` with its error, and
    the run goes on. Errors that are ``retryable`` are retried, up to six times, after ``retry_after`` at
    least; while the service is full or can't be reached, everything waits, and nothing fails. The thread
    that iterates also reads the iterable, one source at a time, and starts sessions: so the body of its loop
    should not take long, and an iterable that blocks holds up outcomes.

    Args:
        sources: Each is a source of :meth:`Client.transcribe`, or a mapping as for
            :meth:`MultiChannelClient.transcribe`. Workers in other processes get them by pickle: pass paths
            that they can open, or bytes.
        executor: Any :class:`concurrent.futures.Executor`, such as a ProcessPoolExecutor or Dask's
            ``client.get_executor()``; it is not shut down. By default each session has a daemon thread of
            this process.
        max_sessions: Maximum number of sessions at once, over all workers: no more jobs are submitted before
            one is finished. A source that waits to be retried occupies no worker and no session.
        limiter: A context manager entered around each session, in the worker, for a limit shared with
            others: a semaphore of this process, or one that pickles, such as those of Dask or Redis.
        on_progress: Called with a :class:`Progress`, on the thread that iterates, when a source is started
            or finished, and twice a second while sessions run in this process.
        auth, api_key, url, conn_config, sdk_identifier, app, resume, keep_transcript: As for :class:`Client`.
        **options: As for :meth:`Client.transcribe`, for each session.

    Returns:
        An iterator, which can also be stopped and closed.

    Raises:
        ConfigurationError: An option is wrong; before anything is read.

    The iteration raises, after all outcomes that were ready:

    Raises:
        AuthenticationError: There is no key, or it was refused, as it would be for all sources that follow.
        ConnectionError, TimeoutError: Nobody has reached the service for ten minutes, or for half a minute if
            it has not been reached before.
        BrokenExecutor: The executor has lost its workers.
        RuntimeError: The executor takes no more jobs, such as one that was shut down.
        CancelledError: The executor has cancelled a job.
        KeyboardInterrupt: Ctrl-C during the iteration. Sessions of this process are closed at once.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server:
        ...     raw = {"encoding": "pcm_s16le", "sample_rate": 16000}
        ...     for outcome in transcribe_many([bytes(32000), b""], url=server.url, audio_format=raw):
        ...         print(outcome.index, outcome.error or outcome.transcript.text)
        1 the audio source is empty
        0 Good
    """
    client: dict[str, Any] = {
        "auth": auth,
        "api_key": api_key,
        "url": url,
        "conn_config": conn_config,
        "sdk_identifier": sdk_identifier,
        "app": app,
        "resume": resume,
        "keep_transcript": keep_transcript,
    }
    Client(**client)
    SessionRequest.of(options, SourceOptions)
    if isinstance(sources, _NO_SOURCES) or not isinstance(sources, Iterable):
        accepted = "an iterable of sources: paths, bytes, objects with read()"
        raise ConfigurationError(f"sources is {a_kind(sources)}; accepted: {accepted}")
    if executor is not None and not isinstance(executor, Executor):
        raise refused("executor", executor, "a concurrent.futures.Executor, or None for threads")
    _AT_ONCE("max_sessions", max_sessions)
    if limiter is not None and not (hasattr(limiter, "__enter__") and hasattr(limiter, "__exit__")):
        raise refused("limiter", limiter, "a context manager, such as a semaphore")
    if on_progress is not None and not callable(on_progress):
        raise refused("on_progress", on_progress, "a function of one argument")
    job = Job(client, options, limiter)
    return Outcomes(sources, job, executor or Threads(), max_sessions, on_progress)


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
    ) -> None:
        self._job = job
        self._executor = executor
        self._on_progress = on_progress
        self._plan = Plan(max_sessions)
        self._ahead = max_sessions + 1  # how many outcomes may be ready before no more jobs are submitted
        self._sources = enumerate(iter(sources))
        self._more = True  # whether there may be sources that were not taken yet
        self._held: dict[int, Any] = {}  # sources that were taken and are not finished
        self._last: dict[int, Report] = {}  # the latest failure of those that wait
        self._futures: dict[int, Future[Report]] = {}
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
        for index in self._plan.stop():
            self._forget(index)
        for future in list(self._futures.values()):
            future.cancel()
        self._job.sessions.close()

    def __enter__(self) -> Outcomes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_held", None):
            for future in list(self._futures.values()):
                future.cancel()
            self._job.sessions.abandon()

    # -- inside ------------------------------------------------------------------------------------------

    def _next(self) -> Outcome:
        while True:
            self._take_news()
            if self._closed:
                self._take_finished()
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
        room = self._plan.has_room
        while not self._stopping and len(self._ready) < self._ahead and room(time.monotonic()):
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
        seconds = self._plan.due(more=self._more) - time.monotonic()
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
        delay = self._plan.failed(index, error, time.monotonic(), random.random())  # noqa: S311  # jitter
        seconds = self._plan.out_of_reach
        if seconds is not None and is_out_of_reach(error):
            for each in [index, *self._plan.stop()]:  # none of them has failed
                self._forget(each)
            error.args = (f"{error.text}; the service has been out of reach for {seconds:.0f} s",)
            self._end_with(error)
        elif delay is None:
            self._give(index, report, tries)
        else:
            self._last[index] = report
            del self._futures[index]
            self._tell()

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
        progress = Progress(
            self._done, self._failed, running, self._plan.waiting, pause, self._seconds, outcome
        )
        try:
            self._on_progress(progress)
        except (StopIteration, StopAsyncIteration) as exc:
            raise as_raised(exc, self._on_progress) from exc


def _unpicklable(thing: Any) -> Optional[str]:
    """Return why a thing can't be pickled; None if it can."""
    try:
        pickle.dumps(thing)
    except Exception as exc:  # whatever it is, it is the answer
        if is_meant_for_call(exc):
            raise
        return str(exc)
    return None
