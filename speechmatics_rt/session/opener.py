"""Opens the sessions of a client, one at a time.

Ctrl-C may come between any two lines, and anything may be raised. Each method has one thing to undo then:
:meth:`Opener._open` the whole call, :class:`Call` the right to open one, :meth:`Opener._attempt` the
connection, or the session that owns it by then. :meth:`Opener._authenticated` tries again if a token is
refused.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Callable, Literal, Optional, TypeVar

from ..config import Caller
from ..events import EventEmitter
from ..exceptions import (
    AuthenticationError,
    NotRunningError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
)
from ..log import SessionLog
from ..network import Link, Opening
from ..threads import Latch, new_lock
from .connector import Connector, request_id_of
from .delivering import Listener, MessageStream
from .ending import Unraised, tell_unstarted
from .recorder import Recordable, Recording, interest_of
from .request import SessionRequest
from .sender import feed
from .session import Session
from .sources import Sources, open_in_time, put_back

__all__ = ["Call", "Opener"]

logger = logging.getLogger("speechmatics_rt.baseclient")  # known by this name to programs that filter

_T = TypeVar("_T")


class Opener(Recordable):
    """A client's current session, and the calls that open the next one.

    ``_current_lock`` guards which session is the current one and which calls are to open one; it is held for
    assignments, and to give those calls up, which waits for nothing.
    """

    # Of the class, too: for the finaliser and the repr of a client whose construction has failed.
    _session: Optional[Session] = None

    def __init__(
        self,
        connector: Connector,
        *,
        keep_transcript: Optional[float],
        handler_errors: Literal["log", "raise"],
    ) -> None:
        super().__init__(handler_errors=handler_errors)
        self._connector = connector
        self._keep_transcript = keep_transcript
        self._pid = os.getpid()
        self._current_lock = new_lock()
        self._claim: Optional[Call] = None  # the call that is opening a session
        self._calls: list[weakref.ref[Call]] = []  # all that are to open one, or read a source before
        self._unraised = Unraised()  # of the current session
        self._coming_id: Optional[str] = None  # of the first session, if it was read before that began

    def _running(self) -> Session:
        session = self._session
        if session is None:
            raise NotRunningError("no session has been started; call start_session() first")
        return session

    def _warn(self, message: Mapping[str, Any], caller: Optional[Caller] = None) -> None:
        """Warn, at the caller's line, about parts of a message that the cloud may refuse."""
        for doubt in self._connector.doubts(message):
            (caller or Caller.find()).warn(doubt)

    def _prepare(self, call: Call, request: SessionRequest) -> None:
        """Begin a call that opens a session: from here on, ``close()`` and ``request_stop()`` mean that."""
        self._forget_parent()
        with self._current_lock:
            self._calls = [weakref.ref(one) for one in (*self._living_calls(), call)]
        self._wait_for_given_up(call, request)
        _check_wanted(call.opening, SessionLog(logger, request_id_of(request.ws_headers, self._coming_id)))
        if self._session is not None:
            self._finish(self._session)
        self._check_free()  # before the first read of a source, which may take long

    def _wait_for_given_up(self, call: Call, request: SessionRequest) -> None:
        """Wait until the calls that were given up have ended, and told so, for ``open_timeout`` at most.

        They still close what they have opened, which the service counts as a session until then. A handler
        that still runs then is not waited for any longer. All waits of a call count together.

        Raises:
            TimeoutError: One is still opening a session, or closing it. Stage ``"end"``, or ``"whole"`` if
                the caller's ``timeout`` was shorter.
        """
        began, limit = time.monotonic() - call.waited, self._connector.config.open_timeout
        patience = float("inf") if limit is None else began + limit
        until = min(request.deadline, patience)
        for one in self._living_calls():
            if one is call or not one.is_ending_elsewhere:
                continue
            done = Latch()
            one.when_over(done.set)
            call.opening.wait(done.set)
            done.wait(until - time.monotonic())
            call.waited = time.monotonic() - began
            if self._claim is one and not call.opening.given_up:
                waited = f"{call.waited:.1f} s"
                text = f"the session before, which was closed as it was opened, did not end in {waited}"
                if request.deadline < patience:
                    raise TimeoutError(text, stage="whole", seconds=request.timeout)
                raise TimeoutError(text, stage="end", seconds=limit)

    def _finish(self, session: Session) -> None:
        """Close the session before, if its loop was left, and tell its last events, if nobody else will."""
        delivery = session.delivery
        if delivery.is_left and not session.is_over_here:
            session.ending.overtaken = True  # told if its loop goes on after all: nobody can know that here
            session.close()
        if delivery.is_left or delivery.over.is_set():
            self._tell_late(session)

    def _give_up(self) -> Optional[Session]:
        """Give up what is being opened, and return what is open; atomically, so that neither is missed."""
        with self._current_lock:
            for call in self._living_calls():
                call.opening.give_up()
            return self._session

    def _stop_what_opens(self) -> None:
        """Have what is being opened end once it is; without the lock, as signal handlers do."""
        for call in self._living_calls():
            call.stop = True

    def _living_calls(self) -> list[Call]:
        """Return the calls that are to open a session, and those that have and are not forgotten yet."""
        return [call for call in [reference() for reference in self._calls] if call is not None]

    def _check_free(self) -> None:
        session = self._session
        if self._claim is not None or (session is not None and not session.is_over_here):
            raise SessionError(
                "a session is already running, and a client runs one at a time: use another client, or call "
                "stop_session() or close() first; a handler of SessionEnded may start the next session"
            )

    def _is_being_opened(self, session: Session) -> bool:
        """Whether a call that opens it is still to tell how that has ended."""
        return any(call.session is session and not call.is_over for call in self._living_calls())

    def _is_idle_but_for(self, call: Call) -> bool:
        """Whether there is no session, and no other call that wants one; the lock is held."""
        if any(one.is_wanted for one in self._living_calls() if one is not call):
            return False
        return self._session is None or self._session.is_over_here

    def _open(
        self, call: Call, request: SessionRequest, go_on: Callable[[Session], _T], *, streamed: bool = False
    ) -> _T:
        """Make a new session the current one: connect, wait for RecognitionStarted, call ``go_on``.

        If anything is raised, in ``go_on`` too, nothing stays open. The session is stored where
        :meth:`close` finds it before its threads begin, since they keep it alive even if Ctrl-C ends this
        call.
        """
        self._connector.check(request)
        self._warn(request.start, call.caller)
        try:
            self._wait_for_given_up(call, request)
            with call:
                opened = self._authenticated(call, request, go_on, streamed)
            call.end()
            return opened  # noqa: TRY300  # both in here, for Ctrl-C on these lines
        except BaseException as exc:
            try:
                call.give_back()  # once more, for Ctrl-C on the way out of the block
                session = call.session
                if not call.taken:
                    pass  # the session that another call has opened goes on
                elif session is None:
                    if call.opening.made is not None:
                        call.opening.made.close()  # once more, for Ctrl-C as it was closed
                    by_program = call.opening.given_up and isinstance(exc, SessionError)
                    tell_unstarted(call.emitter, None if by_program else exc)
                else:
                    session.close()
                    if session.delivery.is_mine:  # Ctrl-C before fail_to_start(): nobody else will end it
                        session.end(telling=False)
                    if session.delivery.over.is_set():  # else its listener has begun, and tells
                        session.tell(call.emitter)
            finally:
                call.end()
            raise

    def _authenticated(
        self, call: Call, request: SessionRequest, go_on: Callable[[Session], _T], streamed: bool
    ) -> _T:
        """Open a session, with a second attempt if a token is refused that can be renewed."""
        try:
            return self._attempt(call, request, go_on, streamed)
        except AuthenticationError as exc:
            try:
                renewed = self._connector.refresh()
            except SpeechmaticsError as failure:
                failure.request_id = exc.request_id
                raise
            if not renewed:
                raise
            SessionLog(logger, exc.request_id or "").info(
                "the token was refused; trying once more with a new one"
            )
            call.opening.made = None  # it is closed
            return self._attempt(call, request, go_on, streamed)

    def _forget_parent(self) -> None:
        """In a forked child, drop the session, which belongs to the parent."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            session, self._session, self._claim, self._coming_id = self._session, None, None, None
            self._calls = []  # the others have sockets that the parent opens
            if session is not None:
                session.connection.close()

    def _attempt(
        self, call: Call, request: SessionRequest, go_on: Callable[[Session], _T], streamed: bool
    ) -> _T:
        """Open a session and go on; if anything is raised, close what has been opened."""
        opening = call.opening
        log = SessionLog(logger, request_id_of(request.ws_headers, self._coming_id))
        _check_wanted(opening, log)  # it may have been closed during the first read of a source
        self._coming_id = None
        session: Optional[Session] = None
        recording = None if self._recorder is None else self._recorder._begin(log)
        try:
            connection = self._connector.link(request, log, interest_of(self), opening)
            session = self._session_over(connection, request, log, streamed, recording)
            self._make_current(session, call)
            self._start(session, request)
            return go_on(session)
        except BaseException as exc:
            if session is not None:
                session.fail_to_start(exc, call.emitter)
            elif opening.made is not None:
                opening.made.close()
            elif opening.given_up and isinstance(exc, SpeechmaticsError):
                raise _unwanted(log) from exc
            elif recording is not None and isinstance(exc, SpeechmaticsError):
                recording.ended(exc)
            raise

    def _session_over(
        self,
        connection: Link,
        request: SessionRequest,
        log: SessionLog,
        streamed: bool,
        recording: Optional[Recording],
    ) -> Session:
        if recording is not None:
            recording.sent(request.start)
        self._unraised = Unraised()
        return Session(
            connection,
            request.start,
            request.audio_format,
            log,
            streamed=streamed,
            keep_transcript=self._keep_transcript,
            recording=recording,
            client=weakref.ref(self),
            unraised=weakref.ref(self._unraised),
        )

    def _make_current(self, session: Session, call: Call) -> None:
        """Store a session where ``close()`` and ``request_stop()`` find it; do what was asked for before."""
        with self._current_lock:
            call.session = session  # first, since this call must close it if Ctrl-C comes now
            self._session = session
            call.opening.made = None  # the session has it; one that is resumed must not keep its first
            closed = call.opening.given_up
        if closed:
            session.close()
        if call.stop:
            session.connection.request_stop()

    def _start(self, session: Session, request: SessionRequest) -> None:
        """Start recognition, and have somebody deliver; wait for both."""
        connection = session.connection
        listener = None if session.delivery.streamed else self._listener(session)
        listened = listener is not None and connection.listen(listener)
        if not connection.start(request.start, request.deadline):
            raise TimeoutError(
                f"the session did not start within timeout={request.timeout:g} s",
                stage="whole",
                seconds=request.timeout,
            )
        if listener is not None:
            if not listened:
                listener.start()
            listener.begun.wait(self._connector.config.start_timeout)

    def _listener(self, session: Session) -> Optional[Listener]:
        """Return what delivers the session's messages on a thread of this package."""
        return Listener(session, self)

    def _tell_late(self, session: Session) -> None:
        """Emit ``SessionEnded`` for a session whose messages nobody delivers any more."""
        session.tell()

    def _stream(self, call: Call, request: SessionRequest, open_all: Callable[[], Sources]) -> MessageStream:
        """Open sources and a session, start sending, and return its messages; close all if that fails."""
        sources = open_in_time(request, open_all)

        def go_on(session: Session) -> MessageStream:
            feed(session, sources, request.speed)
            return MessageStream(  # last, as it is the caller's from then on
                session, self, deadline=request.deadline, timeout=request.timeout, sources=sources.values()
            )

        try:
            audio_format = next(iter(sources.values())).audio_format
            return self._open(call, request.with_audio(audio_format), go_on, streamed=True)
        except BaseException:
            put_back(sources)
            raise


def _check_wanted(opening: Opening, log: SessionLog) -> None:
    if opening.given_up:
        raise _unwanted(log)


def _unwanted(log: SessionLog) -> SessionError:
    error = SessionError("the session was closed while it was being opened")
    error.request_id = log.request_id
    return error


class Call:
    """A call that opens a session. Its ``with`` block has the right to, one at a time in each client.

    Args:
        client: Whose call it is.
        caller: The line of the program that warnings name; by default that which the thread comes from.
        emitter: Who gets what handlers are told of a session that does not start; by default the client.

    Attributes:
        opening: What is given up with it, from before the first read of a source.
        taken: Whether the call has had the right; or it was given up before, and tells its end alone.
        waited: The seconds that it has waited for calls that were given up.
        stop: ``request_stop()`` came before there was a session to tell.
        session: The session that it has opened.
        is_over: Nothing is left of it: it has closed what it is to close, and told that.
    """

    def __init__(
        self, client: Opener, caller: Optional[Caller] = None, emitter: Optional[EventEmitter] = None
    ) -> None:
        self.opening = Opening()
        self.caller = caller
        self.emitter = client if emitter is None else emitter
        self.taken = self.stop = False
        self.waited = 0.0
        self.session: Optional[Session] = None
        self._client = client
        self._thread: Optional[int] = None  # while it has the right, and tells how it has ended
        self._tells: list[Callable[[], object]] = []
        self.is_over = False

    def __enter__(self) -> None:
        client = self._client
        with client._current_lock:
            if self.opening.given_up:  # it opens nothing, and must not be in another one's way
                if client._is_idle_but_for(self):
                    self._thread, self.taken = threading.get_ident(), True
                return
            client._check_free()
            self._thread = threading.get_ident()
            client._claim = self  # from here on close(), in a signal handler too, means this call
        self.taken = True

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        if self._client._claim is self:
            self._client._claim = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is to open a session, or has the right to, or is telling how that has ended."""
        return not self.is_over and (not self.opening.given_up or self._client._claim is self)

    @property
    def is_ending_elsewhere(self) -> bool:
        """Whether it was given up, and others than this code still undo what it did, or tell it."""
        return self.opening.given_up and self._thread is not None and not self._is_over_here

    @property
    def _is_over_here(self) -> bool:
        """Whether nothing is left of it but what waits for this code."""
        return self.is_over or self._thread == threading.get_ident()

    def when_over(self, tell: Callable[[], object]) -> None:
        """Call ``tell()``, which must take no lock, when nothing is left of it."""
        self._tells.append(tell)
        if self.is_over:
            tell()

    def end(self) -> None:
        """Note that nothing is left of it."""
        self.is_over = True  # first, since when_over() checks it after it has added to the list
        for tell in self._tells:
            tell()

    def give_up(self) -> None:
        """Close what this call has opened, or is opening; what another one has opened goes on."""
        with self._client._current_lock:
            self.opening.give_up()
            session = self.session
        if session is not None:
            session.close()
