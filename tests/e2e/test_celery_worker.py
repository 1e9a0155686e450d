"""The example ``celery_worker.py`` with a real Redis and a real worker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..held import HeldEngine
from .recordings import scripted, share_heard

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server"),
    pytest.mark.skipif(find_spec("celery") is None, reason="needs the extra examples"),
]


@contextmanager
def worker(queue: str, server: LocalServer, log: Path, **more: str) -> Iterator[dict[str, str]]:
    """Run a worker; gives the variables with which work is handed in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHMATICS")}
    paths = {"PYTHONPATH": str(ROOT), "REDIS_URL": queue, "SPEECHMATICS_RT_URL": server.url}
    variables = {**clean, **paths, **more}
    command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "--concurrency", "1"]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, cwd=EXAMPLES, env=variables, stdout=said, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield variables
        finally:
            process.terminate()


def hand_in(recording: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "celery_worker.py", str(recording)]
    return subprocess.run(
        command, cwd=EXAMPLES, env=variables, capture_output=True, text=True, check=False, timeout=100
    )


def watched(recording: Path, variables: dict[str, str], pattern: str, then: Callable[[], object]) -> Any:
    """Hand a recording in; as soon as a line that is told of it is like the pattern, do something."""
    command = [sys.executable, "celery_worker.py", str(recording)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=EXAMPLES, env=variables, **streams) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if re.search(pattern, line):
                then()
        out = process.stdout.read()
    return subprocess.CompletedProcess(command, process.returncode, out, "".join(said))


@pytest.mark.parametrize("example", ["celery_worker.py", "celery_many/submit.py"])
@pytest.mark.parametrize("words", [(), ("nowhere",), ("nowhere", "here", "there")])
def test_what_it_cannot_run_with_is_told_in_one_line(example: str, words: tuple[str, ...]) -> None:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, EXAMPLES / example, *words]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith("usage: python")


def test_it_tells_how_far_it_is_and_tries_again_what_may_pass(queue: str, tmp_path: Path) -> None:
    ((name, words),) = scripted(tmp_path / "calls", 1).items()
    broken = Fault.error("job_error", after_seconds=1, sessions=[0])
    engine = HeldEngine()
    with (
        LocalServer(engine, faults=[broken]) as server,
        worker(queue, server, tmp_path / "log") as variables,
    ):
        done = watched(tmp_path / "calls" / f"{name}.wav", variables, "%", engine.let_go.set)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    assert share_heard(words, done.stdout) == 1
    assert "RETRY" in done.stderr
    assert "%" in done.stderr
    assert len(server.sessions) == 2


def test_a_recording_that_takes_too_long_fails_and_its_session_is_closed(queue: str, tmp_path: Path) -> None:
    (name,) = scripted(tmp_path / "calls", 1)
    with (
        LocalServer(speed=0.2) as server,
        worker(queue, server, tmp_path / "log", LONGEST="2") as variables,
    ):
        done = hand_in(tmp_path / "calls" / f"{name}.wav", variables)
        assert server.wait_for_session().closed.wait(10)
    assert done.returncode == 1
    assert "SoftTimeLimitExceeded" in done.stderr


def test_of_a_recording_whose_length_nobody_knows_the_seconds_are_told(queue: str, tmp_path: Path) -> None:
    (tmp_path / "call.mp3").write_bytes(b"ID3" + bytes(96000))
    engine, seconds = HeldEngine(), r"^\d+ s$"
    with LocalServer(engine) as server, worker(queue, server, tmp_path / "log") as variables:
        done = watched(tmp_path / "call.mp3", variables, seconds, engine.let_go.set)
    assert done.returncode == 0, done.stderr
    assert re.search(seconds, done.stderr, re.MULTILINE)


def test_a_recording_that_is_none_is_not_tried_again(queue: str, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear Marianne, " * 20)
    with LocalServer() as server, worker(queue, server, tmp_path / "log") as variables:
        done = hand_in(tmp_path / "letter.wav", variables)
    assert done.returncode == 1
    assert "RETRY" not in done.stderr
    assert "AudioError" in done.stderr
    assert server.sessions == []
