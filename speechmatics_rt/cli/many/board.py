"""Shows the progress of a run: bars on a terminal, for all and for each session; lines in a log."""

from __future__ import annotations

import time
from typing import Optional

from ...audio import open_source
from ...exceptions import SpeechmaticsError, TranscriptionError
from ...many import Outcome, Progress
from ...transcript import width
from ..options import PROG
from ..shell import in_shell_words
from ..show import ALERT, LIVE, Screen, bar_beside, clock, ending_of, in_parts
from ..text import GREY, Token
from ..view import progress_of
from .found import FoundRecording, shown
from .manifest import Entry

__all__ = ["Board"]

_NAME = 28  # columns
_LEAST = 8  # of them
_FIGURES = 53  # columns of a bar, its figures, and what is between


class Board:
    """Shows a run on a screen; for one thread.

    Args:
        recordings: Those of this run, in the order of their numbers.
        done: How many of ``total`` were done by earlier runs.
        bars: Whether to draw bars, if the screen can.
    """

    def __init__(
        self, screen: Screen, recordings: list[FoundRecording], done: int, total: int, *, bars: bool
    ) -> None:
        self._screen = screen
        self._recordings = recordings
        self._before = done
        self._total = total
        self._bars = bars and screen.live
        self._began = time.monotonic()
        self._begun: dict[int, tuple[float, Optional[float]]] = {}  # when, and the recording's duration
        self._took: dict[int, float] = {}  # seconds that its last session took, until they are shown
        self._finished = 0
        self._longest = max((width(shown(each.path)) for each in recordings), default=0)  # name
        self._waits_for = ""  # what was told of a service for which all wait

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
            self._screen.draw("", [*self._rows(progress), *waiting(progress), self._overall(progress)])
        elif progress.pause and not progress.running:  # what runs will be told of
            self._tell_wait(progress)

    def tell(self, outcome: Outcome, entry: Entry) -> None:
        """Report the outcome of a recording: every one in a log, only failures on a terminal."""
        self._finished += 1
        self._waits_for = ""
        took = self._took.pop(outcome.index, 0.0)
        place = f"{self._before + self._finished}/{self._total}"
        path = shown(self._recordings[outcome.index].path)
        if entry.status == "failed":
            tries = f" (after {outcome.tries} tries)" if outcome.tries > 1 else ""
            self._screen.tell(f"{place} failed {path}: {entry.error}{tries}", ALERT)
        elif not self._bars:
            files = ", ".join(map(shown, entry.written))
            self._screen.note(f"{place} done {path}: {clock(entry.seconds)} in {took:.1f} s, {files}")

    def _tell_wait(self, progress: Progress) -> None:
        """Report that all wait, once for each reason, until something is finished again."""
        why = _reason(progress)
        if why != self._waits_for:
            again = f"trying again in {progress.pause:.0f} s, then less often"
            self._screen.note(f"{PROG}: waiting for the service, {again}: {why}")
        self._waits_for = why

    def _duration(self, index: int) -> Optional[float]:
        if not self._bars:
            return None
        try:
            source = open_source(self._recordings[index].path)
        except SpeechmaticsError:
            return None  # its session reports the error; or it has several channels, and no end is shown
        source.close()
        return source.duration

    def _rows(self, progress: Progress) -> list[list[Token]]:
        rows = []
        columns = self._screen.size.columns - 1
        longest = min(self._longest, _NAME, max(columns // 3, columns - _FIGURES, _LEAST))
        for one in progress.running:
            name = ending_of(shown(self._recordings[one.index].path), longest)
            row = [Token(name + " " * (longest - width(name)) + "  ")]
            if one.stats is None:
                row.append(Token("waiting for its turn", GREY))
            else:
                began, duration = self._begun[one.index]
                row += progress_of(
                    one.stats, [duration], time.monotonic() - began, columns=columns - longest - 2
                )
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
            columns=self._screen.size.columns - 1,
        )


def waiting(progress: Progress) -> list[list[Token]]:
    """Write for how long all wait, and why.

    Example:
        >>> from speechmatics_rt.cli.text import plain
        >>> full = TranscriptionError("the service ...", type="quota_exceeded", reason="too many")
        >>> [plain(row) for row in waiting(Progress(0, 0, (), 1, 7.6, 0.0, cause=full))]
        ['waiting 8 s: quota_exceeded: too many']
    """
    if not progress.pause:
        return []
    return [[Token(f"waiting {progress.pause:.0f} s: {_reason(progress)}", ALERT)]]


def _reason(progress: Progress) -> str:
    """Say why all wait, in few words: they have to fit into a row."""
    cause = progress.cause
    if isinstance(cause, TranscriptionError) and cause.type and cause.reason:
        return f"{cause.type}: {cause.reason}"
    return "" if cause is None else in_shell_words(cause.text)


def overall(
    finished: int, total: int, progress: Progress, elapsed: float, *, columns: int = 80
) -> list[Token]:
    """Write the progress of the whole run, in so many columns.

    Example:
        >>> from speechmatics_rt.cli.text import plain
        >>> plain(overall(12, 40, Progress(11, 1, (), 2, 0.0, 240.0), 10.0))
        '━━━━━━────────────── 12 of 40, 1 failed, 2 to retry  24.0x  about 0:23 left'
        >>> plain(overall(12, 40, Progress(11, 1, (), 2, 0.0, 240.0), 10.0, columns=40))
        '━━━────── 12 of 40, 1 failed, 2 to retry'
    """
    parts = [f"{finished} of {total}"]
    if progress.failed:
        parts.append(f", {progress.failed} failed")
    if progress.waiting:
        parts.append(f", {progress.waiting} to retry")
    bar = bar_beside(columns, sum(map(width, parts)) + 1)
    full = round(bar * finished / max(1, total))
    if progress.seconds and elapsed >= 0.5:
        parts.append(f"  {progress.seconds / elapsed:.1f}x")
    here = progress.done + progress.failed
    if here and finished < total:
        parts.append(f"  about {clock((total - finished) * elapsed / here)} left")
    between = " " if bar else ""
    text = between + in_parts(parts, columns - bar - len(between))
    return [Token("━" * full, LIVE), Token("─" * (bar - full), GREY), Token(text)]
