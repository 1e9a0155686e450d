"""Runs the command: finds the recordings, transcribes them, writes and reports the results."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Optional

from ...audio import meant_by
from ...exceptions import ConfigurationError, SpeechmaticsError
from ...many import Outcome, Outcomes
from ...many import transcribe_many as begin
from ...transcript import CaptionShape
from ..asked import settings_read
from ..options import PROG, ExitCode
from ..outputs import cause_of, give_instead, make_folder
from ..show import Screen
from ..signals import on_signals, on_suspension
from ..streams import Stream
from ..transcribe import client_options, tell_dangers
from .asked import AS_IT_IS, Failing, RunOptions
from .board import Board
from .found import FoundRecording, find_recordings, shown
from .manifest import Entry, Manifest, Unwritable
from .results import Results, Unwritten, unwritable
from .summary import exit_code, failure_table, total

__all__ = ["transcribe_many"]


def transcribe_many(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    """Run the command.

    Raises:
        SpeechmaticsError: It ended the run; all transcripts that were finished are written.
    """
    asked = RunOptions(arguments)
    found = find_recordings(arguments.recordings, arguments.output, headerless=arguments.raw is not None)
    shape = CaptionShape(arguments.caption_width, arguments.caption_lines)
    results = Results(arguments.output, arguments.format, shape, arguments.timestamps, asked.session)
    meant = meant_by(results.folder)
    if meant and not os.path.exists(results.folder):  # it would be made, under that name
        raise ConfigurationError(f"there is no --output {results.folder!r}; {meant}")
    make_folder("--output", results.folder)
    screen = Screen(out, err, live=not arguments.verbose, quiet=arguments.quiet, color=arguments.color)
    results.check_apart(found.recordings, settings_read(arguments))
    with ExitStack() as stack:
        manifest = stack.enter_context(Manifest(results.folder))
        recordings = results.kept(found.recordings, manifest)
        if recordings != found.recordings:
            results.check_apart(recordings, settings_read(arguments))
        stack.enter_context(screen.with_log())
        stack.enter_context(on_suspension(screen.suspended))
        tell_dangers(arguments, screen)
        for message in found.skipped:
            screen.note(f"{PROG}: {shown(message)}")
        work = _Work(arguments, recordings, results, manifest, asked)
        results.check_unwritten(work.open, manifest)
        if work.open:
            if asked.option and work.as_they_are:
                some = f"{work.as_they_are} of {work.total} recordings have one, or are no WAVs"
                why = f"{asked.option} is for WAVs of several channels"
                screen.note(f"{PROG}: {why}; {some}, and are taken as they are")
            language = asked.session["transcription_config"].language
            options = {**asked.session, **client_options(arguments, language, stack)}
            _run(work, options, screen, out, arguments)
        return work.tell(screen)


class _Work:
    """The recordings that are still to be done, those that are done, and the outcomes."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        recordings: list[FoundRecording],
        results: Results,
        manifest: Manifest,
        asked: RunOptions,
    ) -> None:
        self.results = results
        self.manifest = manifest
        self.total = len(recordings)
        self.done = self.as_they_are = 0
        self.open: list[FoundRecording] = []
        self.failures: list[tuple[str, Entry]] = []
        self.board: Optional[Board] = None
        self.interrupted: Optional[KeyboardInterrupt] = None
        self.unwritten = False
        self._asked = asked
        self._seconds = 0.0
        for recording in recordings:
            way = asked.way(recording.path)
            self.as_they_are += way == AS_IT_IS
            now = Entry.of(recording.path, asked.mark(way))
            known = manifest.known.get(now.source)
            if manifest.is_done(now, results.names(recording.stem)):
                self.done += 1
            elif known is not None and now.same(known) and known.fails_again and not arguments.retry_failed:
                self.failures.append((shown(recording.path), known))
            else:
                self.open.append(recording)
        self.before = self.done + len(self.failures)
        self._begun: list[Entry] = []  # of each that was begun, as it was then

    def begin(self) -> Iterator[Any]:
        """Yield the sources, each when it is its turn, and note what it is now.

        What is still being written may have grown by the time its transcript comes: then it is not done.
        """
        for recording in self.open:
            way = self._asked.way(recording.path)
            self._begun.append(Entry.of(recording.path, self._asked.mark(way)))
            obstacle = self.results.obstacle(recording.stem)
            yield self._asked.source(recording.path, way) if obstacle is None else Failing(obstacle)

    def write(self, outcome: Outcome) -> list[Unwritten]:
        """Write a transcript; return what could not be written."""
        if outcome.transcript is None:
            return []
        return self.results.write(self.open[outcome.index].stem, outcome.transcript)

    def note(self, outcome: Outcome, error: Optional[BaseException], *, stopping: bool) -> bool:
        """Write the line of a recording in the manifest, and report it.

        Returns False, and leaves it for the next run, if no other could be written either.

        Raises:
            OSError: The line can't be written.
        """
        recording = self.open[outcome.index]
        entry = self._begun[outcome.index]
        if isinstance(error, Unwritable) and not self.results.takes_others(error):
            return False
        if error is None and outcome.transcript is not None:
            entry = entry._replace(
                status="done",
                written=self.results.names(recording.stem),
                seconds=round(outcome.stats.seconds_transcribed, 2),
            )
        else:
            entry = entry.failed(error or RuntimeError("it has no transcript"), recording.path)
            if stopping and entry.retryable:
                return True  # the next run tries it again
        self.manifest.add(entry, outcome)
        if entry.status == "done":
            self.done += 1
            self._seconds += entry.seconds
        else:
            self.failures.append((shown(recording.path), entry))
        if self.board is not None:
            self.board.tell(outcome, entry)
        return True

    def tell(self, screen: Screen) -> ExitCode:
        """Show the summary."""
        screen.clear()
        elapsed = 0.0 if self.board is None else self.board.elapsed
        failed = len(self.failures)
        text = total(self.done, self.total, failed, self._seconds, elapsed)
        left = self.total - self.done - failed
        if left:
            text += f"; {left} left for the next run"
        elif not self.open:
            text += "; there was nothing to do"
        screen.note(f"{PROG}: {text}; see {shown(self.manifest.path)}")
        for line in failure_table(self.failures, self.manifest.path, screen.columns):
            screen.tell(line)
        if self.interrupted is not None:
            return ExitCode.after(self.interrupted)
        return ExitCode.OUTPUT if self.unwritten else exit_code(entry for _, entry in self.failures)


class _Interrupts:
    """Handles signals: the first one starts no more sessions, the second one ends all at once."""

    def __init__(self, screen: Screen, outcomes: Outcomes) -> None:
        self.stopping = 0  # the number of the signal
        self.writing = False  # a transcript, which must not be lost
        self.impatient = False
        self._screen = screen
        self.outcomes = outcomes

    def __call__(self, number: int) -> None:
        # Runs between two instructions of the main thread, so it takes no lock.
        if not self.stopping:
            self.stopping = number
            self.outcomes.request_stop()
            self._screen.stopping(f"{PROG}: stopping; waiting for open sessions (Ctrl-C again: at once)")
        elif number != getattr(signal, "SIGHUP", None):  # SIGHUP comes twice, from terminal and shell
            self.impatient = True
            if not self.writing:
                raise KeyboardInterrupt(number)


def _run(
    work: _Work,
    options: dict[str, Any],
    screen: Screen,
    out: Stream,
    arguments: argparse.Namespace,
) -> None:
    board = work.board = Board(
        screen,
        work.open,
        work.before,
        work.total,
        bars=not arguments.no_progress,
    )
    options = {**options, "on_progress": board.take, "handler_errors": "raise"}
    outcomes = begin(work.begin(), max_sessions=arguments.jobs, **options)
    interrupts = _Interrupts(screen, outcomes)
    with on_signals(interrupts), outcomes:
        try:
            for outcome in outcomes:
                interrupts.writing = True
                _write(work, outcome, screen, out, interrupts)
                interrupts.writing = False
                if interrupts.impatient:
                    outcomes.close()
        except KeyboardInterrupt as exc:
            work.interrupted = exc  # all that was finished is written
        except SpeechmaticsError:
            work.tell(screen)
            raise
    if interrupts.stopping and work.interrupted is None:
        work.interrupted = KeyboardInterrupt(interrupts.stopping)


def _write(work: _Work, outcome: Outcome, screen: Screen, out: Stream, interrupts: _Interrupts) -> None:
    error = outcome.error
    for name, cause, text in work.write(outcome):
        path = os.path.join(work.results.folder, name)
        where = give_instead(text, f"can't write {path!r}: {cause_of(cause)}", screen, out)
        if not isinstance(error, Unwritable) or work.results.takes_others(error):
            error = unwritable(name, cause, f"; it went to {where}")
    try:
        goes_on = work.note(outcome, error, stopping=bool(interrupts.stopping))
    except OSError as exc:
        goes_on = False
        if not work.unwritten:
            screen.complain(f"can't write {exc.filename!r}: {cause_of(exc)}")
    if not goes_on and not work.unwritten:
        work.unwritten = True
        screen.note(f"{PROG}: no more sessions are started, since their transcripts can't be written either")
        interrupts.outcomes.request_stop()
