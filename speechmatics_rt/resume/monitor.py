"""The one lock of a session over several connections, what it guards, and the threads that wait."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional

from ..exceptions import SpeechmaticsError, TimeoutError
from ..log import SessionLog
from ..network import Opening, Replaceable, WaitList, Wakes
from ..threads import is_mine, new_lock
from .backoff import Outage
from .replay import Due, Piece
from .state import ResumeState

__all__ = ["ResumeMonitor"]

_jitter = random.random  # no secret


class ResumeMonitor:
    """Lets senders, the receiver and the thread of an attempt share one :class:`ResumeState`.

    ``lock`` guards ``state``, and which connections there are. A connection's lock may be taken under it,
    never the other way round; nothing waits under it. ``room`` is for senders, ``news`` for the receiver.

    Attributes:
        connection: The current connection.
        opening: That of further connections; given up once nobody wants another.
    """

    def __init__(self, connection: Replaceable, state: ResumeState, log: SessionLog) -> None:
        self.connection = connection
        self.state = state
        self.lock = new_lock()
        self.room, self.news = WaitList(), WaitList()
        self.opening = Opening()
        self._next: Optional[Replaceable] = None  # one that is starting
        self._receiver_wakeup: Optional[Wakes] = None
        self._log = log
        self._pid = os.getpid()

    @property
    def is_of_this_process(self) -> bool:
        return os.getpid() == self._pid

    @property
    def is_open(self) -> bool:
        return not self.state.is_over and self.is_of_this_process

    @property
    def interrupted(self) -> bool:
        """Whether this thread holds our lock, or the connection's, which a holder of ours may wait for."""
        return is_mine(self.lock) or self.connection.interrupted

    @property
    def live(self) -> Optional[Replaceable]:
        """The connection, if it may be sent on: None while another one catches up."""
        return None if self.state.recovering else self.connection

    @property
    def connections(self) -> list[Replaceable]:
        """The connections there are, read in this order: see :meth:`take_over`."""
        return [connection for connection in (self._next, self.connection) if connection is not None]

    def notify(self) -> None:
        """Wake the threads that wait for what has happened; the lock is held."""
        state = self.state
        if state.room:
            state.room = False
            self.room.notify_all()
        if state.news:
            state.news = False
            self.news.notify_all()
            if state.is_over:
                self.opening.give_up()
            if self._receiver_wakeup is not None:
                self._receiver_wakeup.wake()

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        """From now on also wake a receiver that waits elsewhere, whichever connection is the current one."""
        with self.lock:
            self._receiver_wakeup = wakeup
            self.connection.wake_on_arrival(wakeup)

    # -- a loss, and the end -------------------------------------------------------------------------

    def attempted(self, connection: Replaceable, action: Callable[[Replaceable], None]) -> bool:
        """Do something that may wait, without the lock; False if the connection was lost for now."""
        try:
            action(connection)
        except SpeechmaticsError as error:
            if not self.state.may_mend(error):
                raise
            if isinstance(error, TimeoutError):
                connection.fail(error)  # a stalled send: this makes the receiver notice it
            self.note_loss(connection)
            return False
        return True

    def note_loss(self, connection: Replaceable) -> None:
        """Have nothing more sent on a connection; the receiver is about to find out why."""
        with self.lock:
            self.state.recovering |= connection is self.connection

    def lose(self, connection: Replaceable, error: SpeechmaticsError) -> None:
        """Begin an outage, or end the session; for the receiver."""
        with self.lock:
            if self.state.conclusion is not None or connection is not self.connection:
                return
            planned = self.state.lose(error, connection.stats(), time.monotonic(), _jitter())
            self.notify()
        self._announce(planned, error)

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """End the session with an error of this end."""
        with self.lock:
            self.state.fail(error, cause)
            self.notify()
        self.connection.fail(error, cause)

    def conclude(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """End the session with an error that no other connection mends."""
        with self.lock:
            self.state.conclude(error, cause)
            self.notify()

    def abandon(self) -> None:
        """Shut what is open, and wake who waits, without the lock."""
        self.state.abandoned = True
        for connection in self.connections:
            connection.abandon()
        self.opening.give_up()
        self.room.call_all()

    def _announce(self, planned: Optional[Mapping[str, Any]], error: SpeechmaticsError) -> None:
        if planned:
            # Before the first session nobody gets a Reconnecting; who waits is to know why: once a session.
            silent = self.connection.session_id is None and planned["attempt"] == 1
            tell = self._log.warning if silent else self._log.info
            tell("%s; attempt %d in %.1f s", error.text, planned["attempt"], planned["delay"])

    # -- for the thread of an attempt ------------------------------------------------------------------

    def wait(self, outage: Outage) -> bool:
        """Close the lost connection and sleep until the attempt is due; False if no other is wanted."""
        self.connection.close(outage.until)  # before the wait: an open socket counts against the quota
        return self.opening.pause(outage.due) and self.is_open

    def begin_replay(self) -> tuple[float, dict[str, Any]]:
        """Return how many seconds of audio will be sent again, and the StartRecognition to begin with."""
        with self.lock:
            return self.state.replay.begin(), self.state.replay.start

    def try_next(self, connection: Replaceable) -> bool:
        """Note which connection is being tried, so that it can be closed; False if it is not wanted."""
        self._next = connection  # before the check: close() and abandon() do both in the opposite order
        return self.is_open

    def take_over(self, connection: Replaceable, again: float) -> bool:
        """Make the new connection the current one; False if it is not wanted."""
        with self.lock:
            if not self.is_open:
                self._next = None
                return False
            lost, self.connection = self.connection, connection
            self._next = None  # last: abandon(), which takes no lock, looks here first
            self._log.session_id = connection.session_id
            gap = self.state.resumed(again, lost.stats(), connection.session_id, time.monotonic())
            if self._receiver_wakeup is not None:
                connection.wake_on_arrival(self._receiver_wakeup)
            self.notify()
        self._log.info("resumed after %.1f s; %.1f s of audio are sent again", gap, again)
        return True

    def take_due(self, connection: Replaceable) -> Optional[Due]:
        """Return what to send next on the connection; None when it has caught up, or is lost."""
        with self.lock:
            if connection is not self.connection or self.state.outage is not None:
                return None
            item = self.state.due()
            self.notify()
            return item

    def sent(self, connection: Replaceable, item: Due) -> None:
        """Note that what was due has been sent."""
        with self.lock:
            if connection is self.connection and self.state.outage is None:
                self.state.replay.sent(item)

    def seconds_of(self, piece: Piece) -> float:
        return self.state.replay.seconds(len(piece.audio))

    def dropped(self, outage: Outage) -> None:
        """End the session with the error of the outage: no other connection is wanted."""
        self.conclude(outage.error, outage.error.__cause__)

    def attempt_failed(
        self, error: SpeechmaticsError, messages: Iterable[Mapping[str, Any]], *, renewed: bool
    ) -> None:
        """Plan another attempt, or give up; ``messages`` are the server's Error messages."""
        with self.lock:
            self._next = None
            for message in messages:
                self.state.receive(dict(message))
            now = time.monotonic()
            planned = self.state.attempt_failed(error, renewed=renewed, now=now, jitter=_jitter())
            self.notify()
        self._announce(planned, error)
