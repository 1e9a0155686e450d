"""What the tests of the examples stand on: a scripted service, a browser, a Redis."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer

from ..conftest import SPEECH
from .browser import chromium


@pytest.fixture(scope="module")
def service() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with the recording for a microphone."""
    folder = tmp_path_factory.mktemp("chromium")
    (folder / "downloads").mkdir()
    with chromium(folder, microphone=SPEECH) as running:
        running.downloads = folder / "downloads"
        yield running


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[str]:
    """A Redis of the test's own; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while "eady to accept connections" not in (line := process.stdout.readline()):
                assert line, "redis-server ended"
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
