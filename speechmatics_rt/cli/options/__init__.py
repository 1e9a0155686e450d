"""The options of the command: its command line, the files named there, and the session they describe.

``arguments`` is the command line; ``transcribe``, ``many``, ``serve`` and ``doctor`` have the options of
their commands; ``layout`` wraps their help; ``values`` parses numbers; ``exits`` has the exit codes.
``files`` reads files of settings, ``profiles`` options from a file, ``vocabulary`` words. ``recognition``
merges options and settings, and ``asked`` turns everything into a session.
"""

from __future__ import annotations

from .arguments import PROG, parse, parser
from .exits import ExitCode
from .files import read_text

__all__ = ["PROG", "ExitCode", "parse", "parser", "read_text"]
