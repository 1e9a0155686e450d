"""One session as its client sees it: a half that talks, a half that listens, and what was heard."""

from __future__ import annotations

import contextvars
import copy
import logging
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional, Union

from ..audio import Block, check_chunk
from ..config import AudioFormat
from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError, TimeoutError, without_frames
from ..log import SessionLog
from ..messages import ServerMessage
from ..network import Connection, Latch
from ..protocol import ACKNOWLEDGEMENTS, Arrival
from ..resume import ResumingConnection
from ..stats import Latency, SessionStats
from ..transcript import Transcript
from .latency import Meter

__all__ = ["Conversation", "MessageStream", "listen"]

logger = logging.getLogger(__name__)


class Conversation:
    """What belongs to one session: its connection, its transcript, and whether all of it was delivered.

    One thread delivers: the caller's in ``stream()`` and ``transcribe()``, the listener's after
    ``start_session()``. ``delivered`` is set when it has run its last handler. ``_meter_lock`` guards the
    meter, to which senders and that thread both tell what they did, and nothing else is done under it.
    """

    def __init__(
        self,
        connection: Union[Connection, ResumingConnection],
        start: dict[str, Any],
        audio_format: AudioFormat,
        log: SessionLog,
        *,
        streamed: bool,
    ) -> None:
        self.connection = connection
        self.start = start
        self.audio_format = audio_format
        self.bytes_per_second = (
            None
            if audio_format.encoding is None
            else audio_format.bytes_per_sample * audio_format.sample_rate
        )
        self.log = log.on(logger)
        self.streamed = streamed  # delivered by a MessageStream, not by a listener
        self.transcript = Transcript()
        self._meter_lock = threading.Lock()
        self._meter = Meter()
        self.delivering: Optional[int] = threading.get_ident()  # the thread that runs the handlers
        self.delivered = Latch()
        self.failure: Optional[SpeechmaticsError] = None
        self.handler_failure: Optional[BaseException] = None
        self.failure_seen = False
        self.orphaned = False  # the listener found its client gone
        self.closed = False  # by close(): nobody waits for its handlers

    @property
    def over(self) -> bool:
        """Whether another session may start: this one has ended, and runs no handlers of ours any more."""
        if self.connection.is_open:
            return False
        return self.closed or self.delivered.is_set() or self.delivering == threading.get_ident()

    def seconds(self, size: int) -> float:
        """Return how long ``size`` bytes of audio sound; 0 where that can't be known (format ``file``)."""
        return size / self.bytes_per_second if self.bytes_per_second else 0.0

    def send_audio(self, payload: Block, *, channel: Optional[str] = None, wait: bool = True) -> bool:
        """Send a caller's chunk, checked; False if ``wait`` is false and there is no room for it now."""
        payload = check_chunk(payload, self.audio_format, channel=channel)
        seconds = self.seconds(len(payload))
        try:
            sent = self.connection.send_audio(payload, channel=channel, seconds=seconds, wait=wait)
        except SpeechmaticsError as exc:
            self.told(exc)
            raise
        if sent:
            self._sent(channel, seconds)
        return sent

    def feed(self, chunk: Block, channel: Optional[str]) -> None:
        """Send a chunk of a source, as far as the receiver keeps up."""
        seconds = self.seconds(len(chunk))
        self.connection.send_audio(chunk, channel=channel, seconds=seconds, feeding=True)
        self._sent(channel, seconds)

    def _sent(self, channel: Optional[str], seconds: float) -> None:
        with self._meter_lock:
            self._meter.sent(channel, seconds, time.monotonic())

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a caller's message."""
        try:
            self.connection.send(message)
        except SpeechmaticsError as exc:
            self.told(exc)
            raise

    def deliver(self, message: dict[str, Any], emitter: EventEmitter) -> None:
        """Hand one message to the transcript and to its handlers, on this thread."""
        if self.closed:
            return
        self.hear(message)
        emitter.emit(message["message"], message)

    def hear(self, message: dict[str, Any]) -> None:
        """Put one message, of which the handlers are about to hear, into the transcript and the figures."""
        self.transcript.add(message)
        with self._meter_lock:
            self._meter.heard(message, time.monotonic())

    def stats(self) -> SessionStats:
        """Give the figures, up to this moment."""
        figures = self.connection.stats()
        with self._meter_lock:
            lag, partials, finals = self._meter.lag, self._meter.partials, self._meter.finals
        return replace(
            figures,
            seconds_transcribed=self.transcript.end_time,
            lag=lag,
            partial_latency=Latency.of(partials),
            final_latency=Latency.of(finals),
        )

    def end(self, failure: Optional[SpeechmaticsError] = None) -> None:
        """Note that nothing more will be delivered."""
        if self.failure is None and failure is not None:
            self.failure = copy.copy(failure)  # a copy has no traceback, which would keep a caller's frames
            self.failure.__cause__ = failure.__cause__
        self.delivered.set()

    def handler_failed(self, error: Exception) -> None:
        """Keep the first error of a handler for ``stop_session()``; its traceback goes to the log."""
        if self.handler_failure is None:
            self.log.error("a handler failed; stop_session() raises it", exc_info=error)
            self.handler_failure = without_frames(error)

    def told(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Complete an error that is about to reach the caller: what was heard until then, and the ids."""
        error.transcript = self.transcript
        error.request_id = self.log.request_id
        error.session_id = self.connection.session_id
        self.failure_seen |= not self.connection.is_open
        return error

    def raise_failure(self) -> None:
        """Raise what ended it, if it failed."""
        if self.failure is not None:
            raise self.told(copy.copy(self.failure)) from self.failure.__cause__
        if self.handler_failure is not None:
            failure, self.handler_failure = self.handler_failure, None
            raise failure


class MessageStream:
    """The messages of one session, as an iterator: ``for message in client.stream(file)``.

    Each message is delivered to its handlers first, on the thread that iterates, and then returned. All
    server messages come but the acknowledgements of audio. The iteration ends after ``EndOfTranscript``
    and raises what went wrong, with ``transcript`` holding what was heard.

    Leaving it unfinished ends the session: by ``close()``, by ``with``, or by dropping the stream.

    Attributes:
        transcript: What was heard so far; complete when the iteration has ended.
    """

    # An object rather than a generator: a generator that is dropped while it waits can't be closed from
    # its finaliser, and one that was never started wouldn't run its cleanup at all.

    def __init__(
        self,
        conversation: Conversation,
        client: EventEmitter,
        *,
        deadline: float = float("inf"),
        timeout: Optional[float] = None,
    ) -> None:
        self._conversation = conversation
        self._client = client
        self._deadline = deadline
        self._timeout = timeout
        self._batch: deque[Arrival] = deque()
        conversation.delivering = threading.get_ident()

    @property
    def transcript(self) -> Transcript:
        return self._conversation.transcript

    def __iter__(self) -> MessageStream:
        return self

    def __next__(self) -> ServerMessage:
        conversation = self._conversation
        if conversation.delivered.is_set():
            raise StopIteration
        conversation.delivering = threading.get_ident()
        while True:
            while self._batch:
                try:
                    message = conversation.connection.open(self._batch.popleft())
                except SpeechmaticsError as exc:
                    self._failed(exc)
                    raise
                if message is None:
                    continue
                kind = message["message"]  # a handler may do with its message what it likes
                conversation.deliver(message, self._client)
                if kind not in ACKNOWLEDGEMENTS:
                    return message  # type: ignore[return-value]  # what is in it is for the server to say
            self._batch.extend(self._receive())

    def _receive(self) -> list[Arrival]:
        """Wait for messages; end the stream when there are no more to come."""
        conversation = self._conversation
        try:
            batch = conversation.connection.receive(self._deadline)
            if batch is None:
                raise TimeoutError(
                    f"the transcription was not complete within {self._timeout:g} s",
                    stage="whole",
                    seconds=self._timeout,
                )
        except SpeechmaticsError as exc:
            self._failed(exc)
            raise
        if not batch:
            conversation.end()
            conversation.connection.close()
            raise StopIteration
        return batch

    def _failed(self, error: SpeechmaticsError) -> None:
        self._conversation.end(error)
        self._conversation.connection.close()
        self._conversation.told(error)

    def close(self) -> None:
        """End the session if it still runs; what had not arrived is lost."""
        self._batch.clear()
        try:
            self._conversation.connection.close()
        finally:
            self._conversation.end()

    def __enter__(self) -> MessageStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        conversation = getattr(self, "_conversation", None)
        if conversation is None or conversation.delivered.is_set():
            return
        conversation.end()
        conversation.connection.abandon()
        if not conversation.closed:
            text = f"a stream was dropped before its end; use 'with' or close(): {self!r}"
            warnings.warn(text, ResourceWarning, 2)


def listen(conversation: Conversation, client: EventEmitter) -> None:
    """Start the thread that delivers between ``start_session()`` and ``stop_session()``.

    It holds the client weakly between messages, so that a dropped client is collected.
    """
    connection, log = conversation.connection, conversation.log
    reference = weakref.ref(client)
    context = contextvars.copy_context()

    def deliver(batch: list[Arrival]) -> bool:
        emitter = reference()
        if emitter is None:
            conversation.orphaned = True
            return False
        for arrival in batch:
            message = connection.open(arrival)
            if message is None:
                continue
            try:
                conversation.deliver(message, emitter)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                conversation.handler_failed(exc)
        return True

    conversation.delivering = None

    def hear() -> None:
        conversation.delivering = threading.get_ident()
        failure: Optional[SpeechmaticsError] = None
        try:
            batch = connection.receive()
            while batch and deliver(batch):
                batch = connection.receive()
        except SpeechmaticsError as exc:
            failure = exc
            if not isinstance(exc, SessionError):
                log.error("the session failed: %s", exc.text)  # noqa: TRY400  # stop_session() raises it
        except BaseException as exc:  # SystemExit in a handler
            failure = SessionError(f"a handler ended the delivery: {exc!r}")
            connection.fail(failure, exc)
            raise
        finally:
            conversation.end(failure)
            connection.close()

    thread = threading.Thread(
        target=context.run, args=(hear,), name=f"speechmatics-rt-listener-{log.request_id}", daemon=True
    )
    thread.start()
