"""One session over several connections: a lost one is replaced, and no word is lost or said twice.

To everything above it this is a :class:`Connection`. Below, each reconnect makes a new one. *The receiver
notices the loss*, since it takes what had arrived before, and a thread of its own makes each attempt; that
thread then sends what was kept, and leaves when it has caught up.
"""

from __future__ import annotations

import copy
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable, NamedTuple, NoReturn, Optional, Union

from .config import AudioFormat, ResumePolicy
from .connection import Connection
from .doorbell import Doorbell, Waiters
from .exceptions import AuthenticationError, SessionError, SpeechmaticsError, TimeoutError
from .exchange import Arrival
from .log import SessionLog
from .outage import Outage, is_recoverable
from .replay import End, Piece, Replay, Request
from .stats import SessionStats

__all__ = ["ResumingConnection"]

_LONGEST_WAIT = 3600.0  # nobody waits for this: without any timeout a wait overflows, or hides Ctrl-C
_PATIENCE = 1.0  # seconds for the lock, which nobody holds for long
_CTRL_C = 0.5 if os.name == "nt" else _LONGEST_WAIT  # on Windows a waiting lock is deaf to Ctrl-C


class _Own(dict[str, Any]):
    """A message of our own, or one that has been through the replay."""


class _Verdict(NamedTuple):
    error: SpeechmaticsError
    cause: Optional[BaseException]
    normal: bool


class ResumingConnection:
    """A connection that mends itself.

    ``_lock`` guards all fields; under it a connection's own lock may be taken, never the other way round,
    and nothing that waits is done. ``_room`` and ``_news`` are for senders and the receiver. From a loss
    until all that was kept is said (``_recovering``) only the thread of the attempt says anything.

    Args:
        connection: The first one.
        dial: Makes the next one, until a moment (monotonic).
        refresh: Asks for a new token; False if there is none to be had.
    """

    def __init__(
        self,
        connection: Connection,
        dial: Callable[[float], Connection],
        *,
        policy: ResumePolicy,
        start: Mapping[str, Any],
        audio_format: AudioFormat,
        refresh: Callable[[], bool],
        log: SessionLog,
    ) -> None:
        self._connection = connection
        self._dial = dial
        self._policy = policy
        self._refresh = refresh
        self._log = log
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._room, self._news = Waiters(), Waiters()
        self._bell = Doorbell()  # of the attempt that waits for its time
        self._arrival: Optional[Doorbell] = None
        self._replay = Replay(start, _channels(start), audio_format, buffer_seconds=policy.buffer_seconds)
        self._ahead: list[Arrival] = []  # to be received first
        self._verdict: Optional[_Verdict] = None
        self._failure: Optional[tuple[SpeechmaticsError, Optional[BaseException]]] = None
        self._outage: Optional[Outage] = None
        self._last: tuple[Optional[Outage], float] = (None, 0.0)  # the outage before, and its end
        self._heard: list[float] = []  # up to where, when it began
        self._recovering = False
        self._error: Optional[dict[str, Any]] = None  # an Error that may yet be mended
        self._next: Optional[Connection] = None  # one that is starting
        self._stop = self._abandoned = False
        self._before = SessionStats()  # of the connections until now, as far as they add up

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._connection.session_id

    @property
    def is_open(self) -> bool:
        return self._verdict is None and not self._abandoned and os.getpid() == self._pid

    @property
    def draining(self) -> bool:
        return self._verdict is not None or self._stop or self._replay.over

    @property
    def seconds_sent(self) -> float:
        return sum(self._replay.seconds_on(channel) for channel in self._replay.channels)

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return self._replay.seconds_on(channel)

    @property
    def bytes_sent(self) -> int:
        return self._replay.bytes_taken

    def stats(self) -> SessionStats:
        self._check_process()
        with self._lock:
            return self._stats()

    def _stats(self) -> SessionStats:
        """Add up, with the lock held."""
        now, before, replay = self._connection.stats(), self._before, self._replay
        frames, seconds = replay.waiting
        acknowledged = self.seconds_sent - seconds - now.unacknowledged_seconds
        return replace(
            before,
            seconds_sent=self.seconds_sent,
            seconds_acknowledged=max(before.seconds_acknowledged, acknowledged),
            frames_sent=replay.frames_taken,
            unacknowledged_frames=now.unacknowledged_frames + frames,
            bytes_sent=replay.bytes_taken,
            messages_received=before.messages_received + now.messages_received,
            messages_skipped=before.messages_skipped + now.messages_skipped,
            queue_depth=now.queue_depth + len(self._ahead),
            silence=now.silence,
        )

    # -- talking -------------------------------------------------------------------------------------

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        """As :meth:`Connection.start`; a loss on the way there is mended, too."""
        connection = self._connection
        try:
            return connection.start(message, deadline)
        except SpeechmaticsError as error:
            for arrival in connection.left_over():
                heard = self.open(arrival)
                if heard is not None:
                    self._ahead.append(_Own(heard))
            self._lost(connection, error)
        while True:
            with self._lock:
                if self._verdict is not None:
                    self._raise_verdict()
                if self._outage is None:
                    return True
                attempt, ticket = self._attempt(self._outage), self._news.ticket()
            if attempt is not None:
                attempt.start()
            if not self._wait(ticket, deadline):
                return False

    def send(self, message: Mapping[str, Any]) -> None:
        """As :meth:`Connection.send`; during an outage it is kept, and said when the session goes on."""
        self._check_process()
        with self._lock:
            self._check_turn(message["message"], None)
            request, live = self._replay.ask(message), self._live
        self._say(request, live, lambda connection: connection.send(request.message))

    def send_audio(
        self,
        payload: Union[bytes, bytearray, memoryview],
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        """As :meth:`Connection.send_audio`; during an outage a feeder waits, and a caller's audio is kept."""
        self._check_process()
        while True:
            ticket: Optional[threading.Lock] = None
            with self._lock:
                self._check_turn("AddAudio" if channel is None else "AddChannelAudio", channel)
                connection = self._connection
                if not self._recovering:
                    sent = self._try(payload, channel, seconds, feeding)
                    if sent:
                        self._replay.said(self._replay.keep(channel, payload, feeding))
                        return True
                if self._recovering and feeding:
                    ticket = self._room.ticket()
                elif self._recovering:
                    full = self._replay.full(channel, len(payload))
                    if full and wait:
                        self._raise_full()
                    if not full:
                        self._replay.keep(channel, payload)
                    return not full
            if not wait:
                return False
            if ticket is not None:
                self._wait(ticket)
            else:
                self._attempted(connection, lambda it: it.wait_for_room(channel, seconds, feeding))

    def _try(self, payload: Any, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        """Send a chunk if it needs no waiting."""
        try:
            return self._connection.send_audio(
                payload, channel=channel, seconds=seconds, feeding=feeding, wait=False
            )
        except SpeechmaticsError as error:
            if not self._may_mend(error):
                raise
            self._recovering = True  # the receiver is about to notice it, too
            return False

    @property
    def _live(self) -> Optional[Connection]:
        """The connection, if everybody may say something on it."""
        return None if self._recovering else self._connection

    def _say(
        self, item: Union[Request, End], live: Optional[Connection], say: Callable[[Connection], None]
    ) -> None:
        """Say what was put into the replay while ``live`` was the connection; without one it is kept."""
        if live is not None and self._attempted(live, say):
            with self._lock:
                if live is self._connection and self._outage is None:
                    self._replay.said(item)

    def _attempted(self, connection: Connection, action: Callable[[Connection], None]) -> bool:
        """Do what may wait, without the lock; False if the connection was lost, and may be mended."""
        try:
            action(connection)
        except SpeechmaticsError as error:
            if not self._may_mend(error):
                raise
            if isinstance(error, TimeoutError):
                connection.fail(error)  # a send stall: there the receiver hears of it
            with self._lock:
                self._recovering |= connection is self._connection
            return False
        return True

    def end_stream(self) -> None:
        """As :meth:`Connection.end_stream`."""
        self._check_process()
        with self._lock:
            if self._verdict is None and not self._replay.over:
                end = self._replay.end_stream()
                if not self._recovering:
                    self._connection.end_stream()
                    self._replay.said(end)
            self._room.notify_all()

    def end_channel(self, channel: str) -> None:
        """As :meth:`Connection.end_channel`."""
        self._check_process()
        with self._lock:
            self._check_turn("EndOfChannel", channel)
            end, live = self._replay.end_channel(channel), self._live
        self._say(end, live, lambda connection: connection.end_channel(channel))

    def request_stop(self) -> None:
        """As :meth:`Connection.request_stop`."""
        # In this order: who has caught up takes _recovering back first, and looks at _stop then.
        self._stop = True
        if not self._recovering:
            self._connection.request_stop()

    def wait_until(self, moment: float) -> bool:
        """As :meth:`Connection.wait_until`."""
        while True:
            with self._lock:
                if self.draining:
                    return False
                live, ticket = self._live, self._room.ticket()
            if live is None:
                if not self._wait(ticket, moment):
                    return True
            elif live.wait_until(moment):
                return True
            elif not self.draining:
                with self._lock:  # it takes no audio any more: the receiver will say what that means
                    self._recovering |= live is self._connection

    # -- listening -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Optional[list[Arrival]]:
        """As :meth:`Connection.receive`; waits through outages."""
        self._check_process()
        while True:
            attempt: Optional[threading.Thread] = None
            ticket: Optional[threading.Lock] = None
            with self._lock:
                if self._ahead:
                    batch, self._ahead = self._ahead, []
                    return batch
                if self._verdict is not None:
                    if self._verdict.normal:
                        return []
                    self._raise_verdict()
                connection = self._connection
                if self._outage is not None:
                    message = self._outage.message
                    if message is not None and not message["reconnect"]:
                        self._conclude(self._outage.error, self._outage.error.__cause__)
                        continue
                    attempt, ticket = self._attempt(self._outage), self._news.ticket()
            if attempt is not None:
                attempt.start()
            if ticket is not None:
                if not self._wait(ticket, deadline):
                    return None
                continue
            try:
                arrivals = connection.receive(deadline)
            except SpeechmaticsError as error:
                self._lost(connection, error)
                continue
            if arrivals == []:
                with self._lock:
                    self._conclude(SessionError("the session has ended"), None, normal=True)
            return arrivals

    def ring(self, bell: Doorbell) -> None:
        """As :meth:`Connection.ring`."""
        with self._lock:
            self._arrival = bell
            self._connection.ring(bell)

    def open(self, arrival: Arrival) -> Optional[dict[str, Any]]:
        """As :meth:`Connection.open`; None also for what was said before an outage."""
        if isinstance(arrival, _Own):
            return arrival
        try:
            message = self._connection.open(arrival)
        except SpeechmaticsError as error:
            with self._lock:
                self._conclude(error, error.__cause__)
            raise
        if message is None:
            return None
        with self._lock:
            if message["message"] == "Error":
                self._error = message  # delivered only if it is not mended
                return None
            heard = self._replay.hear(message)
            if message["message"] == "EndOfTranscript" and self.draining:
                self._conclude(SessionError("the session has ended"), None, normal=True)
            return heard

    def left_over(self) -> list[Arrival]:
        """As :meth:`Connection.left_over`."""
        with self._lock:
            batch, self._ahead = self._ahead, []
        return batch + self._connection.left_over()

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """As :meth:`Connection.fail`: a reason of our own is never mended."""
        with self._lock:
            self._failure = self._failure or (error, cause)
            if self._outage is not None:
                self._conclude(error, cause)
            connection = self._connection
        connection.fail(error, cause)

    def close(self) -> None:
        """As :meth:`Connection.close`; an attempt under way is left behind, and closes what it gets."""
        if os.getpid() != self._pid:
            self._connection.close()
            return
        locked = self._lock.acquire(timeout=_PATIENCE)  # in a signal handler its holder may be below us
        try:
            if locked:
                self._conclude(SessionError("the session was closed"), None)
                self._ahead.clear()
        finally:
            if locked:
                self._lock.release()
        for connection in (self._connection, self._next):
            if connection is not None:
                connection.close()

    def abandon(self) -> None:
        """As :meth:`Connection.abandon`: flags and shut sockets, no locks."""
        self._abandoned = True
        for connection in (self._connection, self._next):
            if connection is not None:
                connection.abandon()
        self._bell.ring()

    # -- inside --------------------------------------------------------------------------------------

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise SessionError(
                "this session belongs to the process that started it; after a fork, start one in the child"
            )

    def _wait(self, ticket: threading.Lock, deadline: float = float("inf")) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        ticket.acquire(timeout=min(left, _CTRL_C))
        return True

    def _check_turn(self, kind: str, channel: Optional[str]) -> None:
        """Refuse what could not be said; the lock is held from here to the threads."""
        if self._verdict is not None:
            self._raise_verdict()
        if self._stop or self._replay.over:
            raise SessionError(f"{kind} can't be sent after the end of the audio")
        if kind in ("AddAudio", "AddChannelAudio", "EndOfChannel"):
            if channel not in self._replay.channels:
                names = ", ".join(repr(name) for name in self._replay.channels if name) or "no channels"
                raise SessionError(f"{kind} names channel {channel!r}; the session has {names}")
            if self._replay.ended(channel):
                raise SessionError(f"{kind} for channel {channel!r}, which has ended")

    def _raise_full(self) -> NoReturn:
        seconds = self._policy.buffer_seconds
        raise TimeoutError(
            f"the connection is being restored, and {seconds:g} s of audio wait already (buffer_seconds)",
            stage="send",
            seconds=seconds,
        )

    def _raise_verdict(self) -> NoReturn:
        verdict = self._verdict
        if verdict is None:
            raise RuntimeError("there is no verdict")
        raise copy.copy(verdict.error) from verdict.cause

    def _conclude(
        self, error: SpeechmaticsError, cause: Optional[BaseException], *, normal: bool = False
    ) -> None:
        if self._verdict is None:
            if self._error is not None and not normal:
                self._ahead.append(_Own(self._error))
            if self._failure is not None and not normal:
                error, cause = self._failure
            self._verdict = _Verdict(error, cause, normal)
        self._tell()

    def _tell(self) -> None:
        self._room.notify_all()
        self._news.notify_all()
        self._bell.ring()
        if self._arrival is not None:
            self._arrival.ring()

    def _may_mend(self, error: SpeechmaticsError) -> bool:
        return not self._abandoned and self._failure is None and is_recoverable(error)

    def _lost(self, connection: Connection, error: SpeechmaticsError) -> None:
        """Begin an outage, or end it all."""
        with self._lock:
            if self._verdict is not None or connection is not self._connection:
                return
            if not self._may_mend(error):
                self._conclude(error, error.__cause__)
                return
            self._recovering = True
            self._room.notify_all()
            acknowledged = self._stats().seconds_acknowledged
            self._before = replace(self._before, seconds_acknowledged=acknowledged)  # never less again
            self._outage = self._outage_of(error)
            self._plan(self._outage, error)

    def _outage_of(self, error: SpeechmaticsError) -> Outage:
        """Begin an outage; a connection that broke before it was of any use belongs to the last one."""
        now, heard = time.monotonic(), self._replay.heard
        last, since = self._last
        if last is None or heard != self._heard or now - since > self._policy.max_delay:
            last = Outage(error, self._policy, now)
        self._heard = heard
        return last

    def _plan(self, outage: Outage, error: SpeechmaticsError, *, at_once: bool = False) -> None:
        """Announce the next attempt, or give up."""
        jitter = random.random()  # noqa: S311  # no secret
        delay = 0.0 if at_once else outage.pause(error, jitter)
        missing = self._replay.missing
        if missing or not outage.plan(time.monotonic(), delay):
            self._give_up(outage, error, missing)
            return
        outage.message = _Own(
            message="Reconnecting",
            attempt=outage.attempts,
            cause=_said(error),
            delay=round(delay, 3),
            reconnect=True,
        )
        self._ahead.append(outage.message)
        self._log.info("%s; attempt %d in %.1f s", error.text, outage.attempts, delay)
        self._tell()

    def _give_up(self, outage: Outage, last: SpeechmaticsError, missing: float) -> None:
        heard = " and ".join(
            f"{seconds:.2f} s" + (f" of {channel!r}" if channel else "")
            for channel, seconds in zip(self._replay.channels, self._replay.heard)
        )
        tried = outage.attempts
        if missing:
            why = f"{missing:.1f} s of audio without a final are kept no more (buffer_seconds)"
        else:
            why = f"{tried} attempts to reconnect failed within {time.monotonic() - outage.began:.0f} s"
        if last is not outage.error:
            why += f", the last one: {_said(last)}"
        error = copy.copy(outage.error)
        error.args = (f"{_said(error)}; {why}. Heard up to {heard} (error.transcript): go on from there",)
        self._conclude(error, outage.error.__cause__ if last is outage.error else last)

    # -- the thread of an attempt --------------------------------------------------------------------

    def _attempt(self, outage: Outage) -> Optional[threading.Thread]:
        """Make the thread of the attempt that was announced, unless it is under way."""
        if outage.trying:
            return None
        outage.trying = True
        name = f"speechmatics-rt-resume-{self._log.request_id}"
        return threading.Thread(target=self._reconnect, args=(outage,), name=name, daemon=True)

    def _reconnect(self, outage: Outage) -> None:
        self._connection.close()  # before the wait: an open socket counts against the quota
        while self.is_open and time.monotonic() < outage.due:
            self._bell.wait(outage.due - time.monotonic())
        with self._lock:
            if not self.is_open:
                self._conclude(outage.error, outage.error.__cause__)
                return
            again, start = self._replay.begin(), self._replay.start
        connection: Optional[Connection] = None
        try:
            connection = self._dial(outage.until)
            with self._lock:
                self._next = connection if self.is_open else None
            if self._next is not None and not connection.start(start, outage.until):
                raise TimeoutError("the session did not start in time", stage="start")  # noqa: TRY301
        except SpeechmaticsError as error:
            self._failed(outage, connection, error)
            return
        except Exception as exc:  # noqa: BLE001  # no more threads to give, say: it must reach the receiver
            failure = SessionError(f"the connection could not be restored: {exc!r}")
            failure.__cause__ = exc
            self._failed(outage, connection, failure)
            return
        if not self._take_over(outage, connection, again):
            connection.close()
            return
        try:
            self._attempted(connection, self._catch_up)
        except SpeechmaticsError as error:
            self._log.debug("nothing more can be sent: %s", error.text)  # the receiver hears why

    def _failed(self, outage: Outage, connection: Optional[Connection], error: SpeechmaticsError) -> None:
        if connection is not None:
            connection.close()
        renewed = isinstance(error, AuthenticationError) and not outage.renewed and self._refresh()
        with self._lock:
            self._next = None
            if renewed:
                outage.renewed = True
                self._plan(outage, error, at_once=True)
            elif is_recoverable(error, resuming=True):
                self._plan(outage, error)
            else:
                self._conclude(error, outage.error)

    def _take_over(self, outage: Outage, connection: Connection, again: float) -> bool:
        with self._lock:
            self._next = None
            if not self.is_open:
                return False
            before = self._stats()
            self._before = replace(
                before,
                reconnects=before.reconnects + 1,
                replayed_seconds=before.replayed_seconds + again,
            )
            self._connection, self._outage, self._error = connection, None, None
            self._last = (outage, time.monotonic())
            gap = time.monotonic() - outage.began
            self._ahead.append(
                _Own(
                    message="Resumed",
                    attempt=outage.attempts,
                    gap=round(gap, 3),
                    replayed=round(again, 3),
                    id=connection.session_id,
                )
            )
            self._log.session_id = connection.session_id
            self._log.info("resumed after %.1f s; %.1f s of audio are sent again", gap, again)
            if self._arrival is not None:
                connection.ring(self._arrival)
            self._tell()
            return True

    def _catch_up(self, connection: Connection) -> None:
        """Say what is due, at ``replay_speed`` at most, until nothing is."""
        began, said = time.monotonic(), 0.0
        while True:
            item = self._take_due(connection)
            if item is None:
                return
            if isinstance(item, Piece):
                seconds = self._replay.seconds(len(item.audio))
                connection.wait_until(began + said / self._policy.replay_speed)
                said += seconds
                connection.send_audio(item.audio, channel=item.channel, seconds=seconds, feeding=item.feeding)
            elif isinstance(item, Request):
                connection.send(item.message)
            elif item.channel is None:
                connection.end_stream()
            else:
                connection.end_channel(item.channel)
            with self._lock:
                if connection is self._connection and self._outage is None:
                    self._replay.said(item)

    def _take_due(self, connection: Connection) -> Union[Piece, Request, End, None]:
        with self._lock:
            if connection is not self._connection or self._outage is not None:
                return None
            item = self._replay.due() if self._verdict is None else None
            if item is not None:
                return item
            self._recovering = False  # first this, then _stop: see request_stop()
            if self._stop and self._verdict is None and not self._replay.over:
                return self._replay.end_stream()
            self._room.notify_all()
            return None


def _said(error: SpeechmaticsError) -> str:
    """Give the text of an error without its ids."""
    return str(error.args[0]) if error.args else type(error).__name__


def _channels(start: Mapping[str, Any]) -> list[Optional[str]]:
    config = start["transcription_config"]
    labels = config.get("channel_diarization_labels") or ()
    return list(labels) if str(config.get("diarization", "")).startswith("channel") and labels else [None]
