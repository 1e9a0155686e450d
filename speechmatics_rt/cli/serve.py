"""``speechmatics-rt serve``: runs the local server, for the development and tests of programs."""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import queue
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Optional, Union

from ..auth import checked_key
from ..config import is_loopback
from ..exceptions import ConfigurationError, SessionError, TimeoutError
from ..threads import new_lock
from .options import PROG, ExitCode, read_text
from .sessions import Sitting
from .show import ALERT, Screen
from .signals import on_signals, on_suspension
from .streams import Stream
from .text import Token

if TYPE_CHECKING:
    from ..local import Engine, LocalServer, SessionRecord

__all__ = ["serve"]

_A_DAY = 86400.0
_ATTENTIVE = 1.0  # s between two looks for Ctrl-C, which a wait on Windows doesn't see
_FRAME = 0.1  # s between two drawings
_KEPT_AUDIO = 10.0  # s, and of the closed connections so many: a server may run for weeks
_KEPT_SESSIONS = 1000


def serve(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    """Run the command, until Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        ConfigurationError: An option is wrong, the port is taken, or a package is missing.
    """
    try:
        from ..local import Fault, LocalServer
    except ImportError as exc:
        raise ConfigurationError(str(exc)) from exc
    if arguments.list_faults:
        out.write(fault_table())
        return ExitCode.OK
    for key in arguments.key or []:
        checked_key(key, "--key")  # another one could never be given
    server = LocalServer(
        _engine(arguments),
        tls=arguments.tls,
        keys=arguments.key,
        port=arguments.port,
        host=arguments.host,
        faults=[Fault.parse(text) for text in arguments.fault],
        speed=arguments.speed,
        quota=arguments.quota,
        container=arguments.container,
        duration_limit=arguments.duration_limit,
        keep_audio=_KEPT_AUDIO,
        keep_sessions=_KEPT_SESSIONS,
    )
    server.engine.language_pack_info("en")  # loads the model, so that the first session needn't wait
    screen = Screen(out, err, live=not arguments.verbose, quiet=arguments.quiet, color=arguments.color)
    with ExitStack() as stack:
        stack.enter_context(screen.with_log())
        stack.enter_context(on_suspension(screen.suspended))
        board = stack.enter_context(_Board(server, screen))
        try:
            stack.enter_context(server)
        except (OSError, OverflowError) as exc:
            # Python adds the address to the system's reason, for a second time.
            why = str(getattr(exc, "strerror", None) or exc).partition(" (while ")[0]
            if getattr(exc, "errno", None) == errno.EADDRINUSE:
                why += "; --port 0 takes a free one"
            where = "" if is_loopback(arguments.host) else f"{arguments.host}, "
            raise ConfigurationError(f"can't listen on {where}port {arguments.port}: {why}") from exc
        stack.enter_context(on_signals(lambda _: board.stop()))
        out.write(f"{server.url}\n")
        if not is_loopback(arguments.host):
            screen.tell(f"{PROG}: warning: {_exposed(arguments)}", ALERT)
        screen.note(_introduction(server, arguments, stack.enter_context(_certificate(server))))
        board.run()
        screen.note("stopped")
    return ExitCode.OK


# -- what is asked for -------------------------------------------------------------------------------------


def _engine(arguments: argparse.Namespace) -> Union[str, Engine]:
    """Make the engine; ``--script`` and ``--replay`` say which one is meant."""
    from ..local import ReplayEngine, Script, ScriptedEngine, WhisperEngine

    for file, of in (("script", "scripted"), ("replay", "replay")):
        if getattr(arguments, file) is not None:
            arguments.engine = arguments.engine or of
            if arguments.engine != of:
                raise ConfigurationError(f"--{file} needs --engine {of}")
    arguments.engine = arguments.engine or "scripted"
    if arguments.threads is not None:
        if arguments.engine != "whisper":
            raise ConfigurationError("--threads needs --engine whisper")
        return WhisperEngine(threads=arguments.threads)
    if arguments.engine == "replay":
        if arguments.replay is None:
            raise ConfigurationError("--engine replay needs --replay FILE.jsonl")
        return ReplayEngine(arguments.replay)
    if arguments.script is None:
        name: str = arguments.engine
        return name
    text = read_text("--script", arguments.script)
    if not any(character.isalnum() for character in text):
        raise ConfigurationError(f"--script {arguments.script!r} contains no words")
    return ScriptedEngine(Script.from_text(text, speakers=("S1", "S2"), repeat=True))


def fault_table() -> str:
    """Write all faults, their usual moments and their options."""
    from ..local import Fault

    lines = [f"{'--fault KIND':<18} {'at':<10} what happens"]
    for row in Fault.table():
        what = row.what.replace("``", "'")
        lines.append(f"{row.kind:<18} {row.at:<10} {what}")
        if row.options:
            lines.append(f"{'':<18} {'':<10}   :{row.options}")
    return "\n".join([*lines, "", _MOMENTS])


_MOMENTS = """\
Every fault also takes when: at=POINT, or after_messages=N, after_bytes=N, after_seconds=S of audio read,
after_final=S of audio that are final, and delay=S on top; and for whom: sessions=N or sessions=[N,N],
from 0. As in
  speechmatics-rt serve --fault error:type=job_error,after_seconds=5
"""


@contextmanager
def _certificate(server: LocalServer) -> Iterator[Optional[str]]:
    """Write the throwaway certificate where a client can be told to find it."""
    if server.ca_pem is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="speechmatics-rt-") as folder:
        path = os.path.join(folder, "ca.pem")
        with open(path, "wb") as file:
            file.write(server.ca_pem)
        yield path


def _introduction(server: LocalServer, arguments: argparse.Namespace, certificate: Optional[str]) -> str:
    command = f"speechmatics-rt transcribe FILE --url {server.url}"
    if certificate is not None:
        command = f"SSL_CERT_FILE={shlex.quote(certificate)} {command}"
    if arguments.key:
        command += f" --api-key {shlex.quote(arguments.key[0])}"
    return f"The {arguments.engine} engine listens; Ctrl-C ends it. Try:\n  {command}"


def _exposed(arguments: argparse.Namespace) -> str:
    who = "WHOEVER REACHES THIS MACHINE" + ("" if arguments.key else ", WITHOUT A KEY,")
    how = [option for option in ("--key", "--tls") if not getattr(arguments, option[2:])]
    return f"--host {arguments.host}: {who} may use this server" + (f"; see {', '.join(how)}" if how else "")


class _Board:
    """Shows all connections: a line each in a log; on a terminal a row each, kept up to date.

    A thread for each connection waits for it to move and says so; the main thread alone reads and writes.
    """

    def __init__(self, server: LocalServer, screen: Screen) -> None:
        self._server = server
        self._screen = screen
        # What has moved, and what is to be said of it; None: stop.
        self._events: queue.SimpleQueue[Optional[tuple[Sitting, Optional[Token]]]] = queue.SimpleQueue()
        self._sittings: dict[int, Sitting] = {}  # those that are drawn
        self._lock = new_lock()  # guards what is below; held to start a thread, never while waiting
        self._watchers: list[threading.Thread] = []
        self._greeted = 0  # connections that have, or had, a watcher
        self._closing = False

    def __enter__(self) -> _Board:
        return self

    def __exit__(self, *_: object) -> None:
        """Tell how the sessions ended that the end of the server has ended."""
        with self._lock:
            self._closing = True
        for watcher in self._watchers:
            watcher.join(_ATTENTIVE)
        self._screen.clear()
        self._take_all()
        for record in self._server.sessions:
            if record.index >= self._greeted:
                sitting = Sitting(record)
                self._take(sitting, sitting.ended())

    def run(self) -> None:
        """Tell what happens, until it is stopped."""
        # Nobody waits for its end: it finds, within a second, that there is nothing more to do.
        threading.Thread(target=self._greet, name="speechmatics-rt-watch-arrivals", daemon=True).start()
        while True:
            try:
                event = self._events.get(timeout=_ATTENTIVE)
            except queue.Empty:
                self._screen.tell_log()
                continue
            if event is None:
                return
            self._take(*event)
            if not self._take_all():
                return
            self._draw()
            time.sleep(_FRAME if self._sittings else 0.0)

    def stop(self) -> None:
        """Have it return; also from a signal handler."""
        self._events.put(None)

    def _take_all(self) -> bool:
        """Take what is there; False if that is the end."""
        while not self._events.empty():
            event = self._events.get()
            if event is None:
                return False
            self._take(*event)
        return True

    def _take(self, sitting: Sitting, line: Optional[Token]) -> None:
        if line is not None:
            text = f"{time.strftime('%H:%M:%S')} session {sitting.number} {line.text}"
            self._screen.note(text, line.style)
        if sitting.record.closed.is_set():
            self._sittings.pop(sitting.number, None)
        elif self._screen.live:
            self._sittings[sitting.number] = sitting

    def _draw(self) -> None:
        size = self._screen.size
        shown = list(self._sittings.values())
        room = max(1, size.lines - 2)
        rows = [
            sitting.row(size.columns - 1) for sitting in shown[: room if len(shown) <= room else room - 1]
        ]
        if len(rows) < len(shown):
            rows.append([Token(f"    and {len(shown) - len(rows)} more")])
        self._screen.draw("", rows)

    # -- the other threads -------------------------------------------------------------------------------

    def _greet(self) -> None:
        for index in itertools.count():
            record = self._next(index)
            with self._lock:
                if self._closing:
                    return
                self._greeted = index + 1
                if record is None:
                    continue
                watcher = threading.Thread(
                    target=self._watch,
                    args=(Sitting(record),),
                    name=f"speechmatics-rt-watch-{index}",
                    daemon=True,
                )
                self._watchers = [each for each in self._watchers if each.is_alive()] + [watcher]
                watcher.start()

    def _next(self, index: int) -> Optional[SessionRecord]:
        """Wait for a connection; None if we are closing, or so many came that its record is gone."""
        while not self._closing:
            try:
                return self._server.wait_for_session(index, timeout=_ATTENTIVE)
            except TimeoutError:
                continue  # nobody came
            except SessionError:
                break
        return None

    def _watch(self, sitting: Sitting) -> None:
        closed = sitting.record.closed
        if self._screen.live:
            while not closed.is_set():
                seen = sitting.moved()
                self._events.put((sitting, None))
                closed.wait(_FRAME)  # until the next drawing
                _wait(sitting.record, lambda seen=seen: sitting.moved() != seen)  # type: ignore[misc]
        else:
            _wait(sitting.record, lambda: "started" in sitting.record.times)
            began = sitting.began()
            if began is not None:
                self._events.put((sitting, Token(began)))
            _wait(sitting.record, closed.is_set)
        self._events.put((sitting, sitting.ended()))


def _wait(record: SessionRecord, condition: Callable[[], bool]) -> None:
    """Wait for it, or the end of the connection, however long that takes."""
    while True:
        try:
            record.wait_for(lambda r: r.closed.is_set() or condition(), _A_DAY)
        except TimeoutError:
            continue
        return
