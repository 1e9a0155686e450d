"""The example ``dask_many`` as its users start it: a cluster of worker processes, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..many.sessions import most_at_once
from .recordings import read_aloud, scripted, share_heard

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "dask_many"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_spec("distributed") is None, reason="needs the extra examples"),
    pytest.mark.skipif(os.name == "nt", reason="a process is killed as Unix does it"),
]


def start(*words: Any, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHMATICS")}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE / "transcribe.py"), *map(str, words)],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_hundreds_of_recordings_are_transcribed_once_each_though_a_worker_is_killed(tmp_path: Path) -> None:
    spoken = scripted(tmp_path / "calls", 200)
    said: list[str] = []
    victims: list[str] = []
    words = (tmp_path / "calls", tmp_path / "out", "--sessions", 6)
    # Six that follow one another hold all threads of all workers: who is killed then has two of them.
    held = range(40, 46)
    faults = [Fault.late_end(20, sessions=held)]
    with (
        LocalServer(faults=faults) as server,
        start(*words, cwd=tmp_path, SPEECHMATICS_RT_URL=server.url) as process,
    ):
        for line in process.stdout:
            said.append(line)
            if line.startswith("workers:"):
                victims = line.split()[1:]
            if line.startswith("40/200"):
                for index in held:
                    server.wait_for_session(index, timeout=20).wait_for(lambda r: r.heard("EndOfStream"), 20)
                os.kill(int(victims[0]), signal.SIGKILL)
        assert process.wait(60) == 0, "".join(said)
        assert most_at_once(server) <= 6
        cut = [record for record in server.sessions if "EndOfTranscript" not in record.tally]
        assert [record.index in held for record in cut] == [True, True]
        assert len(server.sessions) >= 202
    assert len(victims) == 3
    assert said[0].startswith("dashboard: http://127.0.0.1:") or any(
        "dashboard: http" in line for line in said
    )
    assert said[-1] == "200 transcribed, 0 failed\n"
    told = [found[1] for line in said if (found := re.match(r"\d+/200 (call-\d+)\.wav: \d+ words", line))]
    assert sorted(told) == sorted(spoken)  # each once, none lost
    for name, words in spoken.items():
        assert share_heard(words, (tmp_path / "out" / f"{name}.wav.txt").read_text()) >= 0.8, name


LIMITED = """
    import sys
    from dask.distributed import Client, LocalCluster, Semaphore
    from speechmatics_rt import transcribe_many

    if __name__ == "__main__":
        options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster) as dask:
            outcomes = transcribe_many(
                [sys.argv[1]] * 6,
                executor=dask.get_executor(pure=False),
                max_sessions=4,
                limiter=Semaphore(max_leases=1, name="speechmatics"),
                url=sys.argv[2],
            )
            print(sum(outcome.ok for outcome in outcomes))
"""


def test_a_semaphore_of_the_cluster_holds_over_all_its_workers(tmp_path: Path) -> None:
    scripted(tmp_path / "calls", 1)
    program = tmp_path / "limited.py"
    program.write_text(textwrap.dedent(LIMITED))
    with LocalServer(speed=8) as server:
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path / "calls" / "call-000.wav"), server.url],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.stdout == "6\n", done.stderr
        assert most_at_once(server) == 1


@pytest.mark.speech
def test_real_speech_is_recognised(tmp_path: Path) -> None:
    spoken = read_aloud(tmp_path / "calls")
    options = ("--engine", "whisper", "--workers", 2, "--sessions", 2)
    with start(tmp_path / "calls", tmp_path / "out", *options, cwd=tmp_path) as process:
        out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    for name, words in spoken.items():
        assert share_heard(words, (tmp_path / "out" / f"{name}.wav.txt").read_text()) >= 0.8, name
