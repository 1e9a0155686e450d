"""Lays out the help: sentences and tables are wrapped to the terminal, commands are left whole."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

__all__ = ["HelpFormatter"]

_ROOM = 24  # columns that the right side of a table needs; with less, it goes below the left one
_BELOW = " " * 8
_COLUMNS = re.compile(r"( +\S+(?: \S+)*  +)(\S.*)")


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, examples and exit codes, which argparse leaves alone or joins to one paragraph."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = laid_out(text, width - len(indent))
        return "".join(f"{indent}{line}".rstrip() + "\n" for line in lines)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(" ".join(text.split()), width, "")  # argparse breaks paths and options at hyphens

    def _format_usage(self, usage: Any, *rest: Any) -> str:
        text: str = super()._format_usage(usage, *rest)
        return text if usage is None else "\n".join(_wrapped(text, self._width, _BELOW)) + "\n\n"


def laid_out(text: str, columns: int) -> Iterator[str]:
    """Give its lines: paragraphs that begin at the margin, tables and commands that are indented.

    Example:
        >>> for line in laid_out("codes:\\n  0  success, or so it seems as of now\\n  seq 9999 | tail", 30):
        ...     print(line)
        codes:
          0  success, or so it seems
             as of now
          seq 9999 | tail
    """
    for indented, lines in groupby(text.splitlines(), key=lambda line: not line or line.startswith(" ")):
        if not indented:
            yield from _wrapped(" ".join(lines), columns, "")
            continue
        for line in lines:
            parts = _COLUMNS.fullmatch(line)
            if parts is None or len(line) <= columns:
                yield line
                continue
            left, right = parts.groups()
            if columns - len(left) >= _ROOM:
                first, *others = textwrap.wrap(right, columns - len(left))
                yield from [left + first, *(" " * len(left) + other for other in others)]
            else:
                yield left.rstrip()
                yield from _wrapped(_BELOW + right, columns, _BELOW)


def _wrapped(text: str, columns: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, columns, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
