"""The examples, run as a user runs them: each in a process of its own, against the local server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechmatics_rt.local import LocalServer

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SPEECH = EXAMPLES / "audio" / "librivox_3_sentences.wav"
SCRIPTS = {path.name for path in EXAMPLES.glob("*.py")}
HEARD = "Good morning, and welcome to the reading room."


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def environment(server: LocalServer) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SPEECHMATICS_RT_URL": server.url}


def run(server: LocalServer, folder: Path, *command: object) -> tuple[str, str]:
    """Run ``python ...`` in a folder to its end; return its stdout and its stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=folder,
        env=environment(server),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_transcribe_file_prints_the_turns_and_writes_captions(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "transcribe_file.py", SPEECH, "talk.srt")
    assert out.startswith(f"S1: {HEARD}\nS2: The train")
    assert err == ""
    assert "reading room." in (tmp_path / "talk.srt").read_text(encoding="utf-8")


def test_stream_messages_prints_partials_finals_and_the_whole(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "stream_messages.py", SPEECH, 20)
    assert "... Good\n" in out
    assert out.count("--\n") >= 4
    assert out.splitlines()[-1].startswith(HEARD)
    assert err == ""


def test_send_by_hand_sends_all_and_hears_all(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "send_by_hand.py")
    assert out.startswith("speak: ")
    assert out.splitlines()[-1].startswith(f"19.4 s sent: {HEARD}")
    assert err == ""
    assert server.sessions[-1].heard("ForceEndOfUtterance")


def test_logging_ids_logs_lines_of_json_with_ids_and_without_words(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "logging_ids.py")
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["request_id"] for line in lines} == {"web-request-42"}
    assert lines[-1]["session_id"] == server.sessions[-1].session_id
    assert out.split()[:2] == ["web-request-42", server.sessions[-1].session_id]
    assert "reading" not in err


def test_your_code_passes_its_own_tests(server, tmp_path) -> None:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "test_your_code.py"]
    out, _ = run(server, tmp_path, *command)
    assert " passed" in out


def test_flask_upload_transcribes_a_body_and_tells_bad_audio(server, tmp_path) -> None:
    pytest.importorskip("flask")
    command = [sys.executable, "-m", "flask", "--app", EXAMPLES / "flask_upload.py", "run", "--port", "0"]
    with subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, env=environment(server), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = ""
            while "Running on" not in said:
                said = process.stderr.readline()
                assert said, "flask ended before it was listening"
            url = re.search(r"http://\S+", said).group() + "/transcripts"
            answer = json.loads(post(url, SPEECH.read_bytes()))
            assert answer["text"].startswith(HEARD)
            assert answer["request_id"] == server.sessions[-1].request_id
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(url, b"")
            with refused.value as response:
                assert response.code == 400
                assert "empty" in json.load(response)["error"]
        finally:
            process.terminate()


def post(url: str, body: bytes) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, {"Content-Type": "audio/wav"})
    with opener.open(request, timeout=20) as response:
        return bytes(response.read())


def test_every_example_has_a_test() -> None:
    tested = set(re.findall(r'"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == SCRIPTS


def test_every_example_says_first_what_it_is_and_how_it_is_run() -> None:
    for name in SCRIPTS:
        assert re.match(r'"""[A-Z].+', (EXAMPLES / name).read_text(encoding="utf-8")), name
