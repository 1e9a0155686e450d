"""The manual page: made from the parser, and read by what people read it with."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from speechmatics_rt.cli.manual import page
from speechmatics_rt.cli.options import parser
from speechmatics_rt.cli.options.exits import ExitCode

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "speechmatics_rt" / "cli" / "speechmatics-rt.1"


def output_of(*command: object, **env: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **env},
        encoding="utf-8",
        check=False,
        timeout=50,
    )
    return done.stdout


def test_the_page_is_the_one_that_the_parser_makes() -> None:
    how = f"python -m speechmatics_rt.cli.manual > {PAGE.relative_to(ROOT)}"
    assert PAGE.read_text(encoding="utf-8") == page(), how


def test_every_option_that_is_shown_and_every_exit_code_stand_in_it() -> None:
    text = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    for command in commands.choices.values():
        for action in command._actions:
            for name in action.option_strings if action.help != "==SUPPRESS==" else ():
                assert f"\\fB{name}\\fR" in text, name
    for code in ExitCode:
        assert f".TP\n\\fB{code.value}\\fR\n" in text


def test_man_reads_it_without_a_warning() -> None:
    if shutil.which("man") is None:
        pytest.skip("there is no man: apt install man-db")
    assert output_of("man", "--warnings", "-l", "-Tutf8", "-Z", PAGE, MANPAGER="cat").count("warning") == 0
    said = re.sub(r".\x08", "", output_of("man", "-l", PAGE, MANPAGER="cat", MANWIDTH="100"))
    assert said.startswith("SPEECHMATICS-RT(1)")
    assert re.search(r"--language CODE\n +default: en\n", said)
    assert re.search(r"\n +speechmatics-rt transcribe talk.wav --local\n +offline, without a key\n", said)


@pytest.mark.parametrize("reader", ["man", "mandoc"])
def test_no_line_is_wider_than_a_terminal(reader: str) -> None:
    if shutil.which(reader) is None:
        pytest.skip(f"there is no {reader}: apt install {'man-db' if reader == 'man' else 'mandoc'}")
    command = ("man", "-l", PAGE) if reader == "man" else ("mandoc", "-T", "utf8", "-O", "width=80", PAGE)
    said = re.sub(r".\x08", "", output_of(*command, MANPAGER="cat", MANWIDTH="80"))
    assert [line for line in said.splitlines() if len(line) > 80] == []


def test_mandoc_finds_nothing_wrong_with_it() -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("there is no mandoc: apt install mandoc")
    said = output_of("mandoc", "-T", "lint", "-W", "warning", PAGE).splitlines()
    # A page of one version has no date: the same source would make another page each day.
    assert [line for line in said if "missing date" not in line] == []
