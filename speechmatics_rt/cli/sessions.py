"""Describes a connection of the local server: a line for the log, and a row that is redrawn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional

from ..messages import ClientMessageType
from ..transcript import Transcript, width
from .show import ALERT, GREY, LIVE, clock, ending_of
from .text import Token, plain

if TYPE_CHECKING:
    from ..local import SessionRecord

__all__ = ["Sitting"]

_HEAD, _TAIL = 8, 200  # messages that are looked at for the latest words: the start, the last minute or so
_CLIENT = {kind.value for kind in ClientMessageType}


class Sitting:
    """One connection; reads its record, which others write. For one thread at a time."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.number = record.index + 1
        self._began = time.monotonic()

    def moved(self) -> tuple[Any, ...]:
        """Return what is different as soon as the row is."""
        record = self.record
        return record.status, record.audio_size, len(record.times), sum(dict(record.tally).values())

    def row(self, columns: int) -> list[Token]:
        """Write how it goes, in so many columns."""
        state, style = self._state()
        latest = self._latest()
        row = [
            Token(f"{self.number:>3} "),
            Token(f"{(self.record.request_id or '')[:8]:8} ", GREY),
            Token(f"{state:9} ", style),
            Token(f"{self._heard():>7}"),
            Token(f"  {self._lag():10}{self._said():>6} out  ", GREY),
        ]
        struck = self.record.struck
        if struck:
            row.append(Token(f"{' '.join(struck)}  ", ALERT))
        room = columns - width(plain(row))
        words = " ".join(f"{latest.text} {latest.partial}".split())
        return [*row, Token(ending_of(words, room))] if room > 2 else row

    def began(self) -> Optional[str]:
        """Say what it is about, once a session has started."""
        start = self.record.start
        if start is None:
            return None
        audio = start.get("audio_format") or {"type": "file"}
        kind = f"{audio['encoding']} {audio['sample_rate']} Hz" if audio.get("type") == "raw" else "a file"
        request = f", request {self.record.request_id}" if self.record.request_id else ""
        return f"began: {start.get('transcription_config', {}).get('language')}, {kind}{request}"

    def ended(self) -> Token:
        """Say how it went."""
        record = self.record
        struck = self.record.struck
        faults = f"; struck by {', '.join(struck)}" if struck else ""
        if record.status != 101:
            return Token(f"{self._unmet()}{faults}", ALERT if struck else "")
        errors = record.said("Error")
        well = bool(record.tally["EndOfTranscript"])
        how = "well" if well else "without EndOfTranscript"
        if errors and not well:
            how = "with " + ": ".join(dict.fromkeys((errors[0]["type"], errors[0]["reason"])))
        code = "none" if record.close_code is None else record.close_code
        size = (
            f"{record.audio_seconds:.1f} s of audio" if record.audio_seconds else f"{record.audio_size} bytes"
        )
        return Token(
            f"ended {how}, after {self._lasted():.1f} s: {size} heard, "
            f"{record.tally['AddTranscript']} finals, close code {code}{faults}",
            "" if well else ALERT,
        )

    def _lasted(self) -> float:
        times = dict(self.record.times)  # who looks late at a record must not count from then
        return times.get("closed", time.monotonic()) - times.get("accept", self._began)

    def _unmet(self) -> str:
        """Say what became of a connection that was no session."""
        record = self.record
        if record.status is None:
            return "ended before it was answered"
        if record.status < 400:
            return f"asked {record.method} {record.path}: HTTP {record.status}"
        return f"was refused: HTTP {record.status}"

    def _state(self) -> tuple[str, str]:
        record = self.record
        if record.tally["Error"]:
            return "error", ALERT
        if record.status is None:
            return "connects", GREY
        if not record.tally["RecognitionStarted"]:
            return "starts", GREY
        return ("finishes", LIVE) if "drain" in record.times else ("hears", LIVE)

    def _heard(self) -> str:
        size = self.record.audio_size
        if self.record.audio_seconds or not size:
            return clock(self.record.audio_seconds)
        return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size // 1000} kB"

    def _lag(self) -> str:
        """Say how far the words are behind the audio."""
        return f"lag {max(0.0, self.record.lag):.1f} s" if self.record.audio_seconds else ""

    def _said(self) -> int:
        return sum(count for kind, count in dict(self.record.tally).items() if kind not in _CLIENT)

    def _latest(self) -> Transcript:
        transcript = Transcript()
        sent = self.record.sent
        for message in [*sent[:_HEAD], *sent[max(_HEAD, len(sent) - _TAIL) :]]:
            transcript.add(message)
        return transcript
