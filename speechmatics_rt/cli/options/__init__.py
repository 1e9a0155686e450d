"""The command line: its options, and the files that they name. Parsed at once, so it imports little.

``arguments`` is the command line; ``transcribe``, ``many``, ``serve`` and ``doctor`` have the options of
their commands; ``layout`` wraps their help; ``values`` parses numbers; ``completion`` helps a shell;
``version`` says what is installed; ``exits`` has the exit codes. ``files`` reads files of settings,
``profiles`` options from a file, ``vocabulary`` words.
"""

from __future__ import annotations

from .arguments import KEY_VARIABLE, PROG, parse, parser
from .completion import shell_code
from .exits import EXIT_CODES, ExitCode
from .files import Settings, read_settings, read_text
from .profiles import config_path
from .values import form_of
from .version import installed_parts
from .vocabulary import read_replacements, read_vocabulary

__all__ = [
    "EXIT_CODES",
    "KEY_VARIABLE",
    "PROG",
    "ExitCode",
    "Settings",
    "config_path",
    "form_of",
    "installed_parts",
    "parse",
    "parser",
    "read_replacements",
    "read_settings",
    "read_text",
    "read_vocabulary",
    "shell_code",
]
