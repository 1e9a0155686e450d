"""One session over several connections: a lost one is replaced, and no word is lost or repeated.

To everything above, this is a :class:`Link` like any connection; below, each reconnect makes a new one.
*The receiver notices the loss*, after it has received what had arrived before, and starts an
:class:`Attempt`. What follows from all this is decided in :class:`ResumeState`. Senders use the half that is
:class:`Sending`; here is the other one, and what both share.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Callable, Optional, Union

from ..config import AudioFormat, ResumePolicy
from ..exceptions import SessionError, SpeechmaticsError
from ..log import SessionLog
from ..network import Messages, Opening, Replaceable, WaitList, Wakes
from ..protocol import Incoming, Payload
from ..stats import SessionStats
from ..threads import is_mine, new_lock
from .attempt import Attempt
from .backoff import Outage
from .replay import Due, Piece
from .sending import Sending
from .state import LocalMessage, ResumeState

__all__ = ["ResumingConnection"]

_jitter = random.random  # no secret


class ResumingConnection(Sending):
    """A link that replaces its connection when that is lost.

    ``_lock`` guards ``_state`` and which connections there are. A connection's lock may be taken under it,
    never the other way round; nothing waits under it. ``_room`` is for senders, ``_news`` for the receiver.

    Args:
        connection: The first connection.
        dial: Opens another one before a deadline (monotonic), unless the opening is given up.
        refresh: Asks for a new token; False if there is none.
    """

    def __init__(
        self,
        connection: Replaceable,
        dial: Callable[[Opening, float], Replaceable],
        *,
        policy: ResumePolicy,
        start: Mapping[str, Any],
        audio_format: AudioFormat,
        refresh: Callable[[], bool],
        log: SessionLog,
    ) -> None:
        self._connection = connection
        self._next: Optional[Replaceable] = None  # one that is starting
        self._opening = Opening()  # of further connections; given up once nobody wants another
        self._dial = partial(dial, self._opening)
        self._refresh = refresh
        self._speed = policy.replay_speed
        self._log = log
        self._pid = os.getpid()
        self._lock = new_lock()
        self._state = ResumeState(start, audio_format, policy)
        self._room, self._news = WaitList(), WaitList()
        self._receiver_wakeup: Optional[Wakes] = None

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._connection.session_id

    @property
    def is_open(self) -> bool:
        return not self._state.is_over and os.getpid() == self._pid

    def stats(self) -> SessionStats:
        self._connection.check_process()
        with contextlib.nullcontext() if self._interrupted else self._lock:  # a signal handler takes no lock
            return self._state.stats(self._connection.stats())

    # -- the start -----------------------------------------------------------------------------------

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        connection = self._connection
        try:
            return connection.start(message, deadline)
        except SpeechmaticsError as error:
            received = Messages(connection.left_over().waiting, self._decode)
            self._state.ahead += [LocalMessage(message) for message in received]
            self._lose(connection, error)
        while True:
            with self._lock:
                if self._state.outcome is not None:
                    self._state.raise_outcome()
                if self._state.outage is None:
                    return True
                claimed, ticket = self._state.claim(), self._news.ticket()
            self._begin(claimed)
            if not WaitList.wait(ticket, deadline):
                return False

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        self._connection.check(self._lock)
        state = self._state
        while True:
            with self._lock:
                if state.ahead:
                    ahead, state.ahead = state.ahead, []
                    return Messages(map(Incoming.of, ahead), self._decode)
                if state.outcome is not None:  # nothing comes after it
                    if not state.outcome.normal:
                        state.raise_outcome()
                    break
                if state.forbidden():
                    self._notify()
                    continue
                connection, claimed, lost = self._connection, state.claim(), state.outage is not None
                ticket = self._news.ticket() if lost and time.monotonic() < deadline else None
            if lost:
                self._begin(claimed)
                if ticket is None or not WaitList.wait(ticket, deadline):
                    return None
                continue
            try:
                arrived = connection.receive(deadline)
            except SpeechmaticsError as error:
                self._lose(connection, error)
                continue
            if arrived == ():
                with self._lock:
                    state.complete()
                    self._notify()
            else:
                return Messages(arrived.waiting, self._decode) if arrived else arrived
        return self._connection.receive()  # (), by its own verdict

    def _decode(self, payload: Payload) -> Optional[dict[str, Any]]:
        """Return a message as a single session would have sent it; None if it did before an outage."""
        if isinstance(payload, LocalMessage):
            return payload
        try:
            message = self._connection.decode(payload)
        except SpeechmaticsError as error:
            self._conclude(error, error.__cause__)
            raise
        if message is None:
            return None
        with self._lock:
            if message["message"] == "EndOfTranscript" and self._connection.is_complete:
                self._state.complete()  # its verdict, before handlers run: some start another session
            stitched, question = self._state.receive(message), self._state.question()
            # An error means that it is over or lost, which the receiver is about to notice.
            with contextlib.suppress(SpeechmaticsError):
                if question is not None and self._connection.offer(question):
                    self._state.replay.asked(question)
            self._notify()
            return stitched

    def left_over(self) -> Messages:
        with self._lock:
            ahead, self._state.ahead = self._state.ahead, []
        return Messages([*map(Incoming.of, ahead), *self._connection.left_over().waiting], self._decode)

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        with self._lock:
            self._receiver_wakeup = wakeup
            self._connection.wake_on_arrival(wakeup)

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        with self._lock:
            self._state.fail(error, cause)
            self._notify()
        self._connection.fail(error, cause)

    def close(self, deadline: float = float("inf")) -> None:
        if os.getpid() == self._pid:
            if self._interrupted:  # a signal handler: the code it interrupted will find that it is over
                self.abandon()
            else:
                with self._lock:
                    if self._state.outcome is None:
                        self._state.conclude(SessionError("the session was closed"), None)
                        self._state.ahead.clear()
                        self._notify()
        for connection in self._connections:
            connection.close(deadline)

    def abandon(self) -> None:
        self._state.abandoned = True
        for connection in self._connections:
            connection.abandon()
        self._opening.give_up()
        self._room.call_all()

    @property
    def _connections(self) -> list[Replaceable]:
        """The connections there are, read in this order: see :meth:`take_over`."""
        return [connection for connection in (self._next, self._connection) if connection is not None]

    @property
    def _interrupted(self) -> bool:
        """Whether this thread holds our lock, or the connection's, which a holder of ours may wait for."""
        return is_mine(self._lock) or self._connection.interrupted

    # -- inside --------------------------------------------------------------------------------------

    def _notify(self) -> None:
        """Wake the threads that wait for what has happened; the lock is held."""
        state = self._state
        if state.room:
            state.room = False
            self._room.notify_all()
        if state.news:
            state.news = False
            self._news.notify_all()
            if state.is_over:
                self._opening.give_up()
            if self._receiver_wakeup is not None:
                self._receiver_wakeup.wake()

    def _conclude(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        with self._lock:
            self._state.conclude(error, cause)
            self._notify()

    def _lose(self, connection: Replaceable, error: SpeechmaticsError) -> None:
        """Begin an outage, or end the session."""
        with self._lock:
            if self._state.outcome is not None or connection is not self._connection:
                return
            planned = self._state.lose(error, connection.stats(), time.monotonic(), _jitter())
            self._notify()
        self._announce(planned, error)

    def _announce(self, planned: Optional[Mapping[str, Any]], error: SpeechmaticsError) -> None:
        if planned:
            self._log.info("%s; attempt %d in %.1f s", error.text, planned["attempt"], planned["delay"])

    # -- for the thread of an attempt ------------------------------------------------------------------

    def _begin(self, outage: Optional[Outage]) -> None:
        """Start the thread of the attempt that was claimed."""
        if outage is None:
            return
        attempt = Attempt(self, outage, self._dial, refresh=self._refresh, speed=self._speed)
        try:
            attempt.start(self._log.request_id)
        except SessionError as exc:  # no more threads to give
            self.fail(SessionError(f"the connection could not be restored: {exc}"), exc)

    def wait(self, moment: float) -> bool:
        """Close the lost connection and sleep until ``moment`` (monotonic); False if no other is wanted."""
        self._connection.close()  # before the wait: an open socket counts against the quota
        return self._opening.pause(moment) and self.is_open

    def begin_replay(self) -> tuple[float, dict[str, Any]]:
        """Return how many seconds of audio will be sent again, and the StartRecognition to begin with."""
        with self._lock:
            return self._state.replay.begin(), self._state.replay.start

    def try_next(self, connection: Replaceable) -> bool:
        """Note which connection is being tried, so that it can be closed; False if it is not wanted."""
        self._next = connection  # before the check: close() and abandon() do both in the opposite order
        return self.is_open

    def take_over(self, connection: Replaceable, again: float) -> bool:
        """Make the new connection the current one; False if it is not wanted."""
        with self._lock:
            if not self.is_open:
                self._next = None
                return False
            lost, self._connection = self._connection, connection
            self._next = None  # last: abandon(), which takes no lock, looks here first
            self._log.session_id = connection.session_id
            gap = self._state.resumed(again, lost.stats(), connection.session_id, time.monotonic())
            if self._receiver_wakeup is not None:
                connection.wake_on_arrival(self._receiver_wakeup)
            self._notify()
        self._log.info("resumed after %.1f s; %.1f s of audio are sent again", gap, again)
        return True

    def catch_up(self, connection: Replaceable, action: Callable[[Replaceable], None]) -> None:
        """Run the action that sends what was kept; a loss meanwhile is left to the receiver to notice."""
        try:
            self._attempted(connection, action)
        except SpeechmaticsError as error:
            connection.fail(error, error.__cause__)  # so that the receiver gets it

    def take_due(self, connection: Replaceable) -> Optional[Due]:
        """Return what to send next on the connection; None when it has caught up, or is lost."""
        with self._lock:
            if connection is not self._connection or self._state.outage is not None:
                return None
            item = self._state.due()
            self._notify()
            return item

    def seconds_of(self, piece: Piece) -> float:
        return self._state.replay.seconds(len(piece.audio))

    def dropped(self, outage: Outage) -> None:
        """End the session with the error of the outage: no other connection is wanted."""
        self._conclude(outage.error, outage.error.__cause__)

    def attempt_failed(
        self, error: SpeechmaticsError, messages: Iterable[Mapping[str, Any]], *, renewed: bool
    ) -> None:
        """Plan another attempt, or give up; ``messages`` are the server's Error messages."""
        with self._lock:
            self._next = None
            for message in messages:
                self._state.receive(dict(message))
            now = time.monotonic()
            planned = self._state.attempt_failed(error, renewed=renewed, now=now, jitter=_jitter())
            self._notify()
        self._announce(planned, error)
