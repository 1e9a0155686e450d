"""All that is known of a running session, and what follows from it, without a socket, thread or clock.

The session's table, the frames waiting to be written, the window, the messages waiting to be handled, the
keepalive and the outcome change together, under one lock. This room holds that whole; its owner brings
the lock, the time and the bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Optional, Union

from ..config import ConnectionConfig
from ..exceptions import (
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    without_frames,
)
from . import codec, frames
from .keepalive import Keepalive
from .outbox import Outbox
from .state import RUNNING, Phase, ProtocolState, Role
from .window import Window

__all__ = ["ACKNOWLEDGEMENTS", "SPEECH", "Payload", "ClientProtocol", "Incoming", "Outcome"]

ACKNOWLEDGEMENTS = ("AudioAdded", "ChannelAudioAdded")
SPEECH = {"AddTranscript", "AddPartialTranscript", "AddTranslation", "AddPartialTranslation"}
INBOX_BYTES = 64 * 1024 * 1024  # undelivered, from which on the reader pauses
EARLY_BYTES = 8 * 1024 * 1024  # before RecognitionStarted, where a service says a few hundred
CLOSE_GRACE = 1.0  # seconds to wait for the close frame after an Error, or for an Error after a broken write

_OUTBOX_BYTES = 1024 * 1024
_PAUSE = 0.02  # seconds from an acknowledgement until a sender gets the room it made, though it is little

Payload = Union[dict[str, Any], bytes]  # a message, or one that is still to be decoded


class Incoming(NamedTuple):
    """What arrived: what the session needs of the message, what is to be delivered, what bytes that takes."""

    known: Mapping[str, Any]
    payload: Payload
    size: int

    @classmethod
    def of(cls, message: dict[str, Any]) -> Incoming:
        """Give a message that no server has sent, or not now."""
        return cls(message, message, 0)


class Outcome(NamedTuple):
    """How it ended, once and for all: what every later call raises, and where that came from."""

    error: SpeechmaticsError
    cause: Optional[BaseException]
    normal: bool  # the transcript is complete


class ClientProtocol:
    """One session in progress. Pure: times are seconds of the owner's monotonic clock; its lock guards it.

    Attributes:
        state: Who may say what.
        outbox: What waits to be written.
        outcome: How it ended, or None.
        news: Something happened that a receiver waits for; the owner wakes them and takes the flag back.
        room: The same for senders.
        some_room: There is some for senders, less than is worth waking them for at once; the owner has
            :meth:`tick` called, which decides when it is.
        must_shut: Nothing good can come any more: the owner is to shut the socket, now.
        broken: Why writing failed, until all is read that the server has sent.
        shut_at: When the owner is to shut the socket, once the end is in sight.
        stop: The client wants to end the stream as soon as it may. Set without the lock.
        closed: The client has closed it. Set without the lock.
        torn: A change was begun and not ended, as only Ctrl-C leaves it.
    """

    def __init__(self, config: ConnectionConfig, *, block: int, now: float) -> None:
        self._config = config
        self._began = now
        self.state = ProtocolState(Role.CLIENT)
        self.outbox = Outbox(block, _OUTBOX_BYTES)
        self.window = Window(config.window_frames, config.window_seconds)
        self.keepalive = Keepalive(config.ping_interval, config.ping_timeout, now)
        self.outcome: Optional[Outcome] = None
        self.news = self.room = self.must_shut = self.stop = self.closed = self.torn = False
        self.some_room = False
        self.room_at: Optional[float] = None  # when senders get the little there is
        self.broken: Optional[OSError] = None
        self.shut_at: Optional[float] = None
        self.progress_at = now  # when an acknowledgement came or bytes left
        self.seconds_sent = 0.0
        self.seconds_on: dict[Optional[str], float] = {}
        self.bytes_sent = self.received = 0
        self._received_at = now  # when the last message came
        self._paused_at = now  # when we were last seen not to read
        self._resumed = False  # and have begun to read again since
        self._phase_at = now
        self._limited = False  # the server stopped listening by itself (duration_limit_exceeded)
        self._inbox: list[Incoming] = []
        self._inbox_bytes = 0
        self._taken = 0  # messages in the receiver's hands, until it comes for the next

    # -- what we send --------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether there is an outcome, or one is on its way: a write failed, or the server said Error."""
        return self.broken is not None or self.torn or self.state.over

    @property
    def started(self) -> bool:
        """Whether the server has said RecognitionStarted, whatever came of it."""
        phase = self.state.ending.phase if self.state.ending is not None else self.state.phase
        return phase in (Phase.STREAMING, Phase.DRAINING, Phase.DONE)

    @property
    def may_send_audio(self) -> bool:
        return self.state.phase is Phase.STREAMING and self.broken is None and not self.torn

    @property
    def behind(self) -> bool:
        """Whether whoever handles the messages has more than ``max_queue`` of them waiting."""
        limit = self._config.max_queue
        return limit is not None and len(self._inbox) + self._taken > limit

    @property
    def queue_depth(self) -> int:
        return len(self._inbox) + self._taken

    def admits(self, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        """Tell whether a frame of audio may go now; ``feeding`` audio also waits for a slow receiver."""
        if not self.window.admits(channel, seconds) or self.outbox.full:
            return False
        return not feeding or not self.behind

    def send(self, message: Mapping[str, Any], frame: bytes, now: float) -> None:
        """Send a message; raises SessionError, changing nothing, if it is not the moment."""
        before = self.state.phase
        # From here to the end it is torn: half done, a frame would be counted that the server never gets.
        self.torn = True
        try:
            self.state.send(message)
        except SessionError:
            self.torn = False
            raise
        self.outbox.put(frame)
        if self.state.phase is not before:
            self._phase_changed(now)
        self.torn = False

    def send_audio(self, frame: bytes, channel: Optional[str], seconds: float, size: int) -> None:
        """Send one frame of audio; raises SessionError, changing nothing, if it is not the moment."""
        self.torn = True  # see send(); here it is in line, since it is called for every chunk
        try:
            self.state.send_audio(channel)
        except SessionError:
            self.torn = False
            raise
        self.window.sent(channel, seconds)
        if seconds:
            self.seconds_sent += seconds
            self.seconds_on[channel] = self.seconds_on.get(channel, 0.0) + seconds
        self.bytes_sent += size
        self.outbox.put(frame)
        self.torn = False

    def end_stream(self, now: float) -> None:
        """Send EndOfStream, with the number of frames sent; not streaming yet, as soon as we are."""
        # After a broken write it would not go out, and the loss would be one of the rest of the transcript.
        if self.state.phase is Phase.STREAMING and not self.torn and self.broken is None:
            message = self.state.end_of_stream()
            self.send(message, frames.encode(frames.TEXT, codec.encode(message)), now)
        elif not self.ending:
            self.stop = True

    def end_channel(self, channel: str, now: float) -> None:
        """Send EndOfChannel, with the number of frames sent on it; raises as :meth:`send`."""
        message = self.state.end_of_channel(channel)
        self.send(message, frames.encode(frames.TEXT, codec.encode(message)), now)

    def write_failed(self, error: OSError, now: float) -> None:
        """Note that nothing can be written any more. Not the outcome: the server may have said why."""
        without_frames(error)
        self.broken = error
        self._shut_within(CLOSE_GRACE, now)
        self.outbox.clear()
        self.room = True

    # -- what they send ------------------------------------------------------------------------------

    def receive(self, messages: Iterable[Incoming], now: float, wants: Callable[[str], bool]) -> None:
        """Take in messages, in order; acknowledgements are delivered only to those who want them.

        Raises:
            ProtocolError: One was out of turn; those before it were taken in. Or before RecognitionStarted
                there is more than ``EARLY_BYTES``: nobody takes it until then, so that no pause would end.
        """
        unacknowledged = self.window.frames
        self.keepalive.received(now)
        try:
            for incoming in messages:
                known, _, size = incoming
                kind = known["message"]
                if kind in SPEECH and self.state.phase in RUNNING:  # nearly always: it changes nothing else
                    self.received += 1
                    self._received_at = now
                elif not self._receive_one(known, now) or (kind in ACKNOWLEDGEMENTS and not wants(kind)):
                    continue
                self._inbox.append(incoming)
                self._inbox_bytes += size
                self.news = True
            if self._inbox_bytes > EARLY_BYTES and self.state.starting:
                raise ProtocolError(f"the server sent {len(self._inbox)} messages, and no RecognitionStarted")
        finally:
            if self.window.frames < unacknowledged:
                self.progress_at = now

    def _receive_one(self, message: Mapping[str, Any], now: float) -> bool:
        before = self.state.phase
        if not self.state.receive(message):
            return False
        self.received += 1
        self._received_at = now
        kind = message["message"]
        if kind in ACKNOWLEDGEMENTS:
            channel = message.get("channel") if kind == "ChannelAudioAdded" else None
            if self.window.acknowledged(channel if isinstance(channel, str) else None):
                self.room = True
            else:
                self.some_room = True
        elif kind == "Warning" and message.get("type") == "duration_limit_exceeded":
            self._limited = True
        phase = self.state.phase
        if phase is not before:
            self._phase_changed(now)
            if phase is Phase.FAILED:
                self._shut_within(CLOSE_GRACE, now)
            elif phase is Phase.DONE:
                self._complete(before, now)
        return True

    def _complete(self, before: Phase, now: float) -> None:
        if before is Phase.STREAMING and not self._limited:
            text = "the server ended the transcript before all audio was sent"
            self.conclude(EndOfTranscriptError(text, type="end_of_transcript"), now=now)
        else:
            self.conclude(SessionError("the session has ended"), now=now, normal=True)
        self.send_close()  # now: handlers may take long, and the session counts against the quota

    def receive_close(self, close: frames.Close) -> None:
        if not self.outbox.closing:  # else it answers ours, and its code is our own
            self.state.lose(close.code, close.reason)
        self.send_close(1000 if close.code == 1005 else close.code)

    def receive_ping(self, payload: bytes) -> None:
        self.outbox.put_pong(frames.encode(frames.PONG, payload))

    def receive_eof(self, error: Optional[ProtocolError], cause: Optional[BaseException], now: float) -> None:
        """Note that nothing more will arrive: reach the outcome, unless there is one."""
        self.break_off(now)
        self.state.lose()
        ending = self.state.ending
        if error is not None:
            self.conclude(error, cause, now=now)
        elif ending is not None:
            self.conclude(ending.exception(now - self._began), cause or self.broken, now=now)
        self.send_close(1000 if error is None else error.code or 1002)

    @property
    def flooded(self) -> bool:
        """Whether reading should pause: too many bytes are undelivered."""
        full = self._inbox_bytes > INBOX_BYTES and not self.state.starting  # see receive()
        return full and self.outcome is None and not self.ending

    def take(self) -> list[Incoming]:
        """Give all that has arrived; it counts as undelivered until the receiver comes again."""
        if self._inbox_bytes > INBOX_BYTES:
            self.room = self._resumed = True  # reading had paused, and goes on
        elif self.behind:
            self.room = True  # the receiver is done with what it had, for which audio waited
        batch, self._inbox = self._inbox, []
        self._inbox_bytes = 0
        self._taken = len(batch)
        return batch

    # -- the end -------------------------------------------------------------------------------------

    def conclude(
        self,
        error: SpeechmaticsError,
        cause: Optional[BaseException] = None,
        *,
        now: float,
        normal: bool = False,
    ) -> bool:
        """Reach the outcome; only the first one counts."""
        if self.outcome is not None:
            return False
        ending = self.state.ending
        if ending is not None and (ending.error is not None or ending.code is not None):
            # The server spoke first: with an Error, or with its close frame alone, which came just now.
            error = ending.exception((now if ending.error is None else self._phase_at) - self._began)
        self.outcome = Outcome(copy.copy(error), cause, normal)  # without a traceback and its frames
        self.state.lose()
        self._shut_within(self._config.close_timeout, now)
        self.news = self.room = True
        return True

    def break_off(self, now: float) -> None:
        """End it where somebody closed it without the lock, or Ctrl-C has left a change half done."""
        if self.closed:
            if self.conclude(SessionError("the session was closed"), now=now):
                self.drop_inbox()
        elif self.torn:
            self.conclude(ConnectionError("interrupted while sending", stage=self.state.phase.value), now=now)
            self.send_close()

    def drop_inbox(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = self._taken = 0

    def send_close(self, code: int = 1000) -> None:
        """Let a close frame be the last thing written."""
        self.outbox.put_close(frames.encode(frames.CLOSE, frames.close_payload(code)))

    # -- time ----------------------------------------------------------------------------------------

    def tick(self, now: float, is_unread: Callable[[], bool] = lambda: False) -> float:
        """Do what is due, and return when to look again; infinity if only an event can change anything.

        Args:
            is_unread: Whether something has arrived that nobody has come to read. The server is not silent
                then: the time begins anew, once until something is read.
        """
        self.break_off(now)
        if self.shut_at is not None:
            self.must_shut = now >= self.shut_at
            if self.must_shut:
                self.send_close()
            return self.shut_at
        if self.outcome is not None:
            return float("inf")
        if self.stop and self.state.phase is Phase.STREAMING:
            self.end_stream(now)
        if self.flooded or self._resumed:
            self._pause(now)
        limit = self._limit()
        overdue = self.keepalive.lost(now) or (limit is not None and now >= limit[0])
        heard_at = max(self._phase_at, self._received_at, self.progress_at)
        if overdue and self._paused_at <= heard_at and is_unread():
            self._pause(now)
            limit = self._limit()
        if limit is not None and now >= limit[0]:
            self.conclude(limit[1], now=now)
            self.send_close()
            self.must_shut = True
            return float("inf")
        wake_at = min(self._keep_alive(now), self._give_room(now))
        return wake_at if limit is None else min(wake_at, limit[0])

    def _pause(self, now: float) -> None:
        """Note that until now nothing was read, whatever the server has said."""
        self._resumed = False
        self._paused_at = now
        self.keepalive.stand_still(now)

    def _give_room(self, now: float) -> float:
        """Tell until when senders wait for more room than there is: a server may never acknowledge more."""
        if not self.some_room:
            self.room_at = None
        elif self.room_at is None:
            self.room_at = now + _PAUSE
        elif now >= self.room_at:
            self.room, self.room_at = True, None
        return float("inf") if self.room_at is None else self.room_at

    def _shut_within(self, seconds: Optional[float], now: float) -> None:
        if seconds is not None and self.shut_at is None:
            self.shut_at = now + seconds

    def _phase_changed(self, now: float) -> None:
        self._phase_at = now
        self.news = self.room = True

    def _limit(self) -> Optional[tuple[float, TimeoutError]]:
        """Tell until when the present phase may last, and the error of its end."""
        phase = self.state.phase
        start, end = self._config.start_timeout, self._config.end_timeout
        if phase is Phase.STARTING and start is not None:
            text = (
                f"the server did not say RecognitionStarted within {start:g} s of StartRecognition; "
                "a large custom dictionary can take 15 s (start_timeout)"
            )
            return self._phase_at + start, TimeoutError(text, stage="start", seconds=start)
        if phase is Phase.DRAINING and end is not None:
            # Counted from the server's last message: a backlog may take long, as long as it moves.
            text = f"the server fell silent for {end:g} s before it ended the transcript (end_timeout)"
            since = max(self._phase_at, self._received_at, self.progress_at, self._paused_at)
            return since + end, TimeoutError(text, stage="end", seconds=end)
        return None

    def _keep_alive(self, now: float) -> float:
        if self.keepalive.lost(now):
            silence = now - self.keepalive.received_at
            text = f"the connection was lost: the server was silent for {silence:.1f} s and answered no ping"
            self.conclude(ConnectionError(text, stage="keepalive", code=1006), now=now)
            self.must_shut = True
            return float("inf")
        if self.keepalive.ping_due(now):
            self.outbox.put_ping(frames.encode(frames.PING, b""))
        wake_at = self.keepalive.wake_at
        return float("inf") if wake_at is None else wake_at
