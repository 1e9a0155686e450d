"""Where the transcript goes: live to stdout, or whole, at the end, to stdout or a file."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional, TextIO

from ..exceptions import ConfigurationError
from ..transcript import Transcript
from .flow import text_of

__all__ = ["WHOLE", "AtomicFile", "Captions", "json_line", "opened"]


def _json(transcript: Transcript) -> str:
    return json.dumps(transcript.to_dict(), ensure_ascii=False, indent=2) + "\n"


_LONG = 0.05  # s to write captions of some 10,000 words


WHOLE: dict[str, Callable[[Transcript], str]] = {
    "text": text_of,
    "json": _json,
    "srt": Transcript.to_srt,
    "vtt": Transcript.to_vtt,
}


def json_line(message: Mapping[str, Any]) -> str:
    """Write a message as one line of JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n"


class AtomicFile:
    """A file that appears, or is replaced, whole or not at all, as often as it is written.

    It is begun beside its place when this is made, so that a folder that can't be written is known before
    any work. What is no regular file (a pipe, /dev/null) is written directly.

    Raises:
        ConfigurationError: It can't be written there.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(os.path.realpath(path))  # a symbolic link stays one
        self._begun: Optional[Path] = None
        try:
            self._file = self._begin()
        except OSError as exc:
            raise _unwritable(path, exc) from exc

    def _begin(self) -> TextIO:
        mode = self._path.stat().st_mode if self._path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            return self._path.open("w", encoding="utf-8", newline="\n")
        begun = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        file = begun.open("x", encoding="utf-8", newline="\n")
        self._begun = begun
        if mode is not None:
            os.chmod(begun, stat.S_IMODE(mode))
        return file

    def write(self, text: str) -> None:
        """Write the text and put the file in its place."""
        if self._file.closed:
            self._file = self._begin()
        with self._file:
            self._file.write(text)
        if self._begun is not None:
            os.replace(self._begun, self._path)
            self._begun = None

    def close(self) -> None:
        """Remove what was begun and not put in its place."""
        self._file.close()
        if self._begun is not None:
            self._begun.unlink()


class Captions:
    """A captions file that is whole at any moment, while the transcript grows.

    Raises:
        ConfigurationError: The name says no format, or it can't be written there.
    """

    def __init__(self, path: str) -> None:
        form = os.path.splitext(path)[1].lstrip(".").lower()
        if form not in ("srt", "vtt"):
            raise ConfigurationError(f"--captions {path!r}: name it .vtt or .srt")
        self._text = WHOLE[form]
        self._file = AtomicFile(path)
        self._due = False
        self._next = 0.0

    def take(self, transcript: Transcript, *, changed: bool) -> None:
        """Write it after every final; if that takes long, with the first message that leaves time for it."""
        self._due |= changed
        if self._due and time.monotonic() >= self._next:
            self.write(transcript)

    def write(self, transcript: Transcript) -> None:
        began = time.monotonic()
        self._file.write(self._text(transcript))
        self._due = False
        took = time.monotonic() - began
        if took > _LONG:  # else the session would fall behind
            self._next = time.monotonic() + 9 * took

    def close(self) -> None:
        self._file.close()


@contextmanager
def opened(path: str) -> Iterator[TextIO]:
    """Open a file for lines that are to be read as they come.

    Raises:
        ConfigurationError: It can't be written there.
    """
    try:
        file = open(path, "w", encoding="utf-8", newline="\n", buffering=1)  # noqa: SIM115 - closed below
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    with file:
        yield file


def _unwritable(path: str, exc: OSError) -> ConfigurationError:
    return ConfigurationError(f"can't write {path!r}: {exc.strerror or exc}")
