"""Runs the command: finds the recordings, transcribes them, writes and reports the results."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Optional

from ...audio import mix_channels, split_channels
from ...exceptions import AudioError, ConfigurationError, SpeechmaticsError
from ...many import Outcome, Outcomes
from ...many import transcribe_many as begin
from ..asked import said_format, session_options, settings_read
from ..options import PROG, ExitCode, Settings, read_settings
from ..outputs import Shape, cause_of, give_instead
from ..show import Screen
from ..signals import on_signals, on_suspension
from ..sources import labels_of
from ..streams import Stream
from ..transcribe import client_options, tell_dangers
from .board import Board
from .found import Recording, find_recordings, is_stream, shown
from .manifest import Entry, Manifest, fingerprint, is_done
from .results import Results, Unwritten
from .summary import exit_code, failure_table, total

__all__ = ["transcribe_many"]

_FORMS = ("text", "json", "srt", "vtt", "tsv")


def transcribe_many(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    """Run the command.

    Raises:
        SpeechmaticsError: It ended the run; all transcripts that were finished are written.
    """
    labels = [] if arguments.split is None else labels_of(arguments.split)
    session = _session(arguments, labels)
    found = find_recordings(arguments.recordings, arguments.output, headerless=arguments.raw is not None)
    recordings = found.recordings
    shape = Shape(arguments.caption_width, arguments.caption_lines)
    results = Results(arguments.output, arguments.format, shape, arguments.timestamps, session)
    try:
        os.makedirs(results.folder, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"can't make --output {results.folder!r}: {cause_of(exc)}") from exc
    screen = Screen(out, err, live=not arguments.verbose, quiet=arguments.quiet, color=arguments.color)
    results.check_apart(recordings, settings_read(arguments))
    with ExitStack() as stack:
        manifest = stack.enter_context(Manifest(results.folder))
        stack.enter_context(screen.with_log())
        stack.enter_context(on_suspension(screen.suspended))
        tell_dangers(arguments, screen)
        for message in found.skipped:
            screen.note(f"{PROG}: {shown(message)}")
        work = _Work(arguments, recordings, results, manifest, _fingerprint(arguments, session))
        if work.open:
            language = session["transcription_config"].language
            options = {**session, **client_options(arguments, language, stack)}
            _run(work, options, screen, out, labels, arguments)
        return work.tell(screen)


def _session(arguments: argparse.Namespace, labels: list[str]) -> dict[str, Any]:
    """Turn the arguments into the options of a session, and check them."""
    for wrong, why in (
        (arguments.split is not None and arguments.mix, "use --split or --mix, not both"),
        (
            (arguments.split or arguments.mix) and arguments.raw,
            "--split and --mix are for WAVs, not --raw",
        ),
        (
            (arguments.raw is not None) != (arguments.sample_rate is not None),
            "--raw and --sample-rate go together",
        ),
        (
            arguments.split is not None and arguments.diarization == "none",
            "--split needs no --diarization none",
        ),
    ):
        if wrong:
            raise ConfigurationError(why)
    for form in arguments.format:
        if form not in _FORMS:
            raise ConfigurationError(f"--format {form}: for many recordings, use {', '.join(_FORMS)}")
    settings = Settings({}) if arguments.config is None else read_settings(arguments.config)
    session = session_options(arguments, settings, labels)
    if "audio_events_config" in session and "json" not in arguments.format:
        raise ConfigurationError(
            f"--audio-events and --format {','.join(arguments.format)}: of many recordings, json alone holds "
            "sounds; add json"
        )
    form = said_format(arguments, settings)
    session["audio_format"] = None if arguments.raw is None else form
    return session


def _fingerprint(arguments: argparse.Namespace, session: dict[str, Any]) -> str:
    looks = (arguments.timestamps, arguments.caption_width, arguments.caption_lines)
    heard = (arguments.split, arguments.mix, arguments.raw, arguments.sample_rate)
    names = ("transcription_config", "translation_config", "audio_events_config")
    configs = {name: session[name].to_dict() for name in names if name in session}
    return fingerprint({**configs, "looks": looks, "heard": heard})


class _Work:
    """The recordings that are still to be done, those that are done, and the outcomes."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        recordings: list[Recording],
        results: Results,
        manifest: Manifest,
        asked: str,
    ) -> None:
        self.results = results
        self.manifest = manifest
        self.total = len(recordings)
        self.done = 0
        self.open: list[Recording] = []
        self.failures: list[tuple[str, Entry]] = []
        self.board: Optional[Board] = None
        self.interrupted = self.unwritten = False
        self._asked = asked
        self._seconds = 0.0
        for recording in recordings:
            now = self._entry(recording)
            known = manifest.known.get(now.source)
            if is_done(known, now, results.names(recording.stem), results.folder):
                self.done += 1
            elif known is not None and now.same(known) and known.fails_again and not arguments.retry_failed:
                self.failures.append((shown(recording.path), known))
            else:
                self.open.append(recording)
        self.before = self.done + len(self.failures)
        self._begun: list[Entry] = []  # of each that was begun, as it was then

    def begin(self) -> Iterator[Recording]:
        """Yield the recordings, each when it is its turn, and note what it is now.

        What is still being written may have grown by the time its transcript comes: then it is not done.
        """
        for recording in self.open:
            self._begun.append(self._entry(recording))
            yield recording

    def _entry(self, recording: Recording) -> Entry:
        return Entry.of(recording.path, self._asked)

    def take(self, outcome: Outcome, *, stopping: bool) -> list[Unwritten]:
        """Write a transcript and its line of the manifest; return what could not be written.

        Raises:
            OSError: The transcript is written, its line is not.
        """
        recording = self.open[outcome.index]
        entry = self._begun[outcome.index]
        if outcome.transcript is not None:
            unwritten = self.results.write(recording.stem, outcome.transcript)
            if unwritten:
                return unwritten
            entry = entry._replace(
                status="done",
                written=self.results.names(recording.stem),
                seconds=round(outcome.stats.seconds_transcribed, 2),
            )
        else:
            entry = entry.failed(outcome.error or RuntimeError("it has no transcript"), recording.path)
            if stopping and entry.retryable:
                return []  # the next run tries it again
        self.manifest.add(entry, outcome)
        if entry.status == "done":
            self.done += 1
            self._seconds += entry.seconds
        else:
            self.failures.append((shown(recording.path), entry))
        if self.board is not None:
            self.board.tell(outcome, entry)
        return []

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
        for line in failure_table(self.failures, self.manifest.path):
            screen.tell(line)
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.OUTPUT if self.unwritten else exit_code(entry for _, entry in self.failures)


class _Interrupts:
    """Handles signals: the first one starts no more sessions, the second one ends all at once."""

    def __init__(self, screen: Screen, outcomes: Outcomes) -> None:
        self.stopping = False
        self.writing = False  # a transcript, which must not be lost
        self.impatient = False
        self._screen = screen
        self._outcomes = outcomes

    def __call__(self, number: int) -> None:
        # Runs between two instructions of the main thread, so it takes no lock.
        if not self.stopping:
            self.stopping = True
            self._outcomes.request_stop()
            self._screen.stopping(f"{PROG}: stopping; waiting for open sessions (Ctrl-C again: at once)")
        elif number != getattr(signal, "SIGHUP", None):  # SIGHUP comes twice, from terminal and shell
            self.impatient = True
            if not self.writing:
                raise KeyboardInterrupt


def _run(
    work: _Work,
    options: dict[str, Any],
    screen: Screen,
    out: Stream,
    labels: list[str],
    arguments: argparse.Namespace,
) -> None:
    board = work.board = Board(
        screen,
        work.open,
        work.before,
        work.total,
        split=bool(labels),
        bars=not arguments.no_progress,
    )
    sources = _sources(work.begin(), labels, mix=arguments.mix)
    outcomes = begin(sources, max_sessions=arguments.jobs, on_progress=board.take, **options)
    interrupts = _Interrupts(screen, outcomes)
    with on_signals(interrupts), outcomes:
        try:
            for outcome in outcomes:
                interrupts.writing = True
                _write(work, outcome, screen, out, interrupts)
                interrupts.writing = False
                if interrupts.impatient:
                    outcomes.close()
        except KeyboardInterrupt:
            work.interrupted = True  # all that was finished is written
        except SpeechmaticsError:
            work.tell(screen)
            raise
    work.interrupted |= interrupts.stopping


def _write(work: _Work, outcome: Outcome, screen: Screen, out: Stream, interrupts: _Interrupts) -> None:
    try:
        unwritten = work.take(outcome, stopping=interrupts.stopping)
    except OSError as exc:
        unwritten = []
        if not work.unwritten:
            screen.complain(f"can't write {exc.filename!r}: {cause_of(exc)}")
    else:
        if not unwritten:
            return
    for path, cause, text in unwritten:
        give_instead(text, f"can't write {path!r}: {cause}", screen, out)
    if not work.unwritten:
        work.unwritten = True
        screen.note(f"{PROG}: no more sessions are started, since their transcripts can't be written either")
        interrupts._outcomes.request_stop()


def _sources(recordings: Iterable[Recording], labels: list[str], *, mix: bool) -> Iterator[Any]:
    """Open each recording when it is its turn."""
    for recording in recordings:
        if is_stream(recording.path):
            yield _Failing(
                AudioError(
                    f"{shown(recording.path)!r} is a pipe or a device, and no file, which can be read again; "
                    f"{PROG} transcribe takes it"
                )
            )
            continue
        if not labels and not mix:
            yield recording.path
            continue
        try:
            yield split_channels(recording.path, labels) if labels else mix_channels(recording.path)
        except SpeechmaticsError as exc:
            yield _Failing(exc)


class _Failing:
    """A source that could not be opened: reading it raises the error."""

    def __init__(self, error: SpeechmaticsError) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        raise self._error
