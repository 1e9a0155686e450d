"""Several tasks with one client; and calls that are cancelled, or closed by another task."""

from __future__ import annotations

import asyncio
import contextvars
import random
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AuthBase,
    ChunkError,
    Client,
    ConfigurationError,
    NotRunningError,
    SessionError,
    TimeoutError,
)
from speechmatics_rt.local import Fault

from .test_aio import PCM, SECOND, endless, face, run, until

EXPLAINED = {"language": "en", "diarization": "speaker"}


async def cancelled(call: Any) -> None:
    """Cancel a call while it waits."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(call, 0.2)


# -- whose session it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["transcribe", "start_session"])
def test_cancelling_a_call_that_is_refused_leaves_the_session_of_another_task_alone(serve, what) -> None:
    ended = []

    async def main():
        client, enough = face(serve()), asyncio.Event()

        async def speech():
            yield 4 * SECOND
            await enough.wait()

        client.on("SessionEnded", lambda event: ended.append(event["error"]))
        first = asyncio.ensure_future(client.transcribe(speech(), audio_format=PCM))
        await until(lambda: client.audio_bytes_sent)
        for steps in range(6):
            if what == "transcribe":
                second = asyncio.ensure_future(client.transcribe(SECOND, audio_format=PCM))
            else:
                second = asyncio.ensure_future(client.start_session(audio_format=PCM))
            for _ in range(steps):
                await asyncio.sleep(0)
            second.cancel()
            with pytest.raises((asyncio.CancelledError, SessionError)):
                await second
        enough.set()
        assert (await first).text
        return client

    run(main)
    assert ended == [None]


@pytest.mark.parametrize("seed", range(4))
def test_whichever_calls_are_cancelled_no_other_notices_and_each_session_ends_once(serve, seed) -> None:
    moments = random.Random(seed)
    server = serve()
    started, ended, outcomes = [], [], []

    async def speech():
        for _ in range(moments.randrange(1, 6)):
            await asyncio.sleep(moments.uniform(0, 0.02))
            yield SECOND[:6400]

    async def session(client, how):
        if how == "transcribe":
            await client.transcribe(speech(), audio_format=PCM)
        elif how == "stream":
            async with client.stream(speech(), audio_format=PCM) as messages:
                async for _ in messages:
                    pass
        else:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await client.stop_session()

    async def attempt(client, how, begin, patience):
        await asyncio.sleep(begin)
        call = asyncio.ensure_future(session(client, how))
        if patience is not None:
            await asyncio.sleep(patience)
            call.cancel()
        try:
            await call
            outcomes.append("complete")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
        except SessionError as error:
            outcomes.append("refused" if "already running" in str(error) else str(error))

    async def main():
        client = face(server)
        client.on("RecognitionStarted", started.append)
        client.on("SessionEnded", lambda event: ended.append(event["error"]))
        ways = [moments.choice(["transcribe", "stream", "by hand"]) for _ in range(30)]
        patience = [None, None, None, 0, 0, 0.001, 0.01]
        times = [(moments.uniform(0, 0.5), moments.choice(patience)) for _ in ways]
        await asyncio.gather(*(attempt(client, how, *time) for how, time in zip(ways, times)))
        await until(lambda: not client.is_connected)

    run(main)
    assert set(outcomes) <= {"complete", "cancelled", "refused"}
    assert set(ended) == {None}
    assert len(started) <= len(ended) <= outcomes.count("complete") + outcomes.count("cancelled")


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "in one call"])
def test_a_call_that_is_cancelled_while_it_opens_a_session_tells_its_end_once(serve, by_hand) -> None:
    server = serve(faults=[Fault.no_start()])
    ended = []

    async def main():
        client = face(server)
        client.on("SessionEnded", lambda event: ended.append(event["error"]))
        if by_hand:
            call = asyncio.ensure_future(client.start_session(audio_format=PCM))
        else:
            call = asyncio.ensure_future(client.transcribe(SECOND, audio_format=PCM))
        await until(lambda: server.sessions)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.close()
        assert not client.is_connected

    run(main)
    assert ended == [None]


def test_a_second_session_waits_for_a_handler_of_the_last_message_that_is_awaited(serve) -> None:
    async def main():
        client = face(serve())
        inside, release = asyncio.Event(), asyncio.Event()

        async def last(message):
            inside.set()
            await release.wait()

        client.once("EndOfTranscript", last)
        first = asyncio.ensure_future(client.transcribe(SECOND, audio_format=PCM))
        await inside.wait()
        with pytest.raises(SessionError, match="already running"):
            await client.transcribe(SECOND, audio_format=PCM)
        release.set()
        assert await first
        assert await client.transcribe(SECOND, audio_format=PCM)

    run(main)


@pytest.mark.parametrize("event", ["EndOfTranscript", "SessionEnded"])
@pytest.mark.parametrize("how", ["itself", "wait_for", "a task"])
def test_a_last_handler_may_start_the_next_session_by_a_task_of_its_own(serve, event, how) -> None:
    server = serve()

    async def main():
        client = face(server)

        async def again(message):
            call = client.start_session(audio_format=PCM)
            if how == "wait_for":
                call = asyncio.wait_for(call, 10)
            elif how == "a task":
                call = asyncio.ensure_future(call)
            await call

        client.once(event, again)
        await client.transcribe(SECOND, audio_format=PCM)
        await client.send_audio(SECOND)
        await client.stop_session()

    run(main)
    assert len(server.sessions) == 2


def test_who_waits_message_by_message_may_start_the_next_session_after_the_last_one(serve) -> None:
    async def main():
        client = face(serve())
        messages = client.stream(SECOND, audio_format=PCM)
        while (await asyncio.wait_for(messages.__anext__(), 10))["message"] != "EndOfTranscript":
            pass
        assert await client.transcribe(SECOND, audio_format=PCM)
        await messages.close()

    run(main)


def test_between_two_messages_that_are_waited_for_one_by_one_other_tasks_ask_and_get_answers(serve) -> None:
    async def main():
        client = face(serve())
        options = {"audio_format": PCM, "transcription_config": EXPLAINED}
        begun, asked = asyncio.Event(), asyncio.Event()

        async def ask():
            await begun.wait()
            asking = asyncio.ensure_future(client.get_speakers(timeout=10))
            await asyncio.sleep(0.01)
            asked.set()
            return await asking

        other = asyncio.ensure_future(ask())
        async with client.stream(endless(), **options) as messages:
            while not other.done():
                await asyncio.wait_for(messages.__anext__(), 5)  # before 3.12 in a task of its own
                begun.set()
                await asked.wait()
            assert (await other)["message"] == "SpeakersResult"
            with pytest.raises(SessionError, match="wait for the answer"):
                await client.get_speakers()

    run(main)


def test_who_stops_between_two_messages_that_are_waited_for_one_by_one_waits_for_the_rest(serve) -> None:
    async def main():
        client = face(serve())
        async with client.stream(endless(), audio_format=PCM) as messages:
            await asyncio.wait_for(messages.__anext__(), 5)
            stopping = contextvars.Context().run(asyncio.ensure_future, client.stop_session())
            await asyncio.sleep(0.05)
            assert not stopping.done()
            kinds = [message["message"] async for message in messages]
            assert kinds[-1] == "EndOfTranscript"
            await stopping

    run(main)


# -- the order of what is sent -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop_session", "leaving the block", "stop_session in a handler"])
def test_a_cancelled_send_goes_before_the_end_of_the_audio(serve, how) -> None:
    server = serve(faults=[Fault.late_acks(0.5)])
    chunks = [bytes([number]) * 3200 for number in range(3)]

    async def main():
        async with face(server, window_frames=1) as client:
            done = asyncio.Event()

            async def stop(message):
                await client.stop_session()
                done.set()

            await client.start_session(audio_format=PCM)
            await client.send_audio(chunks[0])
            for chunk in chunks[1:]:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.send_audio(chunk), 0.02)
            if how == "stop_session":
                await client.stop_session()
                assert client.audio_bytes_sent == 9600
            elif how == "stop_session in a handler":
                client.once("AudioAdded", stop)
                await done.wait()

    run(main)
    assert server.sessions[0].audio == b"".join(chunks)


@pytest.mark.parametrize("channels", [False, True], ids=["one source", "two"])
@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_chunk_whose_call_was_cancelled_is_sent_as_it_was_whatever_its_buffer_holds_then(
    serve, channels, kind
) -> None:
    server = serve(faults=[Fault.late_acks(0.1)])
    chunks = [bytes([number]) * 3200 for number in range(6)]

    async def main():
        buffer, late = bytearray(3200), 0
        async with face(
            server, AsyncMultiChannelClient if channels else AsyncClient, window_frames=1
        ) as client:
            await client.start_session(**({"channels": ["a"]} if channels else {}), audio_format=PCM)
            for chunk in chunks:
                buffer[:] = chunk
                given = (*(["a"] if channels else []), kind(buffer) if kind is memoryview else buffer)
                try:
                    await asyncio.wait_for(client.send_audio(*given), 0.02)
                except asyncio.TimeoutError:
                    late += 1
            buffer[:] = bytes([99]) * 3200
            await client.stop_session()
        assert late

    run(main)
    assert server.sessions[0].audio_of("a" if channels else None) == b"".join(chunks)


def test_a_wrong_chunk_is_refused_at_once_whatever_waits_to_be_sent(serve) -> None:
    async def main():
        client = face(serve(faults=[Fault.no_acks()]), window_frames=1)
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        await cancelled(client.send_audio(SECOND))
        for wrong in (bytes(3), "text"):
            with pytest.raises(ChunkError):
                await asyncio.wait_for(client.send_audio(wrong), 5)
        await client.close()

    run(main)


def test_a_wrong_chunk_is_refused_without_waiting_for_what_is_still_to_be_heard(serve) -> None:
    async def main():
        async with face(serve()) as client:
            await client.start_session(audio_format=PCM)
            started = []
            threading.setprofile(lambda *args: started.append(args))  # set in threads that start from here on
            try:
                with pytest.raises(ChunkError):
                    await client.send_audio(bytes(3))
            finally:
                threading.setprofile(None)
            assert not started

    run(main)


def test_a_message_whose_call_was_cancelled_is_sent_as_it_was(serve) -> None:
    server = serve(faults=[Fault.late_acks(0.1)])

    async def main():
        async with face(server, window_frames=1) as client:
            await client.start_session(audio_format=PCM, transcription_config=EXPLAINED)
            await client.send_audio(SECOND)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.send_audio(SECOND), 0.02)
            volume = {"volume_threshold": 3}
            settings = {"language": "en", "audio_filtering_config": volume}
            message = {"message": "SetRecognitionConfig", "transcription_config": settings}
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.send_message(message), 0.02)
            volume["volume_threshold"] = 50
            message["message"] = "EndOfStream"
            await client.stop_session()

    run(main)
    changes = [m for m in server.sessions[0].messages if m["message"] == "SetRecognitionConfig"]
    assert [m["transcription_config"]["audio_filtering_config"] for m in changes] == [{"volume_threshold": 3}]


def test_a_wrong_message_is_refused_at_once_whatever_waits_to_be_sent(serve) -> None:
    async def main():
        client = face(serve(faults=[Fault.no_acks()]), window_frames=1)
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        await cancelled(client.send_audio(SECOND))
        for wrong in ({"message": "EndOfStream"}, {"message": "GetSpeakers", "final": b""}):
            with pytest.raises(ConfigurationError):
                await asyncio.wait_for(client.send_message(wrong), 5)
        await client.close()

    run(main)


def test_a_wrong_label_is_refused_at_once_whatever_waits_to_be_sent(serve) -> None:
    async def main():
        client = face(serve(faults=[Fault.no_acks()]), AsyncMultiChannelClient, window_frames=1)
        await client.start_session(channels=["a"], audio_format=PCM)
        await client.send_audio("a", SECOND)
        await cancelled(client.send_audio("a", SECOND))
        for call in (
            client.end_channel(7),
            client.force_end_of_utterance(channel=""),
            client.finalize(channel=7),
        ):
            with pytest.raises(ConfigurationError, match="channel is"):
                await asyncio.wait_for(call, 5)
        await client.close()

    run(main)


def test_the_time_of_stop_session_covers_what_is_still_to_be_sent(serve) -> None:
    async def main():
        client = face(serve(faults=[Fault.no_acks()]), window_frames=1)
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        await cancelled(client.send_audio(SECOND))
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"within 0\.3 s") as caught:
            await client.stop_session(timeout=0.3)
        assert caught.value.stage == "end"
        assert 0.2 < time.monotonic() - began < 3
        assert not client.is_connected

    run(main)


def test_stop_session_that_is_cancelled_while_a_chunk_waits_closes_the_session(serve) -> None:
    async def main():
        client = face(serve(faults=[Fault.no_acks()]), window_frames=1)
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        sending = asyncio.ensure_future(client.send_audio(SECOND))
        await asyncio.sleep(0.05)
        await cancelled(client.stop_session())
        assert not client.is_connected
        with pytest.raises(NotRunningError):
            await sending

    run(main)


def test_the_end_of_a_channel_comes_after_its_audio(serve) -> None:
    server = serve(faults=[Fault.late_acks(0.1)])

    async def main():
        async with face(server, AsyncMultiChannelClient, window_frames=1) as client:
            await client.start_session(channels=["a", "b"], audio_format=PCM)
            await client.send_audio("a", SECOND)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.send_audio("a", SECOND), 0.02)
            await client.end_channel("a")
            await client.stop_session()
            assert client.audio_bytes_sent == 64000

    run(main)


# -- what waits on the loop ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_headers_that_are_awaited_for_ever_are_given_up(serve, how) -> None:
    class Slow(AuthBase):
        async def get_auth_headers(self):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.append(True)

    given_up: list[bool] = []
    began = threading.Event()

    async def main():
        client = face(serve(), auth=Slow(), open_timeout=None)
        call = asyncio.ensure_future(client.transcribe(SECOND, audio_format=PCM))
        await until(began.is_set)
        if how == "close":
            await client.close()
            with pytest.raises(SessionError, match="closed while it was being opened"):
                await asyncio.wait_for(call, 5)
        else:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await until(lambda: given_up)

    run(main)


@pytest.mark.parametrize("channels", [False, True], ids=["one source", "two"])
def test_a_first_block_that_never_comes_is_given_up_by_close(serve, channels) -> None:
    async def main():
        began = asyncio.Event()

        async def never():
            began.set()
            await asyncio.Event().wait()
            yield b""

        if channels:
            client = face(serve(), AsyncMultiChannelClient)
            call = asyncio.ensure_future(client.transcribe({"a": never(), "b": SECOND}, audio_format=PCM))
        else:
            client = face(serve())
            call = asyncio.ensure_future(client.transcribe(never(), audio_format=PCM))
        await began.wait()
        await client.close()
        with pytest.raises(SessionError, match="ended while its audio source was being read"):
            await asyncio.wait_for(call, 5)

    run(main)


def test_close_ends_every_call_that_waits_for_its_first_block(serve) -> None:
    async def main():
        begun = []

        async def never():
            begun.append(True)
            await asyncio.Event().wait()
            yield b""

        client = face(serve())
        calls = [asyncio.ensure_future(client.transcribe(never(), audio_format=PCM)) for _ in range(2)]
        await until(lambda: len(begun) == 2)
        await client.close()
        done, _ = await asyncio.wait(calls, timeout=5)
        assert [type(call.exception()) for call in done] == [SessionError, SessionError]

    run(main)


def test_a_source_that_is_silent_is_read_no_more_once_its_session_was_closed(serve) -> None:
    async def main():
        reached, given_up = asyncio.Event(), asyncio.Event()

        async def silent():
            yield SECOND
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()

        client = face(serve())
        messages = client.stream(silent(), audio_format=PCM)
        await messages.__anext__()
        await reached.wait()
        await client.close()
        with pytest.raises(SessionError):
            async for _ in messages:
                pass
        await asyncio.wait_for(given_up.wait(), 5)

    run(main)


def test_a_question_that_is_cancelled_leaves_no_thread_behind(serve) -> None:
    def waiting():
        return [thread.name for thread in threading.enumerate() if thread.name == "speechmatics-rt-aio-wait"]

    async def main():
        async with face(serve(faults=[Fault.silence()])) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await cancelled(client.finalize(timeout=None))
            await cancelled(client.get_speakers(timeout=None))
            await until(lambda: not waiting())
            await client.close()

    run(main)


# -- how headers are given -----------------------------------------------------------------------------


class Fetches(AuthBase):
    """A plain method that returns what is to be awaited."""

    def get_auth_headers(self):
        return self.fetch()

    async def fetch(self):
        await asyncio.sleep(0)
        return {"Authorization": "Bearer good"}


def test_a_plain_method_may_return_headers_that_are_to_be_awaited(serve) -> None:
    server = serve(keys=["good"])

    async def main():
        async with face(server, auth=Fetches()) as client:
            assert await client.transcribe(SECOND, audio_format=PCM)

    run(main)
    with pytest.raises(ConfigurationError, match=r"Fetches\.get_auth_headers\(\) returned a coroutine"):
        face(server, Client, auth=Fetches()).transcribe(SECOND, audio_format=PCM)


def test_a_plain_method_still_runs_on_a_thread_and_is_left_behind_at_its_deadline(serve) -> None:
    release = threading.Event()

    class Stuck(AuthBase):
        def get_auth_headers(self):
            threads.append(threading.get_ident())
            release.wait(10)
            return {}

    threads: list[int] = []

    async def main():
        with pytest.raises(TimeoutError, match=r"get_auth_headers\(\) of Stuck did not return within \d"):
            await face(serve(), auth=Stuck(), open_timeout=0.2).start_session(audio_format=PCM)

    try:
        run(main)
    finally:
        release.set()
    assert threads != [threading.get_ident()]


def test_what_are_no_headers_is_told_by_the_name_of_the_auth(serve) -> None:
    class Nothing(AuthBase):
        async def get_auth_headers(self):
            return None

    async def main():
        with pytest.raises(ConfigurationError, match=r"Nothing\.get_auth_headers\(\) returned a NoneType"):
            await face(serve(), auth=Nothing()).start_session(audio_format=PCM)

    run(main)


CLOSED = """
import asyncio, gc, threading, time
from speechmatics_rt import AsyncClient, AudioFormat
from speechmatics_rt.local import LocalServer

def left():
    names = [one.name for one in threading.enumerate() if one.name.startswith("speechmatics-rt-")]
    return [name for name in names if "-local-" not in name]

with LocalServer() as server:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says of any task that it was destroyed
    client = AsyncClient(url=server.url)
    loop.run_until_complete(client.start_session(audio_format=AudioFormat("pcm_s16le", 16000)))
    loop.close()
    del client
    gc.collect()
    deadline = time.monotonic() + 10
    while left() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(left())
"""


def test_a_loop_that_is_closed_with_a_session_open_ends_it_without_a_complaint() -> None:
    command = [sys.executable, "-W", "ignore", "-c", CLOSED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
