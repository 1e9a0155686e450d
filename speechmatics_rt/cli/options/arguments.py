"""The command line: its commands, their help, and its errors."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NoReturn, Optional

from ..streams import Stream
from .completion import SHELLS, complete
from .doctor import DOCTOR_EXAMPLES, add_doctor
from .exits import EXIT_CODES, ExitCode
from .layout import HelpFormatter
from .many import MANY_EXAMPLES, add_many
from .profiles import arguments_of, config_path, fitting, is_exposed, read_profile, requested
from .serve import SERVE_EXAMPLES, add_serve
from .transcribe import TRANSCRIBE_EXAMPLES, add_transcribe
from .values import form_of
from .version import Version

__all__ = ["EXAMPLES", "PROG", "parse", "parser"]

PROG = "speechmatics-rt"
KEY_VARIABLE = "SPEECHMATICS_API_KEY"
_NEEDED = {"transcribe-many": ["-", "--output=-"]}  # what no profile can be asked for

EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav              the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local      offline, without a key
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -o talk.srt
  speechmatics-rt transcribe mic --partials        the microphone, until Ctrl-C
  speechmatics-rt transcribe-many calls -o out     a folder of recordings
  speechmatics-rt serve --engine whisper           a server for your own programs
  speechmatics-rt doctor                           why it does not work
  speechmatics-rt transcribe --help                more examples, and all options
"""


_COMPLETION = f"""\
Print shell code that completes the options. To load it in every shell, add a line to

  ~/.bashrc                   eval "$({PROG} completion bash)"
  ~/.zshrc, after compinit    eval "$({PROG} completion zsh)"
  ~/.config/fish/config.fish  {PROG} completion fish | source
"""


class _Parser(argparse.ArgumentParser):
    where = ""  # what is read, if it isn't the command line

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._optionals.title = "options"  # Python 3.9 calls them otherwise

    def error(self, message: str) -> NoReturn:
        """Print one sentence instead of the whole usage."""
        message = message.replace("the following arguments are required", "missing", 1)
        alone = "is true or false" if self.where else "takes no value"
        message = re.sub(r"ignored explicit argument (.*)", rf"{alone}, not \1", message)
        where = f"{self.where}: " if self.where else ""
        self.exit(ExitCode.USAGE, f"{PROG}: error: {where}{message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options here, where the known ones are at hand to suggest one."""
        namespace, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            name = word.partition("=")[0]
            if name.startswith("-"):
                meant = _meant(name, self._option_string_actions)
                if f"--{name[5:]}" in self._option_string_actions and name.startswith("--no-"):
                    meant = f"; what a profile says is left out by --without {name[5:]}"
                if not meant and os.path.exists(word):  # as a shell makes it of *.wav
                    meant = f"; the file of that name is ./{word}"
                self.error(f"there is no option {name}{meant}")
        if unknown and getattr(namespace, "file", None) is not None:
            self.error(
                f"one recording at a time, but {unknown[0]!r} was given too; "
                f"{PROG} transcribe-many takes several, and --channel takes several in one session"
            )
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(action.choices or ())
        if choices and value not in choices:
            there = ", ".join(map(str, choices))
            meant = _meant(str(value), choices)
            if not meant and "transcribe" in choices and (value in ("-", "mic") or os.path.exists(value)):
                meant = f"; did you mean {PROG} transcribe {value}?"
            text = f"there is no {value!r}{f'{meant} There' if meant else '; there'} are {there}"
            raise argparse.ArgumentError(action, text)

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse means None for a stream that is missing, and would take it for another one.
        if file is not None:
            out = file is sys.stdout
            Stream(file, "standard output" if out else "standard error", vital=out).write(message)


def _meant(given: str, known: Iterable[str]) -> str:
    """Suggest the nearest name, if there is one."""
    import difflib  # only needed after a mistake

    near = difflib.get_close_matches(given, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def parse(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line, with the options of a profile as defaults.

    Raises:
        ConfigurationError: The profile can't be read.
        SystemExit: After ``--help`` and ``--version``, and with code 2 if the command line is wrong.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    whole = parser()
    complete(whole)
    if not words:
        whole.error(f"name a command: {', '.join(_commands(whole))}")
    if words[:1] in (["transcribe"], ["transcribe-many"], ["doctor"]) and not {"-h", "--help"} & set(words):
        _take_profile(whole, words)
    return whole.parse_args(words)


def _take_profile(whole: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Make the options of a profile the defaults, where they fit; variables override one not named.

    A profile has options of ``transcribe``; another command uses those that it has as well.
    """
    name = requested(words)
    profile = read_profile(name)
    if not profile:
        return
    commands = _commands(whole)
    command = commands[words[0]]
    typed = _typed(command, words[1:])
    without = typed.get("without", ())
    profile = {key: value for key, value in profile.items() if _sets(command, key) not in without}
    if words[0] != "transcribe":  # which has more options: a profile serves both
        more = commands["transcribe"]
        profile = {key: value for key, value in profile.items() if _is_for(key, command, more)}
    where = f"profile {name or 'default'!r} in {config_path()}"
    command.where = where
    needed = _NEEDED.get(words[0], [])
    said = vars(command.parse_args([*arguments_of(profile, where), *needed]))
    command.where = ""
    usual = vars(command.parse_args(needed))
    kept = {key: value for key, value in said.items() if value != usual[key]}
    for key, variable in (("api_key", KEY_VARIABLE), ("url", "SPEECHMATICS_RT_URL")):
        if name is None and os.environ.get(variable):
            kept.pop(key, None)
    kept = fitting(kept, typed)
    # The name after -o says the format, and has but one.
    named = typed.get("output") if words[0] == "transcribe" else None
    if named is not None and (form_of(named) is not None or len(kept.get("format", ())) > 1):
        kept.pop("format", None)
    command.set_defaults(**kept, exposed=is_exposed(profile))


def _typed(command: _Parser, words: Sequence[str]) -> dict[str, Any]:
    """Return what the words say, without any defaults."""
    told = [action for action in command._actions if action.default is not argparse.SUPPRESS]
    usual = {action.dest: command.get_default(action.dest) for action in told}
    command.set_defaults(**dict.fromkeys(usual))
    said = vars(command.parse_args(words))
    command.set_defaults(**usual)
    return {key: value for key, value in said.items() if value is not None}


def _sets(command: _Parser, key: str) -> Optional[str]:
    """Return what an option of a profile sets; None if the command has no such option."""
    action = command._option_string_actions.get("--" + key.replace("_", "-"))
    return None if action is None else action.dest


def _is_for(key: str, command: _Parser, more: _Parser) -> bool:
    """Whether an option of a profile belongs to a command, or to no command, which is an error to report."""
    return _sets(command, key) is not None or _sets(more, key) is None


def _commands(whole: argparse.ArgumentParser) -> dict[str, _Parser]:
    (found,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    return dict(found.choices)


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    whole = _Parser(
        prog=PROG,
        description="Transcribe audio with the Speechmatics Real-Time API, or offline.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action=Version, nargs=0, help="show the version and the optional parts")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _Parser(add_help=False)
    common.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log to stderr; -vv: every message too, and tracebacks of errors",
    )
    common.add_argument(
        "-q", "--quiet", action="store_true", help="only errors on stderr; no bar, no partials"
    )
    common.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    )
    add = partial(commands.add_parser, formatter_class=HelpFormatter, allow_abbrev=False, parents=[common])
    transcribe = add(
        "transcribe",
        help="transcribe a file, standard input or the microphone",
        usage=f"{PROG} transcribe (FILE | - | mic | --channel LABEL=FILE ...) [options]",
        description="Transcribe a file, standard input or the microphone. Text goes to stdout, everything "
        "else to stderr.",
        epilog=f"{TRANSCRIBE_EXAMPLES}\n{EXIT_CODES}\n"
        "Ctrl-C ends the audio and waits for the rest of its transcript; a second Ctrl-C ends it at once.",
    )
    add_transcribe(transcribe)
    transcribe.set_defaults(exposed=False)  # a key in a file of profiles
    many = add(
        "transcribe-many",
        help="transcribe a folder of recordings; continues where it stopped",
        usage=f"{PROG} transcribe-many (DIR | FILE | -) ... --output DIR [options]",
        description="Transcribe many recordings into a folder, several at once. Skips those that are done.",
        epilog=f"{MANY_EXAMPLES}\n{EXIT_CODES}\n"
        "If several recordings fail, the code is the one that they share, or else 1. Ctrl-C starts no more "
        "sessions and waits for those that run; a second Ctrl-C ends at once. On a disk that is full no more "
        "are started, either. The same command continues from there.",
    )
    add_many(many)
    many.set_defaults(exposed=False)
    add(
        "devices",
        help="list the microphones",
        usage=f"{PROG} devices [options]",
        description="List the input devices, for 'transcribe mic --device'; * is the default.",
    )
    doctor = add(
        "doctor",
        help="find out why transcription does not work",
        usage=f"{PROG} doctor [options]",
        description="Check each step to the service, from its name to a session of one second, and say "
        "what to do about those that fail. With --local, check this installation.",
        epilog=f"{DOCTOR_EXAMPLES}\n{EXIT_CODES}\nThe code is that of the first check that failed.",
    )
    add_doctor(doctor)
    completion = add(
        "completion",
        help="print shell code that completes the options",
        usage=f"{PROG} completion (bash | zsh | fish)",
        description=_COMPLETION,
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    serve = add(
        "serve",
        help="run a local server that speaks the same protocol",
        usage=f"{PROG} serve [options]",
        description="Run a local server that speaks the Real-Time protocol, until Ctrl-C; print its URL.",
        epilog=SERVE_EXAMPLES,
    )
    add_serve(serve)
    return whole
