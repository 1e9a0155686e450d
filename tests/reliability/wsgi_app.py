"""A WSGI program as its users write one: a client made when it is loaded, sessions in and across requests."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterable
from typing import Any, Callable

from speechmatics_rt import AudioFormat, Client, SpeechmaticsError

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
client = Client(url=os.environ["URL"])  # before the fork, with --preload


def transcribe() -> str:
    return Client(url=os.environ["URL"]).transcribe(SECOND * 3, audio_format=PCM, timeout=20).text


def shared() -> str:
    return client.transcribe(SECOND * 3, audio_format=PCM, timeout=20).text


def start() -> str:
    client.start_session(audio_format=PCM, transcription_config={"language": "en", "max_delay": 0.7})
    client.send_audio(SECOND * 3)
    return "started"


def heard() -> str:
    """Say how much has been handled between the requests; it waits for nothing."""
    return str(client.transcript.end_time)


def stop() -> str:
    client.stop_session(timeout=20)
    return client.transcript.text


def endless() -> str:
    """Never return by itself: its worker's time limit ends it."""
    for _ in client.stream(itertools.repeat(SECOND[:3200]), audio_format=PCM, speed=1):
        pass
    return "ended"


CALLS = {f"/{call.__name__}": call for call in (transcribe, shared, start, heard, stop, endless)}


def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    try:
        text = CALLS[environ["PATH_INFO"]]()
    except SpeechmaticsError as exc:
        text = f"{type(exc).__name__}: {exc}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {text}".encode()]


if os.environ.get("SESSION_AT_IMPORT"):  # in the parent: no worker has it
    start()
    signal.signal(signal.SIGUSR2, lambda *_: None)
