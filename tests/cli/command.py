"""Runs the real command in a process of its own: a fork of one that has imported it, if that is the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from .forked import Forked, ForkServer

LOCAL = ("--local", "--engine", "scripted")
ROOT = Path(__file__).parent.parent.parent
SPEECH = ROOT / "examples" / "audio" / "librivox_3_sentences.wav"
SENTENCES = [
    "Good morning, and welcome to the reading room.",
    "The train from Norwich was late, so we begin at once.",
    "Was that the door?",
    "Nobody came in, but the lamp on the stairs went out.",
    "Please keep your seats",
]

_LABEL = re.compile(r"(left|right|agent|caller|[ab])( S\d)?(?=: )")

fork_server: Optional[ForkServer] = None


def environment(**more: str) -> dict[str, str]:
    ours = ("SPEECHMATICS_API_KEY", "SPEECHMATICS_RT_URL", "NO_COLOR", "CI", "SSL_CERT_FILE")
    more = {"XDG_CONFIG_HOME": os.devnull, **more}  # nobody's profiles
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm", **more}


def start(*arguments: Any, anew: bool = False, **options: Any) -> subprocess.Popen:
    """Start ``speechmatics-rt``, its streams as pipes unless told otherwise; use it in ``with``.

    ``anew`` is for tests of which the start of the interpreter is the point.
    """
    return _python("-m", "speechmatics_rt", *map(str, arguments), anew=anew, **options)


def _python(*words: str, anew: bool = False, **options: Any) -> subprocess.Popen:
    """Start ``python`` with these words behind it."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    # unbuffered: what a readline() had read ahead would be lost to the communicate() behind it
    options = {"bufsize": 0, **pipes, **options}
    env = environment(**options.pop("env", {}))
    if fork_server is None or anew or "preexec_fn" in options:
        return subprocess.Popen([sys.executable, *words], env=env, **options)
    return Forked(fork_server, list(words), env=env, **options)


def in_words(*, anew: bool = False) -> str:
    """Return the command as a shell has it."""
    return f"{sys.executable} -m speechmatics_rt" if fork_server is None or anew else fork_server.command


def in_shell(line: str, *, shell: str = "bash", anew: bool = False, **options: Any) -> tuple[int, str, str]:
    """Run a line of a shell, where ``$RT`` is the command; return its exit code, its stdout and its stderr.

    It is told to fail with the command, and not only with the last of a pipe.
    """
    line = f"set -o pipefail; {line}" if shell == "bash" else line
    done = subprocess.run(
        [shell, "-c", line],
        env=environment(RT=in_words(anew=anew), **options.pop("env", {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
        **options,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run(
    *arguments: Any, stdin: bytes = b"", anew: bool = False, patience: float = 55, **env: str
) -> tuple[int, str, str]:
    """Run it to its end, ``patience`` seconds at most; return its exit code, its stdout and its stderr."""
    with start(*arguments, env=env, anew=anew) as process:
        out, err = process.communicate(stdin, timeout=patience)
    return process.returncode, out.decode(), err.decode()


def start_program(code: str, *, anew: bool = False, **options: Any) -> subprocess.Popen:
    """Start ``python -c`` with a program, as :func:`start` does the command."""
    return _python("-c", code, anew=anew, **options)


def run_program(code: str, *, anew: bool = False, patience: float = 50, **options: Any) -> tuple[str, str]:
    """Run ``python -c`` with a program to its good end; return its stdout and its stderr."""
    with start_program(code, anew=anew, **options) as process:
        out, err = process.communicate(timeout=patience)
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


def said_by(text: str) -> dict[str, str]:
    """Put together what stands behind each label of channels: in which order they come is for chance."""
    said: dict[str, list[str]] = {}
    label = ""
    for line in text.splitlines():
        if found := _LABEL.match(line):
            label, line = found[0], line[found.end() + 2 :]
        said.setdefault(label, []).append(line)
    return {label: " ".join(lines) for label, lines in said.items()}
