"""Audio sources: whatever holds audio, as chunks of whole samples.

Does no I/O but for reading the source. :func:`open_source` takes what a caller gave as audio and finds out
what goes on the wire; :class:`Pacer` says when it may.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from inspect import iscoroutinefunction
from itertools import chain
from typing import Any, Callable, Literal, Optional, Protocol, Union

from ..config import AudioEncoding, AudioFormat
from ..exceptions import AudioError, SpeechmaticsError
from . import wav
from .wav import Fault

__all__ = ["AudioSource", "Pacer", "Readable", "Source", "check_chunk", "open_source", "split_channels"]

Block = Union[bytes, bytearray, memoryview]


class Readable(Protocol):
    """Anything with a blocking ``read(size)`` that gives at most ``size`` bytes, and ``b""`` at the end."""

    def read(self, size: int, /) -> Optional[Block]: ...


Source = Union[str, "os.PathLike[str]", Readable, Iterable[Block], Block]


def _fault(channel: Optional[str], text: str) -> AudioError:
    return AudioError(text if channel is None else f"channel {channel!r}: {text}", channel=channel)


class AudioSource:
    """Audio on its way: iterate once to get it as ``bytes``, in chunks of at most ``chunk_size``.

    Raw audio comes in whole samples. What a live source gives is passed on as soon as it holds a sample,
    never held back to fill a chunk. Iterating raises AudioError when the source fails, and at its end when
    that cuts a sample in two. For one thread at a time; ``close()`` may be called from any.

    Attributes:
        audio_format: What goes on the wire.
        duration: Seconds of audio, if the header of a WAV says so, else None.
        empty: Whether there is no audio at all.

    Example:
        >>> source = open_source([b"abc", b"de", b"f"], AudioFormat(encoding="pcm_s16le", sample_rate=16000))
        >>> list(source)
        [b'ab', b'cd', b'ef']
        >>> source.seconds(32000)
        1.0
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        audio_format: AudioFormat,
        *,
        duration: Optional[float] = None,
        close: Callable[[], object],
    ) -> None:
        self.audio_format = audio_format
        self.duration = duration
        first = next(chunks, b"")
        self.empty = not first
        self._chunks = chain((first,), chunks) if first else chunks
        self._close = close
        raw = audio_format.encoding is not None
        self._bytes_per_second = audio_format.bytes_per_sample * audio_format.sample_rate if raw else 0

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def seconds(self, size: int) -> Optional[float]:
        """Return how long ``size`` bytes last; None for a file, where bytes tell no time."""
        return size / self._bytes_per_second if self._bytes_per_second else None

    def close(self) -> None:
        """Close what was opened here (a path); what the caller opened stays open."""
        self._close()


def open_source(
    source: Source,
    audio_format: Optional[AudioFormat] = None,
    *,
    channel: Optional[str] = None,
    may_be_empty: bool = False,
) -> AudioSource:
    """Open whatever holds audio and read its first chunk, which blocks if the source does.

    Args:
        source: A path, an object with a blocking ``read(size)``, an iterable of bytes, or the bytes.
        audio_format: What the source holds; it is sent byte for byte. Without one, a mono WAV of 16-bit or
            float PCM or of mu-law is sent as raw samples, its header left out, so that time is known;
            anything else goes as a file.
        channel: The name for error messages, with several channels.
        may_be_empty: Accept a source without audio (one of several channels).

    Raises:
        AudioError: The source can't be opened or read, is empty, is text, is asynchronous, or is a WAV of
            several channels. What the source itself raised is its cause.
        ConfigurationError: The audio format is wrong.
    """
    fault = partial(_fault, channel)
    if isinstance(source, AudioSource):
        return source  # opened already, by split_channels()
    if audio_format is not None:
        audio_format.check()
    given, close = open_blocks(source, (audio_format or AudioFormat()).chunk_size, fault)
    try:
        blocks = read_blocks(given, fault)
        duration = None
        if audio_format is None:
            header, blocks = wav.take_header(blocks, fault, partial(_check_mono, fault))
            audio_format = header.audio_format if header else AudioFormat()
            duration = header.duration if header else None
        opened = AudioSource(_cut(blocks, audio_format, fault), audio_format, duration=duration, close=close)
    except BaseException:  # KeyboardInterrupt in a slow first read too
        close()
        raise
    if opened.empty and not may_be_empty:
        close()
        raise fault("the audio source is empty")
    return opened


def check_chunk(payload: Block, audio_format: AudioFormat, *, channel: Optional[str] = None) -> Block:
    """Return a caller's chunk as something whose length counts bytes.

    Raises:
        AudioError: It isn't bytes, or cuts a raw sample in two.
    """
    if type(payload) is not bytes and type(payload) is not bytearray:
        payload = _as_bytes(payload, partial(_fault, channel))
    encoding = audio_format.encoding
    if encoding is not None and len(payload) % _SAMPLE_SIZE[encoding]:
        raise _misaligned(f"a chunk of {len(payload)} bytes", audio_format, partial(_fault, channel))
    return payload


_SAMPLE_SIZE: dict[str, int] = {kind: AudioFormat(kind).bytes_per_sample for kind in AudioEncoding}


def split_channels(path: Union[str, os.PathLike[str]], labels: Sequence[str]) -> dict[str, AudioSource]:
    """Open a WAV of several channels as one source for each, in the order of the file.

    For :meth:`MultiChannelClient.transcribe`::

        client.transcribe(split_channels("call.wav", ["agent", "caller"]))

    Args:
        path: A WAV file of 16-bit or float PCM, or of mu-law.
        labels: A name for each of its channels; the first one is the left one of a stereo file.

    Raises:
        AudioError: It can't be opened, is another kind of file, or has another number of channels.
    """
    opened: dict[str, AudioSource] = {}
    try:
        for number, label in enumerate(labels):
            opened[label] = _one_of_several(path, number, len(labels), partial(_fault, label))
    except BaseException:
        for source in opened.values():
            source.close()
        raise
    return opened


def _one_of_several(path: Union[str, os.PathLike[str]], number: int, count: int, fault: Fault) -> AudioSource:
    # Each channel reads the file for itself: shared blocks would have to wait for the slowest channel.
    given, close = open_blocks(path, AudioFormat().chunk_size * count, fault)
    try:
        check = partial(_check_count, os.fspath(path), count, fault)
        header, blocks = wav.take_header(read_blocks(given, fault), fault, check)
        if header is None:
            raise fault(f"{os.fspath(path)} is no WAV of PCM or mu-law samples")  # noqa: TRY301  # closed below
        one = header.audio_format
        width = one.bytes_per_sample
        frames = whole_frames(blocks, width * count, fault)
        kind: Literal["B", "H", "I"] = "B" if width == 1 else "H" if width == 2 else "I"
        chunks = (memoryview(block).cast(kind)[number::count].tobytes() for block in frames)
        return AudioSource(chunks, one, duration=header.duration, close=close)
    except BaseException:
        close()
        raise


def _check_count(path: str, labels: int, fault: Fault, channels: int) -> None:
    if channels != labels:
        raise fault(f"{path} has {channels} channels, but {labels} labels were given")


def whole_frames(blocks: Iterator[bytes], size: int, fault: Fault) -> Iterator[bytes]:
    """Cut between samples of all channels."""
    rest = b""
    for block in blocks:
        block = rest + block
        whole = len(block) - len(block) % size
        rest = block[whole:]
        if whole:
            yield block[:whole]
    if rest:
        raise fault(f"the WAV ends inside a sample: {len(rest)} bytes are left over")


def _check_mono(fault: Fault, channels: int) -> None:
    if channels > 1:
        raise fault(
            f"the WAV has {channels} channels; one is expected. Mix it to mono beforehand, give "
            "split_channels(path, labels) to MultiChannelClient, or AudioFormat() to send the file as it is"
        )


class Pacer:
    """Say when audio may go, so that it flows at a given speed. Pure: the caller has the clock and waits.

    The schedule is absolute: each chunk is due when all audio before it has had its time, counted from the
    start. So delays never add up. Who is late (a source that paused, a full window) may catch up with what
    has fallen due, as a microphone gives what it recorded meanwhile, but never gets ahead of it.

    Args:
        speed: Seconds of audio a second, above 0; 1.0 is real time.
        now: The time of the start, seconds on a monotonic clock.

    Example:
        >>> pacer = Pacer(speed=2.0, now=100.0)
        >>> pacer.due(0.5), pacer.due(0.5), pacer.due(0.5)
        (100.0, 100.25, 100.5)
    """

    def __init__(self, speed: float, now: float) -> None:
        self._speed = speed
        self._start = now
        self._seconds = 0.0

    def due(self, seconds: float) -> float:
        """Return the time at which the next chunk, ``seconds`` long, may go; the first may at once."""
        time = self._start + self._seconds / self._speed
        self._seconds += seconds
        return time


# -- reading -------------------------------------------------------------------------------------------


def open_blocks(source: Any, size: int, fault: Fault) -> tuple[Iterator[Any], Callable[[], object]]:
    """Give an iterator over what the source yields, and what closes it if it was opened here."""
    if isinstance(source, (str, os.PathLike)):
        try:
            # Unbuffered: a named pipe gives what it has, where a buffer would wait until it is full.
            file = open(source, "rb", buffering=0)  # noqa: SIM115 - closed by AudioSource.close()
        except (OSError, ValueError) as exc:
            raise fault(f"can't open the audio file {os.fspath(source)!r}: {exc}") from exc
        return iter(partial(file.read, size), b""), file.close
    if isinstance(source, (bytes, bytearray, memoryview)):
        return iter((source,)), _nothing
    read = getattr(source, "read", None)
    if iscoroutinefunction(read) or (hasattr(source, "__aiter__") and not hasattr(source, "__iter__")):
        raise fault(
            f"the audio source ({_kind(source)}) is asynchronous; AsyncClient takes it, this client can't"
        )
    if callable(read):
        if isinstance(source, io.BufferedReader):
            read = source.read1  # the same as above, for pipes, sockets and standard input
        return iter(partial(read, size), b""), _nothing
    try:
        return iter(source), _nothing
    except TypeError as exc:
        raise fault(
            f"{_kind(source)} is no audio; give a path, an object with read(size), or an iterable of bytes"
        ) from exc
    except SpeechmaticsError:
        raise
    except Exception as exc:
        raise fault(f"the audio source could not begin: {described(exc)}") from exc


def _nothing() -> None:
    """Close nothing: the caller opened it."""


def described(error: BaseException) -> str:
    """Name an error of the user's code, and give its text if it has one."""
    try:
        return f"{_kind(error)}: {error}"
    except Exception:  # noqa: BLE001  # its own text fails: the name must do
        return _kind(error)


def _kind(thing: object) -> str:
    return type(thing).__name__


def read_blocks(given: Iterator[Any], fault: Fault) -> Iterator[bytes]:
    """Yield what the source gives, checked, and name its failures."""
    count = 0
    while True:
        try:
            block = next(given)
        except StopIteration:
            return
        except SpeechmaticsError:
            raise  # a source of ours (the microphone) has said what is wrong
        except Exception as exc:
            raise fault(f"the audio source failed after {count} bytes: {described(exc)}") from exc
        if type(block) is not bytes:
            block = _as_bytes(block, fault)
        count += len(block)
        yield block


def _as_bytes(block: Any, fault: Fault) -> bytes:
    if isinstance(block, (bytes, bytearray, memoryview)):
        return bytes(block)
    if isinstance(block, str):
        raise fault(
            'the audio is text (str), not bytes; read it in binary mode: open(path, "rb"), sys.stdin.buffer'
        )
    if block is None:
        raise fault(
            "the audio source gave None: it is in non-blocking mode and has no data; make it blocking"
        )
    raise fault(f"the audio is {_kind(block)}, not bytes; many types have a method tobytes()")


def _cut(blocks: Iterator[bytes], audio_format: AudioFormat, fault: Fault) -> Iterator[bytes]:
    """Cut blocks of any length into chunks; raw samples stay whole."""
    size = audio_format.chunk_size
    sample = 1 if audio_format.encoding is None else audio_format.bytes_per_sample
    rest = b""
    count = 0
    for block in blocks:
        count += len(block)
        if rest:
            block = rest + block
        end = len(block) - len(block) % sample
        for at in range(0, end, size):
            yield block[at : min(at + size, end)]
        rest = block[end:]
    if rest:
        raise _misaligned(f"the audio ends after {count} bytes, which", audio_format, fault)


def _misaligned(what: str, audio_format: AudioFormat, fault: Fault) -> AudioError:
    kind = audio_format.to_dict()["encoding"]
    return fault(f"{what} cuts a sample in two: {kind} has {audio_format.bytes_per_sample} bytes a sample")
