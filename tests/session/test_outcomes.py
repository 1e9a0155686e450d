"""How sessions fail: each kind of failure is raised as what it is, with what was heard, and nothing hangs."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator

import pytest

from speechmatics_rt import (
    AudioError,
    AudioFormat,
    AuthenticationError,
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
)
from speechmatics_rt.local import Fault

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
AFTER_WORDS = {"after_seconds": 6}


def failed(client, seconds: int = 60, **options) -> SpeechmaticsError:
    with pytest.raises(SpeechmaticsError) as caught:
        client.transcribe(SECOND * seconds, audio_format=PCM, **options)
    return caught.value


def has_words(error: SpeechmaticsError) -> bool:
    return error.transcript.text.startswith("Good morning")


def test_an_error_in_mid_stream_is_a_transcription_error_with_its_type_and_what_was_heard(
    serve, client_of
) -> None:
    server = serve(faults=[Fault.error("job_error", "worker died", **AFTER_WORDS)])
    told = []
    with client_of(server) as client:
        client.on("Error", told.append)
        error = failed(client)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.reason, error.code, error.retryable) == ("job_error", "worker died", 4013, True)
    assert has_words(error)
    assert error.request_id == client.request_id
    assert error.request_id in str(error)
    assert [message["type"] for message in told] == ["job_error"]


@pytest.mark.parametrize("at", ["open", "start", "drain", "end"])
def test_an_error_at_any_other_moment_is_the_same_error(serve, client_of, at) -> None:
    with client_of(serve(faults=[Fault.error("quota_exceeded", at=at)])) as client:
        error = failed(client, seconds=3)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.code) == ("quota_exceeded", 4005)
    assert error.retry_after == 5


def test_an_error_without_a_close_frame_is_raised_within_two_seconds(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.error("unknown_error", close=False, **AFTER_WORDS)])) as client:
        began = time.monotonic()
        error = failed(client)
    assert isinstance(error, TranscriptionError)
    assert error.code is None
    assert time.monotonic() - began < 3


def test_an_error_without_a_type_is_raised_with_the_words_of_the_service(serve, client_of) -> None:
    said = '{"message":"Error","reason":"the engine is gone"}'
    with client_of(serve(faults=[Fault.bad_json(said, **AFTER_WORDS), Fault.fin(after_seconds=6)])) as client:
        error = failed(client)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.reason) == (None, "the engine is gone")
    assert has_words(error)


@pytest.mark.parametrize(
    ("code", "kind", "type_"),
    [
        (4001, AuthenticationError, None),
        (4003, TranscriptionError, "not_allowed"),
        (4004, TranscriptionError, "invalid_model"),
        (4005, TranscriptionError, "quota_exceeded"),
        (4006, TranscriptionError, "timelimit_exceeded"),
        (4013, TranscriptionError, "job_error"),
        (1011, ConnectionError, None),
        (1012, ConnectionError, None),
        (1008, ConnectionError, None),
        (1000, ConnectionError, None),
    ],
)
def test_a_close_code_alone_is_the_error_it_stands_for(serve, client_of, code, kind, type_) -> None:
    with client_of(serve(faults=[Fault.close(code, type_ or "why", **AFTER_WORDS)])) as client:
        error = failed(client)
    assert type(error) is kind
    assert has_words(error)
    if type_:
        assert error.type == type_
    if kind is ConnectionError:
        assert (error.code, error.reason, error.stage) == (code, "why", "streaming")


@pytest.mark.parametrize(
    "fault", [Fault.reset, Fault.fin, Fault.cut_frame], ids=["RST", "FIN", "half a frame"]
)
def test_a_dropped_connection_is_a_connection_error_with_what_was_heard(serve, client_of, fault) -> None:
    with client_of(serve(faults=[fault(**AFTER_WORDS)])) as client:
        error = failed(client, speed=20)
    assert type(error) is ConnectionError
    assert (error.code, error.stage) == (1006, "streaming")
    assert has_words(error)


@pytest.mark.parametrize("at", ["start", "drain"])
def test_a_connection_lost_while_starting_or_draining_names_the_stage(serve, client_of, at) -> None:
    with client_of(serve(faults=[Fault.fin(at=at)])) as client:
        error = failed(client, seconds=3)
    assert type(error) is ConnectionError
    assert error.stage == {"start": "start", "drain": "draining"}[at]


def test_the_builtin_connection_error_catches_ours(serve, client_of) -> None:
    import builtins

    with (
        client_of(serve(faults=[Fault.fin(**AFTER_WORDS)])) as client,
        pytest.raises(builtins.ConnectionError),
    ):
        client.transcribe(SECOND * 60, audio_format=PCM)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_authentication_error_with_its_status(serve, client_of, status) -> None:
    with client_of(serve(faults=[Fault.refuse(status)]), api_key="key") as client:
        error = failed(client)
    assert isinstance(error, AuthenticationError)
    assert error.status == status


@pytest.mark.parametrize("status", [302, 404, 429, 503])
def test_another_status_is_a_connection_error_with_it(serve, client_of, status) -> None:
    with client_of(serve(faults=[Fault.refuse(status, retry_after=7)])) as client:
        error = failed(client)
    assert type(error) is ConnectionError
    assert (error.status, error.stage, error.retry_after) == (status, "upgrade", 7)


def test_a_wrong_key_is_refused_and_a_right_one_is_not(serve, client_of) -> None:
    server = serve(keys=["right"])
    with client_of(server, api_key="wrong") as client:
        assert isinstance(failed(client), AuthenticationError)
    with client_of(server, api_key="right") as client:
        client.transcribe(SECOND, audio_format=PCM)


def test_no_key_for_a_speechmatics_host_is_refused_before_any_connection() -> None:
    from speechmatics_rt import Client

    with pytest.raises(AuthenticationError, match="SPEECHMATICS_API_KEY"):
        Client(url="wss://eu.rt.speechmatics.com/v2").start_session()


def test_nobody_listening_is_a_connection_error_that_names_the_stage() -> None:
    from speechmatics_rt import Client

    with pytest.raises(ConnectionError) as caught:
        Client(url="ws://127.0.0.1:9/v2").start_session()
    assert caught.value.stage == "tcp"


def test_a_late_start_passes_the_start_timeout(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.late_start(20)]), start_timeout=0.3) as client:
        error = failed(client)
    assert isinstance(error, TimeoutError)
    assert (error.stage, error.seconds) == ("start", 0.3)


def test_a_start_later_than_the_old_five_seconds_is_waited_for(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.late_start(6)])) as client:
        client.transcribe(SECOND * 2, audio_format=PCM)


def test_words_that_come_late_are_waited_for_as_long_as_they_come(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.late_transcripts(1.0)]), end_timeout=8) as client:
        late = client.transcribe(SECOND * 10, audio_format=PCM)
        assert client.stats.final_latency.p50 > 0.9
    with client_of(serve()) as client:
        assert late.text == client.transcribe(SECOND * 10, audio_format=PCM).text != ""


def test_a_server_that_acknowledges_nothing_is_a_send_timeout(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.no_acks()]), send_timeout=0.3) as client:
        error = failed(client)
    assert isinstance(error, TimeoutError)
    assert error.stage == "send"


def test_a_server_that_reads_nothing_is_a_send_timeout_too(serve, client_of) -> None:
    server = serve(faults=[Fault.stop_reading()])
    options = {"window_frames": None, "window_seconds": None, "close_timeout": 0.5}
    client = client_of(server, send_timeout=0.5, **options)
    with pytest.raises(TimeoutError) as caught, client:
        client.transcribe(bytes(64_000_000), audio_format=AudioFormat("pcm_s16le", 16000, 65536))
    assert caught.value.stage == "send"


def test_a_server_that_falls_silent_at_the_end_is_an_end_timeout(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.silence(at="drain")]), end_timeout=0.4) as client:
        error = failed(client, seconds=3)
    assert isinstance(error, TimeoutError)
    assert error.stage == "end"
    assert error.transcript is not None


def test_a_silent_end_is_told_in_time_though_the_writer_sleeps_until_the_next_ping(serve, client_of) -> None:
    def source() -> Iterator[bytes]:
        yield SECOND
        time.sleep(0.3)

    began = time.monotonic()
    client = client_of(serve(faults=[Fault.silence(at="drain")]), end_timeout=0.4)
    with client, pytest.raises(TimeoutError) as caught:
        client.transcribe(source(), audio_format=PCM)
    assert caught.value.stage == "end"
    assert time.monotonic() - began < 10


def test_missed_pongs_on_a_silent_line_are_a_lost_connection(serve, client_of) -> None:
    server = serve(faults=[Fault.no_pongs(), Fault.silence()])
    with client_of(server, ping_interval=0.1, ping_timeout=0.3) as client:
        client.start_session(audio_format=PCM)
        began = time.monotonic()
        with pytest.raises(ConnectionError) as caught:
            client.stop_session()
    assert caught.value.stage == "keepalive"
    assert time.monotonic() - began < 2


def test_a_server_that_still_talks_is_not_dead_for_want_of_a_pong(serve, client_of) -> None:
    server = serve(faults=[Fault.no_pongs()])
    for remaining in (2, 1, 0):  # the one to talk may stand still on a busy machine, but not each time
        with client_of(server, ping_interval=0.05, ping_timeout=0.2) as client:
            try:
                client.transcribe(SECOND * 10, audio_format=PCM, speed=10)
                break
            except ConnectionError:
                assert remaining


def test_pings_of_the_server_are_answered_and_ours_are_sent(serve, client_of) -> None:
    server = serve(faults=[Fault.pings(5)])
    with client_of(server, ping_interval=0.1) as client:
        client.transcribe(SECOND * 10, audio_format=PCM, speed=10)
    assert server.sessions[0].pings >= 5


def test_bad_json_unknown_messages_and_binary_frames_do_not_end_a_session(serve, client_of) -> None:
    faults = [
        Fault.bad_json(after_messages=5),
        Fault.unknown(after_messages=6),
        Fault.binary_json(after_messages=7),
    ]
    seen = []
    with client_of(serve(faults=faults)) as client:
        client.on("SomethingNew", seen.append)
        client.on("Info", seen.append)
        transcript = client.transcribe(SECOND * 3, audio_format=PCM)
        assert client.stats.messages_skipped == 1
    assert transcript.text.startswith("Good morning")
    assert {"SomethingNew", "Info"} <= {message["message"] for message in seen}


def test_a_message_out_of_turn_is_a_protocol_error(serve, client_of) -> None:
    again = Fault.message({"message": "RecognitionStarted", "id": "again"}, **AFTER_WORDS)
    with client_of(serve(faults=[again])) as client:
        error = failed(client)
    assert isinstance(error, ProtocolError)
    assert "RecognitionStarted" in str(error)
    assert has_words(error)


def test_very_deep_json_is_a_protocol_error_with_its_cause(serve, client_of) -> None:
    deep = Fault.bad_json('{"message": "Info", "deep": ' + "[" * 200_000 + "]" * 200_000 + "}", **AFTER_WORDS)
    with client_of(serve(faults=[deep])) as client:
        error = failed(client)
    assert isinstance(error, ProtocolError)
    assert isinstance(error.__cause__, RecursionError)


def test_a_message_above_the_size_limit_is_a_protocol_error_1009(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.oversize(300_000, **AFTER_WORDS)]), max_size=200_000) as client:
        error = failed(client)
    assert isinstance(error, ProtocolError)
    assert error.code == 1009


def test_a_transcript_of_five_megabytes_comes_through(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.oversize(5_000_000, after_seconds=1)])) as client:
        transcript = client.transcribe(SECOND * 3, audio_format=PCM)
    assert max(len(word.content) for word in transcript.words) > 2_000_000


def test_a_flood_of_transcripts_is_delivered_whole(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.flood(3000, after_seconds=1)])) as client:
        transcript = client.transcribe(SECOND * 3, audio_format=PCM)
    assert sum(word.content.startswith("flood") for word in transcript.words) == 3000


def test_a_transcript_that_ends_early_is_an_end_of_transcript_error(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.message({"message": "EndOfTranscript"}, **AFTER_WORDS)])) as client:
        error = failed(client)
    assert isinstance(error, EndOfTranscriptError)
    assert has_words(error)


def test_after_the_duration_limit_an_early_end_is_a_normal_one(serve, client_of) -> None:
    limit = {
        "message": "Warning",
        "type": "duration_limit_exceeded",
        "reason": "too long",
        "duration_limit": 7200,
    }
    faults = [
        Fault.message(limit, after_seconds=6),
        Fault.message({"message": "EndOfTranscript"}, after_seconds=6.1),
    ]
    with client_of(serve(faults=faults)) as client:
        assert client.transcribe(SECOND * 60, audio_format=PCM).text.startswith("Good morning")


def test_a_failing_source_is_an_audio_error_with_its_cause_and_what_was_heard(serve, client_of) -> None:
    heard = threading.Event()

    def source():
        yield SECOND * 8
        heard.wait(10)
        raise OSError("the microphone was pulled out")

    with client_of(serve()) as client:
        client.once(
            "AddTranscript", lambda message: client.once("AddTranscript", lambda message: heard.set())
        )
        with pytest.raises(AudioError, match="pulled out") as caught:
            client.transcribe(source(), audio_format=PCM)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.transcript is not None


def test_a_source_that_ends_inside_a_sample_is_an_audio_error(serve, client_of) -> None:
    with client_of(serve()) as client, pytest.raises(AudioError):
        client.transcribe([bytes(4000), bytes(4001)], audio_format=PCM)


def test_a_blocked_source_does_not_hide_a_dead_server(serve, client_of) -> None:
    release = threading.Event()

    def source():
        yield SECOND * 7
        release.wait(30)

    with client_of(serve(faults=[Fault.fin(**AFTER_WORDS)])) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            client.transcribe(source(), audio_format=PCM)
        assert time.monotonic() - began < 5
    release.set()


def test_once_there_is_a_conclusion_every_call_raises_it(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.error("job_error", **AFTER_WORDS)])) as client:
        ended = threading.Event()
        client.on("Error", lambda message: ended.set())
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND * 8)
        assert ended.wait(10)
        for call in (
            lambda: client.send_audio(SECOND),
            lambda: client.send_message({"message": "GetSpeakers"}),
            lambda: client.update_config(max_delay=1.0),
            lambda: client.force_end_of_utterance(),
            lambda: client.stop_session(),
            lambda: client.stop_session(),
        ):
            with pytest.raises(TranscriptionError) as caught:
                call()
            assert caught.value.type == "job_error"


def test_a_failure_in_the_background_that_nobody_has_seen_is_raised_when_with_is_left(
    serve, client_of
) -> None:
    with (
        pytest.raises(TranscriptionError) as caught,
        client_of(serve(faults=[Fault.error("job_error")])) as client,
    ):
        ended = threading.Event()
        client.on("Error", lambda message: ended.set())
        client.start_session(audio_format=PCM)
        ended.wait(10)
    assert caught.value.type == "job_error"


def test_after_a_normal_end_sending_is_a_session_error(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.transcribe(SECOND, audio_format=PCM)
        with pytest.raises(SessionError, match="ended"):
            client.send_audio(SECOND)


def test_errors_survive_pickling_with_everything_they_carry(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.error("job_error", **AFTER_WORDS)])) as client:
        error = failed(client)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.type, copy.code, copy.request_id) == (error.type, error.code, error.request_id)
    assert copy.transcript.text == error.transcript.text


def test_end_of_transcript_closes_at_once_not_after_slow_handlers(serve, client_of) -> None:
    server = serve()
    closed_while_handling = []
    with client_of(server) as client:
        client.on(
            "EndOfTranscript", lambda message: closed_while_handling.append(server.sessions[0].closed.wait(5))
        )
        client.transcribe(SECOND * 2, audio_format=PCM)
    assert closed_while_handling == [True]
    assert server.sessions[0].close_code == 1000


def test_what_arrived_before_the_end_is_in_the_error_that_send_audio_raises(serve, client_of) -> None:
    server = serve(faults=[Fault.close(1012, **AFTER_WORDS)])
    with client_of(server, window_seconds=2) as client:
        client.on("AddTranscript", lambda message: time.sleep(0.02))  # the listener is behind
        client.start_session(audio_format=PCM)
        with pytest.raises(ConnectionError) as caught:
            for _ in range(60):
                client.send_audio(SECOND)
        sent = [message["metadata"]["transcript"] for message in server.sessions[0].said("AddTranscript")]
    assert caught.value.transcript.text == "".join(sent).strip()
