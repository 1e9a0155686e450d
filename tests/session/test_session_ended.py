"""``SessionEnded``: the last event of every session that was tried, once, on the thread that delivers."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioError,
    AudioFormat,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    MultiChannelClient,
    ResumePolicy,
    SpeechmaticsError,
    StaticKeyAuth,
    TranscriptionError,
)
from speechmatics_rt.local import Fault

from ..aio.test_aio import face, run

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


class Diary:
    """What the handlers of a client saw, in order, and on which threads."""

    def __init__(self, client: Any) -> None:
        self.kinds: list[str] = []
        self.ends: list[dict[str, Any]] = []
        self.threads: set[int] = set()
        client.on_any(self.note)
        client.on("SessionEnded", self.note)

    def note(self, message: dict[str, Any]) -> None:
        self.kinds.append(message["message"])
        self.threads.add(threading.get_ident())
        if message["message"] == "SessionEnded":
            self.ends.append(message)

    @property
    def error(self) -> Any:
        """That of the one end that there was, after which nothing came."""
        assert self.kinds.count("SessionEnded") == 1
        assert self.kinds[-1] == "SessionEnded"
        return self.ends[0]["error"]


# -- that went well ------------------------------------------------------------------------------------


def test_a_transcription_ends_with_it_on_the_callers_thread(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    client.transcribe(SECOND * 2, audio_format=PCM)
    assert diary.error is None
    assert diary.kinds[-2] == "EndOfTranscript"
    assert diary.threads == {threading.get_ident()}


def test_a_session_by_hand_ends_with_it_before_stop_session_returns(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    client.stop_session()
    assert diary.error is None
    assert len(diary.threads) == 1
    assert threading.get_ident() not in diary.threads


def test_a_stream_ends_with_it_before_its_loop_is_left(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    iterated = [message["message"] for message in client.stream(SECOND, audio_format=PCM)]
    assert diary.error is None
    assert iterated[-1] == "EndOfTranscript"


def test_several_channels_end_with_one(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    diary = Diary(client)
    client.transcribe({"a": SECOND, "b": SECOND * 2}, audio_format=PCM)
    assert diary.error is None


def test_each_session_of_a_client_has_its_own(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    for _ in range(3):
        client.transcribe(SECOND, audio_format=PCM)
    assert diary.kinds.count("SessionEnded") == 3
    assert [event["error"] for event in diary.ends] == [None] * 3


def test_a_session_over_several_connections_has_one_at_the_very_end(serve, client_of) -> None:
    server = serve(faults=[Fault.reset(after_seconds=1, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.01, max_delay=0.01))
    diary = Diary(client)
    client.transcribe(SECOND * 3, audio_format=PCM)
    assert diary.error is None
    assert "Resumed" in diary.kinds


# -- that failed ---------------------------------------------------------------------------------------


def test_a_lost_connection_is_told_before_it_is_raised(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.reset(after_seconds=1)]))
    diary = Diary(client)
    with pytest.raises(ConnectionError) as caught:
        client.transcribe(SECOND * 3, audio_format=PCM)
    assert str(diary.error) == str(caught.value)
    assert diary.error.transcript is client.transcript
    assert diary.error.request_id == client.request_id


def test_what_ends_a_session_by_hand_is_told_at_once_and_still_raised(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.error("job_error", after_seconds=0.5)]))
    told = threading.Event()
    diary = Diary(client)
    client.on("SessionEnded", lambda event: told.set())
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    assert told.wait(10)
    with pytest.raises(TranscriptionError):
        client.stop_session()
    assert isinstance(diary.error, TranscriptionError)


def test_leaving_with_still_says_what_only_a_handler_has_heard(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.error("job_error", after_seconds=0.5)]))
    told = threading.Event()
    client.on("SessionEnded", lambda event: told.set())
    with pytest.raises(TranscriptionError), client:
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        assert told.wait(10)


def test_a_source_that_fails_is_told(serve, client_of) -> None:
    def source() -> Any:
        yield SECOND
        raise OSError("unplugged")

    client = client_of(serve())
    diary = Diary(client)
    with pytest.raises(AudioError):
        client.transcribe(source(), audio_format=PCM)
    assert isinstance(diary.error, AudioError)
    assert "EndOfTranscript" in diary.kinds


def test_a_source_that_fails_with_another_sessions_error_is_told_as_a_source(serve, client_of) -> None:
    other = client_of(serve(faults=[Fault.reset(after_seconds=1)]))
    client = client_of(serve())
    diary = Diary(client)

    def source() -> Iterator[bytes]:
        yield SECOND * 3
        other.transcribe([SECOND] * 4, audio_format=PCM)

    with pytest.raises(
        AudioError, match=r"the audio source failed after 96000 bytes: ConnectionError"
    ) as caught:
        client.transcribe(source(), audio_format=PCM)
    assert not caught.value.retryable
    assert caught.value.transcript.words  # what came was transcribed
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert isinstance(diary.error, AudioError)


def test_what_a_handler_raises_does_not_take_the_place_of_what_happened(serve, client_of) -> None:
    server = serve(faults=[Fault.reset(after_seconds=1, sessions=[0])])
    client = client_of(server, handler_errors="raise")
    client.on("SessionEnded", lambda event: 1 // 0)
    with pytest.raises(ConnectionError):
        client.transcribe(SECOND * 2, audio_format=PCM)
    with pytest.raises(ZeroDivisionError):
        client.transcribe(SECOND * 2, audio_format=PCM)
    client.start_session(audio_format=PCM)
    with pytest.raises(ZeroDivisionError):
        client.stop_session()


# -- that could not start ------------------------------------------------------------------------------


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.refuse(503), ConnectionError),
        (Fault.refuse(401), AuthenticationError),
        (Fault.error("quota_exceeded", at="start"), TranscriptionError),
    ],
)
def test_a_session_that_can_not_start_is_told_on_the_callers_thread(
    serve, client_of, fault, kind, by_hand
) -> None:
    client = client_of(serve(faults=[fault]))
    diary = Diary(client)
    with pytest.raises(kind):
        (client.start_session if by_hand else client.transcribe)(
            *([] if by_hand else [SECOND]), audio_format=PCM
        )
    assert isinstance(diary.error, kind)
    assert diary.threads == {threading.get_ident()}


def test_a_call_that_is_refused_before_any_connection_has_no_end(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    with pytest.raises(AudioError):
        client.transcribe("nowhere.wav")
    with pytest.raises(ConfigurationError):
        client.start_session(transcription_config={"language": 5})
    assert diary.kinds == []
    client.start_session(audio_format=PCM)
    with pytest.raises(SpeechmaticsError, match="already"):
        client.start_session(audio_format=PCM)
    assert "SessionEnded" not in diary.kinds


def test_a_token_that_is_renewed_is_one_session(serve, client_of) -> None:
    class Renewed(StaticKeyAuth):
        def refresh(self) -> bool:
            return True

    client = client_of(
        serve(faults=[Fault.error("not_authorised", at="start", sessions=[0])]), auth=Renewed("k")
    )
    diary = Diary(client)
    client.transcribe(SECOND, audio_format=PCM)
    assert diary.error is None


# -- that the program itself ends ----------------------------------------------------------------------


def test_close_is_no_error(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    told = threading.Event()
    client.on("SessionEnded", lambda event: told.set())
    client.start_session(audio_format=PCM)
    client.close()
    assert told.wait(10)
    assert diary.error is None


@pytest.mark.parametrize("way", ["break in with", "break", "close", "close in the loop", "interrupted"])
def test_a_loop_that_is_left_is_no_error_and_told_once(serve, client_of, way: str) -> None:
    client = client_of(serve())
    diary = Diary(client)
    with client:
        messages = client.stream([SECOND] * 3, audio_format=PCM)
        if way == "interrupted":
            client.once("AddTranscript", interrupt)
            with pytest.raises(KeyboardInterrupt), messages:
                list(messages)
        elif way == "break in with":
            with messages:
                next(messages)
        else:
            next(messages)
            if way == "close":
                messages.close()
            elif way == "close in the loop":
                client.close()
                with pytest.raises(SpeechmaticsError):
                    list(messages)
    assert diary.error is None
    client.close()
    assert diary.error is None


def interrupt(message: dict[str, Any]) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
@pytest.mark.parametrize("then", ["close", "the next session", "the next session elsewhere"])
def test_a_stream_that_is_dropped_is_told_when_its_client_goes_on(serve, client_of, then: str) -> None:
    client = client_of(serve())
    diary = Diary(client)
    next(client.stream([SECOND] * 3, audio_format=PCM))
    assert "SessionEnded" not in diary.kinds
    if then == "close":
        client.close()
        assert diary.error is None
    else:
        if then == "the next session":
            client.transcribe(SECOND, audio_format=PCM)
        else:
            worker = threading.Thread(target=lambda: client.transcribe(SECOND, audio_format=PCM))
            worker.start()
            worker.join()
        assert diary.kinds.index("SessionEnded") == 1
        assert diary.kinds.count("SessionEnded") == 2


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
def test_of_a_stream_that_is_dropped_a_signal_handler_that_closes_runs_no_handler(serve, client_of) -> None:
    client = client_of(serve())
    diary = Diary(client)
    next(client.stream([SECOND] * 3, audio_format=PCM))
    before = signal.signal(signal.SIGTERM, lambda *_: client.close())
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "SessionEnded" not in diary.kinds
    client.close()
    assert diary.error is None


def test_the_handler_may_begin_the_next_session(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.reset(after_seconds=0.5, sessions=[0])]))
    texts = []

    @client.once("SessionEnded")
    def again(event) -> None:
        texts.append(client.transcribe(SECOND * 2, audio_format=PCM).text)

    with pytest.raises(ConnectionError):
        client.transcribe(SECOND * 2, audio_format=PCM)
    assert texts == ["Good morning, and welcome"]


# -- in an event loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["transcribe", "by hand", "stream", "channels", "left", "closed"])
def test_on_the_loop_it_is_the_last_event_too(serve, mode: str) -> None:
    server = serve()

    async def main() -> Diary:
        kind = AsyncMultiChannelClient if mode == "channels" else AsyncClient
        async with face(server, kind) as client:
            diary = Diary(client)
            if mode == "transcribe":
                await client.transcribe(SECOND, audio_format=PCM)
            elif mode == "channels":
                await client.transcribe({"a": SECOND}, audio_format=PCM)
            elif mode in ("by hand", "closed"):
                await client.start_session(audio_format=PCM)
                await client.send_audio(SECOND)
                await (client.stop_session() if mode == "by hand" else client.close())
                while mode == "closed" and "SessionEnded" not in diary.kinds:
                    await asyncio.sleep(0)
            else:
                async for _ in client.stream([SECOND] * 3, audio_format=PCM):
                    if mode == "left":
                        break
        return diary

    if mode == "left":
        with pytest.warns(ResourceWarning):
            diary = run(main)
    else:
        diary = run(main)
    assert diary.error is None
    assert diary.threads == {threading.get_ident()}


def test_on_the_loop_a_failure_is_told_and_a_coroutine_is_awaited(serve) -> None:
    server = serve(faults=[Fault.refuse(503, sessions=[0]), Fault.reset(after_seconds=0.5, sessions=[1])])
    ends = []

    async def main() -> None:
        async with face(server) as client:

            @client.on("SessionEnded")
            async def ended(event) -> None:
                await asyncio.sleep(0)
                ends.append(event["error"])

            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await client.transcribe(SECOND * 2, audio_format=PCM)
            await client.start_session(audio_format=PCM)
            await client.stop_session()

    run(main)
    assert [type(error) for error in ends] == [ConnectionError, ConnectionError, type(None)]
    assert ends[0].status == 503


def test_on_the_loop_cancelling_is_no_error(serve) -> None:
    server = serve()

    async def main() -> Diary:
        async with face(server) as client:
            diary = Diary(client)
            task = asyncio.ensure_future(client.transcribe([SECOND] * 1000, audio_format=PCM, speed=1.0))
            while "RecognitionStarted" not in diary.kinds:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return diary

    assert run(main).error is None


@pytest.mark.filterwarnings("ignore:a client was dropped:ResourceWarning")
def test_nobody_is_told_by_a_client_that_was_dropped(serve) -> None:
    server = serve()
    seen = []
    client = Client(url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context))
    client.on("SessionEnded", seen.append)
    client.start_session(audio_format=PCM)
    del client
    server.sessions[0].wait_closed()
    assert seen == []
