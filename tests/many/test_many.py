"""Many recordings, in threads of this process and through executors of the test's own."""

from __future__ import annotations

import array
import contextvars
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AudioError,
    AudioFormat,
    AuthBase,
    AuthenticationError,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    JWTAuth,
    Outcome,
    Progress,
    SessionError,
    TimeoutError,
    Transcript,
    TranscriptionConfig,
    TranscriptionError,
    transcribe_many,
)
from speechmatics_rt.audio import open_source
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine, Sound
from speechmatics_rt.many import plan
from speechmatics_rt.many.job import Report
from speechmatics_rt.stats import SessionStats

from ..conftest import a_closed_port
from ..held import HeldEngine
from .sessions import most_at_once

ROOT = Path(__file__).parent.parent.parent
SPEECH = ROOT / "examples" / "audio" / "librivox_3_sentences.wav"
RAW = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no try wait; that they wait as long as is asked is shown of the plan."""
    monkeypatch.setattr(plan, "_pause", lambda least, longest, jitter: 0.02)


def heard_all(server: LocalServer, count: int) -> None:
    """Wait until so many sessions have heard all of their audio."""
    for index in range(count):
        server.wait_for_session(index, timeout=20).wait_for(lambda record: record.heard("EndOfStream"), 20)


@contextmanager
def letting_go(engine: HeldEngine, when: Callable[[], object]) -> Iterator[None]:
    """Let the engine go when another thread has waited for something."""

    def let_go() -> None:
        when()
        engine.let_go.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(let_go)
        yield
        waiting.result()


def test_every_source_has_one_outcome_with_its_name_and_words(server) -> None:
    sources = [SPEECH, str(SPEECH), SPEECH.read_bytes(), [SECOND, SECOND]]
    outcomes = list(transcribe_many(sources[:3], url=server.url))
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2]
    for outcome in outcomes:
        assert outcome.ok
        assert outcome.source is sources[outcome.index]
        assert outcome.transcript.text.startswith("Good morning, and welcome to the reading room.")
        assert outcome.stats.seconds_sent == pytest.approx(19.4, abs=0.1)
        assert (outcome.tries, outcome.error) == (1, None)
    known = {(record.request_id, record.session_id) for record in server.sessions}
    assert {(outcome.request_id, outcome.session_id) for outcome in outcomes} == known


def test_what_transcribe_takes_is_taken_and_a_mapping_is_channels(server) -> None:
    with open(SPEECH, "rb") as file:
        sources = [iter([SECOND] * 2), {"agent": SECOND * 2, "caller": SECOND}, file]
        outcomes = list(transcribe_many(sources[:2], url=server.url, audio_format=RAW))
        outcomes += list(transcribe_many(sources[2:], url=server.url))
    assert all(outcome.ok for outcome in outcomes)
    (channels,) = (outcome for outcome in outcomes if isinstance(outcome.source, dict))
    assert {word.channel for word in channels.transcript.words} == {"agent", "caller"}


def test_among_others_the_speakers_of_several_channels_are_told_apart_in_each(server) -> None:
    sources = [SECOND, {"agent": SECOND, "caller": SECOND}]
    for config in ({"diarization": "speaker"}, TranscriptionConfig(diarization="speaker")):
        outcomes = transcribe_many(
            sources, url=server.url, audio_format=RAW, transcription_config=config, max_sessions=1
        )
        assert all(outcome.ok for outcome in outcomes)
    asked = [record.start["transcription_config"] for record in server.sessions]
    assert [each["diarization"] for each in asked] == ["speaker", "channel_and_speaker"] * 2
    assert asked[1]["channel_diarization_labels"] == ["agent", "caller"]


@pytest.mark.parametrize("source", [SECOND * 8, {"agent": SECOND * 8}], ids=["one", "channels"])
def test_translations_and_audio_events_are_in_the_outcome(source: Any) -> None:
    options: dict[str, Any] = {"translation_config": {"target_languages": ["fr"]}, "audio_events_config": {}}
    script = replace(Script.from_text("Good morning. Good night."), sounds=(Sound("music", 0.5, 1.5),))
    with LocalServer(ScriptedEngine(script)) as server:
        (plain,) = transcribe_many([source], url=server.url, audio_format=RAW)
        (asked,) = transcribe_many([source], url=server.url, audio_format=RAW, **options)
    assert asked.transcript.translations["fr"].text
    assert [event.type for event in asked.transcript.audio_events] == ["music"]
    assert asked.transcript.text == plain.transcript.text
    assert (plain.transcript.translations, plain.transcript.audio_events) == ({}, [])
    assert pickle.loads(pickle.dumps(asked)).transcript == asked.transcript


def test_only_the_end_of_a_transcript_is_kept_if_that_is_asked_for(server) -> None:
    (outcome,) = transcribe_many([str(SPEECH)], url=server.url, keep_transcript=0)
    assert (outcome.transcript.text, outcome.transcript.end_time > 18) == ("", True)


def test_a_bad_file_is_one_failed_outcome(server, tmp_path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    sources = [SPEECH, tmp_path / "empty.wav", tmp_path / "none.wav", 5, SPEECH]
    outcomes = {outcome.index: outcome for outcome in transcribe_many(sources, url=server.url)}
    assert [outcomes[index].ok for index in range(5)] == [True, False, False, False, True]
    assert all(isinstance(outcomes[index].error, AudioError) for index in (1, 2, 3))
    assert "empty" in str(outcomes[1].error)
    assert outcomes[2].source == tmp_path / "none.wav"
    assert outcomes[2].transcript is None
    assert outcomes[2].error.__traceback__ is None  # whose frames would keep the audio


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_sessions_than_allowed_are_open_at_once(most) -> None:
    engine = HeldEngine()
    with LocalServer(engine) as server, letting_go(engine, lambda: heard_all(server, most)):
        outcomes = list(
            transcribe_many([SECOND * 2] * 8, max_sessions=most, url=server.url, audio_format=RAW)
        )
    assert sum(outcome.ok for outcome in outcomes) == 8
    assert most_at_once(server) == most


def test_outcomes_come_in_the_order_of_their_completion(server) -> None:
    given = threading.Event()

    def longer() -> Iterator[bytes]:
        yield SECOND
        given.wait(20)

    outcomes = transcribe_many([longer(), SECOND], url=server.url, audio_format=RAW)
    order = []
    for outcome in outcomes:
        order.append(outcome.index)
        given.set()
    assert order == [1, 0]


def test_what_may_pass_is_tried_again_and_what_stays_is_not(at_once) -> None:
    faults = [
        Fault.error("job_error", after_seconds=0.5, sessions=[0]),
        Fault.refuse(500, sessions=[1]),
        Fault.fin(after_seconds=0.5, sessions=[2]),
        Fault.error("invalid_model", at="start", sessions=[4]),
    ]
    with LocalServer(faults=faults) as server:
        outcomes = list(transcribe_many([SECOND, SECOND], max_sessions=1, url=server.url, audio_format=RAW))
        count = len(server.sessions)
    first, second = sorted(outcomes, key=lambda outcome: outcome.index)
    assert (first.ok or second.ok, count) == (True, 5)
    (failed,) = (outcome for outcome in outcomes if not outcome.ok)
    assert failed.error.type == "invalid_model"
    assert first.tries + second.tries == 5


def test_who_never_gets_through_fails_after_six_tries(at_once) -> None:
    with LocalServer(faults=[Fault.refuse(500)]) as server:
        (outcome,) = transcribe_many([SECOND], url=server.url, audio_format=RAW)
        assert len(server.sessions) == 6
    assert isinstance(outcome.error, ConnectionError)
    assert outcome.error.status == 500
    assert outcome.tries == 6


def test_a_source_that_can_be_read_only_once_fails_as_its_one_session_did(at_once) -> None:
    fault = Fault.reset(after_final=3)
    with LocalServer(faults=[fault]) as server:
        once = (SECOND for _ in range(20))
        (outcome,) = transcribe_many([once], url=server.url, audio_format=RAW)
        (record,) = server.sessions
    assert isinstance(outcome.error, ConnectionError)
    assert "could not be tried again: the audio source was read up to byte" in outcome.error.text
    assert isinstance(outcome.error.transcript, Transcript)
    assert (outcome.tries, outcome.session_id, outcome.error.retryable) == (1, record.session_id, True)


def test_a_file_that_is_gone_by_the_second_try_fails_as_its_first_session_did(at_once, tmp_path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(SPEECH.read_bytes())
    refusals = [Fault.error("quota_exceeded", at="start", sessions=[1])]  # which is no failure of this one
    with LocalServer(faults=[Fault.reset(after_final=3, sessions=[0]), *refusals]) as server:
        (outcome,) = transcribe_many(
            [path],
            url=server.url,
            on_progress=lambda progress: progress.pause and path.unlink(missing_ok=True),
        )
        assert len(server.sessions) == 2
    assert isinstance(outcome.error.transcript, Transcript)
    assert "could not be tried again: can't open the audio file" in outcome.error.text
    assert outcome.tries == 1


def test_a_full_quota_is_waited_for_and_nobody_fails(at_once) -> None:
    engine = HeldEngine()

    def let_go(progress: Progress) -> None:
        if progress.waiting:  # whichever of the first was refused
            engine.let_go.set()

    with LocalServer(engine, quota=1) as server:
        sources = [SECOND * 2] * 6
        outcomes = list(
            transcribe_many(sources, max_sessions=3, url=server.url, audio_format=RAW, on_progress=let_go)
        )
        refused = sum(bool(record.said("Error")) for record in server.sessions)
    assert all(outcome.ok and outcome.tries == 1 for outcome in outcomes)
    assert len(outcomes) == 6
    assert refused >= 1


def test_an_iterator_that_runs_out_in_on_progress_does_not_end_the_outcomes(server) -> None:
    beats = iter(range(2))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(
            transcribe_many(
                [SECOND] * 3,
                url=server.url,
                audio_format=RAW,
                on_progress=lambda progress: next(beats),
                handler_errors="raise",
            )
        )


def test_an_on_progress_that_fails_costs_no_outcome_and_is_logged_once(server, caplog) -> None:
    def draw(progress: Progress) -> None:
        raise LookupError("no terminal")

    options = {"url": server.url, "audio_format": RAW, "on_progress": draw}
    outcomes = list(transcribe_many([SECOND] * 3, **options))
    assert [outcome.ok for outcome in outcomes] == [True] * 3
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("on_progress failed, and may do so again: <function")
    assert record.exc_info[0] is LookupError
    with pytest.raises(LookupError, match="no terminal"):
        list(transcribe_many([SECOND] * 3, **options, handler_errors="raise"))
    with pytest.raises(ConfigurationError, match="handler_errors='never'"):
        transcribe_many([], handler_errors="never")  # type: ignore[arg-type]


def test_the_pause_of_a_full_quota_is_told(at_once, monkeypatch) -> None:
    monkeypatch.setattr(plan, "_pause", lambda least, longest, jitter: 0.7)
    said: list[Progress] = []
    faults = [Fault.error("quota_exceeded", at="start", sessions=[0])]
    with LocalServer(faults=faults) as server:
        (outcome,) = transcribe_many([SECOND], url=server.url, audio_format=RAW, on_progress=said.append)
    assert outcome.ok
    assert any(0 < progress.pause <= 0.7 and progress.waiting == 1 for progress in said)
    paused = [progress.cause for progress in said if progress.pause]
    assert {type(cause) for cause in paused} == {TranscriptionError}
    assert paused[0].type == "quota_exceeded"
    assert {progress.cause for progress in said if not progress.pause} == {None}


def test_a_refused_key_ends_the_run_with_one_error() -> None:
    with LocalServer(keys=["right"]) as server:
        outcomes = transcribe_many(
            iter(lambda: SECOND, None), url=server.url, api_key="wrong", audio_format=RAW
        )
        with pytest.raises(AuthenticationError):
            list(outcomes)
        assert len(server.sessions) <= 2
    assert list(outcomes) == []


@pytest.mark.parametrize("sessions", [1, 3])
def test_options_that_the_service_refuses_end_the_run_with_one_error(server, sessions: int) -> None:
    taken = []

    def sources() -> Iterator[bytes]:
        while True:
            taken.append(SECOND)
            yield SECOND

    options = {"url": server.url, "audio_format": RAW, "max_sessions": sessions}
    outcomes = transcribe_many(sources(), transcription_config={"language": "qq"}, **options)
    with pytest.raises(TranscriptionError) as caught:
        next(outcomes)
    assert caught.value.type == "invalid_language"
    assert list(outcomes) == []
    assert len(taken) == len(server.sessions) == sessions


def test_what_is_refused_beside_a_session_that_has_begun_is_a_failure_of_its_own(server) -> None:
    server.faults = (Fault.error("not_allowed", at="start", sessions=[0, 2]),)
    options = {"url": server.url, "audio_format": RAW, "max_sessions": 2}
    outcomes = list(transcribe_many([SECOND] * 5, **options))
    assert [outcome.error.type for outcome in outcomes if not outcome.ok] == ["not_allowed"] * 2
    assert len(outcomes) == len(server.sessions) == 5


def test_a_recording_that_is_refused_ends_nothing(server) -> None:
    server.faults = (Fault.error("invalid_audio_type", at="start"),)
    outcomes = list(transcribe_many([SECOND] * 3, url=server.url, audio_format=RAW))
    assert [outcome.error.type for outcome in outcomes] == ["invalid_audio_type"] * 3


def test_without_a_key_for_the_service_the_run_ends_with_one_error(monkeypatch) -> None:
    monkeypatch.delenv("SPEECHMATICS_API_KEY", raising=False)
    monkeypatch.delenv("SPEECHMATICS_RT_URL", raising=False)
    with pytest.raises(AuthenticationError, match="requires an API key"):
        list(transcribe_many(iter(lambda: SECOND, None), audio_format=RAW))


@pytest.mark.parametrize("who", ["the service", "the proxy", "who issues keys"])
def test_when_nobody_answers_the_run_ends_with_one_error(monkeypatch, server, who) -> None:
    monkeypatch.setattr(plan, "_LEAST", 0.05)
    monkeypatch.setattr(plan, "_NEVER_REACHED", 0.3)
    with a_closed_port() as port:
        options = {
            "the service": {"url": f"ws://127.0.0.1:{port}"},
            "the proxy": {"conn_config": ConnectionConfig(proxy=f"http://127.0.0.1:{port}")},
            "who issues keys": {"auth": JWTAuth("key", mp_url=f"http://127.0.0.1:{port}")},
        }[who]
        outcomes = transcribe_many(
            iter(lambda: SECOND, None), **{"url": server.url, "audio_format": RAW, **options}
        )
        away = "who issues keys" if who == "who issues keys" else "the service"
        with pytest.raises(ConnectionError, match=rf"refused; {away} has been out of reach for \d+ s"):
            list(outcomes)
        assert list(outcomes) == []


def test_while_the_service_is_away_everything_waits_and_nothing_fails(monkeypatch) -> None:
    monkeypatch.setattr(plan, "_LEAST", 0.1)
    with LocalServer() as server:
        outcomes = transcribe_many([SECOND] * 6, url=server.url, audio_format=RAW, max_sessions=2)
        found = [next(outcomes)]
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
    back = threading.Timer(1, lambda: servers.append(LocalServer(port=port).start()))
    servers: list[LocalServer] = []
    back.start()
    found += outcomes
    back.join()
    servers[0].close()
    assert sorted(outcome.index for outcome in found) == list(range(6))
    assert [outcome.error for outcome in found if not outcome.ok] == []


def test_a_limit_on_each_recording_makes_no_failures_of_a_service_that_does_not_answer(monkeypatch) -> None:
    monkeypatch.setattr(plan, "_LEAST", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        servers: list[LocalServer] = []

        def comes_back(progress: Progress) -> None:
            if isinstance(progress.cause, TimeoutError) and not servers:
                mute.close()
                servers.append(LocalServer(port=port).start())

        outcomes = list(
            transcribe_many(
                [SECOND] * 3,
                url=f"ws://127.0.0.1:{port}/v2",
                audio_format=RAW,
                timeout=3,
                max_sessions=1,
                on_progress=comes_back,
            )
        )
        servers[0].close()
    assert [(outcome.error, outcome.tries) for outcome in outcomes] == [(None, 1)] * 3


def test_a_source_that_takes_the_time_of_its_call_says_nothing_of_the_service() -> None:
    def slow() -> Iterator[bytes]:
        threading.Event().wait(0.9)
        yield SECOND

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"ws://127.0.0.1:{mute.getsockname()[1]}/v2"
        (outcome,) = transcribe_many([slow()], url=url, audio_format=RAW, timeout=1)
    assert outcome.error.stage == "whole"
    assert "s had passed before" in outcome.error.text


def test_a_failing_iterable_ends_the_run_after_what_it_gave(server) -> None:
    def sources() -> Iterator[bytes]:
        yield SECOND
        raise LookupError("the database is gone")

    outcomes = transcribe_many(sources(), url=server.url, audio_format=RAW)
    assert next(outcomes).ok
    with pytest.raises(LookupError, match="database"):
        next(outcomes)
    assert list(outcomes) == []


def test_progress_tells_what_runs_how_far_it_is_and_what_has_come() -> None:
    said: list[Progress] = []
    engine = HeldEngine()

    def take(progress: Progress) -> None:
        said.append(progress)
        if sum(one.stats is not None and one.stats.seconds_sent > 0 for one in progress.running) == 2:
            engine.let_go.set()

    with LocalServer(engine) as server:
        sources = [SECOND * 8, b"", SECOND * 8]
        list(transcribe_many(sources, url=server.url, audio_format=RAW, on_progress=take))
    assert sorted(progress.outcome.index for progress in said if progress.outcome) == [0, 1, 2]
    assert (said[-1].done, said[-1].failed, said[-1].running) == (2, 1, ())
    assert said[-1].seconds == pytest.approx(16, abs=1)
    heard = [one.stats.seconds_sent for each in said for one in each.running if one.stats is not None]
    assert any(0 < seconds < 8.1 for seconds in heard)
    assert max(len(progress.running) for progress in said) == 2


def test_a_limiter_is_entered_around_each_session_by_all_who_share_it() -> None:
    limiter = threading.BoundedSemaphore(2)
    engine = HeldEngine()
    with LocalServer(engine) as server:

        def run() -> None:
            options: dict[str, Any] = {"url": server.url, "audio_format": RAW, "limiter": limiter}
            assert all(outcome.ok for outcome in transcribe_many([SECOND * 2] * 4, max_sessions=4, **options))

        others = [threading.Thread(target=run) for _ in range(2)]
        for other in others:
            other.start()
        heard_all(server, 2)
        engine.let_go.set()
        for other in others:
            other.join()
        assert len(server.sessions) == 8
    assert most_at_once(server) == 2


def test_a_limiter_and_an_executor_that_are_false_are_used_like_any_other(server) -> None:
    class Turnstile:
        passed = 0

        def __len__(self) -> int:  # how many are inside
            return 0

        def __enter__(self) -> None:
            self.passed += 1

        def __exit__(self, *_: object) -> None: ...

    class Pool(ThreadPoolExecutor):
        given = 0

        def __bool__(self) -> bool:
            return False

        def submit(self, *args: Any, **named: Any) -> Future[Any]:
            self.given += 1
            return super().submit(*args, **named)

    turnstile = Turnstile()
    with Pool(2) as pool:
        options: dict[str, Any] = {"url": server.url, "audio_format": RAW}
        assert all(
            outcome.ok
            for outcome in transcribe_many([SECOND] * 3, limiter=turnstile, executor=pool, **options)
        )
    assert (turnstile.passed, pool.given) == (3, 3)


def test_sources_and_keys_see_the_context_of_whoever_iterates(server) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    class Auth(AuthBase):
        def get_auth_headers(self) -> dict[str, str]:
            seen.append(tenant.get())
            return {}

    def audio() -> Iterator[bytes]:
        seen.append(tenant.get())
        yield SECOND

    tenant.set("acme")
    (outcome,) = transcribe_many([audio()], auth=Auth(), url=server.url, audio_format=RAW)
    assert outcome.ok
    assert seen == ["acme", "acme"]


def test_a_thread_that_cannot_be_started_is_told_as_any_other_of_ours(server, monkeypatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("speechmatics-rt-many-"):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(SessionError, match="end sessions before the program ends"):
        list(transcribe_many([SECOND], url=server.url, audio_format=RAW))


def test_a_run_shows_how_far_it_is(server) -> None:
    outcomes = transcribe_many([SECOND, b"", SECOND], url=server.url, audio_format=RAW)
    assert repr(outcomes) == "<Outcomes running, 0 of 3 finished>"
    list(outcomes)
    assert repr(outcomes) == "<Outcomes over, 3 of 3 finished, 1 failed>"
    endless = transcribe_many(iter(lambda: SECOND, None), url=server.url, audio_format=RAW)
    next(endless)
    endless.request_stop()
    assert repr(endless).startswith("<Outcomes stopping, ")
    endless.close()
    list(endless)
    assert repr(endless).startswith("<Outcomes closed, ")


def test_a_pool_of_threads_that_is_passed_in_stays_the_callers(server) -> None:
    with ThreadPoolExecutor(5) as pool:
        outcomes = transcribe_many([SECOND] * 5, executor=pool, url=server.url, audio_format=RAW)
        assert all(outcome.ok for outcome in outcomes)
        assert pool.submit(len, "open").result() == 4


# -- an end before the end ---------------------------------------------------------------------------------


def test_a_requested_stop_begins_nothing_and_finishes_what_runs() -> None:
    with LocalServer(speed=4) as server:
        outcomes = transcribe_many(
            iter(lambda: SECOND * 2, None), url=server.url, audio_format=RAW, max_sessions=2
        )
        first = next(outcomes)
        outcomes.request_stop()
        rest = list(outcomes)
        assert [outcome.ok for outcome in (first, *rest)] == [True] * len(server.sessions)
    assert len(server.sessions) <= 4


def test_what_waits_for_another_try_is_given_as_failed_at_a_stop(server) -> None:
    server.faults = (Fault.error("job_error", at="start", sessions=[0]),)
    outcomes = transcribe_many(
        [SECOND],
        url=server.url,
        audio_format=RAW,
        on_progress=lambda p: p.waiting and outcomes.request_stop(),
    )
    (outcome,) = outcomes
    assert outcome.error.type == "job_error"


def test_who_closes_gets_what_was_finished_and_the_rest_is_closed(server) -> None:
    server.faults = (Fault.silence(at="end", sessions=[1]),)
    outcomes = transcribe_many([SECOND] * 5, url=server.url, audio_format=RAW, max_sessions=2)
    record = server.wait_for_session
    with outcomes:
        given = [next(outcomes)]
        record(1).wait_for(lambda r: r.heard("EndOfStream"), 10)
    given += list(outcomes)
    assert all(outcome.ok for outcome in given)
    assert record(1).closed.wait(10)


def test_a_run_that_is_dropped_ends_its_sessions(server) -> None:
    silent = iter(lambda: SECOND, None)
    outcomes = transcribe_many([silent], url=server.url, audio_format=RAW, speed=1.0)
    outcomes._begin()
    server.wait_for_session(0).wait_for(lambda r: r.audio_size > 0, 10)
    del outcomes
    assert server.wait_for_session(0).closed.wait(10)


CTRL_C = """
    import sys
    from speechmatics_rt import transcribe_many

    def sources():
        for number in range(1000):
            yield bytes(32000) if number < 2 else iter(lambda: bytes(3200), None)

    raw = {"encoding": "pcm_s16le", "sample_rate": 16000}
    seen = []
    try:
        for outcome in transcribe_many(sources(), url=sys.argv[1], audio_format=raw, max_sessions=3,
                                       speed=8.0):
            assert outcome.ok, outcome.error
            seen.append(outcome.index)
            if len(seen) == 2:
                print("two", flush=True)
    except KeyboardInterrupt:
        print(sorted(seen))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_it_at_once_with_all_that_was_finished(server) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CTRL_C), server.url]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout.readline() == "two\n"
        server.wait_for_session(4).wait_for(lambda r: r.audio_size > 0, 20)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert out == "[0, 1]\n"
    assert process.returncode == 0


class Stub(Executor):
    """Finishes every job at once, with a transcript of its own; what ``meanwhile`` does comes in between."""

    def __init__(self, meanwhile: Any = lambda index: None) -> None:
        self.meanwhile = meanwhile

    def submit(self, fn: Any, /, index: int, source: Any) -> Future[Report]:
        future: Future[Report] = Future()
        self.meanwhile(index)
        future.set_result(Report(Transcript(), None, SessionStats(), None, None))
        return future


def test_ctrl_c_between_two_results_loses_neither() -> None:
    def interrupt(index: int) -> None:
        if index == 2:
            raise KeyboardInterrupt

    given = []
    outcomes = transcribe_many(iter(range(10**9)), executor=Stub(interrupt), max_sessions=3)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        for outcome in outcomes:
            given.append(outcome.index)
    assert given == [0, 1]
    assert list(outcomes) == []


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.reliability)])
def test_memory_stays_flat_over_any_number_of_sources(count: int) -> None:
    taken = 0

    def sources() -> Iterator[str]:
        nonlocal taken
        for taken in range(1, count + 1):
            yield f"recording-{taken}.wav"

    outcomes = transcribe_many(sources(), executor=Stub(), max_sessions=8)
    ahead = done = before = 0
    last = None
    for last in outcomes:  # noqa: B007
        done += 1
        ahead = max(ahead, taken - done)
        if done == 1000:
            before = sys.getallocatedblocks()
    assert (done, last.source) == (count, f"recording-{count}.wav")
    assert ahead <= 17
    assert sys.getallocatedblocks() - before < 2000  # objects of Python's: less than one in 50 sources


# -- what goes to workers and comes back -------------------------------------------------------------------


def test_outcomes_options_and_errors_pickle(server, tmp_path) -> None:
    options = {
        "url": server.url,
        "transcription_config": TranscriptionConfig(diarization="speaker", additional_vocab=["Ravelin"]),
        "resume": True,
    }
    for outcome in transcribe_many([str(SPEECH), str(tmp_path / "none.wav")], **options):
        again: Outcome = pickle.loads(pickle.dumps(outcome))
        assert (again.index, again.source, again.stats) == (outcome.index, outcome.source, outcome.stats)
        if outcome.ok:
            assert again.transcript.to_dict() == outcome.transcript.to_dict()
        else:
            assert str(again.error) == str(outcome.error)
            assert not again.error.retryable
    run = transcribe_many([], conn_config=ConnectionConfig(open_timeout=3), **options)
    assert pickle.loads(pickle.dumps(run._job))._client["conn_config"].open_timeout == 3


def test_options_are_checked_before_anything_is_read() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(ConfigurationError, match="max_delay"):
        transcribe_many(never(), transcription_config={"max_delay": "x"})
    for slip, meant in (("translation", "translation_config"), ("max_session", "max_sessions")):
        with pytest.raises(TypeError, match=f"{slip!r}; did you mean {meant!r}"):
            transcribe_many(never(), **{slip: 3})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"'processes'; accepted: executor, max_sessions, .*, speed$"):
        transcribe_many(never(), processes=3)  # type: ignore[call-arg]


ONE_SOURCE = [
    "a.wav",
    b"RIFF",
    bytearray(3),
    Path("a.wav"),
    {"a": b""},
    io.BytesIO(b"RIFF\n\n"),
    array.array("h", [1, 2]),
    memoryview(bytes(4)).cast("f"),
    open_source(bytes(4), RAW),
]


@pytest.mark.parametrize("wrong", ONE_SOURCE, ids=lambda wrong: type(wrong).__name__)
def test_one_source_is_no_list_of_sources(wrong) -> None:
    with pytest.raises(ConfigurationError, match=r"sources is a.*, which is one source; give a list"):
        transcribe_many(wrong)


def test_a_folder_and_names_of_recordings_are_told_what_gives_all_of_them(tmp_path) -> None:
    for folder in (tmp_path, str(tmp_path), "."):
        with pytest.raises(
            ConfigurationError, match=r"a folder; give Path\(folder\)\.iterdir\(\) for all in it$"
        ):
            transcribe_many(folder)
    with pytest.raises(
        ConfigurationError, match=r"list\(source\.values\(\)\) if each of its values is a recor"
    ):
        transcribe_many({"intro": "intro.wav", "outro": "outro.wav"})


def test_a_file_is_no_list_of_sources_nor_is_a_text(tmp_path) -> None:
    names = tmp_path / "names.txt"
    names.write_text(f"{SPEECH}\n")
    with (
        open(SPEECH, "rb") as file,
        pytest.raises(ConfigurationError, match="BufferedReader, which is one"),
    ):
        transcribe_many(file)
    with open(names) as file, pytest.raises(ConfigurationError, match="one a line, give") as caught:
        transcribe_many(file)
    way = caught.value.text.rpartition("give ")[2]
    with open(names) as file, LocalServer() as server:
        (outcome,) = transcribe_many(eval(way, {"file": file}), url=server.url)
    assert outcome.ok


@pytest.mark.parametrize("wrong", [5, None, object()])
def test_what_is_no_collection_is_no_list_of_sources(wrong) -> None:
    with pytest.raises(ConfigurationError, match=r"sources is an? .*; accepted: an iterable of sources"):
        transcribe_many(wrong)


def test_what_else_goes_wrong_in_a_worker_is_the_outcomes_error(server) -> None:
    class Torn:
        def __enter__(self) -> None:
            raise KeyError("the limiter's name")

        def __exit__(self, *_: object) -> None: ...

    (outcome,) = transcribe_many([SECOND], url=server.url, audio_format=RAW, limiter=Torn())
    assert isinstance(outcome.error, KeyError)


@pytest.mark.parametrize("who", ["who issues keys", "who keeps the limit"])
def test_while_the_helpers_of_the_program_are_away_everything_waits_and_nothing_fails(
    monkeypatch, server, who
) -> None:
    monkeypatch.setattr(plan, "_LEAST", 0.05)
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        if len(asked) <= 5:
            raise ConnectionRefusedError(111, f"{who} is away")

    class Vault(AuthBase):
        def get_auth_headers(self) -> dict[str, str]:
            ask()
            return {}

    class Limit:
        def __enter__(self) -> None:
            ask()

        def __exit__(self, *_: object) -> None: ...

    options: dict[str, Any] = {"auth": Vault()} if who == "who issues keys" else {"limiter": Limit()}
    causes = set()

    def note(progress: Progress) -> None:
        if progress.cause is not None:
            causes.add((progress.cause.stage, progress.cause.unreached))

    outcomes = list(
        transcribe_many([SECOND] * 6, url=server.url, audio_format=RAW, on_progress=note, **options)
    )
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert {outcome.tries for outcome in outcomes} == {1}
    assert causes == {("key" if who == "who issues keys" else "limiter", True)}
    assert len(server.sessions) == 6


def test_a_limiter_that_stays_away_ends_the_run_with_one_error(monkeypatch, server) -> None:
    monkeypatch.setattr(plan, "_LEAST", 0.05)
    monkeypatch.setattr(plan, "_NEVER_REACHED", 0.3)

    class Gone:
        def __enter__(self) -> None:
            raise OSError("redis is gone")

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(ConnectionError, match="the limiter raised OSError: redis is gone; ") as caught:
        list(transcribe_many([SECOND] * 3, url=server.url, audio_format=RAW, limiter=Gone()))
    assert caught.value.stage == "limiter"


def test_a_transcript_is_kept_if_the_limiter_fails_behind_it(server, caplog) -> None:
    class Expired:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            raise RuntimeError("the lock has expired")

    (outcome,) = transcribe_many([SECOND], url=server.url, audio_format=RAW, limiter=Expired())
    assert outcome.error is None
    assert outcome.transcript
    (record,) = [record for record in caplog.records if record.name == "speechmatics_rt.many.job"]
    assert record.getMessage() == "the limiter failed when it was left"
    assert "the lock has expired" in str(record.exc_info)


@dataclass(frozen=True)
class StorageError(LookupError):
    code: int


def test_an_exception_that_allows_no_assignment_is_the_error_of_one_outcome(server) -> None:
    def download(number: int) -> Iterator[bytes]:
        yield SECOND
        if number == 1:
            raise StorageError(503)

    class Vault(AuthBase):
        asked = 0

        def get_auth_headers(self) -> dict[str, str]:
            self.asked += 1
            if self.asked == 3:
                raise StorageError(401)
            return {}

    options: dict[str, Any] = {"url": server.url, "audio_format": RAW, "max_sessions": 1}
    outcomes = list(transcribe_many(map(download, range(4)), auth=Vault(), **options))
    assert [outcome.ok for outcome in outcomes] == [True, False, False, True]
    assert outcomes[1].error.__cause__ == StorageError(503)
    assert outcomes[2].error == StorageError(401)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("the semaphore's server is in shutdown"), True),
        (CancelledError("the limiter's own future was cancelled"), False),  # and tried again
    ],
    ids=["RuntimeError", "CancelledError"],
)
def test_no_error_of_a_job_is_taken_for_the_end_of_the_executor(server, error, told: bool) -> None:
    class Limit:
        entered = 0

        def __enter__(self) -> None:
            self.entered += 1
            if self.entered == 2:
                raise error

        def __exit__(self, *_: object) -> None: ...

    options: dict[str, Any] = {"url": server.url, "audio_format": RAW, "limiter": Limit(), "max_sessions": 1}
    outcomes = list(transcribe_many([SECOND] * 4, **options))
    assert [outcome.error for outcome in outcomes] == [None, error if told else None, None, None]


@pytest.mark.parametrize("text", ["cannot schedule new futures after shutdown", "can't start new thread"])
def test_an_executor_that_takes_no_more_jobs_ends_the_run_after_what_it_did(text: str) -> None:
    def take(index: int) -> None:
        if index == 2:
            raise RuntimeError(text)

    given = []
    with pytest.raises(RuntimeError, match=text):
        for outcome in transcribe_many(["a.wav"] * 9, executor=Stub(take), max_sessions=3):
            given.append(outcome.index)
    assert given == [0, 1]


def test_an_executor_that_cancels_a_job_ends_the_run() -> None:
    class Cancelling(Stub):
        def submit(self, fn: Any, /, index: int, source: Any) -> Future[Report]:
            if index < 2:
                return super().submit(fn, index, source)
            future: Future[Report] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    given = []
    with pytest.raises(CancelledError):
        for outcome in transcribe_many(["a.wav"] * 9, executor=Cancelling(), max_sessions=3):
            given.append(outcome.index)
    assert given == [0, 1]
