"""What belongs to one session: its connection, its transcript, its figures, its outcome."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ..audio import Block, check_chunk
from ..config import AudioFormat
from ..events import EventEmitter
from ..exceptions import SessionError, SpeechmaticsError, without_frames
from ..locks import new_lock
from ..log import SessionLog
from ..network import Latch, Link
from ..protocol import Glance
from ..stats import Latency, SessionStats
from ..transcript import Transcript
from .latency import Meter
from .unread import Unread

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_GRACE = 0.5  # seconds for a read of a source that is under way when its session has ended


class Session:
    """What belongs to one session: its connection, its transcript, and whether all of it was delivered.

    One thread delivers: the caller's in ``stream()`` and ``transcribe()``, the listener's after
    ``start_session()``. ``delivered`` is set when it has run its last handler. ``_meter_lock`` guards the
    meter, to which senders and that thread both tell what they did, and nothing else is done under it.
    """

    def __init__(
        self,
        connection: Link,
        start: dict[str, Any],
        audio_format: AudioFormat,
        log: SessionLog,
        *,
        streamed: bool,
        keep_transcript: Optional[float] = None,
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
        self.transcript = Transcript(keep=keep_transcript)
        self._unread = Unread()
        self._read_late = self._unread.results  # once: it is kept with each transcript
        self._meter_lock = new_lock()
        self._meter = Meter()
        self.delivering: Optional[int] = threading.get_ident()  # the thread that runs the handlers
        self.delivered = Latch()
        self.failure: Optional[SpeechmaticsError] = None
        self.handler_failure: Optional[BaseException] = None
        self.failure_seen = False
        self.orphaned = False  # the listener found its client gone
        self.closed = False  # by close(): nobody waits for its handlers
        self.handling = False  # the delivering thread is in a handler
        self.entered = False  # by a `with`, which will close it
        self.senders: list[threading.Thread] = []  # that read the caller's sources
        self._source_failure: Optional[SpeechmaticsError] = None

    @property
    def over(self) -> bool:
        """Whether another session may start: this one has ended, and runs no handlers of ours any more."""
        if self.connection.is_open:
            return False
        return self.closed or self.delivered.is_set() or self.delivering == threading.get_ident()

    @property
    def left(self) -> bool:
        """Whether it is a stream whose own thread does something else: its loop was left, or interrupted.

        Not always can that be seen: where a traceback is kept, as in a notebook, the stream lives on with it.
        """
        here = self.delivering == threading.get_ident() and not self.handling
        return self.streamed and here and not self.entered

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
            self.annotate(exc)
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
            self.annotate(exc)
            raise

    def check_closed(self) -> None:
        """Raise SessionError if there is a message to be handled and ``close()`` came before it."""
        if self.closed:
            raise SessionError("the session was closed while messages of it were waiting to be handled")

    def deliver(
        self, message: Optional[dict[str, Any]], emitter: EventEmitter, seen: Optional[Glance] = None
    ) -> None:
        """Hand one message to the transcript and to its handlers, on this thread; see :class:`Arrived`."""
        self.take_in(message, seen)
        if message is None:
            return
        self.handling = True
        try:
            emitter.emit(message["message"], message)
        finally:
            self.handling = False

    def take_in(self, message: Optional[dict[str, Any]], seen: Optional[Glance] = None) -> None:
        """Put one message, which the handlers are about to get, into the transcript and the figures."""
        if seen is not None:
            self.transcript.add_unread(
                seen.kind, seen.payload, self._read_late, empty=seen.empty, end_time=seen.end_time
            )
            with self._meter_lock:
                self._meter.heard(seen.kind, None, seen.last_end, seen.end_time, time.monotonic())
        elif message is not None:
            self.transcript.add(message)
            with self._meter_lock:
                self._meter.received(message, time.monotonic())

    def stats(self) -> SessionStats:
        """Give the figures, up to this moment."""
        figures = self.connection.stats()
        with self._meter_lock:
            lag, partials, finals = self._meter.lag, self._meter.partials, self._meter.finals
        return replace(
            figures,
            messages_skipped=figures.messages_skipped + self._unread.skipped,
            seconds_transcribed=self.transcript.end_time,
            lag=lag,
            partial_latency=Latency.of(partials),
            final_latency=Latency.of(finals),
        )

    def source_failed(self, error: SpeechmaticsError) -> None:
        """End the audio where its source failed: what was sent is still transcribed, and then this raised."""
        if not self.connection.draining:  # else the server's Error, or an end that was asked for, came first
            self._source_failure = error
            self.connection.end_stream()

    def conclude(self, failure: Optional[SpeechmaticsError] = None, deadline: float = float("inf")) -> None:
        """Close the connection, and give the caller back what is his: his source is read no more.

        Waits ``_GRACE`` seconds for a read that is under way, whatever ``deadline`` (monotonic), which is
        for the close frame: with the read would go what the caller's next attempt should send.
        """
        try:
            self.connection.close(deadline)
            if self._is_source_read():
                text = "an audio source is still being read, and what it gives next is lost"
                self.log.warning(text)
                if failure is not None:
                    failure.args = (f"{failure.text}; {text}",)
        finally:
            self.end(failure)

    def _is_source_read(self) -> bool:
        """Wait for the threads that read sources; True if one stays."""
        patience = time.monotonic() + _GRACE
        for thread in self.senders:
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(max(0.0, patience - time.monotonic()))
        return any(thread.is_alive() and thread is not threading.current_thread() for thread in self.senders)

    def end(self, failure: Optional[SpeechmaticsError] = None) -> None:
        """Note that nothing more will be delivered."""
        failure = self._source_failure or failure  # the first cause wins
        if self.failure is None and failure is not None:
            self.failure = copy.copy(failure)  # a copy has no traceback, which would keep a caller's frames
            self.failure.__cause__ = failure.__cause__
        self.delivered.set()

    def handler_failed(self, error: Exception) -> None:
        """Keep the first error of a handler for ``stop_session()``; its traceback goes to the log."""
        if self.handler_failure is None:
            self.log.error("a handler failed; stop_session() raises it", exc_info=error)
            self.handler_failure = without_frames(error)

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Complete an error that is about to reach the caller: what was heard until then, and the ids."""
        error.transcript = self.transcript
        error.request_id = self.log.request_id
        error.session_id = self.connection.session_id
        self.failure_seen |= not self.connection.is_open
        return error

    def raise_failure(self, caught: Optional[SpeechmaticsError] = None) -> None:
        """Raise what ended it, if it failed; ``caught``, which was just raised, itself if it is that."""
        if caught is not None and self._source_failure is None:
            raise self.annotate(caught)
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        if self.handler_failure is not None:
            failure, self.handler_failure = self.handler_failure, None
            raise failure
