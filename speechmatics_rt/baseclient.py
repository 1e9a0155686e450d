"""What the blocking clients share: one session at a time, opened, watched, stopped and closed."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Literal, NoReturn, Optional, TypeVar, Union

from .audio import AudioSource
from .auth import AuthBase
from .config import Caller, ConnectionConfig, ResumePolicy, checked
from .events import EVENTS, EventEmitter, interest_of
from .exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotRunningError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    no_pickle,
)
from .locks import new_lock
from .log import SessionLog
from .session import (
    NO_PICKLE,
    SECONDS,
    Asking,
    Connector,
    Listener,
    MessageStream,
    Opening,
    Recorder,
    Session,
    SessionOptions,
    SessionRequest,
    feed,
    request_id_of,
    spelled_out,
    tell_unstarted,
)
from .stats import SessionStats
from .transcript import Transcript

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BaseClient"]

logger = logging.getLogger(__name__)

_GRACE = 0.5  # seconds for a handler that runs when stop_session() gives up

_Self = TypeVar("_Self", bound="BaseClient")
_T = TypeVar("_T")


class BaseClient(Asking, EventEmitter):
    """What the clients share: one session at a time, opened, watched, stopped and closed.

    All methods may be called from any thread, and from a handler. What starts a session is refused while one
    runs, and that is over when its handlers have run; those of ``EndOfTranscript``, of ``Error`` and of
    ``SessionEnded`` may start the next one.
    """

    _known = EVENTS

    # Of the class, too: for the finaliser and the repr of a client whose construction has failed.
    _session: Optional[Session] = None

    def __init__(
        self,
        auth: Optional[AuthBase] = None,
        *,
        api_key: Optional[str] = None,
        url: Optional[str] = None,
        conn_config: Optional[ConnectionConfig] = None,
        sdk_identifier: Optional[str] = None,
        app: Optional[str] = None,
        resume: Union[bool, ResumePolicy] = False,
        keep_transcript: Optional[float] = None,
        handler_errors: Literal["log", "raise"] = "log",
    ) -> None:
        """Keep the options; nothing is opened yet.

        Args:
            auth: How to authenticate; a :class:`StaticKeyAuth` of ``api_key`` without it.
            api_key: The API key; the variable ``SPEECHMATICS_API_KEY`` without it.
            url: The service, ``wss://.../v2``; the variable ``SPEECHMATICS_RT_URL`` or the EU service
                without it.
            conn_config: Timeouts, limits, TLS and proxy.
            resume: Go on over a new connection when one is lost, without losing a word, and wait for a first
                one after HTTP 429 or 5xx: True, or a :class:`ResumePolicy`. Raw audio only. ``Reconnecting``
                is emitted before each attempt, and once the session has started its handlers may set
                ``message["reconnect"] = False``; ``Resumed`` when the session goes on.
            sdk_identifier: What to say as ``sm-sdk`` in the URL's query, in place of this package's own name.
            app: What to say as ``sm-app``: your application, in the service's figures of usage.
            keep_transcript: How many seconds of the transcript to keep, the latest, in sessions that run for
                days: an hour of speech takes 5 to 9 MB. None keeps all, 0 nothing; handlers get every message
                anyway, and ``end_time`` and the figures count all. See :class:`Transcript`.
            handler_errors: ``"log"`` an exception of a handler (to stderr where no logging is configured), or
                ``"raise"`` it from ``transcribe()``, ``stream()`` or ``stop_session()``.

        Raises:
            ConfigurationError: An option is wrong.
        """
        super().__init__(handler_errors=handler_errors)
        self._connector = Connector(auth, api_key, url, conn_config, sdk_identifier, resume, app)
        self._keep_transcript = checked("keep_transcript", keep_transcript, SECONDS)
        self._recorder: Optional[Recorder] = None
        self._pid = os.getpid()
        # Guards which session is the current one; held for assignments only.
        self._current_lock = new_lock()
        self._opener: Optional[object] = None  # a token of the call that is opening a session
        self._stop_while_opening = False
        self._opening = Opening()  # of the session that is being opened
        self._coming_id: Optional[str] = None  # that of the first session, for who asks before there is one

    # -- the session ---------------------------------------------------------------------------------

    @spelled_out
    def start_session(self, **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; return when the service is ready for audio.

        From here to :meth:`stop_session` handlers run on one listener thread. Those of
        ``RecognitionStarted``, and of what comes before it, have run when this returns; if they take longer
        than ``start_timeout``, it returns before they have.

        Raises:
            ConfigurationError: An option is wrong, or the key is missing; before any I/O.
            SessionError: A session is running already, or its handlers are.
            AuthenticationError: The service refused the key.
            ConnectionError: It could not be reached, or refused the connection.
            TimeoutError: Stage ``"open"`` or ``"start"``.
            TranscriptionError: It refused the configuration.
        """
        self._prepare()
        self._open(SessionRequest.of(options, SessionOptions), lambda session: None)

    def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """Say that all audio is sent, wait for the rest of the transcript and for all handlers, then close.

        In a handler, or in the body of a ``for`` over :meth:`Client.stream`, it returns at once and the
        delivery runs on to the end of the transcript; on another thread it waits for who iterates, however
        long that takes. Without a session it does nothing.

        Args:
            timeout: The most seconds to wait; without it, as long as the server goes on talking
                (``ConnectionConfig.end_timeout``).

        Raises:
            ConfigurationError: The timeout is no number, or negative.
            TimeoutError: Stage ``"end"``; the session is closed.
            SpeechmaticsError: What the session ended with, if it failed.
        """
        timeout = checked("timeout", timeout, SECONDS)
        session = self._session
        if session is None:
            return
        connection = session.connection
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        connection.end_stream()
        if session.delivering == threading.get_ident() and not session.delivered.is_set():
            return
        if not session.awaited.wait(timeout if timeout is not None else threading.TIMEOUT_MAX):
            error = TimeoutError(
                f"the transcript was not complete within {timeout:g} s", stage="end", seconds=timeout
            )
            connection.fail(error)
            connection.close(deadline)
            session.delivered.wait(_GRACE)
            raise session.annotate(error)
        connection.close(deadline)
        session.check_delivered()
        session.raise_failure()

    def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message of the protocol, for what has no method of its own.

        Raises:
            ConfigurationError: It has no ``message``, or one that another method must send.
            SessionError: It is not the moment for it, or there is no session.
        """
        kind = message.get("message") if isinstance(message, Mapping) else None
        if not isinstance(kind, str):
            raise ConfigurationError(f"a message is a mapping with a string under 'message', not {message!r}")
        if kind in ("StartRecognition", "AddAudio", "AddChannelAudio"):
            raise ConfigurationError(
                f"{kind} can't be sent as a message; use start_session() and send_audio()"
            )
        self._running().send(message)

    def request_stop(self) -> None:
        """Ask the session to end as :meth:`stop_session` does, without waiting; safe in a signal handler."""
        self._stop_while_opening = True
        session = self._session
        if session is not None:
            session.connection.request_stop()

    def close(self) -> None:
        """End the session now; what had not arrived is lost. The client may start another one.

        Waits for no acknowledgement and no end of the transcript: at most ``close_timeout`` for the close
        frame of the server. Whoever waits in that session gets a :class:`SessionError`.
        """
        self._forget_parent()
        with self._current_lock:
            if self._opener is not None:
                self._opening.give_up()
            session = self._session
        if session is not None:
            session.close()
            session.connection.close()
            if session.delivered.is_set():
                self._tell_late(session)  # of a stream that was dropped

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        try:
            session = self._session  # inside: Ctrl-C on this line is one in that wait
            if session is None:
                pass
            elif exc_type is not None or session.streamed:
                self.close()
                if session.left:
                    self._tell_late(session)
            elif session.connection.is_open:
                self.stop_session()
            elif not session.failure_seen:
                # It failed in the background, or ended: handlers finish, then it says what nobody has heard.
                self.stop_session()
        except BaseException:  # Ctrl-C in that wait: nobody comes after this to close it
            self.close()
            raise

    def __del__(self) -> None:
        # Only a shutdown of the descriptor: a finaliser runs on any thread, perhaps inside one of our locks.
        session = getattr(self, "_session", None)
        if session is not None and (session.connection.is_open or session.orphaned):
            session.tell_nobody()
            session.connection.abandon()
            if sys.is_finalizing():  # a program may end with a session open, and nothing can be told any more
                return
            warnings.warn(f"a client was dropped with a session open: {self!r}", ResourceWarning, 2)

    def __repr__(self) -> str:
        # No lock, and nothing that may raise: a finaliser says it too, of a client that was never complete.
        connector = getattr(self, "_connector", None)
        where = connector.shown_url if connector is not None else "nowhere"
        return f"<{type(self).__name__} of {where}, {self._session or 'no session'}>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, NO_PICKLE)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> str:
        """Our id of the present or last session, or of the one to come; sent as ``X-Request-Id``."""
        session = self._session
        if session is not None:
            return session.log.request_id
        if self._coming_id is None:
            self._coming_id = request_id_of({})
        return self._coming_id

    @property
    def session_id(self) -> Optional[str]:
        """The service's id of the present or last session."""
        session = self._session
        return session.connection.session_id if session else None

    @property
    def is_connected(self) -> bool:
        session = self._session
        return session is not None and session.connection.is_open

    @property
    def audio_bytes_sent(self) -> int:
        session = self._session
        return session.connection.bytes_sent if session else 0

    @property
    def stats(self) -> SessionStats:
        """Figures of the present or last session."""
        session = self._session
        return session.stats() if session else SessionStats()

    @property
    def transcript(self) -> Transcript:
        """What the present or last session has heard so far."""
        session = self._session
        return session.transcript if session else Transcript()

    # -- inside --------------------------------------------------------------------------------------

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        session = self._session
        return logger if session is None else session.log.on(logger)

    def _wants(self, name: str) -> bool:
        return self._recorder is not None or super()._wants(name)

    def _running(self) -> Session:
        session = self._session
        if session is None:
            raise NotRunningError("no session has been started; call start_session() first")
        return session

    _caller = staticmethod(Caller.find)
    _thread = staticmethod(threading.get_ident)

    def _warn(self, message: Mapping[str, Any]) -> None:
        """Warn, at the caller's line, of what the cloud may refuse of a message."""
        for doubt in self._connector.doubts(message):
            self._caller().warn(doubt)

    def _prepare(self) -> None:
        """Begin a call that opens a session: from here on a request to stop is meant for that one."""
        self._forget_parent()
        session = self._session
        if session is not None and session.left and not session.is_over_for(self._thread()):
            self.close()  # should its loop go on all the same, it is told
        if session is not None and (session.left or session.delivered.is_set()):
            self._tell_late(session)
        self._check_free()  # before the first read of a source, which may take long
        self._stop_while_opening = False

    def _check_free(self) -> None:
        session = self._session
        if self._opener is not None or (session is not None and not session.is_over_for(self._thread())):
            raise SessionError(
                "a session is running already, and a client runs one at a time: use another client, or "
                "stop_session() or close() that one first; its handlers may start the next at SessionEnded"
            )

    def _open(self, request: SessionRequest, go_on: Callable[[Session], _T], *, streamed: bool = False) -> _T:
        """Make a new session the current one: connect, say StartRecognition, hear RecognitionStarted, go on.

        Whatever is raised, in ``go_on`` too, nothing stays open. The current session is in a place where
        :meth:`close` finds it before its threads begin, since these hold it, whatever becomes of the caller.
        """
        self._connector.check(request)
        self._warn(request.start)
        me, before, tried = object(), self._session, False
        try:
            try:
                with self._current_lock:
                    self._check_free()
                    self._opening = Opening()
                    self._opener = me  # last: from here on close(), in a signal handler too, means this one
                try:
                    tried = True
                    return self._attempt(request, go_on, streamed)
                except AuthenticationError as exc:
                    if not self._connector.auth.refresh():
                        raise
                    SessionLog(logger, exc.request_id or "").info(
                        "the token was refused; trying once more with a new one"
                    )
                    return self._attempt(request, go_on, streamed)
            finally:
                self._opened(me)
        except BaseException as exc:  # once more, for Ctrl-C on the way out of there
            self._opened(me)
            if self._session is not before:
                self.close()
            session = self._session
            if session is not None and session is not before:
                if session.delivered.is_set():  # else its listener has begun, and tells
                    session.tell()
            elif tried:
                tell_unstarted(self, exc)
            raise

    def _opened(self, opener: object) -> None:
        if self._opener is opener:
            self._opener = None

    def _forget_parent(self) -> None:
        """In a forked child: the session is the parent's."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            session, self._session, self._opener, self._coming_id = self._session, None, None, None
            if session is not None:
                session.connection.close()

    def _attempt(self, request: SessionRequest, go_on: Callable[[Session], _T], streamed: bool) -> _T:
        coming, self._coming_id = self._coming_id, None
        log = SessionLog(logger, request_id_of(request.ws_headers, coming))
        connection = session = None
        recorder = self._recorder
        try:
            connection = self._connector.link(request, log, interest_of(self), self._opening)
            session = Session(
                connection,
                request.start,
                request.audio_format,
                log,
                streamed=streamed,
                keep_transcript=self._keep_transcript,
                recording=None if recorder is None else recorder._begin(request.start, log),
                client=weakref.ref(self),
            )
            with self._current_lock:
                self._session = session
                closed = self._opening.given_up
            if closed:
                self.close()
            if self._stop_while_opening:
                connection.request_stop()
            listener = None if streamed else self._listener(session)
            listened = listener is not None and connection.listen(listener)
            if not connection.start(request.start, request.deadline):
                raise TimeoutError(  # noqa: TRY301  # cleaned up below like any other failure to start
                    f"the session did not start within the {request.timeout:g} s of the whole call",
                    stage="whole",
                    seconds=request.timeout,
                )
            if listener is not None:
                if not listened:
                    listener.start()
                listener.begun.wait(self._connector.config.start_timeout)
            return go_on(session)
        except BaseException as exc:
            if connection is None and self._opening.given_up and isinstance(exc, SpeechmaticsError):
                given_up = SessionError("the session was closed while it was being opened")
                given_up.request_id = log.request_id
                raise given_up from exc
            try:
                if connection is not None:
                    connection.close()  # it counts against the quota until its socket is closed
                if session is not None and isinstance(exc, SpeechmaticsError):
                    for message in session.connection.left_over():
                        session.deliver(message, self)  # handlers get the Error too
                    session.annotate(exc)
            finally:
                if session is not None:
                    # Not yet told: it may be tried once more.
                    session.end(exc if isinstance(exc, SpeechmaticsError) else None, telling=False)
            raise

    def _listener(self, session: Session) -> Optional[Listener]:
        """Make what delivers on a thread of ours."""
        return Listener(session, self)

    def _tell_late(self, session: Session) -> None:
        """Tell of the end of a session that nobody delivers any more."""
        session.tell()

    def _stream(self, request: SessionRequest, sources: Mapping[Optional[str], AudioSource]) -> MessageStream:
        """Open a session, start sending the sources, and give its messages; closes them if that fails."""

        def go_on(session: Session) -> MessageStream:
            messages = MessageStream(
                session, self, deadline=request.deadline, timeout=request.timeout, sources=sources.values()
            )
            feed(session, sources, request.speed)
            return messages

        try:
            audio_format = next(iter(sources.values())).audio_format
            return self._open(request.with_audio(audio_format), go_on, streamed=True)
        except BaseException:
            for source in sources.values():
                source.put_back()
                source.close()
            raise
