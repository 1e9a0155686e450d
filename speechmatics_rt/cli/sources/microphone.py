"""The microphone as the command hears it: measured for the bar, saved if asked, and ended by a signal."""

from __future__ import annotations

import array
import logging
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from ...audio import Microphone
from ...config import AudioFormat
from ...exceptions import AudioError, ConfigurationError

if TYPE_CHECKING:
    from ...audio import InputDevice
    from ..outputs import WavFile

__all__ = ["MicrophoneInput", "device_table", "find_device", "level_of"]

logger = logging.getLogger(__name__)

_RATE = 16000  # Hz: what the service works with
_BLOCK = 0.1  # s that are read at a time: the pace of the meter, and of Ctrl-C
_MUTED = 5.0  # s of silence from the start, after which something is wrong
_FLOOR = -60.0  # dB below full scale; what is quieter counts as silence: rooms are louder


class MicrophoneInput:
    """An input device as a source; use it in ``with``.

    The sender's thread reads; the main thread looks at the level, and ends it.

    Args:
        device: Which one; None is the system's default.
        sample_rate: Hz; None takes 16000, or what the device can do.
        saved: Where the audio is to be kept, too.

    Attributes:
        audio_format: What it gives, once it records.
        level: Of the latest block, in dB below full scale; at most 0.
        silent: Seconds for which nothing was louder than a room without people.
    """

    def __init__(
        self, device: Optional[InputDevice], sample_rate: Optional[int], saved: Optional[WavFile]
    ) -> None:
        self._device = device
        self._rate = sample_rate
        self._saved = saved
        self._microphone: Optional[Microphone] = None
        self._ended = False
        self._heard = False
        self.audio_format = AudioFormat("pcm_s16le", sample_rate or _RATE)
        self.level = -math.inf
        self.silent = 0.0

    def __enter__(self) -> MicrophoneInput:
        """Start.

        Raises:
            ConfigurationError: A package is missing.
            AudioError: The device can't record like this.
        """
        rate = self._rate or _RATE
        try:
            self._microphone = self._started(rate)
        except AudioError:
            own = self._own_rate()
            if self._rate is not None or own in (None, rate):
                raise
            rate = own or rate
            self._microphone = self._started(rate)
        self.audio_format = AudioFormat("pcm_s16le", rate, chunk_size=2 * int(rate * _BLOCK))
        if self._saved is not None:
            self._saved.sample_rate = rate
        return self

    def __exit__(self, *_: object) -> None:
        if self._microphone is not None:
            self._microphone.stop()
        if self._saved is not None:
            self._saved.close()

    def _started(self, rate: int) -> Microphone:
        index = None if self._device is None else self._device["index"]
        microphone = Microphone(sample_rate=rate, device_index=index)
        microphone.start()
        return microphone

    def _own_rate(self) -> Optional[int]:
        device = self._device
        if device is None:
            device = next((each for each in Microphone.list_devices() if each["default"]), None)
        return None if device is None else int(device["sample_rate"])

    @property
    def name(self) -> str:
        return "the default microphone" if self._device is None else f"{self._device['name']!r}"

    @property
    def seconds_lost(self) -> float:
        return 0.0 if self._microphone is None else self._microphone.seconds_lost

    @property
    def overflows(self) -> int:
        return 0 if self._microphone is None else self._microphone.overflows

    def read(self, size: int) -> bytes:
        """Give the next block, as a source does; ``b""`` when it was ended and all is read."""
        microphone = self._microphone
        if microphone is None:
            return b""
        if self._ended:
            microphone.stop()  # here, and not in a signal handler: it takes a lock
        block = microphone.read(size)
        if block:
            self._measure(block)
            if self._saved is not None:
                self._saved.append(block)
        return block

    def _measure(self, block: bytes) -> None:
        self.level = level_of(block)
        if self.level >= _FLOOR:
            self._heard, self.silent = True, 0.0
            return
        self.silent += len(block) / 2 / self.audio_format.sample_rate
        if self.silent >= _MUTED and not self._heard:
            self._heard = True  # that is said once
            logger.warning(
                "%s is silent; is it muted, or the wrong one? 'speechmatics-rt devices' lists them", self.name
            )

    def end(self) -> None:
        """Have it end with what was said until now. May be called in a signal handler."""
        self._ended = True


def level_of(block: bytes) -> float:
    """Measure the loudest of 16-bit samples, in dB below full scale.

    Example:
        >>> level_of(bytes(4)), round(level_of((16384).to_bytes(2, "little")), 1)
        (-inf, -6.0)
    """
    samples = array.array("h", block)
    if sys.byteorder == "big":
        samples.byteswap()
    loudest, lowest = max(samples), min(samples)
    peak = max(loudest, -lowest)
    return 20 * math.log10(peak / 32768) if peak else -math.inf


def find_device(text: Optional[str]) -> Optional[InputDevice]:
    """Find the device that a number, or a part of a name, stands for.

    Raises:
        ConfigurationError: None does, or several do; or a package is missing.
    """
    if text is None:
        return None
    devices = Microphone.list_devices()
    found = [each for each in devices if str(each["index"]) == text] or [
        each for each in devices if each["name"] == text
    ]
    found = found or [each for each in devices if text and text.lower() in each["name"].lower()]
    if len(found) == 1:
        return found[0]
    how = "fits several" if found else "is none"
    there = ", ".join(f"{each['index']} {each['name']!r}" for each in found or devices)
    raise ConfigurationError(f"--device {text!r} {how} of the input devices: {there or 'there are none'}")


def device_table(devices: Sequence[InputDevice]) -> str:
    """Write a line for each device; the default one has a star.

    Example:
        >>> print(device_table([
        ...     {"index": 1, "name": "Headset", "channels": 1, "sample_rate": 16000.0, "default": True}
        ... ]), end="")
        * 1  Headset  16000 Hz
    """
    names = max((len(each["name"]) for each in devices), default=0)
    numbers = max((len(str(each["index"])) for each in devices), default=0)
    return "".join(
        f"{'*' if each['default'] else ' '} {each['index']:>{numbers}}  {each['name']:<{names}}"
        f"  {each['sample_rate']:.0f} Hz\n"
        for each in devices
    )
