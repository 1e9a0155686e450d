"""One session over several connections: a lost one is replaced, and no word is lost or said twice.

To everything above it this is a :class:`Connection`. Below, each reconnect makes a new one. *The receiver
notices the loss*, since it takes what had arrived before, and a thread of its own makes each attempt; that
thread then sends what was kept, and leaves when it has caught up. What follows from all this is decided
in :class:`Recovery`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from ..config import AudioFormat, ResumePolicy
from ..exceptions import AuthenticationError, SessionError, SpeechmaticsError, TimeoutError
from ..log import SessionLog
from ..network import Connection, Doorbell, Waiters
from ..protocol import Arrival, codec
from ..stats import SessionStats
from .backoff import Outage
from .replay import Due, End, Piece, Request
from .state import Own, Recovery

__all__ = ["ResumingConnection"]

_PATIENCE = 1.0  # seconds for the lock, which nobody holds for long
_LOOK_AGAIN = 1.0  # seconds; a finaliser takes no lock, and so can't call a feeder that waits


class ResumingConnection:
    """A connection that mends itself.

    ``_lock`` guards ``_recovery`` and which connections there are; under it a connection's own lock may be
    taken, never the other way round, and nothing that waits is done. ``_room`` and ``_news`` are for
    senders and the receiver.

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
        self._next: Optional[Connection] = None  # one that is starting
        self._dial = dial
        self._refresh = refresh
        self._speed = policy.replay_speed
        self._log = log
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._recovery = Recovery(start, audio_format, policy)
        self._room, self._news = Waiters(), Waiters()
        self._bell = Doorbell()  # of the attempt that waits for its time
        self._arrival: Optional[Doorbell] = None

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._connection.session_id

    @property
    def is_open(self) -> bool:
        return not self._recovery.is_over and os.getpid() == self._pid

    @property
    def draining(self) -> bool:
        return self._recovery.draining

    @property
    def seconds_sent(self) -> float:
        return self._recovery.replay.seconds_taken

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return self._recovery.replay.seconds_on(channel)

    @property
    def bytes_sent(self) -> int:
        return self._recovery.replay.bytes_taken

    def stats(self) -> SessionStats:
        self._connection.check_process()
        with self._lock:
            return self._recovery.stats(self._connection.stats())

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
                    self._recovery.ahead.append(Own(heard))
            self._lost(connection, error)
        while True:
            with self._lock:
                if self._recovery.verdict is not None:
                    self._recovery.raise_verdict()
                if self._recovery.outage is None:
                    return True
                claimed, ticket = self._recovery.claim(), self._news.ticket()
            self._begin(claimed)
            if not Waiters.wait(ticket, deadline):
                return False

    def send(self, message: Mapping[str, Any]) -> None:
        """As :meth:`Connection.send`; during an outage it is kept, and said when the session goes on."""
        self._connection.check_process()
        codec.encode(message)  # what can't be sent must not be kept
        with self._lock:
            self._recovery.check_turn(message["message"])
            request, live = self._recovery.replay.ask(message), self._live
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
        self._connection.check_process()
        recovery, replay = self._recovery, self._recovery.replay
        while True:
            ticket: Optional[threading.Lock] = None
            with self._lock:
                recovery.check_turn("AddAudio" if channel is None else "AddChannelAudio", channel)
                connection = self._connection
                if not recovery.recovering and self._try(payload, channel, seconds, feeding):
                    replay.said(replay.keep(channel, payload, feeding))
                    return True
                if recovery.recovering and feeding:
                    ticket = self._room.ticket()
                elif recovery.recovering:
                    full = replay.full(channel, len(payload))
                    if full and wait:
                        recovery.raise_full()
                    if not full:
                        replay.keep(channel, payload)
                    return not full
            if not wait:
                return False
            if ticket is not None:
                Waiters.wait(ticket, time.monotonic() + _LOOK_AGAIN)
            else:
                self._attempted(connection, lambda it: it.wait_for_room(channel, seconds, feeding))

    def _try(self, payload: Any, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        """Send a chunk if it needs no waiting."""
        try:
            return self._connection.send_audio(
                payload, channel=channel, seconds=seconds, feeding=feeding, wait=False
            )
        except SpeechmaticsError as error:
            if not self._recovery.may_mend(error):
                raise
            self._recovery.recovering = True  # the receiver is about to notice it, too
            return False

    @property
    def _live(self) -> Optional[Connection]:
        """The connection, if everybody may say something on it."""
        return None if self._recovery.recovering else self._connection

    def _say(
        self, item: Union[Request, End], live: Optional[Connection], say: Callable[[Connection], None]
    ) -> None:
        """Say what was put into the replay while ``live`` was the connection; without one it is kept."""
        if live is not None and self._attempted(live, say):
            self._said(live, item)

    def _said(self, connection: Connection, item: Due) -> None:
        with self._lock:
            if connection is self._connection and self._recovery.outage is None:
                self._recovery.replay.said(item)

    def _attempted(self, connection: Connection, action: Callable[[Connection], None]) -> bool:
        """Do what may wait, without the lock; False if the connection was lost, and may be mended."""
        try:
            action(connection)
        except SpeechmaticsError as error:
            if not self._recovery.may_mend(error):
                raise
            if isinstance(error, TimeoutError):
                connection.fail(error)  # a send stall: there the receiver hears of it
            self._broke(connection)
            return False
        return True

    def _broke(self, connection: Connection) -> None:
        with self._lock:
            self._recovery.recovering |= connection is self._connection

    def end_stream(self) -> None:
        """As :meth:`Connection.end_stream`."""
        self._connection.check_process()
        recovery = self._recovery
        with self._lock:
            if recovery.verdict is None and not recovery.replay.over:
                end = recovery.replay.end_stream()
                if not recovery.recovering:
                    self._connection.end_stream()
                    recovery.replay.said(end)
            self._room.notify_all()

    def end_channel(self, channel: str) -> None:
        """As :meth:`Connection.end_channel`."""
        self._connection.check_process()
        with self._lock:
            self._recovery.check_turn("EndOfChannel", channel)
            end, live = self._recovery.replay.end_channel(channel), self._live
        self._say(end, live, lambda connection: connection.end_channel(channel))

    def request_stop(self) -> None:
        """As :meth:`Connection.request_stop`."""
        # In this order: who has caught up takes `recovering` back first, and looks at `stop` then.
        self._recovery.stop = True
        if not self._recovery.recovering:
            self._connection.request_stop()

    def wait_until(self, moment: float) -> bool:
        """As :meth:`Connection.wait_until`."""
        while True:
            with self._lock:
                if self.draining:
                    return False
                live = self._live
                ticket = self._room.ticket() if live is None else None
            if ticket is not None:
                if not Waiters.wait(ticket, moment):
                    return True
            elif live is None or live.wait_until(moment):
                return True
            elif not self.draining:
                self._broke(live)  # it takes no audio any more: the receiver will say what that means

    # -- listening -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Optional[list[Arrival]]:
        """As :meth:`Connection.receive`; waits through outages."""
        self._connection.check_process()
        recovery = self._recovery
        while True:
            ticket: Optional[threading.Lock] = None
            with self._lock:
                if recovery.ahead:
                    batch, recovery.ahead = recovery.ahead, []
                    return batch
                if recovery.verdict is not None and not recovery.verdict.normal:
                    recovery.raise_verdict()
                if recovery.forbidden():
                    self._tell()
                    continue
                connection, claimed = self._connection, recovery.claim()
                if recovery.outage is not None:
                    ticket = self._news.ticket()
            if ticket is not None:
                self._begin(claimed)
                if not Waiters.wait(ticket, deadline):
                    return None
                continue
            try:
                arrivals = connection.receive(deadline)
            except SpeechmaticsError as error:
                self._lost(connection, error)
                continue
            if arrivals == []:
                with self._lock:
                    recovery.complete()
                    self._tell()
            return arrivals

    def ring(self, bell: Doorbell) -> None:
        """As :meth:`Connection.ring`."""
        with self._lock:
            self._arrival = bell
            self._connection.ring(bell)

    def open(self, arrival: Arrival) -> Optional[dict[str, Any]]:
        """As :meth:`Connection.open`; None also for what was said before an outage."""
        if isinstance(arrival, Own):
            return arrival
        try:
            message = self._connection.open(arrival)
        except SpeechmaticsError as error:
            self._conclude(error, error.__cause__)
            raise
        if message is None:
            return None
        with self._lock:
            heard = self._recovery.hear(message)
            self._tell()
            return heard

    def left_over(self) -> list[Arrival]:
        """As :meth:`Connection.left_over`."""
        with self._lock:
            batch, self._recovery.ahead = self._recovery.ahead, []
        return batch + self._connection.left_over()

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """As :meth:`Connection.fail`: a reason of our own is never mended."""
        with self._lock:
            self._recovery.fail(error, cause)
            self._tell()
            connection = self._connection
        connection.fail(error, cause)

    def close(self) -> None:
        """As :meth:`Connection.close`; an attempt under way is left behind, and closes what it gets."""
        if os.getpid() != self._pid:
            self._close_all()
            return
        locked = self._lock.acquire(timeout=_PATIENCE)  # in a signal handler its holder may be below us
        try:
            if not locked:
                self._recovery.abandoned = True
                self._bell.ring()
            elif self._recovery.verdict is None:
                self._recovery.conclude(SessionError("the session was closed"), None)
                self._recovery.ahead.clear()
                self._tell()
        finally:
            if locked:
                self._lock.release()
        self._close_all()

    def _close_all(self) -> None:
        for connection in (self._next, self._connection):
            if connection is not None:
                connection.close()

    def abandon(self) -> None:
        """As :meth:`Connection.abandon`: flags and shut sockets, no locks."""
        self._recovery.abandoned = True
        for connection in (self._next, self._connection):  # in this order: see _take_over()
            if connection is not None:
                connection.abandon()
        self._bell.ring()

    # -- inside --------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Wake who waits for what has happened; the lock is held."""
        recovery = self._recovery
        if recovery.room:
            recovery.room = False
            self._room.notify_all()
        if recovery.news:
            recovery.news = False
            self._news.notify_all()
            self._bell.ring()
            if self._arrival is not None:
                self._arrival.ring()

    def _conclude(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        with self._lock:
            self._recovery.conclude(error, cause)
            self._tell()

    def _lost(self, connection: Connection, error: SpeechmaticsError) -> None:
        """Begin an outage, or end it all."""
        with self._lock:
            if self._recovery.verdict is not None or connection is not self._connection:
                return
            planned = self._recovery.lose(error, connection.stats(), time.monotonic(), _jitter())
            self._tell()
        self._announce(planned, error)

    def _announce(self, planned: Optional[Mapping[str, Any]], error: SpeechmaticsError) -> None:
        if planned is not None:
            self._log.info("%s; attempt %d in %.1f s", error.text, planned["attempt"], planned["delay"])

    # -- the thread of an attempt --------------------------------------------------------------------

    def _begin(self, outage: Optional[Outage]) -> None:
        """Start the thread of the attempt that was claimed."""
        if outage is None:
            return
        name = f"speechmatics-rt-resume-{self._log.request_id}"
        thread = threading.Thread(target=self._attempt, args=(outage,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads to give
            self.fail(SessionError(f"the connection could not be restored: {exc}"), exc)

    def _attempt(self, outage: Outage) -> None:
        try:
            self._reconnect(outage)
        except BaseException as exc:  # whatever it is, the receiver waits for this thread
            self.fail(SessionError(f"the connection could not be restored: {exc!r}"), exc)
            if not isinstance(exc, Exception):
                raise

    def _reconnect(self, outage: Outage) -> None:
        self._connection.close()  # before the wait: an open socket counts against the quota
        while self.is_open and time.monotonic() < outage.due:
            self._bell.wait(outage.due - time.monotonic())
        connection: Optional[Connection] = None
        try:
            if self.is_open:
                with self._lock:
                    again, start = self._recovery.replay.begin(), self._recovery.replay.start
                connection = self._next = self._dial(outage.until)  # first this, then the look at is_open
                if self.is_open and not connection.start(start, outage.until):
                    raise TimeoutError("the session did not start in time", stage="start")
                if self._take_over(connection, again):
                    self._catch_up_on(connection)
                    return
            self._conclude(outage.error, outage.error.__cause__)  # it was dropped
        except SpeechmaticsError as error:
            self._failed(outage, connection, error)
        finally:
            if connection is not None and connection is not self._connection:
                connection.close()

    def _failed(self, outage: Outage, connection: Optional[Connection], error: SpeechmaticsError) -> None:
        said = connection.left_over() if connection is not None else []
        errors = [it for it in said if isinstance(it, dict) and it["message"] == "Error"]
        if connection is not None:
            connection.close()  # before the next attempt is announced
        renewed = False
        if isinstance(error, AuthenticationError) and not outage.renewed:
            try:
                renewed = self._refresh()
            except SpeechmaticsError as exc:
                error = exc
        with self._lock:
            self._next = None
            for message in errors:
                self._recovery.hear(message)
            now = time.monotonic()
            planned = self._recovery.attempt_failed(error, renewed=renewed, now=now, jitter=_jitter())
            self._tell()
        self._announce(planned, error)

    def _take_over(self, connection: Connection, again: float) -> bool:
        with self._lock:
            if not self.is_open:
                self._next = None
                return False
            lost, self._connection = self._connection, connection
            self._next = None  # last: who abandons without the lock looks here first
            self._log.session_id = connection.session_id
            gap = self._recovery.resumed(again, lost.stats(), connection.session_id, time.monotonic())
            if self._arrival is not None:
                connection.ring(self._arrival)
            self._tell()
        self._log.info("resumed after %.1f s; %.1f s of audio are sent again", gap, again)
        return True

    def _catch_up_on(self, connection: Connection) -> None:
        try:
            self._attempted(connection, self._catch_up)
        except SpeechmaticsError as error:
            connection.fail(error, error.__cause__)  # there the receiver hears of it

    def _catch_up(self, connection: Connection) -> None:
        """Say what is due, at ``replay_speed`` at most, until nothing is."""
        began, said = time.monotonic(), 0.0
        while True:
            item = self._take_due(connection)
            if item is None:
                return
            if isinstance(item, Piece):
                seconds = self._recovery.replay.seconds(len(item.audio))
                connection.wait_until(began + said / self._speed)
                said += seconds
                connection.send_audio(item.audio, channel=item.channel, seconds=seconds, feeding=item.feeding)
            elif isinstance(item, Request):
                connection.send(item.message)
            elif item.channel is None:
                connection.end_stream()
            else:
                connection.end_channel(item.channel)
            self._said(connection, item)

    def _take_due(self, connection: Connection) -> Optional[Due]:
        with self._lock:
            if connection is not self._connection or self._recovery.outage is not None:
                return None
            item = self._recovery.due()
            self._tell()
            return item


def _jitter() -> float:
    return random.random()  # noqa: S311  # no secret
