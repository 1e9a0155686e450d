"""Faults of turn: the start, the acknowledgements, the end, the Error."""

from __future__ import annotations

from typing import Optional

from ..connection import acknowledgement
from .kind import Target, kind

__all__ = ["TurnFaults"]


class TurnFaults:
    """Kinds about messages that come late, twice, never, or too early."""

    @kind("started", "an Error of any type, then its close code or another; or one alone")
    def error(
        session: Target,
        type: str = "unknown_error",
        reason: str = "",
        *,
        code: Optional[int] = None,
        close: bool = True,
        said: bool = True,
    ) -> None:
        session.fail(type, reason or type, code=code, close=close, send=said)

    @kind("start", "RecognitionStarted comes ``seconds`` late")
    def late_start(session: Target, seconds: float = 1.0) -> None:
        session.start_delay = seconds

    @kind("start", "RecognitionStarted never comes")
    def no_start(session: Target) -> None:
        session.start_delay = None

    @kind("started", "RecognitionStarted comes again, with another id")
    def double_start(session: Target) -> None:
        sent = session.record.said("RecognitionStarted")
        session.send({**(sent[-1] if sent else {"message": "RecognitionStarted"}), "id": "again"})

    @kind("started", "EndOfTranscript comes at once, whatever is still owed")
    def early_end(session: Target) -> None:
        session.end()

    @kind("started", "words, and all else that is heard, come ``seconds`` late")
    def late_transcripts(session: Target, seconds: float = 1.0) -> None:
        session.words.seconds = seconds

    @kind("end", "EndOfTranscript comes ``seconds`` late")
    def late_end(session: Target, seconds: float = 1.0) -> None:
        session.end_delay = seconds

    @kind("end", "EndOfTranscript never comes")
    def no_end(session: Target) -> None:
        session.end_delay = None

    @kind("ended", "EndOfTranscript comes again")
    def double_end(session: Target) -> None:
        session.send({"message": "EndOfTranscript"})

    @kind("started", "audio is not acknowledged")
    def no_acks(session: Target, channel: Optional[str] = None) -> None:
        session.acks.change(channel, silent=True)

    @kind("started", "audio is acknowledged ``seconds`` late")
    def late_acks(session: Target, seconds: float = 1.0, channel: Optional[str] = None) -> None:
        session.acks.change(channel, seconds=seconds)

    @kind("started", "acknowledgements come ``count`` at a time")
    def burst_acks(session: Target, count: int = 10, channel: Optional[str] = None) -> None:
        session.acks.change(channel, burst=count)

    @kind("started", "each ``seq_no`` is wrong by ``skip``")
    def wrong_acks(session: Target, skip: int = 100, channel: Optional[str] = None) -> None:
        session.acks.change(channel, skip=skip)

    @kind("started", "``count`` acknowledgements of audio that never came")
    def extra_acks(session: Target, count: int = 1, channel: Optional[str] = None) -> None:
        for number in range(1, count + 1):
            session.send(acknowledgement(channel, 1000 + number))
