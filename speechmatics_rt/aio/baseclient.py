"""The base class of the asyncio clients.

They contain nothing of the protocol: a blocking client with its threads works behind each of them. Calls
that may block run on a thread of their own; messages are delivered on the event loop. So a slow handler
holds up the loop, as in any asyncio program, but never the reader: pings are answered, and the window and
``max_queue`` work as in the blocking clients.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any, Callable, Literal, NoReturn, Optional, TypeVar, Union, overload

from .. import messages
from ..audio import BytesLike, check_chunk
from ..config import ConnectionConfig, ConversationConfig, ResumePolicy, checked, explained_client
from ..events import EVENTS
from ..exceptions import SpeechmaticsError, no_pickle
from ..log import SessionLog
from ..session import (
    NO_PICKLE,
    SECONDS,
    Answer,
    Session,
    SessionRequest,
    interest_of,
    session_ended,
    waiting,
    waits_for_itself,
)
from ..stats import SessionStats
from ..transcript import Transcript, Utterance
from .bridge import AwaitedAuth, in_thread
from .core import BlockingCore, CallOfLoop
from .dispatch import AsyncEmitter, Dispatcher, listen
from .rounds import PATIENCE, rounds_here, within

__all__ = ["AsyncBaseClient"]

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="AsyncBaseClient")


class AsyncBaseClient(AsyncEmitter):
    """The base class of both clients, for use in one event loop at a time.

    Handlers run on the loop, one at a time, in the order of registration. They may be plain functions or
    coroutine functions; these are awaited before the next handler runs. Cancelling a call that opens,
    iterates or ends a session closes that session.

    The next message waits for handlers, and for the body of an ``async for`` over messages or utterances.
    There :meth:`stop_session` returns at once, and questions whose answers are messages are refused. The same
    holds for tasks that were begun there, unless the handler or body ends within half a second; and for who
    has entered a stream, unless its first message is asked for within that time.
    """

    _kind: type[BlockingCore]
    _known = EVENTS

    @explained_client
    def __init__(
        self,
        auth: Any = None,
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
            auth: How to authenticate; its ``get_auth_headers`` may be a coroutine function, or return
                anything else that is to be awaited.
            api_key: The API key. Default: the environment variable ``SPEECHMATICS_API_KEY``.
            url: The service. Default: the environment variable ``SPEECHMATICS_RT_URL``, or else the EU
                service.
            conn_config: Timeouts, limits, TLS and proxy.
            resume: Replace a lost connection without losing a word: True, or a :class:`ResumePolicy`.
            sdk_identifier: The value of ``sm-sdk`` in the URL's query.
            app: The value of ``sm-app``: the name of your application in the service's usage figures.
            keep_transcript: How many of the latest seconds of the transcript to keep; None keeps all.
            handler_errors: ``"log"`` logs an exception raised by a handler, ``"raise"`` raises it.
        """
        super().__init__(handler_errors=handler_errors)
        self._auth = AwaitedAuth.of(auth)
        self._behind = self._kind(
            weakref.ref(self),
            self._auth or auth,
            api_key=api_key,
            url=url,
            conn_config=conn_config,
            sdk_identifier=sdk_identifier,
            app=app,
            resume=resume,
            keep_transcript=keep_transcript,
        )
        self._dispatcher: Optional[Dispatcher] = None

    # -- the session ---------------------------------------------------------------------------------

    async def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """End the audio, and wait for the rest of the transcript and for all handlers.

        In a handler, or in the body of an ``async for`` over ``stream()``, it returns at once, and messages
        are delivered until the transcript is complete; see :class:`AsyncBaseClient` for tasks begun there. In
        those of another client it waits, unless the handlers here wait for that one's session to end.
        Arguments and errors are those of :meth:`BaseClient.stop_session`.
        """
        timeout = checked("timeout", timeout, SECONDS)
        session = self._behind._session
        if session is None:
            return
        await self._end_if_stranded()
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        try:
            await self._end(session, deadline, self._behind._stop, session, timeout, deadline)
        except asyncio.CancelledError:
            await in_thread(session.close)
            raise

    async def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message of the protocol. Raises the errors of :meth:`BaseClient.send_message`."""
        sent = self._behind._sendable(message)
        await self._in_turn(self._behind._running().send, sent)

    async def update_config(
        self,
        *,
        max_delay: Optional[float] = None,
        max_delay_mode: Optional[Literal["flexible", "fixed"]] = None,
        enable_partials: Optional[bool] = None,
        audio_filtering_config: Optional[Mapping[str, Any]] = None,
        conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None,
        **more: Any,
    ) -> None:
        """Change settings of the running session; see :meth:`BaseClient.update_config`."""
        session, message = self._behind._changed(
            max_delay=max_delay,
            max_delay_mode=max_delay_mode,
            enable_partials=enable_partials,
            audio_filtering_config=audio_filtering_config,
            conversation_config=conversation_config,
            **more,
        )
        await self._in_turn(session.send, message)

    @overload
    async def get_speakers(
        self, *, final: Literal[False] = ..., wait: Literal[True] = ..., timeout: Optional[float] = ...
    ) -> messages.SpeakersResultMessage: ...
    @overload
    async def get_speakers(
        self, *, final: bool = ..., wait: bool = ..., timeout: Optional[float] = ...
    ) -> Optional[messages.SpeakersResultMessage]: ...
    async def get_speakers(
        self, *, final: bool = False, wait: bool = True, timeout: Optional[float] = 10.0
    ) -> Optional[messages.SpeakersResultMessage]:
        """Ask for the identifiers of the speakers, and return them; see :meth:`BaseClient.get_speakers`."""
        session, message = self._behind._speakers_asked(final, wait, timeout)
        if final or not wait:
            await self._in_turn(session.send, message)
            return None
        answer = Answer(session.turns.answers, message)
        result: messages.SpeakersResultMessage = await self._ask(session, answer, timeout)
        return result

    def request_stop(self) -> None:
        """Ask the session to end, without waiting. Safe anywhere, as in ``loop.add_signal_handler``."""
        self._behind.request_stop()

    async def close(self) -> None:
        """End the session now; any transcript still to come is lost. The client can start another session."""
        await in_thread(self._behind.close)

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        session, leave = self._behind._session, self._behind.__exit__
        try:
            await self._end_if_stranded()
            if exc_type is not None or session is None or session.delivery.streamed:
                await in_thread(leave, exc_type, None, None)
            elif not await self._end(session, float("inf"), leave, exc_type, None, None):
                return
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._dispatcher is not None and self._dispatcher.session.delivery.over.is_set():
            await self._dispatcher.tell()  # SessionEnded, of a stream that was dropped

    def __repr__(self) -> str:
        return repr(self._behind).replace(type(self._behind).__name__, type(self).__name__, 1)

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, NO_PICKLE)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> str:
        """The client's id of the current or last session, or else of the next; sent as ``X-Request-Id``."""
        return self._behind.request_id

    @property
    def session_id(self) -> Optional[str]:
        """The service's id of the current or last session."""
        return self._behind.session_id

    @property
    def is_connected(self) -> bool:
        """Whether a session is open."""
        return self._behind.is_connected

    @property
    def audio_bytes_sent(self) -> int:
        """Bytes of audio sent in the current or last session."""
        return self._behind.audio_bytes_sent

    @property
    def stats(self) -> SessionStats:
        """Figures of the current or last session."""
        return self._behind.stats

    @property
    def transcript(self) -> Transcript:
        """The transcript so far of the current or last session."""
        return self._behind.transcript

    # -- inside --------------------------------------------------------------------------------------

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        return self._behind._log_to(logger)

    def _request(self, source: Any, options: Mapping[str, Any]) -> SessionRequest:
        """Check the options of a call that opens its session later, which has them as they are now."""
        request = self._behind._request(source, options)
        if request.given_format is not None:  # else that is found out when the source is opened
            self._behind._connector.check(request)
        return request

    async def _start(self, **options: Any) -> None:
        """Start a session by hand, and a task of this loop that delivers its messages.

        Waits for the handlers of RecognitionStarted without a deadline: they are the caller's code, and the
        caller can cancel this.
        """
        session = await self._open(CallOfLoop(self._behind), self._behind._start_session, **options)
        self._dispatcher = dispatcher = Dispatcher(session, self)
        dispatcher.task = asyncio.ensure_future(listen(dispatcher, interest_of(self._behind)))
        try:
            await dispatcher.begun.wait()
        except asyncio.CancelledError:
            await in_thread(session.close)
            raise

    async def _open(self, call: CallOfLoop, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """Open a session; if that fails, handlers still get the messages of the server.

        Args:
            call: What opens it.
            function: Does so, on a thread of its own; it gets the call first.
        """
        dispatcher = self._dispatcher
        if self._auth is not None:
            self._auth.loop = asyncio.get_running_loop()
        await self._end_if_stranded()
        if dispatcher is not None and dispatcher.session.delivery.over.is_set():
            await dispatcher.tell()  # SessionEnded, of a stream that was dropped
        elif dispatcher is not None and dispatcher.session.ending.complete and self._delivers_here():
            dispatcher.session.delivery.ends_here()  # the last message was taken by a task of its own
        try:
            await in_thread(call.open_session, function, *args, **options)
            opened: _T = call.opened[0]
            return opened  # noqa: TRY300  # what keeps it is emptied below
        except SpeechmaticsError:
            await call.tell(self, call.unheard)
            raise
        except asyncio.CancelledError:
            call.cancelled = True  # first: that thread notes what it has opened, and looks here
            try:
                await in_thread(call.cancel)
            finally:
                if call.taken:
                    await call.tell(self, [session_ended(None)])
            raise
        finally:
            call.leave()
            if not call.cancelled:
                call.opened.clear()
            call.unheard.clear()  # the error in them has this frame

    async def _end_if_stranded(self) -> None:
        if self._dispatcher is not None:
            await self._dispatcher.end_if_stranded()

    def _delivers_here(self) -> bool:
        """Whether the next message of the current session waits for this code."""
        return self._dispatcher is not None and self._dispatcher.runs_here

    async def _waits_here(self, session: Session, timeout: Optional[float]) -> bool:
        """Whether this code must not wait for messages of a session, as they wait for it."""
        line = self._line(session)
        if line is not None and line.is_left:
            return True
        return await within(session.delivery, PATIENCE if timeout is None else min(timeout, PATIENCE))

    async def _ask(self, session: Session, answer: Answer, timeout: Optional[float]) -> Any:
        """Send a question and wait for its answer, which a task of the loop delivers."""
        began = time.monotonic()
        if await self._waits_here(session, timeout):
            raise waits_for_itself(answer.question)
        left = None if timeout is None else timeout - (time.monotonic() - began)
        with answer, waiting(session.delivery, rounds_here()) as may_wait:
            if not may_wait:
                raise waits_for_itself(answer.question)
            try:
                await self._in_turn(session.send, answer.question)
                await in_thread(answer.over.wait, left)
            except asyncio.CancelledError:
                answer.over.set()  # for the thread that waits
                raise
        return answer.result(timeout, session.ending)

    async def _finalize(
        self, timestamp: Optional[float], timeout: Optional[float], channel: Optional[str] = None
    ) -> Optional[Utterance]:
        session, said = self._behind._said(timestamp, timeout, channel)
        utterance: Optional[Utterance] = await self._ask(session, said, timeout)
        return utterance

    async def _send_audio(self, payload: BytesLike, channel: Optional[str] = None) -> None:
        session = self._behind._running()
        payload = check_chunk(payload, session.audio_format, channel=channel)
        try:
            line = self._line(session)
            sent = (line is None or line.sends_at_once) and session.send_audio(
                payload, channel=channel, wait=False
            )
        except SpeechmaticsError as exc:
            if self._dispatcher is not None and not self._delivers_here():
                await in_thread(session.hear_out, exc)
            raise
        if sent:
            await asyncio.sleep(0)  # so that sending in a loop does not starve the event loop
        else:
            # A copy, since the caller may fill its buffer with something else once this is cancelled.
            await self._in_turn(session.send_audio, bytes(payload), channel=channel)

    def _line(self, session: Session) -> Optional[Dispatcher]:
        """Return what knows the order in which a session's messages are to be sent."""
        dispatcher = self._dispatcher
        return dispatcher if dispatcher is not None and dispatcher.session is session else None

    async def _in_turn(self, function: Callable[..., object], *args: Any, **options: Any) -> None:
        """Send something that may have to wait for room, after whatever already waits.

        If this is cancelled, a thread is left behind that waits with the chunk; it keeps its turn until the
        chunk is sent, since neither later audio nor the end of the audio must overtake it.
        """
        session = self._behind._running()
        line = self._line(session)

        async def send() -> None:
            await in_thread(function, *args, **options)

        def note(sending: asyncio.Future[None]) -> None:
            if not sending.cancelled() and sending.exception() is not None:
                session.log.info("what a cancelled call was sending was not sent: %s", sending.exception())

        sending = asyncio.ensure_future(send()) if line is None else line.send_in_turn(send)
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            sending.add_done_callback(note)  # nobody else asks how it went
            raise
        finally:
            del sending  # it holds its error, whose traceback has this frame

    async def _end(self, session: Session, deadline: float, wait: Callable[..., object], *args: Any) -> bool:
        """End the audio, and wait for the rest on a thread; not if that waits for this code: then False."""
        ending = self._end_in_turn(session)
        if await self._waits_here(session, deadline - time.monotonic()):
            return False
        with waiting(session.delivery, rounds_here()) as may_wait:
            if may_wait:
                if ending is not None:
                    left = max(0.0, deadline - time.monotonic())
                    await asyncio.wait([ending], timeout=None if left == float("inf") else left)
                await in_thread(wait, *args)
        return may_wait

    def _end_in_turn(self, session: Session) -> Optional[asyncio.Future[None]]:
        """End the audio, after whatever waits to be sent: at once, or by the task that is returned."""
        line = self._line(session)
        if line is None or line.sends_at_once:
            session.connection.end_stream()
            return None

        async def end() -> None:
            session.connection.end_stream()

        return line.send_in_turn(end)
