"""What a program makes of a server, in a process of its own with little memory.

``python -m tests.hostile.program`` has imported all that such a program does, and forks one for each line
of its input, ``{"url": ..., "way": ..., "options": {...}, "address_space": ...}``: half of the work was the
start. The answer is a line of output, empty if the program died.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import ssl
import sys
import threading
import time
from typing import Any, Callable

from speechmatics_rt import AsyncClient, AudioFormat, Client, ConnectionConfig, JWTAuth, available_features

from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def peak() -> float:
    """Return the most memory this process has held so far, in MB; of its own, not of who started it."""
    with open("/proc/self/status", encoding="ascii") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def audio() -> Any:
    """A live source: a second of audio, again and again."""
    for _ in range(600):
        yield SECOND
        time.sleep(0.02)  # live: it has no more to give now


def transcribe(url: str, config: ConnectionConfig, timeout: float) -> str:
    with Client(url=url, api_key="s3cret", conn_config=config) as client:
        return client.transcribe(audio(), audio_format=PCM, timeout=timeout).text


def by_hand(url: str, config: ConnectionConfig, timeout: float) -> str:
    with Client(url=url, api_key="s3cret", conn_config=config) as client:
        client.on("AddTranscript", lambda message: None)
        client.on("AddPartialTranscript", lambda message: None)
        client.start_session(audio_format=PCM)
        until = time.monotonic() + timeout
        for chunk in audio():
            client.send_audio(chunk)
            if time.monotonic() > until:
                break
        client.stop_session(timeout=timeout)
        return client.transcript.text


def in_a_loop(url: str, config: ConnectionConfig, timeout: float) -> str:
    async def run() -> str:
        async with AsyncClient(url=url, api_key="s3cret", conn_config=config) as client:
            return (await client.transcribe(audio(), audio_format=PCM, timeout=timeout)).text

    return asyncio.run(run())


def features(url: str, config: ConnectionConfig, timeout: float) -> str:
    return str(len(available_features(url, conn_config=config)))


def key(url: str, config: ConnectionConfig, timeout: float) -> str:
    auth = JWTAuth("s3cret", mp_url=url.replace("ws", "http", 1).rpartition("/")[0])
    if url.startswith("wss"):  # requests trusts what it brings along
        config.ssl_context = ssl.create_default_context()
    auth.configure(config)
    return str(auth.get_auth_headers())


WAYS: dict[str, Callable[[str, ConnectionConfig, float], str]] = {
    "transcribe": transcribe,
    "by hand": by_hand,
    "asyncio": in_a_loop,
    "features": features,
    "key": key,
}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def meet(asked: dict[str, Any]) -> dict[str, Any]:
    """Be such a program; return what became of it."""
    if asked["way"] == "asyncio":  # what a loop opens is its own
        asyncio.run(asyncio.sleep(0))
    resource.setrlimit(resource.RLIMIT_AS, (asked["address_space"], asked["address_space"]))
    config = ConnectionConfig(**asked["options"])
    before, opened, began = peak(), descriptors(), time.monotonic()
    used = time.process_time()
    error: Any = None
    try:
        WAYS[asked["way"]](asked["url"], config, asked["timeout"])
    except Exception as exc:
        error = exc
    seconds, used = time.monotonic() - began, time.process_time() - used
    told = {
        "error": type(error).__name__,
        "text": str(error)[:2000],
        "attributes": {
            name: getattr(error, name, None) for name in ("stage", "code", "status", "retry_after", "seconds")
        },
        "took": seconds,
        "processor": used,
        "megabytes": peak() - before,
    }
    error = None

    def left() -> bool:
        gc.collect()
        told["threads"] = [one.name for one in threading.enumerate() if one.name.startswith("speechmatics")]
        told["descriptors"] = descriptors() - opened
        return bool(told["threads"]) or told["descriptors"] > 0

    settled(left, 5)
    return told


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answer = json.dumps(meet(json.loads(line)))
            print(answer, flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(flush=True)


if __name__ == "__main__":
    import jwt  # noqa: F401  # their memory is not the server's doing
    import requests  # noqa: F401
    import websocket  # noqa: F401

    main()
