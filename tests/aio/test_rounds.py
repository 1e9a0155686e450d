"""What a handler, or the body of a loop, does by tasks that it awaits; and tasks that outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys

import pytest

from speechmatics_rt import AsyncMultiChannelClient, SessionError
from speechmatics_rt.aio import baseclient
from speechmatics_rt.aio.rounds import Round
from speechmatics_rt.local import Fault

from ..held import HeldEngine
from .test_aio import PCM, SECOND, face, run, until

ASKED = {"audio_format": PCM, "transcription_config": {"language": "en", "diarization": "speaker"}}


async def rapid():
    """Audio without end, twenty times as fast as it is spoken."""
    while True:
        await asyncio.sleep(0.01)
        yield SECOND[:6400]


async def itself(call):
    return await call


async def gathered(call):
    return (await asyncio.gather(call))[0]


async def timed(call):
    return await asyncio.wait_for(call, 30)


async def as_a_task(call):
    return await asyncio.ensure_future(call)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what waits for itself find that out sooner: that lasts its whole time, however long it is."""
    monkeypatch.setattr(baseclient, "PATIENCE", 0.05)


WAYS = [itself, gathered, timed, as_a_task]
# How tasks begin: with the loop's next step, or at once.
BEGINNINGS = [None, *([asyncio.eager_task_factory] if sys.version_info >= (3, 12) else [])]


async def by_hand(client, source):
    await client.start_session(**ASKED)
    async for chunk in source:
        if not client.is_connected:
            break
        try:
            await client.send_audio(chunk)
        except SessionError:  # a handler has stopped it
            break
    await client.stop_session()


async def in_one_call(client, source):
    await client.transcribe(source, **ASKED)


async def iterated(client, source):
    async for _ in client.stream(source, **ASKED):
        pass


# -- stopping ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("session", [by_hand, in_one_call, iterated])
@pytest.mark.parametrize("way", WAYS)
def test_a_handler_may_stop_the_session_whatever_it_awaits_that_by(serve, session, way) -> None:
    stopped, kinds = [], []

    async def main():
        client = face(serve())

        @client.once("AddTranscript")
        async def stop(message):
            await way(client.stop_session())
            stopped.append(list(kinds))

        client.on_any(lambda message: kinds.append(message["message"]))
        await asyncio.wait_for(session(client, rapid()), 20)

    run(main)
    assert len(stopped) == 1
    assert "EndOfTranscript" not in stopped[0]
    assert kinds[-1] == "EndOfTranscript"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("what", ["messages", "utterances"])
@pytest.mark.parametrize("way", WAYS)
def test_the_body_of_a_loop_may_stop_the_session_whatever_it_awaits_that_by(serve, what, way) -> None:
    async def main():
        client, stopped = face(serve()), False
        iterator = client.utterances if what == "utterances" else client.stream
        async for _ in iterator(rapid(), audio_format=PCM):
            if not stopped and client.transcript.text:
                await way(client.stop_session())
                stopped = True
        assert stopped
        assert client.stats.progress == 1.0

    run(lambda: asyncio.wait_for(main(), 20))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", WAYS)
def test_so_may_one_with_several_channels(serve, way) -> None:
    async def main():
        client = face(serve(), AsyncMultiChannelClient)

        @client.once("AddTranscript")
        async def stop(message):
            await way(client.stop_session())

        await client.transcribe({"a": rapid(), "b": SECOND}, audio_format=PCM)

    run(lambda: asyncio.wait_for(main(), 20))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", WAYS)
def test_a_handler_may_leave_the_block_of_its_client(serve, way) -> None:
    async def main():
        client, left, done = face(serve()), asyncio.Event(), asyncio.Event()
        await client.__aenter__()

        @client.once("AddTranscript")
        async def leave(message):
            await way(client.__aexit__(None, None, None))
            left.set()

        client.on("EndOfTranscript", lambda message: done.set())
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND * 3)
        await left.wait()
        await done.wait()
        await client.close()

    run(lambda: asyncio.wait_for(main(), 20))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", WAYS)
def test_a_handler_of_the_last_event_may_stop_a_stream_that_another_task_closes(serve, way) -> None:
    async def main():
        client, stopped = face(serve()), []

        @client.on("SessionEnded")
        async def stop(message):
            await way(client.stop_session())
            stopped.append(True)

        messages = client.stream(rapid(), audio_format=PCM)
        await messages.__anext__()
        await contextvars.Context().run(asyncio.ensure_future, messages.close())
        assert stopped

    run(lambda: asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("session", [by_hand, in_one_call, iterated])
def test_a_task_that_a_handler_begins_and_leaves_behind_waits_for_the_rest(serve, session) -> None:
    ended = []

    async def main():
        client = face(serve())
        client.on("EndOfTranscript", lambda message: ended.append("EndOfTranscript"))

        async def finish():
            called.set()
            await client.stop_session()
            ended.append("stopped")

        @client.once("AddTranscript")
        async def begin(message):
            tasks.append(asyncio.ensure_future(finish()))
            await called.wait()  # so that the handler still runs then

        called = asyncio.Event()
        tasks: list[asyncio.Future[None]] = []
        await session(client, rapid())
        await tasks[0]

    run(lambda: asyncio.wait_for(main(), 20))
    assert ended == ["EndOfTranscript", "stopped"]


def test_a_task_that_the_body_of_a_loop_begins_and_leaves_behind_waits_for_the_rest(serve) -> None:
    ended = []

    async def main():
        client, task, called = face(serve()), None, asyncio.Event()

        async def finish():
            called.set()
            await client.stop_session()
            ended.append("stopped")

        async for message in client.stream(rapid(), audio_format=PCM):
            if message["message"] == "AddTranscript" and task is None:
                task = asyncio.ensure_future(finish())
                await called.wait()
            elif message["message"] == "EndOfTranscript":
                ended.append("EndOfTranscript")
        await task

    run(lambda: asyncio.wait_for(main(), 20))
    assert ended == ["EndOfTranscript", "stopped"]


@pytest.mark.parametrize("session", [by_hand, in_one_call, iterated])
@pytest.mark.parametrize("begins", BEGINNINGS)
def test_however_tasks_begin_those_of_a_handler_wait_unless_it_awaits_them(serve, session, begins) -> None:
    ended = []

    async def main():
        asyncio.get_running_loop().set_task_factory(begins)
        client, tasks = face(serve()), []

        async def finish():
            await client.stop_session()
            ended.append("stopped")

        client.once("AddTranscript", lambda message: tasks.append(asyncio.ensure_future(finish())))
        client.on("EndOfTranscript", lambda message: ended.append("EndOfTranscript"))
        await session(client, rapid())
        await tasks[0]

        again = face(serve())

        @again.once("AddTranscript")
        async def stop(message):
            await asyncio.ensure_future(again.stop_session())

        await session(again, rapid())

    run(lambda: asyncio.wait_for(main(), 20))
    assert ended == ["EndOfTranscript", "stopped"]


def test_who_waits_for_a_message_and_something_else_may_stop_the_session(serve) -> None:
    async def main():
        client, kinds = face(serve()), []
        async with client.stream(rapid(), audio_format=PCM) as messages:
            kinds.append((await messages.__anext__())["message"])
            coming = asyncio.ensure_future(messages.__anext__())
            await client.stop_session()
            kinds.append((await coming)["message"])
            kinds += [message["message"] async for message in messages]
        assert kinds[-1] == "EndOfTranscript"

    run(lambda: asyncio.wait_for(main(), 20))


def test_so_may_who_waits_for_the_first_message_while_the_session_is_opened(serve) -> None:
    engine = HeldEngine("start")
    server = serve(engine)

    async def main():
        client, kinds = face(server), []
        async with contextlib.AsyncExitStack() as stack:
            messages = client.stream(SECOND, audio_format=PCM)
            stack.push_async_callback(messages.close)
            coming = asyncio.ensure_future(messages.__anext__())
            await until(lambda: client.is_connected)
            await client.stop_session()
            engine.let_go.set()
            kinds.append((await coming)["message"])
            kinds += [message["message"] async for message in messages]
        assert kinds[-1] == "EndOfTranscript"

    run(lambda: asyncio.wait_for(main(), 20))


def test_the_body_of_a_loop_over_a_generator_over_a_stream_may_stop_the_session(serve) -> None:
    async def main():
        client = face(serve())

        async def passed_on():
            async for message in client.stream(rapid(), audio_format=PCM):
                yield message

        messages = passed_on()
        await asyncio.wait_for(messages.__anext__(), 10)  # before 3.12 in a task of its own
        await client.stop_session()
        kinds = [message["message"] async for message in messages]
        assert kinds[-1] == "EndOfTranscript"

    run(lambda: asyncio.wait_for(main(), 20))


def test_a_handler_may_stop_the_session_of_a_loop_that_waits_message_by_message(serve) -> None:
    async def main():
        client, stopped = face(serve()), []

        @client.once("RecognitionStarted")
        async def stop(message):
            await client.stop_session()
            stopped.append(True)

        messages = client.stream(rapid(), audio_format=PCM)
        with pytest.raises(StopAsyncIteration):
            while True:
                await asyncio.wait_for(messages.__anext__(), 10)  # before 3.12 in a task of its own
        assert stopped

    run(lambda: asyncio.wait_for(main(), 20))


def test_a_handler_may_stop_a_stream_that_another_task_runs_to_its_end(serve) -> None:
    async def main():
        client = face(serve())

        @client.once("AddTranscript")
        async def stop(message):
            await asyncio.gather(client.stop_session())

        messages = client.stream(rapid(), audio_format=PCM)
        await messages.__anext__()
        assert await contextvars.Context().run(asyncio.ensure_future, messages.finish())

    run(lambda: asyncio.wait_for(main(), 20))


def test_a_stop_that_is_cancelled_while_a_handler_still_runs_closes_the_session(serve) -> None:
    server = serve(faults=[Fault.no_end()])

    async def main():
        client, release, tasks = face(server), asyncio.Event(), []

        @client.once("AddTranscript")
        async def begin(message):
            tasks.append(asyncio.ensure_future(client.stop_session()))
            await release.wait()

        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND * 3)
        await until(lambda: tasks)
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert not client.is_connected
        release.set()

    run(main)


# -- asking --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("question", ["get_speakers", "finalize"])
@pytest.mark.parametrize("where", ["handler", "body"])
@pytest.mark.parametrize("way", WAYS)
def test_a_question_that_waits_for_itself_is_refused_whatever_it_is_awaited_by(
    serve, question, where, way
) -> None:
    async def main():
        client, refused = face(serve()), []

        async def ask(message):
            with pytest.raises(SessionError, match="can't wait for the answer"):
                await way(getattr(client, question)(timeout=30))
            refused.append(True)

        if where == "handler":
            client.once("RecognitionStarted", ask)
            await by_hand(client, silence_of_a_second())
        else:
            async for message in client.stream(SECOND, **ASKED):
                if message["message"] == "RecognitionStarted":
                    await ask(message)
        assert refused

    run(lambda: asyncio.wait_for(main(), 20))


async def silence_of_a_second():
    yield SECOND


def test_a_task_that_a_handler_begins_and_leaves_behind_gets_its_answer(serve) -> None:
    async def main():
        client, tasks, called = face(serve()), [], asyncio.Event()

        async def ask():
            called.set()
            return await client.get_speakers(timeout=30)

        @client.once("RecognitionStarted")
        async def begin(message):
            tasks.append(asyncio.ensure_future(ask()))
            await called.wait()

        await client.start_session(**ASKED)
        answer = await tasks[0]
        assert answer["message"] == "SpeakersResult"
        await client.stop_session()

    run(lambda: asyncio.wait_for(main(), 20))


# -- several clients -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", WAYS)
def test_a_session_within_a_handler_of_another_one_may_stop_either(serve, way) -> None:
    server = serve()

    async def main():
        outer, inner, stopped = face(server), face(server), []

        @outer.once("AddTranscript")
        async def within(message):
            async for _ in inner.stream(rapid(), audio_format=PCM):
                if not stopped:
                    await way(inner.stop_session())
                    await way(outer.stop_session())
                    stopped.append(True)

        await outer.transcribe(rapid(), audio_format=PCM)
        assert stopped
        assert inner.stats.progress == outer.stats.progress == 1.0

    run(lambda: asyncio.wait_for(main(), 20))


def test_a_handler_waits_for_the_rest_of_another_clients_session(serve) -> None:
    server = serve()

    async def main():
        outer, inner = face(server), face(server)
        await inner.start_session(audio_format=PCM)
        await inner.send_audio(SECOND * 3)

        @outer.once("AddTranscript")
        async def within(message):
            await asyncio.gather(inner.stop_session())
            assert inner.stats.progress == 1.0

        await outer.transcribe(SECOND * 3, audio_format=PCM)
        assert not inner.is_connected

    run(lambda: asyncio.wait_for(main(), 20))


# -- what is kept --------------------------------------------------------------------------------------


def test_no_more_rounds_are_kept_than_there_are_loops_within_each_other(serve) -> None:
    server = serve()

    def kept():
        return [
            one for value in contextvars.copy_context().values() if isinstance(value, tuple) for one in value
        ]

    async def main():
        client, most = face(server), []
        for _ in range(5):
            async for _ in client.stream(SECOND * 3, audio_format=PCM):
                most.append(sum(isinstance(one, Round) for one in kept()))
            async for _ in client.utterances(SECOND * 3, audio_format=PCM, partials=True):
                most.append(sum(isinstance(one, Round) for one in kept()))
            messages = client.stream(SECOND * 3, audio_format=PCM)
            await messages.__anext__()
            await messages.close()
        assert max(most) <= 2  # the last round of what was before, until the next one begins

    run(main)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("what", ["stream", "utterances"])
@pytest.mark.parametrize("way", WAYS)
def test_who_has_entered_a_stream_may_stop_it_before_the_first_message(serve, what, way) -> None:
    server = serve()

    async def main():
        async with face(server) as client, getattr(client, what)(SECOND, **ASKED) as entered:
            with pytest.raises(SessionError, match="wait"):
                await client.get_speakers()
            await asyncio.wait_for(way(client.stop_session()), 10)
            return [one async for one in entered]

    assert run(main)


def test_who_has_entered_a_stream_waits_for_its_end_if_another_task_iterates(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client, client.stream(rapid(), **ASKED) as entered:

            async def iterate():
                return [message["message"] async for message in entered]

            iterating = asyncio.ensure_future(iterate())
            assert (await client.get_speakers())["message"] == "SpeakersResult"
            await client.stop_session()
            assert client._behind._session.delivery.over.is_set()
            return await iterating

    assert run(main)[-1] == "EndOfTranscript"
