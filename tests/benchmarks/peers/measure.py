"""What every client is measured with, and how it is told what to do.

``python -m peers.CLIENT TASK URL SCALE`` prints a JSON object: the figures, and beside them what was sent and
received, for the sink's count to be compared with. CPU is user and system time of the whole process. Whom a
client trusts over TLS is left to it: the sink's authority is in ``SSL_CERT_FILE``, among the system's.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from collections.abc import Awaitable
from typing import Any, Callable

from .material import SCALES, Scale, chunks

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = [
    "Clock",
    "Counter",
    "Latency",
    "Task",
    "apace",
    "main",
    "pace",
    "percentile",
    "raise_file_limit",
    "resident",
    "schedule",
]

LIVE_RATE = 200  # transcripts a second, of the one live session
LIVE_SECONDS, LIVE_CHUNK = 0.02, 640  # of its audio, 16 kHz and 16 bits
MANY_RATE = 2  # transcripts a second, of each of many
MANY_SECONDS, MANY_CHUNK = 0.1, 3200
PHASES = 20  # within a chunk's time: sessions of one phase are due together, every 5 ms
UPLOAD_CHUNK = 4096


class Task:
    """What one process does: against which server, and how much."""

    def __init__(self, name: str, url: str, scale: Scale) -> None:
        self.name, _, number = name.partition("-")
        self.number = int(number or 0)
        self.url = url
        self.scale = scale


class Clock:
    """Measures from here on."""

    def __init__(self) -> None:
        self._switches = _switches()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self, count: float, **others: Any) -> dict[str, Any]:
        """Return what each of ``count`` things cost, in microseconds, and the per cent of one CPU."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        switches = _switches() - self._switches
        return {
            "cpu_us": cpu / count * 1e6,
            "wall_us": wall / count * 1e6,
            "cpu_percent": cpu / wall * 100,
            "switches": switches / count,
            "count": count,
            **others,
        }


def _switches() -> int:
    """Return how often a thread of this process went to sleep."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw if resource else 0


class Counter:
    """A handler that keeps nothing, so that no client is charged for the garbage collector."""

    count = 0

    def __call__(self, message: dict[str, Any]) -> None:
        self.count += 1


class Latency:
    """A handler that notes how old each message is."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.ages.append(time.time() - message["sent_at"])

    def result(self) -> dict[str, float]:
        return {"p50_us": percentile(self.ages, 50) * 1e6, "p99_us": percentile(self.ages, 99) * 1e6}


def percentile(values: list[float], percent: float) -> float:
    """Return the smallest value that so many per cent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def resident() -> float:
    """Return the resident kilobytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def raise_file_limit() -> None:
    """Allow as many descriptors as may be."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def schedule(sessions: int, seconds: float) -> list[tuple[float, list[int], int]]:
    """Return the moments of many sessions' audio: when, which of them, and their how many-eth chunk."""
    phases = min(PHASES, sessions)
    groups = [list(range(phase, sessions, phases)) for phase in range(phases)]
    return [
        (MANY_SECONDS * (turn + phase / phases), groups[phase], turn)
        for turn in range(round(seconds / MANY_SECONDS))
        for phase in range(phases)
    ]


def pace(sends: list[Callable[[bytes], Any]], seconds: float) -> dict[str, Any]:
    """Send the audio of many sessions in real time; return how late the chunks went."""
    audio = chunks(MANY_CHUNK, round(seconds / MANY_SECONDS))
    late: list[float] = []
    began = time.monotonic()
    for moment, group, turn in schedule(len(sends), seconds):
        at = began + moment
        left = at - time.monotonic()
        if left > 0:
            time.sleep(left)
        for number in group:
            sends[number](audio[turn])
            late.append(time.monotonic() - at)
    return _lateness(late)


async def apace(sends: list[Callable[[bytes], Awaitable[Any]]], seconds: float) -> dict[str, Any]:
    """Do what :func:`pace` does, in an event loop."""
    audio = chunks(MANY_CHUNK, round(seconds / MANY_SECONDS))
    late: list[float] = []
    began = time.monotonic()
    for moment, group, turn in schedule(len(sends), seconds):
        at = began + moment
        await asyncio.sleep(max(0.0, at - time.monotonic()))  # also when late: others' turn
        for number in group:
            await sends[number](audio[turn])
            late.append(time.monotonic() - at)
    return _lateness(late)


def _lateness(late: list[float]) -> dict[str, Any]:
    return {
        "chunks": len(late),
        "late_p50_ms": percentile(late, 50) * 1e3,
        "late_p99_ms": percentile(late, 99) * 1e3,
        "audio": len(late) * MANY_CHUNK,
    }


def main(tasks: dict[str, Callable[[Task], dict[str, Any]]]) -> None:
    """Do what the command line says."""
    name, url, scale = sys.argv[1:]
    raise_file_limit()
    task = Task(name, url, SCALES[scale])
    print(json.dumps(tasks[task.name](task)))
