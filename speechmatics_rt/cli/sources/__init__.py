"""The audio sources of the command: files, pipes, channels of a recording, a microphone.

``given`` finds out what was named; ``microphone`` is the microphone, which is metered, saved, and ended by
Ctrl-C.
"""

from __future__ import annotations

from .given import MICROPHONE, NO_TEXT, Given, channels_of, given, labels_of, wrong_in
from .microphone import MicrophoneInput, device_table

__all__ = [
    "MICROPHONE",
    "NO_TEXT",
    "Given",
    "MicrophoneInput",
    "channels_of",
    "device_table",
    "given",
    "labels_of",
    "wrong_in",
]
