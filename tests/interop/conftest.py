"""Clients of other makers, each in a virtual environment of its own, and ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

HERE = Path(__file__).parent
REQUIREMENTS = {
    "official": "speechmatics-rt[jwt]==1.2.1",
    "deprecated": "speechmatics-python==5.0.0.post1",
    "plain": "websockets>=13",
    "voice": "speechmatics-voice==0.2.8 websocket-client>=1.9.2",  # with what this package needs beside it
}
Played = tuple[list[dict[str, Any]], dict[str, Any]]  # the messages received, and how it went


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the environments are: in ``SPEECHMATICS_RT_INTEROP_HOME``, or made for this run alone."""
    kept = os.environ.get("SPEECHMATICS_RT_INTEROP_HOME")
    return Path(kept) if kept else tmp_path_factory.mktemp("interop")


@pytest.fixture(scope="session")
def python_of(home: Path) -> Callable[[str], Path]:
    """Return the interpreter that has this client; its environment is made at the first call."""

    def python(client: str) -> Path:
        if client == "ours":
            return Path(sys.executable)
        place = home / f"{client}-{sys.version_info[0]}.{sys.version_info[1]}"
        interpreter = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        done = place / "requirement"
        if not done.exists() or done.read_text() != REQUIREMENTS[client]:
            venv.create(place, clear=True)  # to give each a pip of its own takes longer than to fill it
            pip = [sys.executable, "-m", "pip", "--python", interpreter]
            install = [*pip, "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
            subprocess.run([*install, *REQUIREMENTS[client].split()], check=True)
            done.write_text(REQUIREMENTS[client])
        return interpreter

    return python


@pytest.fixture
def play(python_of: Callable[[str], Path]) -> Callable[[str, dict[str, Any]], Played]:
    """Have a client speak a scenario in a process of its own."""

    def play(client: str, scenario: dict[str, Any]) -> Played:
        process = subprocess.run(
            [python_of(client), HERE / "drivers" / f"{client}.py"],
            input=json.dumps(scenario),
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,  # what it printed tells more
            env=environment(),
        )
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        outcome: Optional[dict[str, Any]] = lines.pop() if lines and "driver" in lines[-1] else None
        assert outcome is not None, f"the driver of {client} broke:\n{process.stderr}"
        return lines, outcome

    return play


def environment() -> dict[str, str]:
    """Return this process's variables without those that speak to Python or to a client, and our own path."""
    foreign = re.compile("^PYTHON|^SPEECHMATICS_|^SM_|_proxy$", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not foreign.search(name)}
    return {**kept, "PYTHONUTF8": "1", "PYTHONPATH": str(HERE.parents[1])}
