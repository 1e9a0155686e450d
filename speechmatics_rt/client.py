"""The blocking client: what a program holds in its hand."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Optional, TypeVar, Union

from .audio import AudioSource, Source
from .audio import source as audio
from .auth import AuthBase
from .config import (
    AudioEventsConfig,
    AudioFormat,
    ConnectionConfig,
    ResumePolicy,
    TranscriptionConfig,
    TranslationConfig,
    set_recognition_config,
    start_recognition,
)
from .events import EventEmitter
from .exceptions import AuthenticationError, ConfigurationError, SessionError, SpeechmaticsError, TimeoutError
from .log import SessionLog
from .network import Connection
from .resume import ResumingConnection
from .session import Conversation, MessageStream, Service, feed, listen, request_id_of
from .stats import SessionStats
from .transcript import Transcript

__all__ = ["UNSET", "BaseClient", "Client", "Opening", "check_speed"]

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
        handler_errors: Literal["log", "raise"] = "log",
    ) -> None:
        # First of all, for the finaliser of a client whose construction fails below.
        self._conversation: Optional[Conversation] = None
        super().__init__(handler_errors=handler_errors)
        self._service = Service(auth, api_key, url, conn_config, sdk_identifier)
        self._pid = os.getpid()
        if not isinstance(resume, (bool, ResumePolicy)):
            raise ConfigurationError(f"resume={resume!r}: use True, False or a ResumePolicy")
        self._resume = ResumePolicy() if resume is True else resume or None
        # Guards which session is the current one; held for assignments only.
        self._current_lock = threading.Lock()
        self._opener: Optional[object] = None  # a token of the call that is opening a session
        self._closed_while_opening = self._stop_while_opening = False

    # -- the session ---------------------------------------------------------------------------------

    def start_session(
        self,
        *,
        transcription_config: Union[TranscriptionConfig, Mapping[str, Any], None] = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
    ) -> None:
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
        audio_format = audio_format or AudioFormat()
        start = start_recognition(
            transcription_config or TranscriptionConfig(),
            audio_format,
            translation_config,
            audio_events_config,
        )
        self._listen(self._open(self._opening(start, audio_format, ws_headers)))

    def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """Say that all audio is sent, wait for the rest of the transcript and for all handlers, then close.

        In a handler, or in the body of a ``for`` over :meth:`Client.stream`, it returns at once and the
        delivery runs on to the end of the transcript. Without a session it does nothing.

        Args:
            timeout: The most seconds to wait; without it, as long as the server goes on talking
                (``ConnectionConfig.end_timeout``).

        Raises:
            TimeoutError: Stage ``"end"``; the session is closed.
            SpeechmaticsError: What the session ended with, if it failed.
        """
        conversation = self._conversation
        if conversation is None:
            return
        connection = conversation.connection
        connection.end_stream()
        if conversation.delivering == threading.get_ident() and not conversation.delivered.is_set():
            return
        if not conversation.delivered.wait(timeout if timeout is not None else threading.TIMEOUT_MAX):
            error = TimeoutError(
                f"the transcript was not complete within {timeout:g} s", stage="end", seconds=timeout
            )
            connection.fail(error)
            connection.close()
            raise conversation.told(error)
        connection.close()
        conversation.raise_failure()

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
        conversation = self._running()
        language = conversation.start["transcription_config"]["language"]
        conversation.send(set_recognition_config(language, changes))

    def get_speakers(self, *, final: bool = False) -> None:
        """Ask for the identifiers of the speakers; a ``SpeakersResult`` answers.

        Args:
            final: Answer once, at the end of the transcript, instead of now.
        """
        self._running().send({"message": "GetSpeakers", "final": final})

    def request_stop(self) -> None:
        """Ask the session to end as :meth:`stop_session` does, without waiting; safe in a signal handler."""
        self._stop_while_opening = True
        conversation = self._conversation
        if conversation is not None:
            conversation.connection.request_stop()

    def close(self) -> None:
        """End the session now; what had not arrived is lost. The client may start another one.

        Waits for no acknowledgement and no end of the transcript: at most ``close_timeout`` for the close
        frame of the server. Whoever waits in that session gets a :class:`SessionError`.
        """
        self._forget_parent()
        with self._current_lock:
            if self._opener is not None:
                self._closed_while_opening = True
            conversation = self._conversation
        if conversation is not None:
            conversation.closed = conversation.failure_seen = True  # who closes doesn't ask how it went
            conversation.connection.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        if exc_type is not None or conversation.streamed:
            self.close()
        elif conversation.connection.is_open:
            self.stop_session()
        elif not conversation.failure_seen:
            # It failed in the background, or ended: let the handlers finish, then say what nobody has heard.
            self.stop_session()

    def __del__(self) -> None:
        # Only a shutdown of the descriptor: a finaliser runs on any thread, perhaps inside one of our locks.
        conversation = getattr(self, "_conversation", None)
        if conversation is not None and (conversation.connection.is_open or conversation.orphaned):
            conversation.connection.abandon()
            warnings.warn(f"a client was dropped with a session open: {self!r}", ResourceWarning, 2)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> Optional[str]:
        """Our id of the present or last session, sent as ``X-Request-Id``."""
        conversation = self._conversation
        return conversation.log.request_id if conversation else None

    @property
    def session_id(self) -> Optional[str]:
        """The service's id of the present or last session."""
        conversation = self._conversation
        return conversation.connection.session_id if conversation else None

    @property
    def is_connected(self) -> bool:
        conversation = self._conversation
        return conversation is not None and conversation.connection.is_open

    @property
    def audio_bytes_sent(self) -> int:
        conversation = self._conversation
        return conversation.connection.bytes_sent if conversation else 0

    @property
    def stats(self) -> SessionStats:
        """Figures of the present or last session."""
        conversation = self._conversation
        return conversation.stats() if conversation else SessionStats()

    @property
    def transcript(self) -> Transcript:
        """What the present or last session has heard so far."""
        conversation = self._conversation
        return conversation.transcript if conversation else Transcript()

    # -- inside --------------------------------------------------------------------------------------

    def _running(self) -> Conversation:
        conversation = self._conversation
        if conversation is None:
            raise SessionError("no session has been started; call start_session() first")
        return conversation

    def _opening(
        self,
        start: dict[str, Any],
        audio_format: AudioFormat,
        ws_headers: Optional[Mapping[str, str]],
        deadline: float = float("inf"),
        timeout: Optional[float] = None,
    ) -> Opening:
        start["audio_format"] = audio_format.to_dict()
        return Opening(start, audio_format, dict(ws_headers or {}), deadline, timeout)

    def _prepare(self) -> None:
        """Begin a call that opens a session: from here on a request to stop is meant for that one."""
        self._forget_parent()
        self._check_free()  # before the first read of a source, which may take long
        self._stop_while_opening = False

    def _check_free(self) -> None:
        if self._opener is not None or (self._conversation is not None and not self._conversation.over):
            raise SessionError("a session is running already; stop_session() or close() it first")

    def _open(self, opening: Opening, *, streamed: bool = False) -> Conversation:
        """Make a new session the current one: connect, say StartRecognition, hear RecognitionStarted."""
        if self._resume is not None and opening.audio_format.encoding is None:
            raise ConfigurationError(
                "resume needs audio whose time is known, so not the format 'file': give raw audio with "
                "audio_format=AudioFormat('pcm_s16le', 16000), or a mono WAV of PCM or mu-law"
            )
        me = object()
        try:
            with self._current_lock:
                self._check_free()
                self._opener = me
                self._closed_while_opening = False
            try:
                return self._attempt(opening, streamed)
            except AuthenticationError:
                if not self._service.auth.refresh():
                    raise
                logger.info("the token was refused; trying once more with a new one")
                return self._attempt(opening, streamed)
        finally:
            if self._opener is me:
                self._opener = None

    def _forget_parent(self) -> None:
        """In a forked child: the session is the parent's, and so may be whoever held the lock."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._current_lock = threading.Lock()
            conversation, self._conversation, self._opener = self._conversation, None, None
            if conversation is not None:
                conversation.connection.close()

    def _connect(self, opening: Opening, log: SessionLog) -> Union[Connection, ResumingConnection]:
        service, headers, wants = self._service, opening.ws_headers, _listening(self)
        connection = service.connect(
            headers, log, deadline=opening.deadline, timeout=opening.timeout, wants=wants
        )
        if self._resume is None:
            return connection
        return ResumingConnection(
            connection,
            service.redial(headers, log, wants),
            policy=self._resume,
            start=opening.start,
            audio_format=opening.audio_format,
            refresh=service.auth.refresh,
            log=log,
        )

    def _attempt(self, opening: Opening, streamed: bool) -> Conversation:
        log = SessionLog(logger, request_id_of(opening.ws_headers))
        connection = self._connect(opening, log)
        conversation = Conversation(connection, opening.start, opening.audio_format, log, streamed=streamed)
        with self._current_lock:
            self._conversation = conversation
            closed = self._closed_while_opening
        try:
            if closed:
                self.close()
            if self._stop_while_opening:
                connection.request_stop()
            if not connection.start(opening.start, opening.deadline):
                raise TimeoutError(  # noqa: TRY301  # cleaned up below like any other failure to start
                    f"the session did not start within the {opening.timeout:g} s of the whole call",
                    stage="whole",
                    seconds=opening.timeout,
                )
        except BaseException as exc:
            try:
                connection.close()  # a refused session counts against the quota until its socket is closed
                if isinstance(exc, SpeechmaticsError):
                    for arrival in connection.left_over():
                        message = connection.open(arrival)
                        if message is not None:
                            conversation.deliver(message, self)  # handlers hear the Error too
                    conversation.told(exc)
            finally:
                conversation.end(exc if isinstance(exc, SpeechmaticsError) else None)
            raise
        return conversation

    def _listen(self, conversation: Conversation) -> None:
        try:
            listen(conversation, self)
        except BaseException:  # no more threads to give, or Ctrl-C while one starts
            conversation.end()
            conversation.connection.close()
            raise

    def _stream(
        self, opening: Opening, sources: Mapping[Optional[str], AudioSource], speed: Optional[float]
    ) -> MessageStream:
        """Open a session, start feeding it, and give its messages; closes the sources if that fails."""
        try:
            conversation = self._open(opening, streamed=True)
        except BaseException:
            for source in sources.values():
                source.close()
            raise
        messages = MessageStream(conversation, self, deadline=opening.deadline, timeout=opening.timeout)
        try:
            feed(conversation, sources, speed)
        except BaseException:
            messages.close()
            raise
        return messages


def check_speed(speed: Optional[float]) -> None:
    if speed is not None and not 0 < speed < float("inf"):
        raise ConfigurationError(
            f"speed={speed!r}: use a positive number, 1.0 for real time, or None for no pace"
        )


class Opening(NamedTuple):
    """What opens a session. ``deadline`` (monotonic) is that of the whole call, from ``timeout``."""

    start: dict[str, Any]
    audio_format: AudioFormat
    ws_headers: Mapping[str, str]
    deadline: float
    timeout: Optional[float]


class Client(BaseClient):
    """Transcribe one stream of audio.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server, Client(url=server.url) as client:
        ...     transcript = client.transcribe(bytes(32000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> transcript.words[0].content
        'Good'
    """

    def transcribe(
        self,
        source: Source,
        *,
        transcription_config: Union[TranscriptionConfig, Mapping[str, Any], None] = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        speed: Optional[float] = None,
    ) -> Transcript:
        """Send a whole source and return its transcript; handlers run on this thread meanwhile.

        Args:
            source: A path, an object with ``read(n)``, bytes, or an iterable of bytes.
            transcription_config: Language and features; English without it.
            audio_format: What the bytes are. Without it a mono PCM or mu-law WAV is sent as raw audio, and
                anything else as a file, byte for byte.
            translation_config: Languages to translate into.
            audio_events_config: Audio events to detect.
            ws_headers: Headers to add to the upgrade request.
            timeout: The most seconds for everything, connecting included; but not for the first read of a
                source that blocks.
            speed: 1.0 sends as fast as the audio would sound; None as fast as the server takes it.

        Raises:
            AudioError: The source is missing, empty, unreadable or misaligned.
            TranscriptionError: The service ended the session with an error.
            ConnectionError: The connection was lost.
            TimeoutError: Stage ``"whole"``, or as :meth:`start_session`.

        Each carries what was heard until then in ``transcript``; also raises what
        :meth:`start_session` raises.
        """
        messages = self.stream(
            source,
            transcription_config=transcription_config,
            audio_format=audio_format,
            translation_config=translation_config,
            audio_events_config=audio_events_config,
            ws_headers=ws_headers,
            timeout=timeout,
            speed=speed,
        )
        with messages:
            for _ in messages:
                pass
        return messages.transcript

    def stream(
        self,
        source: Source,
        *,
        transcription_config: Union[TranscriptionConfig, Mapping[str, Any], None] = None,
        audio_format: Optional[AudioFormat] = None,
        translation_config: Optional[TranslationConfig] = None,
        audio_events_config: Optional[AudioEventsConfig] = None,
        ws_headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        speed: Optional[float] = None,
    ) -> MessageStream:
        """Start sending a source and return the messages of the session as an iterator.

        Arguments and errors as :meth:`transcribe`; those of the session are raised by the iteration.
        """
        check_speed(speed)
        self._prepare()
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        start = start_recognition(
            transcription_config or TranscriptionConfig(),
            audio_format or AudioFormat(),
            translation_config,
            audio_events_config,
        )
        opened = audio.open_source(source, audio_format)
        opening = self._opening(start, opened.audio_format, ws_headers, deadline, timeout)
        return self._stream(opening, {None: opened}, speed)

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
        conversation = self._running()
        if timestamp is UNSET:
            timestamp = self.audio_seconds_sent if conversation.bytes_per_second else None
        message: dict[str, Any] = {"message": "ForceEndOfUtterance"}
        if timestamp is not None:
            message["timestamp"] = timestamp
        conversation.send(message)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the present or last session; 0 for format ``file``."""
        conversation = self._conversation
        return conversation.connection.seconds_sent if conversation else 0.0


def _listening(client: BaseClient) -> Any:
    """Ask a client whether anybody listens, without keeping it alive: its connection's threads hold this."""
    reference = weakref.ref(client)

    def wants(kind: str) -> bool:
        emitter = reference()
        return emitter is not None and emitter._wants(kind)

    return wants
