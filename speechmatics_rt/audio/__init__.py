"""From anything that holds audio to chunks of whole samples. Does no I/O but for reading the source.

``source`` finds out what goes on the wire and cuts it, ``reading`` reads what a caller gave and puts it
back, ``leftover`` remembers what can't be put back, ``hints`` says what to give instead, ``wav`` reads
headers, ``split`` parts channels, ``mix`` makes one of several, ``gather`` joins tiny pieces, ``microphone``
records.
"""

from __future__ import annotations

from . import source
from .microphone import InputDevice, Microphone
from .mix import mix_channels
from .reading import Proxy, described
from .source import AudioSource, Block, Pacer, Source, check_chunk, open_source
from .split import split_channels

__all__ = [
    "AudioSource",
    "Block",
    "InputDevice",
    "Microphone",
    "Pacer",
    "Proxy",
    "Source",
    "check_chunk",
    "described",
    "mix_channels",
    "open_source",
    "source",
    "split_channels",
]
