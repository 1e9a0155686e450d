"""Sessions in the workers of web servers: before the fork, behind it, across requests and reloads."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from speechmatics_rt.local import LocalServer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORDS = "Good morning, and welcome"
SOON = 30.0  # s, on a busy machine


@dataclass(frozen=True)
class Row:
    """A web server, as its operator starts it: one process that works.

    Attributes:
        preloads: The program is loaded before the fork, and has a session open by then.
        limits: It ends a request that takes two seconds, and its worker.
    """

    name: str
    command: tuple[str, ...]
    preloads: bool = False
    limits: bool = False


def gunicorn(*options: str) -> tuple[str, ...]:
    return (
        sys.executable,
        "-m",
        "gunicorn",
        "--bind",
        "127.0.0.1:0",
        "--workers",
        "1",
        *options,
        "wsgi_app:app",
    )


def uwsgi(*options: str) -> tuple[str, ...]:
    path = Path(sys.executable).parent / "uwsgi"
    usual = ("--http-socket", "127.0.0.1:0", "--master", "--processes", "1", "--module", "wsgi_app:app")
    return (str(path), *usual, "--pyhome", sys.prefix, "--pythonpath", str(ROOT), "--die-on-term", *options)


TABLE = [
    Row("gunicorn sync", gunicorn("--timeout", "2"), limits=True),
    Row("gunicorn sync --preload", gunicorn("--preload", "--timeout", "2"), preloads=True, limits=True),
    Row("gunicorn gthread --preload", gunicorn("--preload", "--threads", "4"), preloads=True),
    Row("gunicorn gevent --preload", gunicorn("--preload", "-k", "gevent"), preloads=True),
    Row("uwsgi", uwsgi("--harakiri", "2"), limits=True),
    Row("uwsgi --enable-threads", uwsgi("--enable-threads", "--harakiri", "2"), limits=True),
    Row("uwsgi --threads --lazy-apps", uwsgi("--threads", "4", "--lazy-apps")),
]


class Site:
    """The server's process, and where it serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.address = ""
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._known.wait(SOON), self.said

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            bound = re.search(r"Listening at: (http://\S+)|bound to TCP address (127\.0\.0\.1:\d+)", line)
            if bound:
                self.address = bound[1] or f"http://{bound[2]}"
                self._known.set()
        self._known.set()

    def get(self, path: str) -> tuple[int, str]:
        """Return the worker's number, and what it says; while one is replaced, ask again."""
        deadline = time.monotonic() + SOON
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/{path}", timeout=SOON) as answer:
                    worker, _, text = answer.read().decode().partition(" ")
                return int(worker), text
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # nothing rings when a worker is ready


@contextmanager
def site(row: Row, server: LocalServer) -> Iterator[Site]:
    environment = {**os.environ, "URL": server.url, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    if row.preloads:
        environment["SESSION_AT_IMPORT"] = "1"
    process = subprocess.Popen(
        row.command,
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield Site(process)
        finally:
            process.kill()


def all_closed(server: LocalServer, but: int = 0) -> bool:
    """Whether all sessions have ended, but those of a parent."""
    deadline = time.monotonic() + SOON
    while sum(not record.closed.is_set() for record in server.sessions) > but:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # it is any of many
    return True


@pytest.mark.reliability
@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_web_servers_worker_has_its_sessions_and_leaves_none(row: Row) -> None:
    parents = int(row.preloads)
    with LocalServer() as server, site(row, server) as web:
        for path in ("transcribe", "shared"):
            assert web.get(path)[1].startswith(WORDS), web.said
        assert web.get("start")[1] == "started"  # and goes on between the requests
        assert web.get("heard")[1] != ""
        before, text = web.get("stop")
        assert text.startswith(WORDS), web.said
        assert all_closed(server, parents)

        web.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SOON
        worker, text = web.get("shared")
        while worker == before and time.monotonic() < deadline:
            time.sleep(0.05)  # until the worker is another: one that leaves may take requests a second longer
            worker, text = web.get("shared")
        assert text.startswith(WORDS)
        assert worker != before

        if row.limits:
            with pytest.raises(OSError):  # which one is the server's choice
                urllib.request.urlopen(f"{web.address}/endless", timeout=SOON)
            assert all_closed(server, parents)
            other, text = web.get("transcribe")
            assert other != worker
            assert text.startswith(WORDS)

        assert web.get("start")[1] == "started"
        web.process.send_signal(signal.SIGTERM)
        web.process.wait(SOON)
        assert all_closed(server), web.said
