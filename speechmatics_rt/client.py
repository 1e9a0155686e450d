"""The blocking client: what a program holds in its hand."""

from __future__ import annotations

import logging
import os
import threading
import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Optional, TypeVar, Union

from .audio import AudioSource, Source, open_source
from .auth import AuthBase
from .config import ConnectionConfig, ResumePolicy, set_recognition_config
from .events import EventEmitter
from .exceptions import AuthenticationError, ConfigurationError, SessionError, SpeechmaticsError, TimeoutError
from .log import SessionLog
from .session import (
    Connector,
    MessageStream,
    Session,
    SessionOptions,
    SessionRequest,
    SourceOptions,
    feed,
    listen,
    request_id_of,
    spelled_out,
)
from .stats import SessionStats
from .transcript import Transcript

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["UNSET", "BaseClient", "Client"]

logger = logging.getLogger(__name__)

_Self = TypeVar("_Self", bound="BaseClient")
UNSET: Any = type("UNSET", (), {"__repr__": lambda self: "UNSET"})()


class BaseClient(EventEmitter):
    """What the clients share: one session at a time, opened, watched, stopped and closed.

    All methods may be called from any thread, and from a handler.

    Args:
        auth: How to authenticate; a :class:`StaticKeyAuth` of ``api_key`` without it.
        api_key: The API key; the variable ``SPEECHMATICS_API_KEY`` without it.
        url: The service, ``wss://.../v2``; the variable ``SPEECHMATICS_RT_URL`` or the EU service without it.
        conn_config: Timeouts, limits, TLS and proxy.
        resume: Go on over a new connection when one is lost, without losing a word: True, or a
            :class:`ResumePolicy`. Raw audio only. ``Reconnecting`` is emitted before each attempt, and once
            the session has started its handlers may set ``message["reconnect"] = False``; ``Resumed`` when
            the session goes on.
        sdk_identifier: What to say as ``sm-sdk`` in the URL's query, in place of this package's own name.
        keep_transcript: How many seconds of the transcript to keep, the latest, in sessions that run for
            days: an hour of speech takes 3.6 MB. None keeps all, 0 nothing; handlers get every message
            anyway, and ``end_time`` and the figures count all. See :class:`Transcript`.
        handler_errors: ``"log"`` an exception of a handler, or ``"raise"`` it from ``transcribe()``,
            ``stream()`` or ``stop_session()``.

    Raises:
        ConfigurationError: An option is wrong.
    """

    def __init__(
        self,
        auth: Optional[AuthBase] = None,
        *,
        api_key: Optional[str] = None,
        url: Optional[str] = None,
        conn_config: Optional[ConnectionConfig] = None,
        sdk_identifier: Optional[str] = None,
        resume: Union[bool, ResumePolicy] = False,
        keep_transcript: Optional[float] = None,
        handler_errors: Literal["log", "raise"] = "log",
    ) -> None:
        # First of all, for the finaliser of a client whose construction fails below.
        self._session: Optional[Session] = None
        super().__init__(handler_errors=handler_errors)
        self._connector = Connector(auth, api_key, url, conn_config, sdk_identifier, resume)
        Transcript(keep=keep_transcript)  # refuses what is no number of seconds
        self._keep_transcript = keep_transcript
        self._pid = os.getpid()
        # Guards which session is the current one; held for assignments only.
        self._current_lock = threading.Lock()
        self._opener: Optional[object] = None  # a token of the call that is request a session
        self._closed_while_opening = self._stop_while_opening = False

    # -- the session ---------------------------------------------------------------------------------

    @spelled_out
    def start_session(self, **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; return when the service is ready for audio.

        From here to :meth:`stop_session` handlers run on one listener thread.

        Raises:
            ConfigurationError: An option is wrong, or the key is missing; before any I/O.
            SessionError: A session is running already.
            AuthenticationError: The service refused the key.
            ConnectionError: It could not be reached, or refused the connection.
            TimeoutError: Stage ``"open"`` or ``"start"``.
            TranscriptionError: It refused the configuration.
        """
        self._prepare()
        self._listen(self._open(SessionRequest.of(options, SessionOptions)))

    def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """Say that all audio is sent, wait for the rest of the transcript and for all handlers, then close.

        In a handler, or in the body of a ``for`` over :meth:`Client.stream`, it returns at once and the
        dispatcher runs on to the end of the transcript. Without a session it does nothing.

        Args:
            timeout: The most seconds to wait; without it, as long as the server goes on talking
                (``ConnectionConfig.end_timeout``).

        Raises:
            TimeoutError: Stage ``"end"``; the session is closed.
            SpeechmaticsError: What the session ended with, if it failed.
        """
        session = self._session
        if session is None:
            return
        connection = session.connection
        connection.end_stream()
        if session.delivering == threading.get_ident() and not session.delivered.is_set():
            return
        if not session.delivered.wait(timeout if timeout is not None else threading.TIMEOUT_MAX):
            error = TimeoutError(
                f"the transcript was not complete within {timeout:g} s", stage="end", seconds=timeout
            )
            connection.fail(error)
            connection.close()
            raise session.annotate(error)
        connection.close()
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

    def update_config(self, **changes: Any) -> None:
        """Change settings of the running session (``SetRecognitionConfig``).

        Args:
            **changes: ``max_delay``, ``max_delay_mode``, ``enable_partials``, ``audio_filtering_config`` or
                ``conversation_config``; the service takes no others in mid-session.

        Raises:
            ConfigurationError: Another field, or a value out of range.
            SessionError: No session is running.
        """
        session = self._running()
        language = session.start["transcription_config"]["language"]
        session.send(set_recognition_config(language, changes))

    def get_speakers(self, *, final: bool = False) -> None:
        """Ask for the identifiers of the speakers; a ``SpeakersResult`` answers.

        Args:
            final: UpgradeSocket once, at the end of the transcript, instead of now.
        """
        self._running().send({"message": "GetSpeakers", "final": final})

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
                self._closed_while_opening = True
            session = self._session
        if session is not None:
            session.closed = session.failure_seen = True  # who closes doesn't ask how it went
            session.connection.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        session = self._session
        if session is None:
            return
        if exc_type is not None or session.streamed:
            self.close()
        elif session.connection.is_open:
            self.stop_session()
        elif not session.failure_seen:
            # It failed in the background, or ended: let the handlers finish, then say what nobody has heard.
            self.stop_session()

    def __del__(self) -> None:
        # Only a shutdown of the descriptor: a finaliser runs on any thread, perhaps inside one of our locks.
        session = getattr(self, "_session", None)
        if session is not None and (session.connection.is_open or session.orphaned):
            session.connection.abandon()
            warnings.warn(f"a client was dropped with a session open: {self!r}", ResourceWarning, 2)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> Optional[str]:
        """Our id of the present or last session, sent as ``X-Request-Id``."""
        session = self._session
        return session.log.request_id if session else None

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

    def _running(self) -> Session:
        session = self._session
        if session is None:
            raise SessionError("no session has been started; call start_session() first")
        return session

    def _prepare(self) -> None:
        """Begin a call that opens a session: from here on a request to stop is meant for that one."""
        self._forget_parent()
        self._check_free()  # before the first read of a source, which may take long
        self._stop_while_opening = False

    def _check_free(self) -> None:
        if self._opener is not None or (self._session is not None and not self._session.over):
            raise SessionError("a session is running already; stop_session() or close() it first")

    def _open(self, request: SessionRequest, *, streamed: bool = False) -> Session:
        """Make a new session the current one: connect, say StartRecognition, hear RecognitionStarted."""
        self._connector.check(request)
        me = object()
        try:
            with self._current_lock:
                self._check_free()
                self._opener = me
                self._closed_while_opening = False
            try:
                return self._attempt(request, streamed)
            except AuthenticationError:
                if not self._connector.auth.refresh():
                    raise
                logger.info("the token was refused; trying once more with a new one")
                return self._attempt(request, streamed)
        finally:
            if self._opener is me:
                self._opener = None

    def _forget_parent(self) -> None:
        """In a forked child: the session is the parent's, and so may be whoever held the lock."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._current_lock = threading.Lock()
            session, self._session, self._opener = self._session, None, None
            if session is not None:
                session.connection.close()

    def _attempt(self, request: SessionRequest, streamed: bool) -> Session:
        log = SessionLog(logger, request_id_of(request.ws_headers))
        connection = self._connector.link(request, log, _listening(self))
        session = Session(
            connection,
            request.start,
            request.audio_format,
            log,
            streamed=streamed,
            keep_transcript=self._keep_transcript,
        )
        with self._current_lock:
            self._session = session
            closed = self._closed_while_opening
        try:
            if closed:
                self.close()
            if self._stop_while_opening:
                connection.request_stop()
            if not connection.start(request.start, request.deadline):
                raise TimeoutError(  # noqa: TRY301  # cleaned up below like any other failure to start
                    f"the session did not start within the {request.timeout:g} s of the whole call",
                    stage="whole",
                    seconds=request.timeout,
                )
        except BaseException as exc:
            try:
                connection.close()  # a refused session counts against the quota until its socket is closed
                if isinstance(exc, SpeechmaticsError):
                    for message in connection.left_over():
                        session.deliver(message, self)  # handlers get the Error too
                    session.annotate(exc)
            finally:
                session.end(exc if isinstance(exc, SpeechmaticsError) else None)
            raise
        return session

    def _listen(self, session: Session) -> None:
        try:
            listen(session, self)
        except BaseException:  # no more threads to give, or Ctrl-C while one starts
            session.end()
            session.connection.close()
            raise

    def _stream(self, request: SessionRequest, sources: Mapping[Optional[str], AudioSource]) -> MessageStream:
        """Open a session, start sending the sources, and give its messages; closes them if that fails."""
        try:
            audio_format = next(iter(sources.values())).audio_format
            session = self._open(request.with_audio(audio_format), streamed=True)
        except BaseException:
            for source in sources.values():
                source.put_back()
                source.close()
            raise
        messages = MessageStream(
            session, self, deadline=request.deadline, timeout=request.timeout, sources=sources.values()
        )
        try:
            feed(session, sources, request.speed)
        except BaseException:
            messages.close()
            messages.put_back()
            raise
        return messages


class Client(BaseClient):
    """Transcribe one stream of audio.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server, Client(url=server.url) as client:
        ...     transcript = client.transcribe(bytes(32000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> transcript.words[0].content
        'Good'
    """

    @spelled_out
    def transcribe(self, source: Source, **options: Unpack[SourceOptions]) -> Transcript:
        """Send a whole source and return its transcript; handlers run on this thread meanwhile.

        Args:
            source: A path, an object with ``read(n)``, bytes, or an iterable of bytes. When the call fails,
                one that can seek goes back to where it stood; one that can't is refused by the next call
                if some of it was sent.
            transcription_config: Language and features; English without it.
            audio_format: What the bytes are. Without it a mono PCM or mu-law WAV is sent as raw audio, and
                anything else as a file, byte for byte.
            translation_config: Languages to translate into.
            audio_events_config: Audio events to detect.
            ws_headers: Headers to add to the upgrade request.
            timeout: The most seconds for everything, connecting included; but not for the first read of a
                source that blocks.
            speed: 1.0 sends as fast as the audio would sound, which must be raw; None as fast as the server
                takes it.

        Raises:
            AudioError: The source is missing, empty, unreadable, misaligned, or the rest of a failed call.
            TranscriptionError: The service ended the session with an error.
            ConnectionError: The connection was lost.
            TimeoutError: Stage ``"whole"``, or as :meth:`start_session`.

        Each carries what was heard until then in ``transcript``; also raises what
        :meth:`start_session` raises.
        """
        return self.stream(source, **options).finish()

    @spelled_out
    def stream(self, source: Source, **options: Unpack[SourceOptions]) -> MessageStream:
        """Start sending a source and return the messages of the session as an iterator.

        Arguments and errors as :meth:`transcribe`; those of the session are raised by the iteration.
        """
        self._prepare()
        request = SessionRequest.of(options, SourceOptions)
        return self._stream(request, {None: open_source(source, options.get("audio_format"))})

    def send_audio(self, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio, of whole samples; waits while the server is too far behind.

        Raises:
            AudioError: The payload is not bytes, or cuts a sample.
            SessionError: No session is running, or its audio has ended.
            TimeoutError: Stage ``"send"``: no acknowledgement within ``send_timeout``.
            SpeechmaticsError: What the session ended with, if it failed.
        """
        self._running().send_audio(payload)

    def force_end_of_utterance(self, *, timestamp: Optional[float] = UNSET) -> None:
        """End the utterance now: a final and an ``EndOfUtterance`` follow, both ``forced``.

        Args:
            timestamp: Where it ended, in seconds of audio; by default all that was sent (raw formats), which
                makes the cut more accurate. None sends no timestamp: transcribers before 15.2.0 know none.
        """
        session = self._running()
        if timestamp is UNSET:
            timestamp = self.audio_seconds_sent if session.bytes_per_second else None
        message: dict[str, Any] = {"message": "ForceEndOfUtterance"}
        if timestamp is not None:
            message["timestamp"] = timestamp
        session.send(message)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the present or last session; 0 for format ``file``."""
        session = self._session
        return session.connection.seconds_sent if session else 0.0


def _listening(client: BaseClient) -> Any:
    """Ask a client whether anybody listens, without keeping it alive: its connection's threads hold this."""
    reference = weakref.ref(client)

    def wants(kind: str) -> bool:
        emitter = reference()
        return emitter is not None and emitter._wants(kind)

    return wants
