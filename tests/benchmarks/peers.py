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
SETUPS = 100
SESSIONS = 100
RATE = 200  # messages a second of a live session
LIVE_SECONDS = 0.02
LIVE_CHUNK = bytes(640)  # 20 ms at 16 kHz
LIVE_CHUNKS = 300
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


class Latency:
    """A handler that notes how old each message is."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def __call__(self, message: dict) -> None:
        self.ages.append(time.time() - message["sent_at"])

    def result(self, clock: Clock) -> dict:
        ages = sorted(self.ages)
        found = clock.per(len(ages))
        return {**found, "p50_us": ages[len(ages) // 2] * 1e6, "p99_us": ages[len(ages) * 99 // 100] * 1e6}


def resident() -> float:
    """Resident kilobytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4.0


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


def ours_stream(url: str, ca: str | None) -> dict:
    with ours(url, ca) as client:
        count = 0
        with client.stream(CHUNK, transcription_config=config(f"flood-{MESSAGES}")) as messages:
            clock = Clock()
            for message in messages:
                count += message["message"] == "AddTranscript"
        assert count == MESSAGES
        return clock.per(MESSAGES)


def ours_live(url: str, ca: str | None) -> dict:
    latency = Latency()
    with ours(url, ca) as client:
        client.on("AddTranscript", latency)
        client.start_session(transcription_config=config(f"live-{RATE}"))
        clock = Clock()
        at = time.monotonic()
        for _ in range(LIVE_CHUNKS):
            client.send_audio(LIVE_CHUNK)
            at += LIVE_SECONDS
            time.sleep(max(0.0, at - time.monotonic()))
        result = latency.result(clock)
        client.close()
        return result


def ours_setup(url: str, ca: str | None) -> dict:
    client = ours(url, ca)
    client.start_session(transcription_config=config("ack-0"))  # the first one imports
    client.stop_session()
    clock = Clock()
    for _ in range(SETUPS):
        client.start_session(transcription_config=config("ack-0"))
        client.stop_session()
    return clock.per(SETUPS)


def ours_memory(url: str, ca: str | None) -> dict:
    first = ours(url, ca)
    first.start_session(transcription_config=config("ack-0"))
    before = resident()
    clients = [ours(url, ca) for _ in range(SESSIONS)]
    for client in clients:
        client.start_session(transcription_config=config("ack-0"))
    used = (resident() - before) / SESSIONS
    for client in [first, *clients]:
        client.close()
    return {"cpu_us": used, "wall_us": used}


def ours_import(url: str, ca: str | None) -> dict:
    clock = Clock()
    import speechmatics_rt  # noqa: F401

    return clock.per(1)


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


def official_live(url: str, ca: str | None) -> dict:
    from speechmatics.rt import ServerMessageType

    async def main() -> dict:
        latency = Latency()
        client = official(url, ca)
        client.on(ServerMessageType.ADD_TRANSCRIPT, latency)
        await client.start_session(transcription_config=official_config(f"live-{RATE}"))
        clock = Clock()
        at = time.monotonic()
        for _ in range(LIVE_CHUNKS):
            await client.send_audio(LIVE_CHUNK)
            at += LIVE_SECONDS
            await asyncio.sleep(max(0.0, at - time.monotonic()))
        result = latency.result(clock)
        await client.close()
        return result

    return asyncio.run(main())


def official_setup(url: str, ca: str | None) -> dict:
    async def main() -> dict:
        async def once() -> None:
            async with official(url, ca) as client:
                await client.start_session(transcription_config=official_config("ack-0"))
                await client.stop_session()

        await once()
        clock = Clock()
        for _ in range(SETUPS):
            await once()
        return clock.per(SETUPS)

    return asyncio.run(main())


def official_memory(url: str, ca: str | None) -> dict:
    async def main() -> dict:
        first = official(url, ca)
        await first.start_session(transcription_config=official_config("ack-0"))
        before = resident()
        clients = [official(url, ca) for _ in range(SESSIONS)]
        for client in clients:
            await client.start_session(transcription_config=official_config("ack-0"))
        used = (resident() - before) / SESSIONS
        for client in [first, *clients]:
            await client.close()
        return {"cpu_us": used, "wall_us": used}

    return asyncio.run(main())


def official_import(url: str, ca: str | None) -> dict:
    clock = Clock()
    import speechmatics.rt  # noqa: F401

    return clock.per(1)


def raw_live(url: str, ca: str | None) -> dict:
    import threading

    ws = raw(url, ca)
    raw_start(ws, f"live-{RATE}")
    latency = Latency()

    def read() -> None:
        try:
            while True:
                message = json.loads(ws.recv())
                if message["message"] == "AddTranscript":
                    latency(message)
        except Exception:
            pass  # the end of the measurement

    clock = Clock()
    threading.Thread(target=read, daemon=True).start()
    at = time.monotonic()
    for _ in range(LIVE_CHUNKS):
        ws.send_binary(LIVE_CHUNK)
        at += LIVE_SECONDS
        time.sleep(max(0.0, at - time.monotonic()))
    result = latency.result(clock)
    ws.shutdown()
    return result


if __name__ == "__main__":
    task, client, url, *rest = sys.argv[1:]
    print(json.dumps(globals()[f"{client}_{task}"](url, rest[0] if rest else None)))
