"""From anything that holds audio to chunks of whole samples. Does no I/O except to read the source.

``source`` decides what is sent and cuts it into chunks, ``reading`` reads a caller's source and rewinds it,
``leftover`` remembers sources that can't be rewound, ``ends`` looks whether one that has ended was cut short,
``hints`` says what to pass instead of something that is not a source (``arrays`` of numbers), ``wav`` parses
WAVs, ``split`` separates channels (of what can be read only once by ``shared``), ``mix`` merges them into
one, ``channels`` is what both need, ``linear`` makes 16-bit PCM of other samples, ``gather`` joins tiny
pieces, ``microphone`` records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .channels import count_channels
from .hints import meant_by
from .reading import StandIn, described
from .source import AudioSource, BytesLike, Pacer, Source, check_chunk, open_source

if TYPE_CHECKING:
    from .microphone import InputDevice, Microphone
    from .mix import mix_channels
    from .split import split_channels

__all__ = [
    "AudioSource",
    "BytesLike",
    "InputDevice",
    "Microphone",
    "Pacer",
    "Source",
    "StandIn",
    "check_chunk",
    "count_channels",
    "described",
    "meant_by",
    "mix_channels",
    "open_source",
    "split_channels",
]

if not TYPE_CHECKING:  # few programs need them
    __getattr__, __dir__ = imported_late(
        __name__,
        {
            "microphone": ("InputDevice", "Microphone"),
            "mix": ("mix_channels",),
            "split": ("split_channels",),
        },
    )
