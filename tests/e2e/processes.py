"""Web servers, as their operators start them: each in a process of its own, until the test is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_STARTED = 60.0  # seconds: a busy machine, a model to load
_ENDED = 20.0


class Server:
    """A process that serves, what it says, and the address that it has said."""

    def __init__(self, process: subprocess.Popen[str], says: str) -> None:
        self.process = process
        self.lines: list[str] = []
        self._says = re.compile(says)
        self._said: re.Match[str] | None = None
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                self._said = self._said or self._says.search(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait(self) -> str:
        """Wait until it serves; return its address."""
        with self._news:
            self._news.wait_for(lambda: self._said or not self._reader.is_alive(), _STARTED)
            assert self._said, "it does not serve:\n" + "".join(self.lines)
            return self._said.group(1).rstrip("/")

    def wait_for(self, text: str) -> None:
        """Wait until it says something."""
        with self._news:
            said = self._news.wait_for(lambda: any(text in line for line in self.lines), 10)
            assert said, f"{text!r} is not in\n" + "".join(self.lines)

    def children(self) -> list[int]:
        """The processes that it has started, and those that these have."""
        found, looked = [self.process.pid], 0
        while looked < len(found):
            for task in Path(f"/proc/{found[looked]}/task").glob("*/children"):
                found += map(int, task.read_text().split())
            looked += 1
        return found[1:]

    def stop(self) -> int:
        """Stop it as its operator does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_ENDED)
        self._reader.join(_ENDED)
        return code


@contextmanager
def serving(
    *command: object, says: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``python -m ...`` until it says where it serves, and stop it in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    with process:
        server = Server(process, says)
        try:
            server.wait()
            yield server
        finally:
            if process.poll() is None:
                try:
                    server.stop()
                finally:
                    process.kill()
