"""The local server: accepts connections, and starts a thread and a record for each."""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Optional, TypeVar, Union

from .._version import __version__
from ..config import ABOVE_ZERO, FLAG, STRING, checked, number, refused, rule
from ..exceptions import ConfigurationError, SessionError, TimeoutError, no_pickle
from ..threads import begin, new_lock, wait_for
from .connection import SessionRecord, Wire
from .engines import Engine, ScriptedEngine
from .faults import Fault
from .keys import KeyRing
from .pages import KEYS_PATH
from .session import ServerSession
from .state import ServerState
from .whisper import WhisperEngine

__all__ = ["LocalServer"]

_log = logging.getLogger(__name__)
_Self = TypeVar("_Self", bound="LocalServer")

_HOST = "127.0.0.1"
_ANYWHERE = {"0.0.0.0": _HOST, "::": "::1", "": _HOST}  # noqa: S104 - as whom this machine reaches itself
_CLOSE = 3.0  # s for all threads to leave; each one needs about one
_BACKLOG = 1024
_ENGINES: dict[str, Callable[[], Engine]] = {"scripted": ScriptedEngine, "whisper": WhisperEngine}
_PORT = rule("a port, or 0 for any free one", lambda value: type(value) is int and 0 <= value < 65536)
_COUNT = number(0, whole=True)
_SECONDS = number(0, unit="seconds")
_REST = 0.1  # s until the next attempt when the process has no descriptors left


class LocalServer:
    """A server on this machine that speaks the Real-Time protocol, without a network or a key.

    Args:
        engine: ``"scripted"`` (deterministic words for any audio), ``"whisper"`` (real offline recognition,
            see :class:`~speechmatics_rt.local.WhisperEngine`), or any
            :class:`~speechmatics_rt.local.Engine`, such as a :class:`~speechmatics_rt.local.ScriptedEngine`
            or :class:`~speechmatics_rt.local.ReplayEngine`.
        tls: Serve ``wss`` with a throwaway certificate; see :attr:`ssl_context`.
        keys: The API keys to accept. None accepts any key, and no key.
        port: The port to listen on; 0 for any free one.
        host: The address to listen on; ``"0.0.0.0"`` or ``"::"`` for other machines.
        faults: What goes wrong, and when.
        speed: Seconds of audio consumed per second; 1.0 is real time, None as fast as possible.
        time_scale: How many times faster than real time the service's time limits run.
        quota: How many sessions may be open at once. None: any number, or one for a container.
        container: Behave like a container instead of the cloud service: no keys, no Info, no time limits,
            and health pages (``/started``, ``/live``, ``/ready``, ``/session_status``) on the same port.
        dictionary_delay: Seconds by which a new custom dictionary delays RecognitionStarted.
        duration_limit: Seconds of audio after which a session gets a ``duration_limit_exceeded`` Warning and
            ends; None: never.
        keep_audio: Seconds of audio to keep in each record, whose lists are then limited, too; None: all.
        keep_sessions: How many records of closed connections to keep; None: all.

    Besides WebSockets it answers ``POST /v1/api_keys`` with temporary keys, which it then accepts, and
    ``GET /v1/discovery/features``; such connections have records, too.

    ``start`` and ``close`` may be called from any thread.

    Raises:
        ConfigurationError: The engine is unknown, or needs packages that are not installed.

    Example:
        >>> with LocalServer() as server:
        ...     server.url.startswith("ws://127.0.0.1:")
        True
    """

    def __init__(
        self,
        engine: Union[str, Engine] = "scripted",
        *,
        tls: bool = False,
        keys: Optional[Collection[str]] = None,
        port: int = 0,
        host: str = _HOST,
        faults: Iterable[Fault] = (),
        speed: Optional[float] = None,
        time_scale: float = 1.0,
        quota: Optional[int] = None,
        container: bool = False,
        dictionary_delay: float = 0.0,
        duration_limit: Optional[float] = None,
        keep_audio: Optional[float] = None,
        keep_sessions: Optional[int] = None,
    ) -> None:
        if isinstance(keys, str) or not (keys is None or isinstance(keys, Collection)):
            raise ConfigurationError("keys is a collection of keys, not one string")
        FLAG("tls", tls)
        FLAG("container", container)
        _PORT("port", port)
        STRING("host", host)
        ABOVE_ZERO("time_scale", time_scale)
        _SECONDS("dictionary_delay", dictionary_delay)
        checked("speed", speed, ABOVE_ZERO)
        checked("quota", quota, _COUNT)
        checked("duration_limit", duration_limit, _SECONDS)
        checked("keep_audio", keep_audio, _SECONDS)
        checked("keep_sessions", keep_sessions, _COUNT)
        self.faults = faults  # type: ignore[assignment]  # of any iterable
        self.engine = _engine_of(engine)
        self._owns_engine = self.engine is not engine
        self._port = port
        self._host = host
        self._keep_audio = keep_audio
        self._keep_sessions = keep_sessions
        self._keys = KeyRing(keys, time_scale=time_scale)
        self._state = ServerState(
            engine=self.engine,
            keys=self._keys,
            speed=speed,
            time_scale=time_scale,
            quota=quota,
            live=self._live,
            version=f"local+{__version__}",
            container=container,
            dictionary_delay=dictionary_delay,
            duration_limit=duration_limit,
        )
        self._tls: Optional[ssl.SSLContext] = None
        self.ssl_context: Optional[ssl.SSLContext] = None  # for clients: trusts this server's certificate
        self.ca_pem: Optional[bytes] = None  # the same trust as a PEM certificate
        if tls:
            from .certificates import Certificates

            certificates = Certificates() if host in _ANYWHERE else Certificates(host)
            self._tls = certificates.server_context
            self.ssl_context, self.ca_pem = certificates.client_context, certificates.ca_pem
        # Guards all fields below; held for a few assignments, never over I/O or a join. Notified of
        # each new record.
        self._lock = threading.Condition(new_lock())
        self._records: dict[int, SessionRecord] = {}
        self._count = 0  # of connections, with those that are forgotten
        self._running: list[tuple[ServerSession, threading.Thread]] = []  # ended ones are dropped in passing
        self._listener: Optional[socket.socket] = None
        self._waker: Optional[socket.socket] = None
        self._woken: Optional[socket.socket] = None
        self._selector: Optional[selectors.BaseSelector] = None
        self._acceptor: Optional[threading.Thread] = None
        self._started = self._closed = False

    # -- for the user ----------------------------------------------------------------------------

    def __repr__(self) -> str:
        # Without the lock, so that a debugger may show it at any moment: each is one read of one field.
        state = "closed" if self._closed else "not started" if not self._started else "running"
        return f"<LocalServer of {self._address}, {state}, {self._count} connections>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, "it holds a socket and threads of this process; hand on its url")

    def start(self: _Self) -> _Self:
        """Start listening.

        Raises:
            SessionError: It has already been started or closed.
            OSError: The port is in use.
        """
        with self._lock:
            if self._started or self._closed:
                raise SessionError("a local server starts once; make another one")
            self._started = True
        try:
            with self._lock:
                self._listener = socket.create_server(
                    (self._host, self._port),
                    family=socket.AF_INET6 if ":" in self._host else socket.AF_INET,
                    backlog=_BACKLOG,
                )
                self._listener.setblocking(False)
                self._port = self._listener.getsockname()[1]
                self._waker, self._woken = socket.socketpair()
                self._selector = selectors.DefaultSelector()  # here: all is open when start() returns
                self._selector.register(self._listener, selectors.EVENT_READ)
                self._selector.register(self._woken, selectors.EVENT_READ)
                self._acceptor = threading.Thread(
                    target=self._accept,
                    args=(self._listener, self._waker, self._woken, self._selector),
                    name=f"speechmatics-rt-local-accept-{self._port}",
                    daemon=True,
                )
                self._acceptor.start()
            return self  # noqa: TRY300  # in here: the caller has nothing to close before it is his
        except BaseException:  # Ctrl-C between two lines, too: nobody holds a server that did not start
            self.close()
            raise

    def close(self) -> None:
        """Close every connection with code 1001 and end all threads. A second call does nothing."""
        with self._lock:
            self._closed = True
            acceptor = self._acceptor
        if self._waker is not None:
            self._waker.close()  # the acceptor reads the end of its stream
        if acceptor is not None and acceptor.ident is not None:
            acceptor.join(_CLOSE)  # before the list is copied: only the acceptor adds to it
        for opened in (self._listener, self._woken, self._selector):
            if opened is not None:
                opened.close()  # those of an acceptor that never began
        with self._lock:
            running = list(self._running)
        for session, _ in running:
            session.wire.call(session.peer.leave)
        deadline = time.monotonic() + _CLOSE
        for _, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _log.warning("%s did not end within %g s", thread.name, _CLOSE)
        if self._owns_engine:
            self.engine.close()

    def __enter__(self: _Self) -> _Self:
        try:
            return self.start()
        except BaseException:  # in Python 3.9 and 3.10 Ctrl-C may also come between the return and the block
            self.close()
            raise

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            self.close()
        except BaseException:  # Ctrl-C in the middle of it: nobody comes after this
            self.close()
            raise

    @property
    def faults(self) -> Sequence[Fault]:
        """What goes wrong in the connections that come from now on, and when; may be replaced at any time.

        Raises:
            ConfigurationError: Something that is put here is no fault.
        """
        return self._faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        given: Any = faults  # of whoever has no type checker
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise refused("faults", given, "a list of them, such as [Fault.refuse(503)]")
        given = tuple(given)
        for index, fault in enumerate(given):
            if not isinstance(fault, Fault):
                accepted = "a fault, such as Fault.refuse(503) or Fault.parse('refuse:status=503')"
                raise refused(f"faults[{index}]", fault, accepted)
        self._faults: tuple[Fault, ...] = given

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The URL for a client on this machine.

        Raises:
            SessionError: It has none yet: it takes any free port, and has not been started.
        """
        if not self._port:
            raise SessionError("a local server has no address before it runs: use 'with', or start()")
        return self._address

    @property
    def _address(self) -> str:
        host = _ANYWHERE.get(self._host, self._host)
        where = f"[{host}]" if ":" in host else host
        return f"{'wss' if self._tls else 'ws'}://{where}:{self._port}/v2"

    @property
    def sessions(self) -> list[SessionRecord]:
        """The records of all connections, in order of their arrival."""
        with self._lock:
            return list(self._records.values())

    @property
    def key_requests(self) -> list[SessionRecord]:
        """The records of the connections that asked for a temporary key."""
        return [record for record in self.sessions if record.path == KEYS_PATH]

    def expire_keys(self) -> None:
        """Let every temporary key issued so far expire now."""
        self._keys.expire()

    def wait_for_session(self, index: int = 0, timeout: float = 10.0) -> SessionRecord:
        """Wait for the connection with this index, and return its record.

        Raises:
            TimeoutError: It did not arrive within ``timeout`` seconds.
            SessionError: Its record is no longer kept.
        """
        with self._lock:
            if not wait_for(self._lock, lambda: self._count > index, timeout):
                raise TimeoutError(
                    f"{self._count} connections came within {timeout:g} s, not number {index}",
                    stage="local",
                    seconds=timeout,
                )
            if index not in self._records:
                raise SessionError(f"connection {index} is over and its record is no longer kept")
            return self._records[index]

    # -- the acceptor's thread -------------------------------------------------------------------

    def _accept(
        self,
        listener: socket.socket,
        waker: socket.socket,
        woken: socket.socket,
        selector: selectors.BaseSelector,
    ) -> None:
        with listener, waker, woken, selector:  # all of it, as close() may have come before it was there
            while not self._closed:
                if any(key.fileobj is woken for key, _ in selector.select()):
                    return
                try:
                    sock, _ = listener.accept()
                    self._serve(sock)
                except (BlockingIOError, ConnectionAbortedError):
                    continue  # the client was gone again
                except (OSError, SessionError) as exc:
                    _log.warning("the local server can't accept: %s", exc)
                    time.sleep(_REST)

    def _serve(self, sock: socket.socket) -> None:
        try:
            wire = Wire(sock, self._tls)
        except OSError:  # it takes three descriptors more
            sock.close()
            raise
        with self._lock:
            record = SessionRecord(self._count, keep_audio=self._keep_audio)
            recorded = getattr(self.engine, "recorded_faults", ())  # of an engine that replays a session
            faults = [*self.faults, *(Fault(**fault) for fault in recorded)]
            faults = [fault for fault in faults if fault.applies(record.index)]
            session = ServerSession(wire, self._state, record, faults)
            thread = threading.Thread(
                target=session.run,
                name=f"speechmatics-rt-local-session-{record.index}",
                daemon=True,
            )
            self._count += 1
            self._records[record.index] = record
            self._forget()
            # None of them has yet to start: this thread alone adds, and starts one before it takes the next.
            self._running = [pair for pair in self._running if pair[1].is_alive()] + [(session, thread)]
            self._lock.notify_all()
        try:
            begin(thread)  # last: from here on the record and the session are its own
        except SessionError:  # no more threads
            with self._lock:
                self._running.pop()
            wire.close()
            record.add_end()
            raise

    def _forget(self) -> None:
        """Drop the oldest records of closed connections."""
        if self._keep_sessions is None or len(self._records) <= self._keep_sessions:
            return
        closed = [index for index, record in self._records.items() if record.closed.is_set()]
        for index in closed[: max(0, len(closed) - self._keep_sessions)]:
            del self._records[index]

    def _live(self) -> list[SessionRecord]:
        """Return the records of the WebSockets that are open."""
        with self._lock:
            records = [session.record for session, _ in self._running]
        return [record for record in records if record.counts]


def _engine_of(engine: Union[str, Engine]) -> Engine:
    """Return the engine itself, or make the one of that name."""
    if not isinstance(engine, str):
        if isinstance(engine, type) or not callable(getattr(engine, "recogniser", None)):
            raise refused("engine", engine, "'scripted', 'whisper', or one such as ScriptedEngine(script)")
        return engine
    if engine not in _ENGINES:
        raise ConfigurationError(f"no engine is called {engine!r}; there are 'scripted' and 'whisper'")
    return _ENGINES[engine]()
