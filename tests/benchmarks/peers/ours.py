"""This package, by its public names alone."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .material import AUDIO, WORDS, chunks
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
    main,
    pace,
    resident,
)


def client(task: Task) -> Any:
    from speechmatics_rt import Client, NoAuth

    return Client(NoAuth(), url=task.url)


def config(language: str) -> Any:
    from speechmatics_rt import TranscriptionConfig

    return TranscriptionConfig(language=language)


def upload(task: Task) -> dict[str, Any]:
    count = task.scale.frames
    audio = chunks(UPLOAD_CHUNK, count)
    with client(task) as ours:
        ours.start_session(transcription_config=config("ack"))
        clock = Clock()
        for chunk in audio:
            ours.send_audio(chunk)
        ours.stop_session()
        return clock.stop(count, audio=count * UPLOAD_CHUNK)


def transcribe(task: Task) -> dict[str, Any]:
    count = task.scale.frames
    size = count * UPLOAD_CHUNK
    source = io.BytesIO((AUDIO * (size // len(AUDIO) + 1))[:size])
    with client(task) as ours:
        clock = Clock()
        ours.transcribe(source, transcription_config=config("ack"))
        return clock.stop(count, audio=size)


def dispatch(task: Task) -> dict[str, Any]:
    count = task.scale.messages
    seen = Counter()
    with client(task) as ours:
        ours.on("AddTranscript", seen)
        ours.start_session(transcription_config=config(f"flood-{count}"))
        clock = Clock()
        ours.stop_session()
        return clock.stop(count, seen=seen.count)


def unheard(task: Task) -> dict[str, Any]:
    """Nobody listens; the text is read when all is over, and measured apart."""
    count = task.scale.messages
    with client(task) as ours:
        ours.start_session(transcription_config=config(f"flood-{count}"))
        clock = Clock()
        ours.stop_session()
        found = clock.stop(count)
        clock = Clock()
        words = len(ours.transcript.text.split())
        return {**found, "text_us": clock.stop(count)["cpu_us"], "seen": words / WORDS}


def stream(task: Task) -> dict[str, Any]:
    count = task.scale.messages
    seen = 0
    with client(task) as ours:
        language = config(f"flood-{count}")
        with ours.stream(AUDIO[:MANY_CHUNK], transcription_config=language) as messages:
            clock = Clock()
            for message in messages:
                seen += message["message"] == "AddTranscript"
        return clock.stop(count, seen=seen, audio=MANY_CHUNK)


def live(task: Task) -> dict[str, Any]:
    latency = Latency()
    audio = chunks(LIVE_CHUNK, round(task.scale.live / LIVE_SECONDS))
    with client(task) as ours:
        ours.on("AddTranscript", latency)
        ours.start_session(transcription_config=config(f"live-{LIVE_RATE}"))
        clock = Clock()
        at = time.monotonic()
        for chunk in audio:
            ours.send_audio(chunk)
            at += LIVE_SECONDS
            time.sleep(max(0.0, at - time.monotonic()))
        found = clock.stop(len(audio), audio=len(audio) * LIVE_CHUNK)
        ours.stop_session()
        return {**found, **latency.result()}


def setup(task: Task) -> dict[str, Any]:
    count = task.scale.setups
    ours = client(task)

    def once() -> None:
        ours.start_session(transcription_config=config("ack"))
        ours.stop_session()

    once()  # it imports
    clock = Clock()
    for _ in range(count):
        once()
    return clock.stop(count)


def opened(task: Task, count: int, language: str, handler: Any) -> list[Any]:
    """Start so many sessions, several at a time."""

    def start(one: Any) -> Any:
        one.on("AddTranscript", handler)
        one.start_session(transcription_config=config(language))
        return one

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(start, [client(task) for _ in range(count)]))


def sessions(task: Task) -> dict[str, Any]:
    latency = Latency()
    clients = opened(task, task.number, f"live-{MANY_RATE}", latency)
    latency.ages.clear()
    clock = Clock()
    paced = pace([one.send_audio for one in clients], task.scale.seconds)
    found = {**clock.stop(paced["chunks"], **paced), **latency.result()}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: one.stop_session(), clients))
    return found


def memory(task: Task) -> dict[str, Any]:
    first = opened(task, 1, "ack", Counter())
    first[0].send_audio(AUDIO[:MANY_CHUNK])
    before = resident()
    count = task.scale.kept
    clients = opened(task, count, "ack", Counter())
    for one in clients:
        one.send_audio(AUDIO[:MANY_CHUNK])
    time.sleep(0.5)  # until it has been acknowledged
    used = (resident() - before) / count
    for one in [*first, *clients]:
        one.stop_session()
    return {"kilobytes": used, "audio": (count + 1) * MANY_CHUNK}


def importing(task: Task) -> dict[str, Any]:
    clock = Clock()
    from speechmatics_rt import Client  # noqa: F401  # the package alone imports little more than its errors

    return clock.stop(1)


if __name__ == "__main__":
    main(
        {
            "upload": upload,
            "transcribe": transcribe,
            "dispatch": dispatch,
            "unheard": unheard,
            "stream": stream,
            "live": live,
            "setup": setup,
            "sessions": sessions,
            "memory": memory,
            "import": importing,
        }
    )
