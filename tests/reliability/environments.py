"""Where sessions run, and how they are ended from outside: programs as data, each a process of its own.

A :class:`Row` is a program, what is done to it, and what it is to say and return, within a bound. The local
server is the test's own, so that it sees what the program's end leaves open.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from speechmatics_rt.local import Fault, LocalServer

from ..cli.command import start_program

ROOT = Path(__file__).parent.parent.parent
BOUND = 5.0  # s from what ends a program to its end; a busy machine is given more to begin
BEGUN = 60.0  # s to be where it waits
WAITED = 1.0  # s for a processor, after which what differs may be the machine's doing

START = """
    import os, signal, sys, threading, time
    from speechmatics_rt import AudioFormat, Client, ConnectionConfig, SessionError, SpeechmaticsError
    PCM = AudioFormat("pcm_s16le", 16000)
    SECOND = bytes(32000)

    def client(**options):
        context = None
        if os.environ["URL"].startswith("wss"):
            import ssl
            context = ssl._create_unverified_context()
        config = {"close_timeout": 1, "ssl_context": context, **options.pop("config", {})}
        return Client(url=os.environ["URL"], conn_config=ConnectionConfig(**config), **options)

    def started(**options):
        made = client(**options)
        made.start_session(audio_format=PCM)
        return made
"""


@dataclass(frozen=True)
class Row:
    """A program, and its end.

    Attributes:
        program: Its source, behind :data:`START`. It says ``here`` where something is to be done to it.
        says: A regular expression for all of its stdout; ``here`` aside.
        complains: The same for stderr.
        returns: Its exit code; -N if a signal kills it.
        sent: The signal it is sent once it is ``here``, and the server has seen what ``at`` says.
        faults: Of the server.
        at: What the server must have seen before: it is asked for its sessions.
        tls: Over wss.
        oldest: The first Python it is for.
    """

    name: str
    program: str
    says: str = ""
    complains: str = ""
    returns: int = 0
    sent: Optional[int] = None
    faults: tuple[Fault, ...] = ()
    at: Optional[Callable[[LocalServer], bool]] = None
    tls: bool = False
    oldest: tuple[int, int] = (3, 9)
    options: Mapping[str, Any] = field(default_factory=dict)  # of the server


def began(server: LocalServer) -> bool:
    return bool(server.sessions)


def heard(kind: str, count: int = 1) -> Callable[[LocalServer], bool]:
    return lambda server: any(len(record.heard(kind)) >= count for record in server.sessions)


# -- processes of Python's own -------------------------------------------------------------------------

_WORKER = """
    import multiprocessing

    def work(number):
        mine = client()
        return mine.transcribe(SECOND * 3, audio_format=PCM).text

    def refused(parent):
        try:
            parent.send_audio(SECOND)
        except SessionError:
            parent.close()
            return True

    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        ours = started()
        ours.send_audio(SECOND)
        with context.Pool(2) as pool:
            texts = set(pool.map(work, range(4)))
        if {method!r} == "fork":
            child = context.Process(target=lambda: os._exit(0 if refused(ours) else 1))
            child.start()
            child.join()
            print("refused", child.exitcode)
        ours.send_audio(SECOND * 2)
        ours.stop_session()
        print(texts == {{ours.transcript.text}}, ours.transcript.text[:12])
"""
PROCESSES = [
    Row(
        f"multiprocessing {method}",
        _WORKER.format(method=method),
        ("refused 0\n" if method == "fork" else "") + "True Good morning\n",
        "(.*DeprecationWarning.*fork.*\n.*\n)*",
    )
    for method in ("fork", "spawn", "forkserver")
]

# -- the end of the interpreter ------------------------------------------------------------------------

EXITS = [
    Row("exit between start and stop", "ours = started()\nours.send_audio(SECOND)\nprint('bye')", "bye\n"),
    Row(
        "exit in the middle of a stream",
        """
        messages = client().stream([SECOND] * 20, audio_format=PCM)
        next(messages)
        print("bye")
        """,
        "bye\n",
        "(.*ResourceWarning.*\n(  .*\n)*)?",
    ),
    Row(
        "exit while a daemon thread transcribes",
        """
        begun = threading.Event()
        def source():
            while True:
                begun.set()
                yield SECOND[:3200]
        def work():
            client().transcribe(source(), audio_format=PCM, speed=1)
        threading.Thread(target=work, daemon=True).start()
        begun.wait(30)
        print("bye")
        """,
        "bye\n",
    ),
    Row(
        "exit while a thread transcribes, which is waited for",
        """
        def work():
            begun.set()
            try:
                print(client().transcribe([SECOND] * 3, audio_format=PCM).text[:12])
            except SessionError as exc:
                print("refused:", exc)
        begun = threading.Event()
        threading.Thread(target=work).start()
        begun.wait(30)
        print("bye")
        """,
        # Python 3.12 may be quicker to say that no thread may begin any more.
        "(bye\nGood morning\n|Good morning\nbye\n|bye\nrefused: .*end sessions before.*\n)",
    ),
    Row(
        "a session that atexit closes",
        """
        import atexit
        ours = started()
        ours.send_audio(SECOND)
        atexit.register(lambda: (ours.close(), print("closed", ours.is_connected)))
        """,
        "closed False\n",
    ),
    Row(
        "a session that atexit stops, with its last word",
        """
        import atexit
        ours = started()
        ours.send_audio(SECOND * 3)
        atexit.register(lambda: (ours.stop_session(), print(ours.transcript.text[:12])))
        """,
        "Good morning\n",
    ),
    Row(
        "a session that atexit begins, when no thread may be started any more",
        """
        import atexit
        def late():
            try:
                print(client().transcribe(SECOND * 3, audio_format=PCM).text[:12])
            except SessionError as exc:
                print("refused:", exc)
        atexit.register(late)
        """,
        # From 3.13 on there are threads until the last of those that are waited for has ended.
        "Good morning\n" if sys.version_info[:2] != (3, 12) else "refused: .*end sessions before.*\n",
    ),
    *(
        Row(
            f"a finaliser at the end of the interpreter: {call}{', resume' * resume}",
            f"""
            class Recording:
                def __init__(self):
                    self.client = client(resume={resume})
                    if "stream" in {call!r}:
                        self.stream = self.client.stream([SECOND] * 40, audio_format=PCM, speed=1.0)
                        next(self.stream)
                    else:
                        self.client.start_session(audio_format=PCM)
                def __del__(self):
                    began = time.monotonic()
                    try:
                        self.{call}
                    except SessionError as exc:
                        print("refused:", exc)
                    print("in time" if time.monotonic() - began < 2 else "late")
            ours = Recording()
            """,
            ("refused: .*the interpreter is ending.*\n" if refused else "") + "in time\n",
        )
        for resume in (False, True)
        for call, refused in (
            ("client.close()", False),
            ("stream.close()", False),
            ("client.stop_session()", True),
            ("client.get_speakers(timeout=None)", True),
            ("client.__exit__(None, None, None)", True),
        )
    ),
    Row("SystemExit beside an open session", "ours = started()\nraise SystemExit(3)", returns=3),
    Row("an exception beside an open session", "ours = started()\n1 / 0", "", "Traceback(.|\n)*", returns=1),
    Row("os._exit beside an open session", "ours = started()\nos._exit(4)", returns=4),
    Row(
        "SystemExit in a handler on the listener",
        """
        ours = client()
        ours.on("AddTranscript", lambda message: sys.exit(3))
        ours.start_session(audio_format=PCM)
        try:
            ours.send_audio(SECOND * 3)
            ours.stop_session()
        except SessionError as exc:
            print(exc)
        """,
        "a handler ended the session: SystemExit\\(3\\).*\n",
    ),
    Row(
        "SystemExit in a handler of transcribe",
        """
        ours = client()
        ours.on("AddTranscript", lambda message: sys.exit(3))
        ours.transcribe(SECOND * 3, audio_format=PCM)
        """,
        returns=3,
    ),
    Row(
        "SystemExit in a source",
        """
        def source():
            yield SECOND
            sys.exit(3)
        try:
            client().transcribe(source(), audio_format=PCM)
        except SpeechmaticsError as exc:
            print(type(exc).__name__, exc)
        """,
        "AudioError the audio source raised SystemExit.*\n",
    ),
]

# -- interpreters in one process -----------------------------------------------------------------------

_INNER = textwrap.dedent(START) + textwrap.dedent(
    """
    try:
        text = client().transcribe(SECOND * 3, audio_format=PCM).text[:12]
    except SpeechmaticsError as exc:
        text = f"{type(exc).__name__}: {exc}"
    print(text, flush=True)
    """
)


def interpreter(*, own_lock: bool) -> str:
    """A program that transcribes in an interpreter beside its own, and then in its own."""
    kind = "'isolated'" if own_lock else "'legacy'"
    if sys.version_info < (3, 13):
        kind = f"isolated={own_lock}"
    return f"""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        made = interpreters.create({kind})
        failed = interpreters.run_string(made, {_INNER!r})
        print("failed", failed) if failed is not None else None
        interpreters.destroy(made)
        print(client().transcribe(SECOND * 3, audio_format=PCM).text[:12])
    """


_EITHER = "(Good morning|ConfigurationError: .*sub-interpreter.*)\nGood morning\n"
SUBINTERPRETERS = [
    Row("a sub-interpreter with a lock of its own", interpreter(own_lock=True), _EITHER, oldest=(3, 12)),
    Row("a sub-interpreter that shares the lock", interpreter(own_lock=False), _EITHER),
]

# -- signals in every wait -----------------------------------------------------------------------------

_DNS = """
    import socket
    unsaid = ["here"]  # it is asked about IPv4 alone as well, a moment later
    socket.getaddrinfo = lambda *_, **__: (unsaid and print(unsaid.pop(), flush=True), time.sleep(60))
"""
_UNANSWERED = """
    import socket
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    inside = [socket.socket() for _ in range(4)]
    for one in inside:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    os.environ["URL"] = "ws://127.0.0.1:%d/v2" % full.getsockname()[1]
    connect_ex = socket.socket.connect_ex
    socket.socket.connect_ex = lambda sock, address: (connect_ex(sock, address), print("here", flush=True))[0]
"""
_CONNECT = "ours = client()\nours.start_session(audio_format=PCM)"
_START_IT = "ours = client()\nprint('here', flush=True)\nours.start_session(audio_format=PCM)"
_FILL = """
    ours = started(config={"window_frames": 2})
    print("here", flush=True)
    while True:
        ours.send_audio(SECOND)
"""
_STOP_IT = """
    ours = started()
    ours.send_audio(SECOND)
    print("here", flush=True)
    ours.stop_session()
"""
_CLOSE_IT = """
    ours = started(config={"close_timeout": 60})
    print("here", flush=True)
    ours.close()
"""
_RESUME_IT = """
    from speechmatics_rt import ResumePolicy
    ours = client(resume=ResumePolicy(min_delay=60, max_delay=60, busy_delay=60))
    ours.on("Reconnecting", lambda message: print("here", flush=True))
    {use}
"""
_STREAM_IT = """
    print("here", flush=True)
    for message in client().stream(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=0.01):
        pass
"""


@dataclass(frozen=True)
class Wait:
    """Where a program waits: what leads there, and how the server knows."""

    program: str
    faults: tuple[Fault, ...] = ()
    at: Optional[Callable[[LocalServer], bool]] = None
    tls: bool = False


WAITS: dict[str, Wait] = {
    "dns": Wait(textwrap.dedent(_DNS) + "os.environ['URL'] = 'ws://somewhere.test/v2'\n" + _CONNECT),
    "connect": Wait(textwrap.dedent(_UNANSWERED) + _CONNECT),
    "tls": Wait(_START_IT, (Fault.hang(at="tls"),), began, tls=True),
    "upgrade": Wait(_START_IT, (Fault.hang(),), began),
    "start": Wait(_START_IT, (Fault.no_start(),), heard("StartRecognition")),
    "room in the window": Wait(_FILL, (Fault.no_acks(),), lambda server: len(server.sessions[0].frames) >= 2),
    "the end": Wait(_STOP_IT, (Fault.no_end(),), heard("EndOfStream")),
    "goodbye": Wait(_CLOSE_IT, (Fault.no_close_reply(),), lambda server: bool(server.sessions[0].close_code)),
    "another attempt": Wait(
        _RESUME_IT.format(use="ours.transcribe([SECOND] * 30, audio_format=PCM)"),
        (Fault.reset(after_messages=3),),
    ),
    "another attempt, by hand": Wait(
        _RESUME_IT.format(
            use="ours.start_session(audio_format=PCM)\n    ours.send_audio(SECOND)\n    ours.stop_session()"
        ),
        (Fault.reset(after_messages=2),),
    ),
    "the next message": Wait(_STREAM_IT, (), heard("StartRecognition")),
}
_EXITS_ON_TERM = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
_CLOSES_ON_TERM = """
made = []
making = Client.__init__
def remember(self, *args, **options):
    making(self, *args, **options)
    made.append(self)
Client.__init__ = remember
signal.signal(signal.SIGTERM, lambda *_: made[-1].close())
"""


def closes(wait: str, program: str) -> Row:
    """SIGTERM closes the client, and the call raises SessionError; close() itself returns."""
    program = program.replace('"close_timeout": 60', '"close_timeout": 2')  # each close() waits for it
    tried = "try:\n" + textwrap.indent(textwrap.dedent(program), "    ")
    told = "except SessionError as exc:\n    print('SessionError')\nelse:\n    print('done')\n"
    says = "done\n" if wait == "goodbye" else "SessionError\n"
    return Row(
        f"SIGTERM that closes, waiting for {wait}",
        textwrap.dedent(_CLOSES_ON_TERM) + tried + "\n" + told,
        says,
        sent=signal.SIGTERM,
    )


SIGNALS = [
    row
    for wait, where in WAITS.items()
    for row in (
        Row(
            f"SIGINT, waiting for {wait}",
            where.program,
            "",
            "Traceback(.|\n)*KeyboardInterrupt.*\n",
            returns=-signal.SIGINT,
            sent=signal.SIGINT,
        ),
        Row(
            f"SIGTERM that exits, waiting for {wait}",
            _EXITS_ON_TERM + textwrap.dedent(where.program),
            returns=5,
            sent=signal.SIGTERM,
        ),
        closes(wait, where.program),
    )
    for row in [
        Row(
            **{
                **{name: getattr(row, name) for name in row.__dataclass_fields__},
                "faults": where.faults,
                "at": where.at,
                "tls": where.tls,
            }
        )
    ]
]

TABLE = [*PROCESSES, *EXITS, *SUBINTERPRETERS, *SIGNALS]


# -- running one ---------------------------------------------------------------------------------------


def source_of(row: Row) -> str:
    return textwrap.dedent(START) + textwrap.dedent(row.program)


def run(row: Row, folder: Path, *, anew: bool = False) -> list[str]:
    """Run a row's program, do to it what the row says, and tell in what it differs.

    What is sent a signal may be a fork, unless it is to begin ``anew``, as an interpreter like all others.

    If it differs where the machine has kept it waiting for a processor, nothing is known, and it runs again.
    """
    for _ in range(3):
        wrong, waited = _run_once(row, folder, anew)
        if not wrong or waited < WAITED:
            break
    return wrong


def _start(row: Row, folder: Path, url: str, anew: bool) -> subprocess.Popen[bytes]:
    if row.sent is not None:  # what is to happen to it should not depend on how it began
        return start_program(source_of(row), anew=anew, cwd=folder, env={"URL": url})
    path = folder / "program.py"
    path.write_text(source_of(row))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "URL": url, "PYTHONPATH": str(ROOT)},
    )


def _run_once(row: Row, folder: Path, anew: bool) -> tuple[list[str], float]:
    """Return in what it differs, and for how many seconds its main thread has waited for a processor."""
    with LocalServer(tls=row.tls, faults=row.faults, **row.options) as server:
        process = _start(row, folder, server.url, anew)
        try:
            since = time.monotonic()
            if row.sent is not None:
                assert process.stdout is not None
                line = process.stdout.readline()
                if line != b"here\n":
                    process.kill()
                    waited = _ended(process, time.monotonic() + BEGUN)
                    return [f"said {line!r} and {process.communicate()[1]!r}"], waited
                deadline = time.monotonic() + BEGUN
                while row.at is not None and not row.at(server):
                    if time.monotonic() > deadline:
                        return ["it did not come so far"], 0.0
                    time.sleep(0.005)  # the server has no event for all of these
                since = time.monotonic()
                process.send_signal(row.sent)
            waited = _ended(process, time.monotonic() + BEGUN)
            took = time.monotonic() - since
            said, complained = (part.decode() for part in process.communicate())
        except subprocess.TimeoutExpired:
            return ["it does not end"], 0.0
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        wrong = []
        if row.sent is not None and took > BOUND:
            wrong.append(f"took {took:.1f} s to end")
        if process.returncode != row.returns:
            wrong.append(f"returned {process.returncode}")
        if not re.fullmatch(row.says, said):
            wrong.append(f"said {said!r}")
        if not re.fullmatch(row.complains, complained):
            wrong.append(f"complained {complained!r}")
        return wrong, waited


def _ended(process: subprocess.Popen[bytes], deadline: float) -> float:
    """Wait for its end; return how long its main thread has waited for a processor, where that is known."""
    if not sys.platform.startswith("linux"):
        process.wait(deadline - time.monotonic())
        return 0.0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, BEGUN)
        time.sleep(0.005)
    with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9
