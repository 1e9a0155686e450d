"""The asyncio face: handlers on the loop, sources of both kinds, cancellation, pressure, many loops."""

from __future__ import annotations

import asyncio
import bdb
import contextlib
import contextvars
import gc
import io
import random
import signal
import subprocess
import sys
import threading
import time
import wave
from typing import Any

import pytest

from speechmatics_rt import (
    AudioError,
    AudioFormat,
    AuthBase,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    Recorder,
    ResumePolicy,
    SessionError,
    StaticKeyAuth,
    TimeoutError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.aio.client import AsyncClient, AsyncMultiChannelClient
from speechmatics_rt.local import Fault
from speechmatics_rt.protocol import codec

from ..conftest import SPEECH
from ..reliability.numbered import FORMAT, RATE, NumberedEngine, speak

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
FIRST_WORDS = "Good morning, and welcome to the reading room."


def face(server, kind=AsyncClient, **options):
    names = set(ConnectionConfig.__dataclass_fields__)
    config = {name: options.pop(name) for name in list(options) if name in names}
    conn_config = ConnectionConfig(ssl_context=server.ssl_context, **config)
    return kind(url=server.url, conn_config=conn_config, **options)


def run(main):
    """Run ``main()`` in a new loop; whatever the loop itself complains about fails the test."""
    complaints = []

    async def guarded():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        return await main()

    try:
        return asyncio.run(guarded())
    finally:
        assert not complaints


async def silence(seconds):
    for _ in range(round(seconds * 10)):
        await asyncio.sleep(0)
        yield SECOND[:3200]


async def endless():
    while True:
        await asyncio.sleep(0.01)
        yield SECOND[:320]


async def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


# -- the surface ---------------------------------------------------------------------------------------


def test_a_file_is_transcribed_in_one_call(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client:
            with open(SPEECH, "rb") as file:
                return await client.transcribe(file)

    assert run(main).text.startswith(FIRST_WORDS)
    assert server.sessions[0].close_code == 1000


def test_handlers_of_both_kinds_run_on_the_loop_one_at_a_time_in_order(serve) -> None:
    seen = []

    async def main():
        client = face(serve())

        @client.on("AddTranscript")
        async def first(message):
            seen.append(("begin", threading.get_ident()))
            await asyncio.sleep(0.001)
            seen.append(("end", threading.get_ident()))

        @client.on("AddTranscript")
        def second(message):
            seen.append(("plain", threading.get_ident()))

        client.once("AddTranscript", lambda message: seen.append(("once", threading.get_ident())))
        async with client:
            await client.transcribe(SECOND * 5, audio_format=PCM)

    run(main)
    names = [name for name, _ in seen]
    assert names[:4] == ["begin", "end", "plain", "once"]
    assert names[4:] == ["begin", "end", "plain"] * (len(names[4:]) // 3) != []
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_a_task_that_a_handler_starts_is_not_waited_for(serve) -> None:
    async def main():
        gate = asyncio.Event()
        async with face(serve()) as client:
            tasks = []
            client.once(
                "AddTranscript", lambda message: tasks.append(asyncio.create_task(gate.wait())) or tasks[0]
            )
            await client.transcribe(SECOND * 3, audio_format=PCM)
            assert not tasks[0].done()
            gate.set()
            await tasks[0]

    run(main)


def test_the_iterator_yields_every_message_but_the_acknowledgements(serve) -> None:
    server = serve()
    acknowledged = []

    async def main():
        async with face(server) as client:
            client.on("AudioAdded", acknowledged.append)
            messages = client.stream(SECOND * 3, audio_format=PCM)
            kinds = [message["message"] async for message in messages]
            return kinds, messages.transcript

    kinds, transcript = run(main)
    said = [message["message"] for message in server.sessions[0].sent]
    assert kinds == [kind for kind in said if kind != "AudioAdded"]
    assert [message["seq_no"] for message in acknowledged] == list(range(1, said.count("AudioAdded") + 1))
    assert transcript.text.startswith("Good morning,")


def test_a_session_by_hand_sends_listens_and_stops(serve) -> None:
    server = serve()
    threads = set()

    async def main():
        async with face(server) as client:
            client.on_any(lambda message: threads.add(threading.get_ident()))
            await client.start_session(
                audio_format=PCM, transcription_config=TranscriptionConfig(language="de")
            )
            assert client.is_connected
            for _ in range(20):
                await client.send_audio(SECOND[:3200])
            assert client.audio_seconds_sent == pytest.approx(2)
            assert client.audio_bytes_sent == 64000
            await client.get_speakers()
            await client.update_config(max_delay=2)
            await client.force_end_of_utterance()
            await client.stop_session()
            assert not client.is_connected
            assert client.session_id
            assert client.stats.frames_sent == 20
            assert client.stats.final_latency is not None
            assert client.stats.lag == 0
            return client.transcript.text, client.request_id

    text, request_id = run(main)
    assert text == "Good morning, and welcome"
    record = server.sessions[0]
    assert record.headers["x-request-id"] == request_id
    said = [message for message in record.messages if message["message"] != "AddAudio"]
    assert [message["message"] for message in said] == [
        "StartRecognition",
        "GetSpeakers",
        "SetRecognitionConfig",
        "ForceEndOfUtterance",
        "EndOfStream",
    ]
    assert said[3]["timestamp"] == pytest.approx(2)
    assert said[-1]["last_seq_no"] == 20
    assert threads == {threading.get_ident()}


def test_leaving_async_with_keeps_the_tail(serve) -> None:
    finals = []

    async def main():
        async with face(serve()) as client:
            client.on("AddTranscript", lambda message: finals.append(message["metadata"]["transcript"]))
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND * 2)

    run(main)
    assert "".join(finals) == "Good morning, and welcome "


def test_leaving_async_with_by_an_exception_closes_without_waiting(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client:
            await client.start_session(audio_format=PCM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)
    assert server.sessions[0].closed.wait(5)
    assert [message["message"] for message in server.sessions[0].messages] == ["StartRecognition"]


def test_a_client_runs_one_session_after_another_and_one_at_a_time(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client:
            first = await client.transcribe(SECOND * 2, audio_format=PCM)
            await client.start_session(audio_format=PCM)
            with pytest.raises(SessionError, match="already"):
                await client.transcribe(SECOND, audio_format=PCM)
            await client.close()
            with pytest.raises(SessionError):
                await client.send_audio(SECOND)
            second = await client.transcribe(SECOND * 2, audio_format=PCM)
            return first.text, second.text

    first, second = run(main)
    assert first == second
    assert len(server.sessions) == 3


def test_calls_without_a_session_say_so(serve) -> None:
    async def main():
        client = face(serve())
        for call in (client.send_audio(SECOND), client.force_end_of_utterance(), client.get_speakers()):
            with pytest.raises(SessionError, match="start_session"):
                await call
        await client.stop_session()
        await client.close()

    run(main)


def test_several_channels_in_one_session(serve) -> None:
    server = serve()
    seen = set()

    async def main():
        async with face(server, AsyncMultiChannelClient) as client:
            client.on("AddTranscript", lambda message: seen.add(message["channel"]))
            sources = {"left": silence(2), "right": io.BytesIO(SECOND * 3)}
            transcript = await client.transcribe(sources, audio_format=PCM)
            await client.start_session(channels=["a", "b"], audio_format=PCM)
            await client.send_audio("a", SECOND)
            await client.send_audio("b", SECOND * 2)
            await client.force_end_of_utterance(channel="a")
            await client.end_channel("a")
            await client.end_channel("b")
            await client.stop_session()
            return transcript

    transcript = run(main)
    assert {word.channel for word in transcript.words} == {"left", "right"} == seen - {"a", "b"}
    kinds = [message["message"] for message in server.sessions[1].messages]
    assert kinds[-2:] == ["EndOfChannel", "EndOfChannel"]


# -- sources and keys ----------------------------------------------------------------------------------


def test_asynchronous_sources_of_every_shape_are_read_on_the_loop(serve) -> None:
    server = serve()

    class Reader:
        def __init__(self):
            self.left, self.threads = len(SECOND) * 2, set()

        async def read(self, size):
            await asyncio.sleep(0)
            self.threads.add(threading.get_ident())
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    async def main():
        stream = asyncio.StreamReader()
        stream.feed_data(SECOND * 2)
        stream.feed_eof()
        reader = Reader()

        async def with_empty_blocks():
            for _ in range(4):
                yield SECOND[:16000]
                yield b""

        async with face(server) as client:
            for source in (stream, reader, silence(2), with_empty_blocks()):
                await client.transcribe(source, audio_format=PCM)
        assert reader.threads == {threading.get_ident()}

    run(main)
    assert [record.audio for record in server.sessions] == [SECOND * 2] * 4


class Array:
    """As in NumPy: of more than one sample nobody knows whether it is true."""

    def __init__(self, size):
        self._size = size

    def __len__(self):
        return self._size

    def __bool__(self):
        if self._size > 1:
            raise ValueError("the truth value of an array is ambiguous")
        return bool(self._size)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (Array(1600), "tobytes"),
        (Array(0), "tobytes"),  # which is false
        (None, "None, not bytes"),
        ("", "text"),
        (0, "int, not bytes"),
    ],
    ids=["array", "empty array", "None", "empty text", "number"],
)
def test_what_is_no_audio_is_told_and_is_no_end_of_an_asynchronous_source(serve, block, told) -> None:
    server = serve()

    async def blocks():
        yield SECOND
        yield block
        yield SECOND

    class Reader:
        def __init__(self):
            self.left = [SECOND, block, SECOND]

        async def read(self, size):
            return self.left.pop(0)

    async def main():
        async with face(server) as client:
            for source in (blocks(), Reader()):
                with pytest.raises(AudioError, match=told):
                    await client.transcribe(source, audio_format=PCM)

    run(main)


def test_a_blocking_source_does_not_hold_up_the_loop(serve) -> None:
    async def main():
        gate = threading.Event()

        def source():
            yield SECOND
            gate.wait(10)
            yield SECOND

        async with face(serve()) as client:
            transcription = asyncio.ensure_future(client.transcribe(source(), audio_format=PCM))
            await until(lambda: client.audio_bytes_sent)
            gate.set()  # by the loop, which is free
            return await transcription

    assert run(main).text == "Good morning, and welcome"


@pytest.mark.parametrize(
    "source", [b"", silence(0), 7, io.StringIO("text")], ids=["empty", "none", "int", "text"]
)
def test_what_is_no_audio_fails_before_any_io(serve, source) -> None:
    server = serve()

    async def main():
        async with face(server) as client:
            await client.transcribe(source, audio_format=PCM)

    with pytest.raises(AudioError):
        run(main)
    assert not server.sessions


def test_an_asynchronous_source_that_raises_is_an_audio_error(serve) -> None:
    async def broken():
        yield SECOND
        raise ZeroDivisionError("in the source")

    async def main():
        async with face(serve()) as client:
            await client.transcribe(broken(), audio_format=PCM)

    with pytest.raises(AudioError, match="in the source") as caught:
        run(main)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class Vault(AuthBase):
    def __init__(self, *keys):
        self.keys, self.threads, self.asked = list(keys), set(), 0

    async def get_auth_headers(self):
        await asyncio.sleep(0)
        self.threads.add(threading.get_ident())
        self.asked += 1
        return {"Authorization": f"Bearer {self.keys[0]}"}

    def refresh(self):
        return bool(self.keys.pop(0) and self.keys)


def test_headers_may_be_awaited_and_are_asked_for_again_when_refused(serve) -> None:
    server = serve(keys=["good"])
    auth = Vault("old", "good")

    async def main():
        async with face(server, auth=auth) as client:
            await client.transcribe(SECOND, audio_format=PCM)

    run(main)
    assert auth.asked == 2
    assert auth.threads == {threading.get_ident()}


def test_a_refused_key_is_an_authentication_error(serve) -> None:
    server = serve(keys=["good"])

    async def main():
        async with face(server, auth=StaticKeyAuth("bad")) as client:
            await client.start_session(audio_format=PCM)

    with pytest.raises(AuthenticationError):
        run(main)


def test_headers_that_never_come_are_a_timeout_of_opening(serve) -> None:
    class Stuck(AuthBase):
        async def get_auth_headers(self):
            await asyncio.Event().wait()

    async def main():
        async with face(serve(), auth=Stuck(), open_timeout=0.2) as client:
            await client.start_session(audio_format=PCM)

    with pytest.raises(TimeoutError, match="get_auth_headers") as caught:
        run(main)
    assert caught.value.stage == "open"


@pytest.mark.parametrize(
    "error", [asyncio.TimeoutError(), OSError("the vault is down")], ids=lambda error: type(error).__name__
)
def test_who_issues_awaited_keys_may_be_away_for_an_attempt(serve, error) -> None:
    class Flaky(AuthBase):
        asked = 0

        async def get_auth_headers(self):
            await asyncio.sleep(0)
            self.asked += 1
            if self.asked in (2, 3):
                raise error
            return {}

    auth = Flaky()
    announced = []

    async def main():
        resume = ResumePolicy(min_delay=0.01, max_delay=0.05)
        async with face(
            serve(faults=[Fault.fin(after_seconds=1, sessions=[0])]), auth=auth, resume=resume
        ) as client:
            client.on("Reconnecting", announced.append)
            return await client.transcribe(SECOND * 3, audio_format=PCM)

    transcript = run(main)
    assert auth.asked == 4
    assert transcript.words
    kind = type(error).__name__
    assert announced[1]["cause"].startswith(f"get_auth_headers() of Flaky raised {kind}")


@pytest.mark.parametrize("error", [asyncio.TimeoutError(), OSError("the vault is down")], ids=repr)
def test_a_first_connection_without_awaited_headers_for_now_may_pass(serve, error) -> None:
    class Away(AuthBase):
        async def get_auth_headers(self):
            raise error

    async def main():
        async with face(serve(), auth=Away()) as client:
            await client.start_session(audio_format=PCM)

    with pytest.raises(ConnectionError, match=r"get_auth_headers\(\) of Away raised") as caught:
        run(main)
    assert (caught.value.stage, caught.value.retryable, caught.value.unreached) == ("key", True, True)
    assert type(caught.value.__cause__) is type(error)  # asyncio may pass a TimeoutError on as another one


def test_a_mistake_in_awaited_headers_comes_out_as_it_is(serve) -> None:
    class Wrong(AuthBase):
        async def get_auth_headers(self):
            return {}["token"]

    async def main():
        async with face(serve(), auth=Wrong()) as client:
            await client.start_session(audio_format=PCM)

    with pytest.raises(KeyError, match="token"):
        run(main)


# -- errors --------------------------------------------------------------------------------------------


def test_an_error_of_the_service_is_raised_with_what_was_heard(serve) -> None:
    server = serve(faults=[Fault.error("job_error", "it broke", after_seconds=6)])
    heard = []

    async def main():
        async with face(server) as client:
            client.on("Error", heard.append)
            await client.transcribe(SECOND * 60, audio_format=PCM)

    with pytest.raises(TranscriptionError, match="it broke") as caught:
        run(main)
    assert caught.value.transcript.text.startswith("Good morning")
    assert [message["type"] for message in heard] == ["job_error"]


def test_handlers_hear_on_the_loop_why_a_session_did_not_start(serve) -> None:
    heard = []

    async def main():
        async with face(serve(faults=[Fault.error("quota_exceeded", "full", at="start")])) as client:
            client.on("Error", lambda message: heard.append((message["type"], threading.get_ident())))
            await client.start_session(audio_format=PCM)

    with pytest.raises(TranscriptionError):
        run(main)
    assert heard == [("quota_exceeded", threading.get_ident())]


def test_a_failure_in_the_background_is_raised_by_stop_session(serve) -> None:
    async def main():
        async with face(serve(faults=[Fault.reset(after_seconds=0.5)])) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await until(lambda: not client.is_connected)
            await client.stop_session()

    with pytest.raises(ConnectionError):
        run(main)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_failing_handler_is_logged_or_raised_as_asked(serve, caplog, by_hand) -> None:
    server = serve()

    async def main(how):
        async with face(server, handler_errors=how) as client:

            @client.on("AddTranscript")
            async def fail(message):
                await asyncio.sleep(0)
                raise ZeroDivisionError("in a handler")

            if by_hand:
                await client.start_session(audio_format=PCM)
                await client.send_audio(SECOND * 2)
                await client.stop_session()
            else:
                await client.transcribe(SECOND * 2, audio_format=PCM)

    run(lambda: main("log"))
    assert "in a handler" in caplog.text
    with pytest.raises(ZeroDivisionError):
        run(lambda: main("raise"))


class Barge:
    """What a handler may do that lets a CancelledError out, as a voice agent does that is interrupted."""

    @staticmethod
    async def awaits_what_it_has_cancelled(message) -> None:
        speech = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        speech.cancel()
        await speech

    @staticmethod
    async def awaits_what_is_cancelled_meanwhile(message) -> None:
        speech = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_later(0.01, speech.cancel)
        await speech

    @staticmethod
    def asks_for_the_result_of_what_was_cancelled(message) -> None:
        speech = asyncio.get_running_loop().create_future()
        speech.cancel()
        speech.result()


BARGES = [each.__func__ for name, each in vars(Barge).items() if not name.startswith("_")]


@pytest.mark.parametrize("by_hand", [False, True], ids=["transcribe", "by hand"])
@pytest.mark.parametrize("handler", BARGES, ids=lambda handler: handler.__name__)
def test_a_cancellation_that_comes_out_of_a_handler_is_its_error_and_ends_no_session(
    serve, caplog, handler, by_hand
) -> None:
    server, seen = serve(), []

    async def main(how):
        async with face(server, handler_errors=how) as client:
            client.on("AddTranscript", handler)
            client.on("AddTranscript", seen.append)
            if by_hand:
                await client.start_session(audio_format=PCM)
                await client.send_audio(SECOND * 3)
                await client.stop_session()
            else:
                await client.transcribe(SECOND * 3, audio_format=PCM)
            assert client.transcript.text == "Good morning, and welcome to the"

    run(lambda: main("log"))
    assert len(seen) > 1
    assert caplog.text.count("a handler of AddTranscript failed: ") == 1  # of those, the first is told
    with pytest.raises(RuntimeError, match="was cancelled") as caught:
        run(lambda: main("raise"))
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


class Waits:
    """What a handler may be waiting for, or just have done, when its task is cancelled."""

    @staticmethod
    async def a_future() -> None:
        await asyncio.get_running_loop().create_future()

    @staticmethod
    async def a_task() -> None:
        await asyncio.ensure_future(asyncio.sleep(60))

    @staticmethod
    async def a_task_that_cleans_up() -> None:
        async def slow() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)

        await asyncio.ensure_future(slow())

    @staticmethod
    async def nothing_in_particular() -> None:
        while True:
            await asyncio.sleep(0)

    @staticmethod
    async def what_it_has_cancelled_itself() -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task


WAITS = [each.__func__ for name, each in vars(Waits).items() if not name.startswith("_")]


@pytest.mark.parametrize("by_itself", [False, True], ids=["by another", "by itself"])
@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
def test_a_cancellation_of_the_call_ends_it_whatever_its_handler_waits_for(serve, wait, by_itself) -> None:
    async def main():
        async with face(serve()) as client:
            call = asyncio.ensure_future(client.transcribe(endless(), audio_format=PCM))

            @client.once("AddTranscript")
            async def waits(message):
                if by_itself:
                    asyncio.current_task().cancel()
                else:
                    asyncio.get_running_loop().call_soon(call.cancel)
                await wait()

            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(call, 10)
            assert not client.is_connected

    run(main)


def test_what_a_handler_does_about_its_cancellation_is_done_before_the_call_ends(serve) -> None:
    done = []

    async def main():
        async with face(serve()) as client:
            call = asyncio.ensure_future(client.transcribe(endless(), audio_format=PCM))

            @client.once("AddTranscript")
            async def waits(message):
                call.cancel()
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(0.01)
                    done.append(client.is_connected)

            with pytest.raises(asyncio.CancelledError):
                await call

    run(main)
    assert done == [True]


@pytest.mark.parametrize("awaited", [False, True], ids=["function", "coroutine function"])
def test_quitting_the_debugger_in_a_handler_ends_the_call(serve, awaited) -> None:
    async def main():
        async with face(serve()) as client:

            def stops(message) -> None:
                raise bdb.BdbQuit

            async def stops_awaited(message) -> None:
                stops(message)

            client.on("AddTranscript", stops_awaited if awaited else stops)
            with pytest.raises(bdb.BdbQuit):
                await client.transcribe(SECOND * 3, audio_format=PCM)
            assert not client.is_connected

    run(main)


def test_a_timeout_covers_the_whole_call(serve) -> None:
    async def main():
        async with face(serve()) as client:
            await client.transcribe(endless(), audio_format=PCM, timeout=0.4)

    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        run(main)
    assert caught.value.stage == "whole"
    assert 0.35 < time.monotonic() - began < 3


def test_stop_session_gives_up_after_its_timeout(serve) -> None:
    async def main():
        async with face(serve(faults=[Fault.no_end()])) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await client.stop_session(timeout=0.2)

    with pytest.raises(TimeoutError) as caught:
        run(main)
    assert caught.value.stage == "end"


# -- stopping and cancelling ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["handler", "body", "signal"])
def test_a_session_is_stopped_from_inside_and_runs_on_to_its_end(serve, where) -> None:
    kinds = []

    async def main():
        async with face(serve()) as client:

            @client.once("AddTranscript")
            async def handler(message):
                if where == "handler":
                    await client.stop_session()
                elif where == "signal":
                    client.request_stop()

            async for message in client.stream(endless(), audio_format=PCM):
                kinds.append(message["message"])
                if where == "body" and message["message"] == "AddTranscript":
                    await client.stop_session()

    run(main)
    assert kinds[-1] == "EndOfTranscript"


def test_stop_session_in_a_handler_of_a_session_by_hand_returns_at_once(serve) -> None:
    async def main():
        done = asyncio.Event()
        async with face(serve()) as client:

            @client.once("AddTranscript")
            async def handler(message):
                await client.stop_session()

            client.on("EndOfTranscript", lambda message: done.set())
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND * 3)
            await asyncio.wait_for(done.wait(), 5)

    run(main)


@pytest.mark.parametrize("how", ["transcribe", "stream", "stop"])
def test_cancellation_closes_the_session_and_propagates(serve, how) -> None:
    server = serve(faults=[Fault.no_end()])

    async def main():
        client = face(server)

        async def work():
            if how == "transcribe":
                await client.transcribe(endless(), audio_format=PCM)
            elif how == "stream":
                async for _ in client.stream(endless(), audio_format=PCM):
                    pass
            else:
                await client.start_session(audio_format=PCM)
                await client.send_audio(SECOND)
                stopping.append(True)
                await client.stop_session()

        stopping: list[bool] = []
        task = asyncio.ensure_future(work())
        await until(lambda: client.audio_bytes_sent and (how != "stop" or stopping))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client.is_connected

    run(main)
    assert server.sessions[0].closed.wait(5)


@pytest.mark.parametrize("fault", [Fault.no_start(), Fault.hang()], ids=["start", "handshake"])
def test_a_start_that_is_cancelled_returns_at_once(serve, fault) -> None:
    server = serve(faults=[fault])

    async def main():
        client = face(server, open_timeout=20)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.start_session(audio_format=PCM), 0.3)
        assert not client.is_connected

    began = time.monotonic()
    run(main)
    assert time.monotonic() - began < 3  # of 20


def test_cancelling_while_an_asynchronous_source_is_silent_leaves_nothing_behind(serve) -> None:
    async def main():
        began = asyncio.Event()

        async def silent():
            yield SECOND
            began.set()
            await asyncio.Event().wait()

        async with face(serve()) as client:
            task = asyncio.ensure_future(client.transcribe(silent(), audio_format=PCM))
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


def test_cancellation_at_any_moment_leaves_nothing_behind(serve) -> None:
    server = serve()

    async def main():
        for moment in range(25):
            client = face(server)
            task = asyncio.ensure_future(client.transcribe(endless(), audio_format=PCM))
            await asyncio.sleep(moment * 0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # a session that opened when close() had found none yet is closed by the thread that opened it
            await until(lambda client=client: not client.is_connected)
            assert not client.is_connected

    run(main)


def test_a_stream_left_unfinished_ends_the_session(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client, client.stream(endless(), audio_format=PCM) as messages:
            async for message in messages:
                if message["message"] == "AddTranscript":
                    break
        assert not client.is_connected

    run(main)
    assert server.sessions[0].closed.wait(5)


def test_a_stream_that_is_dropped_says_so_and_ends_the_session(serve) -> None:
    server = serve()

    async def main():
        client = face(server)
        messages = client.stream(io.BytesIO(SECOND * 1000), audio_format=PCM, speed=1)
        await messages.__anext__()
        with pytest.warns(ResourceWarning, match="stream"):
            del messages
            gc.collect()
        assert server.sessions[0].closed.wait(5)

    run(main)


def test_a_client_that_is_dropped_is_collected_and_its_session_ends(serve) -> None:
    server = serve()

    async def main():
        client = face(server)
        client.on("AddTranscript", lambda message, client=client: client.transcript)
        await client.start_session(audio_format=PCM)
        await asyncio.sleep(0.05)  # what has arrived is delivered
        with pytest.warns(ResourceWarning, match="client"):
            del client
            gc.collect()
        assert server.sessions[0].closed.wait(5)

    run(main)


def test_a_loop_that_ends_with_a_session_open_closes_it(serve) -> None:
    server = serve()
    clients = []

    async def main():
        clients.append(face(server))
        await clients[0].start_session(audio_format=PCM)
        await clients[0].send_audio(SECOND)

    run(main)
    assert server.sessions[0].closed.wait(5)
    assert not clients[0].is_connected


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_closed_under_a_session_harms_no_thread(serve) -> None:
    server = serve()
    loop = asyncio.new_event_loop()
    client = face(server)
    loop.run_until_complete(client.start_session(audio_format=PCM))
    loop.run_until_complete(client.send_audio(SECOND))
    task = client._dispatcher.task
    loop.close()
    client._behind.close()
    assert server.sessions[0].closed.wait(5)
    task._log_destroy_pending = False
    del task, client
    gc.collect()


INTERRUPTED = """
import asyncio, sys
from speechmatics_rt import AsyncClient, AudioFormat

async def endless():
    while True:
        await asyncio.sleep(0.01)
        yield bytes(3200)

async def main():
    async with AsyncClient(url=sys.argv[1]) as client:
        client.once("AddTranscript", lambda message: print("heard", flush=True))
        await client.transcribe(endless(), audio_format=AudioFormat("pcm_s16le", 16000))

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("serve", ["ws"], indirect=True)
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c_closes_the_session_and_ends_the_program(serve) -> None:
    server = serve()
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED, server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "heard\n"
        program.send_signal(signal.SIGINT)
        out, errors = program.communicate(timeout=20)
    assert (out, errors) == ("interrupted\n", "")
    assert server.sessions[0].closed.wait(5)
    assert server.sessions[0].close_code == 1000


def test_events_of_ones_own_reach_both_kinds_of_callbacks() -> None:
    seen = []

    async def main():
        client = AsyncClient()

        @client.on("Mine")
        async def later(message):
            seen.append(("coroutine", message))

        client.on("Mine", lambda message: seen.append(("plain", message)))
        client.emit("Mine", {"n": 1})
        assert seen == [("plain", {"n": 1})]
        await asyncio.sleep(0)

    run(main)
    assert seen[1:] == [("coroutine", {"n": 1})]


# -- pressure ------------------------------------------------------------------------------------------


def test_a_handler_that_blocks_the_loop_does_not_stop_pongs_and_pings(serve) -> None:
    server = serve(faults=[Fault.pings(5, 0.1)])

    async def main():
        async with face(server, ping_interval=0.1, ping_timeout=0.4) as client:
            client.once("AddTranscript", lambda message: time.sleep(1))
            return await client.transcribe(SECOND * 3, audio_format=PCM)

    assert run(main).text


def test_a_slow_consumer_pauses_the_sender(serve) -> None:
    server = serve(faults=[Fault.flood(500, after_seconds=1)])

    async def main():
        gate = asyncio.Event()
        async with face(server, max_queue=100) as client:

            @client.once("AddTranscript")
            async def slow(message):
                await gate.wait()

            task = asyncio.ensure_future(client.transcribe(SECOND * 120, audio_format=PCM))
            await until(lambda: client.stats.queue_depth > 100)
            before = -1
            while client.audio_bytes_sent > before:  # a chunk may be on its way when the sender has to pause
                before = client.audio_bytes_sent
                await asyncio.sleep(0.3)
            assert client.audio_bytes_sent == before < len(SECOND) * 120
            gate.set()
            await task
        assert client.audio_bytes_sent == len(SECOND) * 120

    run(main)


def test_a_full_window_is_waited_for_without_holding_up_the_loop(serve) -> None:
    async def main():
        ticks = 0
        async with face(serve(faults=[Fault.no_acks()]), window_frames=2, send_timeout=0.8) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await client.send_audio(SECOND)
            sending = asyncio.ensure_future(client.send_audio(SECOND))
            while not sending.done():
                ticks += 1
                await asyncio.sleep(0.01)
            await client.close()
            with pytest.raises(TimeoutError) as caught:
                await sending
        assert caught.value.stage == "send"
        assert ticks > 15

    run(main)


def test_a_cancelled_send_keeps_its_place(serve) -> None:
    server = serve(faults=[Fault.late_acks(0.1)])
    chunks = [bytes([number]) * 3200 for number in range(6)]

    async def main():
        async with face(server, window_frames=1) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(chunks[0])
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.send_audio(chunks[1]), 0.02)
            for chunk in chunks[2:]:
                await client.send_audio(chunk)

    run(main)
    assert server.sessions[0].audio == b"".join(chunks)


def test_a_sender_in_a_tight_loop_leaves_the_event_loop_to_others(serve) -> None:
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async with face(serve()) as client:
            await client.start_session(audio_format=PCM)
            ticking = asyncio.ensure_future(tick())
            for _ in range(100):
                await client.send_audio(SECOND[:320])
            ticking.cancel()
        assert ticks >= 100

    run(main)


def test_live_audio_starts_no_thread_for_a_chunk(serve) -> None:
    async def main():
        async with face(serve()) as client:
            await client.start_session(audio_format=PCM)
            started = []
            threading.setprofile(lambda *args: started.append(args))  # set in threads that start from here on
            try:
                for _ in range(50):
                    await client.send_audio(SECOND[:640])
                    await asyncio.sleep(0.002)
            finally:
                threading.setprofile(None)
            assert not started

    run(main)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_lost_connection_is_resumed_without_losing_a_word(serve, by_hand) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.fin(after_seconds=3, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    audio, words = speak(40, random.Random(7))
    chunks = [audio[at : at + RATE // 2] for at in range(0, len(audio), RATE // 2)]
    policy = ResumePolicy(min_delay=0.01, max_delay=0.05, replay_speed=1000)
    heard = []

    async def main():
        async with face(server, resume=policy) as client:
            client.on_any(lambda message: heard.append(message["message"]))
            if not by_hand:
                return await client.transcribe(chunks, audio_format=FORMAT)
            await client.start_session(audio_format=FORMAT)
            for chunk in chunks:
                await client.send_audio(chunk)
            await client.stop_session()
            return client.transcript

    transcript = run(main)
    assert [word.content for word in transcript.words] == [word.content for word in words]
    assert len(server.sessions) == 3
    assert heard.count("Resumed") == 2
    assert heard.count("RecognitionStarted") == heard.count("EndOfTranscript") == 1


# -- loops ---------------------------------------------------------------------------------------------


def test_several_loops_in_several_threads(serve) -> None:
    server = serve()
    texts = []

    def work():
        async def main():
            async with face(server) as client:
                return [(await client.transcribe(silence(2), audio_format=PCM)).text for _ in range(3)]

        texts.extend(run(main))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == ["Good morning, and welcome"] * 12


def test_one_client_serves_one_loop_after_another(serve) -> None:
    client = face(serve())

    async def main():
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND * 2)
        await client.stop_session()
        return client.transcript.text

    assert run(main) == run(main) == "Good morning, and welcome"


def test_many_sessions_in_one_loop(serve) -> None:
    server = serve()

    async def one():
        async with face(server) as client:
            return (await client.transcribe(silence(2), audio_format=PCM)).text

    async def main():
        return await asyncio.gather(*[one() for _ in range(20)])

    assert run(main) == ["Good morning, and welcome"] * 20


IN_UVLOOP = """
import asyncio, sys, uvloop
from speechmatics_rt import AudioFormat
from speechmatics_rt.aio.client import AsyncClient

async def silence():
    for _ in range(20):
        yield bytes(3200)

async def main():
    pcm = AudioFormat("pcm_s16le", 16000)
    async with AsyncClient(url=sys.argv[1]) as client:
        await client.start_session(audio_format=pcm)
        await client.send_audio(bytes(32000))
        await client.stop_session()
        transcript = await client.transcribe(silence(), audio_format=pcm)
        print(type(asyncio.get_running_loop()).__module__, transcript)

loop = uvloop.new_event_loop()
loop.run_until_complete(main())
"""


@pytest.mark.parametrize("serve", ["ws"], indirect=True)
def test_it_works_in_uvloop(serve) -> None:
    pytest.importorskip("uvloop")
    # In a process of its own: uvloop keeps descriptors for good.
    out = subprocess.run(
        [sys.executable, "-c", IN_UVLOOP, serve().url],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert out.stdout == "uvloop Good morning, and welcome\n", out.stderr


def test_context_variables_reach_the_source_and_the_handlers(serve) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = set()

    async def source():
        seen.add(("source", tenant.get()))
        yield SECOND

    async def main():
        tenant.set("acme")
        async with face(serve()) as client:
            client.on_any(lambda message: seen.add(("handler", tenant.get())))
            await client.transcribe(source(), audio_format=PCM)

    run(main)
    assert seen == {("source", "acme"), ("handler", "acme")}


# -- programs written for the official SDK -------------------------------------------------------------

SINGLE = """
import asyncio
from speechmatics.rt import AsyncClient, ServerMessageType


async def main():
    # Create a client using environment variable SPEECHMATICS_API_KEY
    async with AsyncClient() as client:
        # Register event handlers
        @client.on(ServerMessageType.ADD_TRANSCRIPT)
        def handle_final_transcript(msg):
            print(f"Final: {msg['metadata']['transcript']}")

        # Transcribe audio file
        with open("audio.wav", "rb") as audio_file:
            await client.transcribe(audio_file)

# Run the async function
asyncio.run(main())
"""

SEVERAL = """
import asyncio
from speechmatics.rt import AsyncMultiChannelClient, ServerMessageType, TranscriptionConfig

async def main():
    # Prepare multiple audio sources
    sources = {
        "left": open("left.wav", "rb"),
        "right": open("right.wav", "rb"),
    }

    try:
        async with AsyncMultiChannelClient() as client:
            # Handle transcripts with channel identification
            @client.on(ServerMessageType.ADD_TRANSCRIPT)
            def handle_transcript(msg):
                channel = msg["results"][0]["channel"]
                transcript = msg["metadata"]["transcript"]
                print(f"[{channel}]: {transcript}")

            # Start multi-channel transcription
            await client.transcribe(
                sources,
                transcription_config=TranscriptionConfig(
                    language="en",
                    diarization="channel",
                    channel_diarization_labels=list(sources.keys()),
                )
            )
    finally:
        # Ensure all files are closed
        for source in sources.values():
            source.close()

asyncio.run(main())
"""

JWT = """
import asyncio
from speechmatics.rt import AsyncClient, JWTAuth

async def main():
    # Create JWT auth (requires: pip install 'speechmatics-rt[jwt]')
    auth = JWTAuth("your-api-key", ttl=60)

    async with AsyncClient(auth=auth) as client:
        pass
        with open("audio.wav", "rb") as audio:
            print("Final:", (await client.transcribe(audio)))

asyncio.run(main())
"""


@pytest.mark.parametrize("serve", ["ws"], indirect=True)
@pytest.mark.parametrize(
    ("program", "said"),
    # The handler of the second one looks for the channel where older services put it: a logged error.
    [(SINGLE, ["Final: Good"]), (SEVERAL, []), (JWT, ["Final: Good"])],
    ids=["single", "several", "jwt"],
)
def test_the_official_quick_starts_run_with_the_import_line_changed(
    serve, tmp_path, monkeypatch, capsys, program, said
) -> None:
    server = serve(keys=["your-api-key"])
    for name in ("audio", "left", "right"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as wav:
            wav.setparams((1, 2, 16000, 0, "NONE", ""))
            wav.writeframes(SECOND * 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHMATICS_RT_URL", server.url)
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "your-api-key")
    monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", server.url.replace("ws", "http", 1).removesuffix("/v2"))
    exec(compile(program.replace("speechmatics.rt", "speechmatics_rt"), "quick start", "exec"), {})
    out = capsys.readouterr().out
    assert all(line in out for line in said), out
    record = server.sessions[-1]
    assert record.sent[-1] == {"message": "EndOfTranscript"}
    assert sum(message["message"] == "AddTranscript" for message in record.sent) > 1


def test_the_module_is_importable_alone_and_options_are_checked_at_once() -> None:
    subprocess.run([sys.executable, "-c", "import speechmatics_rt.aio.client"], check=True)
    with pytest.raises(ConfigurationError):
        AsyncClient(auth=StaticKeyAuth("k"), api_key="k")
    with pytest.raises(ConfigurationError):
        AsyncClient(url="http://example.com")
    with pytest.raises(TypeError):
        AsyncClient().on("AddTranscript", 7)


def test_a_cancellation_of_the_task_that_delivers_is_not_taken_for_the_end_of_the_transcript(serve) -> None:
    server = serve()

    async def main():
        async def cancelled(message):
            asyncio.current_task().cancel()
            await asyncio.sleep(9)

        client = face(server)
        client.once("AddTranscript", cancelled)
        await client.start_session(audio_format=PCM)
        with pytest.raises(SessionError, match="the task that delivers"):
            for _ in range(5):
                await client.send_audio(SECOND)  # the handler may be called while these go out
            await asyncio.wait_for(client.stop_session(), 10)

    run(main)


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_a_stop_iteration_of_the_auth_is_raised_and_hangs_nobody(serve, error) -> None:
    class Spent(AuthBase):
        def get_auth_headers(self):
            raise error

    server = serve()

    async def main():
        with pytest.raises((RuntimeError, StopAsyncIteration)):
            await asyncio.wait_for(face(server, auth=Spent()).start_session(audio_format=PCM), 10)

    run(main)


def test_stop_session_in_the_body_knows_the_loop_that_waits_message_by_message(serve) -> None:
    server = serve()

    async def main():
        client = face(server)
        async with client.stream(endless(), audio_format=PCM) as messages:
            await asyncio.wait_for(messages.__anext__(), 5)  # before 3.12 in a task of its own
            await asyncio.wait_for(client.stop_session(), 5)
            kinds = [message["message"] async for message in messages]
        assert kinds[-1] == "EndOfTranscript"

    run(main)


def test_cancelling_a_call_that_would_be_refused_leaves_the_running_session_alone(serve) -> None:
    server, release = serve(), threading.Event()

    class Slow:
        def read(self, size):
            release.wait(10)
            return b""

    async def main():
        client = face(server)
        await client.start_session(audio_format=PCM)
        try:
            with pytest.raises((asyncio.TimeoutError, SessionError)):
                await asyncio.wait_for(client.transcribe(Slow(), audio_format=PCM), 0.3)
            assert client.is_connected
        finally:
            release.set()
        await client.stop_session()

    run(main)


@pytest.mark.parametrize("how", ["transcribe", "by hand", "a loop", "recorded", "heard"])
def test_what_nobody_gets_is_decoded_no_more_than_by_a_blocking_client(
    serve, tmp_path, monkeypatch, how
) -> None:
    server = serve()
    decoded: list[str] = []
    decode = codec.decode

    def counted(payload: bytes) -> dict[str, Any]:
        message = decode(payload)
        decoded.append(message["message"])
        return message

    def share_decoded() -> dict[str, tuple[bool, bool]]:
        """Of each kind: whether any was decoded, and whether all that the server said in the last session."""
        said = server.sessions[-1].said
        kinds = ("AddTranscript", "AddPartialTranscript")
        share = {kind: (kind in decoded, decoded.count(kind) == len(said(kind))) for kind in kinds}
        decoded.clear()
        return share

    monkeypatch.setattr(codec, "decode", counted)
    options: dict[str, Any] = {"audio_format": PCM, "transcription_config": {"enable_partials": True}}

    async def main():
        async with face(server) as client:
            if how == "heard":
                client.on("AddPartialTranscript", lambda message: None)
            with Recorder(client, tmp_path / "one.jsonl") if how == "recorded" else contextlib.nullcontext():
                if how == "by hand":
                    await client.start_session(**options)
                    await client.send_audio(SECOND * 4)
                    await client.stop_session()
                elif how == "a loop":
                    async for _ in client.stream([SECOND] * 4, **options):
                        pass
                else:
                    await client.transcribe([SECOND] * 4, **options)
            return client.transcript.text

    def blocking() -> str:
        with face(server, Client) as client:
            if how == "heard":
                client.on("AddPartialTranscript", lambda message: None)
            with Recorder(client, tmp_path / "two.jsonl") if how == "recorded" else contextlib.nullcontext():
                if how == "by hand":
                    client.start_session(**options)
                    client.send_audio(SECOND * 4)
                    client.stop_session()
                elif how == "a loop":
                    for _ in client.stream([SECOND] * 4, **options):
                        pass
                else:
                    client.transcribe([SECOND] * 4, **options)
            return client.transcript.text

    assert run(main) == FIRST_WORDS
    of_a_loop = share_decoded()
    assert blocking() == FIRST_WORDS
    assert share_decoded() == of_a_loop
