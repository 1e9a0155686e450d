"""The same over processes: few, since each of them costs a second."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path

import pytest

from speechmatics_rt import AudioError, AudioFormat, ConfigurationError, ConnectionConfig, transcribe_many
from speechmatics_rt.local import LocalServer

from .sessions import most_at_once
from .test_many import SECOND, SPEECH
from .workers import Killed

RAW = AudioFormat("pcm_s16le", 16000)


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two workers that are there, with all their pipes, before a test counts what is open."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as workers:
        for future in [workers.submit(time.sleep, 0.2) for _ in range(2)]:
            future.result()
        yield workers


def test_workers_in_other_processes_transcribe_and_their_errors_come_back(pool, tmp_path) -> None:
    sources = [str(SPEECH), str(tmp_path / "none.wav"), SPEECH.read_bytes(), Path(SPEECH)]
    with LocalServer() as server:
        outcomes = {
            outcome.index: outcome for outcome in transcribe_many(sources, executor=pool, url=server.url)
        }
        assert len(server.sessions) == 3
    assert [outcomes[index].ok for index in range(4)] == [True, False, True, True]
    assert isinstance(outcomes[1].error, AudioError)
    assert outcomes[0].transcript.text.startswith("Good morning, and welcome to the reading room.")
    assert outcomes[0].stats.seconds_sent > 19


def test_a_limiter_that_pickles_holds_over_all_processes(pool) -> None:
    with multiprocessing.get_context("spawn").Manager() as manager, LocalServer(speed=8) as server:
        limiter = manager.BoundedSemaphore(1)
        options = {"executor": pool, "url": server.url, "audio_format": RAW, "limiter": limiter}
        outcomes = list(transcribe_many([SECOND] * 4, max_sessions=4, **options))
    assert all(outcome.ok for outcome in outcomes)
    assert most_at_once(server) == 1


def test_a_source_that_does_not_pickle_fails_and_says_what_to_give(pool) -> None:
    with LocalServer() as server, open(SPEECH, "rb") as file:
        first, second = transcribe_many([file, SECOND], executor=pool, url=server.url, audio_format=RAW)
        failed = second if first.ok else first
        assert isinstance(failed.error, AudioError)
        assert "give a path or bytes" in str(failed.error)
        assert failed.source is file


def test_options_that_do_not_pickle_end_the_run_and_are_named(pool) -> None:
    class Socket(ConnectionConfig):  # of a function: no other process can find it
        pass

    with pytest.raises(ConfigurationError, match="options can't be sent to the workers of ProcessPool"):
        list(transcribe_many([SECOND], executor=pool, conn_config=Socket(), url="ws://127.0.0.1:1/v2"))


def test_a_pool_that_loses_a_worker_ends_the_run_with_its_error() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as workers:
        outcomes = transcribe_many([SECOND], executor=workers, url="ws://127.0.0.1:1/v2")
        outcomes._job = Killed({}, {}, None)
        with pytest.raises(BrokenExecutor):
            list(outcomes)
