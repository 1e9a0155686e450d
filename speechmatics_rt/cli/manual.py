"""Writes the manual page of the command from its parser.

``python -m speechmatics_rt.cli.manual > speechmatics_rt/cli/speechmatics-rt.1`` updates it. It is in the
repository, so that installation does not need this module; a test compares it with the parser.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

from .._version import __version__
from .options import EXIT_CODES, PROG, parser

__all__ = ["page"]

VARIABLES = {
    "SPEECHMATICS_API_KEY": "the key, if none is given",
    "SPEECHMATICS_RT_URL": "the address of the service, if none is given",
    "https_proxy, http_proxy, all_proxy, no_proxy": "the proxy on the way, and the hosts that need none",
    "SSL_CERT_FILE, SSL_CERT_DIR": "certificates to trust, as PEM",
    "NO_COLOR": "if it is set, no colours",
}


def page() -> str:
    """Write the whole page."""
    whole = parser()
    commands = commands_of(whole)
    lines = [f'.TH {PROG.upper()} 1 "" "{PROG} {__version__}" "User Commands"'.replace("-", r"\-")]
    lines += [
        ".SH NAME",
        rf"{roff(PROG)} \- transcribe audio with the Speechmatics Real\-Time API, or offline",
    ]
    lines += [".SH SYNOPSIS"]
    for number, (name, command) in enumerate(commands.items()):
        lines += [".br"] * bool(number) + [rf"\fB{roff(f'{PROG} {name}')}\fR {roff(usage_of(name, command))}"]
    lines += [".SH DESCRIPTION", roff(whole.description or "")]
    common = common_of(commands)
    for name, command in commands.items():
        lines += [f".SH COMMAND {name.upper()}", *described(command)]
        for group in command._action_groups:
            actions = [
                action for action in group._group_actions if shown(action) and spelt(action) not in common
            ]
            if actions:
                lines += [f".SS {roff((group.title or '').capitalize())}"]
                lines += [line for action in actions for line in option(action)]
    lines += [".SH OPTIONS OF EVERY COMMAND"]
    lines += [line for action in common.values() for line in option(action)]
    lines += [".SH EXIT STATUS", *table(EXIT_CODES)]
    lines += [".SH ENVIRONMENT"]
    for names, meaning in VARIABLES.items():
        lines += [".TP", rf"\fB{roff(names)}\fR", roff(meaning)]
    lines += [".SH FILES", ".TP", r"\fI~/.config/speechmatics\-rt/config.toml\fR"]
    lines += [roff("options kept as profiles, a table each; see --profile")]
    for name, command in commands.items():
        lines += examples(name, command.epilog or "")
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    """Write text so that it is read as it stands.

    >>> roff(".TH is --not a request")
    '\\\\&.TH is \\\\-\\\\-not a request'
    """
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", text)


def commands_of(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise LookupError("commands")


def usage_of(name: str, command: argparse.ArgumentParser) -> str:
    usage = command.usage or "[options]"
    return usage.partition(f"{PROG} {name} ")[2] or usage


def shown(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS


def spelt(action: argparse.Action) -> str:
    return ", ".join(action.option_strings) or str(action.metavar or action.dest)


def common_of(commands: dict[str, argparse.ArgumentParser]) -> dict[str, argparse.Action]:
    """Find the options that all commands have."""
    each = [{spelt(action): action for action in command._actions} for command in commands.values()]
    return {name: action for name, action in each[0].items() if all(name in other for other in each)}


def described(command: argparse.ArgumentParser) -> Iterator[str]:
    for number, part in enumerate((command.description or "").strip().split("\n\n")):
        if part.startswith("  "):
            yield from (".nf", roff(part), ".fi")
        else:
            yield from ([".PP"] if number else [])
            yield roff(" ".join(part.split()))


def option(action: argparse.Action) -> list[str]:
    """Write an option or an argument, with what it takes and what it does."""
    takes = ""
    if action.option_strings and action.nargs != 0:
        takes = str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())
    names = ", ".join(rf"\fB{roff(name)}\fR" for name in action.option_strings)
    if takes:
        names += rf" \fI{roff(takes)}\fR"
    return [".TP", names or rf"\fI{roff(spelt(action))}\fR", roff((action.help or "").replace("%%", "%"))]


def table(text: str) -> Iterator[str]:
    for number, meaning in re.findall(r"^  (\d+) +(.*)$", text, re.MULTILINE):
        yield from (".TP", rf"\fB{number}\fR", roff(meaning))


def examples(name: str, epilog: str) -> Iterator[str]:
    """Write the examples of a command, and what is said after its exit codes."""
    said = epilog.replace(EXIT_CODES, "").strip()
    found = re.match(r"examples:\n((?:  .*\n?)+)", said)
    if found:
        yield f".SH EXAMPLES OF {name.upper()}"
        for number, line in enumerate(found[1].splitlines()):
            command, _, what = line.strip().partition("  ")  # beneath each other: side by side is too wide
            yield from ([".PP"] if number else [])
            yield rf"\fB{roff(command)}\fR"
            if what:
                yield from (".RS", roff(what.strip()), ".RE")
        said = said[found.end() :].strip()
    if said:
        yield from (".PP", roff(" ".join(said.split())))


if __name__ == "__main__":
    sys.stdout.write(page())
