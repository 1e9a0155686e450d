"""The command ``speechmatics-rt``: transcribes on the command line, and runs the local server.

Each command imports what it needs when it runs, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Optional

from ..config import redact
from ..exceptions import ConfigurationError, SpeechmaticsError
from .options import PROG, ExitCode, parse
from .shell import harmless, in_shell_words
from .streams import Stream, fill_closed, standard_error, standard_output

__all__ = ["ExitCode", "main"]


def main(argv: Optional[Sequence[str]] = None) -> ExitCode:
    """Run the command; ``argv`` without the program's name, by default that of the process.

    Returns:
        An :class:`ExitCode`.

    Raises:
        SystemExit: After ``--help`` and ``--version``, and with code 2 if the command line is wrong.

    Example:
        >>> main(["transcribe", "no such file.wav", "--url", "ws://127.0.0.1:1/v2"])
        <ExitCode.AUDIO: 5>
    """
    fill_closed()
    err = standard_error()
    verbose = 0
    try:
        arguments = parse(argv)
        verbose = arguments.verbose
        if arguments.quiet and verbose:
            raise ConfigurationError("use --quiet or --verbose, not both")
        with _log_to(err, -1 if arguments.quiet else verbose, of_server=arguments.command == "serve"):
            return _command(arguments, standard_output(), err)
    except SpeechmaticsError as exc:
        text, ids = exc.text, str(exc)[len(exc.text) :]
        if _is_unconnected(exc):
            text += f"; to find out why: {_doctor(arguments)}"
        _complain(err, exc, text + ids, verbose)
        return ExitCode.of(exc)
    except BrokenPipeError:  # the reader of our output has gone away
        return ExitCode.OK
    except OSError as exc:  # of the output: audio and connection have errors of their own
        if isinstance(exc, FileNotFoundError) and not exc.filename:  # from os.getcwd()
            _complain(err, exc, "the current folder no longer exists; change to another one", verbose)
            return ExitCode.USAGE
        what = f"can't write {exc.filename}: {exc.strerror}" if exc.filename else str(exc)
        _complain(err, exc, what, verbose)
        return ExitCode.OUTPUT
    except KeyboardInterrupt as exc:
        if isinstance(exc.__cause__, SpeechmaticsError):  # what the rest of the transcript was lost by
            _complain(err, exc.__cause__, str(exc.__cause__), verbose)
        return ExitCode.after(exc)


def _command(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    if arguments.command == "serve":
        from .serve import serve

        return serve(arguments, out, err)
    if arguments.command == "devices":
        from .devices import devices

        return devices(out)
    if arguments.command == "doctor":
        from .doctor import doctor

        return doctor(arguments, out, err)
    if arguments.command == "completion":
        from .options import shell_code

        out.write(shell_code(PROG, arguments.shell))
        return ExitCode.OK
    if arguments.command == "transcribe-many":
        from .many import transcribe_many

        return transcribe_many(arguments, out, err)
    from .transcribe import transcribe

    return transcribe(arguments, out, err)


def _is_unconnected(error: SpeechmaticsError) -> bool:
    """Whether no connection was made, and no server has said why."""
    on_the_way = getattr(error, "stage", None) in ("proxy", "tls", "upgrade")
    return error.unreached or (on_the_way and getattr(error, "status", None) is None)


def _doctor(arguments: argparse.Namespace) -> str:
    """Write the command that looks at the same address."""
    import shlex  # only needed after a failure

    words = [PROG, "doctor"]
    for option in ("profile", "url"):
        value = getattr(arguments, option, None)
        if value is not None:
            words += [f"--{option}", redact(value) if option == "url" else value]
    return shlex.join(words)


def _complain(err: Stream, error: Exception, text: str, verbose: int) -> None:
    """Print an error in one line; with ``-vv``, its traceback first."""
    if verbose > 1:
        err.write(harmless("".join(traceback.format_exception(type(error), error, error.__traceback__))))
    err.write(f"{PROG}: error: {harmless(in_shell_words(text))}\n")


class _Told(logging.Formatter):
    """Rewords warnings for users of a shell; what ``-v`` adds is for programmers, and stays as it is."""

    def format(self, record: logging.LogRecord) -> str:
        text = harmless(super().format(record))
        return in_shell_words(text) if record.levelno >= logging.WARNING and not record.exc_info else text


@contextmanager
def _log_to(err: Stream, verbose: int, *, of_server: bool) -> Iterator[None]:
    """Show the package's log, and Python's warnings: errors (-1), warnings (0), what happens (1), all (2)."""
    package = logging.getLogger("speechmatics_rt")
    handler = logging.StreamHandler(err)
    handler.setFormatter(
        _Told(
            "%(asctime)s %(levelname)s %(name)s: %(message)s"
            if verbose > 0
            else f"{PROG}: warning: %(message)s"
        )
    )
    if not (verbose > 0 or of_server):
        # Beside its client in one process: the client says what went wrong, once is enough.
        handler.addFilter(lambda record: not record.name.startswith("speechmatics_rt.local"))
    if verbose <= 0:
        # A pipe may stay open where a signal ends the audio. Programs read on; the command is over.
        handler.addFilter(lambda record: "source is still being read" not in record.getMessage())
    level = package.level
    package.setLevel((logging.WARNING, logging.INFO, logging.DEBUG, logging.ERROR)[min(verbose, 2)])
    package.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: package.warning("%s", message)
            yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
