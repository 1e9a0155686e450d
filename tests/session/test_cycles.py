"""A call that has failed leaves no cycle in which its client and audio wait for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from speechmatics_rt import AsyncClient, AuthBase, Client, ConnectionConfig, SpeechmaticsError
from speechmatics_rt.local import Fault

from ..looks import settled

RAW = {"encoding": "pcm_s16le", "sample_rate": 16000}
SECONDS = bytes(64000)
WAIT = 1.0  # seconds for a start that does not come


class Unreadable:
    def read(self, size: int) -> bytes:
        raise OSError("the disk is gone")


class Locked(AuthBase):
    def get_auth_headers(self) -> dict[str, str]:
        raise RuntimeError("the vault is closed")


def by_hand(client: Client) -> None:
    client.start_session(audio_format=RAW)
    for _ in range(40):
        client.send_audio(bytes(3200))
    client.stop_session()


def asked(client: Client) -> None:
    client.start_session(audio_format=RAW)
    client.get_speakers(timeout=0.2)


def transcribed(source: Any = SECONDS, **options: Any) -> Callable[[Client], None]:
    def call(client: Client) -> None:
        client.transcribe(source, audio_format=RAW, **options)

    return call


def uttered(client: Client) -> None:
    list(client.utterances(SECONDS, audio_format=RAW))


def fails(message: object) -> None:
    raise ValueError("no page")


LOST = [Fault.reset(after_seconds=1)]
CALLS: dict[str, tuple[list[Fault], dict[str, Any], Callable[[Client], None]]] = {
    "a file that is missing": ([], {}, transcribed("/nowhere.wav")),
    "the same within a time": ([], {}, transcribed("/nowhere.wav", timeout=5)),
    "a source that can't be read": ([], {}, transcribed(Unreadable(), timeout=5)),
    "no key": ([], {"auth": Locked()}, transcribed()),
    "a handler": ([], {"handler_errors": "raise"}, transcribed()),
    "time is over": ([Fault.silence()], {}, transcribed(timeout=0.3)),
    "lost": (LOST, {}, transcribed()),
    "lost by hand": (LOST, {}, by_hand),
    "lost between utterances": (LOST, {}, uttered),
    "an Error": ([Fault.error(type="job_error", after_seconds=1)], {}, by_hand),
    "an Error at the start": ([Fault.error(at="start", type="invalid_config")], {}, by_hand),
    "no start": ([Fault.no_start()], {}, by_hand),
    "refused": ([Fault.refuse(503)], {}, transcribed()),
    "refused within a time": ([Fault.refuse(503)], {}, transcribed(timeout=5)),
    "a key that is refused": ([Fault.refuse(401)], {}, by_hand),
    "no answer": ([Fault.silence()], {}, asked),
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    logging.disable()  # no log keeps an error alive
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("uncollected")
def test_a_client_that_is_closed_keeps_nothing_that_its_caller_drops_then(serve, client_of) -> None:
    client, recording = client_of(serve()), io.BytesIO(SECONDS)
    client.transcribe(recording, audio_format=RAW)
    client.close()
    gone = weakref.ref(recording)
    del recording
    assert gone() is None


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_whose_call_has_failed_is_gone_when_nobody_has_it_any_more(serve, name: str) -> None:
    faults, options, call = CALLS[name]
    server = serve(faults=faults)

    def run() -> weakref.ref[Client]:
        config = ConnectionConfig(ssl_context=server.ssl_context, start_timeout=WAIT)
        client = Client(url=server.url, conn_config=config, **options)
        client.on("AddTranscript", fails)
        try:
            call(client)
        except (SpeechmaticsError, ValueError, RuntimeError):
            client.close()
            return weakref.ref(client)
        raise AssertionError("it has not failed")

    client = run()
    assert settled(client, 5) is None  # a listener that ends holds it a moment longer


# -- in an event loop ----------------------------------------------------------------------------------


async def by_hand_in_a_loop(client: AsyncClient) -> None:
    await client.start_session(audio_format=RAW)
    for _ in range(40):
        await client.send_audio(bytes(3200))
    await client.stop_session()


async def asked_in_a_loop(client: AsyncClient) -> None:
    await client.start_session(audio_format=RAW)
    await client.get_speakers(timeout=0.2)


async def configured_in_a_loop(client: AsyncClient) -> None:
    await client.start_session(audio_format=RAW)
    await client.stop_session()
    await client.update_config(max_delay=1.0)


async def asked_too_late_in_a_loop(client: AsyncClient) -> None:
    await client.start_session(audio_format=RAW)
    await client.stop_session()
    await client.get_speakers()


def transcribed_in_a_loop(source: Any = SECONDS, **options: Any) -> Callable[[AsyncClient], Awaitable[Any]]:
    return lambda client: client.transcribe(source, audio_format=RAW, **options)


IN_A_LOOP: dict[str, Callable[[AsyncClient], Awaitable[Any]]] = {
    "a file that is missing": transcribed_in_a_loop("/nowhere.wav"),
    "a source that can't be read": transcribed_in_a_loop(Unreadable()),
    "no key": transcribed_in_a_loop(),
    "a handler": transcribed_in_a_loop(),
    "time is over": transcribed_in_a_loop(timeout=0.3),
    "lost": transcribed_in_a_loop(),
    "lost by hand": by_hand_in_a_loop,
    "an Error": by_hand_in_a_loop,
    "an Error at the start": by_hand_in_a_loop,
    "no start": by_hand_in_a_loop,
    "refused": transcribed_in_a_loop(),
    "a key that is refused": by_hand_in_a_loop,
    "no answer": asked_in_a_loop,
    "a change after the end": configured_in_a_loop,
    "a question after the end": asked_too_late_in_a_loop,
}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", IN_A_LOOP)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_of_a_loop_whose_call_has_failed_is_gone_when_nobody_has_it_any_more(
    serve, name: str
) -> None:
    faults, options, _ = CALLS.get(name, ([], {}, None))
    server = serve(faults=faults)

    async def failed() -> weakref.ref[AsyncClient]:
        config = ConnectionConfig(ssl_context=server.ssl_context, start_timeout=WAIT)
        client = AsyncClient(url=server.url, conn_config=config, **options)
        client.on("AddTranscript", fails)
        try:
            await IN_A_LOOP[name](client)
        except (SpeechmaticsError, ValueError, RuntimeError):
            await client.close()
            return weakref.ref(client)
        raise AssertionError("it has not failed")

    async def main() -> None:
        client = await failed()
        for _ in range(500):  # a thread that ends holds it a moment longer
            if client() is None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it is still there: {client()!r}")

    asyncio.run(main())
