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
from typing import Optional

from ..exceptions import SpeechmaticsError
from .arguments import PROG, ExitCode, parser

__all__ = ["ExitCode", "main"]


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
    arguments = parser().parse_args(argv)
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
