"""The client's end of a running session, without a socket, thread or clock.

The protocol state, the frames waiting to be written, the window, the messages waiting to be handled, the
keepalive and the conclusion change together, so they are one object under one lock. Its owner provides the
lock, the time and the bytes.
"""

from __future__ import annotations

import copy
import math
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
from ..messages import text_of
from . import codec, frames
from .codec import SPEECH
from .keepalive import Keepalive
from .outbox import Outbox
from .state import RUNNING, Phase, ProtocolState, Role
from .window import Window

__all__ = ["ACKNOWLEDGEMENTS", "Payload", "ClientProtocol", "Incoming", "Conclusion"]

ACKNOWLEDGEMENTS = ("AudioAdded", "ChannelAudioAdded")
INBOX_BYTES = 64 * 1024 * 1024  # with more undelivered bytes than this, the reader pauses
EARLY_BYTES = 8 * 1024 * 1024  # the most before RecognitionStarted; the service sends a few hundred
CLOSE_GRACE = 1.0  # seconds to wait for the close frame after an Error, or for an Error after a broken write

_OUTBOX_BYTES = 1024 * 1024
_PAUSE = 0.02  # seconds from an acknowledgement until senders are woken even for little room

Payload = Union[dict[str, Any], bytes]  # a message, or the bytes of one that is not decoded yet

# A message that arrived: what the session needs of it, what is delivered, and the memory that takes. A plain
# tuple, since a class, or a NamedTuple, takes five to ten times as long to make, for each message.
Incoming = tuple[Mapping[str, Any], Payload, int]


class Conclusion(NamedTuple):
    """How the session ended, which is final: the error that every later call raises, and its cause."""

    error: SpeechmaticsError
    cause: Optional[BaseException]
    normal: bool  # the transcript is complete


class ClientProtocol:
    """A running session. Pure: times are seconds of the owner's monotonic clock, and its lock guards this.

    Attributes:
        state: Which messages may be sent and received.
        outbox: The frames that wait to be written.
        conclusion: How the session ended, or None.
        news: Something happened that receivers wait for; the owner wakes them and clears the flag.
        room: The same for senders.
        some_room: There is room for senders, but too little to wake them at once; the owner has :meth:`tick`
            called, which decides when to wake them.
        must_shut: The owner must shut the socket now.
        broken: Why writing failed, until the rest of what the server has sent is read.
        shut_at: When the owner must shut the socket, once the session is about to end.
        stop: The client wants to end the stream as soon as possible. Set without the lock.
        closed: The client has closed the session. Set without the lock.
        torn: A change was begun and not finished, which only Ctrl-C can cause.
    """

    # More than the 30 attributes that Python keeps outside a dict, which would take 1.3 kB of each session.
    __slots__ = (
        "_began",
        "_bytes_per_second",
        "_config",
        "_inbox",
        "_inbox_bytes",
        "_limited",
        "_most",
        "_paused_at",
        "_phase_at",
        "_received_at",
        "_resumed",
        "_taken",
        "broken",
        "bytes_on",
        "bytes_sent",
        "closed",
        "conclusion",
        "keepalive",
        "must_shut",
        "news",
        "outbox",
        "progress_at",
        "received",
        "room",
        "room_at",
        "shut_at",
        "some_room",
        "state",
        "stop",
        "torn",
        "window",
    )

    def __init__(
        self, config: ConnectionConfig, *, block: int, now: float, bytes_per_second: int = 0
    ) -> None:
        self._config = config
        self._most = math.inf if config.max_queue is None else config.max_queue
        self._began = now
        self.state = ProtocolState(Role.CLIENT)
        self.outbox = Outbox(block, _OUTBOX_BYTES)
        self.window = Window(config.window_frames, config.window_seconds)
        self.keepalive = Keepalive(config.ping_interval, config.ping_timeout, now)
        self.conclusion: Optional[Conclusion] = None
        self.news = self.room = self.must_shut = self.stop = self.closed = self.torn = False
        self.some_room = False
        self.room_at: Optional[float] = None  # when senders are woken even for little room
        self.broken: Optional[OSError] = None
        self.shut_at: Optional[float] = None
        self.progress_at = now  # when an acknowledgement arrived or bytes were sent
        self.bytes_sent = self.received = 0
        self.bytes_on: dict[Optional[str], int] = {}
        self._bytes_per_second = bytes_per_second
        self._received_at = now  # when the last message came
        self._paused_at = now  # when reading was last known to pause
        self._resumed = False  # reading has continued since that was noted
        self._phase_at = now
        self._limited = False  # the server accepts no more audio (duration_limit_exceeded)
        self._inbox: list[Incoming] = []
        self._inbox_bytes = 0
        self._taken = 0  # messages taken by the receiver, which counts them as handled when it returns

    # -- sending -------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether there is a conclusion or will be one: a write failed, say, or the server has sent Error."""
        return self.broken is not None or self.torn or self.state.over

    @property
    def started(self) -> bool:
        """Whether the server has sent RecognitionStarted, even if the session has failed since."""
        phase = self.state.ending.phase if self.state.ending is not None else self.state.phase
        return phase in (Phase.STREAMING, Phase.DRAINING, Phase.DONE)

    @property
    def behind(self) -> bool:
        """Whether more than ``max_queue`` messages wait for the receiver."""
        return len(self._inbox) + self._taken > self._most

    @property
    def queue_depth(self) -> int:
        # Of what had ended by itself before it was closed, some may never be taken.
        return 0 if self.closed else len(self._inbox) + self._taken

    def admits(self, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        """Return whether a frame of audio may be sent now; ``feeding`` audio waits for slow receivers too."""
        if self.state.phase is not Phase.STREAMING or self.broken is not None or self.torn:
            return False
        if not self.window.admits(channel, seconds) or self.outbox.full:
            return False
        return not feeding or not self.behind

    def send(self, message: Mapping[str, Any], frame: bytes, now: float) -> None:
        """Send a message; raise SessionError, changing nothing, if it is out of turn."""
        before = self.state.phase
        # Torn until the end: interrupted halfway, a frame would be counted that the server never gets.
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
        """Send one frame of audio; raise SessionError, changing nothing, if it is out of turn."""
        self.torn = True  # as in send(), whose code is repeated here since this is called for every chunk
        try:
            self.state.send_audio(channel)
        except SessionError:
            self.torn = False
            raise
        self.window.sent(channel, seconds)
        self.bytes_sent += size
        self.bytes_on[channel] = self.bytes_on.get(channel, 0) + size
        self.outbox.put(frame)
        self.torn = False

    def seconds(self, size: int) -> float:
        """Return how long so many bytes of audio last. The seconds of chunks would add up their errors."""
        return size / self._bytes_per_second if self._bytes_per_second else 0.0

    def end_stream(self, now: float) -> None:
        """Send EndOfStream, with the number of frames sent; if that is too early, once streaming begins."""
        # Not after a broken write: it would not go out, but the session would count as having sent all audio.
        if self.state.phase is Phase.STREAMING and not self.torn and self.broken is None:
            message = self.state.end_of_stream()
            self.send(message, frames.encode(frames.TEXT, codec.encode(message)), now)
        elif not self.ending:
            self.stop = True

    def end_channel(self, channel: str, now: float) -> None:
        """Send EndOfChannel, with the number of frames sent on it. Raises like :meth:`send`."""
        message = self.state.end_of_channel(channel)
        self.send(message, frames.encode(frames.TEXT, codec.encode(message)), now)

    def write_failed(self, error: OSError, now: float) -> None:
        """Note that nothing can be written any more. Nothing is concluded yet: the server may say why."""
        without_frames(error)
        self.broken = error
        self._shut_within(CLOSE_GRACE, now)
        self.outbox.clear()
        self.room = True

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, messages: Iterable[Incoming], now: float, wants: Callable[[str], bool]) -> None:
        """Take in messages, in order; acknowledgements are delivered only if ``wants`` says so.

        Raises:
            ProtocolError: One was out of turn; those before it were taken in. Or more than ``EARLY_BYTES``
                arrived before RecognitionStarted: nothing is delivered until then, so no pause would help.
        """
        unacknowledged = self.window.frames
        wanted: dict[str, bool] = {}  # acknowledgements; asked once, as one read may bring many of them
        self.keepalive.received_at = now
        try:
            for incoming in messages:
                known, _, size = incoming
                kind = known["message"]
                if kind in SPEECH and self.state.phase in RUNNING:  # the usual case, which changes no state
                    self.received += 1
                    self._received_at = now
                elif not self._receive_one(known, now):
                    continue
                elif kind in ACKNOWLEDGEMENTS:
                    if kind not in wanted:
                        wanted[kind] = wants(kind)
                    if not wanted[kind]:
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
            channel = text_of(message.get("channel")) if kind == "ChannelAudioAdded" else None
            if self.window.acknowledged(channel):
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
        self.send_close()  # at once: handlers may take long, and the session counts against the quota

    def receive_close(self, close: frames.Close) -> None:
        if not self.outbox.closing:  # else it answers this end's close frame, with the same code
            self.state.lose(close.code, close.reason)
        self.send_close(1000 if close.code == 1005 else close.code)

    def receive_ping(self, payload: bytes) -> None:
        self.outbox.put_pong(frames.encode(frames.PONG, payload))

    def receive_eof(self, error: Optional[ProtocolError], cause: Optional[BaseException], now: float) -> None:
        """Note that nothing more will arrive, and reach the conclusion unless there is one."""
        self.break_off(now)
        self.state.lose()
        ending = self.state.ending
        if error is not None:
            self.conclude(error, cause, now=now)
        elif ending is not None:
            cause = cause or self.broken
            self.conclude(ending.exception(now - self._began, cause), cause, now=now)
        self.send_close(1000 if error is None else error.code or 1002)

    @property
    def has_arrived(self) -> bool:
        """Whether there is something to receive: a message, or the conclusion."""
        return bool(self._inbox) or self.conclusion is not None

    @property
    def flooded(self) -> bool:
        """Whether reading should pause: too many bytes are undelivered."""
        full = self._inbox_bytes > INBOX_BYTES and not self.state.starting  # see receive()
        return full and self.conclusion is None and not self.ending

    def take(self) -> list[Incoming]:
        """Return all that has arrived; it counts as undelivered until the next call."""
        if self._inbox_bytes > INBOX_BYTES:
            self.room = self._resumed = True  # reading had paused, and continues
        elif len(self._inbox) + self._taken > self._most:  # behind, without a call: this is for every message
            self.room = True  # the receiver has handled the messages that audio waited for
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
        """Reach the conclusion; only the first one counts. Return whether this was it."""
        if self.conclusion is not None:
            return False
        ending = self.state.ending
        if ending is not None and (ending.error is not None or ending.code is not None):
            # The server ended it first, with an Error, or with a close frame that has just arrived.
            error = ending.exception((now if ending.error is None else self._phase_at) - self._began)
        self.conclusion = Conclusion(copy.copy(error), cause, normal)  # without a traceback and its frames
        self.state.lose()
        self._shut_within(self._config.close_timeout, now)
        self.news = self.room = True
        return True

    def break_off(self, now: float) -> None:
        """Reach the conclusion if it was closed without the lock, or Ctrl-C has left a change unfinished."""
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
        """Queue a close frame; nothing is written after it."""
        self.outbox.put_close(frames.encode(frames.CLOSE, frames.close_payload(code)))

    # -- time ----------------------------------------------------------------------------------------

    def tick(self, now: float, is_unread: Callable[[], bool] = lambda: False) -> float:
        """Do what is due; return when to call this again, infinity if only an event can change anything.

        Args:
            is_unread: Whether something has arrived that was not read yet. Then the server is not silent, so
                the timeout starts again, but only once until something is read.
        """
        self.break_off(now)
        if self.shut_at is not None:
            self.must_shut = now >= self.shut_at
            if self.must_shut:
                self.send_close()
            return self.shut_at
        if self.conclusion is not None:
            return math.inf
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
            return math.inf
        wake_at = min(self._keep_alive(now), self._give_room(now))
        return wake_at if limit is None else min(wake_at, limit[0])

    def _pause(self, now: float) -> None:
        """Note that nothing was read until now, so that the server's silence means nothing."""
        self._resumed = False
        self._paused_at = now
        self.keepalive.stand_still(now)

    def _give_room(self, now: float) -> float:
        """Return when senders are woken even for little room, as the server may never acknowledge more."""
        if not self.some_room:
            self.room_at = None
        elif self.room_at is None:
            self.room_at = now + _PAUSE
        elif now >= self.room_at:
            self.room, self.room_at = True, None
        return math.inf if self.room_at is None else self.room_at

    def due_at(self) -> float:
        """Return when :meth:`tick` is due because of the phase or of an end, whatever it said before that."""
        if self.shut_at is not None:
            return self.shut_at
        if self.stop and self.state.phase is Phase.STREAMING:
            return -math.inf
        limit = self._limit()
        return math.inf if limit is None else limit[0]

    def _shut_within(self, seconds: Optional[float], now: float) -> None:
        if seconds is not None and self.shut_at is None:
            self.shut_at = now + seconds

    def _phase_changed(self, now: float) -> None:
        self._phase_at = now
        self.news = self.room = True

    def _limit(self) -> Optional[tuple[float, TimeoutError]]:
        """Return when the current phase times out, and the error for that."""
        phase = self.state.phase
        start, end = self._config.start_timeout, self._config.end_timeout
        if phase is Phase.STARTING and start is not None:
            text = (
                f"the server did not say RecognitionStarted within {start:g} s of StartRecognition; "
                "a large custom dictionary can take 15 s (start_timeout)"
            )
            return self._phase_at + start, TimeoutError(text, stage="start", seconds=start)
        if phase is Phase.DRAINING and end is not None:
            # Counted from the last sign of progress: a long backlog may take long, if it moves.
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
            return math.inf
        if self.keepalive.ping_due(now):
            self.outbox.put_ping(frames.encode(frames.PING, b""))
        return self.keepalive.wake_at
