"""The state of one session: its connection, its transcript, its figures, its outcome."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Callable, NoReturn, Optional

from ..audio import Block, check_chunk
from ..config import AudioFormat
from ..events import EventEmitter
from ..exceptions import NotRunningError, SessionError, SpeechmaticsError, TimeoutError, without_frames
from ..locks import Latch, new_lock
from ..log import SessionLog
from ..messages import Glance
from ..network import Link
from ..stats import Latency, SessionStats
from ..transcript import Ending, Pauses, Transcript, Utterance, Utterances
from .answers import Answer, Answers
from .ended import session_ended
from .latency import Meter
from .recorder import Recording
from .unread import Unread

__all__ = ["Session"]

logger = logging.getLogger(__name__)

# Messages that may end an utterance, or be an answer.
_TURNS = {"AddTranscript", "EndOfUtterance", "EndOfTranscript", "LanguageInfo", "SpeakersResult"}
_LAST = {"EndOfTranscript", "Error"}  # after which the service says no more
_GRACE = 0.5  # seconds for a read of a source, or a handler, that is still running when its session has ended


class Session:
    """The state of one session: its connection, its transcript, and how far messages were delivered.

    One thread delivers: the caller's in ``stream()`` and ``transcribe()``, the listener's after
    ``start_session()``. ``delivered`` is set when it has run its last handler. ``_meter_lock`` guards the
    meter, which senders and that thread update; nothing else is done under it.
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
        self._recording = recording
        self._unread = Unread()
        self._read_late = self._unread.results  # bound once, for every transcript message
        self._meter_lock = new_lock()
        self._meter = Meter()
        self.delivering: Optional[int] = threading.get_ident()  # the thread that runs the handlers
        self.delivered = Latch()
        self.awaited = Latch()  # what stop_session() waits for: delivered, or a stream that was closed
        self.failure: Optional[SpeechmaticsError] = None
        self.handler_failure: Optional[BaseException] = None
        self.failure_seen = False
        self.orphaned = False  # the listener found its client gone
        self.closed = False  # by close(): nobody waits for its handlers
        self.handling = False  # the delivering thread is in a handler
        self.entered = False  # by a `with`, which will close it
        self.senders: list[threading.Thread] = []  # threads that read the caller's sources
        self.seconds_total: Optional[float] = None  # of audio in the sources, if it is known
        self._complete = False  # EndOfTranscript has come
        self._source_failure: Optional[SpeechmaticsError] = None
        self._client = client  # returns the client, which is held weakly; it emits the last events
        self._untold = [True]  # emptied by the thread that emits them, so that only one does
        self._ends_on: Optional[int] = None  # the thread that handles the last message, or the last event
        self.answers = Answers()
        self._pauses = Pauses()
        self._utterances: Optional[Utterances] = None  # followed once there is a handler for them
        self.utterances_over: deque[Utterance] = deque()  # those whose handlers have not run yet

    def __repr__(self) -> str:
        sent = self.connection.seconds_sent
        audio = f"{sent:.1f} s" if sent else f"{self.connection.bytes_sent} bytes"
        state = "open" if self.connection.is_open else "over"
        return f"session {self.log.request_id} {state}, {audio} sent"

    def is_over_for(self, thread: int) -> bool:
        """Whether that thread may start another session: this one has ended, and its handlers have run.

        Handlers of the last message and of the last event may, too. How many messages have arrived and wait
        for their handlers makes no difference.
        """
        if self.connection.is_open:
            return False
        return self.closed or self.delivered.is_set() or self._ends_on == thread

    @property
    def left(self) -> bool:
        """Whether this thread delivers it as a stream and is not in its loop, which it must have left.

        A stream that is dropped ends by itself; but a traceback that is kept, as in a notebook, keeps the
        stream alive.
        """
        here = self.delivering == threading.get_ident() and not self.handling
        return self.streamed and here and not self.entered

    def seconds(self, size: int) -> float:
        """Return how many seconds ``size`` bytes of audio last; 0 if that is unknown (format ``file``)."""
        return size / self.bytes_per_second if self.bytes_per_second else 0.0

    def seconds_sent_on(self, channel: Optional[str]) -> Optional[float]:
        """Return how much audio of a channel was sent; None if that is unknown, or another channel's too."""
        labels = self.start["transcription_config"].get("channel_diarization_labels")
        if not self.bytes_per_second or (labels and channel is None):
            return None
        return self.connection.seconds_sent_on(channel)

    def send_audio(self, payload: Block, *, channel: Optional[str] = None, wait: bool = True) -> bool:
        """Check and send a caller's chunk; without ``wait``, return False if there is no room for it now."""
        payload = check_chunk(payload, self.audio_format, channel=channel)
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

    def feed(self, chunk: Block, channel: Optional[str]) -> None:
        """Send a chunk of a source; waits while the receiver is behind."""
        seconds = self.seconds(len(chunk))
        self.connection.send_audio(chunk, channel=channel, seconds=seconds, feeding=True)
        self._sent(chunk, channel, seconds)

    def _sent(self, audio: Block, channel: Optional[str], seconds: float) -> None:
        if self._recording is not None:
            self._recording.sent_audio(audio, channel)
        with self._meter_lock:
            self._meter.sent(channel, seconds, time.monotonic())

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a caller's message."""
        try:
            self.connection.send(message)
            if self._recording is not None:
                self._recording.sent(message)
        except SpeechmaticsError as exc:
            self.hear_out(exc)
            self._raise_unsent(exc)

    def _raise_unsent(self, error: SpeechmaticsError) -> NoReturn:
        """Raise an error of sending, as NotRunningError if the session or its audio has ended."""
        if type(error) is SessionError and self.connection.draining:
            raise self.annotate(NotRunningError(error.text)) from error.__cause__
        raise self.annotate(error)

    def hear_out(self, error: SpeechmaticsError) -> None:
        """Let the listener process what arrived before the end, so that the error has the whole transcript.

        Waits ``_GRACE`` seconds at most, and never on the delivering thread itself.
        """
        if not isinstance(error, SessionError) and self.delivering != threading.get_ident():
            self.delivered.wait(_GRACE)

    def close(self) -> None:
        """Note that the program closes it: nobody waits for its handlers."""
        self.closed = self.failure_seen = True  # a program that closes it does not ask how it went
        if self.streamed:  # the thread that iterates may never come back; a listener does
            self.awaited.set()

    def check_delivered(self) -> None:
        """Raise SessionError if ``close()`` came before all was delivered."""
        if not self.delivered.is_set() and not self._complete:
            raise self.annotate(SessionError("the session was closed before its transcript was complete"))

    def check_closed(self) -> None:
        """Raise SessionError if ``close()`` came before a message that is to be handled now."""
        if self.closed:
            raise SessionError("the session was closed while messages were waiting to be handled")

    def deliver(
        self, message: Optional[dict[str, Any]], emitter: EventEmitter, seen: Optional[Glance] = None
    ) -> None:
        """Add one message to the transcript and run its handlers, on this thread; see :class:`Arrived`."""
        self.take_in(message, seen)
        if message is None:
            return
        self.handling = True
        try:
            emitter.emit(message["message"], message)
            if self.utterances_over:
                for event in self.events():
                    emitter.emit("Utterance", event)
        finally:
            self.handling = False

    def take_in(self, message: Optional[dict[str, Any]], seen: Optional[Glance] = None) -> None:
        """Add one message, which the handlers are about to get, to the transcript and the figures."""
        if seen is not None:
            self.transcript.add_payload(seen, self._read_late)
            with self._meter_lock:
                self._meter.heard(seen.kind, seen.label, seen.last_end, seen.end_time, time.monotonic())
        elif message is not None:
            self.transcript.add(message)
            if message["message"] in _LAST:
                self._complete |= message["message"] == "EndOfTranscript"
                self._ends_on = threading.get_ident()
            with self._meter_lock:
                self._meter.received(message, time.monotonic())
        if message is not None:
            if self._recording is not None:
                self._recording.received(message)
            if message["message"] in _TURNS:
                self._follow(message)

    def _follow(self, message: Mapping[str, Any]) -> None:
        """Update the utterances, and give a message to those who wait for it as an answer."""
        kind = message["message"]
        for answer in self.answers.to(message) if self.answers.waiting else ():
            ending: Ending = "forced" if message.get("forced") is True else "silence"
            ended = kind == "EndOfUtterance"
            answer.give(self._pauses.last(self.transcript, ending, answer.channel) if ended else message)
        if kind == "EndOfUtterance":
            self._pauses.end(message)
        client = self._client()
        if self._utterances is None:
            if client is None or not client._hears("Utterance"):
                return
            self._utterances = Utterances(self.transcript.language_pack_info)
        self.utterances_over += self._utterances.add(message)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of utterances that have ended, each once."""
        while self.utterances_over:
            yield {"message": "Utterance", **self.utterances_over.popleft().to_dict()}

    def stats(self) -> SessionStats:
        """Return the figures up to this moment."""
        figures = self.connection.stats()
        with self._meter_lock:
            lag, partials, finals = self._meter.lag, self._meter.partials, self._meter.finals
        return replace(
            figures,
            messages_skipped=figures.messages_skipped + self._unread.skipped,
            seconds_transcribed=self.transcript.end_time,
            seconds_total=self.seconds_total,
            progress=self._progress(),
            lag=lag,
            partial_latency=Latency.of(partials),
            final_latency=Latency.of(finals),
        )

    def _progress(self) -> Optional[float]:
        if self._complete:
            return 1.0
        return min(1.0, self.transcript.end_time / self.seconds_total) if self.seconds_total else None

    def source_failed(self, error: SpeechmaticsError) -> None:
        """End the audio where its source failed: what was sent is transcribed, then ``error`` is raised."""
        if not self.connection.draining:  # else the server's Error, or a requested end, came first
            self._source_failure = error
            self.connection.end_stream()

    def conclude(self, failure: Optional[SpeechmaticsError] = None, deadline: float = float("inf")) -> None:
        """Close the connection, stop reading the caller's sources, and end the session.

        ``deadline`` (monotonic) is for the close frame. A running read is waited for, for ``_GRACE``
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
                failure.args = (f"{failure.text}; {text}",)

    def _is_source_read(self) -> bool:
        """Wait for the threads that read sources; True, once, if one of them goes on."""
        patience = time.monotonic() + _GRACE
        me = threading.current_thread()
        others = [thread for thread in self.senders if thread is not me and thread.is_alive()]
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
                self.annotate(failure)
        finally:
            self.end(failure, telling=False)

    def end(self, failure: Optional[SpeechmaticsError] = None, *, telling: bool = True) -> None:
        """Emit the last events, and note that nothing more will be delivered.

        Without ``telling``, no events: in a finaliser, which may run no handler, or if the start may be
        retried.
        """
        self.note(failure)
        try:
            if telling:
                self.tell()
        finally:
            if self._recording is not None:
                self._recording.ended(self.failure)
            self.delivered.set()
            self.awaited.set()
            self.answers.close()

    def note(self, failure: Optional[SpeechmaticsError]) -> None:
        """Store the error it ended with; the first one wins."""
        failure = self._source_failure or failure
        if self.failure is None and failure is not None:
            self.failure = copy.copy(failure)  # a copy has no traceback, which would keep frames alive
            self.failure.__cause__ = failure.__cause__

    def tell(self) -> None:
        """Run the last handlers of this session, those of ``SessionEnded``, on this thread; once."""
        client = self._client()
        if client is None:
            return
        handling, self.handling = self.handling, True
        try:
            for event in self.last_events():
                try:
                    client.emit(event["message"], event)
                except Exception as exc:  # noqa: BLE001  # handler_errors="raise": after the session's own
                    self.handler_failed(exc)
        finally:
            self.handling = handling

    def tell_nobody(self) -> None:
        """Drop the last events: in a finaliser, where a weak reference still finds the client."""
        self._untold.clear()

    def last_events(self) -> Iterator[dict[str, Any]]:
        """Yield the last utterances and ``SessionEnded``, to the first caller only."""
        try:
            self._untold.pop()
        except IndexError:
            return
        if self._utterances is not None:
            self.utterances_over += self._utterances.end()
        yield from self.events()
        self._ends_on = threading.get_ident()
        yield self._last_event()

    def _last_event(self) -> dict[str, Any]:
        failure = self.failure
        if failure is None or (self.closed and isinstance(failure, SessionError)):
            return session_ended(None)  # complete, or ended by the program itself
        error = copy.copy(failure)
        error.__cause__ = failure.__cause__
        return session_ended(self._completed(error))

    def handler_failed(self, error: Exception) -> None:
        """Store the first error of a handler for ``stop_session()``; its traceback goes to the log."""
        if self.handler_failure is None:
            self.log.error("a handler failed; stop_session() raises it", exc_info=error)
            self.handler_failure = without_frames(error)

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Add the transcript so far and the ids to an error that is about to reach the caller."""
        self.failure_seen |= not self.connection.is_open
        return self._completed(error)

    def _completed(self, error: SpeechmaticsError) -> SpeechmaticsError:
        error.transcript = self.transcript
        error.request_id = self.log.request_id
        error.session_id = self.connection.session_id
        return error

    def ask(
        self,
        message: Mapping[str, Any],
        kind: str,
        *,
        channel: Optional[str] = None,
        timeout: Optional[float],
    ) -> Any:
        """Send a message and wait for its answer, for ``timeout`` seconds at most.

        Raises:
            SessionError: This is the thread that would deliver the answer.
            TimeoutError: Stage ``"answer"``.
            SpeechmaticsError: The error that the session ended with.
        """
        if self.delivering == threading.get_ident() and not self.delivered.is_set():
            self.refuse_to_wait(message)
        with self.answers.expect(kind, channel) as answer:
            self.send(message)
            answer.over.wait(timeout)
        return self.answered(answer, message, timeout)

    def refuse_to_wait(self, message: Mapping[str, Any]) -> NoReturn:
        """Raise SessionError: this thread would wait for itself."""
        raise SessionError(
            f"a handler, or the loop over the messages, can't wait for the answer to {message['message']}: "
            "the same thread delivers it; send without waiting, and handle the answer as a message"
        )

    def answered(self, answer: Answer, message: Mapping[str, Any], timeout: Optional[float]) -> Any:
        """Return the value of an answer, or raise the reason why it did not come."""
        if answer.given:
            return answer.value
        if not answer.over.is_set():
            text = f"the service did not answer {message['message']} within {timeout:g} s"
            raise self.annotate(TimeoutError(text, stage="answer", seconds=timeout))
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        raise self.annotate(NotRunningError(f"the session ended before {message['message']} was answered"))

    def finalize(
        self, message: Mapping[str, Any], *, channel: Optional[str] = None, timeout: Optional[float]
    ) -> Optional[Utterance]:
        """Force the end of an utterance, by this message, and wait for it."""
        utterance: Optional[Utterance] = None
        try:
            utterance = self.ask(message, "EndOfUtterance", channel=channel, timeout=timeout)
        except TimeoutError as exc:
            self.check_unsaid(exc, channel)
        return utterance

    def check_unsaid(self, error: TimeoutError, channel: Optional[str]) -> None:
        """Raise the timeout of :meth:`finalize`, unless nothing was said, which a server may not answer."""
        words = self.transcript.partial or self._pauses.last(self.transcript, "forced", channel)
        if words or error.stage != "answer":
            raise error

    def raise_failure(self, caught: Optional[SpeechmaticsError] = None) -> None:
        """Raise the error that ended it, if any: ``caught``, just raised, unless a source failed first."""
        if caught is not None and self._source_failure is None:
            raise self.annotate(caught)
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        if self.handler_failure is not None:
            failure, self.handler_failure = self.handler_failure, None
            raise failure
