"""A recorded session that did not end well: its replay ends likewise."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AudioFormat,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    MultiChannelClient,
    Recorder,
    ResumePolicy,
    SpeechmaticsError,
    TimeoutError,
)
from speechmatics_rt.local import Fault, LocalServer, ReplayEngine, ServerForTests

from ..conftest import a_closed_port

PCM = AudioFormat("pcm_s16le", 16000)
SECONDS = bytes(32000 * 25)  # more than may be under way when a fault strikes
IMPATIENT = ConnectionConfig(
    open_timeout=1.5, start_timeout=1.5, end_timeout=1.5, send_timeout=1.5, ping_interval=None
)
SAID = ("stage", "status", "code", "type", "reason", "retryable", "retry_after", "seconds", "unreached")

FAULTS = [
    *(Fault.close(code, "why", after_seconds=8) for code in (1001, 1008, 1011, 1012, 1013, 4001, 4005, 4013)),
    Fault.close(1008, "idle_timeout", after_seconds=8),
    Fault.close(1011, at="start"),
    Fault.close(4005, at="start"),
    Fault.close(1013, at="drain"),
    Fault.bad_close(payload=b"", after_seconds=8),
    Fault.fin(after_seconds=8),
    Fault.fin(at="handshake"),
    Fault.fin(at="start"),
    Fault.fin(at="drain"),
    Fault.reset(after_seconds=8),
    Fault.error("job_error", "x", after_seconds=8),
    Fault.error("not_authorised", "x", after_seconds=8),
    Fault.error("quota_exceeded", "too many", at="start"),
    Fault.error("invalid_model", at="start"),
    Fault.early_end(after_seconds=8),
    Fault.silence(after_seconds=8),
    Fault.no_start(),
    Fault.no_end(),
    Fault.hang(),
    Fault.refuse(401),
    Fault.refuse(403),
    Fault.refuse(404, body={"error": "no such path"}),
    Fault.refuse(429, retry_after=7),
    Fault.refuse(500),
    Fault.refuse(503),
    Fault.refuse(503, retry_after=3),
    Fault.bad_accept(),
    Fault.reserved_bit(after_seconds=8),
    Fault.bad_utf8(after_seconds=8),
    Fault.deep_json(after_seconds=8),
    Fault.oversize(size=20_000_000, after_seconds=8),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bug.jsonl"


def ended(
    server: ServerForTests, path: Optional[Path] = None, kind: type[Any] = Client, **config: Any
) -> tuple[Any, ...]:
    """Hold a session, recorded if there is a path; return what its error says, and what was heard."""
    with kind(url=server.url, conn_config=IMPATIENT) as client:
        recorder = None if path is None else Recorder(client, path)
        source = SECONDS if kind is Client else {"a": SECONDS, "b": SECONDS}
        with pytest.raises(SpeechmaticsError) as caught:
            client.transcribe(source, audio_format=PCM, transcription_config={"language": "en", **config})
        if recorder is not None:
            recorder.close()
        error = caught.value
        said = {name: getattr(error, name, None) for name in SAID}
        return type(error), said, str(error.transcript)


def refused(url: str, path: Optional[Path] = None, **options: Any) -> SpeechmaticsError:
    """Try to open a session, recorded if there is a path; return why it could not be."""
    with Client(url=url, **options) as client:
        recorder = contextlib.nullcontext() if path is None else Recorder(client, path)
        with recorder, pytest.raises(SpeechmaticsError) as caught:
            client.transcribe(SECONDS, audio_format=PCM)
        return caught.value


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_replay_comes_to_the_same_end(path, fault: Fault) -> None:
    with ServerForTests(faults=[fault]) as server:
        first = ended(server, path)
    with ServerForTests() as server:
        server.replays(path)
        again = ended(server)
    assert again[:2] == first[:2]
    assert again[2] == first[2] or fault.kind in ("reset", "oversize", "bad_utf8", "deep_json")


@pytest.mark.parametrize("fault", [Fault.close(1011, after_seconds=8), Fault.fin(at="drain")], ids=repr)
def test_channels_come_to_the_same_end(path, fault: Fault) -> None:
    with ServerForTests(faults=[fault]) as server:
        first = ended(server, path, MultiChannelClient)
    with ServerForTests() as server:
        server.replays(path)
        assert ended(server, kind=MultiChannelClient)[:2] == first[:2]


def test_a_dead_network_is_silent_again_and_answers_no_ping(path) -> None:
    config = ConnectionConfig(ping_interval=0.2, ping_timeout=0.5)
    faults = [Fault.silence(), Fault.no_pongs()]
    said = []
    for engine in (None, ReplayEngine):
        with ServerForTests(faults=[] if engine else faults) as server:
            if engine:
                server.replays(path)
            with Client(url=server.url, conn_config=config) as client:
                recorder = None if engine else Recorder(client, path)
                client.start_session(audio_format=PCM)
                with pytest.raises(ConnectionError) as caught:
                    client.send_audio(SECONDS[:3200])
                    client._session.delivery.over.wait(10)
                    client.stop_session()
                if recorder is not None:
                    recorder.close()
                said.append((caught.value.stage, caught.value.code, caught.value.retryable))
    assert said == [("keepalive", 1006, True)] * 2


def test_the_last_line_says_as_data_what_the_error_says(path) -> None:
    with ServerForTests(faults=[Fault.refuse(503, retry_after=3)]) as server:
        ended(server, path)
    began, last = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert "began" in began
    assert last["ended"].startswith("ConnectionError: ")
    assert last["failure"] == {
        "kind": "ConnectionError",
        "stage": "upgrade",
        "status": 503,
        "reason": "refused",
        "retry_after": 3.0,
    }


def test_who_reached_no_server_is_told_that_none_can_replay_that(path) -> None:
    with a_closed_port() as port:
        refused(f"ws://127.0.0.1:{port}/v2", path)
    with pytest.raises(ConfigurationError, match=r"reached no server.*ConnectionError: .*refused"):
        ReplayEngine(path)


def test_who_gave_up_a_refused_start_with_resume_is_refused_again(path) -> None:
    policy = ResumePolicy(max_attempts=2, min_delay=0.01, busy_delay=0.01)
    with ServerForTests(faults=[Fault.refuse(503)]) as server:
        first = refused(server.url, path, resume=policy), len(server.sessions)
    with LocalServer(ReplayEngine(path)) as server:
        again = refused(server.url, resume=policy), len(server.sessions)
    assert [(error.status, count) for error, count in (first, again)] == [(503, 3), (503, 3)]


@pytest.mark.parametrize(
    "failure",
    [{"kind": 5}, {"kind": "ConnectionError", "code": "x", "reason": 7}, {}, {"kind": "TimeoutError"}]
    + [{"kind": "ConnectionError", "code": code} for code in (True, 7, 10**9)],
)
def test_odd_data_about_the_end_breaks_nothing(path, failure: Any) -> None:
    with ServerForTests(faults=[Fault.fin(after_seconds=8)]) as server:
        ended(server, path)
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    entries[-1]["failure"] = failure
    with ServerForTests() as server:
        server.replays(entries)
        with Client(url=server.url, conn_config=IMPATIENT) as client:
            with contextlib.suppress(ConnectionError, TimeoutError):
                client.transcribe(SECONDS, audio_format=PCM)
            assert client.transcript.text.startswith("Good")


def test_a_key_that_was_refused_is_refused_again(path) -> None:
    with ServerForTests(keys=["right"]) as server:
        refused(server.url, path, api_key="wrong")
    assert "wrong" not in path.read_text(encoding="utf-8")
    with LocalServer(ReplayEngine(path)) as server:
        error = refused(server.url, api_key="another")
    assert isinstance(error, AuthenticationError)
    assert error.status == 401
