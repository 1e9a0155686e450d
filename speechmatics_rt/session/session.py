"""What belongs to one session: its connection, its transcript, its figures, its outcome."""

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
from ..locks import new_lock
from ..log import OF_A_HANDLER, SessionLog
from ..messages import Glance
from ..network import Latch, Link
from ..stats import Latency, SessionStats
from ..transcript import Ending, Pauses, Transcript, Utterance, Utterances
from .answers import Answer, Answers
from .latency import Meter
from .recorder import Recording
from .unread import Unread

__all__ = ["Session", "session_ended", "tell_unstarted"]

logger = logging.getLogger(__name__)

# What may end an utterance, or be an answer.
_TURNS = {"AddTranscript", "EndOfUtterance", "EndOfTranscript", "LanguageInfo", "SpeakersResult"}
_LAST = {"EndOfTranscript", "Error"}  # after which the service says no more
_GRACE = 0.5  # seconds for a read of a source, or a handler, that is under way when its session has ended


def session_ended(error: Optional[BaseException]) -> dict[str, Any]:
    """Give the last event of a session. It has no error if the program itself ended it, by Ctrl-C too."""
    return {"message": "SessionEnded", "error": error if isinstance(error, SpeechmaticsError) else None}


def tell_unstarted(client: EventEmitter, error: BaseException) -> None:
    """Run the handlers of ``SessionEnded`` for a session that never had a connection."""
    try:
        client.emit("SessionEnded", session_ended(error))
    except Exception:  # handler_errors="raise": what hindered the start is raised
        logger.exception("a handler of SessionEnded failed", extra=OF_A_HANDLER)


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
        self._read_late = self._unread.results  # once: it is kept with each transcript
        self._meter_lock = new_lock()
        self._meter = Meter()
        self.delivering: Optional[int] = threading.get_ident()  # the thread that runs the handlers
        self.delivered = Latch()
        self.awaited = Latch()  # delivered; or closed, where nobody need come who delivers
        self.failure: Optional[SpeechmaticsError] = None
        self.handler_failure: Optional[BaseException] = None
        self.failure_seen = False
        self.orphaned = False  # the listener found its client gone
        self.closed = False  # by close(): nobody waits for its handlers
        self.handling = False  # the delivering thread is in a handler
        self.entered = False  # by a `with`, which will close it
        self.senders: list[threading.Thread] = []  # that read the caller's sources
        self.seconds_total: Optional[float] = None  # of audio in them, if that is known
        self._complete = False  # EndOfTranscript has come
        self._source_failure: Optional[SpeechmaticsError] = None
        self._client = client  # who is told of the end; held weakly
        self._untold = [True]  # emptied by who tells
        self._ends_on: Optional[int] = None  # the thread with the last message, or the last event
        self.answers = Answers()
        self._pauses = Pauses()
        self._utterances: Optional[Utterances] = None  # followed once a handler asks for them
        self.utterances_over: deque[Utterance] = deque()  # of them, those whose handlers have not run

    def __repr__(self) -> str:
        sent = self.connection.seconds_sent
        audio = f"{sent:.1f} s" if sent else f"{self.connection.bytes_sent} bytes"
        state = "open" if self.connection.is_open else "over"
        return f"session {self.log.request_id} {state}, {audio} sent"

    def is_over_for(self, thread: int) -> bool:
        """Whether that thread may start another one: this has ended, and its handlers have run.

        Those of its last message, and of its end, may, too. How much has arrived, and waits for handlers, is
        of no account.
        """
        if self.connection.is_open:
            return False
        return self.closed or self.delivered.is_set() or self._ends_on == thread

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
            if wait:  # an event loop must not stand still
                self.hear_out(exc)
            self._raise_unsent(exc)
        if sent:
            self._sent(payload, channel, seconds)
        return sent

    def feed(self, chunk: Block, channel: Optional[str]) -> None:
        """Send a chunk of a source, as far as the receiver keeps up."""
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
        """Raise what hindered a caller from sending; by its own name where there is no session any more."""
        if type(error) is SessionError and self.connection.draining:
            raise self.annotate(NotRunningError(error.text)) from error.__cause__
        raise self.annotate(error)

    def hear_out(self, error: SpeechmaticsError) -> None:
        """Let the listener take in what came before the end, so that its error carries all that was heard.

        A handler that takes long is not waited for: ``_GRACE`` seconds, and only by another thread.
        """
        if not isinstance(error, SessionError) and self.delivering != threading.get_ident():
            self.delivered.wait(_GRACE)

    def close(self) -> None:
        """Note that the program closes it: nobody waits for its handlers."""
        self.closed = self.failure_seen = True  # who closes doesn't ask how it went
        if self.streamed:  # whoever iterates may never come back; a listener does
            self.awaited.set()

    def check_delivered(self) -> None:
        """Raise SessionError if ``close()`` came before all was delivered."""
        if not self.delivered.is_set() and not self._complete:
            raise self.annotate(SessionError("the session was closed before its transcript was complete"))

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
            if self.utterances_over:
                for event in self.events():
                    emitter.emit("Utterance", event)
        finally:
            self.handling = False

    def take_in(self, message: Optional[dict[str, Any]], seen: Optional[Glance] = None) -> None:
        """Put one message, which the handlers are about to get, into the transcript and the figures."""
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
        """Let those have it who follow utterances, or wait for the end of one, or for an answer."""
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
        """Give the events of utterances that are over, each once."""
        while self.utterances_over:
            yield {"message": "Utterance", **self.utterances_over.popleft().to_dict()}

    def stats(self) -> SessionStats:
        """Give the figures, up to this moment."""
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
            self.wind_up(failure, deadline)
        finally:
            self.end(failure)

    def wind_up(self, failure: Optional[SpeechmaticsError], deadline: float) -> None:
        """Do all of :meth:`conclude` that may have to wait."""
        self.connection.close(deadline)
        if self._is_source_read():
            text = "an audio source is still being read, and what it gives next is lost"
            self.log.warning(text)
            if failure is not None:
                failure.args = (f"{failure.text}; {text}",)

    def _is_source_read(self) -> bool:
        """Wait for the threads that read sources; True if one stays, which is found out, and told, once."""
        patience = time.monotonic() + _GRACE
        me = threading.current_thread()
        others = [thread for thread in self.senders if thread is not me and thread.is_alive()]
        for thread in others:
            thread.join(max(0.0, patience - time.monotonic()))
        self.senders = []  # only now: a wait that Ctrl-C ends is taken up again by whoever closes
        return any(thread.is_alive() for thread in others)

    def end(self, failure: Optional[SpeechmaticsError] = None, *, telling: bool = True) -> None:
        """Tell of the end, and note that nothing more will be delivered.

        Not ``telling`` where no handler may run, in a finaliser, or where the start may be tried once more.
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
        """Keep what it ended with; the first cause wins."""
        failure = self._source_failure or failure
        if self.failure is None and failure is not None:
            self.failure = copy.copy(failure)  # a copy has no traceback, which would keep a caller's frames
            self.failure.__cause__ = failure.__cause__

    def tell(self) -> None:
        """Run the handlers of ``SessionEnded``, the last ones of this session, on this thread; once."""
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
        """Keep the last events back. While a finaliser runs, a weak reference still finds its client."""
        self._untold.clear()

    def last_events(self) -> Iterator[dict[str, Any]]:
        """Give the last utterances and ``SessionEnded`` to who asks first, and nothing to all others."""
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
        """Keep the first error of a handler for ``stop_session()``; its traceback goes to the log."""
        if self.handler_failure is None:
            self.log.error("a handler failed; stop_session() raises it", exc_info=error)
            self.handler_failure = without_frames(error)

    def annotate(self, error: SpeechmaticsError) -> SpeechmaticsError:
        """Complete an error that is about to reach the caller: what was heard until then, and the ids."""
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
            SessionError: This is the thread that delivers it.
        """
        if self.delivering == threading.get_ident() and not self.delivered.is_set():
            self.refuse_to_wait(message)
        with self.answers.expect(kind, channel) as answer:
            self.send(message)
            answer.over.wait(timeout)
        return self.answered(answer, message, timeout)

    def refuse_to_wait(self, message: Mapping[str, Any]) -> NoReturn:
        """Raise what says that a wait would never end."""
        raise SessionError(
            f"the answer to {message['message']} can't be waited for in a handler, or in the loop over the "
            "messages: it is delivered by what waits there; send it without waiting, and handle the answer"
        )

    def answered(self, answer: Answer, message: Mapping[str, Any], timeout: Optional[float]) -> Any:
        """Return what an answer brought, or raise why it did not come."""
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
        """Raise the error of a wait in vain, but where nothing was said: there a server may say nothing."""
        words = self.transcript.partial or self._pauses.last(self.transcript, "forced", channel)
        if words or error.stage != "answer":
            raise error

    def raise_failure(self, caught: Optional[SpeechmaticsError] = None) -> None:
        """Raise what ended it, if it failed; ``caught``, which was just raised, itself if it is that."""
        if caught is not None and self._source_failure is None:
            raise self.annotate(caught)
        if self.failure is not None:
            raise self.annotate(copy.copy(self.failure)) from self.failure.__cause__
        if self.handler_failure is not None:
            failure, self.handler_failure = self.handler_failure, None
            raise failure
