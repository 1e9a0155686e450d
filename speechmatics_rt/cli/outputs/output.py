"""Writes output: as a whole, as it comes, or again after every change."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable, Optional, Union

from ...exceptions import ConfigurationError
from ...transcript import CaptionShape, Transcript
from ..streams import Raw, put
from .places import Place, unwritable

__all__ = [
    "CAPTIONS",
    "Captions",
    "Output",
    "Pace",
    "captions_text",
    "cause_of",
    "json_line",
    "json_text",
    "make_folder",
    "opened",
]

_AHEAD = 0.05  # s of work to write captions of some 10,000 words: at once, if little was written before
_SLOW = 1.0  # s that no machine is too busy for: the disk is slow
_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)


CAPTIONS = ("srt", "vtt")


def captions_text(form: str, transcript: Transcript, shape: CaptionShape) -> str:
    write = transcript.to_srt if form == "srt" else transcript.to_vtt
    return write(columns=shape.columns, lines=shape.lines)


def json_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def json_line(message: Mapping[str, Any]) -> str:
    """Write a message as one line of JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n"


def cause_of(error: OSError) -> str:
    return error.strerror or str(error)


def make_folder(option: str, name: str) -> None:
    """Make the folder that an option names, if it isn't there.

    Raises:
        ConfigurationError: It can't be made.
    """
    try:
        os.makedirs(name, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"can't make {option} {name!r}: {cause_of(exc)}") from exc


class File:
    """A regular file, there or to be made; as long as nothing is written, it stays as it was.

    ``write`` puts a new file in its place, so that nobody ever sees half of one and a full disk costs
    nothing of what was there. Where that can't be, or would be another file (it is mounted by itself, has
    other names or another owner, its folder is closed to us), what is in it is overwritten.
    """

    live = True

    def __init__(self, name: str) -> None:
        self._path = os.path.realpath(name)  # a symbolic link stays one
        self._lines: Optional[Raw] = None
        self._size = 0  # of the whole lines

    def write(self, text: str) -> None:
        """Have the file hold this text, however often; raises OSError."""
        data = _encoded(text)
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            status = None
        if (status is None or status.st_nlink == 1) and self._replace(data, status):
            return
        self._overwrite(data)

    def _replace(self, data: bytes, status: Optional[os.stat_result]) -> bool:
        """Put a new file in its place; False if there is one that has to be overwritten."""
        # Named by chance, not by the process: in a container every run has the same number, and what a run
        # that was killed has left there must be in nobody's way.
        begun = os.path.join(os.path.dirname(self._path), f".speechmatics-rt-{secrets.token_hex(6)}.part")
        try:
            file = open(begun, "xb", 0)  # noqa: SIM115 - closed below
        except OSError as exc:
            if status is None or exc.errno in _FULL:
                raise
            return False  # the folder is closed to us
        try:
            with file:
                if status is not None:
                    ours = os.fstat(file.fileno())
                    if (ours.st_uid, ours.st_gid) != (status.st_uid, status.st_gid):
                        return False
                    os.chmod(begun, stat.S_IMODE(status.st_mode))
                put(file, data)
            try:
                os.replace(begun, self._path)
            except OSError:
                if status is None:
                    raise
                return False
        finally:
            try:
                os.unlink(begun)
            except OSError:
                pass  # it is in its place by now, or its folder is gone
        return True

    def _overwrite(self, data: bytes) -> None:
        def as_it_is(path: str, flags: int) -> int:
            return os.open(path, flags & ~(os.O_TRUNC | os.O_CREAT))

        with open(self._path, "wb", 0, opener=as_it_is) as file:
            try:
                put(file, data)
            finally:
                file.truncate()  # here it ends, also if the disk is full

    def append(self, text: str) -> None:
        """Add a line at once; the first one replaces the file. Raises OSError, and leaves no half line."""
        if self._lines is None:
            self._lines = open(self._path, "wb", 0)  # noqa: SIM115 - closed below
        data = _encoded(text)
        try:
            put(self._lines, data)
        except OSError:
            os.ftruncate(self._lines.fileno(), self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()


class Flowing:
    """What can't be taken back: a pipe, a device, what the shell has opened for us. Written directly."""

    live = False  # it can't be written again and again

    def __init__(self, place: Place) -> None:
        name = place.name if place.descriptor is None else os.dup(place.descriptor)
        self._file: Raw = open(name, "wb", 0)  # noqa: SIM115 - closed below

    def write(self, text: str) -> None:
        """Write the text; raises OSError."""
        put(self._file, _encoded(text))

    append = write

    def close(self) -> None:
        self._file.close()


Output = Union[File, Flowing]


def opened(place: Place) -> Output:
    """Open an output that :func:`~.places.check_apart` found good; a named pipe waits for its reader.

    Raises:
        ConfigurationError: It can't be opened.
    """
    try:
        if place.descriptor is None and (
            not os.path.exists(place.name) or stat.S_ISREG(os.stat(place.name).st_mode)
        ):
            return File(place.name)
        return Flowing(place)
    except OSError as exc:
        raise unwritable(place, exc) from exc


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


class Pace:
    """When what changes is to be written anew: so that it takes a tenth of the time at most.

    Args:
        seconds: From one writing to the next, at least.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._due = False
        self._next = 0.0
        self._earned = 0.0  # when a tenth of the time is as much as was worked

    def is_due(self, *, changed: bool) -> bool:
        """Note whether it has changed; a change that can't be written now is due later."""
        self._due |= changed
        return self._due and time.monotonic() >= self._next

    @contextmanager
    def around(self) -> Iterator[None]:
        """Write it in this block."""
        began, worked = time.monotonic(), time.thread_time()
        self._due = False
        yield
        took = time.monotonic() - began
        if took < _SLOW:  # on a busy machine it is the work that counts, not the wait for its turn
            took = time.thread_time() - worked
        # Else the session would fall behind.
        self._earned = max(self._earned, began) + 10 * took
        self._next = max(time.monotonic() + self._seconds, self._earned - 10 * _AHEAD)


class Captions:
    """A captions file that is whole at any moment, while the transcript grows.

    It goes along with the transcript: if it can't be written, that is said once, and tried again.

    Args:
        place: Its name says the format; see :meth:`form_of`.
        shape: How much each caption may hold.
        warn: Told once why it can't be written.

    Raises:
        ConfigurationError: It can't be opened.
    """

    def __init__(self, place: Place, shape: CaptionShape, warn: Callable[[str], None]) -> None:
        self._place = place
        self._form = self.form_of(place.name)
        self._shape = shape
        self._file = opened(place)
        self._warn = warn
        self._warned = False
        self._pace = Pace()
        self.whole = True  # the last writing went well

    @staticmethod
    def form_of(name: str) -> str:
        """Return the format that a name asks for.

        Raises:
            ConfigurationError: It asks for none.
        """
        form = os.path.splitext(name)[1].lstrip(".").lower()
        if form not in CAPTIONS:
            raise ConfigurationError(f"--captions {name!r}: name it .vtt or .srt")
        return form

    def take(self, whole: Callable[[], Transcript], *, changed: bool) -> None:
        """Write it after every change; if that takes long, with the first message that leaves time for it."""
        if self._pace.is_due(changed=changed) and self._file.live:
            self.write(whole())

    def write(self, transcript: Transcript, *, last: bool = False) -> None:
        """Write it now; what can't be written twice, the ``last`` time alone."""
        if not (self._file.live or last):
            return
        with self._pace.around():
            try:
                self._file.write(captions_text(self._form, transcript, self._shape))
                self.whole = True
            except OSError as exc:
                self.whole = False
                if not self._warned:
                    self._warned = True
                    self._warn(f"can't write {self._place}: {cause_of(exc)}")

    def close(self) -> None:
        self._file.close()
