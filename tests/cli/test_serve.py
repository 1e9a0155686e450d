"""``speechmatics-rt serve``: what it says of itself, of its sessions, and what can be asked of it."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from speechmatics_rt import AudioFormat, Client, TranscriptionError
from speechmatics_rt.cli.sessions import Sitting
from speechmatics_rt.local import Fault, SessionRecord
from speechmatics_rt.transcript import width

from .command import SENTENCES, SPEECH, run, start
from .terminal import OnTerminal, Terminal

RAW = AudioFormat("pcm_s16le", 16000)
unix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals like these")


def serving(*options) -> subprocess.Popen:
    return start("serve", "--port", "0", *options, stdin=subprocess.DEVNULL)


def stopped(process: subprocess.Popen, number: signal.Signals = signal.SIGINT) -> str:
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    return err.decode()


def test_serve_says_its_url_and_logs_each_session() -> None:
    with serving() as process:
        url = process.stdout.readline().decode().strip()
        assert url.startswith("ws://127.0.0.1:")
        code, out, _ = run("transcribe", SPEECH, "--url", url)
        log = stopped(process)
    assert (code, out.splitlines()) == (0, SENTENCES)
    assert re.search(r"session 1 began: en, pcm_s16le 16000 Hz, request [0-9a-f-]{36}\n", log)
    assert re.search(r"session 1 ended well, after [0-9.]+ s: 19\.4 s of audio heard, [0-9]+ finals", log)
    assert "stopped\n" in log


def test_serve_prints_a_line_to_copy_that_works_over_tls_and_with_a_key() -> None:
    with serving("--tls", "--key", "secret") as process:
        assert process.stdout.readline().startswith(b"wss://")
        assert b"Try:" in process.stderr.readline()
        line = process.stderr.readline().decode().strip()
        variable, *words = shlex.split(line)
        name, value = variable.split("=")
        assert words[:3] == ["speechmatics-rt", "transcribe", "FILE"]
        code, out, err = run("transcribe", SPEECH, *words[3:], **{name: value})
        assert (code, out.splitlines(), err) == (0, SENTENCES, "")
        assert run("transcribe", SPEECH, *words[3:-1], "wrong", **{name: value})[0] == 3
        assert "session 2 was refused: HTTP 401" in stopped(process, signal.SIGTERM)


def test_serve_logs_how_a_session_failed() -> None:
    with serving("--quota", "0") as process:
        url = process.stdout.readline().decode().strip()
        assert run("transcribe", SPEECH, "--url", url)[0] == 1
        assert "session 1 ended with quota_exceeded: " in stopped(process)


def test_who_looks_late_at_a_connection_still_tells_how_long_it_was() -> None:
    record = SessionRecord(0)
    record.status = 101
    record.times.update(accept=10.0, closed=16.5)
    assert "after 6.5 s" in Sitting(record).ended().text


def test_serve_says_that_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "--port", taken.getsockname()[1])
    assert code == 2
    assert err.startswith("speechmatics-rt: error: can't listen on port ")
    assert err.endswith("; --port 0 takes a free one\n")
    assert run("serve", "--port", "70000")[0] == 2


def heard(process: subprocess.Popen, *options) -> tuple[int, str, str]:
    """Transcribe with the server that has just been started."""
    url = process.stdout.readline().decode().strip()
    return run("transcribe", SPEECH, "--url", url, *options)


# -- what it says, and what goes wrong ---------------------------------------------------------------------


def test_serve_says_the_words_of_a_file(tmp_path: Path) -> None:
    script = tmp_path / "play.txt"
    script.write_text("Who is there? Nobody.\n")
    with serving("--script", script) as process:
        _, out, _ = heard(process, "--diarization", "speaker")
        stopped(process)
    assert out.splitlines()[:4] == ["S1: Who is there?", "S2: Nobody.", "S1: Who is there?", "S2: Nobody."]


def test_serve_replays_what_transcribe_has_kept(tmp_path: Path) -> None:
    kept = tmp_path / "talk.jsonl"
    with serving() as process:
        assert heard(process, "-f", "jsonl", "-o", kept)[0] == 0
        stopped(process)
    with serving("--replay", kept) as process:
        code, out, _ = heard(process)
        stopped(process)
    assert (code, out.splitlines()) == (0, SENTENCES)


def test_serve_plays_faults_each_for_its_session_and_logs_them() -> None:
    faults = ["--fault", "reset:after_seconds=4,sessions=0", "--fault", "error:type=job_error,sessions=1"]
    with serving(*faults) as process:
        url = process.stdout.readline().decode().strip()
        assert [run("transcribe", SPEECH, "--url", url)[0] for _ in range(3)] == [4, 1, 0]
        log = stopped(process)
    assert re.search(r"session 1 ended without EndOfTranscript, .*, close code none; struck by reset\n", log)
    assert re.search(r"session 2 ended with job_error, .*; struck by error\n", log)
    assert re.search(r"session 3 ended well, .*, close code 1000\n", log)


def test_serve_lists_all_faults_with_their_options() -> None:
    code, out, err = run("serve", "--list-faults")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for row in Fault.table():
        place = next(n for n, line in enumerate(lines) if line.split()[:2] == [row.kind, row.at])
        assert not row.options or lines[place + 1].strip() == f":{row.options}"
    assert "after_bytes=N" in out
    example = lines[-1].split()
    assert example[:3] == ["speechmatics-rt", "serve", "--fault"]
    assert Fault.parse(example[3]).kind == "error"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fault", "rset"], "no fault is called 'rset'; did you mean reset"),
        (["--fault", "reset:after_bytes=many"], "must be a whole number"),
        (["--engine", "replay"], "--engine replay needs --replay FILE.jsonl"),
        (["--engine", "whisper", "--script", __file__], "--script needs --engine scripted"),
        (["--replay", __file__], "is not JSON"),
        (["--script", os.devnull], "contains no words"),
        (["--script", str(SPEECH)], "neither UTF-8 nor UTF-16"),
        (["--script", "none.txt"], "No such file or directory"),
        (["--speed", "0"], "speed"),
        (["--threads", "2"], "--threads needs --engine whisper"),
        (["--engine", "whisper", "--threads", "0"], "'0' is not a number of threads, 1 to 1000"),
    ],
)
def test_serve_says_in_one_sentence_what_is_wrong(options, says: str) -> None:
    code, out, err = run("serve", "--port", "0", *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_what_is_no_session_is_logged_as_what_it_is() -> None:
    with serving() as process:
        port = int(re.search(rb":(\d+)/", process.stdout.readline())[1])
        with socket.create_connection(("127.0.0.1", port)):
            pass
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/v1/discovery/features")
        status = connection.getresponse().status
        connection.close()
        log = stopped(process)
    assert "session 1 ended before it was answered\n" in log
    assert f"session 2 asked GET /v1/discovery/features: HTTP {status}\n" in log


# -- on a terminal -----------------------------------------------------------------------------------------


@unix
def test_on_a_terminal_each_session_has_a_row_that_lives_and_ends_as_a_line() -> None:
    fault = "error:type=job_error,reason=no more,after_seconds=6,sessions=1"
    with OnTerminal("serve", "--port", "0", "--fault", fault, columns=150, rows=14) as serve:
        url = re.search(r"ws://\S+", serve.until(r"ws://\S+\n(.*\n)*.*transcribe FILE"))[0]
        with Client(url=url) as one, Client(url=url) as two:
            for client, name, seconds in ((one, "caller-0", 9), (two, "caller-1", 5)):
                client.start_session(audio_format=RAW, ws_headers={"X-Request-Id": name})
                client.send_audio(bytes(seconds * 32000))
            screen = serve.until(
                r"1 caller-0 hears +0:09  lag \d.*welcome to the.*\n +2 caller-1 hears +0:05"
            )
            assert not re.search("began|ended", screen)
            assert all(width(line) < 150 for line in screen.splitlines())
            with pytest.raises(TranscriptionError):
                two.send_audio(bytes(2 * 32000))
                two.stop_session()
            screen = serve.until(
                r"session 2 ended with job_error: no more.*struck by error(.*\n)+ +1 caller-0"
            )
            assert "caller-1" not in screen
            one.stop_session()
        screen = serve.until(r"session 1 ended well")
        assert "caller-0" not in screen
        serve.process.send_signal(signal.SIGINT)
        code, received = serve.finish()
    text = Terminal(150, 14).feed(received).text
    assert code == 0
    assert text.splitlines()[-1] == "stopped"
    assert text.count("session") == 2


@unix
def test_more_sessions_than_lines_are_counted() -> None:
    with OnTerminal("serve", "--port", "0", columns=80, rows=10) as serve:
        url = re.search(r"ws://\S+", serve.until(r"ws://\S+\n(.*\n)*.*transcribe FILE"))[0]
        with ExitStack() as stack:
            for _ in range(12):
                stack.enter_context(Client(url=url)).start_session(audio_format=RAW)
            screen = serve.until(r"( hears .*\n.*){7}and 5 more")
            assert len(re.findall(" hears ", screen)) == 7


@unix
@pytest.mark.parametrize("env", [{"CI": "true"}, {"TERM": "dumb"}])
def test_the_log_of_a_job_is_plain_lines_even_if_it_is_a_terminal(env: dict[str, str]) -> None:
    with OnTerminal("serve", "--port", "0", columns=200, **env) as serve:
        while "transcribe FILE" not in serve.received:
            assert serve.read()
        url = re.search(r"ws://\S+", serve.received)[0]
        assert run("transcribe", SPEECH, "--url", url)[0] == 0
        serve.process.send_signal(signal.SIGINT)
        _, received = serve.finish()
    assert "\x1b" not in received
    assert received.index("session 1 began") < received.index("session 1 ended well")


def test_a_container_takes_any_key_and_tells_its_health() -> None:
    import urllib.request

    with start("serve", "--port", "0", "--container", "--key", "k3y") as process:
        url = process.stdout.readline().decode().strip()
        assert run("transcribe", SPEECH, "--url", url, "--api-key", "another")[0] == 0
        with urllib.request.urlopen(url.replace("ws:", "http:").replace("/v2", "/live"), timeout=10) as page:
            assert page.status == 200
        process.terminate()
        process.communicate(timeout=20)


def test_a_limit_of_duration_ends_a_session_and_keeps_what_was_heard() -> None:
    with start("serve", "--port", "0", "--duration-limit", "6") as process:
        url = process.stdout.readline().decode().strip()
        code, out, err = run("transcribe", SPEECH, "--url", url)
        process.terminate()
        process.communicate(timeout=20)
    assert code == 0  # as of the service: it warns, and ends the transcript
    assert out.startswith("Good morning")
    assert "warning: more than 6 s of audio (duration_limit_exceeded)" in err


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "ws://127.0.0.1:"), ("localhost", "ws://localhost:")])
def test_who_serves_other_machines_is_told_so_loudly(host: str, url: str) -> None:
    with start("serve", "--port", "0", "--host", host, "-q") as process:
        address = process.stdout.readline().decode().strip()
        assert address.startswith(url)
        assert run("transcribe", SPEECH, "--url", address)[0] == 0
        process.terminate()
        _, err = process.communicate(timeout=20)
    loud = b"warning: --host 0.0.0.0: WHOEVER REACHES THIS MACHINE, WITHOUT A KEY, may use this server; see"
    assert (loud in err) is (host == "0.0.0.0")


def test_an_address_that_is_not_of_this_machine_is_told() -> None:
    code, out, err = run("serve", "--port", "0", "--host", "192.0.2.1")
    assert (code, out) == (2, "")
    assert "can't listen on 192.0.2.1, port 0: " in err
