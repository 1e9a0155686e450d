"""One session over several connections: what follows from a loss, without a socket, thread or clock.

This is to all connections what :class:`ClientProtocol` is to one: what was sent and received, the outage (if
there is one) and the conclusion change together, under one lock. The owner supplies the lock, the time, the
connections and the random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn, Optional

from ..config import AudioFormat, ResumePolicy
from ..exceptions import (
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
    amend,
    without_frames,
)
from ..protocol import Conclusion, Incoming
from ..stats import SessionStats
from .backoff import Outage
from .replay import Due, Replay

__all__ = ["LocalMessage", "ResumeState"]


_OF_IDENTIFIERS = ("invalid_message", "invalid_config", "protocol_error", "not_allowed")


class LocalMessage(dict[str, Any]):
    """A message of this package, or one that has been through the replay."""


class ResumeState:
    """The session as its caller sees it. Pure: times are seconds of the owner's clock; its lock guards it.

    Attributes:
        replay: What was sent, and what the next session would have to get.
        ahead: Messages to be received before anything else.
        outage: The current outage, or None.
        recovering: True from a loss until everything kept is sent; only the attempt sends meanwhile.
        conclusion: How the session ended, or None.
        news: Something happened that a receiver waits for; the owner wakes it and clears the flag.
        room: The same for senders.
        stop: The caller wants to end the stream, and waits for one more attempt at most. This and
            ``abandoned`` are set without the lock, so senders check them again under it.
        abandoned: Nobody uses the session any more.
    """

    def __init__(self, start: Mapping[str, Any], audio_format: AudioFormat, policy: ResumePolicy) -> None:
        self._policy = policy
        self.replay = Replay(start, _channels(start), audio_format, buffer_seconds=policy.buffer_seconds)
        self.ahead: list[LocalMessage] = []
        self.outage: Optional[Outage] = None
        self.recovering = self.news = self.room = self.stop = self.abandoned = False
        self.conclusion: Optional[Conclusion] = None
        self._failure: Optional[Conclusion] = None  # an error on this side, after which no loss is mended
        self._error: Optional[dict[str, Any]] = None  # an Error message after which it may reconnect
        self._last: tuple[Optional[Outage], float] = (None, 0.0)  # the previous outage, and its end
        self._heard: list[float] = []  # how far each channel was transcribed when it began
        self._before = SessionStats()  # the totals of earlier connections
        self._acknowledged = 0.0  # seconds; audio that is sent again does not count twice

    @property
    def is_over(self) -> bool:
        return self.conclusion is not None or self.abandoned

    @property
    def draining(self) -> bool:
        """Whether the caller has ended the audio, or the session is over."""
        return self.conclusion is not None or self.stop or self.replay.over

    def stats(self, now: SessionStats) -> SessionStats:
        """Add the figures of the current connection to those of earlier ones."""
        self._note_acknowledged(now)
        before, replay = self._before, self.replay
        frames, _ = replay.waiting
        return replace(
            before,
            seconds_sent=replay.seconds_taken,
            seconds_acknowledged=self._acknowledged,
            frames_sent=replay.frames_taken,
            # Limited, because frames in flight at the loss also count as waiting to be sent again.
            unacknowledged_frames=min(now.unacknowledged_frames + frames, replay.frames_taken),
            bytes_sent=replay.bytes_taken,
            messages_received=before.messages_received + now.messages_received,
            messages_skipped=before.messages_skipped + now.messages_skipped,
            queue_depth=now.queue_depth + len(self.ahead),
            silence=now.silence,
        )

    def _note_acknowledged(self, now: SessionStats) -> None:
        # While it catches up, a chunk may briefly count both as sent and as waiting.
        _, seconds = self.replay.waiting
        acknowledged = self.replay.seconds_taken - seconds - now.unacknowledged_seconds
        self._acknowledged = max(self._acknowledged, round(acknowledged, 9))

    # -- what the caller sends ------------------------------------------------------------------------

    def check_turn(self, kind: str, channel: Optional[str] = None) -> None:
        """Refuse a message that can't be sent now.

        Raises:
            SessionError: It can't be sent at this point of the session, or the session has ended.
            SpeechmaticsError: The conclusion, if there is one.
        """
        if self.conclusion is not None:
            self.raise_conclusion()
        if self.abandoned:
            raise SessionError("the session was dropped")
        if self.stop or self.replay.over:
            raise SessionError(f"{kind} can't be sent after the end of the audio")
        if kind in ("AddAudio", "AddChannelAudio", "EndOfChannel"):
            if channel not in self.replay.channels:
                names = ", ".join(repr(name) for name in self.replay.channels if name) or "no channels"
                raise SessionError(f"{kind} names channel {channel!r}; the session has {names}")
            if self.replay.ended(channel):
                raise SessionError(f"{kind} for channel {channel!r}, which has ended")

    def raise_full(self) -> NoReturn:
        seconds = self._policy.buffer_seconds
        raise TimeoutError(
            f"the connection is being restored, and {seconds:g} s of audio wait already (buffer_seconds)",
            stage="send",
            seconds=seconds,
        )

    # -- what is received ------------------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        """Return the message as a single session would have sent it; None if handlers don't get it now."""
        if message["message"] == "Error":
            self._error = message  # delivered only if the session does not go on
            return None
        return self.replay.receive(message)

    def question(self) -> Optional[Mapping[str, Any]]:
        """Return the question for the speakers, if it is due and can be sent now."""
        return None if self.recovering or self.draining else self.replay.question()

    def take_ahead(self) -> list[Incoming]:
        """Return what is to be received before anything else, once."""
        ahead, self.ahead = self.ahead, []
        return [(message, message, 0) for message in ahead]

    # -- a loss --------------------------------------------------------------------------------------

    def may_mend(self, error: SpeechmaticsError) -> bool:
        mendable = error.retryable or self._is_about_identifiers(error)
        return not self.abandoned and self._failure is None and mendable

    def _is_about_identifiers(self, error: SpeechmaticsError) -> bool:
        """Whether the service may have refused to recognise speakers, which only this package asked for."""
        refused = isinstance(error, TranscriptionError) and error.type in _OF_IDENTIFIERS
        return refused and self.replay.speakers.in_play

    def lose(
        self, error: SpeechmaticsError, figures: SessionStats, now: float, jitter: float
    ) -> Optional[dict[str, Any]]:
        """Begin an outage, and return its announcement; None if this ends the session.

        Args:
            error: The error that the connection was lost with.
            figures: The figures of that connection.
            now: The time.
            jitter: A random number, 0 to 1.
        """
        without_frames(error)  # the frames would keep a dropped stream alive
        if not self.may_mend(error):
            self.conclude(error, error.__cause__)
            return None
        if not error.retryable:
            self.replay.speakers.give_up()
        self.recovering = True
        self._note_acknowledged(figures)
        self.outage = self._outage_of(error, now)
        return self._plan(self.outage, error, now, jitter)

    def attempt_failed(
        self, error: SpeechmaticsError, *, renewed: bool, now: float, jitter: float
    ) -> Optional[dict[str, Any]]:
        """Plan the next attempt and return its announcement; None if there is none.

        Args:
            error: The error that the last attempt failed with.
            renewed: There is a new token: try at once.
            now: The time.
            jitter: A random number, 0 to 1.
        """
        outage = self.outage
        if outage is None or self.conclusion is not None:
            return None
        if self.abandoned:  # set without the lock, and so without waking the receiver
            self.conclude(outage.error, outage.error.__cause__)
            return None
        without_frames(error)
        if renewed:
            outage.renewed = True
        elif self._is_about_identifiers(error):
            self.replay.speakers.give_up()
        elif not error.retryable:
            self.conclude(error, outage.error)
            return None
        return self._plan(outage, error, now, 0.0 if renewed else jitter, at_once=renewed)

    def _outage_of(self, error: SpeechmaticsError, now: float) -> Outage:
        """Begin an outage, or continue the last one if the connection made no progress.

        Progress is a final, nothing else: an acknowledgement only says that audio was read. Otherwise a
        service that reads or waits and then fails would be retried for ever.
        """
        heard = self.replay.heard
        last, since = self._last
        if last is None or heard != self._heard:
            last = Outage(error, self._policy, now)
        else:
            last.go_on(now - since)
        self._heard = heard
        return last

    def _plan(
        self, outage: Outage, error: SpeechmaticsError, now: float, jitter: float, *, at_once: bool = False
    ) -> Optional[dict[str, Any]]:
        """Announce the next attempt, or give up."""
        delay = 0.0 if at_once or self.stop else outage.pause(error, jitter)
        missing = self.replay.missing
        if missing or (self.stop and outage.attempts) or not outage.plan(now, delay):
            self._give_up(outage, error, missing, now)
            return None
        outage.message = LocalMessage(
            message="Reconnecting",
            attempt=outage.attempts,
            cause=error.text,
            delay=round(delay, 3),
            reconnect=True,
        )
        self.ahead.append(outage.message)
        self.news = self.room = True
        return outage.message

    def _give_up(self, outage: Outage, last: SpeechmaticsError, missing: float, now: float) -> None:
        if missing:
            why = f"{missing:.1f} s of audio without a final are no longer kept (buffer_seconds)"
        else:
            attempts = "1 attempt" if outage.attempts == 1 else f"{outage.attempts} attempts"
            why = f"{attempts} to reconnect failed within {now - outage.began:.0f} s"
        if not _is_alike(last, outage.error):
            why += f", the last one: {last.text}"
        if any(self.replay.heard):
            why += f". Transcribed up to {self._heard_so_far()} (error.transcript): go on from there"
        error = copy.copy(outage.error)
        amend(error, f"; {why}")
        self.conclude(error, outage.error.__cause__ if last is outage.error else last)

    def _heard_so_far(self) -> str:
        return " and ".join(
            f"{seconds:.2f} s" + (f" of {channel!r}" if channel else "")
            for channel, seconds in zip(self.replay.channels, self.replay.heard)
        )

    def claim(self) -> Optional[Outage]:
        """Return the outage whose next attempt is to be started, to the first caller only."""
        outage = self.outage
        if outage is None or outage.trying:
            return None
        outage.trying = True
        return outage

    # -- the connection that takes over --------------------------------------------------------------

    def forbidden(self) -> bool:
        """Whether a handler has forbidden the announced attempt; if so, this ends the session."""
        outage = self.outage
        if outage is None or outage.message is None or outage.message.get("reconnect", True):
            return False
        self.conclude(outage.error, outage.error.__cause__)
        return True

    def resumed(self, again: float, figures: SessionStats, session_id: Optional[str], now: float) -> float:
        """End the outage; return how long it was.

        Args:
            again: Seconds of audio that are sent again.
            figures: The figures of the lost connection.
            session_id: The id of the new session.
            now: The time.
        """
        outage = self.outage
        if outage is None:
            raise RuntimeError("there is no outage")
        before = self.stats(figures)
        self._before = replace(
            before, reconnects=before.reconnects + 1, replayed_seconds=before.replayed_seconds + again
        )
        self._last, self.outage, self._error = (outage, now), None, None
        gap = now - outage.began
        self.ahead.append(
            LocalMessage(
                message="Resumed",
                attempt=outage.attempts,
                gap=round(gap, 3),
                replayed=round(again, 3),
                renamed=list(self.replay.speakers.renamed),
                id=session_id,
            )
        )
        self.news = self.room = True
        return gap

    def due(self) -> Optional[Due]:
        """Return what to send next on the new connection; None once it has caught up."""
        item = self.replay.due() if self.conclusion is None else None
        if item is not None:
            return item
        self.recovering = False  # before `stop` is checked: request_stop() does both in the opposite order
        if self.stop and self.conclusion is None and not self.replay.over:
            return self.replay.end_stream()
        self.room = True
        return None

    # -- the end -------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Note that the transcript is complete."""
        self._pronounce(Conclusion(SessionError("the session has ended"), None, True))

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """Note an error on this side, which takes precedence over whatever follows from it."""
        failure = Conclusion(copy.copy(error), cause, False)  # a copy: it may be raised
        self._failure = self._failure or failure
        if self.outage is not None:
            self.conclude(error, cause)

    def conclude(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """End the session with an error; only the first one counts."""
        if self.conclusion is None and self._error is not None:
            self.ahead.append(LocalMessage(self._error))
        self._pronounce(self._failure or Conclusion(copy.copy(error), cause, False))

    def _pronounce(self, conclusion: Conclusion) -> None:
        self.conclusion = self.conclusion or conclusion
        self.news = self.room = True

    def raise_conclusion(self) -> NoReturn:
        """Raise the conclusion, as a copy, since each raise adds to the traceback."""
        if self.conclusion is None:
            raise RuntimeError("there is no conclusion")
        raise copy.copy(self.conclusion.error) from self.conclusion.cause


def _is_alike(one: SpeechmaticsError, other: SpeechmaticsError) -> bool:
    """Whether two errors need not both be told: they differ in nothing, or in times alone."""
    if isinstance(one, TranscriptionError) and isinstance(other, TranscriptionError):
        return one.type == other.type
    return one.text == other.text


def _channels(start: Mapping[str, Any]) -> list[Optional[str]]:
    config = start["transcription_config"]
    labels = config.get("channel_diarization_labels") or ()
    return list(labels) if str(config.get("diarization", "")).startswith("channel") and labels else [None]
