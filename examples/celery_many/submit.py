"""Submit a folder of recordings to the workers, and show the progress: ``python submit.py CALLS OUT``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from app import transcribe
from celery.result import AsyncResult

ENDINGS = {".wav", ".mp3", ".flac", ".ogg", ".m4a"}


def main(calls: Path, out: Path) -> int:
    recordings = sorted(path for path in calls.rglob("*") if path.suffix.lower() in ENDINGS)
    waiting: dict[str, AsyncResult] = {}
    for recording in recordings:
        name = str(recording.relative_to(calls))
        target = out / f"{name}.txt"  # with its ending: there may be a call.mp3 beside a call.wav
        if not target.exists():  # done by an earlier run
            waiting[name] = transcribe.delay(str(recording.resolve()), str(target.resolve()))
    failed = 0
    total = len(waiting)
    while waiting:
        states = Counter(result.state for result in waiting.values())
        for name, result in list(waiting.items()):
            if result.ready():
                del waiting[name]
                failed += not result.successful()
                print(f"{total - len(waiting)}/{total} {name}: {result.result}", flush=True)
        print(", ".join(f"{count} {state}" for state, count in sorted(states.items())), flush=True)
        time.sleep(0.5)  # a display: nothing waits for it
    print(f"{total - failed} transcribed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python submit.py FOLDER OUT")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
