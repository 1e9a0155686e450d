"""The standard streams as they are found: closed, full, broken, or none at all (a service, ``pythonw``)."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import Any, Optional

__all__ = ["Stream", "fill_closed", "put", "standard_error", "standard_output"]

Raw = Any  # an unbuffered binary file


class Stream(io.TextIOBase):
    """A standard stream, written at once, and in UTF-8 whatever the locale: no word is beyond it.

    Nothing waits in a buffer of Python's, which would be tried again at the exit, with a complaint. Where
    there is no stream, what is written is dropped.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; None, or a closed one, if it is missing.
        name: What an error calls it.
        vital: Raise OSError if it can't be written. Else it falls silent for good: what can't be told must
            not end a session.

    Example:
        >>> Stream(None, "standard output", vital=True).missing
        True
    """

    def __init__(self, stream: Any, name: str, *, vital: bool) -> None:
        self.name = name
        self.missing = stream is None or bool(getattr(stream, "closed", False))
        self._vital = vital
        self._silent = self.missing
        self._stream = stream
        self._raw: Optional[Raw] = None
        if not self.missing and stream in (sys.__stdout__, sys.__stderr__):
            self.flush()  # text that others have written comes first
            binary = getattr(stream, "buffer", None)
            self._raw = getattr(binary, "raw", binary)

    def write(self, text: str) -> int:
        """Write all of it, waiting for room if there is none.

        Raises:
            OSError: It can't be written, and is vital; its ``filename`` is the name.
        """
        try:
            if not self._silent:
                self._write(text)
        except (OSError, ValueError) as exc:
            self._silent = True
            if self._vital:
                number = exc.errno if isinstance(exc, OSError) else None
                raise OSError(number, getattr(exc, "strerror", None) or str(exc), self.name) from exc
        return len(text)

    def _write(self, text: str) -> None:
        if self._raw is not None:
            put(self._raw, text.encode("utf-8", "replace" if self._vital else "backslashreplace"))
        else:
            self._stream.write(text)
            self._stream.flush()

    def flush(self) -> None:
        try:
            if not self._silent:
                self._stream.flush()
        except (OSError, ValueError):
            pass  # text of others; our own writes will raise the error

    def isatty(self) -> bool:
        return not self.missing and bool(self._stream.isatty())

    @property
    def is_pipe(self) -> bool:
        """Whether it goes to another program, such as a pager."""
        try:
            mode = os.fstat(self.fileno()).st_mode
        except (OSError, ValueError):
            return False
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def fileno(self) -> int:
        if self.missing:
            raise io.UnsupportedOperation(f"there is no {self.name}")
        number: int = self._stream.fileno()
        return number


def put(raw: Raw, data: bytes) -> None:
    """Write all bytes to an unbuffered file; one that is non-blocking, and full, is waited for."""
    rest = memoryview(data)
    while rest:
        count = raw.write(rest)
        if count is None:  # who shares it with us made it non-blocking
            select.select([], [raw], [])
        else:
            rest = rest[count:]


def standard_output() -> Stream:
    return Stream(sys.stdout, "standard output", vital=True)


def standard_error() -> Stream:
    return Stream(sys.stderr, "standard error", vital=False)


def fill_closed() -> None:
    """Open /dev/null where a standard descriptor is closed, or the next file or socket would get its number.

    And with it all that is written there by a library, or by the interpreter when it dies.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
