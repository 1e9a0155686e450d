"""Checks the options of a run, and begins it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional, Union

from ..audio import AudioSource, Source
from ..auth import AuthBase
from ..client import Client
from ..config import ConnectionConfig, ResumePolicy, number, refused
from ..events import check_runs
from ..exceptions import ConfigurationError, a_kind
from ..session import SessionRequest, SourceOptions, spelled_out
from .job import Job
from .outcome import Progress
from .outcomes import Outcomes
from .threads import Threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["transcribe_many"]

OneSource = Union[Source, Mapping[str, Source]]

_ONE = (str, bytes, bytearray, memoryview, os.PathLike, AudioSource, Mapping)  # one source, or its channels
_NUMBERS = frozenset("bBhHiIlLqQefd")  # formats of samples, as memoryview has them
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
    handler_errors: Literal["log", "raise"] = "log",
    **options: Unpack[SourceOptions],
) -> Outcomes:
    """Transcribe many sources, several at once, and return an iterator over their outcomes.

    Outcomes come as sources are finished. A source that fails has an :class:`Outcome` with its error, and
    the run goes on. Errors that are ``retryable`` are retried, up to six tries in all, after ``retry_after``
    at least; while the service is full, or it, who issues keys or the ``limiter`` can't be reached,
    everything waits, and nothing fails. The thread that iterates also reads the iterable, one source at a
    time, and starts sessions: so the body of its loop should not take long, and an iterable that blocks
    holds up outcomes.

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
            others: a semaphore of this process, or one that pickles, such as those of Dask or Redis. If
            entering it raises what :meth:`AuthBase.get_auth_headers` may raise where nobody answers, it is
            out of reach, and everything waits as for the service. If leaving it raises anything, that is
            logged.
        on_progress: Called with a :class:`Progress`, on the thread that iterates, when a source is started
            or finished, and twice a second while sessions run in this process.
        auth, api_key, url, conn_config, sdk_identifier, app, resume, keep_transcript: As for :class:`Client`.
        handler_errors: ``"log"`` logs the first exception that ``on_progress`` raises, and the run goes on;
            ``"raise"`` raises each of them from the iteration, which may go on.
        **options: As for :meth:`Client.transcribe`, for each session; where there are channels, the
            ``diarization`` ``"speaker"`` tells speakers apart in each.

    Returns:
        An iterator, which can also be stopped and closed.

    Raises:
        ConfigurationError: An option is wrong; before anything is read.

    The iteration raises, after all outcomes that were ready:

    Raises:
        AuthenticationError: There is no key, or it was refused, as it would be for all sources that follow.
        TranscriptionError: The service refuses the options, such as the language: it has refused the first
            sessions for them, and none has begun.
        ConnectionError, TimeoutError: Nobody has reached the service (or one of the others that are waited
            for) for ten minutes after a first try that failed, or for half a minute if it has not been
            reached before.
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
    Client(**client, handler_errors=handler_errors)
    SessionRequest.of(options, SourceOptions, others=transcribe_many.__kwdefaults__ or ())
    _check_sources(sources)
    if executor is not None and not isinstance(executor, Executor):
        raise refused("executor", executor, "a concurrent.futures.Executor, or None for threads")
    _AT_ONCE("max_sessions", max_sessions)
    if limiter is not None and not (hasattr(limiter, "__enter__") and hasattr(limiter, "__exit__")):
        raise refused("limiter", limiter, "a context manager, such as a semaphore")
    if on_progress is not None:
        if not callable(on_progress):
            raise refused("on_progress", on_progress, "a function of one argument")
        check_runs(on_progress, "on_progress")
    # What a program gives may be false, such as a pool whose length is what waits in it.
    job = Job(client, options, limiter)
    at_once = Threads() if executor is None else executor
    return Outcomes(sources, job, at_once, max_sessions, on_progress, raises=handler_errors == "raise")


def _check_sources(sources: Any) -> None:
    """Refuse what is no collection of sources, and what is one of lines, bytes or samples."""
    told = f"sources is {a_kind(sources)}"
    if isinstance(sources, io.TextIOBase):
        raise ConfigurationError(f"{told}; if it has names, one a line, give (line.strip() for line in file)")
    if isinstance(sources, Mapping):
        way = "give a list of sources: [source] if it has the channels of one, list(source.values()) if each"
        raise ConfigurationError(f"{told}, which is one source; {way} of its values is a recording")
    if isinstance(sources, (str, os.PathLike)) and os.path.isdir(sources):
        raise ConfigurationError(f"{told}, the name of a folder; give Path(folder).iterdir() for all in it")
    if isinstance(sources, _ONE) or hasattr(sources, "read") or _is_of_numbers(sources):
        raise ConfigurationError(f"{told}, which is one source; give a list of sources: [source]")
    if not isinstance(sources, Iterable):
        raise ConfigurationError(
            f"{told}; accepted: an iterable of sources: paths, bytes, objects with read()"
        )


def _is_of_numbers(thing: Any) -> bool:
    """Whether it is an array of samples, of whatever package; not one of names."""
    try:
        return memoryview(thing).format.lstrip("@=<>!|") in _NUMBERS
    except (TypeError, ValueError, BufferError):
        return False
