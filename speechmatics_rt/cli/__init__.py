"""The command ``speechmatics-rt``: transcribe on the command line, run the local server.

What a command needs is imported when it runs, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn, Optional

from .._version import __version__
from ..config import AudioEncoding
from ..exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    SpeechmaticsError,
    TimeoutError,
    TransportError,
)

__all__ = ["ExitCode", "main"]

PROG = "speechmatics-rt"


class ExitCode(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTHENTICATION = 3
    CONNECTION = 4
    INTERRUPTED = 130

    @classmethod
    def of(cls, error: SpeechmaticsError) -> ExitCode:
        """Return the code that stands for an error.

        Example:
            >>> ExitCode.of(AuthenticationError("the key was refused")).name
            'AUTHENTICATION'
        """
        if isinstance(error, (ConfigurationError, AudioError)):
            return cls.USAGE
        if isinstance(error, AuthenticationError):
            return cls.AUTHENTICATION
        if isinstance(error, (TransportError, TimeoutError)):
            return cls.CONNECTION
        return cls.FAILED


_EXIT_CODES = """\
exit codes:
  0    all went well (also when the reader of our output went away, as 'head' does)
  1    the service ended the session with an error
  2    wrong usage, wrong configuration, bad input file
  3    the service refused the key
  4    the connection failed or was lost, or something took too long
  130  stopped by Ctrl-C or SIGTERM; what was heard until then was printed
"""

_EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav                        the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local                offline, without a key
  speechmatics-rt transcribe talk.wav --speed 1 --partials   as if it were spoken now
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -f srt -o talk.srt
  arecord -q -f S16_LE -r 16000 -t raw | speechmatics-rt transcribe - --raw pcm_s16le --sample-rate 16000
  speechmatics-rt transcribe talk.wav -f jsonl | jq -c 'select(.message == "AddTranscript").metadata'
  speechmatics-rt serve --engine whisper                     a server for your own programs
"""


def main(argv: Optional[Sequence[str]] = None) -> ExitCode:
    """Run the command; ``argv`` without the program's name, by default that of the process.

    Returns:
        An :class:`ExitCode`.

    Raises:
        SystemExit: After ``--help`` and ``--version``, and with code 2 if the command line is wrong.

    Example:
        >>> main(["transcribe", "no such file.wav", "--url", "ws://127.0.0.1:1/v2"])
        <ExitCode.USAGE: 2>
    """
    arguments = _parser().parse_args(argv)
    with _log_to_stderr(arguments.verbose, of_server=arguments.command == "serve"):
        try:
            return _command(arguments)
        except SpeechmaticsError as exc:
            complain(exc, arguments.verbose)
            return ExitCode.of(exc)
        except BrokenPipeError:  # who read our output has had enough
            _give_up_stdout()
            return ExitCode.OK
        except OSError as exc:  # of the output, mostly: audio and connection have errors of their own
            _give_up_stdout()
            complain(exc, arguments.verbose)
            return ExitCode.FAILED
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED


def _command(arguments: argparse.Namespace) -> ExitCode:
    if arguments.command == "serve":
        from .serve import serve

        return serve(arguments)
    from .transcribe import transcribe

    return transcribe(arguments)


def _give_up_stdout() -> None:
    """Send what Python still holds for stdout nowhere, or it would try again at the exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(error: Exception, verbose: int) -> None:
    """Say an error in one line; with ``-vv`` where it came from, first."""
    if verbose > 1:
        traceback.print_exception(type(error), error, error.__traceback__)
    print(f"{PROG}: error: {' '.join(str(error).split())}", file=sys.stderr)


@contextmanager
def _log_to_stderr(verbose: int, *, of_server: bool) -> Iterator[None]:
    """Show the package's log: warnings; from -v on, all that happens."""
    package = logging.getLogger("speechmatics_rt")
    handler = logging.StreamHandler(sys.stderr)
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else f"{PROG}: warning: %(message)s"
    handler.setFormatter(logging.Formatter(form))
    if not (verbose or of_server):
        # Beside its client in one process: the client says what went wrong, once is enough.
        handler.addFilter(lambda record: not record.name.startswith("speechmatics_rt.local"))
    level = package.level
    package.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


# -- the command line ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say one sentence in place of the whole usage."""
        self.exit(ExitCode.USAGE, f"{PROG}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROG,
        description="Transcribe audio with the Speechmatics Real-Time API, or offline.",
        epilog=f"{_EXAMPLES}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _Parser(add_help=False)
    common.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log to stderr what happens; -vv also every message, and tracebacks of errors",
    )
    transcribe = commands.add_parser(
        "transcribe",
        help="transcribe a file or standard input",
        usage=f"{PROG} transcribe FILE [options]",
        description="Transcribe a file or standard input. Text goes to stdout, all else to stderr.",
        epilog=f"{_EXAMPLES}\n{_EXIT_CODES}\n"
        "Ctrl-C ends the audio and waits for the rest of its transcript; once more, and it ends at once.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    _add_source(transcribe)
    _add_place(transcribe)
    _add_recognition(transcribe)
    _add_output(transcribe)
    serve = commands.add_parser(
        "serve",
        help="run a local server that speaks the same protocol",
        usage=f"{PROG} serve [options]",
        description="Run a local server that speaks the Real-Time protocol, until Ctrl-C; print its URL.",
        epilog="examples:\n"
        "  speechmatics-rt serve                        scripted words over any audio, any key\n"
        "  speechmatics-rt serve --engine whisper       real recognition of English, offline\n"
        "  speechmatics-rt serve --key secret --quota 2 refuse other keys, and a third session\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    _add_server(serve)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("audio")
    group.add_argument("file", metavar="FILE", help="the audio; - for standard input")
    encodings = [encoding.value for encoding in AudioEncoding]
    group.add_argument("--raw", choices=encodings, help="it is headerless samples of one channel")
    group.add_argument("--sample-rate", type=int, metavar="HZ", help="of --raw")
    group.add_argument(
        "--speed", type=float, metavar="X", help="1 = as it would sound; default: as fast as possible"
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("service")
    place = group.add_mutually_exclusive_group()
    place.add_argument(
        "--url", help="default: SPEECHMATICS_RT_URL, or the EU service; SSL_CERT_FILE names a CA of your own"
    )
    place.add_argument(
        "--local", action="store_true", help="recognise offline, in this process, without a key"
    )
    group.add_argument(
        "--api-key", metavar="KEY", help="better set SPEECHMATICS_API_KEY, which others can't see"
    )
    group.add_argument("--engine", choices=["whisper", "scripted"], help="of --local; default: whisper")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="at most, for everything")


def _add_recognition(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recognition")
    group.add_argument("-l", "--language", metavar="CODE", help="default: en")
    group.add_argument("--model", help="enhanced (default), standard, ...")
    group.add_argument("--domain", help="a specialised language pack, e.g. medical")
    group.add_argument("--output-locale", metavar="LOCALE", help="the spelling, e.g. en-GB")
    group.add_argument(
        "--max-delay", type=float, metavar="SECONDS", help="from a word to its final, 0.7 to 4"
    )
    group.add_argument(
        "--diarization", choices=["none", "speaker"], help="speaker: label the speakers S1, S2, ..."
    )
    group.add_argument("--max-speakers", type=int, metavar="N", help="with --diarization speaker")
    group.add_argument(
        "--entities", action="store_true", default=None, help="write numbers, dates, money as such"
    )
    group.add_argument("--punctuation", metavar="MARKS", help="only these, e.g. '.?'; '' for none")
    group.add_argument(
        "--vocab", action="append", metavar="WORD", help="a word or phrase to know; repeatable"
    )
    group.add_argument(
        "--end-of-utterance", type=float, metavar="SECONDS", help="of silence that end an utterance, 0 to 2"
    )
    group.add_argument(
        "--translate", action="append", metavar="CODE", help="also into this language; repeatable"
    )
    group.add_argument(
        "--audio-events",
        action="append",
        choices=["all", "laughter", "applause", "music"],
        help="also report these sounds; repeatable",
    )
    group.add_argument(
        "--config", metavar="FILE.json", help="a whole transcription_config; the options above win"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-f",
        "--format",
        choices=["text", "json", "jsonl", "srt", "vtt"],
        default="text",
        metavar="FORMAT",
        help="text (default): a line a sentence, as it is heard; jsonl: every message as it comes "
        "(acknowledgements left out); json, srt, vtt: the transcript, at the end",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="in place of stdout; whole, at the end (what was heard, after an error); jsonl as it comes",
    )
    group.add_argument(
        "--partials",
        action="store_true",
        default=None,
        help="on a terminal or in jsonl: words before they are final",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=["scripted", "whisper"], default="scripted", help="default: scripted"
    )
    parser.add_argument("--port", type=int, default=9000, help="default: 9000; 0 for any free one")
    parser.add_argument("--tls", action="store_true", help="wss, with a throwaway certificate")
    parser.add_argument("--key", action="append", metavar="KEY", help="accept this key only; repeatable")
    parser.add_argument("--quota", type=int, metavar="N", help="at most N sessions at a time")
    parser.add_argument("--speed", type=float, metavar="X", help="hear at most X seconds of audio a second")
