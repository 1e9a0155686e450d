"""All that is known of a running session, and what follows from it, without a socket, thread or clock.

The session's table, the frames waiting to be written, the window, the messages waiting to be handled, the
keepalive and the verdict change together, under one lock. This room holds that whole; its owner brings
the lock, the time and the bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Optional, Union

from . import codec, frames
from .exceptions import (
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    without_frames,
)
from .keepalive import Keepalive
from .limits import ConnectionConfig
from .outbox import Outbox
from .session import Role, Session, State
from .window import Window

__all__ = ["ACKNOWLEDGEMENTS", "Arrival", "Exchange", "Heard", "Verdict"]

ACKNOWLEDGEMENTS = ("AudioAdded", "ChannelAudioAdded")
INBOX_BYTES = 64 * 1024 * 1024  # undelivered, from which on the reader pauses
LAST_WORDS = 1.0  # seconds to wait for the close frame after an Error, or for an Error after a broken write

_OUTBOX_BYTES = 1024 * 1024

Arrival = Union[dict[str, Any], bytes]  # a message, or one that is still to be decoded


class Heard(NamedTuple):
    """What arrived: what the session needs of the message, what is to be delivered, its size in bytes."""

    known: Mapping[str, Any]
    arrival: Arrival
    size: int


class Verdict(NamedTuple):
    """How it ended, once and for all: what every later call raises, and where that came from."""

    error: SpeechmaticsError
    cause: Optional[BaseException]
    normal: bool  # the transcript is complete


class Exchange:
    """One session in progress. Pure: times are seconds of the owner's monotonic clock; its lock guards it.

    Attributes:
        session: Who may say what.
        outbox: What waits to be written.
        verdict: How it ended, or None.
        news: Something happened that a receiver waits for; the owner wakes them and takes the flag back.
        room: The same for senders.
        hang_up: Nothing good can come any more: the owner is to shut the socket, now.
        broken: Why writing failed, until the server was heard out.
        hang_up_at: When the owner is to shut the socket, once the end is in sight.
        stop: The client wants to end the stream as soon as it may. The one field set without the lock.
    """

    def __init__(self, config: ConnectionConfig, *, block: int, now: float) -> None:
        self._config = config
        self._began = now
        self.session = Session(Role.CLIENT)
        self.outbox = Outbox(block, _OUTBOX_BYTES)
        self.window = Window(config.window_frames, config.window_seconds)
        self.keepalive = Keepalive(config.ping_interval, config.ping_timeout, now)
        self.verdict: Optional[Verdict] = None
        self.news = self.room = self.hang_up = self.stop = False
        self.broken: Optional[OSError] = None
        self.hang_up_at: Optional[float] = None
        self.progress_at = now  # when an acknowledgement came or bytes left
        self.seconds_sent = 0.0
        self.seconds_on: dict[Optional[str], float] = {}
        self.bytes_sent = self.heard = 0
        self._spoke_at = now  # when the last message came
        self._paused_at = now  # when we were last seen not to read
        self._state_at = now
        self._limited = False  # the server stopped listening by itself (duration_limit_exceeded)
        self._inbox: list[Arrival] = []
        self._inbox_bytes = 0
        self._taken = 0  # messages in the receiver's hands, until it comes for the next

    # -- what we say ---------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether there is a verdict, or one is on its way: a write failed, or the server said Error."""
        return self.broken is not None or self.session.over

    @property
    def may_say_audio(self) -> bool:
        return self.session.state is State.STREAMING and self.broken is None

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

    def say(self, message: Mapping[str, Any], frame: bytes, now: float) -> None:
        """Say a message; raises SessionError, changing nothing, if it is not the moment."""
        before = self.session.state
        self.session.send(message)
        self.outbox.put(frame)
        if self.session.state is not before:
            self._turned(now)

    def say_audio(self, frame: bytes, channel: Optional[str], seconds: float, size: int) -> None:
        """Say one frame of audio; raises SessionError, changing nothing, if it is not the moment."""
        self.session.send_audio(channel)
        self.window.sent(channel, seconds)
        if seconds:
            self.seconds_sent += seconds
            self.seconds_on[channel] = self.seconds_on.get(channel, 0.0) + seconds
        self.bytes_sent += size
        self.outbox.put(frame)

    def end_stream(self, now: float) -> None:
        """Say EndOfStream, with the number of frames sent; not streaming yet, as soon as we are."""
        if self.session.state is State.STREAMING:
            message = self.session.end_of_stream()
            self.say(message, frames.encode(frames.TEXT, codec.encode(message)), now)
        elif not self.ending:
            self.stop = True

    def end_channel(self, channel: str, now: float) -> None:
        """Say EndOfChannel, with the number of frames sent on it; raises as :meth:`say`."""
        message = self.session.end_of_channel(channel)
        self.say(message, frames.encode(frames.TEXT, codec.encode(message)), now)

    def write_failed(self, error: OSError, now: float) -> None:
        """Note that nothing can be written any more. Not the verdict: the server may have said why."""
        without_frames(error)
        self.broken = error
        self._hang_up_within(LAST_WORDS, now)
        self.outbox.clear()
        self.room = True

    # -- what they say -------------------------------------------------------------------------------

    def hear(self, heard: Iterable[Heard], now: float, wants: Callable[[str], bool]) -> None:
        """Take in messages, in order; acknowledgements are delivered only to those who want them.

        Raises:
            ProtocolError: One was out of turn; those before it were taken in.
        """
        unacknowledged = self.window.frames
        self.keepalive.heard(now)
        try:
            for known, arrival, size in heard:
                kind = known["message"]
                if not self._hear(known, now) or (kind in ACKNOWLEDGEMENTS and not wants(kind)):
                    continue
                self._inbox.append(arrival)
                self._inbox_bytes += size
                self.news = True
        finally:
            if self.window.frames < unacknowledged:
                self.progress_at = now

    def _hear(self, message: Mapping[str, Any], now: float) -> bool:
        before = self.session.state
        if not self.session.receive(message):
            return False
        self.heard += 1
        self._spoke_at = now
        kind = message["message"]
        if kind in ACKNOWLEDGEMENTS:
            channel = message.get("channel") if kind == "ChannelAudioAdded" else None
            self.room |= self.window.acknowledged(channel if isinstance(channel, str) else None)
        elif kind == "Warning" and message.get("type") == "duration_limit_exceeded":
            self._limited = True
        state = self.session.state
        if state is not before:
            self._turned(now)
            if state is State.FAILED:
                self._hang_up_within(LAST_WORDS, now)
            elif state is State.DONE:
                self._complete(before, now)
        return True

    def _complete(self, before: State, now: float) -> None:
        if before is State.STREAMING and not self._limited:
            text = "the server ended the transcript before all audio was sent"
            self.conclude(EndOfTranscriptError(text, type="end_of_transcript"), now=now)
        else:
            self.conclude(SessionError("the session has ended"), now=now, normal=True)
        self.say_goodbye()  # now: handlers may take long, and the session counts against the quota

    def hear_close(self, close: frames.Close) -> None:
        if not self.outbox.closing:  # else it answers ours, and its code is our own
            self.session.lose(close.code, close.reason)
        self.say_goodbye(1000 if close.code == 1005 else close.code)

    def hear_ping(self, payload: bytes) -> None:
        self.outbox.put_pong(frames.encode(frames.PONG, payload))

    def hear_end(self, error: Optional[ProtocolError], cause: Optional[BaseException], now: float) -> None:
        """Nothing will be heard any more: pronounce the verdict, unless there is one."""
        self.session.lose()
        ending = self.session.ending
        if error is not None:
            self.conclude(error, cause, now=now)
        elif ending is not None:
            self.conclude(ending.exception(now - self._began), cause or self.broken, now=now)
        self.say_goodbye(1000 if error is None else error.code or 1002)

    @property
    def flooded(self) -> bool:
        """Whether reading should pause: too many bytes are undelivered."""
        return self._inbox_bytes > INBOX_BYTES and self.verdict is None and not self.ending

    @property
    def has_arrivals(self) -> bool:
        return bool(self._inbox)

    def take(self) -> list[Arrival]:
        """Give all that has arrived; it counts as undelivered until the receiver comes again."""
        self.room |= self.flooded
        batch, self._inbox = self._inbox, []
        self._inbox_bytes = 0
        self._taken = len(batch)
        return batch

    def delivered(self) -> None:
        """Note that the receiver is done with what it took."""
        if self._taken:
            self._taken = 0
            self.room = True

    # -- the end -------------------------------------------------------------------------------------

    def conclude(
        self,
        error: SpeechmaticsError,
        cause: Optional[BaseException] = None,
        *,
        now: float,
        normal: bool = False,
    ) -> bool:
        """Pronounce the verdict; only the first one counts."""
        if self.verdict is not None:
            return False
        ending = self.session.ending
        if ending is not None and (ending.error is not None or ending.code is not None):
            # The server spoke first: with an Error, or with its close frame alone, which came just now.
            error = ending.exception((now if ending.error is None else self._state_at) - self._began)
        self.verdict = Verdict(copy.copy(error), cause, normal)  # without a traceback and its frames
        self.session.lose()
        self._hang_up_within(self._config.close_timeout, now)
        self.news = self.room = True
        return True

    def abandon_arrivals(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = self._taken = 0

    def say_goodbye(self, code: int = 1000) -> None:
        """Let a close frame be the last thing written."""
        self.outbox.put_close(frames.encode(frames.CLOSE, frames.close_payload(code)))

    # -- time ----------------------------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Do what is due, and return when to look again; infinity if only an event can change anything."""
        if self.hang_up_at is not None:
            self.hang_up = now >= self.hang_up_at
            if self.hang_up:
                self.say_goodbye()
            return self.hang_up_at
        if self.verdict is not None:
            return float("inf")
        if self.stop and self.session.state is State.STREAMING:
            self.end_stream(now)
        if self.flooded:
            self._paused_at = now
        limit = self._limit()
        if limit is not None and now >= limit[0]:
            self.conclude(limit[1], now=now)
            self.say_goodbye()
            self.hang_up = True
            return float("inf")
        return min(self._keep_alive(now), float("inf") if limit is None else limit[0])

    def _hang_up_within(self, seconds: Optional[float], now: float) -> None:
        if seconds is not None and self.hang_up_at is None:
            self.hang_up_at = now + seconds

    def _turned(self, now: float) -> None:
        self._state_at = now
        self.news = self.room = True

    def _limit(self) -> Optional[tuple[float, TimeoutError]]:
        """Tell until when the present state may last, and what to say then."""
        state = self.session.state
        start, end = self._config.start_timeout, self._config.end_timeout
        if state is State.STARTING and start is not None:
            text = (
                f"the server did not say RecognitionStarted within {start:g} s of StartRecognition; "
                "a large custom dictionary can take 15 s (start_timeout)"
            )
            return self._state_at + start, TimeoutError(text, stage="start", seconds=start)
        if state is State.DRAINING and end is not None:
            # Counted from the server's last word: a backlog may take long, as long as it moves.
            text = f"the server fell silent for {end:g} s before it ended the transcript (end_timeout)"
            since = max(self._state_at, self._spoke_at, self.progress_at, self._paused_at)
            return since + end, TimeoutError(text, stage="end", seconds=end)
        return None

    def _keep_alive(self, now: float) -> float:
        if self.flooded:
            self.keepalive.stand_still(now)
        if self.keepalive.lost(now):
            silence = now - self.keepalive.heard_at
            text = f"the connection was lost: the server was silent for {silence:.1f} s and answered no ping"
            self.conclude(ConnectionError(text, stage="keepalive", code=1006), now=now)
            self.hang_up = True
            return float("inf")
        if self.keepalive.ping_due(now):
            self.outbox.put_ping(frames.encode(frames.PING, b""))
        wake_at = self.keepalive.wake_at
        return float("inf") if wake_at is None else wake_at
