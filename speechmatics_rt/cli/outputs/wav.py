"""Saves the audio of a microphone as a WAV that is valid at any moment."""

from __future__ import annotations

import logging
import struct
from typing import Optional

from ...threads import new_lock
from ..streams import Raw, put
from .places import Place

__all__ = ["WavFile"]

logger = logging.getLogger(__name__)

_UNKNOWN = 0xFFFFFFFF  # a length that is not known yet: players read on to the end
_LONGEST = _UNKNOWN - 36


class WavFile:
    """A WAV of 16-bit samples that grows. If it can't be written that is said once, and the rest goes on.

    It is begun with the second block: the first one is read before a connection is made, and a session that
    does not begin leaves the file as it was.

    ``_lock`` guards the file: one block is being written, or it is being closed. The sender appends; the
    main thread closes, and then waits for one write at most.

    Attributes:
        whole: Nothing was lost.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sample_rate = 16000
        self.whole = True
        self._lock = new_lock()
        self._first: Optional[bytes] = None
        self._file: Optional[Raw] = None
        self._size = 0
        self._over = False

    def append(self, block: bytes) -> None:
        """Add samples."""
        with self._lock:
            if self._over:
                return
            if self._first is None:
                self._first = block
                return
            try:
                if self._file is None:
                    self._begin()
                self._put(block)
            except OSError as exc:
                self._fail(exc)

    def _begin(self) -> None:
        name = self.place.name if self.place.descriptor is None else self.place.descriptor
        self._file = open(name, "wb", 0, closefd=self.place.descriptor is None)  # noqa: SIM115 - closed below
        put(self._file, self._header(_UNKNOWN))
        self._put(self._first or b"")

    def _put(self, block: bytes) -> None:
        put(self._file, block)
        self._size += len(block)

    def _header(self, size: int) -> bytes:
        whole = min(size, _LONGEST) + 36 if size != _UNKNOWN else _UNKNOWN
        rate = self.sample_rate
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + form + struct.pack("<4sI", b"data", size)

    def close(self) -> None:
        """Write the length where it belongs. A pipe keeps the unknown one; it can't be gone back in."""
        with self._lock:
            self._over = True
            file, self._file = self._file, None
            if file is None:
                return
            try:
                if file.seekable() and self._size <= _LONGEST:
                    file.seek(0)
                    put(file, self._header(self._size))
            except OSError as exc:
                self._fail(exc)
            finally:
                file.close()

    def _fail(self, exc: OSError) -> None:
        if self.whole:
            self.whole = False
            logger.warning("can't write %s: %s; the transcript goes on", self.place, exc.strerror or exc)
        self._over = True
