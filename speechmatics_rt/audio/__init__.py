"""From anything that holds audio to chunks of whole samples. Does no I/O but for reading the source.

``source`` finds out what a caller gave and what goes on the wire, ``wav`` reads headers, ``mix``
makes one channel of several, ``microphone`` records.
"""

from __future__ import annotations

from . import source
from .microphone import InputDevice, Microphone
from .mix import mix_channels
from .source import AudioSource, Block, Pacer, Source, check_chunk, described, open_source, split_channels

__all__ = [
    "AudioSource",
    "Block",
    "InputDevice",
    "Microphone",
    "Pacer",
    "Source",
    "check_chunk",
    "described",
    "mix_channels",
    "open_source",
    "source",
    "split_channels",
]
