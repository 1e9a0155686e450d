"""One session: what its client sends, what it receives, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable, NoReturn, Optional

from ..audio import BytesLike, check_chunk
from ..config import AudioFormat
from ..events import EventEmitter
from ..exceptions import NotRunningError, SessionError, SpeechmaticsError, amend
from ..log import SessionLog
from ..messages import Glance, is_time, text_of
from ..network import Link
from ..protocol import message_in
from ..stats import Latency, SessionStats
from ..threads import is_meant_for_call, new_lock
from ..transcript import Transcript
from .ending import SessionEnding, Unraised
from .forced import UNKNOWN, Place
from .latency import Meter
from .recorder import Recording
from .stages import GRACE, Delivery
from .turns import Turns

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_LAST = {"EndOfTranscript", "Error"}  # after which the service says no more


class Session:
    """One session over one link, from the first message to the last event.

    ``delivery`` says who runs its handlers and how far that has come, ``ending`` how it has ended, ``turns``
    has the utterances and answers that follow from its messages. ``_meter_lock`` guards the meter, which
    senders and the delivering thread update; nothing else is done under it.
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
        recording: Optional[Recording] = None,
        client: Callable[[], Optional[EventEmitter]] = lambda: None,
        unraised: Callable[[], Optional[Unraised]] = lambda: None,
    ) -> None:
        self.connection = connection
        self.start = start
        self.audio_format = audio_format
        self.bytes_per_second = audio_format.bytes_per_second
        self.log = log.on(logger)
        self.transcript = Transcript(keep=keep_transcript)
        self.ending = SessionEnding(connection, self.transcript, self.log, unraised)
        self.delivery = Delivery(streamed=streamed)
        self.turns = Turns(self.transcript, client)
        self._recording = recording
        self._at_start = True  # of what a caller sends by hand
        self._unread = _Unread()
        self._read_late = self._unread.message  # bound once, for every transcript message
        self._meter_lock = new_lock()
        self._meter = Meter()
        self.senders: list[threading.Thread] = []  # threads that read the caller's sources
        self.seconds_total: Optional[float] = None  # of audio in the sources, while it is known
        self._pid = os.getpid()
        self._client = client  # returns the client, which is held weakly; it emits the last events

    def __repr__(self) -> str:
        sent = self.connection.seconds_sent
        audio = f"{sent:.1f} s" if sent else f"{self.connection.bytes_sent} bytes"
        state = "open" if self.connection.is_open else "over"
        return f"session {self.log.request_id} {state}, {audio} sent"

    @property
    def is_over_here(self) -> bool:
        """Whether another session may be started here: this one has ended, and its handlers have run.

        Handlers of the last message and of the last event may, too, even if the server has not closed the
        connection yet. How many messages have arrived and wait for their handlers makes no difference.
        """
        closed = self.ending.closed and not self.connection.is_open
        return closed or self.delivery.is_over_here

    def seconds(self, size: int) -> float:
        """Return how many seconds ``size`` bytes of audio last; 0 if that is unknown (format ``file``)."""
        return size / self.bytes_per_second if self.bytes_per_second else 0.0

    def seconds_sent_on(self, channel: Optional[str]) -> Optional[float]:
        """Return how much audio of a channel was sent; None if that is unknown, or another channel's too."""
        labels = self.start["transcription_config"].get("channel_diarization_labels")
        if not self.bytes_per_second or (labels and channel is None):
            return None
        return self.connection.seconds_sent_on(channel)

    def send_audio(self, payload: BytesLike, *, channel: Optional[str] = None, wait: bool = True) -> bool:
        """Check and send a caller's chunk; without ``wait``, return False if there is no room for it now."""
        payload = check_chunk(payload, self.audio_format, channel=channel)
        if self._at_start:
            self._look_at_head(payload)
        seconds = self.seconds(len(payload))
        try:
            sent = self.connection.send_audio(payload, channel=channel, seconds=seconds, wait=wait)
        except SpeechmaticsError as exc:
            if wait:  # without it, this is an event loop, which must not block
                self.hear_out(exc)
            self._raise_unsent(exc)
        if sent:
            self._sent(payload, channel, seconds)
        return sent

    def _look_at_head(self, payload: BytesLike) -> None:
        self._at_start = False
        if payload[:4] == b"RIFF" and payload[8:12] == b"WAVE" and self.bytes_per_second:
            self.log.warning(
                "the audio begins with the header of a WAV, which is sent as if it were samples; send only "
                "what follows it"
            )

    def feed(self, chunk: BytesLike, channel: Optional[str]) -> None:
        """Send a chunk of a source; waits while the receiver is behind."""
        seconds = self.seconds(len(chunk))
        self.connection.send_audio(chunk, channel=channel, seconds=seconds, feeding=True)
        self._sent(chunk, channel, seconds)

    def _sent(self, audio: BytesLike, channel: Optional[str], seconds: float) -> None:
        if self._recording is not None:
            self._recording.sent_audio(audio, channel)
        with self._meter_lock:
            self._meter.sent(channel, seconds, time.monotonic())

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a caller's message."""
        try:
            if message.get("message") == "ForceEndOfUtterance":
                self._force(message)
            else:
                self.connection.send(message)
            if self._recording is not None:
                self._recording.sent(message)
        except SpeechmaticsError as exc:
            self.hear_out(exc)
            self._raise_unsent(exc)

    def _force(self, message: Mapping[str, Any]) -> None:
        """End an utterance: whoever gets the answer must know of the question."""
        channel, timestamp = text_of(message.get("channel")), message.get("timestamp")
        labels = self.start["transcription_config"].get("channel_diarization_labels") or (None,)
        places: dict[Optional[str], Place] = {}
        for label in labels if channel is None else (channel,):
            sent = self.seconds_sent_on(label)
            at = timestamp if is_time(timestamp) else sent
            places[label] = (at, UNKNOWN[1] if sent is None else sent)
        forced = self.turns.force(message, places)
        try:
            self.connection.send(message)
        except BaseException:
            self.turns.forced.withdraw(forced)
            raise

    def _raise_unsent(self, error: SpeechmaticsError) -> NoReturn:
        """Raise an error of sending, as NotRunningError if the session or its audio has ended."""
        if type(error) is SessionError and self.connection.draining:
            text = f"{error.text}; start_session() begins another session"
            raise self.ending.annotate(NotRunningError(text)) from error.__cause__
        try:
            raise self.ending.annotate(error)
        finally:
            del error  # its traceback has this frame, which would keep the client

    def hear_out(self, error: SpeechmaticsError) -> None:
        """Let the listener process what arrived before the end, so that the error has the whole transcript.

        Waits ``GRACE`` seconds at most, and never on the delivering thread itself.
        """
        if not isinstance(error, SessionError) and not self.delivery.is_mine:
            self.delivery.over.wait(GRACE)

    def log_failure(self, error: Optional[SpeechmaticsError] = None) -> None:
        """Log what has ended a session by hand, as nobody may ever ask for it."""
        if self.delivery.orphaned:  # by its finaliser, which only shuts the socket
            self.log.warning("its client was dropped with the session open: keep it until stop_session()")
        elif error is not None and not isinstance(error, SessionError):
            self.log.error("the session failed: %s", error.text)

    def close(self) -> None:
        """Close it for the program, which waits for no handler."""
        self.ending.closed = True
        self.delivery.leave()
        self.connection.close()

    def check_delivered(self) -> None:
        """Raise SessionError if ``close()`` came before all was delivered."""
        if not self.delivery.over.is_set() and not self.ending.complete:
            text = "the session was closed before its transcript was complete"
            raise self.ending.annotate(SessionError(text))

    def deliver(
        self, message: Optional[dict[str, Any]], emitter: EventEmitter, seen: Sequence[Glance] = ()
    ) -> None:
        """Take in a message or a run, and run its handlers, on this thread; see ``network.Arrived``."""
        self.take_in(message, seen)
        if message is None:
            return
        emitter.emit(message["message"], message)
        if self.turns.ended:
            for event in self.turns.events():
                emitter.emit("Utterance", event)

    def take_in(self, message: Optional[dict[str, Any]], seen: Sequence[Glance] = ()) -> None:
        """Add a message that the handlers are about to get, or a run, to the transcript and the figures."""
        if seen:
            self.transcript.add_payloads(seen, self._read_late)
            with self._meter_lock:
                self._meter.heard(seen, time.monotonic())
        elif message is not None:
            self.transcript.add(message)
            if message["message"] in _LAST:
                self.ending.complete |= message["message"] == "EndOfTranscript"
                self.delivery.ends_here()
            with self._meter_lock:
                self._meter.received(message, time.monotonic())
        if message is not None:
            if self._recording is not None:
                self._recording.received(message)
            if message["message"] in self.turns.kinds:
                self.turns.add(message)

    def stats(self) -> SessionStats:
        """Return the figures up to this moment."""
        figures = self.connection.stats()
        with self._meter_lock:
            lag, partials, finals = self._meter.lag, self._meter.partials, self._meter.finals
        total = self.seconds_total  # read once: a sender may forget it
        return replace(
            figures,
            messages_skipped=figures.messages_skipped + self._unread.skipped,
            seconds_transcribed=self.transcript.end_time,
            seconds_total=total,
            progress=self._progress(total),
            lag=lag,
            partial_latency=Latency.of(partials),
            final_latency=Latency.of(finals),
        )

    def _progress(self, total: Optional[float]) -> Optional[float]:
        if self.ending.complete:
            return 1.0
        return min(1.0, self.transcript.end_time / total) if total else None

    def conclude(self, failure: Optional[SpeechmaticsError] = None, deadline: float = float("inf")) -> None:
        """Close the connection, stop reading the caller's sources, and end the session.

        ``deadline`` (monotonic) is for the close frame. A running read is waited for, for ``GRACE``
        seconds: it would take audio from the source that the caller's next attempt should send.
        """
        try:
            self.wind_up(failure, deadline)
        finally:
            self.end(failure)

    def wind_up(self, failure: Optional[SpeechmaticsError], deadline: float) -> None:
        """Do the part of :meth:`conclude` that may have to wait."""
        self.connection.close(deadline)
        if self._is_source_read():
            text = "an audio source is still being read, and its next block is lost"
            self.log.warning(text)
            if failure is not None:
                amend(failure, f"; {text}")

    def _is_source_read(self) -> bool:
        """Wait for the threads that read sources; True, once, if one of them goes on."""
        patience = time.monotonic() + GRACE
        me = threading.current_thread()
        others = [thread for thread in self.senders if thread is not me and thread.is_alive()]
        others = [] if sys.is_finalizing() else others  # then they run no more, and can't be joined
        for thread in others:
            thread.join(max(0.0, patience - time.monotonic()))
        self.senders = []  # only now: if Ctrl-C ends the wait, whoever closes waits again
        return any(thread.is_alive() for thread in others)

    def fail_to_start(self, error: BaseException, emitter: EventEmitter) -> None:
        """Close after a start that failed. Handlers get the server's Error, but no SessionEnded yet.

        The start may be tried once more.
        """
        failure = error if isinstance(error, SpeechmaticsError) else None
        try:
            self.connection.close()  # the session counts against the quota until its socket is closed
            if failure is not None:
                for message in self.connection.left_over():
                    self.deliver(message, emitter)
                self.ending.annotate(failure)
        finally:
            self.end(failure, telling=False)

    def end(self, failure: Optional[SpeechmaticsError] = None, *, telling: bool = True) -> None:
        """Emit the last events, and note that nothing more will be delivered.

        Without ``telling``, no events: in a finaliser, which may run no handler, or if the start may be
        retried.
        """
        self.ending.note(failure)
        try:
            if telling:
                self.tell()
        finally:
            if self._recording is not None:
                self._recording.ended(self.ending.failure)
            self.delivery.end()
            self.turns.answers.close()

    def tell(self, emitter: Optional[EventEmitter] = None) -> None:
        """Run the last handlers of this session, those of ``SessionEnded``, on this thread; once."""
        client = self._client() if emitter is None else emitter
        if client is None:
            return
        for event in self.last_events():
            try:
                client.emit(event["message"], event)
            except Exception as exc:  # handler_errors="raise": after the session's own
                if is_meant_for_call(exc):
                    raise
                self.ending.handler_failed(exc)

    def last_events(self) -> Iterator[dict[str, Any]]:
        """Yield the last utterances and ``SessionEnded``, to the first caller only.

        Not in a forked child: the session goes on in its parent.
        """
        if os.getpid() == self._pid and self.delivery.claim_last_events():
            self.turns.end()
            yield from self.turns.events()
            self.delivery.ends_here()
            yield self.ending.event()


class _Unread:
    """Decodes the payloads that a transcript keeps. Refers to nothing of the session.

    Called under the transcript's lock: memory work only, so payloads that are not messages are counted, not
    logged.
    """

    __slots__ = ("_broken",)

    def __init__(self) -> None:
        self._broken: set[int] = set()  # their hashes: each counts once, however often it is read

    @property
    def skipped(self) -> int:
        """How many payloads were not messages."""
        return len(self._broken)

    def message(self, payload: bytes) -> Mapping[str, Any]:
        message = message_in(payload)
        if message is None:
            self._broken.add(hash(payload))
        return message or {}
