"""Runs the command: chooses the checks, the form of the output, and the exit code."""

from __future__ import annotations

import argparse
import getpass
import os
import platform
import socket
from collections.abc import Sequence

from ..._version import __version__
from ..options import ExitCode, installed_parts
from ..show import Screen
from ..streams import Stream
from ..text import Token
from .checks import Check, Finding, examine, exit_code_of
from .installation import INSTALLATION, LOCAL
from .report import as_json, as_report, lines_of, summary
from .service import SERVICE, Way

__all__ = ["doctor"]

_VARIABLES = [
    *("SPEECHMATICS_API_KEY", "SPEECHMATICS_RT_URL", "SM_MANAGEMENT_PLATFORM_URL"),
    *("https_proxy", "http_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
]


def doctor(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    """Run the command. Each line is printed as soon as it is known.

    Raises:
        OSError: Standard output can't be written.
    """
    way = Way(arguments)
    checks: Sequence[Check] = LOCAL if arguments.local else [INSTALLATION, *SERVICE]
    screen = Screen(out, err, live=False, color=arguments.color)
    findings: list[tuple[str, Finding]] = []
    for name, found in examine(checks, way):
        findings.append((name, found))
        if not (arguments.json or arguments.report):
            screen.write_lines(lines_of(name, found, screen.size.columns, way.secrets))
    beside = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "parts": {part.name: part.version for part in installed_parts()},
        "variables": [name for name in _VARIABLES if os.environ.get(name) or os.environ.get(name.upper())],
    }
    if arguments.json:
        out.write(as_json(findings, beside, way.secrets))
    elif arguments.report:
        out.write(as_report(findings, beside, [*way.secrets, *_names()]))
    else:
        screen.write_lines([Token(summary(findings)), Token("\n")])
    return exit_code_of(found for _, found in findings)


def _names() -> list[str]:
    """List names that identify the user and the machine."""
    names = [os.path.expanduser("~"), socket.gethostname()]
    try:
        names.append(getpass.getuser())
    except (KeyError, OSError, ImportError):
        pass  # this user has no name
    return names
