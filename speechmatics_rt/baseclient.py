"""The base class of the blocking clients, which run one session at a time."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Literal, NoReturn, Optional, TypeVar, Union, overload

from . import messages
from .auth import AuthBase
from .config import (
    FLAG,
    ConnectionConfig,
    ConversationConfig,
    ResumePolicy,
    checked,
    explained_client,
    set_recognition_config,
)
from .events import EVENTS
from .exceptions import ConfigurationError, SessionError, TimeoutError, no_pickle, shown
from .log import SessionLog
from .session import (
    NO_PICKLE,
    SECONDS,
    UNSET,
    Answer,
    Call,
    Connector,
    Opener,
    Said,
    Session,
    SessionOptions,
    SessionRequest,
    as_sent,
    check_label,
    check_timestamp,
    request_id_of,
    spelled_out,
    waiting,
    waits_for_itself,
)
from .stats import SessionStats
from .threads import free_at_exit, in_signal_handler
from .transcript import Transcript, Utterance

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BaseClient"]

_METHODS = {  # what sends these, and knows their numbers
    "StartRecognition": "start_session()",
    "AddAudio": "send_audio()",
    "AddChannelAudio": "send_audio()",
    "EndOfStream": "stop_session() or request_stop()",
    "EndOfChannel": "end_channel()",
}
_Self = TypeVar("_Self", bound="BaseClient")


class BaseClient(Opener):
    """The base class of :class:`Client` and :class:`MultiChannelClient`: one session at a time.

    All methods may be called from any thread, and from a handler. What starts a session is refused while one
    runs, and that is over when its handlers have run; those of ``EndOfTranscript``, of ``Error`` and of
    ``SessionEnded`` may start the next one.
    """

    _known = EVENTS

    @explained_client
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
        """Store the options; nothing is opened yet.

        Args:
            auth: How to authenticate. Default: a :class:`StaticKeyAuth` with ``api_key``.
            api_key: The API key. Default: the environment variable ``SPEECHMATICS_API_KEY``.
            url: The service, ``wss://.../v2``. Default: the environment variable ``SPEECHMATICS_RT_URL``,
                or else the EU service.
            conn_config: Timeouts, limits, TLS and proxy.
            resume: Replace a lost connection without losing a word, and retry the first one after HTTP 429
                or 5xx: True, or a :class:`ResumePolicy`. Raw audio only. ``Reconnecting`` is emitted before
                each attempt; once the session has started, its handlers may set
                ``message["reconnect"] = False``. ``Resumed`` is emitted when the session goes on.
            sdk_identifier: The value of ``sm-sdk`` in the URL's query, instead of this package's name.
            app: The value of ``sm-app``: the name of your application in the service's usage figures.
            keep_transcript: How many of the latest seconds of the transcript to keep, for sessions that run
                for days: an hour of speech takes 5 to 9 MB. None keeps everything, 0 nothing. Handlers get
                every message either way, and ``end_time`` and the figures count everything. See
                :class:`Transcript`.
            handler_errors: ``"log"`` logs an exception raised by a handler (to stderr if no logging is
                configured); ``"raise"`` raises it from ``transcribe()``, ``stream()`` or ``stop_session()``.

        Raises:
            ConfigurationError: An option is wrong.
        """
        super().__init__(
            Connector(auth, api_key, url, conn_config, sdk_identifier, resume, app),
            keep_transcript=checked("keep_transcript", keep_transcript, SECONDS),
            handler_errors=handler_errors,
        )

    # -- the session ---------------------------------------------------------------------------------

    @spelled_out
    def start_session(self, **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; return when the service is ready for audio.

        From here until :meth:`stop_session`, handlers run on one listener thread. The handlers of
        ``RecognitionStarted``, and of any earlier message, have run when this returns, unless they take
        longer than ``start_timeout``.

        Raises:
            ConfigurationError: An option is wrong. Raised before any I/O.
            SessionError: A session is already running, or its handlers are.
            AuthenticationError: There is no key, or the service refused it.
            ConnectionError: The service could not be reached, or refused the connection.
            TimeoutError: Stage ``"open"`` or ``"start"``; or ``"end"``: what was closed before, as it was
                opened, has not ended.
            TranscriptionError: The service refused the configuration.
        """
        self._start_session(Call(self), **options)

    def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """End the audio, wait for the rest of the transcript and for all handlers, then close.

        In a handler, or in the body of a ``for`` over :meth:`Client.stream`, it returns at once, and
        messages are delivered until the transcript is complete. In those of another client it waits, unless
        the handlers here wait for that one's session to end: two handlers that stop each other's sessions
        would wait for ever. On another thread it waits for the thread that iterates, however long that takes.
        Does nothing if there is no session.

        Args:
            timeout: Seconds to wait at most; by default as long as the server keeps sending
                (``ConnectionConfig.end_timeout``).

        Raises:
            ConfigurationError: The timeout is not a number, or is negative.
            TimeoutError: Stage ``"end"``; the session is closed.
            SpeechmaticsError: The error that the session ended with.
        """
        timeout = checked("timeout", timeout, SECONDS)
        session = self._session
        if session is not None:
            deadline = float("inf") if timeout is None else time.monotonic() + timeout
            self._stop(session, timeout, deadline)

    def _stop(self, session: Session, timeout: Optional[float], deadline: float) -> None:
        connection = session.connection
        connection.end_stream()
        with waiting(session.delivery) as may_wait:
            if not may_wait:
                return
            over = session.delivery.awaited.wait(deadline - time.monotonic())
        if not (over or session.delivery.over.is_set()):
            error = TimeoutError(
                f"the transcript was not complete within {timeout:g} s", stage="end", seconds=timeout
            )
            connection.fail(error)
            connection.close(deadline)
            session.hear_out(error)
            raise session.ending.annotate(error)
        connection.close(deadline)
        session.check_delivered()
        session.ending.raise_failure()

    def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message of the protocol, for messages that have no method of their own.

        Raises:
            ConfigurationError: It has no ``message``, or one that another method must send.
            SessionError: It can't be sent at this point of the session, or there is no session.
        """
        sent = self._sendable(message)
        self._running().send(sent)

    def _sendable(self, message: Any) -> dict[str, Any]:
        """Check a caller's message, and return a copy: it may be sent later, or once more (``resume``)."""
        kind = message.get("message") if isinstance(message, Mapping) else None
        if not isinstance(kind, str):
            raise ConfigurationError(f"a message is a mapping with a string 'message', not {shown(message)}")
        if kind in _METHODS:
            raise ConfigurationError(f"{kind} can't be sent as a message; use {_METHODS[kind]}")
        return as_sent(message)

    def update_config(
        self,
        *,
        max_delay: Optional[float] = None,
        max_delay_mode: Optional[Literal["flexible", "fixed"]] = None,
        enable_partials: Optional[bool] = None,
        audio_filtering_config: Optional[Mapping[str, Any]] = None,
        conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None,
        **more: Any,
    ) -> None:
        """Change settings of the running session (``SetRecognitionConfig``). None leaves one unchanged.

        Args:
            max_delay: Seconds from the end of a word to its final, 0.7 to 4. (A container that takes others
                gets them by :meth:`send_message`; a server that does not would end the session.)
            max_delay_mode: ``"flexible"`` or ``"fixed"``.
            enable_partials: Whether to send partials from now on.
            audio_filtering_config: Mapping with ``volume_threshold``, 0 to 100.
            conversation_config: A ConversationConfig or a mapping.
            **more: Further fields, of previews. The service accepts no others during a session.

        Raises:
            ConfigurationError: A field can't change during a session, or a value is out of range.
            SessionError: No session is running.
        """
        session, message = self._changed(
            max_delay=max_delay,
            max_delay_mode=max_delay_mode,
            enable_partials=enable_partials,
            audio_filtering_config=audio_filtering_config,
            conversation_config=conversation_config,
            **more,
        )
        session.send(message)

    @overload
    def get_speakers(
        self, *, final: Literal[False] = ..., wait: Literal[True] = ..., timeout: Optional[float] = ...
    ) -> messages.SpeakersResultMessage: ...
    @overload
    def get_speakers(
        self, *, final: bool = ..., wait: bool = ..., timeout: Optional[float] = ...
    ) -> Optional[messages.SpeakersResultMessage]: ...
    def get_speakers(
        self, *, final: bool = False, wait: bool = True, timeout: Optional[float] = 10.0
    ) -> Optional[messages.SpeakersResultMessage]:
        """Ask for the identifiers of the speakers, and return the answer. Handlers get it too.

        Args:
            final: Ask for an answer at the end of the transcript instead of now; returns None at once.
            wait: False only asks, and returns None: for handlers, which would wait for themselves.
            timeout: Seconds to wait at most; None waits as long as the session runs.

        Raises:
            ConfigurationError: An argument has a wrong type.
            SessionError: No session is running, or what would deliver the answer waits for this thread.
            TimeoutError: Stage ``"answer"``.
        """
        session, message = self._speakers_asked(final, wait, timeout)
        if final or not wait:
            session.send(message)
            return None
        answer = Answer(session.turns.answers, message)
        result: messages.SpeakersResultMessage = _ask(session, answer, timeout)
        return result

    def request_stop(self) -> None:
        """Ask the session to end as :meth:`stop_session` does, without waiting; safe in a signal handler.

        Of a session that ``resume`` is restoring, one more attempt is made, at once; of one that has not
        started yet, none.
        """
        self._stop_what_opens()
        session = self._session
        if session is not None:
            session.connection.request_stop()

    def close(self) -> None:
        """End the session now; any transcript still to come is lost. The client can start another session.

        Waits only for the server's close frame, for at most ``close_timeout``. Calls that wait in that
        session raise :class:`SessionError`. Runs no handlers but those of ``SessionEnded`` of a stream that
        was dropped, which nobody else would; and none in a signal handler, which may interrupt anything.
        """
        free_at_exit()
        self._forget_parent()
        session = self._give_up()
        if session is not None:
            session.close()
            left = session.delivery.over.is_set() and session.delivery.is_untold
            if left and not self._is_being_opened(session) and not in_signal_handler():
                self._tell_late(session)  # of a stream that was dropped

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        try:
            session = self._session  # inside: Ctrl-C on this line is one in that wait
            if session is None:
                pass
            elif exc_type is not None or session.delivery.streamed:
                self.close()
                if session.delivery.is_left:
                    self._tell_late(session)
            elif session.connection.is_open or not session.ending.is_known:
                # If it has ended in the background: wait for its handlers, raise what nobody has seen yet.
                self.stop_session()
        except BaseException:  # Ctrl-C in that wait: nobody comes after this to close it
            self.close()
            raise

    def __del__(self, _at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        # A program may end with a session open: nothing can be told any more, nor is there much left to call.
        if _at_exit():
            return
        # Only shut the descriptor down: a finaliser runs on any thread, perhaps inside one of our locks.
        session = getattr(self, "_session", None)
        if session is not None and (session.connection.is_open or session.delivery.orphaned):
            told = f"a client was dropped with an open session: {self!r}"
            session.delivery.orphaned = True
            session.delivery.claim_last_events()  # a weak reference may still find the client here
            session.connection.abandon()
            warnings.warn(told, ResourceWarning, 2)

    def __repr__(self) -> str:
        # No lock, and nothing that may raise: a finaliser calls it too, perhaps after __init__ has failed.
        connector = getattr(self, "_connector", None)
        where = connector.shown_url if connector is not None else "nowhere"
        return f"<{type(self).__name__} of {where}, {self._session or 'no session'}>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, NO_PICKLE)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> str:
        """The client's id of the current or last session, or else of the next; sent as ``X-Request-Id``."""
        session = self._session
        if session is not None:
            return session.log.request_id
        if self._coming_id is None:
            self._coming_id = request_id_of({})
        return self._coming_id

    @property
    def session_id(self) -> Optional[str]:
        """The service's id of the current or last session."""
        session = self._session
        return session.connection.session_id if session else None

    @property
    def is_connected(self) -> bool:
        """Whether a session is open."""
        session = self._session
        return session is not None and session.connection.is_open

    @property
    def audio_bytes_sent(self) -> int:
        """Bytes of audio sent in the current or last session."""
        session = self._session
        return session.connection.bytes_sent if session else 0

    @property
    def stats(self) -> SessionStats:
        """Figures of the current or last session."""
        free_at_exit()
        session = self._session
        return session.stats() if session else SessionStats()

    @property
    def transcript(self) -> Transcript:
        """The transcript so far of the current or last session."""
        free_at_exit()
        session = self._session
        return session.transcript if session else Transcript()

    # -- inside --------------------------------------------------------------------------------------

    def _start_session(self, call: Call, **options: Any) -> Session:
        request = SessionRequest.of(options, SessionOptions)
        self._prepare(call, request)
        return self._open(call, request, lambda session: session)

    def _forced(
        self, timestamp: Optional[float], channel: Optional[str] = None
    ) -> tuple[Session, dict[str, Any]]:
        """Return the running session and the message that ends an utterance in it, checked."""
        check_timestamp(timestamp)
        if channel is not None:
            check_label(channel)
        session = self._running()
        labels = session.start["transcription_config"].get("channel_diarization_labels", ())
        if channel is not None and channel not in labels:  # a server may end the session for it
            there = ", ".join(map(repr, labels))
            raise SessionError(f"ForceEndOfUtterance names channel {channel!r}; the session has {there}")
        if timestamp is UNSET:
            timestamp = session.seconds_sent_on(channel)
        message = {"message": "ForceEndOfUtterance", "channel": channel, "timestamp": timestamp}
        return session, {name: value for name, value in message.items() if value is not None}

    def _changed(self, **changes: Any) -> tuple[Session, dict[str, Any]]:
        """Return the running session and the message that changes its settings, checked."""
        session = self._running()
        language = session.start["transcription_config"]["language"]
        given = {name: value for name, value in changes.items() if value is not None}
        message = set_recognition_config(language, given)
        self._warn(message)
        return session, message

    def _speakers_asked(self, final: Any, wait: Any, timeout: Any) -> tuple[Session, dict[str, Any]]:
        """Check the arguments of ``get_speakers()``; return the running session and the message that asks."""
        FLAG("final", final)
        FLAG("wait", wait)
        checked("timeout", timeout, SECONDS)
        return self._running(), {"message": "GetSpeakers", "final": final}

    def _said(
        self, timestamp: Optional[float], timeout: Optional[float], channel: Optional[str] = None
    ) -> tuple[Session, Said]:
        """Check the arguments of ``finalize()``; return the running session and what it is asked."""
        checked("timeout", timeout, SECONDS)
        session, message = self._forced(timestamp, channel)
        if session.transcript.keep == 0:
            raise ConfigurationError(
                "finalize() returns words of the transcript, of which keep_transcript=0 keeps none; keep "
                "some seconds, or use force_end_of_utterance() and a handler of Utterance"
            )
        return session, Said(session.turns, message, session.log)

    def _finalize(
        self, timestamp: Optional[float], timeout: Optional[float], channel: Optional[str] = None
    ) -> Optional[Utterance]:
        session, said = self._said(timestamp, timeout, channel)
        utterance: Optional[Utterance] = _ask(session, said, timeout)
        return utterance

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        session = self._session
        return logger if session is None else session.log.on(logger)


def _ask(session: Session, answer: Answer, timeout: Optional[float]) -> Any:
    """Send a question and wait for its answer, for ``timeout`` seconds at most.

    Raises:
        SessionError: What would deliver the answer waits for this thread.
        TimeoutError: Stage ``"answer"``.
        SpeechmaticsError: The error that the session ended with.
    """
    with answer, waiting(session.delivery) as may_wait:
        if not may_wait:
            raise waits_for_itself(answer.question)
        session.send(answer.question)
        answer.over.wait(timeout)
    return answer.result(timeout, session.ending)
