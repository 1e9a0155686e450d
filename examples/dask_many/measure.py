"""Measure what sessions cost here, over 1, 2 and 4 worker processes: ``python measure.py``.

Writes ``measured.json``, which ``simulate.py`` is checked against, and ``throughput.png`` (needs matplotlib).
The service is the scripted engine of the local server, in a process of its own. CPU time is what counts: a
machine that others use as well gives less of it, not other figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from speechmatics_rt import AudioFormat, transcribe_many
from speechmatics_rt.local import LocalServer

HERE = Path(__file__).parent
RAW = AudioFormat("pcm_s16le", sample_rate=16000)
CALL = bytes(32000 * 10)  # of the recordings that are sent as fast as may be
LIVE = bytes(32000 * 12)  # of the streams that are sent as they would sound
PROCESSES = (1, 2, 4)


def serve(pipe: Connection) -> None:
    """Run the server; answer each question with the CPU time it has used."""
    with LocalServer(keep_audio=1, keep_sessions=100) as server:
        pipe.send(server.url)
        while pipe.recv():
            pipe.send(time.process_time())


def transcribe_batch(url: str, sources: int, live: bool, sessions: int) -> dict[str, float]:
    """Run many sessions in threads of this worker process; give what they took."""
    audio, speed = (LIVE, 1.0) if live else (CALL, None)
    cpu, wall = time.process_time(), time.monotonic()
    heard = 0.0
    options = {"url": url, "audio_format": RAW, "speed": speed, "max_sessions": sessions}
    for outcome in transcribe_many((audio for _ in range(sources)), **options):
        if outcome.error is not None:
            raise outcome.error
        heard += outcome.stats.seconds_sent
    return {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall, "seconds": heard}


def measure(processes: int, sources: int, sessions: int, *, live: bool) -> dict[str, float]:
    """Run ``sources`` sessions over so many processes, ``sessions`` at once in each."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,))
    server.start()
    try:
        url = ours.recv()
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            warm = [pool.submit(transcribe_batch, url, 1, False, 1) for _ in range(processes)]
            time.sleep(1)
            for future in warm:
                future.result()
            ours.send(True)
            before, began = ours.recv(), time.monotonic()
            futures = [
                pool.submit(transcribe_batch, url, sources // processes, live, sessions)
                for _ in range(processes)
            ]
            done = [future.result() for future in futures]
            wall = time.monotonic() - began
            ours.send(True)
            spent = ours.recv() - before
        ours.send(False)
    finally:
        server.join(10)
        server.kill()
    count = sources // processes * processes
    return {
        "processes": processes,
        "sessions_at_once": sessions * processes,
        "sessions": count,
        "wall": round(wall, 2),
        "sessions_per_second": round(count / wall, 1),
        "audio_seconds_per_second": round(sum(one["seconds"] for one in done) / wall, 1),
        "client_cpu_per_session": round(sum(one["cpu"] for one in done) / count, 5),
        "server_cpu_per_session": round(spent / count, 5),
        "cores_had": round((sum(one["cpu"] for one in done) + spent) / wall, 2),
    }


def plot(measured: dict[str, Any], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from simulate import throughput

    runs = measured["throughput"]
    counts = [run["processes"] for run in runs]
    figure, axes = plt.subplots(figsize=(5, 3), dpi=100)
    axes.plot(counts, [run["sessions_per_second"] for run in runs], "o-", label="measured")
    axes.plot(counts, [throughput(measured, run) for run in runs], "x--", label="simulated")
    axes.set(xlabel="worker processes", ylabel="recordings of 10 s a second", xticks=counts, ylim=(0, None))
    axes.set_title(f"{measured['machine']}, load {measured['load']}", fontsize=8)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=400, help="recordings of each run")
    parser.add_argument("--live", type=int, default=20, help="streams in each process")
    parser.add_argument("--plot-only", action="store_true", help="draw what measured.json has")
    options = parser.parse_args()
    target = HERE / "measured.json"
    if not options.plot_only:
        measured = {
            "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
            "load": round(os.getloadavg()[0], 1),  # of others, before we began
            "throughput": [measure(count, options.sources, 4, live=False) for count in PROCESSES],
            "live": [measure(count, options.live * count, options.live, live=True) for count in PROCESSES],
            "live_seconds": len(LIVE) / 32000,
        }
        target.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    measured = json.loads(target.read_text(encoding="utf-8"))
    print(json.dumps(measured, indent=2))
    plot(measured, HERE / "throughput.png")


if __name__ == "__main__":
    main()
