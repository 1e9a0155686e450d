"""The standard streams as they are found: closed, broken, non-blocking, pipes of a shell, two terminals."""

from __future__ import annotations

import io
import os
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechmatics_rt.cli import main
from speechmatics_rt.cli.streams import Stream
from speechmatics_rt.local import LocalServer

from .command import LOCAL, SENTENCES, SPEECH, environment, in_shell, start
from .terminal import Terminal, in_terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells and terminals of Unix")

TEXT = "\n".join(SENTENCES) + "\n"
RT = f"$RT transcribe '{SPEECH}' --local --engine scripted"
RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")
SECOND = bytes(32000)


# -- closed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "closed"),
    [("text", ">&-"), ("jsonl", ">&-"), ("text", "2>&-"), ("srt", "<&-"), ("json", ">&- 2>&-")]
    + [(form, "<&- >&- 2>&-") for form in ("text", "jsonl", "srt")],
)
def test_a_command_that_needs_no_standard_stream_works_without(
    tmp_path: Path, form: str, closed: str
) -> None:
    assert in_shell(f"{RT} -f {form} -o out {closed}", cwd=tmp_path, shell="sh") == (0, "", "")
    text = (tmp_path / "out").read_text()
    assert "Good" in text
    assert "reading" in text


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_captions_alone_need_no_standard_output(tmp_path: Path, closed: str) -> None:
    form = "srt" if closed == ">&-" else "text"
    assert in_shell(f"{RT} -f {form} --captions live.vtt {closed}", cwd=tmp_path) == (0, "", "")
    assert "reading room." in " ".join((tmp_path / "live.vtt").read_text().split())


@pytest.mark.parametrize("output", ["", "-o -", "-o /dev/stdout", "-o /dev/fd/1"])
def test_a_transcript_with_nowhere_to_go_is_refused_at_once(output: str) -> None:
    code, out, err = in_shell(f"{RT} {output} >&-")
    assert (code, out) == (2, "")
    assert err == "speechmatics-rt: error: standard output is closed; name a file with -o\n"


def test_standard_input_that_is_closed_is_said_to_be() -> None:
    code, _, err = in_shell("$RT transcribe - --local --engine scripted <&-")
    assert (code, err) == (
        2,
        "speechmatics-rt: error: standard input is closed; pipe audio in, or name a file\n",
    )


@pytest.mark.parametrize(
    "line",
    [
        "$RT transcribe missing.wav --local",
        "$RT transcribe --nonsense",
        "$RT nonsense",
        "$RT transcribe missing.wav --local -vv",
        f"{RT} --url http://x",
    ],
)
def test_no_message_of_ours_lands_on_stdout(line: str) -> None:
    assert in_shell(f"{line} 2>&-") == (5 if "missing" in line else 2, "", "")


@pytest.mark.parametrize("option", ["--help", "--version", "transcribe --help", "serve --list-faults"])
def test_help_for_nobody_is_no_error(option: str) -> None:
    assert in_shell(f"$RT {option} >&-") == (0, "", "")


def test_what_is_told_lands_in_no_file_that_happens_to_have_the_number_of_stderr(tmp_path: Path) -> None:
    # The first file that is opened after these three are closed would be standard input, and so on.
    line = f"{RT} -f jsonl -o out.jsonl --captions live.vtt -v <&- >&- 2>&-"
    assert in_shell(line, cwd=tmp_path)[0] == 0
    assert all(text.startswith("{") for text in (tmp_path / "out.jsonl").read_text().splitlines())
    assert (tmp_path / "live.vtt").read_text().startswith("WEBVTT\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_with_no_stdout_what_does_not_fit_goes_to_stderr() -> None:
    code, out, err = in_shell(f"{RT} -o /dev/full >&-")
    assert (code, out) == (6, "")
    first, rest = err.split("\n", 1)
    assert first.endswith(
        "can't write '/dev/full': No space left on device; it goes to standard error instead"
    )
    assert rest == TEXT
    code, _, err = in_shell(f"{RT} -o /dev/full > /dev/full")
    assert code == 6
    assert TEXT in err


def test_without_console_as_under_pythonw(tmp_path: Path) -> None:
    program = (
        "import sys; sys.stdin = sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None\n"
        "from speechmatics_rt.cli import main\n"
        f"code = main(['transcribe', {str(SPEECH)!r}, *{LOCAL!r}, '-o', 'out.txt'])\n"
        "import os; os._exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out.txt").read_text() == TEXT


def test_serve_runs_as_a_service_without_streams() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with start("serve", "--port", port, preexec_fn=lambda: [os.close(n) for n in (0, 1, 2)]) as process:
        code, out, _ = in_shell(
            f"until (: < /dev/tcp/127.0.0.1/{port}) 2>&-; do sleep 0.1; done;"
            f"$RT transcribe '{SPEECH}' --url ws://127.0.0.1:{port}/v2"
        )
        assert (code, out) == (0, TEXT)
        process.terminate()
        assert process.wait(10) == 0


# -- broken, full, slow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "jsonl", "srt", "json"])
def test_who_reads_the_first_line_alone_ends_it_quietly(form: str) -> None:
    code, out, err = in_shell(f"{RT} -f {form} --speed 200 | head -1")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1


@pytest.mark.parametrize("line", ["$RT --help", "$RT serve --list-faults", f"{RT} -f srt"])
def test_nobody_reads_and_nobody_complains(line: str) -> None:
    assert in_shell(f"{line} | true") == (0, "", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize(
    "line", ["$RT --help", "$RT serve --list-faults", RT, f"{RT} -f srt", f"{RT} -f jsonl"]
)
def test_a_full_stdout_is_told_in_one_line(line: str) -> None:
    told = "speechmatics-rt: error: can't write standard output: No space left on device\n"
    assert in_shell(f"{line} > /dev/full") == (6, "", told)


@pytest.mark.parametrize("broken", ["2> >(true)", "2> /dev/full"])
def test_a_stderr_that_takes_nothing_ends_no_session(tmp_path: Path, broken: str) -> None:
    with LocalServer() as server:
        options = f"--url {server.url} --vocab 'one two three four five six seven eight'"  # which warns
        assert in_shell(f"$RT transcribe '{SPEECH}' {options} -v {broken}") == (0, TEXT, "")


def test_a_reader_that_is_slow_on_a_non_blocking_pipe_gets_every_word() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with start("transcribe", SPEECH, *LOCAL, "-f", "jsonl", "--partials", stdout=writer) as process:
        while select.select([], [writer], [], 0)[1] and process.poll() is None:
            time.sleep(0.01)  # a pipe that is full rings for nobody; this one has 64 kB
        os.close(writer)
        with open(reader, "rb") as pipe:
            lines = pipe.read().splitlines()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
    assert b"EndOfTranscript" in lines[-1]
    assert sum(map(len, lines)) > 65536


# -- names of what is open already --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("text", "-"),
        ("srt", "-"),
        ("jsonl", "/dev/stdout"),
        ("json", "/dev/stdout"),
        ("text", "/dev/fd/1"),
        ("srt", "/proc/self/fd/1"),
    ],
)
def test_stdout_has_many_names(form: str, name: str) -> None:
    if name.startswith("/proc") and not os.path.exists(name):
        pytest.skip("no /proc here")
    _, plain, _ = in_shell(f"{RT} -f {form}")
    code, out, err = in_shell(f"{RT} -f {form} -o {name}")
    assert (code, err) == (0, "")
    assert out.count("\n") == plain.count("\n")


def test_what_stands_in_a_redirected_stdout_already_stays(tmp_path: Path) -> None:
    assert in_shell(f"{{ echo before; {RT} -o /dev/stdout; echo after; }} > out", cwd=tmp_path)[0] == 0
    assert (tmp_path / "out").read_text() == f"before\n{TEXT}after\n"
    assert in_shell(f"{RT} -f srt -o /dev/fd/7 7>> out", cwd=tmp_path)[0] == 0
    assert (tmp_path / "out").read_text().startswith(f"before\n{TEXT}after\n1\n00:00:")


def test_a_link_to_stdout_as_containers_have_them_for_logs(tmp_path: Path) -> None:
    (tmp_path / "out.log").symlink_to("/dev/stdout")
    assert in_shell(f"{RT} -o out.log", cwd=tmp_path) == (0, TEXT, "")
    assert (tmp_path / "out.log").is_symlink()


def test_stderr_by_its_name() -> None:
    assert in_shell(f"{RT} -o /dev/stderr") == (0, "", TEXT)


@pytest.mark.parametrize("form", ["text", "jsonl", "vtt"])
def test_a_program_of_the_shell_is_an_output(tmp_path: Path, form: str) -> None:
    assert in_shell(
        f"{RT} -f {form} -o >(cat > out; touch done); while [ ! -e done ]; do sleep 0.01; done", cwd=tmp_path
    ) == (0, "", "")
    assert "Good" in (tmp_path / "out").read_text()


def test_a_program_of_the_shell_is_a_source_and_a_config() -> None:
    config = """<(echo '{"language": "en"}')"""
    line = f"$RT transcribe <(cat '{SPEECH}') --local --engine scripted --config {config}"
    assert in_shell(line) == (0, TEXT, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [("/dev/fd/77", "Bad file descriptor"), ("/dev/fd/x", ""), ("/dev/stdin", "it is open for reading only")],
)
def test_what_is_not_open_for_writing_is_told_before_any_connection(name: str, why: str) -> None:
    code, out, err = in_shell(f"$RT transcribe '{SPEECH}' --url ws://127.0.0.1:1/v2 -o {name} < /dev/null")
    assert (code, out) == (2, "")
    assert err.startswith(f"speechmatics-rt: error: can't write '{name}': {why}")


# -- two terminals, or one that is shared --------------------------------------------------------------------


def test_the_bar_never_erases_what_a_pipe_brings_to_the_same_terminal(tmp_path: Path) -> None:
    # tee writes on the terminal when it likes: what is drawn there must not be in its way.
    reader, writer = os.pipe()
    parent, child = os.openpty()
    with start("transcribe", SPEECH, *LOCAL, "--partials", "--speed", "40", stdout=writer, stderr=child):
        os.close(writer)
        with subprocess.Popen(["tee", tmp_path / "copy"], stdin=reader, stdout=child):
            os.close(reader)
    os.close(child)
    received = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:
            break
        received += block
    os.close(parent)
    assert Terminal(80).feed(received.decode()).text == TEXT.rstrip()
    assert (tmp_path / "copy").read_text() == TEXT


def test_the_bar_is_drawn_while_a_pipe_waits_for_the_end() -> None:
    code, received = in_terminal("transcribe", SPEECH, *LOCAL, "-f", "srt", streams=("stderr",))
    assert code == 0
    assert "0:19 / 0:19" in received
    assert Terminal().feed(received).text == ""


def test_the_bar_keeps_to_its_own_terminal(tmp_path: Path) -> None:
    shown, other = os.openpty()
    try:
        with open(shown, "rb", buffering=0, closefd=False) as texts:
            options = ("--partials", "--speed", "40")
            code, received = in_terminal(
                "transcribe", SPEECH, *LOCAL, *options, streams=("stderr",), stdout=other
            )
            text = texts.read(65536).decode()
    finally:
        os.close(shown)
        os.close(other)
    assert code == 0
    assert Terminal().feed(received).text == ""
    # It is never indented by what stands on the other one; only to be erased.
    assert not re.search(r"\x1b\[\d+C(?!\x1b\[J)", received)
    assert "reading room." in text


# -- in a program --------------------------------------------------------------------------------------------


def test_in_process_output_goes_where_print_would(capsys) -> None:
    assert main(["transcribe", str(SPEECH), *LOCAL]) == 0
    assert capsys.readouterr() == (TEXT, "")


def test_a_stream_that_fails_says_its_name() -> None:
    closed = io.StringIO()
    stream = Stream(closed, "standard output", vital=True)
    closed.close()
    with pytest.raises(OSError, match="closed") as caught:
        stream.write("x")
    assert caught.value.filename == "standard output"
    Stream(closed, "standard error", vital=False).write("x")
