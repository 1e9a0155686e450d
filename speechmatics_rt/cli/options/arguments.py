"""The command line: its options, its help, and the codes it ends with."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn

from ..._version import __version__
from ...config import AudioEncoding
from ...exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    SpeechmaticsError,
    TimeoutError,
    TransportError,
)
from ..streams import Stream

__all__ = ["EXAMPLES", "ExitCode", "PROG", "SERVE_EXAMPLES", "TRANSCRIBE_EXAMPLES", "parser"]

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
  1    the service ended the session with an error, or a file could not be written (stdout has it instead)
  2    wrong usage, wrong configuration, bad input file
  3    the service refused the key
  4    the connection failed or was lost, or something took too long
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; what was heard until then was written
"""

TRANSCRIBE_EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav                        the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local                offline, without a key
  speechmatics-rt transcribe talk.wav --speed 1 --partials   as if it were spoken now
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -f srt -o talk.srt
  speechmatics-rt transcribe --channel agent=agent.wav --channel caller=caller.wav
  speechmatics-rt transcribe talk.wav --speed 1 --captions live.vtt      for a player, while it runs
  arecord -q -f S16_LE -r 16000 -t raw | speechmatics-rt transcribe - --raw pcm_s16le --sample-rate 16000
  speechmatics-rt transcribe talk.wav -f jsonl | jq -c 'select(.message == "AddTranscript").metadata'
"""

SERVE_EXAMPLES = """\
examples:
  speechmatics-rt serve                            scripted words over any audio, any key
  speechmatics-rt serve --engine whisper           real recognition of English, offline
  speechmatics-rt serve --script play.txt          these words; a sentence a speaker, S1 and S2 by turns
  speechmatics-rt serve --replay talk.jsonl        what "transcribe -f jsonl" has kept
  speechmatics-rt serve --key secret --quota 2     refuse other keys, and a third session
  speechmatics-rt serve --fault reset:after_bytes=32000 --fault refuse:status=503,sessions=0
  speechmatics-rt serve --list-faults              all that can go wrong
"""

EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav              the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local      offline, without a key
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -f srt -o talk.srt
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


def _number(kind: Callable[[str], float], least: float, most: float, words: str) -> Callable[[str], Any]:
    """Take a number within bounds; NaN is in none."""

    def read(text: str) -> float:
        try:
            value = kind(text)
            if least <= value <= most and math.isfinite(value):
                return value
        except (ValueError, OverflowError):
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")

    return read


_SECONDS = _number(float, 1e-3, 1e7, "a number of seconds, 0.001 to 10000000")
_PAUSE = _number(float, 0, 1e7, "a number of seconds")
_SPEED = _number(float, 1e-3, 1e7, "a number of seconds of audio a second, 0.001 to 10000000")
_PORT = _number(int, 0, 65535, "a port, 0 to 65535")
_COUNT = _number(int, 0, 1e7, "a whole number, 0 to 10000000")


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    whole = _Parser(
        prog=PROG,
        description="Transcribe audio with the Speechmatics Real-Time API, or offline.",
        epilog=f"{EXAMPLES}\n{_EXIT_CODES}",
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
    transcribe = commands.add_parser(
        "transcribe",
        help="transcribe a file or standard input",
        usage=f"{PROG} transcribe (FILE | --channel LABEL=FILE ...) [options]",
        description="Transcribe a file or standard input. Text goes to stdout, all else to stderr.",
        epilog=f"{TRANSCRIBE_EXAMPLES}\n{_EXIT_CODES}\n"
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
        epilog=SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    _add_server(serve)
    _add_script(serve)
    return whole


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("audio")
    group.add_argument("file", metavar="FILE", nargs="?", help="the audio; - for standard input")
    group.add_argument(
        "--channel",
        action="append",
        metavar="LABEL=FILE",
        help="in place of FILE: a channel with its audio; repeatable, all in one session",
    )
    encodings = [encoding.value for encoding in AudioEncoding]
    group.add_argument("--raw", choices=encodings, help="it is headerless samples of one channel")
    group.add_argument("--sample-rate", type=int, metavar="HZ", help="of --raw")
    group.add_argument(
        "--speed", type=_SPEED, metavar="X", help="1 = as it would sound; default: as fast as possible"
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
    group.add_argument(
        "--resume", action="store_true", help="go on after a lost connection, without losing a word"
    )
    group.add_argument(
        "--drop-every",
        type=_SECONDS,
        metavar="SECONDS",
        help="of --local: cut the connection whenever so many more seconds are final, to see it resume",
    )
    group.add_argument("--timeout", type=_SECONDS, metavar="SECONDS", help="at most, for everything")


def _add_recognition(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recognition")
    group.add_argument("-l", "--language", metavar="CODE", help="default: en")
    group.add_argument("--model", help="enhanced (default), standard, ...")
    group.add_argument("--domain", help="a specialised language pack, e.g. medical")
    group.add_argument("--output-locale", metavar="LOCALE", help="the spelling, e.g. en-GB")
    group.add_argument(
        "--max-delay", type=_PAUSE, metavar="SECONDS", help="from a word to its final, 0.7 to 4"
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
        "--end-of-utterance", type=_PAUSE, metavar="SECONDS", help="of silence that end an utterance, 0 to 2"
    )
    group.add_argument(
        "--translate",
        action="append",
        metavar="CODE",
        help="also into this language; repeatable; not for srt, vtt",
    )
    group.add_argument(
        "--audio-events",
        action="append",
        choices=["all", "laughter", "applause", "music"],
        help="also report these sounds; repeatable",
    )
    group.add_argument(
        "--config",
        metavar="FILE.json",
        help="a transcription_config, or a whole StartRecognition; the options win",
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
        help="in place of stdout (-); whole, at the end (what was heard, after an error); jsonl as it comes",
    )
    group.add_argument(
        "--captions",
        metavar="FILE.vtt",
        help="also captions (or FILE.srt), whole and up to date at any moment while it runs",
    )
    group.add_argument(
        "--partials",
        action="store_true",
        default=None,
        help="on a terminal or in jsonl: words before they are final",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--port", type=_PORT, default=9000, help="default: 9000; 0 for any free one")
    group.add_argument("--tls", action="store_true", help="wss, with a throwaway certificate")
    group.add_argument("--key", action="append", metavar="KEY", help="accept this key only; repeatable")
    group.add_argument("--quota", type=_COUNT, metavar="N", help="at most N sessions at a time")
    group.add_argument("--speed", type=_SPEED, metavar="X", help="hear at most X seconds of audio a second")


def _add_script(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it says, and what goes wrong")
    group.add_argument(
        "--engine",
        choices=["scripted", "whisper", "replay"],
        help="default: scripted",
    )
    group.add_argument("--script", metavar="FILE.txt", help="what --engine scripted says")
    group.add_argument("--replay", metavar="FILE.jsonl", help="what --engine replay says, a message a line")
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:OPTION=VALUE,...]",
        help="what goes wrong, and when; repeatable",
    )
    group.add_argument("--list-faults", action="store_true", help="print the table of faults, and leave")
