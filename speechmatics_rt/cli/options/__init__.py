"""What the command is given: its command line, the files named there, and what a session makes of them.

``arguments`` is the command line, ``files`` reads the files of settings, ``asked`` turns both into a session.
"""

from __future__ import annotations

from .arguments import PROG, ExitCode, parser
from .files import read_text

__all__ = ["PROG", "ExitCode", "parser", "read_text"]
