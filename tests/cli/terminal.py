"""A small terminal: what the person would see, and find above it."""

from __future__ import annotations

import codecs
import os
import re
import select
import struct
import subprocess
import unicodedata
from typing import Any

from .command import start

_CUT = re.compile(r"(\x1b(\[[0-9;]*)?)?\Z")  # the beginning of a sequence, at the end
_ERASE = "\x1b[J"
_SEQUENCE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")


class Terminal:
    """A grid with a cursor, for the few sequences that may be used; others are an error."""

    def __init__(self, columns: int = 60, rows: int = 12) -> None:
        self.columns = columns
        self.rows = rows
        self.lines: list[list[str]] = [[]]  # all there ever were; the screen is the last of them
        self.top = self.row = self.column = 0  # the screen begins at the top
        self.colours: set[str] = set()

    def feed(self, text: str) -> Terminal:
        at = 0
        while at < len(text):
            sequence = _SEQUENCE.match(text, at)
            if sequence:
                self._obey(sequence[2], sequence[1])
                at = sequence.end()
                continue
            self._take(text[at])
            at += 1
        return self

    def _take(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        else:
            assert character.isprintable(), repr(character)
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self.column + wide > self.columns:
                self._down()
                self.column = 0
            line = self.lines[self.row]
            line += [" "] * (self.column - len(line))
            line[self.column : self.column + wide] = [character, ""][:wide]
            self.column += wide

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])
            self.top = max(self.top, len(self.lines) - self.rows)

    def _obey(self, command: str, parameter: str) -> None:
        if command == "J":
            assert not parameter
            if (self.row, self.column) == (self.top, 0):
                self._keep_screen()
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]
        elif command == "K":
            assert not parameter
            del self.lines[self.row][self.column :]
        elif command == "A":
            self.row -= int(parameter)
            assert self.row >= self.top, "above the screen"
        elif command == "C":
            self.column = min(self.columns - 1, self.column + int(parameter))
        elif command == "m":
            self.colours.add(parameter)
        else:
            raise AssertionError(f"ESC [ {parameter} {command}")

    def _keep_screen(self) -> None:
        """Keep what is on a screen that is erased as a whole above it, as tmux and PuTTY do."""
        while self.lines and not "".join(self.lines[-1]).strip() and len(self.lines) > self.top:
            self.lines.pop()
        self.lines.append([])
        self.top = self.row = len(self.lines) - 1

    @property
    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip("\n")


class OnTerminal:
    """The command with some of its streams on a terminal; use it in ``with``."""

    def __init__(
        self,
        *arguments: Any,
        columns: int = 60,
        rows: int = 12,
        streams: tuple[str, ...] = ("stdout", "stderr"),
        stdout: int = subprocess.DEVNULL,
        start_new_session: bool = False,
        anew: bool = False,
        own_group: bool = False,
        **env: str,
    ) -> None:
        import fcntl  # Unix alone has these
        import termios

        self._parent, self._child = os.openpty()
        fcntl.ioctl(self._child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        others = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": subprocess.DEVNULL}
        self.received = ""
        self._fed = 0
        self.terminal = Terminal(columns, rows)
        self.process = start(
            *arguments,
            env=env,
            start_new_session=start_new_session,
            anew=anew,
            **({"preexec_fn": os.setpgrp} if own_group else {}),
            **{**others, **dict.fromkeys(streams, self._child)},
        )
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __enter__(self) -> OnTerminal:
        os.close(self._child)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._parent)

    def hang_up(self) -> None:
        """Close the terminal: whoever writes on it from now on fails."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self._parent)
        os.close(null)

    def read(self) -> bool:
        """Take what comes next; False at the end."""
        assert select.select([self._parent], [], [], 30)[0], self.terminal.text
        try:
            block = os.read(self._parent, 65536)
        except OSError:  # Linux: nobody is left at the other end
            return False
        text = self._decoder.decode(block)
        self.received += text
        return bool(block)

    def until(self, pattern: str) -> str:
        """Read until the screen shows it, or has shown it; return that screen.

        Each one is looked at, also of those that came in one piece since we were not awake in time.
        """
        while not re.search(pattern, self.terminal.text):
            whole = len(self.received) - len(_CUT.search(self.received)[0])
            if self._fed == whole:
                assert self.read(), f"{pattern!r} never came; there is\n{self.terminal.text}"
                continue
            drawn = self.received.find(_ERASE, self._fed + 1, whole)
            drawn = whole if drawn < 0 else drawn  # up to where it is drawn anew
            self.terminal.feed(self.received[self._fed : drawn])
            self._fed = drawn
        return self.terminal.text

    def finish(self) -> tuple[int, str]:
        while self.read():
            pass
        return self.process.wait(10), self.received


def in_terminal(*arguments: Any, **options: Any) -> tuple[int, str]:
    """Run the command with some of its streams on a terminal; return its exit code and what came there."""
    with OnTerminal(*arguments, **options) as running:
        return running.finish()
