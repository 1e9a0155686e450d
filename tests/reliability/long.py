"""Long time: days of speech in one session, and thousands of sessions in one process.

Each run is a process of its own, so that what it takes is its own: the local server lives in another one.
``python -m tests.reliability.long speech --hours 24 --speed 200`` and ``... sessions`` print a line for each
step and, at the end, all figures as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import random
import statistics
import threading
import time
import warnings
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConnectionConfig,
    ResumePolicy,
    SpeechmaticsError,
    TranscriptionConfig,
)
from speechmatics_rt.local import Fault, LocalServer

from ..looks import settled
from .numbered import FORMAT, RATE, NumberedEngine

HOUR = 3600
PIECE = RATE // 4  # samples
DELAY = 1.0  # s of max_delay, and the recogniser's step
STEP = 0.36
PCM = AudioFormat("pcm_s16le", 16000)
LAST = 30_000  # the number of a word is its sample's value, and begins anew behind this one


def serve(pipe: Any, options: dict[str, Any]) -> None:
    numbered = options.pop("numbered", False)
    with LocalServer(NumberedEngine() if numbered else "scripted", keep_sessions=2, **options) as server:
        pipe.send(server.url)
        pipe.recv()


class Served:
    """A local server in a process of its own, which ends with the ``with``."""

    def __init__(self, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, options), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return self._pipe.recv()

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(10)


def resident() -> float:
    """Return the memory of this process in MB, when what can be given back was."""
    gc.collect()
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass  # no glibc
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# -- one session ---------------------------------------------------------------------------------------


class Speech:
    """Speech of 150 words a minute, made as it is read: each word is known, and when it was said."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.spoken = self._words()
        self._given_at: deque[float] = deque()  # when each piece was, of those that are yet to be heard
        self._heard = 0  # pieces

    def _words(self) -> Iterator[tuple[int, int, int]]:
        """Give number, first and last sample of each word, in order, for ever."""
        rng, at, number = random.Random(48), 0, 0
        while True:
            length = rng.randint(150, 400)
            yield number, at, at + length
            at += length + rng.choice([20, 40, 60, 100, 200, 350])
            number = (number + 1) % LAST

    def __iter__(self) -> Iterator[bytes]:
        """Give it in pieces of a quarter of a second."""
        samples = array("h")
        given = 0
        for number, start, end in self._words():
            samples.extend(bytes(start - given - len(samples)))
            samples.extend([number + 1] * (end - start))
            while len(samples) >= PIECE:
                yield samples[:PIECE].tobytes()
                self._given_at.append(time.monotonic())
                del samples[:PIECE]
                given += PIECE
                if given >= self._seconds * RATE:
                    return

    def since(self, seconds: float) -> Optional[float]:
        """Return how long ago, by the clock, so many seconds of audio were given; None if they were not."""
        at = None
        while self._given_at and (self._heard + 1) * PIECE <= seconds * RATE:
            at = self._given_at.popleft()
            self._heard += 1
        return None if at is None else time.monotonic() - at


class Hours:
    """What is seen of one session, hour by hour of its audio."""

    def __init__(self, client: Client, speech: Speech, hours: float, step: float) -> None:
        self._client, self._speech, self._step = client, speech, step
        self._end = hours * HOUR
        self._late: list[float] = []
        self.began = time.monotonic()
        self.words = self.resumed = 0
        self.wrong: list[str] = []
        self.drift = 0.0
        self.rows: list[dict[str, float]] = []
        client.on("AddTranscript", self._hear)
        client.on("Resumed", self._resumed)

    def _resumed(self, message: Any) -> None:
        self.resumed += 1

    def _hear(self, message: Any) -> None:
        late = self._speech.since(message["metadata"]["end_time"] + DELAY + STEP)
        if late is not None:
            self._late.append(late)
        for result in message["results"]:
            if result["type"] == "word":
                number, start, end = next(self._speech.spoken)
                self.words += 1
                if result["alternatives"][0]["content"] != f"w{number}" and len(self.wrong) < 10:
                    self.wrong.append(f"{result} is w{number} of {start / RATE} s")
                end_time = min(end / RATE, self._end)  # the last one may be cut
                off = max(abs(result["start_time"] - start / RATE), abs(result["end_time"] - end_time))
                self.drift = max(self.drift, off)
        if message["metadata"]["end_time"] >= (len(self.rows) + 1) * self._step:
            self._look(message["metadata"]["end_time"])

    def _look(self, seconds: float) -> None:
        began = time.perf_counter()
        text = self._client.transcript.text
        first = time.perf_counter() - began
        began = time.perf_counter()
        text = self._client.transcript.text
        again = time.perf_counter() - began
        row = {
            "hours": round(seconds / HOUR, 3),
            "MB": round(resident(), 1),
            "late ms": round(1000 * statistics.median(self._late), 1) if self._late else 0.0,
            "drift ms": round(1000 * self.drift, 1),
            "text ms": round(1000 * first, 2),
            "text again ms": round(1000 * again, 2),
            "characters": len(text),
            "wall s": round(time.monotonic() - self.began, 1),
        }
        self._late.clear()
        self.rows.append(row)
        print(row, flush=True)


def speech(
    hours: float,
    *,
    speed: Optional[float],
    step: float = HOUR,
    limit: Optional[float] = None,
    keep: Optional[float] = None,
) -> dict[str, Any]:
    """Transcribe so many hours, at so many times real time; ``limit`` is that of a session, in hours."""
    policy = ResumePolicy(min_delay=0.01, max_delay=0.05, replay_speed=1000)
    ends = [] if limit is None else [Fault.error("session_timeout", after_seconds=limit * HOUR, sessions=[0])]
    with Served(numbered=True, faults=ends, keep_audio=60) as url:
        source = Speech(hours * HOUR)
        with Client(url=url, resume=policy if limit else False, keep_transcript=keep) as client:
            seen = Hours(client, source, hours, step)
            client.transcribe(
                iter(source),
                audio_format=FORMAT,
                transcription_config=TranscriptionConfig(max_delay=DELAY, max_delay_mode="fixed"),
                speed=speed,
            )
    taken = time.monotonic() - seen.began
    growth = [later["MB"] - earlier["MB"] for earlier, later in zip(seen.rows, seen.rows[1:])]
    return {
        "hours": hours,
        "times real time": round(hours * HOUR / taken),
        "words": seen.words,
        "wrong": seen.wrong,
        "drift ms": round(1000 * seen.drift, 1),
        "late ms": [row["late ms"] for row in seen.rows],
        "resumed": seen.resumed,
        "rows": seen.rows,
        "MB an hour": round(sum(growth) / max(1, len(growth)) * HOUR / step, 2),
    }


# -- many sessions -------------------------------------------------------------------------------------


def counts() -> tuple[int, int]:
    """Return how many threads of ours and how many descriptors there are, when they have settled."""

    def ours() -> list[threading.Thread]:
        gc.collect()
        return [thread for thread in threading.enumerate() if thread.name.startswith("speechmatics-rt")]

    return len(settled(ours, 10)), len(os.listdir("/proc/self/fd"))


def in_a_row(url: str, broken: str, count: int) -> None:
    for _ in range(count):
        with Client(url=url) as client:
            client.start_session(audio_format=PCM)
            client.send_audio(bytes(32000))


def failed_starts(url: str, broken: str, count: int) -> None:
    for _ in range(count):
        with Client(url=broken) as client:
            try:
                client.start_session(audio_format=PCM)
            except SpeechmaticsError:
                continue
            raise RuntimeError("it started")


def abandoned(url: str, broken: str, count: int) -> None:
    for number in range(count):
        client = Client(url=url, conn_config=ConnectionConfig(close_timeout=1))
        messages = client.stream([bytes(32000)] * 20, audio_format=PCM)
        for _ in zip(range(number % 4), messages):
            pass
        if number % 2:  # in a cycle, which a collection finds
            client.on("Info", lambda message, messages=messages: None)
        del client, messages


def at_once(url: str, broken: str, count: int) -> None:
    together = threading.Barrier(count)

    def one(number: int) -> None:
        with Client(url=url) as client:
            client.start_session(audio_format=PCM)
            together.wait(60)
            client.send_audio(bytes(32000))
            client.stop_session()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))


STEPS = {
    "sessions in a row": (in_a_row, 2000),
    "failed starts": (failed_starts, 200),
    "abandoned iterators": (abandoned, 200),
    "at once": (at_once, 200),
}


def sessions(share: float = 1.0) -> dict[str, Any]:
    """Run a share of the steps; each must leave the process as it was."""
    figures = {}
    warnings.simplefilter("ignore", ResourceWarning)
    faults = [Fault.refuse(403, sessions=range(0, 10**6, 2)), Fault.error("invalid_model", at="start")]
    with Served() as url, Served(faults=faults) as broken:
        for name, (step, whole) in STEPS.items():
            count = max(10, int(whole * share))
            step(url, broken, max(10, count // 4))  # what is made once, and kept
            memory, before = (
                resident(),
                counts(),
            )  # in this order: the first look at memory may open a library
            began = time.monotonic()
            step(url, broken, count)
            took = time.monotonic() - began
            after = counts()
            figures[name] = {
                "count": count,
                "s": round(took, 1),
                "threads": after[0] - before[0],
                "descriptors": after[1] - before[1],
                "MB": round(resident() - memory, 2),
            }
            print(name, figures[name], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Long time, in one session or in many.")
    parser.add_argument("what", choices=["speech", "sessions"])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--speed", type=float, help="times real time; without it as fast as it goes")
    parser.add_argument("--step", type=float, default=HOUR, help="seconds of audio between two looks")
    parser.add_argument("--limit", type=float, help="hours that a session may last")
    parser.add_argument("--keep", type=float, help="seconds of the transcript to keep")
    parser.add_argument("--share", type=float, default=1.0, help="of the sessions")
    given = parser.parse_args()
    if given.what == "speech":
        figures = speech(given.hours, speed=given.speed, step=given.step, limit=given.limit, keep=given.keep)
    else:
        figures = sessions(given.share)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
