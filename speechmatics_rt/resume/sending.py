"""The sending half of a link that resumes: what is sent now, and what is kept until it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from ..exceptions import ConnectionError, SpeechmaticsError
from ..network import Link, Replaceable, WaitList
from ..protocol import codec
from .monitor import ResumeMonitor
from .replay import End, Request

__all__ = ["Sending"]

_Audio = Union[bytes, bytearray, memoryview]


class Sending(Link):
    """Sends on the current connection, and keeps what a later one may have to send again.

    A loss is only noted here, so that nothing more is sent on that connection; the receiver mends it.
    """

    def __init__(self, monitor: ResumeMonitor) -> None:
        self._monitor = monitor
        self._lock = monitor.lock
        self._state = monitor.state

    def _check(self) -> None:
        """Refuse a call in a forked child, and where nothing may wait, see :attr:`Link.interrupted`."""
        self._monitor.connection.check(self._lock)

    def send(self, message: Mapping[str, Any]) -> None:
        self._check()
        codec.encode(message)  # a message that can't be sent must not be kept
        with self._lock:
            self._state.check_turn(message["message"])
            request, live = self._state.replay.request(message), self._monitor.live
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
        self._check()
        monitor, state = self._monitor, self._state
        while True:
            with self._lock:
                state.check_turn("AddAudio" if channel is None else "AddChannelAudio", channel)
                if self._try(payload, channel, seconds, feeding):
                    return True
                live = monitor.live
                if live is None and not feeding:
                    return self._keep(payload, channel, wait=wait)
                ticket = monitor.room.ticket() if live is None and wait else None
            if not wait:
                return False
            if live is not None:
                monitor.attempted(live, lambda it: it.wait_for_room(channel, seconds, feeding))
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
        live, replay = self._monitor.live, self._state.replay
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

    def _send_or_keep(
        self, item: Union[Request, End], live: Optional[Replaceable], send: Callable[[Replaceable], None]
    ) -> None:
        """Send an item of the replay on ``live``, the connection at the time; without one, leave it there."""
        if live is not None and self._monitor.attempted(live, send):
            self._monitor.sent(live, item)

    def end_stream(self) -> None:
        self._check()
        monitor, state = self._monitor, self._state
        with self._lock:
            if state.conclusion is None and not state.replay.over:
                end = state.replay.end_stream()
                if not state.recovering:
                    monitor.connection.end_stream()
                    state.replay.sent(end)
            monitor.room.notify_all()

    def end_channel(self, channel: str) -> None:
        self._check()
        with self._lock:
            self._state.check_turn("EndOfChannel", channel)
            end, live = self._state.replay.end_channel(channel), self._monitor.live
        self._send_or_keep(end, live, lambda connection: connection.end_channel(channel))

    def request_stop(self) -> None:
        # In this order: the thread that catches up clears `recovering` first, and then looks at `stop`.
        self._state.stop = True
        if self._monitor.connection.session_id is not None:  # else no other attempt is wanted: see start()
            self._monitor.opening.hurry()
        if not self._state.recovering:
            self._monitor.connection.request_stop()
        self._monitor.room.call_all()
        self._monitor.news.call_all()

    def wait_until(self, moment: float) -> bool:
        monitor, state = self._monitor, self._state
        while True:
            with self._lock:
                if state.draining:
                    return False
                live = monitor.live
                ticket = monitor.room.ticket() if live is None else None
            if ticket is not None:
                if not WaitList.wait(ticket, moment):
                    return True
            elif live is None or live.wait_until(moment):
                return True
            elif not state.draining:
                monitor.note_loss(live)  # it accepts no more audio: the receiver will find out why
