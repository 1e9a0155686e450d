"""Reads a caller's audio source block by block, checks the blocks, and rewinds the source after a failure.

A source that can be read only once must not be taken for whole the second time. So a seekable one is rewound
when a call with it fails; for any other it is remembered how far it was read.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from inspect import iscoroutine, iscoroutinefunction
from itertools import chain
from typing import Any, Callable, Optional, Protocol, Union

from ..exceptions import AudioError, ConfigurationError, SessionError, SpeechmaticsError, shown
from ..log import SessionLog
from ..threads import is_meant_for_call
from . import hints, leftover
from .ends import announced, to_come
from .wav import Block, Fault

__all__ = [
    "BytesLike",
    "Live",
    "Readable",
    "Reading",
    "Source",
    "StandIn",
    "as_bytes",
    "described",
    "fault_of",
    "position_of",
]

logger = logging.getLogger(__name__)

BytesLike = Union[bytes, bytearray, memoryview]

_NO_DATA = "the audio source returned None: it is in non-blocking mode and has no data; make it blocking"
_LONGEST_PATH = 32767  # characters, on Windows; elsewhere less
_LONGEST_SHOWN = 1000  # characters of a path in an error
# Chunks, and bytes at most, that are read at a time from a file on disk; what may be live is read one by one.
_AT_ONCE = 16
_BYTES_AT_ONCE = 1 << 20


class Readable(Protocol):
    """Anything with a blocking ``read(size)`` that returns at most ``size`` bytes, and ``b""`` at the end."""

    def read(self, size: int, /) -> Optional[BytesLike]: ...


Source = Union[str, os.PathLike[str], Readable, Iterable[BytesLike], BytesLike]


class StandIn(ABC):
    """Stands for a source that only another thread can read.

    Attributes:
        origin: The source itself.
        once: Whether it can be read only once.
    """

    origin: Any
    once = True

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    @abstractmethod
    def position(self) -> Optional[int]:
        """Return the position of the source; None if it can't be rewound."""

    @abstractmethod
    def go_back(self, position: int) -> None:
        """Rewind the source to a position."""


class Live:
    """The base class of sources that can be read again: a second attempt wants what is being said then."""


def fault_of(
    channel: Optional[str], text: str, *, source: Any = None, kind: type[AudioError] = AudioError
) -> AudioError:
    return kind(_place(channel, source) + text, channel=channel)


def _place(channel: Optional[str], source: Any) -> str:
    """Say where something is wrong: in which channel, and in which file if that was given by its name."""
    place = "" if channel is None else f"channel {channel!r}: "
    return place + f"{os.fspath(source)!r}: " if isinstance(source, (str, os.PathLike)) else place


class Reading:
    """A caller's source while it is read; iterate to get its blocks.

    For one thread at a time. :meth:`put_back` may be called from another once nothing reads.

    Attributes:
        count: Bytes read so far.
        begun: Whether sending has begun.
        fault: Builds the error of this source, which names its channel and its file.
        length: The number of bytes in the source, if it is known without reading.
    """

    def __init__(self, source: Any, size: int, channel: Optional[str] = None) -> None:
        self.count = 0
        self._source = source
        self._channel = channel
        self.fault: Fault = partial(fault_of, channel, source=source)
        self._log: Union[logging.Logger, SessionLog] = logger
        self._closers: list[Callable[[], object]] = []
        self._start: Optional[int] = None  # the position at the start, if it can be rewound
        self._once = False  # it can't be read again without rewinding it
        self._key: Hashable = None  # under which leftover remembers it
        self.begun = False
        self._held: Optional[list[Block]] = []  # what was read of such a source before sending began
        self._before: Iterator[Block] = iter(())  # what calls before have read, and this not yet
        self._put_back = False
        self._pid = os.getpid()
        self.length: Optional[int] = None
        self._to_come = to_come(source)
        leftover.let_go()
        self._blocks = self._opened(size)

    def _opened(self, size: int) -> Iterator[Any]:
        source, fault = self._source, self.fault
        if isinstance(source, (str, os.PathLike)):
            return self._open_path(source, size)
        self.length = _length(source)
        if isinstance(source, bytes) or (isinstance(source, memoryview) and source.readonly):
            return iter((source,))
        if isinstance(source, (bytearray, memoryview)):
            return iter((bytes(source),))  # a copy: its owner may write or resize meanwhile
        hint = hints.about_source(source)
        if hint is not None:
            if iscoroutine(source):
                source.close()  # nobody will await it, and Python need not say so, too
            raise fault(hint)
        if getattr(source, "closed", None) is True:
            raise fault(
                "the audio source is closed; read it before it is closed (a web server closes an upload when "
                "its view returns, so read that before you return a generator)"
            )
        read = getattr(source, "read", None)
        if iscoroutinefunction(read) or (hasattr(source, "__aiter__") and not hasattr(source, "__iter__")):
            also = ", or its attribute 'file' to this client" if hasattr(source, "file") else ""
            raise fault(f"the audio source ({_kind(source)}) is asynchronous; pass it to AsyncClient" + also)
        blocks = _read_blocks(source, size) if callable(read) else self._iterate(source)
        self._once = source.once if isinstance(source, StandIn) else callable(read) or blocks is source
        if isinstance(_origin(source), Live):
            self._once = False
        if not self._once:
            return blocks
        self._key = leftover.key_of(_origin(source))
        before = leftover.go_on(self._key, _origin(source), fault)
        if self._to_come is not None:
            self._to_come += sum(map(len, before))
        self._before = iter(before)
        self._start = position_of(source)
        return chain(self._before, blocks)  # no generator, whose end would be that of the caller's

    def _iterate(self, source: Any) -> Iterator[Any]:
        try:
            return iter(source)
        except SpeechmaticsError:
            raise
        except Exception as exc:
            if is_meant_for_call(exc):
                raise
            if isinstance(exc, TypeError):
                ways = "give a path, an object with read(size), or an iterable of bytes"
                if callable(getattr(source, "open", None)):
                    ways = "give source.open('rb')"
                raise self.fault(f"{_kind(source)} is not audio; {ways}") from exc
            raise self.fault(f"the audio source could not be iterated: {described(exc)}") from exc

    def _open_path(self, path: Union[str, os.PathLike[str]], size: int) -> Iterator[Any]:
        if len(os.fspath(path)) > _LONGEST_PATH:
            text = f"a text of {len(os.fspath(path))} characters is no path; audio is given as bytes"
            raise fault_of(self._channel, text)
        try:
            # Unbuffered: a named pipe then returns what it has, where a buffer would wait until it is full.
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc  # strerror does not repeat the name
            way = hints.about_path(os.fspath(path))
            if os.path.isdir(path):
                way = "a call takes one recording; transcribe_many(Path(folder).iterdir()) takes all in it"
            name = repr(os.fspath(path)) if len(os.fspath(path)) <= _LONGEST_SHOWN else shown(os.fspath(path))
            text = f"can't open the audio file {name}: {why}{'; ' + way if way else ''}"
            raise fault_of(self._channel, text) from exc
        self._closers.append(file.close)
        self.length = _length(file)
        self._key = leftover.key_of(file)
        self._once = self._key != id(file)  # /dev/stdin and the like: opened again, it continues
        if not self._once and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            size = max(size, min(size * _AT_ONCE, _BYTES_AT_ONCE))
        blocks = _read_blocks(file, size)
        if not self._once:
            return blocks
        try:
            self._before = iter(leftover.go_on(self._key, path, self.fault))
        except AudioError:
            file.close()
            raise
        return chain(self._before, blocks)

    def __iter__(self) -> Reading:
        return self

    def __next__(self) -> Block:
        if self._put_back:
            raise StopIteration
        try:
            block = next(self._blocks)
        except StopIteration:
            self._check_end()
            raise
        except (AudioError, ConfigurationError, SessionError):
            raise  # a source of this package (the microphone) has said what is wrong
        except UnicodeDecodeError as exc:
            raise self.fault(hints.TEXT) from exc
        except Exception as exc:
            if is_meant_for_call(exc):
                raise
            raise self.fault(f"the audio source failed after {self.count} bytes: {described(exc)}") from exc
        if self._put_back:  # by another thread, in the meantime
            self._go_back()  # type: ignore[unreachable]  # mypy does not see other threads
            raise StopIteration
        if block is None and hasattr(self._source, "read"):
            raise self.fault(_NO_DATA)
        checked = block if type(block) is bytes else as_bytes(block, self.fault)
        self.count += len(checked)
        if self._once and self._held is not None:
            self._held.append(checked)
        return checked

    def _check_end(self) -> None:
        """Tell of a source that has ended too early, if it can know that."""
        size, owed = announced(self._source)
        if self._to_come is not None:
            size, owed = self._to_come, self._to_come - self.count
        if owed is not None and owed > 0:
            came = f"{self.count} bytes" if size is None else f"{size - owed} of {size} bytes"
            raise self.fault(f"the audio source was cut short after {came}; open it anew for another attempt")
        if owed is None and size is not None and self._start is None and self.count < size:
            self.warn(f"{self.count} of the {size} bytes that were announced came from the audio source")

    def begin(self) -> None:
        """Note that sending begins."""
        self.begun = True
        self._held = None

    def log_with(self, log: SessionLog) -> None:
        """Log warnings with the ids of a session."""
        self._log = log.on(logger)

    def warn(self, text: str) -> None:
        self._log.warning("%s%s", _place(self._channel, self._source), text)

    def is_at_end(self) -> Optional[int]:
        """Return its position, if it is a seekable source at its end; else None."""
        return self._start if self._start and not self.count else None

    def emptiness(self) -> AudioError:
        """Return the error of a source without audio."""
        at = self.is_at_end()
        if at is not None:
            return self.fault(
                f"the audio source is empty: its position is the end, after {at} bytes; seek(0) rewinds it"
            )
        if not self._once or self._start is not None or self.count:
            return self.fault("the audio source is empty")
        text = "the audio source is empty, or has been read to its end: it can be read only once"
        named = isinstance(self._source, (str, os.PathLike))  # /dev/stdin and the like
        if named or (not isinstance(self._source, StandIn) and _descriptor(self._source) is not None):
            text += "; if another process writes it, look how that has ended"
        return self.fault(text)

    def put_back(self) -> None:
        """Rewind the source after a failed call, or remember how far it was read.

        Not in a forked child: the parent reads on, and both have one position in an open file.
        """
        if self._put_back or os.getpid() != self._pid:
            return
        self._put_back = True
        unread = list(self._before)
        read = self.count + sum(map(len, unread))
        if self._once and read and not self._go_back():
            held = None if self._held is None else [*self._held, *unread]
            leftover.remember(self._key, _origin(self._source), read, held)

    def _go_back(self) -> bool:
        if self._start is None:
            return False
        try:
            if isinstance(self._source, StandIn):
                self._source.go_back(self._start)
            else:
                self._source.seek(self._start)
        except Exception as exc:  # the caller's code; the call has failed with something else
            if is_meant_for_call(exc):
                raise
            self.warn(f"the audio source could not be rewound: {described(exc)}")
            return False
        return True

    def close(self) -> None:
        """Close a file that was opened here, from a path; what the caller opened stays open."""
        for closer in reversed(self._closers):
            closer()

    def at_close(self, closer: Callable[[], object]) -> None:
        """Call ``closer`` when this is closed, the latest first. It may be called more than once."""
        self._closers.append(closer)


def described(error: BaseException) -> str:
    """Return the type and the text of an error of the user's code."""
    try:
        return f"{_kind(error)}: {error}"
    except Exception:  # noqa: BLE001  # its __str__ fails
        return _kind(error)


def _kind(thing: object) -> str:
    return type(thing).__name__


def as_bytes(block: Any, fault: Fault) -> Block:
    """Return a block in an immutable form whose length is in bytes."""
    if isinstance(block, memoryview) and block.readonly and block.c_contiguous:
        return block if block.format == "B" and block.ndim == 1 else block.cast("B")
    if isinstance(block, (bytes, bytearray, memoryview)):
        return bytes(block)
    if block is None:
        raise fault("the audio is None, not bytes")
    raise fault(hints.about_block(block))


# -- objects with read() -------------------------------------------------------------------------------


def _read_blocks(source: Any, size: int) -> Iterator[Any]:
    """Read blocks to the end; wait for a descriptor in non-blocking mode."""
    buffered = isinstance(source, (io.BufferedReader, io.BufferedRandom))
    raw = source.raw if buffered else source
    # read1(), for pipes, sockets and standard input: read() of a buffer would wait until it is full.
    read = source.read1 if buffered else source.read
    while True:
        block = read(size)
        if buffered and not block and _may_have_more(raw):
            block = raw.read(size)  # None where read1() returns b"": nothing yet, but not the end
        if block is None:
            descriptor = _descriptor(raw)
            if descriptor is not None and sys.platform != "win32":  # which can wait for sockets only
                _wait(descriptor)
                continue
        elif isinstance(block, (bytes, bytearray, memoryview)) and not len(block):
            return
        yield block


def _descriptor(raw: Any) -> Optional[int]:
    try:
        number = raw.fileno()
    except (AttributeError, OSError, ValueError):  # it has none, or is closed
        return None
    return number if isinstance(number, int) else None


def _may_have_more(raw: Any) -> bool:
    descriptor = _descriptor(raw)
    if descriptor is None:
        return not getattr(raw, "closed", False)
    # Each time: others that share a terminal or a pipe may change its mode at any moment.
    return hasattr(os, "get_blocking") and not os.get_blocking(descriptor)


def _wait(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    if sys.platform != "win32" and hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    else:
        select.select([descriptor], [], [])


def _length(source: Any) -> Optional[int]:
    """Return how many bytes are left in memory, or in a file on disk; None for anything else.

    No other source is asked to seek: that could read all of a compressed or remote file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return memoryview(source).nbytes
    raw = source.raw if isinstance(source, (io.BufferedReader, io.BufferedRandom)) else source
    try:
        if isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return max(0, os.fstat(raw.fileno()).st_size - int(source.tell()))
        if isinstance(raw, io.BytesIO):
            return max(0, raw.getbuffer().nbytes - raw.tell())
    except (OSError, ValueError):  # it is closed, which the first read reports
        pass
    return None


def _origin(source: Any) -> Any:
    return source.origin if isinstance(source, StandIn) else source


def position_of(source: Any) -> Optional[int]:
    """Return the position of a source that can be rewound to it; None if it can't."""
    try:
        if isinstance(source, StandIn):
            return source.position()
        # SpooledTemporaryFile has no seekable() before Python 3.11.
        if not callable(getattr(source, "seek", None)) or not getattr(source, "seekable", lambda: True)():
            return None
        position = source.tell()
    except Exception as exc:  # the caller's code: it can't, whatever it says
        if is_meant_for_call(exc):
            raise
        return None
    return position if isinstance(position, int) else None
