"""What the other tests of the command stand on: a fork of it is what a new process is to who starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer

from . import command
from .command import LOCAL, SPEECH, in_shell, run, run_program, start
from .fork_client import IGNORED_BY_PYTHON
from .terminal import OnTerminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are handed over on Linux alone")

RT = f"$RT transcribe '{SPEECH}' --local --engine scripted"
RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")


def without_numbers(said: Any) -> str:
    """Leave out what is new each time: the ids of sessions and requests, and when they began."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|20\d\d-\d\d-\d\dT[0-9:.]+Z", "NEW", str(said))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("transcribe", "--nonsense"),
        ("transcribe", "-", *RAW, *LOCAL),
        ("transcribe", SPEECH, *LOCAL, "-f", "jsonl", "--partials"),
        ("transcribe", "Ren\udce9", "--url", "ws://127.0.0.1:1/v2"),  # bytes that are no text
        ("transcribe", SPEECH, "--url", "ws://127.0.0.1:1/v2", "-vv"),
        ("serve", "--list-faults"),
    ],
    ids=str,
)
def test_it_says_the_same_and_ends_with_the_same_code(arguments: tuple[Any, ...]) -> None:
    forked, new = (run(*arguments, stdin=bytes(64000), anew=anew) for anew in (False, True))
    if "-vv" in arguments:  # with times and where in the code
        forked, new = ((code, out, err.splitlines()[-1]) for code, out, err in (forked, new))
    assert without_numbers(forked) == without_numbers(new)


def test_a_program_finds_the_same_and_no_name_that_is_not_its_own() -> None:
    program = """
import atexit, logging, os, sys
atexit.register(print, "the end")
class Kept:
    def __del__(self):
        print("gone before what it calls:", callable(os.getpid))
kept = Kept()
print(__name__, sys.argv, sys.path[0], sys.warnoptions, [name for name in vars() if name[:2] != "__"])
print(sys.modules["__main__"].__dict__ is globals(), logging.getLogger().handlers, file=sys.stderr)
"""
    assert run_program(program) == run_program(program, anew=True)


@pytest.mark.parametrize(
    "line",
    [
        f"{RT} <&-",
        f"{RT} >&-",
        f"{RT} -o out <&- >&- 2>&-; cat out",
        f"{RT} > /dev/full; echo $?",
        f"{RT} -f srt | head -n 1",
        f"{RT} -f jsonl -o /dev/fd/7 7> out; cat out",
        f"cat '{SPEECH}' | $RT transcribe - --local --engine scripted",
        f"umask 027; {RT} -o out; stat -c %a out",
        "ulimit -f 0; $RT nonsense",
        "$RT --help & wait $!; echo $?",
        "_ARGCOMPLETE=1 COMP_LINE='speechmatics-rt tr' COMP_POINT=18 COMP_TYPE=9 $RT 8>&1 9>&2",
    ],
)
def test_it_is_the_same_to_a_shell(tmp_path: Path, line: str) -> None:
    said = []
    for anew in (False, True):
        here = tmp_path / str(anew)
        here.mkdir()
        said.append(without_numbers(in_shell(line, cwd=here, anew=anew)))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (("serve", "--port", "0"), signal.SIGINT),
        (("serve", "--port", "0"), signal.SIGKILL),
        (("transcribe", "-", *RAW), signal.SIGINT),
        (("transcribe", "-", *RAW), signal.SIGUSR1),
    ],
)
def test_a_signal_does_the_same(arguments: tuple[str, ...], number: signal.Signals) -> None:
    ends = []
    for anew in (False, True):
        with LocalServer() as server:
            url = () if arguments[0] == "serve" else ("--url", server.url)
            with start(*arguments, *url, anew=anew) as process:
                if url:
                    process.stdin.write(bytes(32000))
                    process.stdin.flush()
                    server.wait_for_session().wait_for(lambda record: record.audio_size == 32000)
                else:
                    process.stdout.readline()
                assert process.poll() is None
                process.send_signal(number)
                out, _ = process.communicate(timeout=20)
            ends.append((process.returncode, out))
    assert ends[0] == ends[1]


def status_of(process: subprocess.Popen) -> dict[str, Any]:
    """What the system knows of a process, but for its number and its size."""
    files = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
    deadline, lines = time.monotonic() + 20, {"State": ""}
    while not lines["State"].startswith("S"):  # while a thread of its begins, all signals are blocked
        assert time.monotonic() < deadline, "it never waits"
        text = Path(f"/proc/{process.pid}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in text.splitlines())
    lines["SigBlk"] = hex(int(lines["SigBlk"], 16) & ~IGNORED_BY_PYTHON)  # PortAudio blocks SIGPIPE here
    names = ("Umask", "PPid", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapEff")
    return {
        **{name: lines[name] for name in names},
        "session": os.getsid(process.pid) == process.pid,
        "group": os.getpgid(process.pid) == process.pid,
        "cwd": os.readlink(f"/proc/{process.pid}/cwd"),
        "files": [file.partition("[")[0] for file in files],
        "limits": Path(f"/proc/{process.pid}/limits").read_text(),
    }


@pytest.mark.parametrize("new_session", [False, True])
def test_it_is_the_same_to_the_system(tmp_path: Path, new_session: bool) -> None:
    known = []
    for anew in (False, True):
        options = {"cwd": tmp_path, "start_new_session": new_session, "stdin": subprocess.DEVNULL}
        with start("serve", "--port", "0", anew=anew, **options) as process:
            process.stdout.readline()
            process.stderr.readline()
            known.append(status_of(process))
            process.terminate()
            process.communicate(timeout=20)
    assert known[0] == known[1]
    assert known[0]["PPid"] == str(os.getpid())


def test_it_shows_the_same_on_a_terminal() -> None:
    shown = []
    for anew in (False, True):
        with OnTerminal("transcribe", SPEECH, *LOCAL, "--speed", "40", anew=anew) as running:
            code, received = running.finish()
            shown.append((code, running.terminal.feed(received).text))
    assert shown[0] == shown[1]


def test_a_streams_end_is_that_of_the_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, start("serve", "--port", "0", stdout=theirs, stdin=subprocess.DEVNULL) as process:
        theirs.close()
        assert ours.recv(100).startswith(b"ws://")
        process.kill()
        assert ours.recv(100) == b""
        assert process.wait(10) == -signal.SIGKILL


def test_what_a_fork_would_not_have_starts_anew() -> None:
    assert command.fork_server is not None
    names = []
    for env in ({}, {"PYTHONUTF8": "0"}):
        with start("serve", "--port", "0", env=env) as process:
            assert process.stdout.readline().startswith(b"ws://")
            names.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
            process.kill()
    assert [b"fork_server.py" in name for name in names] == [True, False]
