"""One session over several connections: a lost one is replaced, and no word is lost or repeated.

To everything above, this is a :class:`Link` like any connection; below, each reconnect makes a new one.
*The receiver notices the loss*, after it has received what had arrived before, and starts an
:class:`Reconnection`. What follows from all this is decided in :class:`ResumeState`, under the lock of a
:class:`ResumeMonitor`. :class:`Sending` is the half that senders call.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Callable, Optional, Union

from ..config import AudioFormat, ResumePolicy
from ..exceptions import SessionError, SpeechmaticsError
from ..log import SessionLog
from ..network import Messages, Opening, Replaceable, WaitList, Wakes
from ..protocol import Payload
from ..stats import SessionStats
from .backoff import Outage
from .monitor import ResumeMonitor
from .reconnection import Reconnection
from .sending import Sending
from .state import LocalMessage, ResumeState

__all__ = ["ResumingConnection"]


class ResumingConnection(Sending):
    """A link that replaces its connection when that is lost.

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
        super().__init__(ResumeMonitor(connection, ResumeState(start, audio_format, policy), log))
        self._dial = partial(dial, self._monitor.opening)
        self._refresh = refresh
        self._speed = policy.replay_speed
        self._log = log
        # Attempts are begun by whoever receives, but a program's auth may know its tenant by its context.
        self._context = copy_context()

    @property
    def _connection(self) -> Replaceable:
        return self._monitor.connection

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._connection.session_id

    @property
    def is_open(self) -> bool:
        return self._monitor.is_open

    @property
    def draining(self) -> bool:
        return self._state.draining

    @property
    def seconds_sent(self) -> float:
        return self._state.replay.seconds_taken

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return self._state.replay.seconds_on(channel)

    @property
    def bytes_sent(self) -> int:
        return self._state.replay.bytes_taken

    def stats(self) -> SessionStats:
        self._connection.check_process()
        interrupted = self._monitor.interrupted
        with contextlib.nullcontext() if interrupted else self._lock:  # a signal handler takes no lock
            return self._state.stats(self._connection.stats())

    # -- the start -----------------------------------------------------------------------------------

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        connection = self._connection
        try:
            return connection.start(message, deadline)
        except SpeechmaticsError as error:
            received = Messages(connection.left_over().waiting, self._decode)
            self._state.ahead += [LocalMessage(message) for message in received]
            self._monitor.lose(connection, error)
        while True:
            with self._lock:
                if self._state.conclusion is not None:
                    self._state.raise_conclusion()
                if self._state.outage is None:
                    return True
                claimed, ticket = self._state.claim(), self._monitor.news.ticket()
                if self._state.stop:  # after the ticket, as it is set without the lock
                    self._state.conclude(self._state.outage.error, None)  # there is nothing to complete
                    self._monitor.notify()
                    continue
            self._begin(claimed)
            if not WaitList.wait(ticket, deadline):
                return False

    def _begin(self, outage: Optional[Outage]) -> None:
        """Start the thread of the attempt that was claimed."""
        if outage is None:
            return
        reconnection = Reconnection(
            self._monitor, outage, self._dial, refresh=self._refresh, speed=self._speed
        )
        try:
            reconnection.start(self._log.request_id, self._context.copy())  # only one thread can enter each
        except SessionError as exc:  # no more threads to give
            self.fail(SessionError(f"the connection could not be restored: {exc}"), exc)

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        self._check()
        monitor, state = self._monitor, self._state
        while True:
            with self._lock:
                if state.ahead:
                    return Messages(state.take_ahead(), self._decode)
                if state.conclusion is not None:  # nothing comes after it
                    if not state.conclusion.normal:
                        state.raise_conclusion()
                    break
                if state.forbidden():
                    monitor.notify()
                    continue
                connection, claimed, lost = self._connection, state.claim(), state.outage is not None
                ticket = monitor.news.ticket() if lost and time.monotonic() < deadline else None
            if lost:
                self._begin(claimed)
                if ticket is None or not WaitList.wait(ticket, deadline):
                    return None
                continue
            try:
                arrived = connection.receive(deadline)
            except SpeechmaticsError as error:
                monitor.lose(connection, error)
                continue
            if arrived == ():
                with self._lock:
                    state.complete()
                    monitor.notify()
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
            self._monitor.conclude(error, error.__cause__)
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
            self._monitor.notify()
            return stitched

    def left_over(self) -> Messages:
        with self._lock:
            ahead = self._state.take_ahead()
        return Messages([*ahead, *self._connection.left_over().waiting], self._decode)

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        self._monitor.wake_on_arrival(wakeup)

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        self._monitor.fail(error, cause)

    def close(self, deadline: float = float("inf")) -> None:
        monitor = self._monitor
        try:
            if monitor.interrupted:  # a signal handler: the code it interrupted will find that it is over
                self.abandon()
            elif monitor.is_of_this_process:
                with self._lock:
                    if self._state.conclusion is None:
                        self._state.conclude(SessionError("the session was closed"), None)
                        self._state.ahead.clear()
                        monitor.notify()
            self._context = Context()  # keeps nothing of the caller's alive any more
            for connection in monitor.connections:
                connection.close(deadline)
        except BaseException:  # Ctrl-C: a finaliser has nothing to do for what is closed
            self.abandon()
            raise

    def abandon(self) -> None:
        self._monitor.abandon()
