"""How the command ends: errors, exit codes, Ctrl-C, a reader that goes away."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..conftest import a_closed_port
from ..held import HeldEngine
from .command import SENTENCES, SPEECH, environment, run, start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and devices of Unix")

RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")
LOCAL = ("--local", "--engine", "scripted")
SECOND = bytes(32000)


def failure(*arguments, stdin: bytes = b"", **env: str) -> tuple[int, str]:
    """Run it and return its exit code and the one line it says."""
    code, _, err = run("transcribe", *arguments, stdin=stdin, **env)
    assert err.startswith("speechmatics-rt: error: "), err
    assert err.count("\n") == 1, err
    return code, err


# -- 1 -----------------------------------------------------------------------------------------------------


def test_1_the_service_ends_the_session_and_what_was_heard_is_printed() -> None:
    with LocalServer(faults=[Fault.error("timelimit_exceeded", "no more", after_seconds=12)]) as server:
        code, out, err = run("transcribe", SPEECH, "--url", server.url)
    assert code == 1
    assert out.startswith(SENTENCES[0] + "\n")
    assert out.endswith("\n")
    assert "timelimit_exceeded" in err
    assert err.count("\n") == 1


def test_what_was_heard_before_an_error_is_kept_in_the_file(tmp_path: Path) -> None:
    with LocalServer(faults=[Fault.error("job_error", after_seconds=12)]) as server:
        code, _, _ = run("transcribe", SPEECH, "--url", server.url, "-o", tmp_path / "talk.txt")
    assert code == 1
    assert (tmp_path / "talk.txt").read_text().startswith(SENTENCES[0])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_6_a_full_disk_is_told_once() -> None:
    with open("/dev/full", "wb") as full, start("transcribe", SPEECH, *LOCAL, stdout=full) as process:
        _, err = process.communicate(timeout=10)
    assert process.returncode == 6
    assert err == b"speechmatics-rt: error: can't write standard output: No space left on device\n"


# -- 2 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([__file__, "--raw", "pcm_s16le"], "--raw and --sample-rate go together"),
        ([SPEECH, "--sample-rate", "16000"], "--raw and --sample-rate go together"),
        ([SPEECH, "--engine", "scripted"], "--engine goes with --local"),
        ([SPEECH, "--max-speakers", "2"], "--max-speakers goes with --diarization speaker"),
        (
            [SPEECH, "--diarization", "none", "--speaker-sensitivity", "0.7"],
            "--speaker-sensitivity goes with --diarization speaker",
        ),
        ([SPEECH, "--prefer-current-speaker"], "--prefer-current-speaker goes with --diarization speaker"),
        ([SPEECH, "--local", "--api-key", "k"], "--local needs no --api-key"),
        ([SPEECH, "--max-delay=-9"], "argument --max-delay: '-9' is not a number of seconds"),
        ([SPEECH, "--speed", "0"], "speed"),
        ([SPEECH, "--format", "docx"], "there is no 'docx'; there are text, json"),
        ([SPEECH, "--nonsense"], "--nonsense"),
        ([SPEECH, "--captions", "live.txt"], "--captions 'live.txt': name it .vtt or .srt"),
        ([SPEECH, "--url", "http://somewhere"], "http"),
        ([SPEECH, "--local", "--engine", "scripted", "-l", ""], "language"),
    ],
)
def test_2_wrong_usage_is_one_sentence(options, says: str) -> None:
    code, err = failure(*options)
    assert code == 2
    assert says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"langauge": "en"}', "'langauge' is not a field of transcription_config; did you mean 'language'?"),
        ('{"max_delay": -9}', "max_delay is -9; accepted: a number of seconds, 0 or more"),
        ('{"language": ', "is not JSON: Expecting value: line 1 column 14"),
        ("[]", "holds a list, not a JSON object"),
        (None, "No such file or directory"),
    ],
)
def test_2_a_wrong_config_file_is_told_by_what_is_wrong_in_it(tmp_path: Path, text, says: str) -> None:
    config = tmp_path / "config.json"
    if text is not None:
        config.write_text(text)
    code, err = failure(SPEECH, "--url", "ws://127.0.0.1:1/v2", "--config", config)
    assert code == 2
    assert says in err


def test_5_audio_that_is_not_there() -> None:
    code, err = failure("no such.wav", *LOCAL)
    assert code == 5
    assert "no such.wav" in err


def test_5_audio_that_cuts_a_sample() -> None:
    with LocalServer() as server:
        code, err = failure("-", *RAW, "--url", server.url, stdin=SECOND + b"x")
    assert code == 5
    assert "cuts a sample in two" in err


def test_2_a_terminal_is_no_audio() -> None:
    parent, child = os.openpty()
    try:
        with start("transcribe", "-", *LOCAL, stdin=child) as process:
            _, err = process.communicate(timeout=10)
    finally:
        os.close(parent)
        os.close(child)
    assert process.returncode == 2
    assert b"standard input is a terminal" in err


@pytest.mark.parametrize(("missing", "engine"), [("wsproto", "scripted"), ("ctranslate2", "whisper")])
def test_2_without_the_extra_the_error_says_what_to_install(missing: str, engine: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from speechmatics_rt.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "transcribe", str(SPEECH), "--local", "--engine", engine]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs more packages" in done.stderr
    assert "pip install 'speechmatics-rt-sync[local]'" in done.stderr
    assert "Traceback" not in done.stderr


# -- 3, 4 --------------------------------------------------------------------------------------------------


def test_3_no_key_or_a_refused_one() -> None:
    assert failure(SPEECH)[0] == 3
    with LocalServer(keys=["good"]) as server:
        assert failure(SPEECH, "--url", server.url, "--api-key", "bad")[0] == 3
        assert run("transcribe", SPEECH, "--url", server.url, SPEECHMATICS_API_KEY="good")[0] == 0


def test_4_nobody_listens() -> None:
    with a_closed_port() as port:
        url = f"ws://127.0.0.1:{port}/v2"
        code, err = failure(SPEECH, "--url", url)
    assert code == 4
    assert f"; to find out why: speechmatics-rt doctor --url {url} [request_id=" in err


def test_4_who_answers_with_a_reason_is_not_sent_to_the_doctor() -> None:
    with LocalServer(faults=[Fault.refuse(503)]) as server:
        assert "doctor" not in failure(SPEECH, "--url", server.url)[1]


@pytest.mark.parametrize("fault", [Fault.refuse(503), Fault.reset(after_seconds=1), Fault.cut_frame()])
def test_4_a_connection_that_is_refused_or_lost(fault: Fault) -> None:
    with LocalServer(faults=[fault]) as server:
        assert failure(SPEECH, "--url", server.url)[0] == 4


def test_4_the_whole_takes_too_long() -> None:
    with LocalServer() as server:
        code, err = failure(SPEECH, "--url", server.url, "--speed", "1", "--timeout", "0.5")
    assert code == 4
    assert "0.5 s" in err


def test_4_the_time_that_is_told_is_how_long_it_went_well() -> None:
    with LocalServer(faults=[Fault.close(1011, after_seconds=6)]) as server:
        code, err = failure(SPEECH, "--url", server.url, "--speed", "4")
    assert code == 4
    assert float(re.search(r"in mid-stream, after ([0-9.]+) s, with code 1011", err)[1]) > 1.2


def test_tracebacks_are_for_vv_alone() -> None:
    code, _, err = run("transcribe", "no such.wav", "--url", "ws://127.0.0.1:1/v2", "-vv")
    assert code == 5
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("speechmatics-rt: error: ")


def test_v_logs_to_stderr() -> None:
    with LocalServer() as server:
        code, out, err = run("transcribe", SPEECH, "--url", server.url, "-v")
    assert (code, out.splitlines()) == (0, SENTENCES)
    assert "INFO speechmatics_rt.baseclient: connecting to ws://127.0.0.1" in err


# -- 130 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_130_the_first_ctrl_c_ends_the_audio_and_prints_the_rest(number: signal.Signals) -> None:
    with LocalServer() as server:
        options = (*RAW, "--url", server.url, "--speed", "20")
        with start("transcribe", "-", *options) as process:
            process.stdin.write(SECOND * 9)
            process.stdin.flush()
            server.wait_for_session().wait_for(lambda record: sum(record.frames) > 8 * 32000)
            process.send_signal(number)
            assert process.wait(10) == 128 + number  # though its input is still open
            out, err = process.stdout.read().decode(), process.stderr.read().decode()
        assert server.sessions[0].heard("EndOfStream")
        assert server.sessions[0].said("EndOfTranscript")
    assert out.startswith(f"{SENTENCES[0]}\nThe train from Norwich")
    assert out.endswith("\n")
    assert err == (
        "speechmatics-rt: stopping; waiting for the rest of the transcript (Ctrl-C again: at once)\n"
    )


def test_130_the_second_ctrl_c_closes_at_once_and_keeps_what_was_heard() -> None:
    options = (SPEECH, "--speed", "30", "--url")
    with (
        LocalServer(faults=[Fault.silence(at="drain")]) as server,
        start("transcribe", *options, server.url) as process,
    ):
        record = server.wait_for_session()
        record.wait_for(lambda record: len(record.said("AddTranscript")) > 30)
        process.send_signal(signal.SIGINT)
        # Two signals are one until the first is looked at; the audio may have ended by itself by then.
        assert b"stopping" in process.stderr.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert out.decode().startswith(SENTENCES[0])
    assert b"Traceback" not in err


def test_130_ctrl_c_while_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/v2"
        with start("transcribe", SPEECH, "--url", url) as process:
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(1)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == b""


def test_130_ctrl_c_before_the_session_has_started() -> None:
    engine = HeldEngine(at="start")
    with LocalServer(engine) as server, start("transcribe", SPEECH, "--url", server.url) as process:
        record = server.wait_for_session().wait_for(lambda record: record.start)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130  # at once: nothing was heard that could be lost
        engine.let_go.set()
    assert not record.audio_size


def test_130_ctrl_c_while_standard_input_gives_nothing() -> None:
    with LocalServer() as server, start("transcribe", "-", *RAW, "--url", server.url, "-v") as process:
        process.stdin.write(SECOND)
        process.stdin.flush()
        server.wait_for_session().wait_for(lambda record: record.frames)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "Fatal" not in process.stderr.read().decode()


def test_130_ctrl_c_while_standard_input_gives_nothing_says_that_it_stops_and_no_more() -> None:
    with LocalServer() as server, start("transcribe", "-", *RAW, "--url", server.url) as process:
        process.stdin.write(SECOND)
        server.wait_for_session().wait_for(lambda record: record.frames)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        (line,) = process.stderr.read().decode().splitlines()
    assert line.startswith("speechmatics-rt: stopping; ")


# -- 0, nevertheless ---------------------------------------------------------------------------------------


def test_0_a_reader_that_has_enough_ends_it_quietly() -> None:
    with (
        LocalServer() as server,
        start("transcribe", SPEECH, "--url", server.url, "--speed", "10") as process,
    ):
        assert process.stdout.readline().decode().strip() == SENTENCES[0]
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
