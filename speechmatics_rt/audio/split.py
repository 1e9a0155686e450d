"""Separates the channels of a WAV into a source for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, Union

from ..config import TEXT, AudioFormat, a_list, plain
from . import wav
from .reading import Reading
from .source import AudioSource
from .wav import Block, Fault, Warn

__all__ = ["split_channels", "whole_frames"]

_UNSIGNED: dict[int, Literal["B", "H", "I"]] = {1: "B", 2: "H", 4: "I"}  # memoryview's formats, by size


def split_channels(path: Union[str, os.PathLike[str]], labels: Sequence[str]) -> dict[str, AudioSource]:
    """Open a WAV of several channels as a source for each, in the order of the file.

    For :meth:`MultiChannelClient.transcribe`::

        client.transcribe(split_channels("call.wav", ["agent", "caller"]))

    The sources may be passed to further calls; each call opens the file again.

    Args:
        path: A WAV file of 16-bit or float PCM, or of mu-law.
        labels: A label for each channel; in a stereo file the first is the left one.

    Raises:
        AudioError: The file can't be opened, is of another kind, or has another number of channels.
        ConfigurationError: The labels are not a list of different strings.
    """
    a_list(TEXT, least=1, different=True)("labels", plain(labels))
    opened: dict[str, AudioSource] = {}
    try:
        for number, label in enumerate(labels):
            opened[label] = _one_of_several(path, number, len(labels), label)
    except BaseException:
        for source in opened.values():
            source.close()
        raise
    return opened


def _one_of_several(path: Union[str, os.PathLike[str]], number: int, count: int, label: str) -> AudioSource:
    # Each channel reads the file itself: shared blocks would have to wait for the slowest channel.
    reading = Reading(path, AudioFormat().chunk_size * count, label)
    fault = reading.fault
    try:
        stream = wav.Stream(reading)
        header = wav.read_header(stream, fault, partial(_check_count, count, fault))
        if header is None:
            raise fault("it is not a WAV of PCM or mu-law samples")  # noqa: TRY301  # closed below
        one = header.audio_format
        frames = whole_frames(wav.samples(stream, header, reading.warn), header.frame, reading.warn)
        kind = _UNSIGNED[one.bytes_per_sample]
        chunks = (memoryview(block).cast(kind)[number::count].tobytes() for block in frames)
        again = partial(_one_of_several, path, number, count, label)
        return AudioSource(chunks, one, duration=header.lasts(reading.length), reading=reading, again=again)
    except BaseException:
        reading.close()
        raise


def _check_count(labels: int, fault: Fault, channels: int) -> None:
    if channels != labels:
        raise fault(f"the WAV has {channels} channel{'s' * (channels > 1)}, but {labels} labels were given")


def whole_frames(blocks: Iterator[Block], size: int, warn: Warn) -> Iterator[bytes]:
    """Cut into blocks of whole frames (one sample of each channel); warn of a rest."""
    rest = b""
    for block in blocks:
        joined = rest + bytes(block)
        whole = len(joined) - len(joined) % size
        rest = joined[whole:]
        if whole:
            yield joined[:whole]
    if rest:
        warn(wav.CUT.format(len(rest)))
