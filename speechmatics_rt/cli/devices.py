"""``speechmatics-rt devices``: lists the microphones."""

from __future__ import annotations

from ..audio import Microphone
from ..exceptions import AudioError
from .options import ExitCode
from .sources import device_table
from .streams import Stream

__all__ = ["devices"]


def devices(out: Stream) -> ExitCode:
    """Run the command.

    Raises:
        ConfigurationError: The package ``sounddevice`` or the library PortAudio is missing.
        AudioError: There is no input device.
    """
    found = Microphone.list_devices()
    if not found:
        raise AudioError("there is no input device; plug in a microphone, or set a default in the system")
    out.write(device_table(found))
    return ExitCode.OK
