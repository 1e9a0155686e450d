"""The asyncio face: the same clients, for code that has an event loop.

Nothing of the protocol is here. A blocking client with its threads does the work behind each of these:
calls that may block run on a thread of their own, messages are taken and handled on the event loop. So a
slow handler holds up the loop, as in any asyncio program, but never the reader: pings are answered, and
the window and ``max_queue`` hold as they do in the blocking clients.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Literal, NoReturn, Optional, TypeVar, Union

from ..config import FLAG, Caller, ConnectionConfig, ConversationConfig, ResumePolicy, checked
from ..events import EVENTS
from ..exceptions import SpeechmaticsError, no_pickle
from ..log import SessionLog
from ..session import (
    NO_PICKLE,
    SECONDS,
    UNSET,
    SessionOptions,
    SourceOptions,
    check_label,
    check_timestamp,
    session_ended,
    spelled_out,
    with_turns,
)
from ..stats import SessionStats
from ..transcript import Transcript, Utterance
from .asking import AsyncAsking
from .bridge import AwaitedAuth, in_thread, is_coroutine_method
from .core import BlockingCore, SeveralCore, SingleCore
from .dispatch import AsyncEmitter, Dispatcher, listen
from .stream import AsyncMessageStream
from .utterances import AsyncUtteranceStream

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncClient", "AsyncMultiChannelClient"]

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="_AsyncBase")
_Payload = Union[bytes, bytearray, memoryview]


class _AsyncBase(AsyncAsking, AsyncEmitter):
    """What both clients share. Its methods belong to one event loop at a time.

    Handlers run on the loop, one at a time, in the order of registration. They may be plain functions, or
    coroutine functions, which are awaited before the next handler runs. Cancelling a call that opens,
    streams or ends a session closes that session.
    """

    _kind: type[BlockingCore]
    _known = EVENTS

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
        """Keep the options; nothing is opened yet.

        Args:
            auth: How to authenticate; its ``get_auth_headers`` may be a coroutine function.
            api_key: The API key; the variable ``SPEECHMATICS_API_KEY`` without it.
            url: The service; ``SPEECHMATICS_RT_URL`` or the EU service without it.
            conn_config: Timeouts, limits, TLS and proxy.
            resume: Go on over a new connection when one is lost: True, or a :class:`ResumePolicy`.
            sdk_identifier: What to say as ``sm-sdk`` in the URL's query.
            app: What to say as ``sm-app``: your application, in the service's figures of usage.
            keep_transcript: How many seconds of the transcript to keep, the latest; None keeps all.
            handler_errors: ``"log"`` an exception of a handler, or ``"raise"`` it.
        """
        super().__init__(handler_errors=handler_errors)
        self._auth = AwaitedAuth(auth) if is_coroutine_method(auth, "get_auth_headers") else None
        # Untyped here: what is sent, and how, differs between the two.
        self._client: Any = self._kind(
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
        self._turn: Optional[asyncio.Lock] = None  # to send; made in the loop, as Python 3.9 binds it there

    # -- the session ---------------------------------------------------------------------------------

    async def stop_session(self, *, timeout: Optional[float] = None) -> None:
        """Say that all audio is sent, and wait for the rest of the transcript and for all handlers.

        In a handler, or in the body of an ``async for`` over ``stream()``, it returns at once and the
        delivery runs on to the end of the transcript. Arguments and errors as
        :meth:`BaseClient.stop_session`.
        """
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.runs_on(asyncio.current_task()):
            dispatcher.session.connection.end_stream()
        else:
            await self._call(self._client.stop_session, timeout=timeout)

    async def send_message(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message of the protocol. Raises as :meth:`BaseClient.send_message`."""
        await self._in_turn(self._client.send_message, message)

    async def update_config(
        self,
        *,
        max_delay: Optional[float] = None,
        max_delay_mode: Optional[str] = None,
        enable_partials: Optional[bool] = None,
        audio_filtering_config: Optional[Mapping[str, Any]] = None,
        conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None,
        **more: Any,
    ) -> None:
        """Change settings of the running session, as :meth:`BaseClient.update_config`."""
        self._behind.caller = Caller.find()
        await self._in_turn(
            self._client.update_config,
            max_delay=max_delay,
            max_delay_mode=max_delay_mode,
            enable_partials=enable_partials,
            audio_filtering_config=audio_filtering_config,
            conversation_config=conversation_config,
            **more,
        )

    def request_stop(self) -> None:
        """Ask the session to end, without waiting; for ``loop.add_signal_handler``, and safe anywhere."""
        self._client.request_stop()

    async def close(self) -> None:
        """End the session now; what had not arrived is lost. The client may start another one."""
        await in_thread(self._client.close)

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(self, exc_type: Optional[type[BaseException]], *_: object) -> None:
        await self._call(self._client.__exit__, exc_type, None, None)
        if self._dispatcher is not None and self._dispatcher.session.delivered.is_set():
            await self._dispatcher.tell()  # of the end of a stream that was dropped

    async def _tell_late(self) -> None:
        """Tell of the end of a stream whose loop was left."""
        dispatcher = self._dispatcher
        if (
            dispatcher is not None
            and dispatcher.session.streamed
            and not dispatcher.session.connection.is_open
        ):
            await dispatcher.tell()

    def __repr__(self) -> str:
        return repr(self._client).replace(type(self._client).__name__, type(self).__name__, 1)

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, NO_PICKLE)

    # -- what is known -------------------------------------------------------------------------------

    @property
    def request_id(self) -> str:
        """Our id of the present or last session, or of the one to come; sent as ``X-Request-Id``."""
        return self._behind.request_id

    @property
    def session_id(self) -> Optional[str]:
        """The service's id of the present or last session."""
        return self._behind.session_id

    @property
    def is_connected(self) -> bool:
        return self._behind.is_connected

    @property
    def audio_bytes_sent(self) -> int:
        return self._behind.audio_bytes_sent

    @property
    def stats(self) -> SessionStats:
        """Figures of the present or last session."""
        return self._behind.stats

    @property
    def transcript(self) -> Transcript:
        """What the present or last session has heard so far."""
        return self._behind.transcript

    # -- inside --------------------------------------------------------------------------------------

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        return self._behind._log_to(logger)

    async def _start(self, **options: Any) -> None:
        """Start a session by hand; a task of this loop delivers its messages, those of the start at once.

        Waits for the handlers of RecognitionStarted without a limit of its own: they are the caller's.
        """
        await self._open(self._client.start_session, **options)
        self._dispatcher = dispatcher = Dispatcher(self._behind._running(), self)
        dispatcher.task = asyncio.ensure_future(listen(dispatcher))
        try:
            await dispatcher.begun.wait()
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _open(self, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """Open a session; if that fails, handlers hear what the server said."""
        if self._auth is not None:
            self._auth.loop = asyncio.get_running_loop()
        if self._dispatcher is not None and self._dispatcher.session.delivered.is_set():
            await self._dispatcher.tell()  # of the end of a stream that was dropped
        self._behind.unheard = []
        self._behind.caller, self._behind.loop_thread = Caller.find(), threading.get_ident()
        try:
            opened = await self._call(function, *args, **options)
        except SpeechmaticsError:
            for message in self._behind.unheard:
                await self.deliver(message)
            raise
        except asyncio.CancelledError:
            await self.deliver(session_ended(None))
            raise
        self._turn = asyncio.Lock()  # now: a call that is refused leaves that of the running session alone
        return opened

    async def _call(self, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """Call a function that may block; close the session if that is cancelled."""
        given_up = False
        results: list[_T] = []  # kept until the session is closed: a stream that is dropped earlier warns

        def call() -> _T:
            result = function(*args, **options)
            results.append(result)
            if given_up:  # it opened a session after all, when close() had found none yet
                self._behind.close()
            return result

        try:
            return await in_thread(call)
        except asyncio.CancelledError:
            given_up = True
            await self.close()
            raise
        finally:
            results.clear()

    async def _send_audio(self, payload: _Payload, channel: Optional[str] = None) -> None:
        session, dispatcher = self._behind._running(), self._dispatcher
        waiting = self._turn is not None and self._turn.locked()
        try:
            sent = not waiting and session.send_audio(payload, channel=channel, wait=False)
        except SpeechmaticsError as exc:
            if dispatcher is not None and not dispatcher.runs_on(asyncio.current_task()):
                await in_thread(session.hear_out, exc)
            raise
        if sent:
            await asyncio.sleep(0)  # who sends in a loop must not keep the event loop to itself
        else:
            await self._in_turn(session.send_audio, payload, channel=channel)

    async def _in_turn(self, function: Callable[..., object], *args: Any, **options: Any) -> None:
        """Send what may have to wait for room, after what waits already.

        A sender that is cancelled leaves a thread behind that waits with the chunk in its hands; the turn
        stays taken until that has gone out, since later audio must not overtake it.
        """
        self._behind._running()

        async def send() -> None:
            async with self._turn or asyncio.Lock():
                await in_thread(function, *args, **options)

        await asyncio.shield(send())


class AsyncClient(_AsyncBase):
    """Transcribe one stream of audio, in an event loop.

    Arguments as for :class:`Client`; ``get_auth_headers`` of ``auth`` may also be a coroutine function.

    Example:
        >>> import asyncio
        >>> from speechmatics_rt import AudioFormat
        >>> from speechmatics_rt.local import LocalServer
        >>> async def main(url):
        ...     async with AsyncClient(url=url) as client:
        ...         return await client.transcribe(bytes(32000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> with LocalServer() as server:
        ...     transcript = asyncio.run(main(server.url))
        >>> transcript.words[0].content
        'Good'
    """

    _kind = SingleCore

    @spelled_out
    async def start_session(self, **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; return when audio may be sent and the start has been handled.

        That is when the handlers of ``RecognitionStarted``, and of an ``Info`` or ``Warning`` before it, have
        run. Arguments and errors as :meth:`Client.start_session`.
        """
        await self._start(**options)

    @spelled_out
    async def transcribe(self, source: Any, **options: Unpack[SourceOptions]) -> Transcript:
        """Send a whole source and return its transcript.

        Args:
            source: As for :meth:`Client.transcribe`, where reading may block; also an object with
                ``async def read(n)``, or an asynchronous iterable of bytes.
            **options: As for :meth:`Client.transcribe`, whose errors are raised.
        """
        return await self.stream(source, **options).finish()

    @spelled_out
    def stream(self, source: Any, **options: Unpack[SourceOptions]) -> AsyncMessageStream:
        """Return the messages of a session as an asynchronous iterator; it opens when entered or iterated.

        Arguments and errors as :meth:`transcribe`.
        """
        return AsyncMessageStream(self, source, options)

    async def send_audio(self, payload: _Payload) -> None:
        """Send one chunk of audio; waits while the server is too far behind.

        If it is cancelled while it waits, the chunk still goes out. Raises as :meth:`Client.send_audio`.
        """
        await self._send_audio(payload)

    async def force_end_of_utterance(self, *, timestamp: Optional[float] = UNSET) -> None:
        """End the utterance now. As :meth:`Client.force_end_of_utterance`."""
        check_timestamp(timestamp)
        await self._in_turn(self._client.force_end_of_utterance, timestamp=timestamp)

    async def finalize(
        self, *, timestamp: Optional[float] = UNSET, timeout: Optional[float] = 5.0
    ) -> Optional[Utterance]:
        """End the utterance now, and return it when it is final. As :meth:`Client.finalize`."""
        check_timestamp(timestamp)
        checked("timeout", timeout, SECONDS)
        session = self._behind._running()
        return await self._finalize(session, self._client._forced(session, timestamp), None, timeout)

    @spelled_out
    def utterances(
        self, source: Any, *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> AsyncUtteranceStream:
        """Return what is said as an asynchronous iterator of utterances. As :meth:`Client.utterances`."""
        FLAG("partials", partials)
        messages = AsyncMessageStream(self, source, with_turns(options, partials=partials))
        return AsyncUtteranceStream(messages, partials=partials)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the present or last session; 0 for format ``file``."""
        seconds: float = self._client.audio_seconds_sent
        return seconds


class AsyncMultiChannelClient(_AsyncBase):
    """Transcribe several sources at once, each on a channel of its own, in an event loop.

    Arguments as for :class:`AsyncClient`, channels and labels as for :class:`MultiChannelClient`.

    Example:
        >>> import asyncio
        >>> from speechmatics_rt import AudioFormat
        >>> from speechmatics_rt.local import LocalServer
        >>> calls = {"caller": bytes(96000), "agent": bytes(64000)}
        >>> async def main(url):
        ...     async with AsyncMultiChannelClient(url=url) as client:
        ...         return await client.transcribe(calls, audio_format=AudioFormat("pcm_s16le", 16000))
        >>> with LocalServer() as server:
        ...     transcript = asyncio.run(main(server.url))
        >>> sorted({word.channel for word in transcript.words})
        ['agent', 'caller']
    """

    _kind = SeveralCore

    @spelled_out
    async def start_session(self, *, channels: Sequence[str], **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition. As :meth:`MultiChannelClient.start_session`."""
        await self._start(channels=channels, **options)

    @spelled_out
    async def transcribe(self, sources: Mapping[str, Any], **options: Unpack[SourceOptions]) -> Transcript:
        """Send all sources to their ends and return the transcript.

        Args:
            sources: A source for each label; see :meth:`AsyncClient.transcribe` for what it may be.
            **options: As for :meth:`Client.transcribe`, whose errors are raised.
        """
        return await self.stream(sources, **options).finish()

    @spelled_out
    def stream(self, sources: Mapping[str, Any], **options: Unpack[SourceOptions]) -> AsyncMessageStream:
        """Return the messages of a session as an asynchronous iterator. As :meth:`AsyncClient.stream`."""
        return AsyncMessageStream(self, sources, options)

    async def send_audio(self, channel: str, payload: _Payload) -> None:
        """Send one chunk of audio on a channel. As :meth:`AsyncClient.send_audio`."""
        check_label(channel)
        await self._send_audio(payload, channel)

    async def end_channel(self, channel: str) -> None:
        """Say that a channel has ended. As :meth:`MultiChannelClient.end_channel`."""
        await self._in_turn(self._client.end_channel, channel)

    async def force_end_of_utterance(
        self, *, channel: Optional[str] = None, timestamp: Optional[float] = UNSET
    ) -> None:
        """End the utterance of a channel now. As :meth:`MultiChannelClient.force_end_of_utterance`."""
        check_timestamp(timestamp)
        await self._in_turn(self._client.force_end_of_utterance, channel=channel, timestamp=timestamp)

    async def finalize(
        self,
        *,
        channel: Optional[str] = None,
        timestamp: Optional[float] = UNSET,
        timeout: Optional[float] = 5.0,
    ) -> Optional[Utterance]:
        """End the utterance of a channel now, and return it when it is final. As :meth:`Client.finalize`."""
        checked("timeout", timeout, SECONDS)
        session, message = self._client._forced(channel, timestamp)
        return await self._finalize(session, message, channel, timeout)

    @spelled_out
    def utterances(
        self, sources: Mapping[str, Any], *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> AsyncUtteranceStream:
        """Return what is said as an asynchronous iterator of utterances. As :meth:`Client.utterances`."""
        FLAG("partials", partials)
        messages = AsyncMessageStream(self, sources, with_turns(options, partials=partials))
        return AsyncUtteranceStream(messages, partials=partials)
