"""The thread that delivers reads as well; what a handler does, or waits for, holds up nothing but itself."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from speechmatics_rt import AudioFormat, SessionError
from speechmatics_rt.local import Fault

from ..conftest import threads

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def parts(client) -> list[str]:
    return sorted(name.split("-")[2] for name in threads() if client.request_id in name)


def test_a_session_started_by_hand_has_two_threads(serve, client_of) -> None:
    with client_of(serve()) as client:
        seen: list[str] = []
        client.on("AddTranscript", lambda message: seen.append(threading.current_thread().name))
        client.start_session(audio_format=PCM)
        assert parts(client) == ["listener", "writer"]
        client.send_audio(SECOND)
        client.stop_session()
    assert set(seen) == {f"speechmatics-rt-listener-{client.request_id}"}


@pytest.mark.parametrize("resume", [False, True], ids=["", "resume"])
def test_the_handlers_of_the_start_have_run_when_start_session_returns(serve, client_of, resume) -> None:
    server = serve()
    for _ in range(5):
        with client_of(server, resume=resume) as client:
            started = threading.Event()
            client.on("RecognitionStarted", lambda message, started=started: started.set())
            client.start_session(audio_format=PCM)
            assert started.is_set()
            client.stop_session()


def test_who_looks_without_waiting_leaves_nobody_to_be_woken(serve, client_of) -> None:
    with (
        client_of(serve()) as client,
        client.stream(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=1),
    ):
        connection = client._session.connection
        for _ in range(50):
            connection.receive(0.0)
        assert len(connection._monitor.news.tickets) < 10


def test_a_handler_of_the_start_may_send_past_the_window(serve, client_of) -> None:
    with client_of(serve(), window_frames=2) as client:
        client.once("RecognitionStarted", lambda message: [client.send_audio(SECOND) for _ in range(20)])
        client.start_session(audio_format=PCM)
        assert client.stats.frames_sent == 20
        client.stop_session()


def test_a_handler_of_the_start_that_takes_too_long_is_not_waited_for(serve, client_of) -> None:
    let_go = threading.Event()
    with client_of(serve(), start_timeout=1) as client:
        client.once("RecognitionStarted", lambda message: let_go.wait(10))
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        let_go.set()
        client.stop_session()
        assert client.transcript.text


@pytest.mark.parametrize("call", ["stop_session", "close", "request_stop"])
def test_a_handler_of_the_start_may_end_the_session(serve, client_of, call) -> None:
    client = client_of(serve())
    client.once("RecognitionStarted", lambda message: getattr(client, call)())
    client.start_session(audio_format=PCM)
    if call == "close":
        with pytest.raises(SessionError, match="closed"):
            client.stop_session()
    else:
        client.stop_session()


def test_who_stops_a_session_is_woken_when_its_listener_has_closed_it_and_no_sooner(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM)
        delivery, connection = client._session.delivery, client._session.connection
        close, seen = connection.close, []

        def noted(*limits: float) -> None:
            seen.append((threading.get_ident() == delivery.thread, delivery.awaited.is_set()))
            close(*limits)

        connection.close = noted
        client.stop_session()
        connection.close = close
    assert seen == [(True, False), (False, True)]


def test_a_log_handler_that_stops_the_session_as_its_listener_closes_it_waits_for_nothing(
    serve, client_of
) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM)
        delivery = client._session.delivery
        seen = []

        class Stopping(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if delivery.over.is_set() and delivery.thread == threading.get_ident() and not seen:
                    seen.append(record.getMessage())
                    client.stop_session()

        logger = logging.getLogger("speechmatics_rt")
        level, handler = logger.level, Stopping()
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            client.stop_session(timeout=5)
            assert delivery.awaited.wait(5)
        finally:
            delivery.awaited.set()  # nothing may be left waiting
            logger.removeHandler(handler)
            logger.setLevel(level)
    assert "the session ended after" in seen[0]


def test_while_a_handler_waits_others_send_past_the_window_and_pings_are_answered(serve, client_of) -> None:
    let_go = threading.Event()
    with client_of(serve(), window_frames=4, ping_interval=0.2, ping_timeout=1.5) as client:
        client.once("AddTranscript", lambda message: let_go.wait(10))
        client.start_session(audio_format=PCM)
        for _ in range(60):
            client.send_audio(SECOND[:16000])
        assert parts(client) == ["listener", "reader", "writer"]
        let_go.set()
        client.stop_session()
        assert client.stats.messages_received > 60


def test_close_beside_a_handler_that_waits_says_goodbye_at_once(serve, client_of) -> None:
    reached, let_go = threading.Event(), threading.Event()
    client = client_of(serve(), close_timeout=10)

    def wait(message: dict) -> None:
        reached.set()
        let_go.wait(10)

    client.once("AddTranscript", wait)
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    assert reached.wait(10)
    client.close()
    assert parts(client) in (["listener"], [])
    let_go.set()


def test_a_session_in_which_many_short_handlers_are_behind_gets_a_reader(serve, client_of) -> None:
    pause = threading.Event()
    with client_of(serve(), window_frames=20) as client:
        client.on_any(lambda message: pause.wait(0.005))
        client.start_session(audio_format=PCM)
        until = time.monotonic() + 30
        while "reader" not in parts(client) and time.monotonic() < until:
            client.send_audio(SECOND[:8000])
        assert parts(client) == ["listener", "reader", "writer"]
        pause.set()
        client.stop_session()


def test_a_start_and_an_end_that_come_in_one_piece_are_both_delivered(serve, client_of) -> None:
    for _ in range(10):
        client = client_of(serve(faults=[Fault.error("job_error")]))
        seen: list[str] = []
        client.on_any(lambda message, seen=seen: seen.append(message["message"]))
        client.start_session(audio_format=PCM)
        with pytest.raises(Exception, match="job_error"):
            client.stop_session()
        assert seen[-1] == "Error"
        assert "RecognitionStarted" in seen


def test_a_handler_of_what_comes_with_the_start_does_not_hold_it_up(serve, client_of) -> None:
    let_go = threading.Event()
    with client_of(serve(faults=[Fault.flood(count=5)])) as client:
        client.on("AddTranscript", lambda message: let_go.wait(25))
        began = time.monotonic()
        client.start_session(audio_format=PCM)
        assert time.monotonic() - began < 10
        let_go.set()
        client.stop_session()


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("resume", [False, True], ids=["", "resume"])
def test_what_a_handler_does_to_its_message_does_not_reach_the_transcript(
    serve, client_of, listens, resume
) -> None:
    def spoil(message) -> None:
        for result in message["results"]:
            result.get("alternatives", [{}])[0]["content"] = "nonsense"
            result["content"] = "nonsense"
        message["results"].clear()
        message.get("metadata", {})["end_time"] = 900.0

    with client_of(serve(), resume=resume) as client:
        if listens:
            for kind in ("Transcript", "Translation"):
                client.on(f"Add{kind}", spoil)
                client.on(f"AddPartial{kind}", spoil)
        client.start_session(
            audio_format=PCM, translation_config={"target_languages": ["de"], "enable_partials": True}
        )
        client.send_audio(SECOND * 4)
        client.stop_session()
    assert client.transcript.text == "Good morning, and welcome to the reading room."
    assert "nonsense" not in client.transcript.translations["de"].text
    assert client.transcript.translations["de"].text
    assert client.transcript.end_time == 3.52
    assert client.stats.seconds_transcribed == 3.52


def test_a_stream_is_for_one_thread_at_a_time_so_that_no_message_is_lost(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    handling, go_on = threading.Event(), threading.Event()

    def handle(message: Any) -> None:
        handling.set()
        go_on.wait(10)

    client.once("RecognitionStarted", handle)
    got: list[Any] = []
    with client.stream(SECOND * 4, audio_format=PCM) as messages:
        iterating = threading.Thread(target=lambda: got.extend(messages))
        iterating.start()
        assert handling.wait(10)
        with pytest.raises(SessionError, match="another thread is iterating"):
            next(messages)
        go_on.set()
        iterating.join(20)
        assert list(messages) == []  # nobody is in it any more
    assert client.transcript.text == "Good morning, and welcome to the reading room."
    assert [message["message"] for message in got][-1] == "EndOfTranscript"
