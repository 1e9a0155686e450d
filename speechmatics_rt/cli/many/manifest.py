"""``manifest.jsonl``: the outcomes of the recordings, one line for each."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Optional

from ...exceptions import ConfigurationError, SpeechmaticsError
from ...many import Outcome
from ..options import ExitCode
from ..outputs import cause_of, json_line
from ..shell import in_shell_words
from ..streams import put
from .found import folds_case

__all__ = ["MANIFEST", "Entry", "Manifest", "Unwritable", "fingerprint"]

MANIFEST = "manifest.jsonl"
_OF_THE_RUN = ("ConfigurationError", "Unwritable")  # failures that say nothing of the recording


class Unwritable(SpeechmaticsError):
    """A file of a transcript can't be written.

    Attributes:
        number: The system's number of the reason.
    """

    def __init__(self, message: str = "", *, number: Optional[int] = None) -> None:
        super().__init__(message)
        self.number = number

    @property
    def type(self) -> str:
        """The system's name for the reason, such as ``EISDIR``."""
        return errno.errorcode.get(self.number or 0, "")


class Entry(NamedTuple):
    """The latest outcome of a recording.

    Attributes:
        source: Its path, absolute.
        status: ``done`` or ``failed``.
        size, modified: Of the file, when it was transcribed.
        asked: The :func:`fingerprint` of the options.
        written: Its files, relative to the folder of the manifest.
        seconds: Of audio.
        error: Why it failed, in words.
        kind: The class of that error.
        type: The service's name for the error, if the service sent it; the system's, of an unwritable file.
        code: The exit code for that error.
        retryable: Whether the same may succeed later.
    """

    source: str
    status: str
    size: int
    modified: float
    asked: str
    written: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    kind: str = ""
    type: str = ""
    code: int = 0
    retryable: bool = False

    @classmethod
    def of(cls, path: str, asked: str) -> Entry:
        """Make one, without an outcome, from a file as it is now; the size of a missing file is -1."""
        try:
            status = os.stat(path)
            size, modified = status.st_size, status.st_mtime
        except OSError:
            size, modified = -1, 0.0
        return cls(os.path.abspath(path), "", size, modified, asked)

    def same(self, other: Optional[Entry]) -> bool:
        """Whether another one is about the same audio and options."""
        mine = (self.source, self.size, self.modified, self.asked)
        return other is not None and mine == (other.source, other.size, other.modified, other.asked)

    @property
    def fails_again(self) -> bool:
        """Whether it failed for a reason other than those of the run: its options, and where it writes."""
        return self.status == "failed" and self.kind not in _OF_THE_RUN

    def failed(self, error: BaseException, path: str) -> Entry:
        """Note the error, without the recording's name, as every line that shows it begins with that."""
        text, code, retryable = f"{type(error).__name__}: {error}", ExitCode.FAILED, False
        if isinstance(error, SpeechmaticsError):
            text, code, retryable = error.text, ExitCode.of(error), error.retryable
        if isinstance(error, Unwritable):
            code = ExitCode.OUTPUT
        return self._replace(
            status="failed",
            error=in_shell_words(re.sub(rf"^(channel .*: |){re.escape(repr(path))}: ", r"\1", text)),
            kind=type(error).__name__,
            type=str(getattr(error, "type", None) or ""),
            code=int(code),
            retryable=retryable,
        )


def fingerprint(asked: Mapping[str, Any]) -> str:
    """Hash the options that a transcript depends on, such as the language."""
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Manifest:
    """The file, open for one run at a time; use it in ``with``.

    A line is written in one piece, after the results that it lists. So if a run is killed, results may be
    missing from the manifest, but nothing in the manifest is missing from the results.

    Attributes:
        known: The latest entry of each source.

    Raises:
        ConfigurationError: It can't be opened, or another run writes it.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, MANIFEST)
        self.known: dict[str, Entry] = {}
        self._folder = folder
        self._written: dict[str, Entry] = {}  # the latest line that lists a file
        self._same: Callable[[str], str] = str.casefold if folds_case(folder) else os.path.normcase
        try:
            self._file = open(self.path, "a+b", 0)  # noqa: SIM115 - closed by __exit__
        except OSError as exc:
            raise ConfigurationError(f"can't write {self.path!r}: {cause_of(exc)}") from exc
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def is_done(self, now: Entry, wanted: Iterable[str]) -> bool:
        """Whether a recording is done: its files are there, and were last written of it as it is now."""
        return all(self._holds(name, now) for name in wanted)

    def _holds(self, name: str, now: Entry) -> bool:
        last = self._written.get(self._same(name))
        if last is None or not self._exists(name) or self.other(name, now.source) is not None:
            return False
        return now.same(last._replace(source=now.source))

    def is_of(self, name: str, source: str) -> bool:
        """Whether a file was last written of a source."""
        last = self._written.get(self._same(name))
        return last is not None and (last.source == source or _is_one(last.source, source))

    def other(self, name: str, source: str) -> Optional[str]:
        """Return which other source a file holds the transcript of; None if there is no such file."""
        last = self._written.get(self._same(name))
        if last is None or not self._exists(name) or self.is_of(name, source):
            return None
        return last.source

    def _exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self._folder, name))

    def _note(self, entry: Entry) -> None:
        self.known[entry.source] = entry
        for name in entry.written:
            self._written[self._same(name)] = entry

    def add(self, entry: Entry, outcome: Outcome) -> None:
        """Write a line, as a whole or not at all.

        Raises:
            OSError: It can't be written; or it would be lost, as the folder was moved or removed.
        """
        line: dict[str, Any] = {**entry._asdict(), "tries": outcome.tries}
        line.update(request_id=outcome.request_id, session_id=outcome.session_id)
        line["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if entry.status == "done":
            for name in ("error", "kind", "type", "code", "retryable"):
                del line[name]
        here = os.fstat(self._file.fileno())
        if not os.path.samestat(os.stat(self.path), here):
            raise FileNotFoundError(errno.ENOENT, "another file has its place", self.path)
        try:
            # The bytes of a name that are no UTF-8 are halves of a pair to Python, and JSON escapes these.
            put(self._file, json_line(line).encode("utf-8", "backslashreplace"))
        except OSError as exc:
            self._file.truncate(here.st_size)
            raise OSError(exc.errno, exc.strerror, self.path) from exc
        self._note(entry)

    def _lock(self) -> None:
        if sys.platform != "win32":  # Windows has no flock
            import fcntl

            try:
                fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"another run is writing {self.path!r}; wait for it, or give another --output"
                ) from None
            except OSError:
                pass  # the file system has no locks

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        with open(self.path, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # its run was killed while writing; that recording is done again
                whole += len(line)
                entry = _entry(line)
                if entry is not None:
                    self._note(entry)
        if os.fstat(self._file.fileno()).st_size > whole:
            self._file.truncate(whole)


def _is_one(path: str, other: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one of them is gone
        return False


def _entry(line: bytes) -> Optional[Entry]:
    """Read a line; None, and so ignored, if this command did not write it."""
    try:
        said = json.loads(line)
        fields = {name: said[name] for name in Entry._fields if name in said}
        return Entry(**{**fields, "written": tuple(fields.get("written", ()))})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
