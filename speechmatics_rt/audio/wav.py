"""Parses WAVs: what their samples are, and where; also of WAVs that follow in the same stream.

The standard library's ``wave`` needs seekable files, and knows neither float samples nor the placeholder
lengths that recorders write, nor RF64, which is a WAV of more than 4 GB. Pure, except that it asks for more
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from struct import unpack_from
from typing import Callable, NamedTuple, Optional, Union

from ..config import AudioEncoding, AudioFormat
from ..exceptions import AudioError

__all__ = ["CUT", "Block", "ByteStream", "Fault", "Form", "Header", "is_wav", "peek_header", "samples"]

Block = Union[bytes, memoryview]
Fault = Callable[[str], AudioError]  # builds the error, with the channel's name
Warn = Callable[[str], None]


class SampleFormat(NamedTuple):
    """What the samples of a WAV are."""

    name: str
    size: int = 0  # bytes of each; 0 if they can't be told from one another here
    encoding: Optional[AudioEncoding] = None  # by which they are sent as they are


_KINDS = {  # format tag, bits a sample
    (1, 8): SampleFormat("8-bit PCM", 1),
    (1, 16): SampleFormat("16-bit PCM", 2, AudioEncoding.PCM_S16LE),
    (1, 24): SampleFormat("24-bit PCM", 3),
    (1, 32): SampleFormat("32-bit PCM", 4),
    (3, 32): SampleFormat("32-bit float", 4, AudioEncoding.PCM_F32LE),
    (3, 64): SampleFormat("64-bit float"),
    (6, 8): SampleFormat("A-law", 1),
    (7, 8): SampleFormat("mu-law", 1, AudioEncoding.MULAW),
}
_COMPRESSED = {0x0002: "MS ADPCM", 0x0011: "IMA ADPCM", 0x0031: "GSM 6.10", 0x0055: "MP3"}
_NAMES = (b"RIFF", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE
_EXTENSIBLE_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of a GUID that stands for a format tag
_LONGEST_HEADER = 1024 * 1024  # a WAV with a longer one (pictures, notes) is sent as a file
_LONGEST_CHUNK = 1024 * 1024  # behind the samples of a stream, if its name is not known
_CHUNKS = (b"LIST", b"list", b"id3 ", b"ID3 ", b"bext", b"cue ", b"iXML", b"axml", b"_PMX", b"data", b"JUNK")
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # which programs for MP3s put behind everything
_CHUNK = AudioFormat().chunk_size

CUT = "the WAV ends inside a sample; its last bytes ({}) are ignored"


def _is_placeholder(size: int) -> bool:
    """Whether a length is a placeholder, as ffmpeg, sox and arecord write to pipes."""
    return size == 0 or size >= 0xFFFFFF00 or 0x7FFFEF00 <= size <= 0x80000100


class Form(NamedTuple):
    """The form of the audio in a WAV."""

    kind: SampleFormat
    sample_rate: int
    channels: int

    def __str__(self) -> str:
        several = f" in {self.channels} channels" if self.channels > 1 else ""
        return f"{self.kind.name} at {self.sample_rate} Hz{several}"


class Header(NamedTuple):
    """The header of a WAV."""

    form: Form
    start: int  # of the samples, in bytes
    size: Optional[int]  # bytes of samples; None: up to the end

    @property
    def audio_format(self) -> AudioFormat:
        """The format in which one channel is sent: as it is, or as 16-bit PCM."""
        return AudioFormat(self.form.kind.encoding or AudioEncoding.PCM_S16LE, self.form.sample_rate)

    @property
    def frame(self) -> int:
        """Bytes of a frame: one sample of each channel."""
        return self.form.kind.size * self.form.channels

    @property
    def whole(self) -> Optional[int]:
        """Bytes of whole frames; None if the header does not say."""
        return None if self.size is None else self.size - self.size % self.frame

    @property
    def duration(self) -> Optional[float]:
        return None if not self.whole else self.seconds(self.whole)

    def lasts(self, length: Optional[int]) -> Optional[float]:
        """Return the duration in a file of ``length`` bytes (None if unknown), this header included."""
        if length is None:
            return self.duration
        there = self.seconds(max(0, length - self.start))
        return there if self.duration is None else min(self.duration, there)

    def seconds(self, size: int) -> float:
        return size / (self.frame * self.form.sample_rate)


class ByteStream:
    """A stream of blocks of any length, read by number of bytes. No block is copied as a whole.

    Args:
        blocks: The blocks.
        size: Bytes that are copied at most with those that were peeked at.
        length: How many bytes there are in all, if that is known.
    """

    def __init__(self, blocks: Iterator[Block], size: int = _CHUNK, *, length: Optional[int] = None) -> None:
        self._blocks = blocks
        self._size = size
        self._left = length
        self._head = bytearray()  # bytes that were peeked at
        self._rest: Block = b""  # of the block they came from

    @property
    def left(self) -> Optional[int]:
        """How many bytes are left; None if that is not known."""
        return None if self._left is None else max(0, self._left)

    def first(self, size: int) -> bytearray:
        """Peek at the first ``size`` bytes or more; fewer at the end."""
        head = self._head
        while len(head) < size:
            if not len(self._rest):
                block = next(self._blocks, None)
                if block is None:
                    break
                self._rest = memoryview(block)
            wanted = size - len(head)
            head += self._rest[:wanted]
            self._rest = self._rest[wanted:]
        return head

    def take(self, size: Optional[int] = None) -> Iterator[Block]:
        """Read ``size`` bytes, or all, in blocks as they come."""
        while size is None or size > 0:
            block: Optional[Block]
            if self._head:
                # With some of the rest: a few bytes would become a message of their own, and seem tiny.
                room = max(0, self._size - len(self._head))
                block = bytes(self._head) + self._rest[:room]
                self._head, self._rest = bytearray(), self._rest[room:]
            elif len(self._rest):
                block, self._rest = self._rest, b""
            else:
                block = next(self._blocks, None)
                if block is None:
                    return
            if size is not None:
                if len(block) > size:
                    self._put_back(memoryview(block)[size:])
                    block = memoryview(block)[:size]
                size -= len(block)
            if len(block):
                if self._left is not None:
                    self._left -= len(block)
                yield block

    def _put_back(self, block: memoryview) -> None:
        if len(self._rest):  # the block was the head
            self._head = bytearray(block)
        else:
            self._rest = block

    def skip(self, size: int) -> int:
        """Skip ``size`` bytes; return how many there were."""
        return sum(map(len, self.take(size)))

    def give_back(self, blocks: Iterable[Block], size: int) -> None:
        """Have blocks, of ``size`` bytes in all, come once more, before what is left."""
        self._blocks = chain(blocks, (bytes(self._head), self._rest), self._blocks)
        self._head, self._rest = bytearray(), b""
        if self._left is not None:
            self._left += size


def is_wav(stream: ByteStream) -> bool:
    """Whether a WAV begins here. Waits for no more than the first byte of the stream, unless one may."""
    likely = bytes(stream.first(1)[:1]) in (b"R", b"B") and stream.first(4)[:4] in _NAMES
    return likely and _is_wav(stream.first(12))


def peek_header(stream: ByteStream, fault: Fault, check: Callable[[Form], None]) -> Optional[Header]:
    """Return the header of the WAV that begins here, and read nothing; None if none can be understood.

    ``check`` is called with the form of the audio as soon as it is known, and raises if it is wrong.
    """
    return _header(stream.first, fault, check) if _is_wav(stream.first(12)) else None


def samples(stream: ByteStream, header: Header, warn: Warn) -> Iterator[Block]:
    """Yield the samples behind a header, and those of all WAVs that follow; warn if any are left out."""
    part: Optional[Header] = header
    while part is not None:
        stream.skip(part.start)
        count = 0
        for block in stream.take(part.whole):
            count += len(block)
            yield block
        if part.size is None or part.whole is None:
            return
        if count < part.whole:
            warn(
                f"the WAV ends after {part.seconds(count):.2f} s of audio, but its header announces "
                f"{part.seconds(part.whole):.2f} s; it was cut short"
            )
            return
        part = _following(stream, header, part, warn)


def _following(stream: ByteStream, header: Header, part: Header, warn: Warn) -> Optional[Header]:
    """Skip what may follow samples, up to further samples of the same format, in this WAV or another.

    A recorder that crashed has left a header that announces too little. So what is no chunk is more of the
    samples; then nothing of it is skipped, since it may well begin with silence.
    """
    gap = b"".join(stream.take((part.size or 0) - (part.whole or 0)))
    if (part.size or 0) % 2 and stream.first(1)[:1] == b"\0":  # not every writer pads to an even length
        gap += b"".join(stream.take(1))
    zeros = 0
    chunks = False  # there have been some
    while True:
        head = stream.first(12)
        count = len(head) - len(head.lstrip(b"\0"))
        if not head:
            return None
        if count:
            zeros += stream.skip(count)
        elif _is_wav(head):
            return _another(stream, header, warn)
        elif _is_chunk(head, stream.left):
            chunks = True
            name, size = unpack_from("<4sI", head)
            stream.skip(8)
            if name == b"data":
                return header._replace(start=0, size=None if _is_placeholder(size) else size)
            if stream.skip(size + size % 2) < size:
                warn(f"the WAV ends inside its chunk {name.decode()!r}, which follows the samples")
                return None
        else:
            ignored = _ignored(stream, part, len(gap) + zeros, behind_chunks=chunks)
            if ignored:
                warn(ignored)
                return None
            stream.give_back(chain((gap,), _silence(zeros)), len(gap) + zeros)
            _tell_more(stream, part, warn)
            return header._replace(start=0, size=None)


def _ignored(stream: ByteStream, part: Header, gap: int, *, behind_chunks: bool) -> str:
    """Say why what begins here, behind the samples and a gap, is not sent; "" if it is more of them."""
    head = stream.first(12)
    if head.startswith(_TAGS):
        return "the tag at the end of the WAV is ignored"
    if behind_chunks:
        left = "" if stream.left is None else f": {part.seconds(stream.left):.2f} s, if it is audio"
        return f"what follows the last chunk of the WAV is ignored{left}"
    if gap + len(head) < part.frame:
        return f"the last bytes of the WAV ({len(head)}) are ignored: its header says that it ends before"
    return ""


def _silence(size: int) -> Iterator[bytes]:
    for start in range(0, size, _CHUNK):
        yield bytes(min(_CHUNK, size - start))


def _tell_more(stream: ByteStream, part: Header, warn: Warn) -> None:
    announced = part.whole or 0
    of = "" if stream.left is None else f" of {part.seconds(announced + stream.left):.2f}"
    warn(
        f"the header of the WAV announces {part.seconds(announced):.2f}{of} s of audio; the rest is sent, "
        "too, since no chunk begins there: a recorder that crashes leaves such a header"
    )


def _is_chunk(head: bytearray, left: Optional[int]) -> bool:
    """Whether a chunk of a WAV begins here, and no samples, whose bytes may be letters."""
    if len(head) < 8 or not _is_name(head[:4]):
        return False
    name, size = unpack_from("<4sI", head)
    return name in _CHUNKS or size <= (_LONGEST_CHUNK if left is None else left - 8)


def _another(stream: ByteStream, header: Header, warn: Warn) -> Optional[Header]:
    try:
        following = peek_header(stream, AudioError, lambda form: None)
    except AudioError as exc:
        warn(f"another WAV follows and is ignored: {exc.text}")
        return None
    if following is None or following.form != header.form:
        what = "" if following is None else f": {following.form}"
        lasting = "" if following is None or not following.duration else f", {following.duration:.2f} s"
        warn(f"another WAV follows and is ignored: its samples have another format{what}{lasting}")
        return None
    return following


def _header(
    first: Callable[[int], bytearray], fault: Fault, check: Callable[[Form], None]
) -> Optional[Header]:
    """Parse the chunks of a WAV up to its samples; ``first(n)`` returns its first n bytes, fewer at the end.

    Returns None if it has none that can be understood.
    """
    at = 12
    form: Optional[Form] = None
    long: Optional[int] = None  # the size of the samples, where 32 bits are too few for it
    while at < _LONGEST_HEADER:
        head = first(at + 8)
        if len(head) < at + 8:
            raise fault(f"the WAV ends after {len(head)} bytes, inside its header; it holds no audio")
        name, size = unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            if form is None or not form.sample_rate or not form.channels:
                return None
            unknown = _is_placeholder(size) and not (size == 0 and _is_empty(first, at))
            return Header(form, at, (long or None) if unknown else size)
        if name == b"fmt " and 16 <= size <= _LONGEST_HEADER:
            head = first(at + size)
            if len(head) >= at + size:
                form = _form(bytes(head[at : at + size]))
                check(form)
        elif name == b"ds64" and size >= 16 and len(head := first(at + 16)) >= at + 16:
            (long,) = unpack_from("<Q", head, at + 8)
        at += size + size % 2
    return None


def _is_wav(head: bytearray) -> bool:
    return len(head) >= 12 and head[:4] in _NAMES and head[8:12] == b"WAVE"


def _is_name(name: bytearray) -> bool:
    return all(0x20 <= character < 0x7F for character in name)


def _is_empty(first: Callable[[int], bytearray], at: int) -> bool:
    """Whether there really are no samples, since other chunks follow; else 0 is a placeholder."""
    (riff,) = unpack_from("<I", first(8), 4)
    if _is_placeholder(riff):
        return False
    head = first(at + 8)
    if len(head) < at + 8 or not _is_name(head[at : at + 4]):
        return False
    (size,) = unpack_from("<I", head, at + 4)
    return bool(at + size <= riff)  # both are counted without the 8 bytes of their own heads


def _form(chunk: bytes) -> Form:
    tag, channels, rate, _, _, bits = unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and chunk[26:40] == _EXTENSIBLE_TAIL:
        (tag,) = unpack_from("<H", chunk, 24)
    unknown = f"{bits}-bit PCM" if tag == 1 else _COMPRESSED.get(tag, f"format {tag:#06x}")
    return Form(_KINDS.get((tag, bits)) or SampleFormat(unknown), rate, channels)
