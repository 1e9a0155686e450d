"""What a caller gave as audio, read block by block: opened, waited for, checked, and put back.

A source that can be read only once must not be taken for whole the second time. So one that can seek goes
back to where it stood when a call with it fails; one that can't is remembered with how far it was read.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Callable, Optional, Protocol, Union

from ..exceptions import AudioError, SpeechmaticsError
from ..log import SessionLog
from . import hints, leftover, wav
from .microphone import Microphone
from .wav import Fault

__all__ = ["Block", "Proxy", "Readable", "Reading", "Source", "as_bytes", "described", "fault_of"]

logger = logging.getLogger(__name__)

Block = Union[bytes, bytearray, memoryview]

_AT_ONCE = 16  # chunks of a file on disk, which nobody has to wait for; whatever may be live gives one by one


class Readable(Protocol):
    """Anything with a blocking ``read(size)`` that gives at most ``size`` bytes, and ``b""`` at the end."""

    def read(self, size: int, /) -> Optional[Block]: ...


Source = Union[str, "os.PathLike[str]", Readable, Iterable[Block], Block]


class Proxy:
    """What stands for a source that only another thread can read: it knows which, and the way back.

    Attributes:
        origin: The source itself.
        once: Whether it gives its audio only once.
    """

    origin: Any
    once = True

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def position(self) -> Optional[int]:
        """Tell where the source stands; None if it can't go back there."""
        raise NotImplementedError

    def go_back(self, position: int) -> None:
        """Let it stand there again."""
        raise NotImplementedError


def fault_of(channel: Optional[str], text: str, *, kind: type[AudioError] = AudioError) -> AudioError:
    return kind(text if channel is None else f"channel {channel!r}: {text}", channel=channel)


class Reading:
    """A caller's source while it is read; iterate to get its blocks.

    For one thread at a time. :meth:`put_back` may be called from another once nobody reads.

    Attributes:
        count: Bytes read so far.
        begun: Whether the audio goes on the wire.
        length: How many bytes there were to read at first, if that costs nothing to know.
    """

    def __init__(self, source: Any, size: int, channel: Optional[str] = None) -> None:
        self.count = 0
        self._source = source
        self._fault: Fault = partial(fault_of, channel)
        self._channel = channel
        self._log: Union[logging.Logger, SessionLog] = logger
        self._closers: list[Callable[[], object]] = []
        self._start: Optional[int] = None  # where it stood, if it can go back
        self._once = False  # what was read of it can't be had again, but by going back
        self._key: Hashable = None  # of what is left of it
        self.begun = False
        self._held: Optional[list[wav.Block]] = []  # what was read of that, until it goes on the wire
        self._put_back = False
        self.length: Optional[int] = None
        self._blocks = self._opened(size)

    def _opened(self, size: int) -> Iterator[Any]:
        source, fault = self._source, self._fault
        if isinstance(source, (str, os.PathLike)):
            return self._open_path(source, size)
        self.length = _length(source)
        if isinstance(source, bytes) or (isinstance(source, memoryview) and source.readonly):
            return iter((source,))
        if isinstance(source, (bytearray, memoryview)):
            return iter((bytes(source),))  # a copy: its owner may write or resize meanwhile
        hint = hints.about_source(source)
        if hint is not None:
            raise fault(hint)
        read = getattr(source, "read", None)
        if iscoroutinefunction(read) or (hasattr(source, "__aiter__") and not hasattr(source, "__iter__")):
            also = ", or its attribute 'file' to this client" if hasattr(source, "file") else ""
            raise fault(f"the audio source ({_kind(source)}) is asynchronous; pass it to AsyncClient" + also)
        if callable(read):
            blocks = _read_blocks(source, size)
        else:
            try:
                blocks = iter(source)
            except TypeError as exc:
                ways = "give a path, an object with read(size), or an iterable of bytes"
                raise fault(f"{_kind(source)} is not audio; {ways}") from exc
            except SpeechmaticsError:
                raise
            except Exception as exc:
                raise fault(f"the audio source could not be iterated: {described(exc)}") from exc
        self._once = source.once if isinstance(source, Proxy) else callable(read) or blocks is source
        if isinstance(_origin(source), Microphone):
            self._once = False  # what is said now is what is wanted of it
        if not self._once:
            return blocks
        self._key = leftover.key_of(_origin(source))
        blocks = leftover.go_on(self._key, _origin(source), blocks, fault)
        self._start = _position(source)
        return blocks

    def _open_path(self, path: Union[str, os.PathLike[str]], size: int) -> Iterator[Any]:
        try:
            # Unbuffered: a named pipe gives what it has, where a buffer would wait until it is full.
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc  # without the name once more
            way = "; download it first, or give urllib.request.urlopen(url)" if "://" in str(path) else ""
            raise self._fault(f"can't open the audio file {os.fspath(path)!r}: {why}{way}") from exc
        self._closers.append(file.close)
        self.length = _length(file)
        self._key = leftover.key_of(file)
        self._once = self._key != id(file)  # /dev/stdin and the like: opening it anew gives what is left
        if not self._once and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            size *= _AT_ONCE
        blocks = _read_blocks(file, size)
        if not self._once:
            return blocks
        try:
            return leftover.go_on(self._key, path, blocks, self._fault)
        except AudioError:
            file.close()
            raise

    def __iter__(self) -> Reading:
        return self

    def __next__(self) -> Union[bytes, memoryview]:
        if self._put_back:
            raise StopIteration
        try:
            block = next(self._blocks)
        except (StopIteration, SpeechmaticsError):
            raise  # a source of ours (the microphone) has said what is wrong
        except UnicodeDecodeError as exc:
            raise self._fault(hints.TEXT) from exc
        except Exception as exc:
            raise self._fault(f"the audio source failed after {self.count} bytes: {described(exc)}") from exc
        if self._put_back:  # by another thread, in the meantime
            self._go_back()  # type: ignore[unreachable]  # mypy knows no threads
            raise StopIteration
        checked = block if type(block) is bytes else as_bytes(block, self._fault)
        self.count += len(checked)
        if self._once and self._held is not None:
            self._held.append(checked)
        return checked

    def begin(self) -> None:
        """Note that it goes on the wire from here on."""
        self.begun = True
        self._held = None

    def log_with(self, log: SessionLog) -> None:
        """Warn with the ids of a session."""
        self._log = log.on(logger)

    def warn(self, text: str) -> None:
        where = "" if self._channel is None else f"channel {self._channel!r}: "
        self._log.warning("%s%s", where, text)

    def is_at_end(self) -> Optional[int]:
        """Tell where it stands, if it can seek and stands behind audio that it doesn't give; else None."""
        return self._start if self._start and not self.count else None

    def may_be_at_end(self) -> bool:
        """Whether it gives its audio once, and may have given it."""
        return self._once and self._start is None and not self.count

    def put_back(self) -> None:
        """Let a second attempt see what this one saw, or be refused: the call with this source has failed."""
        if self._put_back:
            return
        self._put_back = True
        if self._once and self.count and not self._go_back():
            leftover.remember(self._key, _origin(self._source), self.count, self._held)

    def _go_back(self) -> bool:
        if self._start is None:
            return False
        try:
            if isinstance(self._source, Proxy):
                self._source.go_back(self._start)
            else:
                self._source.seek(self._start)
        except Exception as exc:  # noqa: BLE001  # the caller's code; the call has failed with something else
            self.warn(f"the audio source could not be rewound: {described(exc)}")
            return False
        return True

    def close(self) -> None:
        """Close what was opened here (a path); what the caller opened stays open."""
        for closer in reversed(self._closers):
            closer()

    def at_close(self, closer: Callable[[], object]) -> None:
        """Call this first when it is closed; may be called again."""
        self._closers.append(closer)


def described(error: BaseException) -> str:
    """Name an error of the user's code, and give its text if it has one."""
    try:
        return f"{_kind(error)}: {error}"
    except Exception:  # noqa: BLE001  # its own text fails: the name must do
        return _kind(error)


def _kind(thing: object) -> str:
    return type(thing).__name__


def as_bytes(block: Any, fault: Fault) -> Union[bytes, memoryview]:
    """Return a block as something whose length counts bytes, and that stays as it is."""
    if isinstance(block, memoryview) and block.readonly and block.c_contiguous:
        return block if block.format == "B" and block.ndim == 1 else block.cast("B")
    if isinstance(block, (bytes, bytearray, memoryview)):
        return bytes(block)
    if isinstance(block, str):
        raise fault(hints.TEXT)
    if block is None:
        raise fault(
            "the audio source returned None: it is in non-blocking mode and has no data; make it blocking"
        )
    raise fault(
        hints.about_array(block)
        or f"the audio is {_kind(block)}, not bytes; many types have a tobytes() method"
    )


# -- objects with read() -------------------------------------------------------------------------------


def _read_blocks(source: Any, size: int) -> Iterator[Any]:
    """Ask for blocks until there are no more; wait for a descriptor in non-blocking mode."""
    buffered = isinstance(source, (io.BufferedReader, io.BufferedRandom))
    raw = source.raw if buffered else source
    # Of a buffer what is there, for pipes, sockets and standard input: read() would wait until it is full.
    read = source.read1 if buffered else source.read
    while True:
        block = read(size)
        if buffered and not block and _may_have_more(raw):
            block = raw.read(size)  # says None where read1() says b"": nothing yet, which is no end
        if block is None:
            descriptor = _descriptor(raw)
            if descriptor is not None and sys.platform != "win32":  # there only sockets can be waited for
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
    # Asked each time: who shares a terminal or a pipe with others may see its mode change at any moment.
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
    """Tell how many bytes are ahead in memory, or in a file on a disk; None of anything else.

    Nothing else is asked to seek: in a compressed or a remote file that would read all of it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return memoryview(source).nbytes
    raw = source.raw if isinstance(source, (io.BufferedReader, io.BufferedRandom)) else source
    try:
        if isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return max(0, os.fstat(raw.fileno()).st_size - int(source.tell()))
        if isinstance(raw, io.BytesIO):
            return max(0, raw.getbuffer().nbytes - raw.tell())
    except (OSError, ValueError):  # it is closed, which the first read will say
        pass
    return None


def _origin(source: Any) -> Any:
    return source.origin if isinstance(source, Proxy) else source


def _position(source: Any) -> Optional[int]:
    """Tell where a source stands that can go back there; None if it can't."""
    try:
        if isinstance(source, Proxy):
            return source.position()
        # SpooledTemporaryFile has no seekable() before Python 3.11.
        if not callable(getattr(source, "seek", None)) or not getattr(source, "seekable", lambda: True)():
            return None
        position = source.tell()
    except Exception:  # noqa: BLE001  # the caller's code: it can't, whatever it says
        return None
    return position if isinstance(position, int) else None
