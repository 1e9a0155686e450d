"""The Django site: its own tests, and the site under gunicorn and uvicorn."""

from __future__ import annotations

import http.cookiejar
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import Transcript
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine

from ..conftest import SPEECH
from ..held import HeldEngine
from .processes import ROOT, Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
pytest.importorskip("django")

SITE = ROOT / "examples" / "django_site"
HEARD = "Good morning, and welcome to the reading room."
SERVED_BY = {
    "gunicorn": (
        ("gunicorn", "--bind", "127.0.0.1:0", "--preload", "--threads", 8, "project.wsgi"),
        r"Listening at: (http://\S+)",
    ),
    "uvicorn": (("uvicorn", "--port", 0, "project.asgi:application"), r"running on (http://\S+)"),
}


def manage(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "manage.py", *arguments],
        cwd=SITE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ResourceWarning" not in done.stderr
    return done.stdout + done.stderr


class Visitor:
    """A browser without a screen: it keeps its cookies, and posts forms with their token."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies = http.cookiejar.CookieJar()
        no_proxy = urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(
            no_proxy, urllib.request.HTTPCookieProcessor(self._cookies)
        )

    def get(self, path: str) -> str:
        with self._opener.open(self._url + path, timeout=60) as answer:
            return str(answer.read().decode())

    def upload(self, path: str, audio: bytes) -> Any:
        """Post a file as a form does; the answer is to be read and closed."""
        if not self._cookies:
            self.get("/")
        (token,) = (cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="audio"; filename="talk.wav"\r\n\r\n'
        body = head.encode() + audio + f"\r\n--{edge}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "X-CSRFToken": token}
        return self._opener.open(urllib.request.Request(self._url + path, body, headers), timeout=60)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "site.sqlite3"
    manage("migrate", "--verbosity", "0", DJANGO_DATABASE=str(path))
    return path


@pytest.fixture(params=SERVED_BY)
def site(request: pytest.FixtureRequest, database: Path, service: LocalServer) -> Iterator[Server]:
    command, says = SERVED_BY[request.param]
    environment = {"DJANGO_DATABASE": str(database), "SPEECHMATICS_RT_URL": service.url}
    with serving(*command, says=says, folder=SITE, environment=environment) as running:
        running.asynchronous = request.param == "uvicorn"
        yield running
    service.faults = ()


def open_databases(site: Server, database: Path) -> list[str]:
    """What the site's processes have open of the database."""
    found = []
    for pid in [site.process.pid, *site.children()]:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if target.startswith(str(database)):
                found.append(target)
    return found


def no_connection_is_left(site: Server, database: Path) -> bool:
    """Wait for the ends of the requests, which come behind their answers and ring for nobody."""
    deadline = time.monotonic() + 10
    while open_databases(site, database) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not open_databases(site, database)


def kept(database: Path) -> list[tuple[str, float, str, Transcript]]:
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("SELECT state, seconds, text, data FROM recordings_recording ORDER BY id")
        return [
            (state, seconds, text, Transcript.from_dict(json.loads(data)))
            for state, seconds, text, data in rows
        ]
    finally:
        connection.close()


def test_its_own_tests_pass_and_no_migration_is_missing() -> None:
    assert "OK" in manage("test")
    assert "No changes" in manage("makemigrations", "--check", "--dry-run")
    assert "no issues" in manage("check")


def test_uploads_are_kept_and_no_connection_stays_open(site, database) -> None:
    visitor = Visitor(site.wait())
    for _ in range(3):
        with visitor.upload(
            "/upload-async" if site.asynchronous else "/upload", SPEECH.read_bytes()
        ) as answer:
            told = json.load(answer)
        assert told["state"] == "done"
        assert told["text"].startswith(f"S1: {HEARD}")
        assert json.loads(visitor.get(f"/recordings/{told['id']}")) == told
    assert "talk.wav" in visitor.get("/")
    assert no_connection_is_left(site, database)
    rows = kept(database)
    assert len(rows) == 3
    for state, seconds, text, transcript in rows:
        assert state == "done"
        assert seconds == transcript.end_time > 19
        assert text == str(transcript)


def test_a_browser_sees_its_upload_in_the_page_which_fits_a_phone(browser, service, database) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    command, says = SERVED_BY["gunicorn"]
    environment = {"DJANGO_DATABASE": str(database), "SPEECHMATICS_RT_URL": service.url}
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        with serving(*command, says=says, folder=SITE, environment=environment) as site:
            browser.get(site.wait())
            browser.find_element("css selector", "input[type=file]").send_keys(str(SPEECH))
            browser.find_element("css selector", "button").click()
            said = "return document.querySelector('article p')?.textContent ?? ''"
            WebDriverWait(browser, 60, 0.1).until(lambda page: HEARD in page.execute_script(said))
            assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_words_come_while_the_recording_is_heard(database) -> None:
    command, says = SERVED_BY["gunicorn"]
    engine = HeldEngine()
    with LocalServer(engine) as held:
        environment = {"DJANGO_DATABASE": str(database), "SPEECHMATICS_RT_URL": held.url}
        with serving(*command, says=says, folder=SITE, environment=environment) as site:
            visitor = Visitor(site.wait())
            with visitor.upload("/live", SPEECH.read_bytes()) as answer:
                first = answer.read(len("Good"))
                assert not held.sessions[-1].closed.is_set()  # the end of it is still to be heard
                engine.let_go.set()
                rest = answer.read()
            assert (first + rest).decode().startswith(HEARD)
            assert no_connection_is_left(site, database)
    assert kept(database)[0][0] == "done"


def test_a_reader_who_leaves_ends_the_session(database) -> None:
    command, says = SERVED_BY["gunicorn"]
    words = " ".join("one two three four." for _ in range(500))
    with LocalServer(ScriptedEngine(Script.from_text(words)), speed=8.0) as slow:
        environment = {"DJANGO_DATABASE": str(database), "SPEECHMATICS_RT_URL": slow.url}
        with serving(*command, says=says, folder=SITE, environment=environment) as site:
            answer = Visitor(site.wait()).upload("/live", wav(600))
            answer.read(4)
            answer.close()
            assert slow.sessions[-1].closed.wait(20)
            assert slow.sessions[-1].final_seconds < 600


def wav(seconds: int) -> bytes:
    """Make so much silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, 8000, 0, "NONE", ""))
        recording.writeframes(bytes(16000 * seconds))
    return file.getvalue()


def test_a_busy_service_is_told_with_when_to_come_again(site, service, database) -> None:
    service.faults = (Fault.error("quota_exceeded", at="start"),)
    with pytest.raises(urllib.error.HTTPError) as refused:
        Visitor(site.wait()).upload("/upload-async" if site.asynchronous else "/upload", SPEECH.read_bytes())
    with refused.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert kept(database)[0][0] == "failed"
    assert no_connection_is_left(site, database)


def test_the_command_prints_what_it_keeps(database, service) -> None:
    said = manage("transcribe", str(SPEECH), DJANGO_DATABASE=str(database), SPEECHMATICS_RT_URL=service.url)
    assert said.startswith(HEARD)
    assert kept(database)[0][0] == "done"
