"""The sending half of a link that resumes: what its caller sends goes out, or is kept until it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from ..exceptions import ConnectionError, SpeechmaticsError, TimeoutError
from ..network import Link, Replaceable, WaitList
from ..protocol import codec
from .replay import Due, End, Request
from .state import ResumeState

__all__ = ["Sending"]

_Audio = Union[bytes, bytearray, memoryview]


class Sending(Link):
    """Sends on the current connection, and keeps what a later one may have to send again.

    A loss is only noted here, so that nothing more is sent on that connection; the receiver mends it.
    ``_room`` is what senders wait for; :class:`ResumingConnection` says what its lock guards.
    """

    _connection: Replaceable
    _lock: Any
    _state: ResumeState
    _room: WaitList

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

    def send(self, message: Mapping[str, Any]) -> None:
        self._connection.check(self._lock)
        codec.encode(message)  # a message that can't be sent must not be kept
        with self._lock:
            self._state.check_turn(message["message"])
            request, live = self._state.replay.request(message), self._live
        self._send_or_keep(request, live, lambda connection: connection.send(request.message))

    def send_audio(
        self,
        payload: _Audio,
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        self._connection.check(self._lock)
        state = self._state
        while True:
            with self._lock:
                state.check_turn("AddAudio" if channel is None else "AddChannelAudio", channel)
                if self._try(payload, channel, seconds, feeding):
                    return True
                live = self._live
                if live is None and not feeding:
                    return self._keep(payload, channel, wait=wait)
                ticket = self._room.ticket() if live is None and wait else None
            if not wait:
                return False
            if live is not None:
                self._attempted(live, lambda it: it.wait_for_room(channel, seconds, feeding))
            elif ticket is not None and not (state.abandoned or state.stop):  # after it, as set without lock
                WaitList.wait(ticket)

    def _keep(self, payload: _Audio, channel: Optional[str], *, wait: bool) -> bool:
        """Keep a caller's chunk in an outage; without ``wait``, return False if too much waits already."""
        replay = self._state.replay
        full = replay.full(channel, len(payload))
        if full and wait:
            self._state.raise_full()
        if not full:
            replay.keep(channel, payload)
        return not full

    def _try(self, payload: _Audio, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        """Send a chunk, and keep it, if it can be sent without waiting, and there is no outage."""
        live, replay = self._live, self._state.replay
        if live is None:
            return False
        try:
            if not live.send_audio(payload, channel=channel, seconds=seconds, feeding=feeding, wait=False):
                return False
            replay.sent(replay.keep(channel, payload, feeding))
        except SpeechmaticsError as error:
            if not self._state.may_mend(error):
                raise
            self._state.recovering = True  # the receiver is about to notice it, too
            return False
        except KeyboardInterrupt:  # nobody knows whether it was sent; another session gets what was kept
            live.fail(ConnectionError("interrupted while sending", stage="streaming"))
            raise
        return True

    @property
    def _live(self) -> Optional[Replaceable]:
        """The connection, if it may be sent on: None while another one catches up."""
        return None if self._state.recovering else self._connection

    def _send_or_keep(
        self, item: Union[Request, End], live: Optional[Replaceable], send: Callable[[Replaceable], None]
    ) -> None:
        """Send an item of the replay on ``live``, the connection at the time; without one, leave it there."""
        if live is not None and self._attempted(live, send):
            self.sent(live, item)

    def _attempted(self, connection: Replaceable, action: Callable[[Replaceable], None]) -> bool:
        """Do something that may wait, without the lock; False if the connection was lost for now."""
        try:
            action(connection)
        except SpeechmaticsError as error:
            if not self._state.may_mend(error):
                raise
            if isinstance(error, TimeoutError):
                connection.fail(error)  # a stalled send: this makes the receiver notice it
            self._note_loss(connection)
            return False
        return True

    def _note_loss(self, connection: Replaceable) -> None:
        with self._lock:
            self._state.recovering |= connection is self._connection

    def end_stream(self) -> None:
        self._connection.check(self._lock)
        state = self._state
        with self._lock:
            if state.outcome is None and not state.replay.over:
                end = state.replay.end_stream()
                if not state.recovering:
                    self._connection.end_stream()
                    state.replay.sent(end)
            self._room.notify_all()

    def end_channel(self, channel: str) -> None:
        self._connection.check(self._lock)
        with self._lock:
            self._state.check_turn("EndOfChannel", channel)
            end, live = self._state.replay.end_channel(channel), self._live
        self._send_or_keep(end, live, lambda connection: connection.end_channel(channel))

    def request_stop(self) -> None:
        # In this order: the thread that catches up clears `recovering` first, and then looks at `stop`.
        self._state.stop = True
        if not self._state.recovering:
            self._connection.request_stop()
        self._room.call_all()

    def wait_until(self, moment: float) -> bool:
        while True:
            with self._lock:
                if self.draining:
                    return False
                live = self._live
                ticket = self._room.ticket() if live is None else None
            if ticket is not None:
                if not WaitList.wait(ticket, moment):
                    return True
            elif live is None or live.wait_until(moment):
                return True
            elif not self.draining:
                self._note_loss(live)  # it accepts no more audio: the receiver will find out why

    def sent(self, connection: Replaceable, item: Due) -> None:
        """Note that what was due has been sent."""
        with self._lock:
            if connection is self._connection and self._state.outage is None:
                self._state.replay.sent(item)
