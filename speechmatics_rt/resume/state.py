"""One session over several connections: what follows from a loss, without a socket, thread or clock.

What an protocol is to one connection, this is to all of them: what the caller said and heard, the outage,
if there is one, and the outcome change together, under one lock. The owner brings the lock, the time, the
connections and the chance.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn, Optional

from ..config import AudioFormat, ResumePolicy
from ..exceptions import SessionError, SpeechmaticsError, TimeoutError, TranscriptionError, without_frames
from ..protocol import Outcome
from ..stats import SessionStats
from .backoff import Outage
from .replay import Due, Replay

__all__ = ["LocalMessage", "ResumeState"]


_OF_IDENTIFIERS = ("invalid_message", "invalid_config", "protocol_error", "not_allowed")


class LocalMessage(dict[str, Any]):
    """A message of our own, or one that has been through the replay."""


class ResumeState:
    """The session as its caller sees it. Pure: times are seconds of the owner's clock; its lock guards it.

    Attributes:
        replay: What the caller said, and what the next session would have to hear.
        ahead: To be received before anything else.
        outage: What lies between a loss and the connection that takes over, or None.
        recovering: From a loss until all that was kept is said; only who makes the attempt speaks then.
        outcome: How it ended, or None.
        news: Something happened that a receiver waits for; the owner wakes them and takes the flag back.
        room: The same for senders.
        stop: The caller wants to end the stream. This and ``abandoned`` are set without the lock: who
            speaks looks at them again with it.
        abandoned: Nobody is interested any more.
    """

    def __init__(self, start: Mapping[str, Any], audio_format: AudioFormat, policy: ResumePolicy) -> None:
        self._policy = policy
        self.replay = Replay(start, _channels(start), audio_format, buffer_seconds=policy.buffer_seconds)
        self.ahead: list[LocalMessage] = []
        self.outage: Optional[Outage] = None
        self.recovering = self.news = self.room = self.stop = self.abandoned = False
        self.outcome: Optional[Outcome] = None
        self._failure: Optional[Outcome] = None  # a reason of our own: no loss after it is mended
        self._error: Optional[dict[str, Any]] = None  # an Error that may yet be mended
        self._last: tuple[Optional[Outage], float] = (None, 0.0)  # the outage before, and its end
        self._heard: list[float] = []  # up to where, when it began
        self._before = SessionStats()  # of the connections until now, as far as they add up
        self._acknowledged = 0.0  # seconds, at most: what is sent again counts no second time

    @property
    def is_over(self) -> bool:
        return self.outcome is not None or self.abandoned

    @property
    def draining(self) -> bool:
        """Whether the caller has said all, or it is over."""
        return self.outcome is not None or self.stop or self.replay.over

    def stats(self, now: SessionStats) -> SessionStats:
        """Add the figures of the present connection to those of the ones before."""
        self._note_acknowledged(now)
        before, replay = self._before, self.replay
        frames, _ = replay.waiting
        return replace(
            before,
            seconds_sent=replay.seconds_taken,
            seconds_acknowledged=self._acknowledged,
            frames_sent=replay.frames_taken,
            # At most all: those on their way when it was lost wait to be said again, too.
            unacknowledged_frames=min(now.unacknowledged_frames + frames, replay.frames_taken),
            bytes_sent=replay.bytes_taken,
            messages_received=before.messages_received + now.messages_received,
            messages_skipped=before.messages_skipped + now.messages_skipped,
            queue_depth=now.queue_depth + len(self.ahead),
            silence=now.silence,
        )

    def _note_acknowledged(self, now: SessionStats) -> None:
        # While it catches up, a chunk may for a moment be both on its way and still to be said.
        _, seconds = self.replay.waiting
        acknowledged = self.replay.seconds_taken - seconds - now.unacknowledged_seconds
        self._acknowledged = max(self._acknowledged, acknowledged)

    # -- what the caller sends ------------------------------------------------------------------------

    def check_turn(self, kind: str, channel: Optional[str] = None) -> None:
        """Refuse what could not be said.

        Raises:
            SessionError: It is not the moment for it, or the session has ended.
            SpeechmaticsError: The outcome, if there is one.
        """
        if self.outcome is not None:
            self.raise_outcome()
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
        """Return the message as one session would have said it, if it is for the handlers now."""
        if message["message"] == "Error":
            self._error = message  # delivered only if it is not mended
            return None
        return self.replay.receive(message)

    def question(self) -> Optional[Mapping[str, Any]]:
        """Return what is to be asked for our own sake, if it is time and everybody may speak."""
        return None if self.recovering or self.draining else self.replay.question()

    # -- a loss --------------------------------------------------------------------------------------

    def may_mend(self, error: SpeechmaticsError) -> bool:
        mendable = error.retryable or self._is_about_identifiers(error)
        return not self.abandoned and self._failure is None and mendable

    def _is_about_identifiers(self, error: SpeechmaticsError) -> bool:
        """Whether the service may have refused what only we asked for: to know speakers again."""
        refused = isinstance(error, TranscriptionError) and error.type in _OF_IDENTIFIERS
        return refused and self.replay.speakers.in_play

    def lose(
        self, error: SpeechmaticsError, figures: SessionStats, now: float, jitter: float
    ) -> Optional[dict[str, Any]]:
        """Begin an outage, and return what announces it; None if this ends it all.

        Args:
            error: What the connection was lost with.
            figures: Its own.
            jitter: A random number, 0 to 1.
        """
        without_frames(error)  # they would keep the caller's stream alive, however it is dropped
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
        """Plan the next attempt, if there is to be one, and return what announces it.

        Args:
            error: What it failed with.
            renewed: There is a new token: try at once.
            jitter: A random number, 0 to 1.
        """
        outage = self.outage
        if outage is None or self.outcome is not None:
            return None
        if self.abandoned:  # without a lock, and so without a word to who receives
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
        """Begin an outage; a connection that was of no use belongs to the last one.

        Of use is what made something final, and nothing else: an acknowledgement says that audio was read,
        and time passes by itself, so a service that reads, or waits, and fails would be asked for ever.
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
        delay = 0.0 if at_once else outage.pause(error, jitter)
        missing = self.replay.missing
        if missing or not outage.plan(now, delay):
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
        heard = " and ".join(
            f"{seconds:.2f} s" + (f" of {channel!r}" if channel else "")
            for channel, seconds in zip(self.replay.channels, self.replay.heard)
        )
        if missing:
            why = f"{missing:.1f} s of audio without a final are no longer kept (buffer_seconds)"
        else:
            why = f"{outage.attempts} attempts to reconnect failed within {now - outage.began:.0f} s"
        if last is not outage.error:
            why += f", the last one: {last.text}"
        error = copy.copy(outage.error)
        error.args = (f"{error.text}; {why}. Transcribed up to {heard} (error.transcript): go on from there",)
        self.conclude(error, outage.error.__cause__ if last is outage.error else last)

    def claim(self) -> Optional[Outage]:
        """Give the outage whose next attempt is to be begun, to who asks first."""
        outage = self.outage
        if outage is None or outage.trying:
            return None
        outage.trying = True
        return outage

    # -- the connection that takes over --------------------------------------------------------------

    def forbidden(self) -> bool:
        """Whether a handler has forbidden the attempt that was announced; then this ends it all."""
        outage = self.outage
        if outage is None or outage.message is None or outage.message.get("reconnect", True):
            return False
        self.conclude(outage.error, outage.error.__cause__)
        return True

    def resumed(self, again: float, figures: SessionStats, session_id: Optional[str], now: float) -> float:
        """End the outage; return how long it was.

        Args:
            again: Seconds of audio that are to be said once more.
            figures: Those of the connection that was lost.
            session_id: Of the new session.
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
        """Return what is to be said next on the new connection; None once it has caught up."""
        item = self.replay.due() if self.outcome is None else None
        if item is not None:
            return item
        self.recovering = False  # first this, then the look at stop, which is set in the other order
        if self.stop and self.outcome is None and not self.replay.over:
            return self.replay.end_stream()
        self.room = True
        return None

    # -- the end -------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Note that the transcript is complete."""
        self._pronounce(Outcome(SessionError("the session has ended"), None, True))

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """Note a reason of our own to end it, which comes before all that follows from it."""
        self._failure = self._failure or Outcome(copy.copy(error), cause, False)  # it may be raised, too
        if self.outage is not None:
            self.conclude(error, cause)

    def conclude(self, error: SpeechmaticsError, cause: Optional[BaseException]) -> None:
        """End it with an error; only the first counts."""
        if self.outcome is None and self._error is not None:
            self.ahead.append(LocalMessage(self._error))
        self._pronounce(self._failure or Outcome(copy.copy(error), cause, False))

    def _pronounce(self, outcome: Outcome) -> None:
        self.outcome = self.outcome or outcome
        self.news = self.room = True

    def raise_outcome(self) -> NoReturn:
        """Raise the outcome, as an exception of its own each time: each raise writes its own traceback."""
        if self.outcome is None:
            raise RuntimeError("there is no outcome")
        raise copy.copy(self.outcome.error) from self.outcome.cause


def _channels(start: Mapping[str, Any]) -> list[Optional[str]]:
    config = start["transcription_config"]
    labels = config.get("channel_diarization_labels") or ()
    return list(labels) if str(config.get("diarization", "")).startswith("channel") and labels else [None]
