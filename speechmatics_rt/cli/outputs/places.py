"""Identifies the files that the command reads and writes, whatever their names."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Optional

from ...audio import meant_by
from ...exceptions import ConfigurationError

__all__ = ["Place", "about_link", "check_apart", "unwritable"]


class Place(NamedTuple):
    """A file as the user named it.

    Attributes:
        option: By which option; "" for one that has none.
        name: The name given.
        descriptor: Of what is open already (``-``, /dev/stdout, what a shell makes of ``>(program)``).
    """

    option: str
    name: str
    descriptor: Optional[int] = None

    @classmethod
    def of(cls, option: str, name: str, *, standard: int) -> Place:
        """Take a name; ``-`` is the ``standard`` descriptor."""
        return cls(option, name, standard if name == "-" else _descriptor_of(name))

    def __str__(self) -> str:
        return self.shown if self.shown == self.option else f"{self.option} {self.shown}".strip()

    @property
    def shown(self) -> str:
        """What an error calls it: by its name, or as what it is."""
        return self.option if self.descriptor is not None and not self.name else repr(self.name)

    @property
    def is_standard_output(self) -> bool:
        return self.descriptor == 1

    def status(self) -> os.stat_result:
        """Look at the file; raises OSError."""
        return os.stat(self.name) if self.descriptor is None else os.fstat(self.descriptor)

    def identity(self) -> Optional[Hashable]:
        """Return what is the same for all names of a file.

        None for what isn't there, and for what may be written by many: a terminal, a device, a socket.
        """
        try:
            status = self.status()
        except (OSError, ValueError):
            return None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            return None
        # Some file systems of Windows number nothing.
        return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(_real(self.name))


def check_apart(outputs: Sequence[Place], inputs: Sequence[Place]) -> None:
    """Refuse an output that can't be written, or is the same file as another, or as what is read.

    Nothing is changed: a file that isn't there is made, since only its folder knows whether two names are
    one (by their case, by a link), and removed again.

    Raises:
        ConfigurationError: Says which.
    """
    taken: dict[Hashable, Place] = {}
    for place in inputs:
        identity = place.identity()
        if identity is not None:
            taken[identity] = place
    with ExitStack() as made:
        for place in outputs:
            try:
                if _made(place):
                    made.callback(_remove, _real(place.name))
            except (OSError, ValueError) as exc:
                raise unwritable(place, exc) from exc
            identity = place.identity()
            if identity is None:
                continue
            if identity in taken:
                raise ConfigurationError(
                    f"{place} is the same file as {taken[identity]}, and would overwrite it; name another"
                )
            taken[identity] = place


def unwritable(place: Place, exc: Exception) -> ConfigurationError:
    why = getattr(exc, "strerror", None) or exc
    meant = meant_by(place.name) or about_link(place.name) if isinstance(exc, FileNotFoundError) else None
    return ConfigurationError(f"can't write {place.shown}: {why}{f'; {meant}' if meant else ''}")


def about_link(path: str) -> Optional[str]:
    """Say where a link leads at which no file can be made; None if it is no link."""
    return f"it is a link to {_real(path)!r}, whose folder is not there" if os.path.islink(path) else None


def _made(place: Place) -> bool:
    """Find that a place can be written; True if a file had to be made for that."""
    if place.descriptor is not None:
        _check_descriptor(place.descriptor)
        return False
    missing = not os.path.exists(place.name)
    if missing or not _is_special(os.stat(place.name).st_mode):
        os.close(os.open(place.name, os.O_WRONLY | (os.O_CREAT if missing else 0), 0o666))
    return missing


def _is_special(mode: int) -> bool:
    """Whether it is opened only once, and late: a named pipe would wait for its reader."""
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # another process was faster


def _real(name: str) -> str:
    return os.path.realpath(name)


# -- names of what is open already -------------------------------------------------------------------------


def _descriptor_of(name: str) -> Optional[int]:
    """Return the number that a name like /dev/stdout or /dev/fd/63 stands for, also through links.

    Such a file isn't opened by its name: that would start again at its beginning, and a socket or a pipe
    with no name can't be.
    """
    ours = ("/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd", os.path.realpath("/dev/fd"))
    for _ in range(40):  # as many links as Linux follows
        folder, last = os.path.split(os.path.abspath(name))
        folder = os.path.realpath(folder)
        if folder in ours:
            return int(last) if last.isascii() and last.isdigit() else None
        path = os.path.join(folder, last)
        if not os.path.islink(path):
            return None
        name = os.path.join(folder, os.readlink(path))
    return None


def _check_descriptor(number: int) -> None:
    stream = (sys.stdin, sys.stdout, sys.stderr)[number] if number < 3 else True
    if stream is None:
        raise OSError(None, "it is closed")
    os.fstat(number)
    if sys.platform != "win32":
        import fcntl  # Unix alone has it

        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(None, "it is open for reading only")
