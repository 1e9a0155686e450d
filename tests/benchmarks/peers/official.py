"""The official asyncio SDK, speechmatics-rt."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable
from typing import Any, Callable

from .material import AUDIO, chunks
from .measure import (
    LIVE_CHUNK,
    LIVE_RATE,
    LIVE_SECONDS,
    MANY_CHUNK,
    MANY_RATE,
    UPLOAD_CHUNK,
    Clock,
    Counter,
    Latency,
    Task,
    apace,
    main,
    resident,
)


def client(task: Task) -> Any:
    from speechmatics.rt import AsyncClient

    return AsyncClient(api_key="key", url=task.url)


def config(language: str) -> Any:
    from speechmatics.rt import TranscriptionConfig

    return TranscriptionConfig(language=language)


def on_transcript(one: Any, handler: Callable[[dict[str, Any]], None]) -> Any:
    from speechmatics.rt import ServerMessageType

    one.on(ServerMessageType.ADD_TRANSCRIPT, handler)
    return one


async def upload(task: Task) -> dict[str, Any]:
    count = task.scale.frames
    audio = chunks(UPLOAD_CHUNK, count)
    async with client(task) as sdk:
        await sdk.start_session(transcription_config=config("ack"))
        clock = Clock()
        for chunk in audio:
            await sdk.send_audio(chunk)
        await sdk.stop_session()
        return clock.stop(count, audio=count * UPLOAD_CHUNK)


async def transcribe(task: Task) -> dict[str, Any]:
    count = task.scale.frames
    size = count * UPLOAD_CHUNK
    source = io.BytesIO((AUDIO * (size // len(AUDIO) + 1))[:size])
    async with client(task) as sdk:
        clock = Clock()
        await sdk.transcribe(source, transcription_config=config("ack"))
        return clock.stop(count, audio=size)


async def dispatch(task: Task) -> dict[str, Any]:
    seen = Counter()
    return {**await flooded(task, seen), "seen": seen.count}


async def unheard(task: Task) -> dict[str, Any]:
    """Nobody listens, and there is no text to be read: this SDK keeps none."""
    return await flooded(task, None)


async def flooded(task: Task, handler: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    from speechmatics.rt import ServerMessageType

    count = task.scale.messages
    done = asyncio.Event()
    async with client(task) as sdk:
        if handler is not None:
            on_transcript(sdk, handler)
        sdk.on(ServerMessageType.END_OF_TRANSCRIPT, lambda message: done.set())
        await sdk.start_session(transcription_config=config(f"flood-{count}"))
        clock = Clock()
        await done.wait()
        return clock.stop(count)


async def live(task: Task) -> dict[str, Any]:
    latency = Latency()
    audio = chunks(LIVE_CHUNK, round(task.scale.live / LIVE_SECONDS))
    async with on_transcript(client(task), latency) as sdk:
        await sdk.start_session(transcription_config=config(f"live-{LIVE_RATE}"))
        clock = Clock()
        at = time.monotonic()
        for chunk in audio:
            await sdk.send_audio(chunk)
            at += LIVE_SECONDS
            await asyncio.sleep(max(0.0, at - time.monotonic()))
        found = clock.stop(len(audio), audio=len(audio) * LIVE_CHUNK)
        await sdk.stop_session()
        return {**found, **latency.result()}


async def setup(task: Task) -> dict[str, Any]:
    count = task.scale.setups

    async def once() -> None:
        async with client(task) as sdk:
            await sdk.start_session(transcription_config=config("ack"))
            await sdk.stop_session()

    await once()
    clock = Clock()
    for _ in range(count):
        await once()
    return clock.stop(count)


async def at_once(calls: list[Callable[[], Awaitable[Any]]]) -> None:
    """Make calls, several at a time."""
    several = asyncio.Semaphore(8)

    async def make(call: Callable[[], Awaitable[Any]]) -> None:
        async with several:
            await call()

    await asyncio.gather(*map(make, calls))


async def opened(
    task: Task, count: int, language: str, handler: Callable[[dict[str, Any]], None]
) -> list[Any]:
    clients = [on_transcript(client(task), handler) for _ in range(count)]
    language_config = config(language)
    await at_once(
        [lambda one=one: one.start_session(transcription_config=language_config) for one in clients]
    )  # type: ignore[misc]
    return clients


async def sessions(task: Task) -> dict[str, Any]:
    latency = Latency()
    clients = await opened(task, task.number, f"live-{MANY_RATE}", latency)
    latency.ages.clear()
    clock = Clock()
    paced = await apace([one.send_audio for one in clients], task.scale.seconds)
    found = {**clock.stop(paced["chunks"], **paced), **latency.result()}
    await at_once([one.stop_session for one in clients])
    return found


async def memory(task: Task) -> dict[str, Any]:
    first = await opened(task, 1, "ack", Counter())
    await first[0].send_audio(AUDIO[:MANY_CHUNK])
    before = resident()
    count = task.scale.kept
    clients = await opened(task, count, "ack", Counter())
    for one in clients:
        await one.send_audio(AUDIO[:MANY_CHUNK])
    await asyncio.sleep(0.5)
    used = (resident() - before) / count
    await at_once([one.stop_session for one in [*first, *clients]])
    return {"kilobytes": used, "audio": (count + 1) * MANY_CHUNK}


def importing(task: Task) -> dict[str, Any]:
    clock = Clock()
    import speechmatics.rt  # noqa: F401

    return clock.stop(1)


def in_loop(measure: Callable[[Task], Any]) -> Callable[[Task], dict[str, Any]]:
    return lambda task: asyncio.run(measure(task))


if __name__ == "__main__":
    coroutines = (upload, transcribe, dispatch, unheard, live, setup, sessions, memory)
    main({"import": importing, **{each.__name__: in_loop(each) for each in coroutines}})
