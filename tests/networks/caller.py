"""The client as a process of a host: it tells what happens to its session, and what comes of it, as JSON."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from typing import Any, Optional

from speechmatics_rt import Client, ConnectionConfig, JWTAuth, SpeechmaticsError, Transcript
from speechmatics_rt.config.connection import ResumePolicy

from ..reliability.numbered import FORMAT, speak
from ..reliability.runs import Outcome, chunks, count, watch


def main() -> None:
    wanted = json.loads(sys.argv[1])
    warm_up()
    before = left()
    told = call(**wanted)
    gc.collect()
    deadline = time.monotonic() + 15  # a resolver that hangs keeps its thread until it gives up, 10 s
    while (more := left() - before) and time.monotonic() < deadline:
        time.sleep(0.02)  # nothing rings when a daemon thread ends
    tell("ended", **told, left=more)


def call(
    *,
    url: str,
    config: dict[str, Any],
    resume: Optional[dict[str, Any]],
    seconds: float,
    speed: float,
    keys: Optional[str] = None,
) -> dict[str, Any]:
    """Transcribe so much numbered audio; return the error, and what was heard of what was spoken."""
    audio, words = speak(seconds, random.Random(7))
    outcome = Outcome("")
    error: Optional[BaseException] = None
    policy = False if resume is None else ResumePolicy(**resume)
    auth = JWTAuth("k3y", mp_url=keys) if keys else None
    with Client(auth, url=url, conn_config=ConnectionConfig(**config), resume=policy) as client:
        watch(client, outcome)

        def hear(message: dict[str, Any]) -> None:
            if message["message"] in ("AddTranscript", "Reconnecting", "Resumed", "RecognitionStarted"):
                until = message.get("metadata", {}).get("end_time", 0.0)
                tell(message["message"], until=until, cause=str(message.get("cause", "")))

        client.on_any(hear)
        began = time.monotonic()
        client.once("RecognitionStarted", lambda _: tell("opened", after=time.monotonic() - began))
        try:
            source = chunks(audio, random.Random(7))
            options = {"audio_format": FORMAT, "transcription_config": {"max_delay": 1.0}}
            transcript = client.transcribe(source, speed=speed, **options)
        except SpeechmaticsError as exc:
            error, transcript = exc, exc.transcript or Transcript()
        ended = time.monotonic()
    count(outcome, words, transcript.words)
    return {
        "seconds": ended - began,
        "ended_at": ended,
        "error": error and described(error),
        "words": outcome.words,
        "missing": outcome.missing,
        "twice": outcome.twice,
        "disorder": outcome.disorder,
        "losses": outcome.losses,
        "attempts": outcome.attempts,
    }


def described(error: BaseException) -> dict[str, Any]:
    names = ("stage", "code", "status", "retryable")
    return {
        "kind": type(error).__name__,
        "text": str(error),
        **{name: getattr(error, name) for name in names if getattr(error, name, None) is not None},
    }


def tell(what: str, **more: Any) -> None:
    print(json.dumps({"told": what, "at": time.monotonic(), **more}), flush=True)


def left() -> Counter[str]:
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("speechmatics-rt")]
    return Counter(threads=len(names), descriptors=len(os.listdir("/proc/self/fd")))


def warm_up() -> None:
    """Import what the first connection would, so that its time is that of the network."""
    import jwt
    import python_socks.sync
    import requests
    import websocket

    del jwt, python_socks, requests, websocket


if __name__ == "__main__":
    main()
