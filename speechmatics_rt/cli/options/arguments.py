"""The command line: its commands, their help, and how it says that it is wrong."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from ..._version import __version__
from ..streams import Stream
from .exits import EXIT_CODES, ExitCode
from .serve import SERVE_EXAMPLES, add_serve
from .transcribe import TRANSCRIBE_EXAMPLES, add_transcribe

__all__ = ["EXAMPLES", "PROG", "parser"]

PROG = "speechmatics-rt"

EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav              the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local      offline, without a key
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -f srt -o talk.srt
  speechmatics-rt transcribe mic --partials        what you say, until Ctrl-C
  speechmatics-rt serve --engine whisper           a server for your own programs
  speechmatics-rt transcribe --help                more examples, and all options
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say one sentence in place of the whole usage."""
        self.exit(ExitCode.USAGE, f"{PROG}: error: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse means None for a stream that is missing, and would take it for another one.
        if file is not None:
            out = file is sys.stdout
            Stream(file, "standard output" if out else "standard error", vital=out).write(message)


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    whole = _Parser(
        prog=PROG,
        description="Transcribe audio with the Speechmatics Real-Time API, or offline.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _Parser(add_help=False)
    common.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log to stderr what happens; -vv also every message, and tracebacks of errors",
    )
    common.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing on stderr but errors; no bar, no partials"
    )
    common.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    )
    transcribe = commands.add_parser(
        "transcribe",
        help="transcribe a file, standard input or the microphone",
        usage=f"{PROG} transcribe (FILE | - | mic | --channel LABEL=FILE ...) [options]",
        description="Transcribe a file, standard input or the microphone. Text goes to stdout, all else to "
        "stderr.",
        epilog=f"{TRANSCRIBE_EXAMPLES}\n{EXIT_CODES}\n"
        "Ctrl-C ends the audio and waits for the rest of its transcript; once more, and it ends at once.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    add_transcribe(transcribe)
    commands.add_parser(
        "devices",
        help="list the microphones",
        description="List the devices that record, for 'transcribe mic --device'; * is the default.",
        allow_abbrev=False,
        parents=[common],
    )
    serve = commands.add_parser(
        "serve",
        help="run a local server that speaks the same protocol",
        usage=f"{PROG} serve [options]",
        description="Run a local server that speaks the Real-Time protocol, until Ctrl-C; print its URL.",
        epilog=SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    add_serve(serve)
    return whole
