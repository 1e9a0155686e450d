"""Shell completion, by argcomplete, which asks the command itself, so that it is never out of date."""

from __future__ import annotations

import argparse
import os

from ...exceptions import ConfigurationError

__all__ = ["SHELLS", "complete", "shell_code"]

SHELLS = ("bash", "zsh", "fish")
_ASKED = "_ARGCOMPLETE"  # what the shell sets when it asks; nothing is imported otherwise


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer and leave, if it is the shell that asks."""
    if _ASKED in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, exclude=["--version"])


def shell_code(prog: str, shell: str) -> str:
    """Write what the shell is to read.

    Raises:
        ConfigurationError: The package is missing.
    """
    try:
        import argcomplete
    except ImportError as exc:
        raise ConfigurationError(
            "completion needs the package argcomplete: pip install 'speechmatics-rt-sync[cli]'"
        ) from exc
    code: str = argcomplete.shellcode([prog], shell=shell)
    return code.rstrip() + "\n"
