"""What ends a program from outside: what was heard is written, whichever signal it is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechmatics_rt.cli.asked import Asked
from speechmatics_rt.cli.show import Screen
from speechmatics_rt.cli.signals import Interrupts
from speechmatics_rt.cli.sources import Given
from speechmatics_rt.cli.streams import Stream
from speechmatics_rt.local import Fault, LocalServer

from ..held import HeldEngine
from .command import SENTENCES, SPEECH, start
from .terminal import OnTerminal, Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")
SECOND = bytes(32000)
HANG_UP = getattr(signal, "SIGHUP", None)
ENDING = [signal.SIGINT, signal.SIGTERM, HANG_UP]
CODES = dict(zip(ENDING, (130, 143, 129)))  # as shells and systemd have it


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Have a hangup not ignored here, as ``nohup pytest`` would have it: a command heeds what it inherits."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, usual)


def begun(server: LocalServer, process: subprocess.Popen) -> None:
    """Let it hear nine seconds."""
    process.stdin.write(SECOND * 9)
    process.stdin.flush()
    server.wait_for_session().wait_for(lambda record: record.said("AddTranscript"))


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("form", ["text", "srt", "jsonl"])
def test_what_was_heard_is_in_the_file_after(tmp_path: Path, number: signal.Signals, form: str) -> None:
    with LocalServer() as server:
        options = (
            *RAW,
            "--url",
            server.url,
            "-f",
            form,
            "-o",
            tmp_path / "out",
            "--captions",
            tmp_path / "c.vtt",
        )
        with start("transcribe", "-", *options) as process:
            begun(server, process)
            process.send_signal(number)
            assert process.wait(10) == CODES[number]
        assert server.sessions[0].heard("EndOfStream")
    for name in ("out", "c.vtt"):
        assert "Good" in (tmp_path / name).read_text()
        assert "train" in (tmp_path / name).read_text()  # what came after the signal, too


@pytest.mark.parametrize("number", ENDING)
def test_in_an_outage_what_was_heard_is_written_after_one_more_attempt(
    tmp_path: Path, number: signal.Signals
) -> None:
    gone = [Fault.fin(after_final=5, sessions=[0]), Fault.refuse(503, sessions=range(1, 50))]
    with LocalServer(faults=gone) as server:
        options = (SPEECH, "--speed", "30", "--resume", "--url", server.url, "-o", tmp_path / "out")
        with start("transcribe", *options) as process:
            server.wait_for_session(1).wait_closed()  # it waits for the next attempt, five seconds at least
            attempts = len(server.sessions)
            process.send_signal(number)
            assert process.wait(30) == CODES[number]  # which ten attempts exceed by far
            err = process.stderr.read().decode()
        assert len(server.sessions) <= attempts + 1
    assert (tmp_path / "out").read_text().startswith("Good morning")
    assert err.count("speechmatics-rt: error:") == 1
    assert "503" in err


@pytest.mark.parametrize("number", ENDING)
def test_while_the_quota_is_full_it_says_so_and_ends_at_once(number: signal.Signals) -> None:
    with LocalServer(quota=0) as server:
        options = (SPEECH, "--resume", "--url", server.url)
        with start("transcribe", *options) as process:
            told = process.stderr.readline().decode()
            attempts = len(server.sessions)
            process.send_signal(number)
            assert process.wait(30) == CODES[number]
            assert process.stderr.read() == b""
        assert len(server.sessions) <= attempts + 1
    assert told.startswith("speechmatics-rt: warning: ")
    assert "quota_exceeded" in told
    assert "; attempt 1 in 5." in told


def test_a_terminal_that_is_closed_costs_no_word(tmp_path: Path) -> None:
    # The kernel says SIGHUP, the shell says it again, and nothing can be shown any more.
    engine = HeldEngine()
    with LocalServer(engine) as server:
        options = (SPEECH, "--url", server.url, "-o", tmp_path / "out")
        running = OnTerminal("transcribe", *options, start_new_session=True)
        with running:
            record = server.wait_for_session()
            record.wait_for(lambda record: len(record.said("AddTranscript")) > 10)
            running.process.send_signal(signal.SIGHUP)
            running.process.send_signal(signal.SIGHUP)
            running.hang_up()
            engine.let_go.set()
            assert running.process.wait(10) == 129
            assert record.said("EndOfTranscript")
    assert "Good morning" in (tmp_path / "out").read_text()


def test_ctrl_z_removes_what_is_drawn_and_fg_goes_on_in_a_line_of_its_own() -> None:
    options = ("--speed", "4", "--partials")
    # In a group of its own, as a shell makes one for each job: others the kernel does not stop.
    with (
        LocalServer() as server,
        OnTerminal("transcribe", SPEECH, "--url", server.url, *options, own_group=True) as running,
    ):
        running.until(r"welcome to the\b(.*\n)+━")
        os.kill(running.process.pid, signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(running.process.pid, os.WUNTRACED)[1])
        while not re.search(r"\x1b\[J(\r\x1b\[K)?\Z", running.received):
            running.read()
        shell = "[1]+  Stopped\n$ fg\n"
        running.received += "\r\n" + shell.replace("\n", "\r\n")
        os.kill(running.process.pid, signal.SIGCONT)
        code, received = running.finish()
    assert code == 0
    before, _, after = Terminal().feed(received).text.partition(shell)
    assert "━" not in before + after
    assert f"{before} {after}".split() == " ".join(SENTENCES).split()
    assert not after.startswith(" ")


def test_under_nohup_it_goes_on(tmp_path: Path) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with LocalServer() as server:
        options = (*RAW, "--url", server.url)
        with start("transcribe", "-", *options, preexec_fn=nohup) as process:
            begun(server, process)
            process.send_signal(signal.SIGHUP)
            process.stdin.write(SECOND * 11)
            out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out.decode().splitlines()[:2] == SENTENCES[:2]


def test_impatience_while_it_is_written_costs_no_word(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out")
    reader = os.open(tmp_path / "out", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "out", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, bytes(4096)):
            pass  # full: nothing can be written there before it is read
    os.close(writer)
    with LocalServer(faults=[Fault.silence(at="drain")]) as server, open(reader, "rb") as pipe:
        options = (SPEECH, "--speed", "30", "--url", server.url, "-o", tmp_path / "out")
        with start("transcribe", *options) as process:
            record = server.wait_for_session()
            record.wait_for(lambda record: len(record.said("AddTranscript")) > 30)
            process.send_signal(signal.SIGINT)
            record.wait_for(lambda record: record.heard("EndOfStream"))
            process.send_signal(signal.SIGINT)
            record.wait_closed()
            time.sleep(0.3)  # now it waits for room in the pipe
            process.send_signal(signal.SIGTERM)
            os.set_blocking(reader, True)
            assert pipe.read().lstrip(b"\0").decode().startswith(SENTENCES[0])
            code = process.wait(10)
            assert code == 130, process.stderr.read()


@pytest.mark.parametrize("number", ENDING)
def test_serve_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with start("serve", "--port", "0", "--tls", env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stdout.readline().startswith(b"wss://")
        assert b"Try:" in process.stderr.readline()
        assert len(list(tmp_path.iterdir())) == 1  # the certificate
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not list(tmp_path.iterdir())


class FakeClient:
    """As far as a signal knows a client; the real ones are above."""

    session_id = None
    stops = 0

    def stream(self, sources, **options):
        return iter(())

    def request_stop(self) -> None:
        self.stops += 1


class Interrupted(FakeClient):
    """It is still in the call that starts the session when the signal comes."""

    def __init__(self, interrupt) -> None:
        self.interrupt = interrupt

    def stream(self, sources, **options):
        with pytest.raises(KeyboardInterrupt):
            self.interrupt()
        self.session_id = "7f3c"
        self.interrupt()
        return iter(())


def test_a_signal_as_a_session_starts_ends_it_at_once_until_it_has_started() -> None:
    interrupts = Interrupts(
        Screen(Stream(None, "out", vital=True), Stream(None, "err", vital=False), live=False)
    )
    client = Interrupted(lambda: interrupts(signal.SIGINT))
    interrupts.start(client, Asked(Given(lambda: None, [], []), {}, []))
    assert (client.stops, interrupts.stopping) == (1, signal.SIGINT)


def test_what_the_first_the_second_and_the_third_signal_mean() -> None:
    interrupts = Interrupts(
        Screen(Stream(None, "out", vital=True), Stream(None, "err", vital=False), live=False)
    )
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGTERM)  # nothing was heard that could be lost
    client = FakeClient()
    interrupts.start(client, Asked(Given(lambda: None, [], []), {}, []))
    interrupts(signal.SIGHUP)
    interrupts(signal.SIGHUP)  # once from the terminal, once from the shell
    assert (client.stops, interrupts.stopping) == (1, True)
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT)
    interrupts.write()
    interrupts(signal.SIGINT)  # what was heard is written first
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT)  # unless that takes for ever
