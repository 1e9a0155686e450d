"""websocket-client, with a thread that reads: what a program would write that wants no client library."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    main,
    pace,
    resident,
)


class Session:
    """One connection; ``handler`` gets the transcripts, on the reading thread."""

    def __init__(self, task: Task, language: str, handler: Callable[[dict[str, Any]], None]) -> None:
        import websocket

        # Validating UTF-8 in Python would cost 600 us a transcript, and who knows the library turns it off.
        self.ws = websocket.create_connection(task.url, skip_utf8_validation=True)
        self.sent = 0
        self.handler = handler
        start = {
            "message": "StartRecognition",
            "audio_format": {"type": "file"},
            "transcription_config": {"language": language},
        }
        self.ws.send(json.dumps(start))
        if json.loads(self.ws.recv())["message"] != "RecognitionStarted":
            raise SystemExit("not started")
        self.reader = threading.Thread(target=self.read)

    def read(self) -> None:
        while True:
            message = json.loads(self.ws.recv())
            if message["message"] == "AddTranscript":
                self.handler(message)
            elif message["message"] == "EndOfTranscript":
                return

    def send_audio(self, chunk: bytes) -> None:
        self.ws.send_binary(chunk)
        self.sent += 1

    def stop(self) -> None:
        self.ws.send(json.dumps({"message": "EndOfStream", "last_seq_no": self.sent}))
        self.reader.join()
        self.ws.close()


def upload(task: Task) -> dict[str, Any]:
    count = task.scale.frames
    audio = chunks(UPLOAD_CHUNK, count)
    session = Session(task, "ack", Counter())
    clock = Clock()
    session.reader.start()
    for chunk in audio:
        session.send_audio(chunk)
    session.stop()
    return clock.stop(count, audio=count * UPLOAD_CHUNK)


def dispatch(task: Task) -> dict[str, Any]:
    count = task.scale.messages
    seen = Counter()
    session = Session(task, f"flood-{count}", seen)
    clock = Clock()
    session.read()
    found = clock.stop(count, seen=seen.count)
    session.ws.close()
    return found


def live(task: Task) -> dict[str, Any]:
    latency = Latency()
    audio = chunks(LIVE_CHUNK, round(task.scale.live / LIVE_SECONDS))
    session = Session(task, f"live-{LIVE_RATE}", latency)
    session.reader.start()
    clock = Clock()
    at = time.monotonic()
    for chunk in audio:
        session.send_audio(chunk)
        at += LIVE_SECONDS
        time.sleep(max(0.0, at - time.monotonic()))
    found = clock.stop(len(audio), audio=len(audio) * LIVE_CHUNK)
    session.stop()
    return {**found, **latency.result()}


def setup(task: Task) -> dict[str, Any]:
    count = task.scale.setups

    def once() -> None:
        session = Session(task, "ack", Counter())
        session.reader.start()
        session.stop()

    once()
    clock = Clock()
    for _ in range(count):
        once()
    return clock.stop(count)


def opened(task: Task, count: int, language: str, handler: Callable[[dict[str, Any]], None]) -> list[Session]:
    def start(_: int) -> Session:
        session = Session(task, language, handler)
        session.reader.start()
        return session

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(start, range(count)))


def sessions(task: Task) -> dict[str, Any]:
    latency = Latency()
    running = opened(task, task.number, f"live-{MANY_RATE}", latency)
    latency.ages.clear()
    clock = Clock()
    paced = pace([session.send_audio for session in running], task.scale.seconds)
    found = {**clock.stop(paced["chunks"], **paced), **latency.result()}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Session.stop, running))
    return found


def memory(task: Task) -> dict[str, Any]:
    first = opened(task, 1, "ack", Counter())
    first[0].send_audio(AUDIO[:MANY_CHUNK])
    before = resident()
    count = task.scale.kept
    running = opened(task, count, "ack", Counter())
    for session in running:
        session.send_audio(AUDIO[:MANY_CHUNK])
    time.sleep(0.5)
    used = (resident() - before) / count
    for session in [*first, *running]:
        session.stop()
    return {"kilobytes": used, "audio": (count + 1) * MANY_CHUNK}


def importing(task: Task) -> dict[str, Any]:
    clock = Clock()
    import websocket  # noqa: F401

    return clock.stop(1)


if __name__ == "__main__":
    main(
        {
            "upload": upload,
            "dispatch": dispatch,
            "live": live,
            "setup": setup,
            "sessions": sessions,
            "memory": memory,
            "import": importing,
        }
    )
