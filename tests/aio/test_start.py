"""``await start_session()``: who becomes ready in a handler of the start loses no first audio."""

from __future__ import annotations

import asyncio

import pytest

from speechmatics_rt import AsyncClient, AsyncMultiChannelClient, SessionError
from speechmatics_rt.local import Fault

from ..held import HeldEngine
from .test_aio import PCM, SECOND, face, run


def test_the_handlers_of_the_start_have_run_when_start_session_returns(serve) -> None:
    server = serve()
    seen = []

    async def slow(message) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append(message["message"])

    async def main():
        for _ in range(20):
            async with face(server) as client:
                client.on("Info", lambda message: seen.append(message["message"]))
                client.on("RecognitionStarted", slow)
                await client.start_session(audio_format=PCM)
                assert "RecognitionStarted" in seen
                seen.clear()

    run(main)


def test_notices_that_come_before_the_start_are_heard_before_it_returns(serve) -> None:
    notice = {
        "message": "Info",
        "type": "concurrent_session_usage",
        "reason": "1 of 2",
        "usage": 1,
        "quota": 2,
    }
    server = serve(faults=[Fault.message(notice, at="start")])
    heard = []

    async def main():
        async with face(server) as client:
            client.on_any(lambda message: heard.append(message["message"]))
            await client.start_session(audio_format=PCM)
            assert heard[-1] == "RecognitionStarted"
            assert "Info" in heard

    run(main)


class ReadyWhenTold(AsyncClient):
    """Sends nothing before its own handler has said so, as the clients of voice agents do."""

    ready = False

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.on("RecognitionStarted", self.become_ready)

    def become_ready(self, message) -> None:
        self.ready = True

    async def send_audio(self, payload) -> None:
        if self.ready:
            await super().send_audio(payload)


def test_a_subclass_that_becomes_ready_in_a_handler_loses_no_first_audio(serve) -> None:
    server = serve()

    async def main():
        async with face(server, ReadyWhenTold) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)

    run(main)
    assert server.sessions[0].audio_of(None) == SECOND


def test_the_same_with_several_channels(serve) -> None:
    server = serve()
    started = []

    async def main():
        async with face(server, AsyncMultiChannelClient) as client:
            client.on("RecognitionStarted", started.append)
            await client.start_session(channels=["a", "b"], audio_format=PCM)
            assert started

    run(main)


def test_who_is_cancelled_while_a_handler_of_the_start_runs_leaves_no_session_open(serve) -> None:
    server = serve()

    async def main():
        client = face(server)
        entered = asyncio.Event()

        async def stuck(message) -> None:
            entered.set()
            await asyncio.sleep(60)

        client.on("RecognitionStarted", stuck)
        start = asyncio.ensure_future(client.start_session(audio_format=PCM))
        await entered.wait()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert not client.is_connected

    run(main)
    server.sessions[0].wait_closed()


def test_a_start_that_is_cancelled_twice_tells_its_end(serve) -> None:
    engine = HeldEngine(at="start")
    server = serve(engine)
    ended = []

    async def main():
        async with face(server) as client:
            client.on("SessionEnded", ended.append)
            starting = asyncio.ensure_future(client.start_session(audio_format=PCM))
            while not server.sessions:
                await asyncio.sleep(0.001)
            for _ in range(2):
                starting.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert [event["error"] for event in ended] == [None]
            engine.let_go.set()

    run(main)


def test_a_handler_of_the_start_may_stop_or_close_the_session(serve) -> None:
    server = serve()

    async def main():
        async with face(server) as client:
            client.once("RecognitionStarted", lambda message: client.request_stop())
            await client.start_session(audio_format=PCM)
            await client.stop_session()

            @client.once("RecognitionStarted")
            async def close(message) -> None:
                await client.close()

            await client.start_session(audio_format=PCM)
            with pytest.raises(SessionError):
                await client.send_audio(SECOND)

    run(main)


@pytest.mark.parametrize("how", ["starts", "stops", "leaves"])
def test_a_session_whose_loop_was_closed_is_ended_by_the_next_loop(serve, how: str) -> None:
    server = serve()
    client = face(server)
    ended = []
    client.on("SessionEnded", lambda event: ended.append(event["error"]))

    async def start() -> None:
        await client.start_session(audio_format=PCM)

    async def stop() -> None:
        with pytest.raises(SessionError, match="the event loop that delivered"):
            if how == "stops":
                await asyncio.wait_for(client.stop_session(), 10)
            else:
                await asyncio.wait_for(client.__aexit__(None), 10)

    async def again() -> None:
        if how != "starts":
            await stop()
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)
        await client.stop_session()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    delivering = client._dispatcher.task  # kept: a task that is collected would end the session itself
    loop.close()
    run(again)
    assert [type(error) for error in ended] == [SessionError, type(None)]
    assert delivering is not None
    delivering._log_destroy_pending = False
