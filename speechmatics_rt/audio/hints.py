"""Says what to pass instead of something that is not audio. Pure; knows types by their names alone."""

from __future__ import annotations

import io
import os
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isroutine
from typing import Any, Optional, TypeVar
from urllib.parse import unquote

from ..exceptions import a_kind
from .arrays import about_array, about_dict, about_number, about_pair

__all__ = [
    "CONVERT",
    "ENOUGH",
    "TEXT",
    "about_block",
    "about_container",
    "about_content",
    "about_path",
    "about_source",
    "meant_by",
    "named",
]

_T = TypeVar("_T")

CONVERT = "convert it beforehand: ffmpeg -i FILE -c:a pcm_s16le out.wav"

TEXT = (
    'the audio is text (str), not bytes; read it in binary mode: open(path, "rb"), and standard input '
    'open(0, "rb", buffering=0, closefd=False)'
)

_MANY = "transcribe({0}) takes one, transcribe_many({0}s) many"
_CONTENTS = (
    "it seems to be contents, not a path; give audio as bytes, of a file in base64 base64.b64decode(text)"
)
_LONGEST_NAME = 255  # characters of a file, or of a folder on its way; no file system has longer ones

_ANYTHING = 16  # bytes: a shorter recording may be anything
ENOUGH = 256  # bytes, to tell what something is
_VARIOUS = 16  # different bytes, of which no constant level and no faint noise has as many
_PAGES = (b"<!doctype ", b"<html", b"<?xml ")

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
_QUEUE = "give iter(source.get, None), and put None behind the last block"

# What to give instead, by package and class; base classes count too.
_INSTEAD = {
    ("aiohttp", "ClientResponse"): "give response.content to AsyncClient",
    ("asyncio", "Future"): "await it, and give what it returns",
    ("asyncio", "Queue"): "give an async generator to AsyncClient that yields what source.get() returns",
    ("av", "AudioFrame"): "give b''.join(frame.to_ndarray().tobytes() for frame in av.AudioResampler('s16', "
    "'mono', source.sample_rate).resample(source)), " + _SAMPLES.format(rate="source.sample_rate"),
    ("av", "InputContainer"): "give the file or the path of which it was opened; the service decodes it",
    ("builtins", "NoneType"): "give a path, bytes or a file; a form without that file, for one, gives None",
    ("builtins", "coroutine"): "await it, and give what it returns",
    ("fsspec", "OpenFile"): "give source.open()",
    ("http", "HTTPConnection"): "give connection.getresponse()",
    ("httpx", "Response"): "give response.iter_bytes(); to AsyncClient, response.aiter_bytes()",
    ("multiprocessing", "Queue"): _QUEUE,
    ("multiprocessing", "SimpleQueue"): _QUEUE,
    ("pandas", "DataFrame"): "give the samples of one column, source[name]",
    ("pydub", "AudioSegment"): "give segment.set_channels(1).set_sample_width(2).raw_data, "
    + _SAMPLES.format(rate="segment.frame_rate"),
    ("queue", "Queue"): _QUEUE,
    ("queue", "SimpleQueue"): _QUEUE,
    ("socket", "socket"): "give sock.makefile('rb')",
    ("sounddevice", "_StreamBase"): "give a Microphone(); or the bytes of its blocks, as an iterable",
    ("soundfile", "SoundFile"): "give its path; or file.read(dtype='int16', always_2d=True)[:, 0].tobytes(), "
    + _SAMPLES.format(rate="file.samplerate"),
    ("speech_recognition", "AudioData"): "give source.get_raw_data(convert_width=2), "
    + _SAMPLES.format(rate="source.sample_rate"),
    ("starlette", "Request"): "give source.stream() to AsyncClient",
    ("subprocess", "Popen"): "give process.stdout",
    ("tarfile", "TarFile"): "give archive.extractfile(name)",
    ("torchcodec", "AudioDecoder"): "give source.get_all_samples().data[0].numpy().tobytes(), with "
    'audio_format=AudioFormat("pcm_f32le", source.metadata.sample_rate)',
    ("urllib", "Request"): "give urllib.request.urlopen(source)",
    ("wave", "Wave_read"): "give open(path, 'rb') or the path; the header is read here",
    ("werkzeug", "Request"): "give request.stream, or of a form request.files[name]",
    ("zipfile", "ZipFile"): "give archive.open(name)",
}
# The same of places, by the scheme of their URL.
_URLOPEN = "download it first, or give urllib.request.urlopen(url)"
_STREAMS = "give what ffmpeg makes of it: the stdout of ffmpeg -i URL -f s16le -ac 1 -ar 16000 -"
_PLACES = {
    **dict.fromkeys(("http", "https", "ftp", "data"), _URLOPEN),
    **dict.fromkeys(("rtsp", "rtmp", "rtmps", "rtp", "srt", "udp", "mms"), _STREAMS),
}
_ELSEWHERE = "download it first, or give a file that smart_open or fsspec has opened"
_SCHEME = "(data(?=:)|[A-Za-z][A-Za-z0-9+.-]+(?=:/))"  # a Path leaves one slash; a letter alone is a drive


def named(thing: Any, table: Mapping[tuple[str, str], _T]) -> Optional[_T]:
    """Look a thing up by the package and the name of its class, or of one of its base classes."""
    for kind in thing.__class__.__mro__:  # a proxy, of Flask for one, says what it stands for
        found = table.get((kind.__module__.partition(".")[0].lstrip("_"), kind.__name__))
        if found is not None:
            return found
    return None


def about_source(source: Any) -> Optional[str]:
    """Say what to pass instead of something that can't be a source; None if it may be one."""
    if isinstance(source, io.TextIOBase):
        return TEXT
    instead = named(source, _INSTEAD)
    if instead is not None:
        return f"the audio source is {'None' if source is None else a_kind(source)}; {instead}"
    if isinstance(source, Mapping):
        return about_dict(source) or _about_mapping(source)
    if isinstance(source, (list, tuple, set, frozenset)):
        return about_pair(source) or _about_many(source)
    if isinstance(source, int):
        return "a number is not audio; give a path, or open(descriptor, 'rb', buffering=0, closefd=False)"
    return about_array(source) or _about_function(source)


def _about_many(source: Collection[Any]) -> Optional[str]:
    """Say what takes several recordings; None if these seem to be the blocks of one."""
    first = next(iter(source), b"")
    if isinstance(first, (str, os.PathLike)):
        what = "names"
    elif hasattr(first, "read") and named(first, _INSTEAD) is None:
        what = "files"
    else:
        return None
    told = f"the audio source is {a_kind(source)} of {what}, and a call takes one"
    return f"{told}; transcribe_many({what}) takes many"


def _about_mapping(source: Mapping[Any, Any]) -> str:
    for key in ("Body", "bytes"):  # of boto3's get_object(), and of data sets that are not decoded
        if hasattr(source.get(key), "read") or isinstance(source.get(key), bytes):
            return f"the audio source is a dict; give source[{key!r}]"
    return "the audio is a mapping; pass it to MultiChannelClient, or one of its values to this client"


def _about_function(source: Any) -> Optional[str]:
    """Say that a function, or a class, is to be called; None if it is none."""
    if isinstance(source, type):
        return f"the audio source is the class {source.__name__}; give an object of it"
    if not isroutine(source) and not isinstance(source, partial):
        return None
    if isasyncgenfunction(source):
        return "the audio source is a function; give source() to AsyncClient"
    if iscoroutinefunction(source):
        return "the audio source is a coroutine function; give await source()"
    return "the audio source is a function; give source()"


def about_block(block: Any) -> str:
    """Say what to yield, or to send, instead of something that is not bytes."""
    told = about_array(block) or about_number(block)
    if told is not None:
        return told
    instead = named(block, _INSTEAD)
    if instead is None and (isinstance(block, os.PathLike) or _is_name(block)):
        return f"the audio is a name ({type(block).__name__}), not bytes; {_MANY.format('name')}"
    if isinstance(block, str):
        return TEXT
    if instead is None and hasattr(block, "read"):
        return f"the audio is a file ({type(block).__name__}), not bytes; {_MANY.format('file')}"
    return (
        f"the audio is {type(block).__name__}, not bytes; {instead or 'many types have a tobytes() method'}"
    )


def _is_name(block: Any) -> bool:
    return isinstance(block, str) and re.fullmatch(r"[^\r\n]{1,250}\.\w{2,5}", block) is not None


def meant_by(path: str) -> Optional[str]:
    """Say which path is meant by what is none to the system; None if that may be a slip.

    Example:
        >>> meant_by("file:///srv/two%20calls.wav")
        "it is the URL of a file on this machine: give '/srv/two calls.wav'"
        >>> meant_by("file://nas/srv/call.wav")
        "it is the URL of a file on the machine 'nas': give its path here, where that is mounted"
    """
    url = re.match(
        r"file:(?://(?!localhost/)(?P<host>[^/?#]+)(?=/)|//(?:localhost(?=/))?)?(?P<path>[^?#]+)", path
    )
    if url is not None and url["host"]:
        where = f"on the machine {url['host']!r}"
        return f"it is the URL of a file {where}: give its path here, where that is mounted"
    if url is not None:
        return f"it is the URL of a file on this machine: give {unquote(url['path'])!r}"
    meant = os.path.expanduser(path)  # as a shell does, but in quotes and behind a =
    return None if meant == path else f"~ stands for no folder here: give {meant!r}"


def about_path(path: str) -> Optional[str]:
    """Say what to give instead of a path at which nothing can be opened; None if that may be a slip.

    Example:
        >>> about_path("https://example.com/a.wav")
        'download it first, or give urllib.request.urlopen(url)'
        >>> about_path("s3://bucket/a.wav")
        'download it first, or give a file that smart_open or fsspec has opened'
        >>> about_path("C:/a.wav")
    """
    if not path:
        return "the name is empty"
    scheme = re.match(_SCHEME, path)
    long = any(len(name) > _LONGEST_NAME for name in re.split(r"[/\\]", path))
    if scheme is None and (long or "\n" in path or "\0" in path):
        return _CONTENTS
    meant = meant_by(path)
    return meant if meant or scheme is None else _PLACES.get(scheme[1].lower(), _ELSEWHERE)


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
    if len(head) < _ANYTHING and not _is_page(head):
        return None
    if head.startswith(b"NIST_1A"):  # a header of text, before samples
        return None
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
        return _as_text(text) if text.isascii() else None
    return _in_utf_8(head)


def _in_utf_8(head: bytes) -> Optional[str]:
    """Say that it is text in UTF-8; None if it isn't."""
    head = head.removeprefix(BOM_UTF8)
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if exc.end < len(head) or exc.reason != "unexpected end of data":
            return None
        text = head[: exc.start].decode("utf-8")  # cut inside a character
    return _as_text(text)


def _is_page(head: bytes) -> bool:
    """Whether it is HTML or XML, of whatever length."""
    return head.removeprefix(BOM_UTF8).lstrip()[:10].lower().startswith(_PAGES)


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

    Some text may be, too: silence in mu-law is. But a page is none, nor is text of some length and variety:
    its bytes are half of all there are, and those of negative samples alone in mu-law.

    Example:
        >>> about_container(b"OggS\\x00\\x02" + bytes(20))
        'is an Ogg file, but audio_format says that it has no header; leave audio_format out'
    """
    known = _known(head, _NO_AUDIO) or (_FORM if _is_form(head) else None)
    if known is not None:
        return f"is {known}"
    known = _known(head, _CONTAINERS)
    if known is None:
        various = len(head) >= ENOUGH and len(set(head)) >= _VARIOUS and b" " in head
        return _in_utf_8(head) if various or _is_page(head) else None
    return f"is {known}, but audio_format says that it has no header; leave audio_format out"


def _known(head: bytes, kinds: Mapping[tuple[bytes, int], str]) -> Optional[str]:
    return next((kind for (magic, at), kind in kinds.items() if head.startswith(magic, at)), None)
