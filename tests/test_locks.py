"""Every lock of the package: found by itself, known here with its answer to signal handlers and forks."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import speechmatics_rt
from speechmatics_rt import AudioFormat, JWTAuth, SessionError
from speechmatics_rt.network import shared_context
from speechmatics_rt.threads import locks

PACKAGE = Path(speechmatics_rt.__file__).parent
PCM = AudioFormat("pcm_s16le", 16000)

MAKERS = {
    "threading": {"Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "local"},
    "queue": {"Queue", "SimpleQueue", "LifoQueue", "PriorityQueue"},
    "asyncio": {"Lock", "Event", "Condition", "Queue", "Semaphore"},
    "_thread": {"allocate_lock", "RLock"},
}

# Made by new_lock(): free after a fork, and a signal handler gets in on the thread that holds it. Then ...
LOCKS = {
    "threads.locks importing": "an import of the handler comes in the middle of another one, as imports do",
    "network.monitor Monitor.lock": "stats() reads, close() shuts the socket, what sends or waits is refused",
    "network.duplex DuplexSocket._lock": "taken under Monitor.lock alone, so that answers",
    "network.dialing.handshake _context_lock": "another client's start in a handler builds the context twice",
    "network.shared_reader _lock": "a handler starts no session on the thread that is about to",
    "network.reader Reader._skipped_lock": "no handler counts; stats() reads without it",
    "resume.monitor ResumeMonitor.lock": "stats() reads, close() marks the end, the rest is refused",
    "session.opener Opener._current_lock": "close() sees the session before or after, and means the same one",
    "session.stages _waits_lock": "a handler waits for no session",
    "session.delivering.stream MessageStream._turn": "next() of the handler is one more of the same thread",
    "session.session Session._meter_lock": "stats() reads figures of one chunk less or more",
    "session.recorder Recording._lock": "a line of the handler comes between two others",
    "session.sender RoundRobin._condition": "taken by sender threads, which run no signal handlers",
    "transcript.transcript Transcript._lock": "reads what is there; a join half done is begun anew",
    "auth.jwt JWTAuth._lock": "taken by threads of ours, which run no signal handlers",
    "audio.gather _Ahead._condition": "taken by threads of ours, which run no signal handlers",
    "audio.microphone Microphone._lock": "stop() finds the stream before or after",
    "audio.microphone Microphone._reading": "a handler does not read",
    "audio.shared _Trunk._condition": "a handler does not read the source of a call that it interrupts",
    "audio.split _File._lock": "a handler does not read the file of a call that it interrupts",
    "many.job Sessions._lock": "held for assignments; a handler calls request_stop(), which takes none",
    "cli.outputs.wav WavFile._lock": "close() in a handler comes between two blocks",
    "cli.serve _Board._lock": "stop() does not take it",
    "local.server LocalServer._lock": "close() closes what is there; start() then ends itself",
    "local.connection.record SessionRecord._changed": "taken by the server's threads and by who waits",
    "local.recognition _Worker._news": "taken by the server's threads, which run no signal handlers",
    "local.connection.wire Wire._lock": "a call is put into the list or not; its thread is woken again",
    "local.engines.heard Heard._lock": "taken by the server's threads, which run no signal handlers",
    "local.keys KeyRing._lock": "expire_keys() clears what is there",
    "local.whisper.container Container._lock": "taken by the server's threads, which run no signal handlers",
    "local.whisper.container Container._news": "it is Container._lock",
    "local.whisper.engine WhisperEngine._lock": "close() drops the model that is there",
}
# Nobody but who sleeps on it takes it, and a forked child has nobody that sleeps: no answer is needed.
WAITS = {
    "threads.locks new_lock.lock": "what new_lock() makes",
    "threads.locks Latch._door": "who waits for the latch",
    "network.wakeup WakeUp._lock": "the thread that is woken",
    "network.wakeup WaitList.ticket.ticket": "the holder of the ticket",
    "auth.jwt JWTAuth._given": "belongs to its thread",
    "audio.microphone _Recording._blocks": "a C queue, into which put() may interrupt itself",
    "many.outcomes Outcomes._news": "a C queue, into which put() may interrupt itself",
    "cli.serve _Board._events": "a C queue, into which put() may interrupt itself",
    "aio.dispatch Dispatcher.begun": "of the event loop, where no thread waits",
    "aio.bridge LoopWakeUp._woken": "of the event loop, where no thread waits",
}


def _makes(node: ast.AST) -> Iterator[str]:
    """The makers of locks that an expression names."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            if inner.attr in MAKERS.get(inner.value.id, ()):
                yield inner.attr
        elif isinstance(inner, ast.Name) and inner.id == "new_lock":
            yield inner.id


def _found(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Where a module makes locks, and by what."""
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)

    def look(node: ast.AST, scope: list[str], in_class: str) -> Iterator[tuple[str, set[str]]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                owner = child.name if isinstance(child, ast.ClassDef) else in_class
                yield from look(child, [*scope, child.name], owner)
            elif isinstance(child, (ast.Assign, ast.AnnAssign)):
                made = set(_makes(child.value)) if child.value is not None else set()
                if made:
                    target = ast.unparse(child.targets[0] if isinstance(child, ast.Assign) else child.target)
                    name = in_class + target[4:] if target.startswith("self.") else ".".join([*scope, target])
                    yield f"{module} {name}", made
            elif isinstance(child, ast.expr):
                made = set(_makes(child))
                mentions = [getattr(node, part, None) for part in ("annotation", "returns")]
                if made and child not in (*mentions, *getattr(node, "bases", ())):
                    yield f"{module} {'.'.join(scope)}", made
            elif not isinstance(child, (ast.arguments, ast.ImportFrom)):
                yield from look(child, scope, in_class)

    yield from look(ast.parse(path.read_text(encoding="utf-8")), [], "")


@functools.cache
def found() -> list[tuple[str, set[str]]]:
    return [made for path in sorted(PACKAGE.rglob("*.py")) for made in _found(path)]


def test_every_lock_is_known_with_its_answer() -> None:
    names = [name for name, _ in found()]
    assert sorted(set(names)) == sorted({*LOCKS, *WAITS})


def test_every_lock_that_is_held_is_made_in_the_one_place() -> None:
    bare = {name for name, made in found() if name in LOCKS and "new_lock" not in made}
    assert bare == {"local.whisper.container Container._news"}  # a condition on a lock that is


@pytest.fixture
def everything(serve, client_of) -> Iterator[tuple[Any, Any]]:
    """A client in mid-session, another that resumes, and all else that has locks."""
    server = serve()
    # Locks of the server are held too, and then it does not answer the close.
    kept = [JWTAuth("key"), client_of(server, resume=True, close_timeout=0.2)]
    kept[1].start_session(audio_format=PCM)
    client = client_of(server, close_timeout=0.2)
    client.on("AddTranscript", lambda message: None)
    client.start_session(audio_format=PCM)
    client.send_audio(bytes(32000))
    return client, kept[1]


def all_locks() -> list[Any]:
    return [lock for reference in list(locks._all) if (lock := reference()) is not None]


@contextlib.contextmanager
def interrupted_by_a_timer() -> Iterator[type[Exception]]:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield Interrupted
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer that interrupts")
def test_an_interrupt_between_any_two_instructions_leaves_no_lock_held() -> None:
    lock = locks.new_lock()
    left = 0
    with interrupted_by_a_timer() as interrupted:
        for number in range(500):
            with contextlib.suppress(interrupted):
                signal.setitimer(signal.ITIMER_REAL, 1e-4 + number % 100 * 1e-6)
                while True:
                    with lock:
                        pass
            left += locks.is_mine(lock)
            locks.let_go(lock)
    # Python 3.9 may leave one at the end of the block; who holds one there calls let_go().
    assert left == 0 or sys.version_info < (3, 10)


def test_locks_that_are_gone_are_not_kept_in_mind() -> None:
    kept = [locks.new_lock() for _ in range(50)]
    before = len(locks._all)
    for _ in range(5000):
        locks.new_lock()
    assert len(locks._all) < 3 * before
    assert {id(lock) for lock in kept} <= {id(lock) for lock in all_locks()}


def outer_of(lock: Any, client: Any) -> Any:
    """What is always held when that one is: a socket's lock is only taken under that of its connection."""
    connection = client._session.connection
    connection = getattr(connection, "_connection", connection)
    return connection._lock if lock is connection._sock._lock else contextlib.nullcontext()


SAFE: dict[str, Callable[[Any], object]] = {
    "stats": lambda client: client.stats,
    "transcript": lambda client: (client.transcript.text, str(client.transcript)),
    "is_connected": lambda client: client.is_connected,
    "ids": lambda client: (client.request_id, client.session_id, client.audio_bytes_sent),
    "on": lambda client: client.on("Info", print),
    "once": lambda client: client.once("Info", print),
    "off": lambda client: client.off("Info", print),
    "remove_all_listeners": lambda client: client.remove_all_listeners("Info"),
    "request_stop": lambda client: client.request_stop(),
    "close": lambda client: client.close(),
}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
@pytest.mark.parametrize("which", [0, 1], ids=["plain", "resume"])
def test_a_signal_handler_may_ask_and_close_whatever_lock_its_own_thread_holds(everything, which) -> None:
    client = everything[which]
    took: dict[str, float] = {}

    def handler(*_: object) -> None:
        for name, call in SAFE.items():
            began = time.monotonic()
            call(client)
            took[name] = max(took.get(name, 0.0), time.monotonic() - began)

    before = signal.signal(signal.SIGUSR1, handler)
    gc.collect()  # what earlier tests have left behind holds nothing
    try:
        for lock in all_locks():
            with outer_of(lock, client), lock:
                signal.raise_signal(signal.SIGUSR1)
            if not client.is_connected:
                client.start_session(audio_format=PCM)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert set(took) == set(SAFE)
    assert max(took.values()) < 3, took


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
@pytest.mark.parametrize("which", [0, 1], ids=["plain", "resume"])
def test_what_sends_or_waits_is_refused_in_the_middle_of_the_sessions_own_work(everything, which) -> None:
    client = everything[which]
    raised: list[BaseException] = []

    def handler(*_: object) -> None:
        for call in (lambda: client.send_audio(bytes(2)), client.get_speakers, client.stop_session):
            try:
                call()
            except BaseException as exc:
                raised.append(exc)

    connection = client._session.connection
    inner = getattr(connection, "_connection", connection)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with inner._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [type(exc) for exc in raised] == [SessionError] * 3
    assert all("signal" in str(exc) for exc in raised)
    client.send_audio(bytes(32000))
    client.stop_session()
    assert client.transcript.text


def test_a_close_in_a_signal_handler_is_what_the_interrupted_call_and_the_next_ones_are_told(
    serve, client_of
) -> None:
    client = client_of(serve())
    client.start_session(audio_format=PCM)
    with client._session.connection._lock:
        client.close()
    assert not client.is_connected
    with pytest.raises(SessionError, match="closed"):
        while True:
            client.send_audio(bytes(3200))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_finds_every_lock_free_and_may_start_a_session(everything) -> None:
    client, _ = everything
    held, over = threading.Event(), threading.Event()

    all_but_one = [lock for lock in all_locks() if lock is not locks.importing]  # for which a fork waits

    def hold() -> None:
        for lock in all_but_one:
            lock.acquire()
        held.set()
        over.wait(30)
        for lock in all_but_one:
            locks.let_go(lock)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # a child that hangs is killed, and its status says so
        status = 1
        try:
            busy = [lock for lock in all_locks() if not lock.acquire(blocking=False)]
            for lock in all_locks():
                locks.let_go(lock)
            shared_context()
            for name, call in SAFE.items():
                if name != "stats":
                    call(client)
            status = 3 if busy else 0
        finally:
            os._exit(status)
    over.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.send_audio(bytes(32000))
    client.stop_session()
    assert client.transcript.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("more", ["", "import logging\nlogging.getLogger('slowly')"], ids=["", "it logs"])
def test_a_fork_waits_for_a_late_import_so_that_the_child_can_have_it_too(tmp_path: Path, more: str) -> None:
    (tmp_path / "slowly.py").write_text(f"import time\nbegun.set()\ntime.sleep(0.3)\n{more}\n")
    program = f"""
import builtins, os, sys, threading
from speechmatics_rt.threads import importing
import logging  # a fork takes its lock, too
sys.path.insert(0, {str(tmp_path)!r})
builtins.begun = threading.Event()

def late():
    with importing:
        import slowly

thread = threading.Thread(target=late)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    import slowly
    os._exit(7)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "7"
