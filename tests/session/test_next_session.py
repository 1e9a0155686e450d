"""One session at a time, seen from the handlers and loops of one: when the next may begin."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    Client,
    SessionError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.local import Fault, LocalServer

from ..aio.test_aio import face, run

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
SOME = SECOND * 8  # in which an utterance ends
PAUSES = TranscriptionConfig(conversation_config={"end_of_utterance_silence_trigger": 0.5})


def by_transcribe(client: Client) -> None:
    client.transcribe(SOME, transcription_config=PAUSES, audio_format=PCM)


def by_loop(client: Client) -> None:
    with client.stream(SOME, transcription_config=PAUSES, audio_format=PCM) as messages:
        for _ in messages:
            pass


def by_hand(client: Client) -> None:
    client.start_session(transcription_config=PAUSES, audio_format=PCM)
    client.send_audio(SOME)
    client.stop_session()


WAYS = [by_transcribe, by_loop, by_hand]


class Attempt:
    """A handler that begins another session of its client, once all of the first has arrived."""

    def __init__(self, server: LocalServer, client: Client, begin: Callable[[Client], None]) -> None:
        self._server, self._client, self._begin = server, client, begin
        self.errors: list[SessionError] = []
        self.done = 0

    def __call__(self, message: dict[str, Any]) -> None:
        if message["message"] != "RecognitionStarted":  # what is left waits here, and nothing more will come
            assert self._server.sessions[0].wait_closed(10)
        try:
            self._begin(self._client)
            self.done += 1
        except SessionError as exc:
            self.errors.append(exc)


@pytest.mark.parametrize(("way", "begin"), [*zip(WAYS, [*WAYS[1:], WAYS[0]])])
@pytest.mark.parametrize("event", ["RecognitionStarted", "AddTranscript", "Utterance"])
def test_a_handler_never_begins_another_session_however_much_has_arrived(
    serve, client_of, way, begin, event: str
) -> None:
    server = serve()
    client = client_of(server)
    attempt = Attempt(server, client, begin)
    client.once(event, attempt)
    way(client)
    assert attempt.done == 0
    assert [error.retryable for error in attempt.errors] == [False]
    assert "another client" in str(attempt.errors[0])
    assert "SessionEnded" in str(attempt.errors[0])
    assert len(server.sessions) == 1
    assert client.transcript.words  # that of the first session, which has lost nothing


def test_a_loop_in_with_begins_no_other_session_however_much_has_arrived(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    with client.stream(SECOND, audio_format=PCM) as messages:
        next(messages)
        assert server.sessions[0].wait_closed(10)
        with pytest.raises(SessionError, match="already running"):
            client.transcribe(SECOND, audio_format=PCM)
        assert [message["message"] for message in messages][-1] == "EndOfTranscript"
        client.transcribe(SECOND, audio_format=PCM)  # read to its end, it is over


@pytest.mark.parametrize("round_", [1, 3])
@pytest.mark.parametrize("kind", ["stream", "utterances"])
def test_a_loop_is_told_of_the_session_that_was_begun_in_its_body(
    serve, client_of, kind: str, round_: int
) -> None:
    client, rounds = client_of(serve()), 0
    options = {"transcription_config": PAUSES, "audio_format": PCM}
    with pytest.raises(SessionError, match=r"another session .* in the body of the loop.*use another client"):
        for _ in getattr(client, kind)(SOME * 4, **options):
            rounds += 1
            if rounds == round_:
                assert client.transcribe(SOME, **options).text
    assert rounds == round_


@pytest.mark.parametrize("way", ["with", "close"])
def test_a_handler_of_what_was_cut_off_begins_no_other_session(serve, client_of, way) -> None:
    server = serve()
    client = client_of(server)
    messages = client.stream(SECOND * 2, transcription_config=PAUSES, audio_format=PCM)
    attempt = Attempt(server, client, by_transcribe)
    client.once("Utterance", attempt)
    while not client.transcript.words:
        next(messages)
    with messages if way == "with" else contextlib.nullcontext():
        messages.close()
    assert (attempt.done, len(attempt.errors)) == (0, 1)
    client.transcribe(SECOND, audio_format=PCM)
    assert len(server.sessions) == 2


@pytest.mark.parametrize(("way", "begin"), [*zip(WAYS, WAYS)])
@pytest.mark.parametrize("event", ["EndOfTranscript", "SessionEnded"])
def test_the_end_of_a_session_may_begin_the_next(serve, client_of, way, begin, event: str) -> None:
    server = serve()
    client = client_of(server)
    attempt = Attempt(server, client, begin)
    client.once(event, attempt)
    way(client)
    assert (attempt.done, attempt.errors) == (1, [])
    assert len(server.sessions) == 2


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("close", [True, False], ids=["closes", "leaves the closing to us"])
@pytest.mark.parametrize("resume", [False, True])
def test_the_error_of_the_service_may_begin_the_next(serve, client_of, close: bool, resume: bool) -> None:
    fault = Fault.error("data_error", close=close, after_seconds=0.5, sessions=[0])
    client = client_of(serve(faults=[fault]), resume=resume)
    texts: list[str] = []
    client.once("Error", lambda _: texts.append(client.transcribe(SECOND * 2, audio_format=PCM).text))
    with pytest.raises(TranscriptionError):
        client.transcribe(SECOND * 2, audio_format=PCM)
    assert texts == ["Good morning, and welcome"]


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("resume", [False, True])
def test_a_session_is_not_open_any_more_for_a_handler_of_the_services_error(
    serve, client_of, resume: bool
) -> None:
    fault = Fault.error("data_error", close=False, after_seconds=0.5)
    client = client_of(serve(faults=[fault]), resume=resume)
    seen: list[bool] = []
    client.on("Error", lambda _: seen.append(client.is_connected))
    with pytest.raises(TranscriptionError):
        client.transcribe(SECOND, audio_format=PCM)
    assert seen == [False]


def test_a_handler_that_closes_its_session_may_begin_the_next(serve, client_of) -> None:
    client = client_of(serve())
    texts: list[str] = []

    @client.once("AddTranscript")
    def again(message: dict[str, Any]) -> None:
        client.close()
        texts.append(client.transcribe(SECOND * 2, audio_format=PCM).text)

    with pytest.raises(SessionError, match="closed"):
        client.transcribe(SECOND * 60, audio_format=PCM)
    assert texts == ["Good morning, and welcome"]


def test_while_the_last_event_is_handled_no_other_thread_begins_the_next(serve, client_of) -> None:
    client = client_of(serve())
    refused: list[BaseException] = []

    def elsewhere() -> None:
        try:
            client.transcribe(SECOND, audio_format=PCM)
        except SessionError as exc:
            refused.append(exc)

    @client.once("SessionEnded")
    def ended(event: dict[str, Any]) -> None:
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()

    client.transcribe(SECOND, audio_format=PCM)
    assert len(refused) == 1
    client.transcribe(SECOND, audio_format=PCM)


# -- in an event loop ----------------------------------------------------------------------------------


async def awaited(client: AsyncClient, way: Callable[[Client], None]) -> None:
    if way is by_transcribe:
        await client.transcribe(SECOND, audio_format=PCM)
    elif way is by_loop:
        async with client.stream(SECOND, audio_format=PCM) as messages:
            async for _ in messages:
                pass
    else:
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        await client.stop_session()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", ["RecognitionStarted", "AddTranscript", "EndOfTranscript", "SessionEnded"])
def test_on_the_loop_the_end_alone_may_begin_the_next(serve, way, event: str) -> None:
    server = serve()
    outcomes: list[str] = []

    async def main() -> None:
        async with face(server) as client:

            @client.once(event)
            async def again(message: dict[str, Any]) -> None:
                try:
                    outcomes.append((await client.transcribe(SECOND * 2, audio_format=PCM)).text)
                except SessionError as exc:
                    outcomes.append(str(exc))

            await awaited(client, way)

    run(main)
    (outcome,) = outcomes
    if event in ("EndOfTranscript", "SessionEnded"):
        assert outcome == "Good morning, and welcome"
    else:
        assert "already running" in outcome
        assert len(server.sessions) == 1


def test_on_the_loop_the_next_may_begin_within_a_time(serve) -> None:
    server = serve()
    words: list[int] = []

    async def main() -> None:
        async with face(server) as client:

            @client.once("SessionEnded")
            async def again(event: dict[str, Any]) -> None:
                coming = client.transcribe(SECOND, audio_format=PCM)
                words.append(len((await asyncio.wait_for(coming, 30)).words))  # before 3.12 a task of its own

            await client.transcribe(SECOND, audio_format=PCM)

    run(main)
    assert words == [1]
