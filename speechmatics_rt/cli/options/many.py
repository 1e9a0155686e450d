"""The options of ``speechmatics-rt transcribe-many``."""

from __future__ import annotations

import argparse

from .transcribe import add_beside, add_place, add_recognition, add_samples, add_shape
from .values import forms, number

__all__ = ["MANY_EXAMPLES", "add_many"]

MANY_EXAMPLES = """\
examples:
  speechmatics-rt transcribe-many calls --output out               every recording below calls/, as text
  speechmatics-rt transcribe-many calls -o out --jobs 20           20 sessions at once, if the quota allows
  speechmatics-rt transcribe-many calls -o out                     again: continues where it stopped
  speechmatics-rt transcribe-many calls -o out --retry-failed      also retries the failures
  speechmatics-rt transcribe-many a.wav b.mp3 -o out -f txt,srt,json --diarization speaker
  speechmatics-rt transcribe-many calls -o out --split agent,caller          stereo recordings, among others
  find calls -name '*.wav' -newer last | speechmatics-rt transcribe-many - -o out

out/manifest.jsonl has a line for each recording: its outcome, when, and where its transcript is.
"""

_JOBS = number(int, 1, 100_000, "a whole number, 1 to 100000")


def add_many(parser: argparse.ArgumentParser) -> None:
    """Add them, in groups."""
    _add_recordings(parser)
    add_place(parser, timeout="limit on each recording")
    add_beside(add_recognition(parser), beside="all but json: one file each, such as call.fr.txt")
    _add_results(parser)
    parser.set_defaults(partials=None)  # session_options() reads it; here nobody sees partials


def _add_recordings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recordings")
    group.add_argument(
        "recordings",
        metavar="DIR|FILE|-",
        nargs="+",
        help="a folder, for every recording in and below it; files; or - for names on standard input, one "
        "per line (or separated by NUL)",
    )
    group.add_argument(
        "--split",
        metavar="LABEL,LABEL",
        help="transcribe each channel of a WAV by itself; recordings of one channel, and what is no WAV, are "
        "taken as they are",
    )
    group.add_argument(
        "--mix", action="store_true", help="mix the channels of a WAV into one; others are taken as they are"
    )
    add_samples(group, rate="for --raw")


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="where to write the transcripts, named after the recordings, and manifest.jsonl",
    )
    group.add_argument(
        "-j",
        "--jobs",
        type=_JOBS,
        default=2,
        metavar="N",
        help="maximum number of sessions at once; default: 2. While the quota is full, all wait",
    )
    group.add_argument(
        "-f",
        "--format",
        type=forms,
        default=["text"],
        metavar="FORMAT",
        help="text (default), json, srt, vtt, tsv; or several: txt,srt",
    )
    group.add_argument("--retry-failed", action="store_true", help="retry the failures of an earlier run")
    add_shape(group)
    group.add_argument("--no-progress", action="store_true", help="on a terminal: no bars")
