"""Shows the progress of a run: bars on a terminal, for all and for each session; lines in a log."""

from __future__ import annotations

import time
from typing import Optional

from ...audio import open_source
from ...exceptions import SpeechmaticsError
from ...many import Outcome, Progress
from ..outputs import GREY, Token
from ..show import ALERT, LIVE, Screen, clock, ending_of, width
from ..view import progress_of
from .found import Recording, shown
from .manifest import Entry

__all__ = ["Board"]

_BAR = 20  # columns
_NAME = 28  # columns


class Board:
    """Shows a run on a screen; for one thread.

    Args:
        recordings: Those of this run, in the order of their numbers.
        done: How many of ``total`` were done by earlier runs.
        split: Whether they have several channels, so that their bars have no end.
        bars: Whether to draw bars, if the screen can.
    """

    def __init__(
        self, screen: Screen, recordings: list[Recording], done: int, total: int, *, split: bool, bars: bool
    ) -> None:
        self._screen = screen
        self._recordings = recordings
        self._before = done
        self._total = total
        self._split = split
        self._bars = bars and screen.live
        self._began = time.monotonic()
        self._begun: dict[int, tuple[float, Optional[float]]] = {}  # when, and the recording's duration
        self._took: dict[int, float] = {}  # seconds that its last session took, until they are shown
        self._finished = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def take(self, progress: Progress) -> None:
        """Show the progress."""
        running = {one.index for one in progress.running}
        for index in self._begun.keys() - running:
            self._took[index] = time.monotonic() - self._begun.pop(index)[0]
        for index in running - self._begun.keys():
            self._begun[index] = (time.monotonic(), self._duration(index))
        if self._bars:
            self._screen.draw("", [*self._rows(progress), self._overall(progress)])

    def tell(self, outcome: Outcome, entry: Entry) -> None:
        """Report the outcome of a recording: every one in a log, only failures on a terminal."""
        self._finished += 1
        took = self._took.pop(outcome.index, 0.0)
        place = f"{self._before + self._finished}/{self._total}"
        path = shown(self._recordings[outcome.index].path)
        if entry.status == "failed":
            tries = f" (after {outcome.tries} tries)" if outcome.tries > 1 else ""
            self._screen.tell(f"{place} failed {path}: {entry.error}{tries}", ALERT)
        elif not self._bars:
            files = ", ".join(map(shown, entry.written))
            self._screen.note(f"{place} done {path}: {clock(entry.seconds)} in {took:.1f} s, {files}")

    def _duration(self, index: int) -> Optional[float]:
        if not self._bars or self._split:
            return None
        try:
            source = open_source(self._recordings[index].path)
        except SpeechmaticsError:
            return None  # its session reports the error
        source.close()
        return source.duration

    def _rows(self, progress: Progress) -> list[list[Token]]:
        rows = []
        for one in progress.running:
            name = ending_of(shown(self._recordings[one.index].path), _NAME)
            row = [Token(name + " " * (_NAME - width(name)) + "  ")]
            if one.stats is None:
                row.append(Token("waiting for its turn", GREY))
            else:
                began, duration = self._begun[one.index]
                row += progress_of(one.stats, [duration], time.monotonic() - began)
            rows.append(row)
        room = max(1, self._screen.size.lines - 3)
        if len(rows) > room:
            rows[room - 1 :] = [[Token(f"and {len(rows) - room + 1} more", GREY)]]
        return rows

    def _overall(self, progress: Progress) -> list[Token]:
        return overall(
            self._before + progress.done + progress.failed,
            self._total,
            progress,
            self.elapsed,
        )


def overall(finished: int, total: int, progress: Progress, elapsed: float) -> list[Token]:
    """Write the progress of the whole run.

    Example:
        >>> from speechmatics_rt.cli.outputs import plain
        >>> plain(overall(12, 40, Progress(11, 1, (), 2, 0.0, 240.0), 10.0))
        '━━━━━━────────────── 12 of 40, 1 failed, 2 to retry  24.0x  about 0:23 left'
    """
    full = round(_BAR * finished / max(1, total))
    text = f" {finished} of {total}"
    if progress.failed:
        text += f", {progress.failed} failed"
    if progress.waiting:
        text += f", {progress.waiting} to retry"
    if progress.pause:
        text += f"; the service is full or out of reach, next try in {progress.pause:.0f} s"
    if progress.seconds and elapsed >= 0.5:
        text += f"  {progress.seconds / elapsed:.1f}x"
    here = progress.done + progress.failed
    if here and finished < total:
        text += f"  about {clock((total - finished) * elapsed / here)} left"
    return [Token("━" * full, LIVE), Token("─" * (_BAR - full), GREY), Token(text)]
