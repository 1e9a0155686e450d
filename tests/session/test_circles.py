"""Sessions whose handlers wait for each other's: whoever would wait for himself in the end does not wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import AsyncClient, AudioFormat, Client, SessionError
from speechmatics_rt.session.stages import Delivery, waiting

from ..aio.test_aio import face, run
from ..samples import tried

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
TEXT = "Good morning, and welcome to the reading room."
PATIENCE = 30.0  # seconds, of what would take for ever


def is_over(client: Client) -> bool:
    return client._session is not None and client._session.delivery.over.is_set()


def started(client: Client) -> None:
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 4)


def within(work: Callable[[], object]) -> None:
    """Do something on a thread of its own, which may be left there."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # not swallowed: raised below
            failures.append(exc)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for itself"
    if failures:
        raise failures[0]


class Stopping:
    """A handler that stops the session of another client, once those of all others are about to."""

    def __init__(self, other: Client, together: threading.Barrier) -> None:
        self._other, self._together = other, together
        self.waited: list[bool] = []

    def __call__(self, message: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            self._together.wait(5)
        self._other.stop_session()
        self.waited.append(is_over(self._other))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("event", ["AddTranscript", "EndOfTranscript", "SessionEnded"])
def test_of_handlers_that_stop_each_others_sessions_one_does_not_wait(
    serve, client_of, event: str, count: int
) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(count)]
    together = threading.Barrier(count)
    handlers = [Stopping(other, together) for other in (*clients[1:], clients[0])]
    for client, handler in zip(clients, handlers):
        client.once(event, handler)
        started(client)
    for client in clients:
        client.request_stop()
    within(lambda: [client.stop_session() for client in clients])
    assert [client.transcript.text for client in clients] == [TEXT] * count
    assert sorted(handler.waited for handler in handlers) == [[False], *[[True]] * (count - 1)]


def test_so_it_is_of_more_sessions_than_have_threads_of_their_own(serve, client_of) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(12)]
    waited = []

    def stop(other: Client) -> Callable[[Any], None]:
        def handler(message: Any) -> None:
            other.stop_session()
            waited.append(is_over(other))

        return handler

    for client, other in zip(clients, (*clients[1:], clients[0])):
        client.once("EndOfTranscript", stop(other))
        started(client)
    within(lambda: [client.stop_session() for client in clients])
    assert [client.transcript.text for client in clients] == [TEXT] * 12
    assert sorted(waited) == [False, *[True] * 11]


def test_the_body_of_a_loop_and_a_handler_may_stop_each_others_sessions(serve, client_of) -> None:
    server = serve()
    loop, hand = client_of(server), client_of(server)
    hand.on("SessionEnded", lambda event: loop.stop_session())
    started(hand)

    def work() -> None:
        for message in loop.stream(SECOND * 10, audio_format=PCM):
            if message["message"] == "AddTranscript":
                hand.stop_session()

    within(work)
    assert hand.transcript.text == TEXT
    assert loop.transcript.text


def test_a_with_block_in_a_handler_does_not_wait_for_who_waits_for_it(serve, client_of) -> None:
    server = serve()
    outer, inner = client_of(server), client_of(server)
    inner.once("EndOfTranscript", lambda message: outer.stop_session())

    def run_another(message: Any) -> None:
        with inner:
            started(inner)

    outer.once("AddTranscript", run_another)
    started(outer)
    within(outer.stop_session)
    assert [outer.transcript.text, inner.transcript.text] == [TEXT] * 2


def test_who_waits_for_a_circle_from_outside_waits_for_its_end(serve, client_of) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(2)]
    outside = client_of(server)
    together = threading.Barrier(2)
    for client, other in zip(clients, reversed(clients)):
        client.once("EndOfTranscript", Stopping(other, together))
        started(client)
    outside_waited: list[bool] = []

    def wait(message: Any) -> None:
        clients[0].stop_session()
        outside_waited.append(is_over(clients[0]))

    outside.once("AddTranscript", wait)
    started(outside)
    clients[1].request_stop()
    within(outside.stop_session)
    assert outside_waited == [True]


QUESTIONS: list[Callable[[Any], Any]] = [
    lambda client: client.get_speakers(timeout=None),
    lambda client: client.finalize(timeout=None),
]


@pytest.mark.parametrize("ask", QUESTIONS, ids=["get_speakers", "finalize"])
def test_of_handlers_that_wait_for_each_others_answers_one_is_refused(serve, client_of, ask) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(3)]
    asks = [ask, *QUESTIONS]
    together, asked = threading.Barrier(3), threading.Semaphore(0)
    refused: list[str] = []

    def asking(other: Client, ask: Callable[[Client], Any]) -> Callable[[Any], None]:
        def handler(message: Any) -> None:
            together.wait(10)
            try:
                ask(other)
            except SessionError as exc:
                refused.append(str(exc))
            asked.release()

        return handler

    for client, other, one in zip(clients, (*clients[1:], clients[0]), asks):
        client.once("AddTranscript", asking(other, one))
        started(client)
    within(lambda: [asked.acquire(timeout=PATIENCE) for _ in clients])
    within(lambda: [client.stop_session() for client in clients])
    assert [client.transcript.text for client in clients] == [TEXT] * 3
    assert len(refused) == 1
    assert "can't wait for the answer" in refused[0]


# -- in an event loop ----------------------------------------------------------------------------------


async def plainly(stopping: Any) -> None:
    await stopping


async def in_time(stopping: Any) -> None:
    await asyncio.wait_for(stopping, 60)


async def with_more(stopping: Any) -> None:
    await asyncio.gather(asyncio.sleep(0), stopping)


async def begun(client: AsyncClient) -> None:
    await client.start_session(audio_format=PCM)
    await client.send_audio(SECOND * 4)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("how", [plainly, in_time, with_more])
@pytest.mark.parametrize("event", ["AddTranscript", "EndOfTranscript", "SessionEnded"])
def test_in_an_event_loop_one_does_not_wait_either(serve, event: str, how, count: int) -> None:
    server = serve()

    async def main() -> list[str]:
        clients = [face(server) for _ in range(count)]
        here, all_here = [], asyncio.Event()
        waited = []

        def stop(other: AsyncClient) -> Callable[[Any], Any]:
            async def handler(message: Any) -> None:
                here.append(other)
                if len(here) == count:
                    all_here.set()
                await all_here.wait()
                await how(other.stop_session())
                waited.append(is_over(other._behind))

            return handler

        for client, other in zip(clients, (*clients[1:], clients[0])):
            client.once(event, stop(other))
            await begun(client)
        for client in clients:
            client.request_stop()
        ends = [client.stop_session() for client in clients]
        await asyncio.wait_for(asyncio.gather(*ends), PATIENCE)
        assert sorted(waited) == [False, *[True] * (count - 1)]
        return [client.transcript.text for client in clients]

    assert run(main) == [TEXT] * count


def test_in_an_event_loop_a_loop_and_a_handler_may_stop_each_others_sessions(serve) -> None:
    server = serve()

    async def main() -> None:
        loop, hand = face(server), face(server)

        @hand.on("SessionEnded")
        async def stop(event: Any) -> None:
            await loop.stop_session()

        await begun(hand)

        async def work() -> None:
            async for message in loop.stream(SECOND * 10, audio_format=PCM):
                if message["message"] == "AddTranscript":
                    await hand.stop_session()

        await asyncio.wait_for(work(), PATIENCE)
        assert hand.transcript.text == TEXT
        assert loop.transcript.text

    run(main)


def test_in_an_event_loop_an_async_with_in_a_handler_does_not_wait_for_who_waits_for_it(serve) -> None:
    server = serve()

    async def main() -> list[str]:
        outer, inner = face(server), face(server)

        @inner.once("EndOfTranscript")
        async def stop(message: Any) -> None:
            await outer.stop_session()

        @outer.once("AddTranscript")
        async def run_another(message: Any) -> None:
            async with inner:
                await begun(inner)

        await begun(outer)
        await asyncio.wait_for(outer.stop_session(), PATIENCE)
        return [outer.transcript.text, inner.transcript.text]

    assert run(main) == [TEXT] * 2


def test_in_an_event_loop_a_task_that_its_handler_has_left_behind_holds_up_nothing(serve) -> None:
    server = serve()

    async def main() -> None:
        one, other = face(server), face(server)
        tasks, waited = [], []

        @one.once("RecognitionStarted")
        async def wait_beside(message: Any) -> None:
            await other.start_session(audio_format=PCM)
            tasks.append(asyncio.ensure_future(other.stop_session()))

        @other.once("EndOfTranscript")
        async def stop(message: Any) -> None:
            await one.stop_session()
            waited.append(is_over(one._behind))

        await begun(one)
        await asyncio.wait_for(asyncio.gather(one.stop_session(), *tasks), PATIENCE)
        assert waited == [True]

    run(main)


@pytest.mark.parametrize("ask", QUESTIONS, ids=["get_speakers", "finalize"])
def test_in_an_event_loop_one_that_waits_for_anothers_answer_is_refused_too(serve, ask) -> None:
    server = serve()

    async def main() -> None:
        clients = [face(server) for _ in range(2)]
        here, all_here, asked = [], asyncio.Event(), []
        refused = []

        def asking(other: AsyncClient) -> Callable[[Any], Any]:
            async def handler(message: Any) -> None:
                here.append(other)
                if len(here) == 2:
                    all_here.set()
                await all_here.wait()
                try:
                    await ask(other)
                except SessionError as exc:
                    refused.append(str(exc))
                asked.append(other)

            return handler

        for client, other in zip(clients, reversed(clients)):
            client.once("AddTranscript", asking(other))
            await begun(client)

        async def end() -> None:
            while len(asked) < 2:
                await asyncio.sleep(0.01)
            await asyncio.gather(*[client.stop_session() for client in clients])

        await asyncio.wait_for(end(), PATIENCE)
        assert len(refused) == 1
        assert "can't wait for the answer" in refused[0]

    run(main)


# -- who waits for whom --------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=40)


@tried(200)
@given(STEPS)
def test_a_wait_is_refused_if_it_closes_a_circle_and_only_then(steps: list[tuple[int, int, bool]]) -> None:
    deliveries = [Delivery(streamed=False) for _ in range(6)]
    waits: dict[int, tuple[int, Any]] = {}  # who waits -> for whom

    def comes_back(whom: int, who: int) -> bool:
        while whom != who and whom in waits:
            whom = waits[whom][0]
        return whom == who

    for who, whom, ends in steps:
        if who in waits:
            if ends:
                waits.pop(who)[1].close()
            continue
        stack = contextlib.ExitStack()
        holder = deliveries[who]
        may_wait = stack.enter_context(waiting(deliveries[whom], lambda one, holder=holder: one is holder))
        assert may_wait != comes_back(whom, who)
        if may_wait:
            waits[who] = (whom, stack)
        else:
            stack.close()
    for _, stack in waits.values():
        stack.close()
