"""What the command is given: its command line, the files named there, and what a session makes of them.

``arguments`` is the command line, ``transcribe``, ``many`` and ``serve`` hold the options of their commands,
``values`` reads numbers, ``exits`` has the codes it ends with. ``files`` reads files of settings,
``profiles`` options kept in one, ``vocabulary`` words; ``recognition`` lays one over the other, and ``asked``
turns all of it into a session.
"""

from __future__ import annotations

from .arguments import PROG, parse, parser
from .exits import ExitCode
from .files import read_text

__all__ = ["PROG", "ExitCode", "parse", "parser", "read_text"]
