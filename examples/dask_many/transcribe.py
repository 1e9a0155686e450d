"""Transcribe a folder of recordings on a Dask cluster: ``python transcribe.py CALLS OUT``.

Without ``--scheduler`` it starts a cluster of worker processes on this machine; without SPEECHMATICS_RT_URL
and SPEECHMATICS_API_KEY a local server, so that it can be tried as it is:
``pip install 'speechmatics-rt-sync[local]' 'dask[distributed]' bokeh``.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from dask.distributed import Client as Dask
from dask.distributed import LocalCluster

from speechmatics_rt import Outcome, TranscriptionConfig, transcribe_many
from speechmatics_rt.local import LocalServer

ENDINGS = {".wav", ".mp3", ".flac", ".ogg", ".m4a"}


def main() -> None:
    options = parse()
    recordings = sorted(path for path in options.calls.rglob("*") if path.suffix.lower() in ENDINGS)
    options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = service(options, stack)
        dask = stack.enter_context(Dask(options.scheduler or local_cluster(options, stack)))
        print(f"dashboard: {dask.dashboard_link}")
        print("workers:", *dask.run(os.getpid).values(), flush=True)
        # The sessions of a worker that dies are lost; Dask gives their recordings to another one.
        outcomes = transcribe_many(
            (str(path) for path in recordings),  # paths that the workers can open, too
            executor=dask.get_executor(pure=False),
            max_sessions=options.sessions,
            url=url,
            transcription_config=TranscriptionConfig(language="en"),
            speed=options.speed,
        )
        failed = 0
        for number, outcome in enumerate(stack.enter_context(outcomes), 1):
            failed += not outcome.ok
            print(f"{number}/{len(recordings)} {keep(outcome, options)}", flush=True)
    print(f"{len(recordings) - failed} transcribed, {failed} failed")


def keep(outcome: Outcome, options: argparse.Namespace) -> str:
    """Write the transcript, if there is one; return a line about the outcome."""
    name = Path(outcome.source).relative_to(options.calls)
    if outcome.transcript is None:
        return f"{name}: {outcome.error}"
    target = options.out / f"{name}.txt"  # with its ending: there may be a call.mp3 beside a call.wav
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{outcome.transcript}\n", encoding="utf-8")
    return f"{name}: {len(outcome.transcript.words)} words"


def service(options: argparse.Namespace, stack: ExitStack) -> str | None:
    if options.engine is None and {"SPEECHMATICS_RT_URL", "SPEECHMATICS_API_KEY"} & set(os.environ):
        return None  # the service of these variables, which the workers need as well
    return stack.enter_context(LocalServer(options.engine or "scripted", keep_sessions=100)).url


def local_cluster(options: argparse.Namespace, stack: ExitStack) -> LocalCluster:
    threads = -(-options.sessions // options.workers)  # a session waits for the network: threads are enough
    return stack.enter_context(LocalCluster(n_workers=options.workers, threads_per_worker=threads))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=Path, help="a folder of recordings")
    parser.add_argument("out", type=Path, help="where the transcripts go")
    parser.add_argument("--scheduler", help="of a running cluster, tcp://...:8786; default: start one")
    parser.add_argument("--workers", type=int, default=3, help="processes of the cluster that is started")
    parser.add_argument("--sessions", type=int, default=6, help="at once, over all workers: your quota")
    parser.add_argument("--engine", choices=["scripted", "whisper"], help="of the local server")
    parser.add_argument("--speed", type=float, help="1 = real time; default: as fast as possible")
    return parser.parse_args()


if __name__ == "__main__":  # workers import this file
    main()
