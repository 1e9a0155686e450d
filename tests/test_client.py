"""The client in use: files, chunks by hand, callbacks, the iterator, requests, session after session."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import math
import queue
import re
import statistics
import threading
import time
import warnings
import wave
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioError,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ServerMessageType,
    SessionError,
    TimeoutError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.local import Fault
from speechmatics_rt.log import SessionLog

from .conftest import SPEECH

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
FIRST_WORDS = "Good morning, and welcome to the reading room."


def test_a_file_is_transcribed_in_one_call(serve, client_of) -> None:
    with client_of(serve()) as client:
        transcript = client.transcribe(SPEECH)
    assert str(transcript).startswith(FIRST_WORDS)


def test_a_mono_wav_goes_as_raw_audio_without_its_header(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.transcribe(SPEECH)
        assert client.audio_seconds_sent == pytest.approx(19.4, abs=0.1)
    (record,) = server.sessions
    with wave.open(str(SPEECH)) as wav:
        assert record.audio == wav.readframes(wav.getnframes())
    assert record.start["audio_format"] == {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}


def test_an_explicit_file_format_sends_the_file_byte_for_byte(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.transcribe(SPEECH, audio_format=AudioFormat())
    assert server.sessions[0].audio == SPEECH.read_bytes()
    assert server.sessions[0].start["audio_format"] == {"type": "file"}


def test_handlers_inside_transcribe_run_on_the_callers_thread_in_order(serve, client_of) -> None:
    seen = []
    with client_of(serve()) as client:

        @client.on(ServerMessageType.ADD_TRANSCRIPT)
        def first(message):
            seen.append(("first", threading.get_ident(), message["metadata"]["transcript"]))

        @client.on("AddTranscript")
        def second(message):
            seen.append(("second", threading.get_ident(), message["metadata"]["transcript"]))

        client.transcribe(SECOND * 5, audio_format=PCM)
    assert [name for name, _, _ in seen] == ["first", "second"] * (len(seen) // 2)
    assert {thread for _, thread, _ in seen} == {threading.get_ident()}
    assert "".join(text for name, _, text in seen if name == "first").startswith("Good morning, ")


def test_the_iterator_yields_every_message_but_the_acknowledgements(serve, client_of) -> None:
    server = serve()
    acknowledged = []
    with client_of(server) as client:
        client.on("AudioAdded", acknowledged.append)
        with client.stream(SECOND * 3, audio_format=PCM) as messages:
            kinds = [message["message"] for message in messages]
    said = [message["message"] for message in server.sessions[0].sent]
    assert kinds == [kind for kind in said if kind != "AudioAdded"]
    assert [message["seq_no"] for message in acknowledged] == list(range(1, said.count("AudioAdded") + 1))
    assert messages.transcript.text.startswith("Good morning,")


def test_sending_by_hand_delivers_on_one_listener_thread(serve, client_of) -> None:
    seen = set()
    server = serve()
    with client_of(server) as client:
        client.on_any(lambda message: seen.add(threading.current_thread().name))
        client.start_session(audio_format=PCM)
        for _ in range(20):
            client.send_audio(SECOND[:3200])
        client.stop_session()
        assert client.transcript.text == "Good morning, and welcome"
    assert seen == {f"speechmatics-rt-listener-{client.request_id}"}
    assert server.sessions[0].messages[-1] == {"message": "EndOfStream", "last_seq_no": 20}


def test_leaving_with_ends_the_session_properly_so_that_the_tail_is_not_lost(serve, client_of) -> None:
    finals = []
    with client_of(serve()) as client:
        client.on("AddTranscript", lambda message: finals.append(message["metadata"]["transcript"]))
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND * 2)
    assert "".join(finals) == "Good morning, and welcome "


def test_leaving_with_an_exception_closes_without_waiting(serve, client_of) -> None:
    server = serve()
    with pytest.raises(ZeroDivisionError), client_of(server) as client:
        client.start_session(audio_format=PCM)
        raise ZeroDivisionError
    assert server.sessions[0].closed.wait(5)
    assert server.sessions[0].messages[-1]["message"] == "StartRecognition"
    assert server.sessions[0].close_code == 1000


def test_a_client_runs_one_session_after_another(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        texts = [client.transcribe(SECOND * 2, audio_format=PCM).text]
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND * 2)
        client.stop_session()
        texts.append(client.transcript.text)
        client.start_session(audio_format=PCM)
        client.close()
        texts.append(client.transcribe(SECOND * 2, audio_format=PCM).text)
    assert texts == ["Good morning, and welcome"] * 3
    ids = [record.request_id for record in server.sessions]
    assert len(set(ids)) == 4
    assert client.request_id == ids[-1]
    assert client.session_id == server.sessions[-1].session_id


def test_a_second_session_at_once_is_refused_and_the_first_goes_on(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM)
        with pytest.raises(SessionError, match="already running"):
            client.start_session(audio_format=PCM)
        with pytest.raises(SessionError, match="already running"):
            client.transcribe(SECOND, audio_format=PCM)
        client.send_audio(SECOND)
        client.stop_session()


def test_a_second_iterator_at_once_is_refused(serve, client_of) -> None:
    with client_of(serve()) as client, client.stream(SECOND * 3, audio_format=PCM, speed=1) as messages:
        next(messages)
        with pytest.raises(SessionError, match="already running"):
            client.stream(SECOND, audio_format=PCM)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.send_audio(SECOND),
        lambda client: client.send_message({"message": "GetSpeakers"}),
        lambda client: client.update_config(max_delay=1.0),
        lambda client: client.get_speakers(),
        lambda client: client.force_end_of_utterance(),
    ],
    ids=["send_audio", "send_message", "update_config", "get_speakers", "force_end_of_utterance"],
)
def test_a_call_before_the_start_says_what_to_call_first(call) -> None:
    with pytest.raises(SessionError, match="start_session"):
        call(Client(url="ws://127.0.0.1:9"))


def test_stop_and_close_without_a_session_do_nothing() -> None:
    client = Client(url="ws://127.0.0.1:9")
    client.stop_session()
    client.close()
    client.request_stop()
    assert not client.is_connected


def test_a_forced_end_of_utterance_carries_the_seconds_sent_unless_told_otherwise(serve, client_of) -> None:
    server = serve()
    forced = []
    with client_of(server) as client:
        client.on("EndOfUtterance", forced.append)
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        client.force_end_of_utterance()
        client.send_audio(SECOND)
        client.force_end_of_utterance(timestamp=1.5)
        client.force_end_of_utterance(timestamp=None)
        client.stop_session()
    said = [m for m in server.sessions[0].messages if m["message"] == "ForceEndOfUtterance"]
    assert said == [
        {"message": "ForceEndOfUtterance", "timestamp": 1.0},
        {"message": "ForceEndOfUtterance", "timestamp": 1.5},
        {"message": "ForceEndOfUtterance"},
    ]
    assert all(message["forced"] for message in forced)


def test_a_forced_end_of_utterance_of_a_file_carries_no_timestamp(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.start_session()
        client.send_audio(SPEECH.read_bytes()[:40000])
        client.force_end_of_utterance()
        client.stop_session()
    assert {"message": "ForceEndOfUtterance"} in server.sessions[0].messages


def test_settings_change_in_mid_session_and_carry_the_language(serve, client_of) -> None:
    server = serve()
    partials = []
    with client_of(server) as client:
        client.on("AddPartialTranscript", partials.append)
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        client.update_config(enable_partials=True, max_delay=1.0)
        client.send_audio(SECOND * 3)
        client.stop_session()
    (change,) = [m for m in server.sessions[0].messages if m["message"] == "SetRecognitionConfig"]
    assert change["transcription_config"] == {"language": "en", "enable_partials": True, "max_delay": 1.0}
    assert partials


def test_a_setting_that_cannot_change_is_refused_before_it_is_sent(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.start_session(audio_format=PCM)
        with pytest.raises(ConfigurationError, match="diarization"):
            client.update_config(diarization="speaker")
        client.send_audio(SECOND)
        client.stop_session()


def test_speakers_are_asked_for_now_and_for_the_end(serve, client_of) -> None:
    results = []
    with client_of(serve()) as client:
        client.on("SpeakersResult", results.append)
        client.start_session(
            audio_format=PCM, transcription_config=TranscriptionConfig(diarization="speaker")
        )
        client.send_audio(SECOND * 4)
        client.get_speakers()
        client.get_speakers(final=True)
        client.stop_session()
    assert len(results) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"type": "x"},
        "EndOfStream",
        *({"message": kind} for kind in ("StartRecognition", "AddAudio", "EndOfStream", "EndOfChannel")),
    ],
)
def test_a_message_that_is_none_or_has_its_own_method_is_refused(serve, client_of, message) -> None:
    with pytest.raises(ConfigurationError):
        Client(url="ws://127.0.0.1:9").send_message(message)


def test_once_runs_once_and_off_removes(serve, client_of) -> None:
    calls = []
    with client_of(serve()) as client:
        client.once("AddTranscript", lambda message: calls.append("once"))
        removed = client.on("AddTranscript", lambda message: calls.append("removed"))
        client.off("AddTranscript", removed)
        client.transcribe(SECOND * 3, audio_format=PCM)
    assert calls == ["once"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: SPEECH, id="a path object"),
        pytest.param(lambda: str(SPEECH), id="a path as text"),
        pytest.param(lambda: SPEECH.open("rb"), id="an open file"),
        pytest.param(lambda: io.BytesIO(SPEECH.read_bytes()), id="a file in memory"),
        pytest.param(
            lambda: (SPEECH.read_bytes()[i : i + 1000] for i in range(0, 622158, 1000)), id="a generator"
        ),
        pytest.param(lambda: [SPEECH.read_bytes()], id="a list of bytes"),
        pytest.param(lambda: SPEECH.read_bytes(), id="bytes"),
    ],
)
def test_every_kind_of_source_gives_the_same_audio(serve, client_of, make) -> None:
    server = serve()
    source = make()
    try:
        with client_of(server) as client:
            client.transcribe(source)
    finally:
        getattr(source, "close", lambda: None)()
    with wave.open(str(SPEECH)) as wav:
        assert server.sessions[0].audio == wav.readframes(wav.getnframes())


def test_bad_input_is_refused_before_any_connection(serve, client_of, tmp_path) -> None:
    server = serve()
    empty, text, stereo = tmp_path / "empty", tmp_path / "text.txt", tmp_path / "stereo.wav"
    empty.touch()
    text.write_text("hello")
    with wave.open(str(stereo), "wb") as wav:
        wav.setparams((2, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(6400))
    with client_of(server) as client:
        for source in (empty, tmp_path / "missing.wav", stereo, tmp_path, [], b"", object()):
            with pytest.raises(AudioError):
                client.transcribe(source)
        with text.open() as opened, pytest.raises(AudioError, match="rb"):
            client.transcribe(opened)
        with pytest.raises(ConfigurationError, match="pcm_s16le"):
            AudioFormat("pcm16")
        with pytest.raises(ConfigurationError, match="max_delay"):
            client.transcribe(SPEECH, transcription_config=TranscriptionConfig(max_delay=-9))
        with pytest.raises(ConfigurationError, match="speed"):
            client.transcribe(SPEECH, speed=0)
    assert server.sessions == []


@pytest.mark.parametrize("payload", [bytes(3), "text", None])
def test_a_chunk_that_is_no_whole_samples_is_refused_and_the_session_goes_on(
    serve, client_of, payload
) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM)
        with pytest.raises(AudioError):
            client.send_audio(payload)
        client.send_audio(SECOND * 2)
        client.stop_session()
        assert client.transcript.text == "Good morning, and welcome"


def test_bytearrays_and_memoryviews_are_sent_as_they_are(serve, client_of) -> None:
    server = serve()
    audio = bytes(range(256)) * 4
    with client_of(server) as client:
        client.start_session(audio_format=PCM)
        client.send_audio(bytearray(audio))
        client.send_audio(memoryview(audio))
        client.stop_session()
    assert server.sessions[0].audio == audio * 2


def test_the_callers_config_is_never_changed(serve, client_of) -> None:
    config = TranscriptionConfig(language="en", additional_vocab=["Ravelin"])
    before = config.to_dict()
    with client_of(serve()) as client:
        client.transcribe(SECOND, audio_format=PCM, transcription_config=config)
        client.transcribe(SECOND, audio_format=PCM, transcription_config=config)
    assert config.to_dict() == before


def test_speed_paces_the_audio_to_real_time(serve, client_of) -> None:
    server = serve()
    took = []
    with client_of(server) as client:
        for index in range(3):
            client.transcribe(SECOND, audio_format=AudioFormat("pcm_s16le", 16000, 3200), speed=2.0)
            times = server.sessions[index].times
            took.append(times["drain"] - times["started"])
            if took[-1] <= 1.0:  # who is busy with other things may be late, but not each time
                break
    assert 0.4 <= min(took) <= 1.0  # ten chunks, the last one 0.45 s after the first


def test_the_whole_timeout_covers_everything_and_keeps_what_was_heard(serve, client_of) -> None:
    with client_of(serve()) as client, pytest.raises(TimeoutError) as caught:
        client.transcribe(SECOND * 30, audio_format=PCM, speed=20, timeout=0.7)
    assert caught.value.stage == "whole"
    assert caught.value.seconds == 0.7
    assert caught.value.transcript.text.startswith("Good morning")


def test_stop_from_another_thread_ends_transcribe_early_and_whole(serve, client_of) -> None:
    with client_of(serve()) as client:
        started = threading.Event()
        client.on("AddTranscript", lambda message: message["results"] and started.set())
        stopper = threading.Thread(target=lambda: (started.wait(10), client.stop_session()))
        stopper.start()
        transcript = client.transcribe(SECOND * 3600, audio_format=PCM, speed=10)
        stopper.join()
    assert transcript.text.startswith("Good")


def test_request_stop_ends_the_session_even_while_the_source_blocks(serve, client_of) -> None:
    release = threading.Event()

    def source():
        yield SECOND * 8
        release.wait(30)

    with client_of(serve()) as client:
        client.on("AddTranscript", lambda message: message["results"] and client.request_stop())
        assert client.transcribe(source(), audio_format=PCM).text.startswith("Good")
    release.set()


def test_it_runs_inside_a_running_event_loop_as_in_a_notebook(serve, client_of) -> None:
    async def cell():
        with client_of(serve()) as client:
            return client.transcribe(SECOND * 2, audio_format=PCM).text

    assert asyncio.run(cell()) == "Good morning, and welcome"


def test_headers_of_the_caller_are_sent_and_win(serve, client_of) -> None:
    server = serve(keys=["theirs"])
    with client_of(server, api_key="ours") as client:
        client.transcribe(
            SECOND,
            audio_format=PCM,
            ws_headers={"Authorization": "Bearer theirs", "x-request-id": "mine", "X-Team": "radio"},
        )
        assert client.request_id == "mine"
    headers = server.sessions[0].headers
    assert (headers["authorization"], headers["x-request-id"], headers["x-team"]) == (
        "Bearer theirs",
        "mine",
        "radio",
    )


def test_a_wrong_url_in_the_environment_is_told_with_its_variable(monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_RT_URL", "127.0.0.1:9000")
    with pytest.raises(
        ConfigurationError, match=r"^SPEECHMATICS_RT_URL: the URL '127.0.0.1:9000' must begin "
    ):
        Client().transcribe(bytes(32000))
    with pytest.raises(ConfigurationError, match=r"^the URL '127.0.0.1:9001' must begin "):
        Client(url="127.0.0.1:9001")


def test_the_url_from_the_environment_is_read_at_call_time_and_named_in_the_query(serve, monkeypatch) -> None:
    server = serve()
    client = Client(conn_config=None if server.ssl_context is None else _trusting(server))
    monkeypatch.setenv("SPEECHMATICS_RT_URL", server.url + "?sm-app=radio")
    with client:
        client.transcribe(SECOND, audio_format=PCM)
    assert server.sessions[0].target.startswith("/v2?sm-app=radio&sm-sdk=python-rt-sync-v")


def _trusting(server):
    from speechmatics_rt import ConnectionConfig

    return ConnectionConfig(ssl_context=server.ssl_context)


def test_every_log_record_carries_the_ids_and_none_the_key_or_the_words(serve, client_of, caplog) -> None:
    server = serve(keys=["secret-key"])
    caplog.set_level(logging.DEBUG, logger="speechmatics_rt")
    logging.getLogger("speechmatics_rt.wire").setLevel(logging.INFO)
    logging.getLogger("speechmatics_rt.local").setLevel(logging.WARNING)
    try:
        with client_of(server, api_key="secret-key") as client:
            client.transcribe(
                SECOND * 3,
                audio_format=PCM,
                transcription_config={"additional_vocab": ["Quillon"], "language": "en"},
            )
    finally:
        logging.getLogger("speechmatics_rt.wire").setLevel(logging.NOTSET)
        logging.getLogger("speechmatics_rt.local").setLevel(logging.NOTSET)
    records = [r for r in caplog.records if r.name.startswith("speechmatics_rt") and ".local" not in r.name]
    assert records
    for record in records:
        assert record.request_id == client.request_id
        assert client.request_id in record.getMessage()
    started = [r for r in records if "recognition started" in r.getMessage()]
    assert started[0].session_id == client.session_id
    for word in ("secret-key", "Good", "Quillon"):
        assert word not in caplog.text


@pytest.mark.parametrize("way", ["transcribe", "by hand", "on the loop"])
def test_what_failed_in_a_session_is_logged_with_both_of_its_ids(serve, client_of, caplog, way: str) -> None:
    def broken(message: dict[str, Any]) -> None:
        raise ValueError("the page is gone")

    async def awaited() -> AsyncClient:
        async with AsyncClient(
            url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context)
        ) as client:
            client.on("AddTranscript", broken)
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            with pytest.raises(TranscriptionError):
                await client.stop_session()
        return client

    server = serve(faults=[Fault.error("job_error", after_final=0.5)])
    client: Any
    if way == "on the loop":
        client = asyncio.run(awaited())
    else:
        client = client_of(server)
        client.on("AddTranscript", broken)
        if way == "transcribe":
            with pytest.raises(TranscriptionError):
                client.transcribe(SECOND * 2, audio_format=PCM)
        else:
            client.start_session(audio_format=PCM)
            client.send_audio(SECOND)
            with pytest.raises(TranscriptionError):
                client.stop_session()
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    kinds = {record.name for record in records}
    assert "speechmatics_rt.events" in kinds
    assert len(kinds) == (1 if way == "transcribe" else 2)  # what nobody is told at once is logged, too
    for record in records:
        assert (record.request_id, record.session_id) == (client.request_id, client.session_id)
        assert f"[request_id={client.request_id} session_id={client.session_id}]" in record.getMessage()


def test_records_of_one_line_have_one_message_and_its_place_whatever_the_session(
    serve, client_of, caplog
) -> None:
    """Those who collect errors group them by ``msg``."""
    caplog.set_level(logging.DEBUG, "speechmatics_rt")
    server = serve(faults=[Fault.warning(reason="100 %s of 100 %")])
    messages: set[str] = set()
    for _ in range(2):
        client_of(server).transcribe(SECOND, audio_format=PCM)
        records = [record for record in caplog.records if record.name != "speechmatics_rt.wire"]
        assert not messages or messages == {record.msg for record in records}
        messages = {record.msg for record in records}
        assert all(Path(record.pathname).name not in ("log.py", "__init__.py") for record in caplog.records)
        caplog.clear()
    assert any("request_id=%s session_id=%s" in message for message in messages)


def test_a_text_with_a_percent_sign_is_logged_as_it_is(caplog) -> None:
    log = SessionLog(logging.getLogger("speechmatics_rt.test"), "2f1c")
    log.warning("100 % of 100 %s")
    log.session_id = "5 %s"
    log.warning("%s of it", "100 %")
    assert caplog.messages == [
        "100 % of 100 %s [request_id=2f1c]",
        "100 % of it [request_id=2f1c session_id=5 %s]",
    ]


def test_at_info_the_log_tells_of_each_session_when_it_began_and_how_it_ended(serve, client_of) -> None:
    told: queue.Queue[str] = queue.Queue()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.put(record.getMessage().partition(" [")[0])

    log, handler = logging.getLogger("speechmatics_rt"), Told()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        server = serve()
        client_of(server).transcribe(SECOND, audio_format=PCM)
        whole = [told.get(timeout=10) for _ in range(3)]
        with client_of(server) as client, client.stream([SECOND] * 30, audio_format=PCM) as messages:
            next(messages)
        left = [told.get(timeout=10) for _ in range(3)]
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    for first, second, _ in (whole, left):
        assert first.startswith("connecting to ws")
        assert second.startswith("connected in")
    assert re.match(r"the session ended after 0\.\d s: complete; \d+ audio frames, \d+ messages", whole[2])
    assert re.match(r"the session ended after \d\.\d s: the session was closed; ", left[2])
    assert told.empty()


def test_the_wire_logger_shows_messages_and_never_the_key(serve, client_of, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger="speechmatics_rt.wire")
    with client_of(serve(keys=["secret-key"]), api_key="secret-key") as client:
        client.transcribe(SECOND * 3, audio_format=PCM)
    assert "StartRecognition" in caplog.text
    assert "Good" in caplog.text
    assert "secret-key" not in caplog.text


def test_the_wire_logger_may_be_turned_on_and_off_in_mid_session(serve, client_of, caplog) -> None:
    heard: list[int] = []

    def logged_of_some() -> bool:
        """Whether of the next finals, which come together with others or not, any is logged."""
        caplog.clear()
        count = len(heard) + 3
        while len(heard) < count:
            client.send_audio(SECOND)
        return "'AddTranscript'" in caplog.text

    with client_of(serve()) as client:
        client.on("AddTranscript", lambda message: heard.append(1))
        client.start_session(audio_format=PCM)
        assert not logged_of_some()
        for level, expected in ((logging.DEBUG, True), (logging.WARNING, False)):
            caplog.set_level(level, logger="speechmatics_rt.wire")
            assert expected in (logged_of_some() for _ in range(20))


def test_the_statistics_of_a_finished_session_add_up(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.transcribe(SECOND * 3, audio_format=PCM)
        stats = client.stats
    assert stats.seconds_sent == stats.seconds_acknowledged == 3.0
    assert stats.bytes_sent == client.audio_bytes_sent == 96000
    assert stats.frames_sent == len(server.sessions[0].frames)
    assert stats.unacknowledged_frames == 0
    assert stats.messages_received == len(server.sessions[0].sent)
    assert stats.lag == 0
    assert (stats.reconnects, stats.replayed_seconds) == (0, 0.0)


@pytest.mark.parametrize("kind", ["AddTranscript", "AddPartialTranscript"])
def test_latency_is_the_time_from_sending_a_word_to_its_handler(serve, client_of, kind) -> None:
    server = serve()

    def spoken(sent: list[float]) -> Iterator[bytes]:
        for _ in range(40):
            yield SECOND[:3200]
            sent.append(time.monotonic())  # asked for the next: this one has gone out

    def measured(client: Client) -> list[float]:
        sent, found, furthest = [], [], 0.0

        def heard(message: dict[str, Any]) -> None:
            nonlocal furthest
            end = message["results"][-1]["end_time"] if message["results"] else 0.0
            if end > furthest:
                furthest = end
                found.append(time.monotonic() - sent[min(math.ceil(round(end * 10, 6)), len(sent)) - 1])

        client.on(kind, heard)
        config = TranscriptionConfig(enable_partials=True, max_delay=0.7)
        client.transcribe(spoken(sent), audio_format=PCM, transcription_config=config, speed=5)
        return found

    apart = []
    for _ in range(3):
        with client_of(server) as client:
            found = measured(client)
            latency = client.stats.final_latency if kind == "AddTranscript" else client.stats.partial_latency
        assert latency is not None
        assert latency.count == len(found) >= 3
        middle, most = latency.p50 - statistics.median_low(found), latency.p99 - max(found)
        apart.append(max(abs(middle), abs(most)))
        if apart[-1] <= 0.03:  # a busy machine may stand still between the two, but not each time
            break
    assert min(apart) <= 0.03


def test_lag_is_the_audio_without_a_final(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM, transcription_config=TranscriptionConfig(max_delay=4))
        client.send_audio(SECOND)
        assert client.stats.lag == pytest.approx(1.0)
        client.stop_session()
        assert client.stats.lag == 0


def test_a_request_to_stop_counts_while_the_source_is_read_for_the_first_time(serve, client_of) -> None:
    reading, asked = threading.Event(), threading.Event()

    def spoken() -> Iterator[bytes]:
        reading.set()
        assert asked.wait(10)
        while True:
            yield SECOND[:640]

    def stop() -> None:
        reading.wait(10)
        client.request_stop()
        asked.set()

    with client_of(serve()) as client:
        threading.Thread(target=stop).start()
        client.transcribe(spoken(), audio_format=PCM, timeout=10)  # ends by itself


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_error_of_the_source_without_a_text_ends_the_session_too(serve, client_of) -> None:
    def spoken() -> Iterator[bytes]:
        yield SECOND
        raise Wordless

    with client_of(serve()) as client, pytest.raises(AudioError, match="Wordless"):
        client.transcribe(spoken(), audio_format=PCM, timeout=10)


def test_a_source_that_cannot_begin_is_an_audio_error(serve, client_of) -> None:
    class Broken:
        def __iter__(self) -> Iterator[bytes]:
            raise OSError("the disk is gone")

    with client_of(serve()) as client, pytest.raises(AudioError, match="the disk is gone") as caught:
        client.transcribe(Broken(), audio_format=PCM)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_closed_session_has_nothing_left_in_its_queue(serve, client_of) -> None:
    with client_of(serve(faults=[Fault.flood(count=500)])) as client:
        with client.stream([SECOND] * 5, audio_format=PCM) as messages:
            for _ in range(4):
                next(messages)
        assert client.stats.queue_depth == 0


def test_a_session_closed_when_all_had_arrived_has_nothing_left_in_its_queue(serve, client_of) -> None:
    server = serve(faults=[Fault.flood(count=500)])
    with client_of(server) as client:
        with client.stream([SECOND] * 5, audio_format=PCM) as messages:
            next(messages)
            server.sessions[0].wait_for(lambda record: record.said("EndOfTranscript"))
            while not client._session.connection._protocol.conclusion:
                time.sleep(0.001)
            assert client.stats.queue_depth > 500
        assert client.stats.queue_depth == 0


@pytest.mark.parametrize("errors", ["log", "raise"])
def test_a_dropped_client_is_collected_whatever_its_handlers_raised(serve, errors, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("speechmatics_rt"), "propagate", False)  # pytest keeps all records
    server, failed = serve(), threading.Event()

    def fail(_: object) -> None:
        failed.set()
        raise ValueError("mine")

    def drop() -> weakref.ref[Client]:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        client = Client(url=server.url, conn_config=config, handler_errors=errors)
        client.on("AddTranscript", fail)
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND * 2)
        assert failed.wait(10)
        return weakref.ref(client)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        client = drop()
        deadline = time.monotonic() + 5
        while client() is not None and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)  # the listener is perhaps on its way back from the handler
    assert client() is None
    server.sessions[0].wait_closed()
