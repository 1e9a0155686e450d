"""What splitting and mixing share: the header of a WAV whose channels can be told apart, and its frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Callable, Optional, Union

from ..exceptions import AudioError
from . import hints, wav
from .reading import Reading

__all__ = ["count_channels", "frames_of", "header_of"]

_HEAD = 256  # bytes: room for a usual header, where 16 times as much is read at once


def count_channels(path: Union[str, os.PathLike[str]]) -> Optional[int]:
    """Return how many channels a WAV has; None for what is no WAV, or can't be read."""
    forms: list[wav.Form] = []
    try:
        reading = Reading(path, _HEAD)
        try:
            wav.peek_header(wav.ByteStream(reading), reading.fault, forms.append)
        finally:
            reading.close()
    except AudioError:  # whoever transcribes it says why
        pass
    return forms[0].channels if forms else None


def header_of(stream: wav.ByteStream, reading: Reading, check: Callable[[wav.Form], None]) -> wav.Header:
    """Return the header of a WAV whose samples can be told from one another.

    Raises:
        AudioError: There is none; or raised by ``check``, which is called with the form of the audio.
    """
    header = wav.peek_header(stream, reading.fault, check)
    if header is not None and header.form.kind.size:
        return header
    if not stream.first(1):
        raise reading.emptiness()
    wrong = hints.about_content(bytes(stream.first(hints.ENOUGH)))
    if wrong is not None:
        raise reading.fault(f"the audio source {wrong}")
    if header is not None:
        what = f"the WAV holds {header.form.kind.name}, whose channels can't be told apart here"
    elif wav.is_wav(stream):
        what = "the header of the WAV can't be understood"
    else:
        what = "it is not a WAV"
    raise reading.fault(f"{what}; {hints.CONVERT}")


def frames_of(stream: wav.ByteStream, header: wav.Header, reading: Reading) -> Iterator[bytes]:
    """Yield blocks of whole frames (one sample of each channel); warn of a rest."""
    rest, size = b"", header.frame
    for block in wav.samples(stream, header, reading.warn):
        joined = rest + bytes(block)
        whole = len(joined) - len(joined) % size
        rest = joined[whole:]
        if whole:
            yield joined[:whole]
    if rest:
        reading.warn(wav.CUT.format(len(rest)))
