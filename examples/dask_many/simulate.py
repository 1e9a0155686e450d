"""Simulate 10,000 live streams and the moment in which all of them are cut: ``python simulate.py``.

``--check`` compares the same model with what ``measure.py`` found at 1, 2 and 4 worker processes.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
from collections import Counter, deque
from pathlib import Path
from typing import Any, Callable, NamedTuple

from speechmatics_rt import ConnectionError, ResumePolicy
from speechmatics_rt.resume.backoff import Outage  # the library's own decision, and no copy of it

HERE = Path(__file__).parent
TICK = 0.001  # seconds that a process runs before another one's turn


# -- how many recordings a second --------------------------------------------------------------------------


def throughput(measured: dict[str, Any], run: dict[str, Any], seconds: float = 20.0) -> float:
    """Simulate a run of :mod:`measure`; give its sessions a second.

    Each worker process and the server run one thread at a time (the GIL), and all share the cores that the
    machine gave to them. The costs are those of the run with one process: nothing is fitted to the others.
    """
    alone = measured["throughput"][0]
    client, server = alone["client_cpu_per_session"], alone["server_cpu_per_session"]
    workers = [deque([client] * 4) for _ in range(run["processes"])]
    serving: deque[tuple[int, float]] = deque()  # whose session it is, and what is left of it
    credit = done = 0.0
    for tick in range(int(seconds / TICK)):
        credit = min(credit + run["cores_had"], run["processes"] + 1.0)
        turns = [*range(run["processes"]), -1]
        for turn in turns[tick % len(turns) :] + turns[: tick % len(turns)]:
            if credit < 1:
                break
            if turn == -1 and serving:
                owner, left = serving.popleft()
                credit -= 1
                if left > TICK:
                    serving.append((owner, left - TICK))
                    continue
                done += 1
                workers[owner].append(client)
            elif turn >= 0 and workers[turn]:
                left = workers[turn].popleft()
                credit -= 1
                if left > TICK:
                    workers[turn].append(left - TICK)
                else:
                    serving.append((turn, server))
    return round(done / seconds, 1)


def check(measured: dict[str, Any], tolerance: float) -> bool:
    """Print what was measured beside what is simulated; whether they agree."""
    agree = True
    print("processes  measured  simulated  recordings of 10 s a second")
    for run in measured["throughput"]:
        said = throughput(measured, run)
        agree &= abs(said / run["sessions_per_second"] - 1) <= tolerance
        print(f"{run['processes']:9}  {run['sessions_per_second']:8.1f}  {said:9.1f}")
    print("processes  measured  simulated  CPU of all clients, per second of live streams")
    alone = measured["live"][0]
    for run in measured["live"]:
        spent = run["client_cpu_per_session"] * run["sessions"] / measured["live_seconds"]
        said = alone["client_cpu_per_session"] * run["sessions"] / measured["live_seconds"]
        agree &= abs(said / spent - 1) <= tolerance
        print(f"{run['processes']:9}  {spent:8.3f}  {said:9.3f}")
    print("they agree" if agree else f"THEY DIFFER by more than {tolerance:.0%}")
    return agree


# -- the storm ---------------------------------------------------------------------------------------------


class Storm(NamedTuple):
    """What became of streams that were cut all at once."""

    attempts: int
    peak: int  # attempts in the worst second
    back_half: float  # seconds until half of them were back
    back_all: float
    held: float  # MB of audio that was kept meanwhile, at most
    gave_up: int


def storm(streams: int, accepts: float, jitter: Callable[[], float], down: float = 2.0) -> Storm:
    """Cut all streams at once; the service is away for ``down`` s, and then lets in ``accepts`` a second."""
    policy = ResumePolicy()
    lost, refused = ConnectionError("cut", code=1006), ConnectionError("busy", status=503)
    outages = [Outage(lost, policy, 0.0) for _ in range(streams)]
    due: list[tuple[float, int]] = []

    def wait(number: int, now: float, error: ConnectionError) -> bool:
        if not outages[number].plan(now, outages[number].pause(error, jitter())):
            return False
        heapq.heappush(due, (outages[number].due, number))
        return True

    for number in range(streams):
        wait(number, 0.0, lost)
    attempts: Counter[int] = Counter()
    back: list[float] = []
    tokens, last, gave_up = 0.0, down, 0
    while due:
        now, number = heapq.heappop(due)
        attempts[int(now)] += 1
        if now >= down:
            tokens, last = min(accepts / 4, tokens + (now - last) * accepts), now
        if now >= down and tokens >= 1:
            tokens -= 1
            back.append(now)
        else:
            gave_up += not wait(number, now, refused if now >= down else lost)
    held = sum(32_000 * min(seconds, policy.buffer_seconds) for seconds in back) / 1e6
    total, peak = sum(attempts.values()), max(attempts.values())
    return Storm(total, peak, statistics.median(back), back[-1], held, gave_up)


def layout(measured: dict[str, Any], streams: int, per_process: int, cores: int) -> str:
    """Say how many processes and machines so many live streams want."""
    cost = measured["live"][0]["client_cpu_per_session"] / measured["live_seconds"]
    processes = -(-streams // per_process)
    busy = cost * per_process
    at_most = int(cores * 0.6 / busy)  # a machine that is full has no room for a storm
    machines = -(-processes // max(1, at_most))
    return (
        f"{streams} streams: {per_process} in each of {processes} processes, each {busy:.0%} of a core; "
        f"{at_most} processes on {cores} cores at 60 %, {machines} machines; {streams * 0.12:.0f} MB for "
        f"sessions and {streams * 0.32:.0f} MB for 10 s of audio that may be unacknowledged"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--per-process", type=int, default=200)
    parser.add_argument("--cores", type=int, default=16, help="of one machine")
    parser.add_argument("--accepts", type=float, default=500, help="sessions the service lets in a second")
    parser.add_argument("--check", action="store_true", help="against measured.json")
    options = parser.parse_args()
    measured = json.loads((HERE / "measured.json").read_text(encoding="utf-8"))
    if options.check:
        return 0 if check(measured, 0.3) else 1
    print(layout(measured, options.streams, options.per_process, options.cores))
    chance = random.Random(1)
    print("jitter  attempts  worst second  half back  last back  audio kept  gave up")
    for name, jitter in (("none", lambda: 1.0), ("full", chance.random)):
        came = storm(options.streams, options.accepts, jitter)
        print(
            f"{name:6}  {came.attempts:8}  {came.peak:12}  {came.back_half:7.1f} s  {came.back_all:7.1f} s  "
            f"{came.held:7.0f} MB  {came.gave_up:7}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
