"""Resume at its edges: odd messages, dropped clients, signals, forks, failing threads, late ends."""

from __future__ import annotations

import builtins
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AudioFormat,
    AuthBase,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    ResumePolicy,
    SessionError,
    SpeechmaticsError,
    TranscriptionConfig,
)
from speechmatics_rt.exceptions import EndOfTranscriptError
from speechmatics_rt.local import Fault
from speechmatics_rt.resume.replay import Replay

from ..conftest import threads
from ..looks import settled
from ..reliability.numbered import FORMAT, RATE, NumberedEngine
from .test_resume import ALL, AUDIO, CHUNK, CONFIG, QUICK, SLOW, ClientOf, Diary, Serve, contents, pieces

SECOND = bytes(2 * RATE)
LATE = ResumePolicy(min_delay=0.3, max_delay=0.3, replay_speed=1000)
LOST = [Fault.reset(after_seconds=5, sessions=[0])]
LEFT = [Fault.fin(after_seconds=20, sessions=[0])]  # with the words until then


def until(condition: Callable[[], object], what: str) -> None:
    assert not settled(lambda: not condition(), 10), what


def transcribe(client: Any, **options: Any) -> Any:
    return client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG, **options)


# -- who is dropped ------------------------------------------------------------------------------------


class Local:
    """Something a caller holds."""


@pytest.mark.parametrize("moment", ["Reconnecting", "Resumed", "AddTranscript"])
def test_a_stream_that_is_dropped_after_a_loss_ends_its_session_and_frees_its_caller(
    serve: Serve, client_of: ClientOf, moment: str
) -> None:
    policy = SLOW if moment == "Reconnecting" else QUICK
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=policy)

    def leave_in_the_middle() -> weakref.ref[Local]:
        local = Local()
        lost = False
        for message in client.stream(pieces(), audio_format=FORMAT, transcription_config=CONFIG, speed=20):
            lost |= message["message"] == "Reconnecting"
            if lost and message["message"] == moment:
                break
        return weakref.ref(local)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        local = leave_in_the_middle()
        gc.collect()
    assert local() is None
    until(lambda: not client.is_connected and not [n for n in threads() if "local" not in n], "it runs on")


def test_a_source_that_waits_in_an_outage_is_let_go_when_the_end_is_asked_for(
    serve: Serve, client_of: ClientOf
) -> None:
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=ResumePolicy(min_delay=30, max_delay=30))

    def senders() -> list[str]:
        return [name for name in threads() if "sender" in name]

    with client.stream(pieces(), audio_format=FORMAT, transcription_config=CONFIG, speed=20) as messages:
        for message in messages:
            if message["message"] == "Reconnecting":
                break
        assert senders()
        client.request_stop()
        until(lambda: not senders(), "the source is still being read")


def test_a_client_that_keeps_an_error_keeps_no_locals_of_its_caller(
    serve: Serve, client_of: ClientOf
) -> None:
    client = client_of(serve(NumberedEngine(), faults=LOST))

    def fail() -> weakref.ref[Local]:
        local = Local()
        with pytest.raises(ConnectionError):
            transcribe(client)
        return weakref.ref(local)

    local = fail()
    gc.collect()
    assert local() is None


def test_a_client_that_is_dropped_during_an_attempt_leaves_no_thread(serve: Serve) -> None:
    faults = [Fault.reset(after_seconds=1, sessions=[0]), Fault.hang(seconds=0.5, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)

    def drop() -> None:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        client = Client(url=server.url, conn_config=config, resume=QUICK)
        client.start_session(audio_format=FORMAT)
        client.send_audio(SECOND * 2)
        server.wait_for_session(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        drop()
        gc.collect()
    until(lambda: not [name for name in threads() if "local" not in name], "threads are left")


# -- an attempt that fails in unusual ways -------------------------------------------------------------


class Keys(AuthBase):
    """A key that is good once."""

    def __init__(self, then: BaseException, *, on_refresh: bool) -> None:
        self.then, self.on_refresh = then, on_refresh
        self.asked = 0

    def get_auth_headers(self) -> dict[str, str]:
        self.asked += 1
        if self.asked > 1 and not self.on_refresh:
            raise self.then
        return {"Authorization": f"Bearer {'once' if self.asked == 1 else 'stale'}"}

    def refresh(self) -> bool:
        raise self.then


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("on_refresh", [False, True], ids=["headers", "refresh"])
@pytest.mark.parametrize("then", [KeyError("token"), SystemExit(3)], ids=repr)
def test_whatever_an_attempt_dies_of_reaches_the_caller(
    serve: Serve, client_of: ClientOf, then: BaseException, on_refresh: bool
) -> None:
    server = serve(NumberedEngine(), keys=["once"] if on_refresh else None, faults=LEFT)
    auth = Keys(then, on_refresh=on_refresh)
    client = client_of(server, auth=auth, resume=QUICK)
    text = rf"could not be restored: {re.escape(repr(then))}"
    with pytest.raises(ConnectionError, match=text) as caught:
        transcribe(client)
    assert caught.value.__cause__ is then
    assert (caught.value.stage, caught.value.retryable) == ("key", False)
    assert caught.value.transcript.words
    assert auth.asked == 2


@pytest.mark.parametrize("on_refresh", [False, True], ids=["headers", "refresh"])
@pytest.mark.parametrize("then", [OSError("the vault is down"), builtins.TimeoutError("the vault")], ids=repr)
def test_who_issues_keys_may_be_away_for_an_attempt(
    serve: Serve, client_of: ClientOf, then: Exception, on_refresh: bool
) -> None:
    class Back(Keys):
        """Is there again at the third time of asking."""

        failed = 0

        def get_auth_headers(self) -> dict[str, str]:
            return (
                {"Authorization": "Bearer new"}
                if self.failed == 2
                else self._noting(super().get_auth_headers)
            )

        def refresh(self) -> bool:
            return self.failed == 2 or self._noting(super().refresh)

        def _noting(self, ask: Any) -> Any:
            try:
                return ask()
            except type(then):
                self.failed += 1
                raise

    keys = ["once", "new"] if on_refresh else None
    client = client_of(
        serve(NumberedEngine(), keys=keys, faults=LOST), auth=Back(then, on_refresh=on_refresh), resume=QUICK
    )
    announced: list[Any] = []
    client.on("Reconnecting", announced.append)
    assert [word.content for word in transcribe(client).words] == ALL
    method = "refresh" if on_refresh else "get_auth_headers"
    causes = [event["cause"] for event in announced[1:]]
    assert causes == [f"{method}() of Back raised {type(then).__name__}: {then}"] * 2
    assert [event["attempt"] for event in announced] == [1, 2, 3]


def test_who_issues_keys_may_not_be_away_for_ever(serve: Serve, client_of: ClientOf) -> None:
    down = OSError("the vault is down")
    policy = ResumePolicy(max_attempts=2, min_delay=0.01, max_delay=0.02)
    client = client_of(serve(NumberedEngine(), faults=LEFT), auth=Keys(down, on_refresh=False), resume=policy)
    with pytest.raises(ConnectionError, match=r"2 attempts to reconnect failed.*the vault is down") as caught:
        transcribe(client)
    assert caught.value.transcript.words
    assert caught.value.__cause__.__cause__ is down


def test_a_refresh_that_fails_in_our_own_words_is_a_failed_attempt(serve: Serve, client_of: ClientOf) -> None:
    down = ConnectionError("the key server is down", stage="key", status=503)
    server = serve(NumberedEngine(), keys=["once"], faults=LOST)
    policy = ResumePolicy(max_attempts=2, min_delay=0.01, max_delay=0.02, busy_delay=0.02)
    client = client_of(server, auth=Keys(down, on_refresh=True), resume=policy)
    with pytest.raises(ConnectionError, match=r"2 attempts to reconnect failed.*the key server is down"):
        transcribe(client)


def test_without_threads_to_give_the_caller_hears_it(
    serve: Serve, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "-resume-" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=QUICK)
    with pytest.raises(SessionError, match="can't start new thread"):
        transcribe(client)


def test_after_the_end_no_attempt_is_announced(
    serve: Serve, client_of: ClientOf, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [
        Fault.reset(after_seconds=1, sessions=[0]),
        Fault.reset(at="handshake", delay=0.3, sessions=[1]),
    ]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    client.start_session(audio_format=FORMAT)
    client.send_audio(SECOND * 2)
    server.wait_for_session(1)
    client.close()
    caplog.clear()
    caplog.set_level(logging.INFO, logger="speechmatics_rt.client")
    until(lambda: not [name for name in threads() if "-resume-" in name], "the attempt does not end")
    assert "attempt" not in caplog.text


# -- what is asked in between --------------------------------------------------------------------------


@pytest.mark.parametrize("outage", [False, True], ids=["before", "in an outage"])
@pytest.mark.parametrize(
    "message",
    [
        {"message": "GetSpeakers", "final": b"bytes"},
        {"message": "ForceEndOfUtterance", "timestamp": float("inf")},
        {"message": "ForceEndOfUtterance", "timestamp": float("nan")},
    ],
    ids=lambda message: str(message)[12:50],
)
def test_a_message_without_a_json_form_is_refused_and_the_session_goes_on(
    serve: Serve, client_of: ClientOf, message: dict[str, Any], outage: bool
) -> None:
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=LATE)
    diary = Diary(client)
    client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
    if outage:
        for piece in pieces()[:24]:
            client.send_audio(piece)
        diary.wait_for("Reconnecting")
    with pytest.raises(ConfigurationError, match="can't be sent"):
        client.send_message(message)
    for piece in pieces()[24 if outage else 0 :]:
        client.send_audio(piece)
    client.stop_session()
    assert diary.of("Resumed")
    assert contents(client.transcript) == ALL


def test_settings_that_are_none_are_left_to_the_server_to_judge(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(NumberedEngine()), resume=QUICK)
    client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
    client.send_message({"message": "SetRecognitionConfig", "transcription_config": "max_delay"})
    with pytest.raises(SpeechmaticsError):
        client.stop_session()


def test_a_handler_may_make_the_announcement_its_own(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=QUICK)
    client.on("Reconnecting", lambda message: message.clear())
    assert contents(transcribe(client)) == ALL


# -- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["drain", "stream"])
def test_a_transcript_that_ends_before_all_was_said_again_is_not_complete(
    serve: Serve, client_of: ClientOf, at: str
) -> None:
    loss = Fault.reset(at="drain", sessions=[0]) if at == "drain" else LOST[0]
    server = serve(NumberedEngine(), faults=[loss, Fault.early_end(after_seconds=0.2, sessions=[1])])
    policy = ResumePolicy(min_delay=0.3, max_delay=0.3, replay_speed=20)
    client = client_of(server, resume=policy)
    diary = Diary(client)
    client.start_session(audio_format=FORMAT, transcription_config=TranscriptionConfig(max_delay=4))
    for piece in pieces():
        client.send_audio(piece)
    if at == "stream":
        diary.wait_for("Reconnecting")
    with pytest.raises(EndOfTranscriptError, match="before all audio was sent"):
        client.stop_session()


def test_a_finished_session_has_nothing_left_in_its_queue(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(NumberedEngine(), faults=LOST), resume=QUICK)
    transcribe(client)
    assert client.stats.queue_depth == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGUSR1")
def test_close_in_a_signal_handler_closes_even_inside_the_lock(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=1, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=1.2, max_delay=1.2))
    diary = Diary(client)
    client.start_session(audio_format=FORMAT)
    client.send_audio(SECOND * 2)
    diary.wait_for("Reconnecting")
    before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
    try:
        with client._session.connection._lock:  # as a sender holds it when the signal comes
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not client.is_connected
    until(lambda: not [name for name in threads() if "local" not in name], "threads are left")
    assert len(server.sessions) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking a process that has threads
def test_a_forked_child_closes_the_connection_that_is_starting_too(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=1, sessions=[0]), Fault.late_start(1, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    client.start_session(audio_format=FORMAT)
    client.send_audio(SECOND * 2)
    connection = client._session.connection
    until(lambda: connection._monitor._next is not None, "no attempt was made")
    child = os.fork()
    if child == 0:
        code = 9
        try:
            client.close()
            code = int(connection._monitor._next._sock.fileno() >= 0)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.close()


# -- figures and memory --------------------------------------------------------------------------------


def test_paced_audio_leaves_nothing_behind_chunk_by_chunk(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(NumberedEngine()), resume=QUICK)
    most = 0

    def look(_: object) -> None:
        nonlocal most
        most = max(most, len(client._session.connection._monitor.room.tickets))

    client.on_any(look)
    small = [AUDIO[at : at + CHUNK // 4] for at in range(0, len(AUDIO), CHUNK // 4)]
    client.transcribe(small, audio_format=FORMAT, transcription_config=CONFIG, speed=60)
    assert most <= 1


def test_no_more_frames_are_unacknowledged_than_were_sent(serve: Serve, client_of: ClientOf) -> None:
    faults = [
        Fault.no_acks(sessions=[0]),
        Fault.reset(after_seconds=3.9, sessions=[0]),
        Fault.hang(seconds=0.5, sessions=[1]),
    ]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
    for piece in pieces()[:16]:
        client.send_audio(piece)
    server.wait_for_session(1)
    connection = client._session.connection
    until(lambda: connection._state.replay.waiting[0] == 16, "the attempt did not begin")
    stats = client.stats
    client.close()
    assert stats.unacknowledged_frames == stats.frames_sent == 16


# -- odd messages --------------------------------------------------------------------------------------

WORD = '[{"type":"word","start_time":90,"end_time":91,"alternatives":[{"content":"x"}]}]'
DEEP = "[" * 700 + "]" * 700
ODD = {
    "end of nothing": '{"message":"EndOfUtterance","metadata":null}',
    "end of a list": '{"message":"EndOfUtterance","metadata":[]}',
    "end soon": '{"message":"EndOfUtterance","metadata":{"end_time":"soon"}}',
    "words without times": '{"message":"AddTranscript","metadata":null,"results":' + WORD + "}",
    "words and a text": '{"message":"AddTranscript","metadata":"none","results":' + WORD + "}",
    "never": '{"message":"AddTranscript","metadata":{"start_time":0,"end_time":1e999},"results":[]}',
    "no number": '{"message":"AddTranscript","metadata":{"start_time":0,"end_time":NaN},"results":[]}',
    "late": '{"message":"AddTranscript","metadata":{"end_time":1' + "0" * 400 + '},"results":[]}',
    "channel": '{"message":"AddTranscript","channel":["a"],"metadata":{},"results":' + WORD + "}",
    "acknowledged": '{"message":"ChannelAudioAdded","channel":["a"],"seq_no":1}',
    "deep": '{"message":"Info","deep":' + DEEP + "}",
    "deep words": '{"message":"AddTranscript","metadata":{},"results":[' + DEEP + "]}",
    "speakers": '{"message":"SpeakersResult","speakers":[{"label":"S' + "9" * 5000 + '"}]}',
}


@pytest.mark.parametrize("session", [0, 1], ids=["first", "later"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_messages_pass_and_no_word_is_lost(
    serve: Serve, client_of: ClientOf, odd: str, session: int
) -> None:
    behind = Fault.info(reason="behind what is odd", after_seconds=4, sessions=[session])
    faults = [Fault.bad_json(ODD[odd], after_seconds=4, sessions=[session]), behind, *LOST]
    client = client_of(serve(NumberedEngine(), faults=faults), resume=QUICK)
    passed = threading.Event()

    @client.on("Info")
    def read_on(message: dict[str, Any]) -> None:
        if message["reason"] == "behind what is odd":
            passed.set()

    def speaking() -> Iterator[bytes]:
        """Come to the loss at 5 s only when what is odd has been read."""
        for index, piece in enumerate(pieces()):
            if session == 0 and index * CHUNK >= 4.5 * 2 * RATE:
                assert passed.wait(10), "what is odd did not pass"
            yield piece

    def ask(_: object) -> None:
        client.force_end_of_utterance(timestamp=100.0)

    client.once("Resumed", ask)
    transcript = client.transcribe(speaking(), audio_format=FORMAT, transcription_config=CONFIG)
    assert passed.is_set()
    assert [content for content in contents(transcript) if content != "x"] == ALL
    assert client.stats.seconds_transcribed < 1000


@pytest.mark.parametrize("metadata", [None, [], {"end_time": "soon"}], ids=repr)
def test_an_end_of_utterance_without_a_time_answers_no_request(metadata: Any) -> None:
    start = {"transcription_config": {"language": "en"}}
    replay = Replay(start, [None], AudioFormat("pcm_s16le", 16000), buffer_seconds=60)
    replay.receive({"message": "RecognitionStarted"})
    replay.sent(replay.request({"message": "ForceEndOfUtterance", "timestamp": 1.0}))
    replay.receive({"message": "EndOfUtterance", "metadata": metadata})
    replay.begin()
    assert replay.due() is not None  # it is asked again
