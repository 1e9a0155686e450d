"""The command itself: help, version, and the server it runs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import websocket

import speechmatics_rt
from speechmatics_rt import __version__
from speechmatics_rt.cli import ExitCode, main
from speechmatics_rt.cli.manual import commands_of
from speechmatics_rt.cli.options.arguments import (
    DOCTOR_EXAMPLES,
    EXAMPLES,
    SERVE_EXAMPLES,
    TRANSCRIBE_EXAMPLES,
    parser,
)

from .command import environment, in_shell, run


def test_help_teaches_by_example_and_names_the_exit_codes() -> None:
    code, out, err = run("--help", anew=True)
    assert (code, err) == (0, "")
    assert out.count("\n  speechmatics-rt ") >= 5
    for exit_code in ExitCode:
        assert re.search(rf"^  {exit_code.value} ", out, re.MULTILINE)


COMMANDS = [[], *([name] for name in commands_of(parser()))]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_help_fits_the_terminal_and_leaves_commands_whole(command: list[str], columns: int) -> None:
    """A command that is too long is one line all the same, so that it can be copied."""
    code, out, _ = run(*command, "--help", COLUMNS=str(columns))
    assert code == 0
    wide = [line for line in out.splitlines() if len(line) > columns]
    assert all(re.match(r"  (speechmatics-rt|arecord|find) .*\S$", line) for line in wide), wide


def test_what_is_said_of_an_example_goes_below_it_where_there_is_no_room_beside_it() -> None:
    beside, below = (run("transcribe", "--help", COLUMNS=columns)[1] for columns in ("120", "60"))
    assert "wav --local                offline, without a key\n" in beside
    assert "wav --local\n        offline, without a key\n" in below
    assert "~/.config/speechmatics-rt;" in below  # no path is broken


@pytest.mark.parametrize("examples", [EXAMPLES, TRANSCRIBE_EXAMPLES, SERVE_EXAMPLES, DOCTOR_EXAMPLES])
def test_every_example_in_the_help_is_a_command_line_that_parses(examples: str) -> None:
    for line in examples.splitlines()[1:]:
        command = next(part for part in line.split(" | ") if "speechmatics-rt" in part)
        words = shlex.split(command.strip().split("   ")[0])
        if "--help" not in words:
            parser().parse_args(words[1:])


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that somebody is in")
@pytest.mark.parametrize("line", ["transcribe -o talk.txt /nowhere.wav", "transcribe-many {} -o out"])
def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path, line: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code, _, err = in_shell(f"rmdir ../gone; $RT {line.format(tmp_path)}", cwd=gone, anew=True)
    assert (code, err) == (
        2,
        "speechmatics-rt: error: the current folder no longer exists; change to another one\n",
    )


def test_version() -> None:
    code, out, err = run("--version", anew=True)
    assert (code, err) == (0, "")
    first, *parts = out.splitlines()
    assert first == f"speechmatics-rt {__version__}"
    assert any(re.fullmatch(r"  connections +websocket-client 1\.\S+", part) for part in parts)
    assert any(re.match(r"  recogniser +(ctranslate2 \d|missing: pip install)", part) for part in parts)
    assert any(re.match(r"  microphone +(sounddevice \S+, (with|but)|missing)", part) for part in parts)


def test_a_package_without_its_metadata_is_not_called_missing(tmp_path: Path) -> None:
    """As in a program that PyInstaller made."""
    for package in (speechmatics_rt, websocket):
        folder = Path(package.__file__).parent
        (tmp_path / folder.name).symlink_to(folder)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from speechmatics_rt.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    assert re.search(r"^  connections +websocket-client of unknown version$", done.stdout, re.MULTILINE)
    assert re.search(r"^  local server +missing: pip install", done.stdout, re.MULTILINE)


def test_no_command_is_an_error_in_one_sentence_that_names_them(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("speechmatics-rt: error: name a command: transcribe, transcribe-many, ")
    assert said.endswith(" (see speechmatics-rt --help)\n")


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from speechmatics_rt.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'numpy', 'ssl', 'websocket', 'wsproto', 'requests', 'asyncio', 'ctranslate2'}\n"
        "heavy |= {'speechmatics_rt.' + room for room in ('network', 'session', 'protocol', 'transcript')}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_in_process_the_signals_and_the_log_are_left_as_they_were() -> None:
    import logging

    handlers = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    package = logging.getLogger("speechmatics_rt")
    before = (list(package.handlers), package.level)
    assert main(["transcribe", "no such.wav", "--url", "ws://127.0.0.1:1/v2"]) is ExitCode.AUDIO
    assert (list(package.handlers), package.level) == before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_help_answers_at_once() -> None:
    fastest = min(_seconds("--help") for _ in range(3))
    assert fastest < 0.4  # 0.09 s


def _seconds(*arguments: str) -> float:
    """Measure its work: what else the machine does is not its fault. Windows tells the time alone."""
    began, before = time.perf_counter(), os.times()
    run(*arguments, anew=True)
    after = os.times()
    worked = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return worked or time.perf_counter() - began
