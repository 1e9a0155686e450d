"""Shell completion, by argcomplete, which asks the command itself, so that it is never out of date."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator

from ...exceptions import ConfigurationError
from .values import FORMS

__all__ = ["SHELLS", "complete", "shell_code"]

SHELLS = ("bash", "zsh", "fish")
_ASKED = "_ARGCOMPLETE"  # what the shell sets when it asks; nothing is imported otherwise


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer and leave, if it is the shell that asks."""
    if _ASKED in os.environ:
        import argcomplete

        for action in _actions(parser):
            words = _WORDS.get(action.dest)
            if words is not None and not action.choices:
                action.completer = words  # type: ignore[attr-defined]  # argcomplete looks for it
        argcomplete.autocomplete(parser, exclude=["--version"])


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _forms(prefix: str, **_: object) -> list[str]:
    return _behind(prefix, FORMS)


def _options(prefix: str, parser: argparse.ArgumentParser, **_: object) -> list[str]:
    shown = (action for action in parser._actions if action.help != argparse.SUPPRESS)
    return _behind(prefix, [action.option_strings[-1][2:] for action in shown if action.option_strings])


def _behind(prefix: str, words: Iterable[str]) -> list[str]:
    """Offer one more of a list between commas."""
    before = prefix.rpartition(",")[0]
    return [f"{before},{word}" if before else word for word in words]


def _faults(**_: object) -> list[str]:
    try:
        from ...local import Fault
    except ImportError:  # without its extra there is no server either
        return []
    return [row.kind for row in Fault.table()]


# By option: what argparse does not know, since it is read by a function. Otherwise files are offered.
_WORDS: dict[str, Callable[..., list[str]]] = {"format": _forms, "fault": _faults, "without": _options}


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
