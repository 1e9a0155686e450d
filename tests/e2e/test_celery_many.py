"""The example ``celery_many`` as its users start it: a real Redis, workers that fork, one of them killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..many.sessions import most_at_once
from .recordings import read_aloud, scripted, share_heard

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "celery_many"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server"),
    pytest.mark.skipif(find_spec("celery") is None, reason="needs the extra examples"),
]


class Fleet:
    """Two workers of two processes each, and whoever gives them work; use it in ``with``."""

    def __init__(self, queue: str, url: str, folder: Path, **more: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHMATICS")}
        paths = {"PYTHONPATH": str(ROOT), "REDIS_URL": queue, "SPEECHMATICS_RT_URL": url}
        self.env = {**clean, **paths, **more}
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Fleet:
        for number in range(2):
            log = self._stack.enter_context(open(self.folder / f"worker-{number}.log", "wb"))
            words = ("celery", "-A", "app", "worker", "--concurrency", "2", "-n", f"w{number}@%h")
            self.workers.append(self._start(words, stdout=log, stderr=subprocess.STDOUT))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._stack.close()

    def submit(self, calls: Path, out: Path) -> subprocess.Popen[str]:
        return self._start(("submit", str(calls), str(out)), stdout=subprocess.PIPE, text=True)

    def _start(self, words: tuple[str, ...], **streams: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen([sys.executable, "-m", *words], cwd=EXAMPLE, env=self.env, **streams)

    def pool_of(self, number: int) -> list[int]:
        """Name the processes that one worker has forked."""
        pid = self.workers[number].pid
        tasks = Path(f"/proc/{pid}/task")
        found = [int(one) for task in tasks.iterdir() for one in (task / "children").read_text().split()]
        return sorted(found)

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found as Linux tells of them")
def test_recordings_are_transcribed_once_each_within_the_limit_though_a_worker_is_killed(
    queue: str, tmp_path: Path
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    spoken = scripted(calls, 60)
    # Three that follow one another hold all there may be: of two workers, each has at least one of them.
    held = range(20, 23)
    faults = [Fault.error("job_error", after_seconds=1, sessions=[5]), Fault.late_end(30, sessions=held)]
    with (
        LocalServer(speed=6, faults=faults) as server,
        Fleet(queue, server.url, tmp_path, SESSIONS="3") as fleet,
    ):
        with fleet.submit(calls, out) as process:
            said: list[str] = []
            killed = False
            states: set[str] = set()
            for line in process.stdout:
                said.append(line)
                states |= set(re.findall(r"\d+ ([A-Z]+)", line))
                if not killed and line.startswith("15/60"):
                    for index in held:
                        server.wait_for_session(index, 30).wait_for(lambda r: r.heard("EndOfStream"), 30)
                    for pid in fleet.pool_of(0):
                        os.kill(pid, signal.SIGKILL)
                    killed = True
            assert process.wait(30) == 0, "".join(said) + fleet.said()
        assert killed
        assert said[-1] == "60 transcribed, 0 failed\n"
        told = [found[1] for line in said if (found := re.match(r"\d+/60 (call-\d+)\.wav: \{", line))]
        assert sorted(told) == sorted(spoken)
        retried = [line for line in said if "'tries': 2" in line]
        assert len(retried) == 1  # the one that the service broke, after the 5 s it asks for
        assert most_at_once(server) <= 3
        assert "RETRY" in states
        cut = [record.index for record in server.sessions if "EndOfTranscript" not in record.tally]
        assert {*cut} - {5} <= {*held}
        assert len(cut) >= 2  # what was broken, and at least one of a process that was killed
    for name, words in spoken.items():
        assert share_heard(words, (out / f"{name}.wav.txt").read_text()) >= 0.8, name


def test_recordings_of_one_name_in_two_folders_are_two(queue: str, tmp_path: Path) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    for folder in ("may", "june"):
        spoken = scripted(calls / folder, 2)
    with (
        LocalServer() as server,
        Fleet(queue, server.url, tmp_path) as fleet,
        fleet.submit(calls, out) as process,
    ):
        said, _ = process.communicate(timeout=60)
    assert said.endswith("4 transcribed, 0 failed\n")
    written = {str(path.relative_to(out)) for path in out.rglob("*.txt")}
    assert written == {f"{folder}/{name}.wav.txt" for folder in ("may", "june") for name in spoken}


def test_the_state_of_a_task_tells_how_far_it_is_and_the_soft_limit_ends_it(
    queue: str, tmp_path: Path
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    scripted(calls, 1)
    with LocalServer(speed=0.5) as server, Fleet(queue, server.url, tmp_path, LONGEST="4") as fleet:
        process = fleet.submit(calls, out)
        said, _ = process.communicate(timeout=60)
    assert "1 PROGRESS" in said, said
    assert "took longer than 4 s" in said
    assert said.endswith("0 transcribed, 1 failed\n")
    assert server.sessions[0].closed.is_set()


@pytest.mark.speech
def test_real_speech_is_recognised(queue: str, tmp_path: Path) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    spoken = read_aloud(calls)
    began = time.monotonic()
    with LocalServer("whisper") as server, Fleet(queue, server.url, tmp_path, SESSIONS="2") as fleet:
        with fleet.submit(calls, out) as process:
            said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said + fleet.said()
    assert time.monotonic() - began < 250
    for name, words in spoken.items():
        assert share_heard(words, (out / f"{name}.wav.txt").read_text()) >= 0.8, name
