"""The summary of a run: counts, a table of failures and what to do, and the exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from ...transcript import width
from ..options import ExitCode
from ..show import clock
from .manifest import Entry

__all__ = ["advice", "exit_code", "failure_table", "total"]

_MOST_ROWS = 20
_OF_THE_RECORDING = ("invalid_audio_type",)  # errors of the service that are due to the recording
_WAYS = ("pip install ", "add --split ")  # an error that names one says more than its kind
_AGAIN = "run it again with --retry-failed"
_OF_A_KIND = {
    "TimeoutError": "give a longer --timeout, and --retry-failed",
    "ConfigurationError": "give other options",
}
_UNWRITABLE = {  # is tried again in any case
    "ENAMETOOLONG": "give the recording a shorter name",
    "ENOENT": "make that folder, or remove the link; then run it again",
    "EISDIR": "remove that folder; then run it again",
    "ENOTDIR": "remove the file that is where its folder would be; then run it again",
}


def total(done: int, of: int, failed: int, seconds: float, elapsed: float) -> str:
    """Summarise a run.

    Example:
        >>> total(338, 340, 2, 43471.0, 1870.0)
        '338 of 340 transcribed, 2 failed; 12:04:31 of audio in 31:10 (23.2x)'
    """
    text = f"{done} of {of} transcribed"
    if failed:
        text += f", {failed} failed"
    if seconds:
        text += f"; {clock(seconds)} of audio in {clock(elapsed)} ({seconds / max(elapsed, 0.001):.1f}x)"
    return text


def advice(entry: Entry) -> str:
    """Say what to do about a failure.

    Example:
        >>> advice(Entry("a.wav", "failed", 0, 0.0, "", kind="AudioError"))
        'fix or replace the recording'
        >>> advice(Entry("a.mp3", "failed", 0, 0.0, "", error="pip install it", kind="AudioError"))
        'do so; then run it again with --retry-failed'
        >>> advice(Entry("a.wav", "failed", 0, 0.0, "", kind="Unwritable", type="EISDIR"))
        'remove that folder; then run it again'
    """
    if entry.kind == "Unwritable":
        return _UNWRITABLE.get(entry.type, "see the error; then run it again")
    if any(way in entry.error for way in _WAYS):
        return f"do so; then {_AGAIN}"
    if entry.kind == "AudioError" or entry.type in _OF_THE_RECORDING:
        return "fix or replace the recording"
    if entry.retryable:
        return _AGAIN
    return _OF_A_KIND.get(entry.kind, f"see the error; then {_AGAIN}")


def failure_table(
    failures: Sequence[tuple[str, Entry]], manifest: str, columns: Optional[int] = None
) -> list[str]:
    """Write a row for each failure: the name, the error, what to do; that below, if it is wider than that.

    Example:
        >>> entry = Entry("/a.wav", "failed", 0, 0.0, "", error="the audio is empty", kind="AudioError")
        >>> print(*failure_table([("calls/a.wav", entry)], "out/manifest.jsonl"), sep="\\n")
        calls/a.wav  the audio is empty  -> fix or replace the recording
        >>> print(*failure_table([("calls/a.wav", entry)], "out/manifest.jsonl", 60), sep="\\n")
        calls/a.wav  the audio is empty
          -> fix or replace the recording
    """
    shown = failures[:_MOST_ROWS]
    rows = [(name, entry.error, f"-> {advice(entry)}") for name, entry in shown]
    widths = [max((width(row[column]) for row in rows), default=0) for column in range(2)]
    widths = [min(widths[0], 40), min(widths[1], 60)]
    lines = ["  ".join([_padded(row[0], widths[0]), _padded(row[1], widths[1]), row[2]]) for row in rows]
    if columns is not None and any(width(line) > columns for line in lines):
        lines = [line for name, error, way in rows for line in (f"{name}  {error}", f"  {way}")]
    if len(failures) > len(shown):
        lines.append(f"and {len(failures) - len(shown)} more; all of them are in {manifest}")
    return lines


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def exit_code(failures: Iterable[Entry]) -> ExitCode:
    """Return the code that all failures share, or that of a failure if they differ.

    Example:
        >>> exit_code([]).name
        'OK'
    """
    codes = {entry.code for entry in failures}
    if not codes:
        return ExitCode.OK
    return ExitCode(codes.pop()) if len(codes) == 1 else ExitCode.FAILED
