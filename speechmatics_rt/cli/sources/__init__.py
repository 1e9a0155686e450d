"""The audio sources of the command: files, pipes, channels of a recording, a microphone.

``given`` finds out what was named; ``recording`` is the microphone, which is metered, saved, and ended by
Ctrl-C.
"""

from __future__ import annotations

from .given import MICROPHONE, Given, given
from .recording import Recording, device_table, find_device

__all__ = ["MICROPHONE", "Given", "Recording", "device_table", "find_device", "given"]
