"""The recogniser of this machine, in a process of its own, which ends with ours.

In a process of its own it may be busy without holding up those who serve pages; all workers that gunicorn
forks from a preloaded app share it; and it doesn't matter whether gevent has replaced their threads.
"""

from __future__ import annotations

import subprocess
import sys

from speechmatics_rt.local import LocalServer


def local_recogniser() -> str:
    """Start it and return its address.

    It ends when nobody holds the other end of its standard input any more: however this process and those
    forked from it come to their ends.
    """
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us alone
    )
    url = process.stdout.readline().strip()
    if not url:
        raise SystemExit(f"the local recogniser did not start, exit code {process.wait()}; see above")
    _running.append(process)
    return url


_running: list[subprocess.Popen[str]] = []  # for as long as this process lives

if __name__ == "__main__":
    with LocalServer("whisper", keep_audio=10, keep_sessions=10) as server:
        server.engine.language_pack_info("en")  # loads the model, so that the first visitor needn't wait
        print(server.url, flush=True)
        sys.stdin.read()
