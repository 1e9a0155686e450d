"""Separates the channels of a WAV into a source for each."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Callable, Literal

from ..config import TEXT, AudioFormat, a_list, plain
from ..threads import new_lock
from . import hints, wav
from .channels import frames_of, header_of
from .linear import to_16_bit
from .reading import Reading, Source, position_of
from .shared import SharedSource
from .source import AudioSource
from .wav import Fault

__all__ = ["split_channels"]

_Opener = Callable[[int, str], Reading]  # of the size of blocks, and the label of the channel
_UNSIGNED: dict[int, Literal["B", "H", "I"]] = {1: "B", 2: "H", 4: "I"}  # memoryview's formats, by size


def split_channels(source: Source, labels: Sequence[str]) -> dict[str, AudioSource]:
    """Open a WAV of several channels as a source for each, in the order of the file.

    For :meth:`MultiChannelClient.transcribe`::

        client.transcribe(split_channels("call.wav", ["agent", "caller"]))

    The sources may be passed to further calls; each call reads the file again. What can be read only once, a
    pipe or a generator, serves one call, live as it comes.

    Args:
        source: A WAV of PCM, mu-law or A-law: a path, bytes, a file, such as an upload, or blocks of bytes.
            What the service does not take raw is sent as 16-bit PCM.
        labels: A label for each channel; in a stereo file the first is the left one.

    Raises:
        AudioError: The source can't be opened, is of another kind, or has another number of channels.
        ConfigurationError: The labels are not a list of different strings.
    """
    a_list(TEXT, least=1, different=True)("labels", plain(labels))
    opener = _opener(source)
    opened: dict[str, AudioSource] = {}
    try:
        for number, label in enumerate(labels):
            opened[label] = _one_of_several(opener, number, len(labels), label)
    except BaseException:
        for one in opened.values():
            one.put_back()
            one.close()
        raise
    return opened


def _opener(source: Any) -> _Opener:
    """Return what opens the source once more for a channel, to be read from its beginning."""
    if isinstance(source, (bytearray, memoryview)):
        source = bytes(source)  # one copy for all: its owner may write or resize meanwhile
    if isinstance(source, (str, os.PathLike)):
        return SharedSource(source).branch if _is_stream(source) else partial(Reading, source)
    if hints.about_source(source) is None and not iscoroutinefunction(getattr(source, "read", None)):
        start = position_of(source) if callable(getattr(source, "read", None)) else None
        if start is not None:
            file = _File(source)
            return lambda size, channel: Reading(_View(file, start), size, channel)
        if hasattr(source, "read") or hasattr(source, "__next__"):
            return SharedSource(source).branch
    return partial(Reading, source)


def _is_stream(path: Any) -> bool:
    """Whether a file can't be read from its beginning by each channel, as it is a pipe or a device."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # whoever opens it says why
        return False


class _File:
    """A file of the caller's, which all channels read, each at a position of its own.

    ``_lock`` guards the position of the file. It is held for one ``seek`` and one ``read`` of the caller's
    code: what can seek is in memory or on a disk, and does not wait for what is still to come.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = new_lock()

    def read(self, position: int, size: int) -> Any:
        with self._lock:
            self._file.seek(position)
            return self._file.read(size)

    def seek(self, position: int) -> None:
        with self._lock:
            self._file.seek(position)


class _View:
    """The same file for one channel."""

    def __init__(self, file: _File, start: int) -> None:
        self._file = file
        self._at = start

    def read(self, size: int) -> Any:
        block = self._file.read(self._at, size)
        self._at += 0 if block is None else len(block)
        return block

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> None:
        self._file.seek(position)
        self._at = position


def _one_of_several(opener: _Opener, number: int, count: int, label: str) -> AudioSource:
    reading = opener(AudioFormat().chunk_size * count, label)
    try:
        stream = wav.ByteStream(reading, length=reading.length)
        header = header_of(stream, reading, partial(_check_count, count, reading.fault))
        kind, one = header.form.kind, header.audio_format
        size = _UNSIGNED[one.bytes_per_sample]
        frames = frames_of(stream, header, reading)
        raw = frames if kind.encoding is not None else (to_16_bit(block, kind) for block in frames)
        chunks = (memoryview(block).cast(size)[number::count].tobytes() for block in raw)
        anew = partial(_one_of_several, opener, number, count, label)
        return AudioSource(chunks, one, duration=header.lasts(reading.length), reading=reading, again=anew)
    except BaseException:
        reading.put_back()
        reading.close()
        raise


def _check_count(labels: int, fault: Fault, form: wav.Form) -> None:
    found = form.channels
    if found != labels:
        given = "1 label was given" if labels == 1 else f"{labels} labels were given"
        raise fault(f"the WAV has {found} channel{'s' * (found > 1)}, but {given}")
