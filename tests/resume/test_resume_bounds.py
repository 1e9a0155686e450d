"""Resume keeps its word: one verdict, attempts that end, a first answer that may pass, speakers who stay."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    ConnectionConfig,
    ConnectionError,
    ResumePolicy,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.exceptions import EndOfTranscriptError
from speechmatics_rt.local import Fault
from speechmatics_rt.resume.backoff import Outage

from ..reliability.numbered import FORMAT, RATE, NumberedEngine
from .test_resume import ALL, CHUNK, CONFIG, QUICK, ClientOf, Diary, Serve, contents, pieces
from .test_resume_hard_cases import until

PCM = AudioFormat("pcm_s16le", 16000)
SPEAKERS = TranscriptionConfig(max_delay=0.7, enable_partials=True, diarization="speaker")
BOUNDED = ResumePolicy(max_attempts=3, max_outage=5, min_delay=0.05, max_delay=0.1, busy_delay=0.05)


def transcribe(client: Any, **options: Any) -> Any:
    options = {"audio_format": FORMAT, "transcription_config": CONFIG, **options}
    return client.transcribe(pieces(), **options)


# -- one verdict ---------------------------------------------------------------------------------------


def test_an_early_end_that_is_heard_after_the_caller_has_stopped_is_no_complete_transcript(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(faults=[Fault.early_end(after_seconds=5)])
    client = client_of(server, resume=True)
    go, heard = threading.Event(), threading.Event()

    @client.on("AddTranscript")
    def slow(message: dict[str, Any]) -> None:
        heard.set()
        assert go.wait(10)

    client.start_session(audio_format=PCM)
    with pytest.raises(EndOfTranscriptError):
        for _ in range(1000):
            client.send_audio(bytes(3200))
            server.sessions[0].closed or time.sleep(0.002)
    assert heard.wait(10)
    client._session.connection.end_stream()  # as stop_session() says it
    threading.Timer(0.2, go.set).start()
    with pytest.raises(EndOfTranscriptError, match="before all audio was sent"):
        client.stop_session()


def test_an_early_end_in_an_event_loop_is_the_same_verdict_and_the_loop_goes_on(serve: Serve) -> None:
    server = serve(faults=[Fault.early_end(after_seconds=5)])
    config = ConnectionConfig(ssl_context=server.ssl_context)

    async def session() -> None:
        go = asyncio.Event()
        async with AsyncClient(url=server.url, conn_config=config, resume=True) as client:

            @client.on("AddTranscript")
            async def slow(message: dict[str, Any]) -> None:
                await go.wait()

            await client.start_session(audio_format=PCM)
            with pytest.raises(EndOfTranscriptError):
                for _ in range(1000):
                    await client.send_audio(bytes(3200))
                    await asyncio.sleep(0.002)
            stop = asyncio.ensure_future(client.stop_session())
            await asyncio.sleep(0.1)
            go.set()
            with pytest.raises(EndOfTranscriptError):
                await asyncio.wait_for(stop, 10)

    asyncio.run(session())


def test_at_the_end_of_the_transcript_another_session_may_start_in_the_handler(
    serve: Serve, client_of: ClientOf
) -> None:
    client = client_of(
        serve(NumberedEngine(), faults=[Fault.reset(after_seconds=5, sessions=[0])]), resume=QUICK
    )
    open_at_the_end = []
    client.on("EndOfTranscript", lambda message: open_at_the_end.append(client.is_connected))
    assert contents(transcribe(client)) == ALL
    assert open_at_the_end == [False]


# -- attempts that end ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("close", [True, False], ids=["closes", "leaves the closing to us"])
def test_a_service_that_fails_each_session_before_any_final_is_asked_so_often_and_no_more(
    serve: Serve, client_of: ClientOf, close: bool
) -> None:
    server = serve(faults=[Fault.error("job_error", close=close, after_messages=3)])
    client = client_of(server, resume=BOUNDED)
    diary = Diary(client)
    with pytest.raises(TranscriptionError, match="3 attempts to reconnect failed") as caught:
        client.transcribe(bytes(32000), audio_format=PCM)
    assert [message["attempt"] for message in diary.of("Reconnecting")] == [1, 2, 3]
    assert len(server.sessions) == 4
    assert caught.value.retryable


@pytest.mark.usefixtures("brief_grace")
def test_a_service_that_reads_audio_and_hears_nothing_is_asked_so_often_and_no_more(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(faults=[Fault.error("job_error", close=False, after_seconds=0.2)])
    client = client_of(server, resume=BOUNDED)
    diary = Diary(client)
    with pytest.raises(TranscriptionError, match="3 attempts"):
        transcribe(client)
    assert [message["attempt"] for message in diary.of("Reconnecting")] == [1, 2, 3]


# -- the first dial ------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_first_answer_that_all_is_taken_is_waited_for_like_a_full_quota(
    serve: Serve, client_of: ClientOf, status: int, face: str
) -> None:
    faults = [Fault.refuse(status, sessions=[0]), Fault.refuse(status, retry_after=1, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    began = time.monotonic()
    if face == "async":

        async def session() -> Any:
            config = ConnectionConfig(ssl_context=server.ssl_context)
            async with AsyncClient(url=server.url, conn_config=config, resume=QUICK) as client:
                return await transcribe(client)

        heard = asyncio.run(session())
    else:
        client = client_of(server, resume=QUICK)
        diary = Diary(client)
        heard = transcribe(client)
        assert [message["attempt"] for message in diary.of("Reconnecting")] == [1, 2]
        first, second = (message["delay"] for message in diary.of("Reconnecting"))
        assert 0.1 <= first < 0.2
        assert 1 <= second < 1.1
        assert diary.messages[0]["message"] == "Reconnecting"
    assert contents(heard) == ALL
    assert time.monotonic() - began >= 1.1


def test_a_first_answer_that_stays_is_given_up_with_it(serve: Serve, client_of: ClientOf) -> None:
    server = serve(faults=[Fault.refuse(503)])
    client = client_of(server, resume=BOUNDED)
    with pytest.raises(ConnectionError, match="3 attempts to reconnect failed") as caught:
        transcribe(client)
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert len(server.sessions) == 4


@pytest.mark.parametrize(
    "fault", [Fault.refuse(404), Fault.refuse(400), Fault.reset(at="handshake")], ids=str
)
def test_what_is_no_answer_that_may_pass_fails_the_first_dial_at_once(
    serve: Serve, client_of: ClientOf, fault: Fault
) -> None:
    server = serve(faults=[fault])
    client = client_of(server, resume=True)
    with pytest.raises(SpeechmaticsError):
        transcribe(client)
    assert len(server.sessions) == 1


def test_close_ends_the_wait_for_a_first_connection(serve: Serve, client_of: ClientOf) -> None:
    server = serve(faults=[Fault.refuse(503, retry_after=60)])
    client = client_of(server, resume=True)
    threading.Timer(0.3, client.close).start()
    began = time.monotonic()
    with pytest.raises(SessionError, match="closed"):
        client.start_session(audio_format=PCM)
    assert time.monotonic() - began < 5


def test_a_deadline_counts_in_the_wait_for_a_first_connection(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(faults=[Fault.refuse(503, retry_after=60)]), resume=True)
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        transcribe(client, timeout=0.5)
    assert caught.value.stage == "whole"
    assert time.monotonic() - began < 5


# -- what the service asks for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "least"),
    [
        (ConnectionError("", code=1011), 5),
        (TranscriptionError("", type="unknown_error", code=1011), 5),
        (TranscriptionError("", type="unknown_error"), 5),
        (TranscriptionError("", type="job_error"), 5),
        (ConnectionError("", status=429), 5),
        (ConnectionError("", status=503), 5),
        (ConnectionError("", status=503, retry_after=7), 7),
        (ConnectionError("", status=500, retry_after=7), 7),
        (ConnectionError("", status=502), 0.5),
        (ConnectionError("", code=1006), 0.5),
        (TranscriptionError("", type="session_timeout", code=1008), 0.5),
    ],
    ids=repr,
)
def test_the_least_pause_is_what_the_service_asks_for(error: Any, least: float) -> None:
    assert Outage(error, ResumePolicy(), now=0.0).pause(error, 0.0) == least


@pytest.mark.parametrize(
    "fault",
    [
        Fault.error("session_timeout", after_seconds=20, sessions=[0]),
        Fault.error("unknown_error", after_seconds=20, sessions=[0]),
    ],
    ids=["48 h", "unknown_error"],
)
def test_the_end_of_a_session_that_asks_for_another_is_rolled_over(
    serve: Serve, client_of: ClientOf, fault: Fault
) -> None:
    client = client_of(serve(NumberedEngine(), faults=[fault]), resume=QUICK)
    diary = Diary(client)
    assert contents(transcribe(client)) == ALL
    assert len(diary.of("Resumed")) == 1
    assert not diary.of("Error")


# -- speakers ------------------------------------------------------------------------------------------


def labels(transcript: Any) -> set[str]:
    return {word.speaker for word in transcript.words}


def known(client: Any, *labels: str) -> Iterator[bytes]:
    """Go on with the audio after 15 s only when these speakers could be known again."""

    def are_known() -> bool:
        speakers = client._session.connection._state.replay.speakers
        return all(speakers._generic.get(label) for label in labels)

    for index, piece in enumerate(pieces()):
        if index * CHUNK >= 15 * 2 * RATE:
            until(are_known, "nobody answered")
        yield piece


def test_one_speaker_stays_one_over_a_loss(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.reset(after_seconds=10, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    transcript = client.transcribe(known(client, "S1"), audio_format=FORMAT, transcription_config=SPEAKERS)
    assert contents(transcript) == ALL
    assert labels(transcript) == {"S1"}
    assert [message["renamed"] for message in diary.of("Resumed")] == [[], []]
    assert not diary.of("SpeakersResult")  # nobody but we asked
    assert not diary.of("Warning")
    config = server.sessions[1].start["transcription_config"]["speaker_diarization_config"]
    assert [speaker["label"] for speaker in config["speakers"]] == ["S1 (resumed)"]


def test_speakers_of_the_scripted_engine_stay_who_they_are(serve: Serve, client_of: ClientOf) -> None:
    client = client_of(serve(faults=[Fault.reset(after_seconds=40, sessions=[0])]), resume=QUICK)
    audio = known(client, "S1", "S2")
    transcript = client.transcribe(audio, audio_format=FORMAT, transcription_config=SPEAKERS)
    assert client.stats.reconnects == 1
    assert labels(transcript) == {"S1", "S2"}


def test_where_speakers_cannot_be_known_again_the_event_names_them(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    client.on_any(lambda message: client._session.connection._state.replay.speakers.give_up())
    diary = Diary(client)
    transcript = transcribe(client, transcription_config=SPEAKERS, speed=20)
    assert labels(transcript) == {"S1", "S2"}
    assert [message["renamed"] for message in diary.of("Resumed")] == [["S1"]]


def test_a_server_that_falls_silent_while_the_rest_is_owed_is_left_for_another(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(NumberedEngine(), faults=[Fault.no_end(sessions=[0])])
    client = client_of(server, resume=QUICK, end_timeout=0.5)
    diary = Diary(client)
    assert contents(transcribe(client)) == ALL
    assert "fell silent" in diary.of("Reconnecting")[0]["cause"]


@pytest.mark.parametrize("close_timeout", [5, None])
def test_an_outage_ends_in_time_though_the_service_answers_no_close_frame(
    serve: Serve, client_of: ClientOf, close_timeout: Optional[float]
) -> None:
    again = range(1, 20)
    lost = [Fault.reset(after_seconds=20, sessions=[0]), Fault.no_start(sessions=again)]
    server = serve(NumberedEngine(), faults=[*lost, Fault.no_close_reply(sessions=again)])
    policy = ResumePolicy(max_outage=1, min_delay=0.05, max_delay=0.1)
    client = client_of(server, resume=policy, close_timeout=close_timeout)
    began: list[float] = []
    client.on("Reconnecting", lambda _: began.append(time.monotonic()))
    with pytest.raises(ConnectionError, match=r"1 attempt to reconnect failed within 1 s"):
        transcribe(client)
    assert time.monotonic() - began[0] < 3
    assert len(server.sessions) == 2
