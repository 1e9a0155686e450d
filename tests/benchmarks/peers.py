"""One measurement of one client: ``python peers.py TASK CLIENT URL [CA]`` prints a JSON object.

Tasks: ``upload`` (4 kB frames from a loop, all acknowledgements read), ``transcribe`` (a file in one
call), ``dispatch`` (transcripts to a callback). CPU is user + system of this process over the session.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import sys
import time

FRAMES = 10_000
MESSAGES = 10_000
CHUNK = bytes(range(256)) * 16
START = {
    "message": "StartRecognition",
    "audio_format": {"type": "file"},
    "transcription_config": {"language": "ack-0"},
}


class Clock:
    def __init__(self) -> None:
        self.cpu = time.process_time()
        self.wall = time.perf_counter()

    def per(self, count: int) -> dict:
        return {
            "cpu_us": (time.process_time() - self.cpu) / count * 1e6,
            "wall_us": (time.perf_counter() - self.wall) / count * 1e6,
        }


class Counter:
    """A handler that keeps nothing, so that no client is charged for the garbage collector."""

    count = 0

    def __call__(self, message: dict) -> None:
        self.count += 1


def trusting(ca: str | None) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=ca) if ca else None


# -- ours ---------------------------------------------------------------------------------------------


def ours(url: str, ca: str | None):
    from speechmatics_rt import Client, ConnectionConfig, NoAuth

    return Client(NoAuth(), url=url, conn_config=ConnectionConfig(ssl_context=trusting(ca)))


def config(task: str):
    from speechmatics_rt import TranscriptionConfig

    return TranscriptionConfig(language=task)


def ours_upload(url: str, ca: str | None) -> dict:
    with ours(url, ca) as client:
        client.start_session(transcription_config=config("ack-0"))
        clock = Clock()
        for _ in range(FRAMES):
            client.send_audio(CHUNK)
        client.stop_session()
        return clock.per(FRAMES)


def ours_transcribe(url: str, ca: str | None) -> dict:
    with ours(url, ca) as client:
        source = io.BytesIO(CHUNK * FRAMES)
        clock = Clock()
        client.transcribe(source, transcription_config=config("ack-0"))
        return clock.per(FRAMES)


def ours_dispatch(url: str, ca: str | None) -> dict:
    seen = Counter()
    with ours(url, ca) as client:
        client.on("AddTranscript", seen)
        client.start_session(transcription_config=config(f"flood-{MESSAGES}"))
        clock = Clock()
        client.stop_session()
        assert seen.count == MESSAGES
        return clock.per(MESSAGES)


# -- websocket-client, raw ------------------------------------------------------------------------------


def raw(url: str, ca: str | None):
    import websocket

    return websocket.create_connection(
        url, skip_utf8_validation=True, sslopt={"context": trusting(ca)} if ca else {}
    )


def raw_start(ws, language: str) -> None:
    ws.send(json.dumps({**START, "transcription_config": {"language": language}}))
    assert json.loads(ws.recv())["message"] == "RecognitionStarted"


def raw_upload(url: str, ca: str | None) -> dict:
    import threading

    ws = raw(url, ca)
    raw_start(ws, "ack-0")

    def read() -> None:
        while json.loads(ws.recv())["message"] != "EndOfTranscript":
            pass

    clock = Clock()
    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(FRAMES):
        ws.send_binary(CHUNK)
    ws.send(json.dumps({"message": "EndOfStream", "last_seq_no": FRAMES}))
    reader.join()
    result = clock.per(FRAMES)
    ws.close()
    return result


def raw_dispatch(url: str, ca: str | None) -> dict:
    ws = raw(url, ca)
    raw_start(ws, f"flood-{MESSAGES}")
    seen = Counter()
    clock = Clock()
    while True:
        message = json.loads(ws.recv())
        if message["message"] == "EndOfTranscript":
            break
        seen(message)
    assert seen.count == MESSAGES
    result = clock.per(MESSAGES)
    ws.close()
    return result


# -- the official asyncio SDK ---------------------------------------------------------------------------


def official(url: str, ca: str | None):
    from speechmatics.rt import AsyncClient, ConnectionConfig

    options = {"ssl_context": trusting(ca)} if ca else {}
    return AsyncClient(api_key="key", url=url, conn_config=ConnectionConfig(**options))


def official_config(task: str):
    from speechmatics.rt import TranscriptionConfig

    return TranscriptionConfig(language=task)


def official_upload(url: str, ca: str | None) -> dict:
    async def main() -> dict:
        async with official(url, ca) as client:
            await client.start_session(transcription_config=official_config("ack-0"))
            clock = Clock()
            for _ in range(FRAMES):
                await client.send_audio(CHUNK)
            await client.stop_session()
            return clock.per(FRAMES)

    return asyncio.run(main())


def official_transcribe(url: str, ca: str | None) -> dict:
    async def main() -> dict:
        async with official(url, ca) as client:
            source = io.BytesIO(CHUNK * FRAMES)
            clock = Clock()
            await client.transcribe(source, transcription_config=official_config("ack-0"))
            return clock.per(FRAMES)

    return asyncio.run(main())


def official_dispatch(url: str, ca: str | None) -> dict:
    from speechmatics.rt import ServerMessageType

    async def main() -> dict:
        seen = Counter()
        done = asyncio.Event()
        async with official(url, ca) as client:
            client.on(ServerMessageType.ADD_TRANSCRIPT, seen)
            client.on(ServerMessageType.END_OF_TRANSCRIPT, lambda message: done.set())
            await client.start_session(transcription_config=official_config(f"flood-{MESSAGES}"))
            clock = Clock()
            await done.wait()
            assert seen.count == MESSAGES
            return clock.per(MESSAGES)

    return asyncio.run(main())


if __name__ == "__main__":
    task, client, url, *rest = sys.argv[1:]
    print(json.dumps(globals()[f"{client}_{task}"](url, rest[0] if rest else None)))
