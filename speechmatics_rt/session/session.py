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
from ..exceptions import SpeechmaticsError, without_frames
from ..locks import new_lock
from ..log import SessionLog
from ..network import Latch, Link
from ..stats import Latency, SessionStats
from ..transcript import Transcript
from .latency import Meter

__all__ = ["Session"]

logger = logging.getLogger(__name__)


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
        self._meter_lock = new_lock()
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

    def deliver(self, message: dict[str, Any], emitter: EventEmitter) -> None:
        """Hand one message to the transcript and to its handlers, on this thread."""
        if self.closed:
            return
        self.take_in(message)
        emitter.emit(message["message"], message)

    def take_in(self, message: dict[str, Any]) -> None:
        """Put one message, which the handlers are about to get, into the transcript and the figures."""
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

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Complete an error that is about to reach the caller: what was heard until then, and the ids."""
        error.transcript = self.transcript
        error.request_id = self.log.request_id
        error.session_id = self.connection.session_id
        self.failure_seen |= not self.connection.is_open
        return error

    def raise_failure(self) -> None:
        """Raise what ended it, if it failed."""
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        if self.handler_failure is not None:
            failure, self.handler_failure = self.handler_failure, None
            raise failure
