"""One attempt to reconnect, on a thread of its own, which then sends the audio that was kept."""

from __future__ import annotations

import threading
import time
from contextvars import Context
from typing import Callable, Optional

from ..exceptions import AuthenticationError, ConnectionError, SpeechmaticsError, TimeoutError, shown
from ..network import Replaceable
from ..threads import begin, telling
from .backoff import Outage
from .monitor import ResumeMonitor
from .replay import Piece, Request

__all__ = ["Reconnection"]


class Reconnection:
    """Replace a lost connection; the thread ends when the new one has caught up.

    Args:
        monitor: That of the session whose connection was lost.
        outage: The outage that this is an attempt of.
        dial: Opens a connection before a deadline (monotonic).
        refresh: Asks for a new token; False if there is none.
        speed: How many times faster than real time kept audio is sent.
    """

    def __init__(
        self,
        monitor: ResumeMonitor,
        outage: Outage,
        dial: Callable[[float], Replaceable],
        *,
        refresh: Callable[[], bool],
        speed: float,
    ) -> None:
        self._monitor = monitor
        self._outage = outage
        self._dial = dial
        self._refresh = refresh
        self._speed = speed

    def start(self, request_id: str, context: Context) -> None:
        """Start the thread, which enters ``context``; raises SessionError if it can't be started."""
        name = f"speechmatics-rt-resume-{request_id}"
        args = (self._died, context.run, self._reconnect)
        begin(threading.Thread(target=telling, args=args, name=name, daemon=True))

    def _died(self, error: BaseException) -> None:
        """End the session with any error at all, since the receiver waits for this thread."""
        # The code of a program that is called here gives a key, or logs.
        text = f"the connection could not be restored: {shown(error)}"
        self._monitor.fail(ConnectionError(text, stage="key", lasting=True), error)
        if not isinstance(error, Exception):
            raise error

    def _reconnect(self) -> None:
        monitor, outage = self._monitor, self._outage
        connection: Optional[Replaceable] = None
        taken = False
        try:
            if monitor.wait(outage):
                again, start = monitor.begin_replay()
                connection = self._dial(outage.until)
                if monitor.try_next(connection) and not connection.start(start, outage.until):
                    raise TimeoutError("the session did not start in time", stage="start")
                taken = monitor.take_over(connection, again)
            if taken and connection is not None:
                self._catch_up(connection)
            else:
                monitor.dropped(outage)
        except SpeechmaticsError as error:
            self._failed(connection, error)
        finally:
            if connection is not None and not taken:
                connection.close(outage.until)

    def _failed(self, connection: Optional[Replaceable], error: SpeechmaticsError) -> None:
        reasons = []
        if connection is not None:
            waiting = connection.left_over().waiting  # of an Error all is known
            reasons = [known for known, _, _ in waiting if known["message"] == "Error"]
            connection.close(self._outage.until)  # before the next attempt is announced
        renewed = False
        if isinstance(error, AuthenticationError) and not self._outage.renewed:
            try:
                renewed = self._refresh()
            except SpeechmaticsError as exc:
                error = exc
        self._monitor.attempt_failed(error, reasons, renewed=renewed)

    def _catch_up(self, connection: Replaceable) -> None:
        """Send what was kept; a loss meanwhile is left to the receiver to notice."""
        try:
            self._monitor.attempted(connection, self._send_due)
        except SpeechmaticsError as error:
            connection.fail(error, error.__cause__)  # so that the receiver gets it

    def _send_due(self, connection: Replaceable) -> None:
        """Send what is due, a channel at most ``speed`` times as fast as real time, until nothing is left."""
        monitor = self._monitor
        began, sent = time.monotonic(), dict[Optional[str], float]()
        while (item := monitor.take_due(connection)) is not None:
            if isinstance(item, Piece):
                seconds = monitor.seconds_of(item)
                before = sent.get(item.channel, 0.0)
                connection.wait_until(began + before / self._speed)
                sent[item.channel] = before + seconds
                connection.send_audio(item.audio, channel=item.channel, seconds=seconds, feeding=item.feeding)
            elif isinstance(item, Request):
                connection.send(item.message)
            elif item.channel is None:
                connection.end_stream()
            else:
                connection.end_channel(item.channel)
            monitor.sent(connection, item)
