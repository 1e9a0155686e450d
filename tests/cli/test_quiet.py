"""How much is said beside the transcript: colours, the bar, figures, or nothing."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..held import HeldEngine
from .command import LOCAL, SENTENCES, SPEECH, in_shell, run, start
from .terminal import OnTerminal

TRANSCRIBE = ("transcribe", SPEECH, *LOCAL)
TEXT = "\n".join(SENTENCES) + "\n"


def test_quiet_says_nothing_but_the_transcript_on_a_terminal() -> None:
    with OnTerminal(*TRANSCRIBE, "--partials", "--speed", "8", "--quiet", columns=100) as running:
        code, received = running.finish()
    assert code == 0
    assert received.replace("\r\n", "\n") == TEXT  # no bar, no partial, not even an escape sequence


def test_quiet_tells_errors_and_no_warnings() -> None:
    with LocalServer(faults=[Fault.fin(after_seconds=5)]) as server:
        code, out, err = run("transcribe", SPEECH, "--url", server.url, "-q")
    assert code == 4
    assert out.startswith("Good morning")
    assert err.startswith("speechmatics-rt: error: ")
    assert err.count("\n") == 1
    with LocalServer(faults=[Fault.fin(after_seconds=5, sessions=[0])]) as server:
        code, _, err = run("transcribe", SPEECH, "--url", server.url, "-q", "--resume")
    assert (code, err) == (0, "")


def test_quiet_and_ctrl_c() -> None:
    engine = HeldEngine()
    with LocalServer(engine) as server, start("transcribe", SPEECH, "--url", server.url, "-q") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        engine.let_go.set()
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == b""


def test_quiet_and_verbose_exclude_each_other() -> None:
    code, _, err = run(*TRANSCRIBE, "-q", "-v")
    assert code == 2
    assert "use --quiet or --verbose, not both" in err


def test_no_progress_keeps_the_partials_and_leaves_the_bar() -> None:
    with OnTerminal(*TRANSCRIBE, "--partials", "--speed", "8", "--no-progress") as running:
        code, received = running.finish()
    assert code == 0
    assert "━" not in received
    assert "lag" not in received
    assert "\x1b[J" in received  # the partials are drawn


def test_quiet_serve_prints_its_url_alone() -> None:
    with start("serve", "--port", "0", "-q") as process:
        url = process.stdout.readline().decode().strip()
        assert run("transcribe", SPEECH, "--url", url)[1] == TEXT
        process.terminate()
        assert process.communicate(timeout=20) == (b"", b"")


@pytest.mark.parametrize(
    ("color", "env", "terminal", "pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("never", {}, False, False),
        ("always", {"NO_COLOR": "1"}, True, True),
    ],
)
def test_colours(color: str, env: dict[str, str], terminal: bool, pipe: bool) -> None:
    options = (*TRANSCRIBE, "--diarization", "speaker", "--color", color)
    with OnTerminal(*options, **env) as running:
        _, received = running.finish()
    assert ("\x1b[1;38;5;" in received) is terminal
    _, out, _ = run(*options, **env)
    assert ("\x1b[1;38;5;30mS1:\x1b[0m " in out) is pipe


def test_coloured_text_through_a_pipe_is_the_same_text() -> None:
    line = "$RT transcribe --local --engine scripted --color always --diarization speaker"
    _, out, _ = in_shell(f"{line} '{SPEECH}' | cat")
    _, plain, _ = run(*TRANSCRIBE, "--diarization", "speaker")
    assert re.sub(r"\x1b\[[0-9;]*m", "", out) == plain


# -- figures -----------------------------------------------------------------------------------------------

FIGURES = (
    r"speechmatics-rt: audio: 19\.4 s sent, 19\.1 s transcribed, in \d+\.\d s \(\d+\.\dx\)\n"
    r"speechmatics-rt: finals: \S+ s behind their audio at the median, [\d.]+ s p90, [\d.]+ s p99, of \d+\n"
    r"speechmatics-rt: partials: .*\n"
    r"speechmatics-rt: lag: \d+\.\d s at most\n"
    r"speechmatics-rt: connection: 0 reconnects, session [\w-]+ \(request [\w-]+\)\n"
)


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_figures_are_told_at_the_end(quiet: list[str]) -> None:
    code, out, err = run(*TRANSCRIBE, "--stats", "--partials", *quiet)
    assert (code, out) == (0, TEXT)
    assert re.fullmatch(FIGURES, err)


def test_figures_are_in_the_document_too() -> None:
    _, out, _ = run(*TRANSCRIBE, "--stats", "-f", "json")
    figures = json.loads(out)["stats"]
    assert figures["seconds_sent"] == 19.44
    assert figures["reconnects"] == 0
    assert 0 <= figures["final_latency"]["p50"] <= figures["final_latency"]["p99"]
    assert "stats" not in json.loads(run(*TRANSCRIBE, "-f", "json")[1])


def test_figures_of_a_session_that_broke_and_of_one_that_resumed(tmp_path: Path) -> None:
    with LocalServer(faults=[Fault.fin(after_seconds=5)]) as server:
        code, _, err = run("transcribe", SPEECH, "--url", server.url, "--stats", "-o", tmp_path / "a.txt")
        assert code == 4
        assert "connection: 0 reconnects" in err
    code, _, err = run(*TRANSCRIBE, "--stats", "--drop-every", "9")
    assert code == 0
    assert re.search(r"connection: [1-9] reconnects?, \d+\.\d s of audio sent again, session", err)


def test_a_session_that_never_began_has_no_figures() -> None:
    _, _, err = run("transcribe", SPEECH, "--url", "ws://127.0.0.1:1/v2", "--stats", "--api-key", "k")
    assert err.count("\n") == 1
