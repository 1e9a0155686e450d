"""Says what to pass instead of something that is not audio. Pure; knows types by their names alone."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any, Optional

from ..config import a_kind

__all__ = [
    "CONVERT",
    "ENOUGH",
    "TEXT",
    "about_array",
    "about_container",
    "about_content",
    "about_source",
]

CONVERT = "convert it beforehand: ffmpeg -i FILE -c:a pcm_s16le out.wav"

TEXT = (
    'the audio is text (str), not bytes; read it in binary mode: open(path, "rb"), and standard input '
    'open(0, "rb", buffering=0, closefd=False)'
)

_ANYTHING = 16  # bytes: a shorter recording may be anything
ENOUGH = 256  # bytes, to tell what something is

# How files begin that hold no audio, and those that hold it in a container: bytes, and where they stand. At
# least 31 bits, so that headerless samples, which may begin in any way, are not taken for one of them.
_NO_AUDIO = {
    (b"\x1f\x8b\x08\x00", 0): "a gzip archive; unpack it first",
    (b"\x1f\x8b\x08\x08", 0): "a gzip archive; unpack it first",
    (b"PK\x03\x04", 0): "a ZIP archive; unpack it first",
    (b"1AY&SY", 4): "a bzip2 archive; unpack it first",
    (b"\xfd7zXZ\x00", 0): "an XZ archive; unpack it first",
    (b"\x28\xb5\x2f\xfd", 0): "a Zstandard archive; unpack it first",
    (b"7z\xbc\xaf\x27\x1c", 0): "a 7z archive; unpack it first",
    (b"Rar!\x1a\x07", 0): "a RAR archive; unpack it first",
    (b"%PDF-", 0): "a PDF document, not audio",
    (b"SQLite form", 0): "a database, not audio",
    (b"\x7fELF\x02\x01\x01", 0): "a program, not audio",
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0): "an Office document, not audio",
    (b"\x89PNG\r\n", 0): "a picture, not audio",
    (b"JFIF\x00", 6): "a picture, not audio",
    (b"Exif\x00", 6): "a picture, not audio",
}
_CONTAINERS = {
    (b"ID3\x02\x00", 0): "an MP3",
    (b"ID3\x03\x00", 0): "an MP3",
    (b"ID3\x04\x00", 0): "an MP3",
    (b"OggS\x00", 0): "an Ogg file",
    (b"fLaC\x00\x00\x00", 0): "a FLAC",
    (b"ftyp", 4): "an MP4",
    (b"\x1a\x45\xdf\xa3", 0): "a WebM or Matroska file",
    (b"AIFF", 8): "an AIFF",
    (b"AIFC", 8): "an AIFF",
    (b"RIFX", 0): "a big-endian WAV",
    (b"#!AMR", 0): "an AMR file",
}

_FORM = (
    "a form with a file in it (multipart/form-data), not the file: give request.files[name] (Flask), "
    "request.FILES[name] (Django), or upload.file (FastAPI)"
)

_SAMPLES = 'with audio_format=AudioFormat("pcm_s16le", {rate})'

# By package and class; base classes count too.
_HINTS = {
    ("soundfile", "SoundFile"): "give its path; or file.read(dtype='int16').tobytes() of one channel, "
    + _SAMPLES.format(rate="file.samplerate"),
    ("pydub", "AudioSegment"): "give segment.set_channels(1).set_sample_width(2).raw_data, "
    + _SAMPLES.format(rate="segment.frame_rate"),
    ("wave", "Wave_read"): "give the path, or the file opened as open(path, 'rb'); the header is read here",
    ("httpx", "Response"): "give response.iter_bytes(); to AsyncClient, response.aiter_bytes()",
    ("aiohttp", "ClientResponse"): "give response.content to AsyncClient",
    ("socket", "socket"): "give sock.makefile('rb')",
    ("subprocess", "Popen"): "give process.stdout",
    ("zipfile", "ZipFile"): "give archive.open(name)",
    ("sounddevice", "_StreamBase"): "give a Microphone(); or the bytes of its blocks, as an iterable",
    ("torch", "Tensor"): "give (tensor * 32767).short().numpy().tobytes() of one channel, "
    + _SAMPLES.format(rate="sample_rate"),
}
_DTYPES = {"i2": "h", "f4": "f"}  # names of the array interface, by those of array.array
_ARRAYS = {
    "h": "give x.tobytes(), " + _SAMPLES.format(rate="sample_rate"),
    "f": 'give x.tobytes(), with audio_format=AudioFormat("pcm_f32le", sample_rate)',
    "f8": "give x.astype('<f4').tobytes(), with audio_format=AudioFormat(\"pcm_f32le\", sample_rate)",
}


def about_source(source: Any) -> Optional[str]:
    """Say what to pass instead of something that can't be a source; None if it may be one."""
    if isinstance(source, io.TextIOBase):
        return TEXT
    if isinstance(source, Mapping):
        return "the audio is a mapping; pass it to MultiChannelClient, or one of its values to this client"
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, os.PathLike)):
        return "the audio source is a list of names, and a call takes one; transcribe_many(names) takes many"
    if isinstance(source, int):
        return "a number is not audio; give a path, or open(descriptor, 'rb', buffering=0, closefd=False)"
    for kind in type(source).__mro__:
        hint = _HINTS.get((kind.__module__.partition(".")[0].lstrip("_"), kind.__name__))
        if hint is not None:
            return f"the audio source is {a_kind(source)}; {hint}"
    return about_array(source)


def about_content(head: bytes) -> Optional[str]:
    """Say that a recording is none, but an archive, a document, or an error page saved under its name.

    None if it seems to be audio.

    Example:
        >>> about_content(b"\\x1f\\x8b\\x08\\x00")
        'is a gzip archive; unpack it first'

        >>> about_content(b"<html><head><title>404 Not Found")
        "is text: it begins with '<html><head><title>404 Not Found'"
        >>> about_content(b"ID3")  # so short, it may be anything
    """
    known = _known(head, _NO_AUDIO) or (_FORM if _is_form(head) else None)
    if known is not None:
        return f"is {known}"
    if len(head) < _ANYTHING or head.startswith(b"NIST_1A"):  # a header of text, before samples
        return None
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
        return _as_text(text) if text.isascii() else None
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if exc.end < len(head) or exc.reason != "unexpected end of data":
            return None
        text = head[: exc.start].decode("utf-8")  # cut inside a character
    return _as_text(text)


def _is_form(head: bytes) -> bool:
    """Whether it is the body of a request in which an HTML form sends a file."""
    return head.startswith(b"--") and b"\r\nContent-Disposition: form-data;" in head[:200]


def _as_text(text: str) -> Optional[str]:
    """Say that it is text; None if it has characters that text has not."""
    if not all(character.isprintable() or character in "\t\r\n\f" for character in text):
        return None
    words = " ".join(text.split())
    return f"is text: it begins with {words if len(words) <= 40 else words[:40] + '...'!r}"


def about_container(head: bytes) -> Optional[str]:
    """Say that what is said to be headerless samples is something else; None if it may be samples.

    Text may be, too: silence in mu-law is.

    Example:
        >>> about_container(b"OggS\\x00\\x02" + bytes(20))
        'is an Ogg file, but audio_format says that it has no header; leave audio_format out'
    """
    known = _known(head, _NO_AUDIO) or (_FORM if _is_form(head) else None)
    if known is not None:
        return f"is {known}"
    known = _known(head, _CONTAINERS)
    if known is None:
        return None
    return f"is {known}, but audio_format says that it has no header; leave audio_format out"


def _known(head: bytes, kinds: Mapping[tuple[bytes, int], str]) -> Optional[str]:
    return next((kind for (magic, at), kind in kinds.items() if head.startswith(magic, at)), None)


def about_array(block: Any) -> Optional[str]:
    """Say how to convert an array of numbers; None if it isn't one."""
    kind = getattr(getattr(block, "dtype", None), "str", None) or getattr(block, "typecode", None)
    if not isinstance(kind, str) or not hasattr(block, "tobytes"):
        return None
    kind = kind.lstrip("<=>|")
    kind = _DTYPES.get(kind, kind)
    if len(getattr(block, "shape", ())) > 1:
        way = "take one channel of it, x[:, 0], and give its bytes"
    else:
        way = _ARRAYS.get(kind, "make its numbers int16 or float32 of -1 to 1, and give x.tobytes()")
    return f"the audio is an array ({type(block).__name__} of {kind!r}); {way}"
