"""Audio sources as chunks of whole samples.

Does no I/O except to read the source. :func:`open_source` opens a caller's source and decides what is sent;
:class:`Pacer` says when.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Callable, Optional

from ..config import AudioEncoding, AudioFormat
from ..exceptions import AudioError, ChunkError
from ..log import SessionLog
from . import wav
from .channels import frames_of
from .gather import gathered
from .hints import CONVERT, about_container, about_content
from .linear import to_16_bit
from .reading import BytesLike, Readable, Reading, Source, as_bytes, fault_of
from .wav import Fault

__all__ = ["AudioSource", "BytesLike", "Pacer", "Readable", "Source", "check_chunk", "open_source"]


class AudioSource:
    """An open source: iterate once to get its audio as ``bytes``, in chunks of at most ``chunk_size``.

    Raw audio comes in whole samples. Audio of a live source is passed on as soon as there is a sample,
    never held back to fill a chunk; but tiny pieces that are already there are joined. Iterating raises
    AudioError if the source fails, or ends inside a raw sample. For one thread at a time.

    Attributes:
        audio_format: The format in which it is sent.
        duration: Seconds of audio: according to a WAV's header, or less if the file is shorter; or by the
            length of raw samples in memory or on disk. None if it is not known, as for a live source or a
            compressed file.
        empty: Whether there is no audio at all.
        head: The first chunk.

    Example:
        >>> source = open_source([bytes(301), bytes(202), b"x"], AudioFormat("pcm_s16le", sample_rate=16000))
        >>> [len(chunk) for chunk in source]
        [300, 202, 2]
        >>> source.seconds(32000)
        1.0
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        audio_format: AudioFormat,
        *,
        duration: Optional[float] = None,
        reading: Reading,
        again: Callable[[], AudioSource],
    ) -> None:
        self.audio_format = audio_format
        self.duration = duration
        first = next(chunks, b"")
        self.empty = not first
        self.head = first
        self._chunks = chunks
        self._reading = reading
        self._again = again
        self._used = False
        self._bytes_per_second = audio_format.bytes_per_second

    def __iter__(self) -> Iterator[bytes]:
        self._used = True
        self._reading.begin()
        return chain((self.head,), self._chunks) if self.head else self._chunks

    def seconds(self, size: int) -> Optional[float]:
        """Return how long ``size`` bytes last; None for a file, where that is not known."""
        return size / self._bytes_per_second if self._bytes_per_second else None

    def log_with(self, log: SessionLog) -> None:
        """Log warnings with the ids of the session that it is sent to."""
        self._reading.log_with(log)

    def fresh(self) -> AudioSource:
        """Return this source if it is unused, or open it again.

        Raises:
            AudioError: It can't be opened again, or is exhausted.
        """
        return self._again() if self._used else self

    def put_back(self) -> None:
        """Rewind the source for a second attempt, or let that be refused; when nothing reads any more."""
        self._used = True
        self._reading.put_back()

    def close(self) -> None:
        """Close a file that was opened here, from a path; what the caller opened stays open."""
        self._used = True
        self._reading.close()


def open_source(
    source: Source,
    audio_format: Optional[AudioFormat] = None,
    *,
    channel: Optional[str] = None,
    may_be_empty: bool = False,
) -> AudioSource:
    """Open a source and read its first chunk, which blocks if the source does.

    Args:
        source: A path, an object with a blocking ``read(size)``, an iterable of bytes, or bytes.
        audio_format: What the source holds. Without it, a mono WAV of PCM, mu-law or A-law is sent as raw
            samples, without its header, so that its duration is known; what the service does not take raw
            becomes 16-bit PCM. Anything else is sent as a file. With a raw format, so is a WAV that holds
            just that; a file is sent byte for byte.
        channel: The channel's label, for error messages.
        may_be_empty: Accept a source without audio (one of several channels).

    Raises:
        AudioError: The source can't be opened or read, is empty, is no audio, is asynchronous, or is a WAV
            of several channels, or of something else than it is said to be. Its cause is what the source
            itself raised.
        ConfigurationError: The audio format is wrong.
    """
    if isinstance(source, AudioSource):
        return _opened_already(source, audio_format, channel)  # by split_channels()
    if audio_format is not None:
        audio_format.check()
    given = audio_format
    size = (audio_format or AudioFormat()).chunk_size
    reading = Reading(source, size, channel)
    fault = reading.fault
    try:
        stream = wav.ByteStream(reading, size, length=reading.length)
        header = _header(stream, audio_format, fault)
        if header is not None:
            audio_format = audio_format or header.audio_format
            duration = header.lasts(reading.length)
        else:
            audio_format = audio_format or AudioFormat()
            duration = _lasts(reading.length, audio_format)
        blocks = stream.take() if header is None else _samples(stream, header, reading)
        # A WAV that ends inside a sample is sent nevertheless: a recorder crashed, or a download was cut.
        left_over = partial(_warn_of_rest, reading) if header else partial(_refuse_rest, audio_format, fault)
        chunks = _cut(gathered(blocks, audio_format.chunk_size, reading), audio_format, left_over)
        again = partial(open_source, source, given, channel=channel, may_be_empty=may_be_empty)
        opened = AudioSource(chunks, audio_format, duration=duration, reading=reading, again=again)
        if opened.empty and (not may_be_empty or reading.is_at_end()):
            raise reading.emptiness()  # noqa: TRY301  # closed below
        wrong = _wrong_with(opened.head, given) if header is None else None
        if wrong is not None:
            raise fault(f"the audio source {wrong}")  # noqa: TRY301  # closed below
    except BaseException:  # KeyboardInterrupt in a slow first read too
        reading.put_back()
        reading.close()
        raise
    return opened


def _header(
    stream: wav.ByteStream, audio_format: Optional[AudioFormat], fault: Fault
) -> Optional[wav.Header]:
    """Return the header of a WAV whose samples are sent without it; None for what is sent as it is."""
    if audio_format is None:
        header = wav.peek_header(stream, fault, partial(_check_mono, fault))
        return header if header is not None and header.form.kind.size else None
    if audio_format.encoding is None or not wav.is_wav(stream):
        return None
    header = wav.peek_header(stream, fault, partial(_check_same, audio_format, fault))
    if header is None:
        raise fault(
            "it begins as a WAV does, whose header can't be understood, but audio_format says "
            f"{_said(audio_format)}; leave audio_format out"
        )
    return header


def _samples(stream: wav.ByteStream, header: wav.Header, reading: Reading) -> Iterator[wav.Block]:
    """Yield the samples of a WAV, in the format in which they are sent."""
    kind = header.form.kind
    if kind.encoding is not None:
        return wav.samples(stream, header, reading.warn)
    return (to_16_bit(block, kind) for block in frames_of(stream, header, reading))


def _lasts(length: Optional[int], audio_format: AudioFormat) -> Optional[float]:
    if length is None or audio_format.encoding is None:
        return None
    return length / (audio_format.bytes_per_sample * audio_format.sample_rate)


def _wrong_with(head: bytes, given: Optional[AudioFormat]) -> Optional[str]:
    """Say what is wrong with a source that begins like this; None if it may well be what it is said to be."""
    if given is None:
        return about_content(head)
    return None if given.encoding is None else about_container(head)


def _opened_already(
    source: AudioSource, audio_format: Optional[AudioFormat], channel: Optional[str]
) -> AudioSource:
    if audio_format is not None and audio_format.encoding is not None:
        audio_format.check()
        if audio_format.to_dict() != source.audio_format.to_dict():
            raise fault_of(
                channel,
                f"the source gives {_said(source.audio_format)}, but audio_format says "
                f"{_said(audio_format)}; leave audio_format out",
            )
    return source.fresh()


def check_chunk(payload: BytesLike, audio_format: AudioFormat, *, channel: Optional[str] = None) -> BytesLike:
    """Return a caller's chunk in a form whose length is in bytes.

    Raises:
        ChunkError: It isn't bytes, or cuts a raw sample in two.
    """
    if type(payload) is not bytes and type(payload) is not bytearray:
        payload = as_bytes(payload, partial(fault_of, channel, kind=ChunkError))
    encoding = audio_format.encoding
    if encoding is not None and len(payload) % _SAMPLE_SIZE[encoding]:
        fault = partial(fault_of, channel, kind=ChunkError)
        raise _misaligned(f"a chunk of {len(payload)} bytes", audio_format, fault)
    return payload


_SAMPLE_SIZE: dict[str, int] = {kind: AudioFormat(kind, 8000).bytes_per_sample for kind in AudioEncoding}


def _check_mono(fault: Fault, form: wav.Form) -> None:
    if form.channels > 1:
        raise fault(f"the WAV has {form.channels} channels; one is expected. {_ways(form)}")


def _check_same(audio_format: AudioFormat, fault: Fault, form: wav.Form) -> None:
    """Refuse a WAV that is not what it is said to be. If it is, its header is left out."""
    encoding, rate = form.kind.encoding, form.sample_rate
    if form.channels > 1 or encoding != audio_format.encoding or rate != audio_format.sample_rate:
        wrong = f"the WAV holds {form}, but audio_format says {_said(audio_format)} in one channel"
        raise fault(f"{wrong}. {_ways(form)}" if form.channels > 1 else f"{wrong}; leave audio_format out")


def _said(audio_format: AudioFormat) -> str:
    return "{encoding} at {sample_rate} Hz".format(**audio_format.to_dict())


def _ways(form: wav.Form) -> str:
    """Say what to do with a WAV of several channels."""
    first = "" if form.kind.size else f" (of {form.kind.name}: {CONVERT})"
    return (
        f"Mix it to mono beforehand, give split_channels(source, labels) to MultiChannelClient{first}, or "
        "AudioFormat() to send the file as it is"
    )


class Pacer:
    """Schedule audio at a given speed. Pure: the caller has the clock, and waits.

    The schedule is absolute: each chunk is due when the audio before it has been played, counted from the
    start, so delays never add up. A sender that is late (after a pause of the source, or a full window) may
    catch up with the schedule, but never gets ahead of it.

    Args:
        speed: Seconds of audio per second, above 0; 1.0 is real time.
        now: The start, in seconds on a monotonic clock.

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
        """Return when the next chunk, ``seconds`` long, may be sent; the first at once."""
        time = self._start + self._seconds / self._speed
        self._seconds += seconds
        return time


def _cut(
    blocks: Iterator[wav.Block], audio_format: AudioFormat, left_over: Callable[[int, int], None]
) -> Iterator[bytes]:
    """Cut blocks of any length into chunks of whole samples. No block is copied as a whole."""
    size = audio_format.chunk_size
    sample = 1 if audio_format.encoding is None else audio_format.bytes_per_sample
    rest = b""
    count = 0
    for block in blocks:
        count += len(block)
        view, at = memoryview(block), 0
        if rest:
            at = min(size - len(rest), len(view))
            head = rest + view[:at]
            whole = len(head) - len(head) % sample
            rest = head[whole:]
            if whole:
                yield head[:whole]
        end = len(view) - (len(view) - at) % sample
        for start in range(at, end, size):
            yield bytes(view[start : min(start + size, end)])
        if at < len(view):
            rest = bytes(view[end:])
    if rest:
        left_over(count, len(rest))


def _refuse_rest(audio_format: AudioFormat, fault: Fault, count: int, rest: int) -> None:
    raise _misaligned(f"the audio ends after {count} bytes, which", audio_format, fault)


def _warn_of_rest(reading: Reading, count: int, rest: int) -> None:
    reading.warn(wav.CUT.format(rest))


def _misaligned(what: str, audio_format: AudioFormat, fault: Fault) -> AudioError:
    kind = audio_format.to_dict()["encoding"]
    return fault(f"{what} cuts a sample in two: {kind} has {audio_format.bytes_per_sample} bytes a sample")
