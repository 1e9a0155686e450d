"""Completion, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .command import environment, in_words, run

pytest.importorskip("argcomplete")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which the command lies."""
    command = tmp_path / "speechmatics-rt"
    command.write_text(f'#!/bin/sh\nexec {in_words()} "$@"\n')
    command.chmod(0o755)
    return f"{tmp_path}:{environment()['PATH']}"


def answers(shell: str, program: str, path: str) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    done = subprocess.run(
        [shell, "-c", program],
        env={**environment(PATH=path), "HOME": path.partition(":")[0]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# What bash does when Tab is pressed: it calls the function that was registered, with these set.
BASH = """
eval "$(speechmatics-rt completion bash)"
function="$(complete -p speechmatics-rt | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
COMP_LINE='{line}' COMP_POINT={point} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$function speechmatics-rt
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

CASES = [
    ("speechmatics-rt tr", {"transcribe", "transcribe-many"}),
    ("speechmatics-rt transcribe --diar", {"--diarization"}),
    ("speechmatics-rt transcribe --max-delay-mode f", {"flexible", "fixed"}),
    ("speechmatics-rt transcribe-many --ret", {"--retry-failed"}),
    ("speechmatics-rt serve --con", {"--container"}),
    ("speechmatics-rt serve --fault rese", {"reset", "reserved_bit"}),
    ("speechmatics-rt transcribe a.wav --format t", {"text", "tsv"}),
    ("speechmatics-rt transcribe-many calls --format srt,v", {"srt,vtt"}),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash(path: str, line: str, expected: set[str]) -> None:
    assert set(answers("bash", BASH.format(line=line, point=len(line)), path)) == expected


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish(path: str, line: str, expected: set[str]) -> None:
    said = answers("fish", f"speechmatics-rt completion fish | source; complete -C '{line}' | cut -f1", path)
    assert set(said) == expected


def test_zsh_takes_it(path: str) -> None:
    program = 'autoload -U compinit; compinit -u -D; eval "$(speechmatics-rt completion zsh)"; '
    said = answers("zsh", program + "print $_comps[speechmatics-rt]", path)
    assert said == ["_python_argcomplete"]


def test_a_shell_that_is_none_is_told_which_there_are() -> None:
    code, _, err = run("completion", "bsh")
    assert code == 2
    assert "there is no 'bsh'; did you mean bash? There are bash, zsh, fish" in err


def test_without_the_package_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['argcomplete'] = None\n"
        "from speechmatics_rt.cli import main; sys.exit(main(['completion', 'bash']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'speechmatics-rt-sync[cli]'" in done.stderr
