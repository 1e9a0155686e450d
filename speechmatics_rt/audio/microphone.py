"""The microphone as an audio source. ``sounddevice`` is imported only here, on first use."""

from __future__ import annotations

import logging
import queue
import sys
import time
import warnings
from typing import Any, Callable, Optional, TypedDict, TypeVar

from ..config import Caller, number, plain, refused
from ..exceptions import AudioError, ConfigurationError
from ..threads import SLICE, new_lock
from .reading import Live

__all__ = ["InputDevice", "Microphone"]

logger = logging.getLogger(__name__)

_Self = TypeVar("_Self", bound="Microphone")

_SAMPLE = 2  # bytes: 16 bits
_BUFFER = 60.0  # seconds that wait for a slow reader (1.9 MB at 16 kHz): longer than most network outages
_SILENCE = 5.0  # seconds without a block after which the device is gone: even silence is delivered
_WARN_EVERY = 1.0  # seconds


class InputDevice(TypedDict):
    """An input device; ``index`` is the ``device_index`` of :class:`Microphone`."""

    index: int
    name: str
    channels: int
    sample_rate: float
    default: bool


def _count(name: str, value: Any) -> int:
    value = plain(value)
    number(1, whole=True)(name, value)
    return int(value)


class Microphone(Live):
    """Record from an input device as 16-bit mono PCM. An audio source for every client.

    It is a source by its blocking :meth:`read`, an iterator of chunks, and a context manager that starts and
    stops recording. Any thread may read, one at a time, and any may stop it. In an event loop, pass it to
    ``AsyncClient.transcribe()`` as it is, or use :class:`AsyncMicrophone`, whose ``read`` is awaited (in
    ``speechmatics_rt.aio`` that is called ``Microphone``).

    Unread audio waits in a buffer of 60 s. When that is full, the oldest audio is dropped, counted and
    logged.

    Args:
        sample_rate: Samples per second. Pass the same to the client:
            ``AudioFormat("pcm_s16le", sample_rate)``.
        channels: 1, the only number that the service accepts.
        chunk_size: Frames (samples, not bytes) that the device delivers at a time: 160 are 10 ms at 16 kHz.
        device_index: The device, see :meth:`list_devices`; the system's default without it.
        loop: Ignored, with a DeprecationWarning: no event loop is needed.

    Attributes:
        overflows: How often audio was lost since :meth:`start`.
        seconds_lost: How much audio was lost, as far as it is known: the system does not measure its own
            losses.

    Example::

        with Microphone(sample_rate=16000) as mic, Client() as client:
            for message in client.stream(mic, audio_format=AudioFormat("pcm_s16le", 16000)):
                ...

    Raises:
        ConfigurationError: A number is not whole and positive, or ``channels`` is not 1.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        channels: int = 1,
        chunk_size: int = 160,
        device_index: Optional[int] = None,
        loop: Any = None,
    ) -> None:
        if loop is not None:
            Caller.find().warn("Microphone(loop=...) is ignored: no event loop is needed", DeprecationWarning)
        if isinstance(channels, bool) or channels != 1:
            raise refused("channels", channels, "1, since the service takes audio of one channel")
        self._sample_rate = _count("sample_rate", sample_rate)
        self._chunk_size = _count("chunk_size", chunk_size)
        self._device_index = device_index
        # Guards which stream is open. The audio thread takes no lock of ours.
        self._lock = new_lock()
        # Held by the thread that reads, over the wait: a second reader waits for it, nobody else takes it.
        self._reading = new_lock()
        self._stream: Any = None
        self._recording: Optional[_Recording] = None
        self._rest = b""  # of the last block, for the next read
        self._warned = (0, 0.0)  # overflows that were logged, and when

    # -- start and stop ------------------------------------------------------------------------------

    def start(self) -> bool:
        """Start recording. Returns True, also if it is already recording; errors are raised.

        Raises:
            ConfigurationError: The package ``sounddevice`` or the library PortAudio is missing.
            AudioError: There is no such device, it is in use, or it does not support the sample rate.
        """
        with self._lock:
            if self._stream is not None:
                return True
            sounddevice = _import_sounddevice()
            recording = _Recording(int(_BUFFER * self._sample_rate / self._chunk_size) + 1)
            stream = None
            try:
                stream = sounddevice.RawInputStream(
                    samplerate=self._sample_rate,
                    blocksize=self._chunk_size,
                    device=self._device_index,
                    channels=1,
                    dtype="int16",
                    callback=recording.hear,
                    finished_callback=recording.end,
                )
                stream.start()
            except (sounddevice.PortAudioError, ValueError) as exc:
                if stream is not None:
                    stream.close(ignore_errors=True)
                raise AudioError(self._why_not(exc)) from exc
            self._stream, self._recording, self._rest, self._warned = stream, recording, b"", (0, 0.0)
        logger.info("recording at %d Hz from %s", self._sample_rate, self._device)
        return True

    def stop(self) -> None:
        """Stop recording. What was recorded can still be read; then reads return ``b""``. Never fails."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is None:
            return
        stream.stop(ignore_errors=True)
        stream.close(ignore_errors=True)
        recording = self._recording
        if recording is not None:
            recording.end()
            self._warn(recording, finally_=True)
        logger.info("recording stopped")

    def __enter__(self: _Self) -> _Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self, _at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        # PortAudio would go on to call a callback that no longer exists. Sounddevice ends it at exit.
        if not _at_exit() and getattr(self, "_stream", None) is not None:
            self.stop()
            warnings.warn(f"a microphone was dropped while recording: {self!r}", ResourceWarning, 2)

    # -- reading -------------------------------------------------------------------------------------

    def read(self, chunk_size: int) -> bytes:
        """Wait for audio and return it; after :meth:`stop` return what is left, then ``b""``.

        Args:
            chunk_size: How many bytes to return, two per frame; an odd number is rounded down.

        Raises:
            AudioError: The microphone was never started, or the device has stopped delivering audio.
            ConfigurationError: ``chunk_size`` is less than one frame.
        """
        wanted = chunk_size - chunk_size % _SAMPLE
        if wanted <= 0:
            raise ConfigurationError(
                f"read({chunk_size}): a frame has {_SAMPLE} bytes, so read at least {_SAMPLE}"
            )
        recording = self._recording
        if recording is None:
            raise AudioError("the microphone is not recording: call start(), or use it in a 'with'")
        with self._reading:
            blocks, length = [self._rest], len(self._rest)
            try:
                while length < wanted:
                    block = recording.next(self._chunk_size / self._sample_rate + _SILENCE)
                    if not block:
                        if self.is_recording and self._recording is recording:
                            raise AudioError("the microphone stopped by itself; was it unplugged?")
                        break
                    blocks.append(block)
                    length += len(block)
            finally:  # an error or Ctrl-C in between loses nothing
                self._rest = b"".join(blocks)
            self._warn(recording)
            audio, self._rest = self._rest[:wanted], self._rest[wanted:]
            return audio

    def __iter__(self: _Self) -> _Self:
        return self

    def __next__(self) -> bytes:
        chunk = Microphone.read(self, self._chunk_size * _SAMPLE)
        if not chunk:
            raise StopIteration
        return chunk

    # -- what is known -------------------------------------------------------------------------------

    @property
    def overflows(self) -> int:
        """How often audio was lost since :meth:`start`."""
        return self._recording.overflows if self._recording else 0

    @property
    def seconds_lost(self) -> float:
        """How many seconds of audio were lost since :meth:`start`, as far as it is known."""
        return self._recording.frames_lost / self._sample_rate if self._recording else 0.0

    @property
    def is_recording(self) -> bool:
        """Whether it has been started, and not stopped."""
        return self._stream is not None

    def readable(self) -> bool:
        """Whether it is recording, as of a file-like object."""
        return self.is_recording

    @property
    def is_available(self) -> bool:
        """Whether ``sounddevice`` and PortAudio are installed. There may still be no device."""
        try:
            _import_sounddevice()
        except ConfigurationError:
            return False
        return True

    @staticmethod
    def list_devices() -> list[InputDevice]:
        """Return the input devices, as they were when the program first used PortAudio.

        Raises:
            ConfigurationError: The package ``sounddevice`` or the library PortAudio is missing.
        """
        sounddevice = _import_sounddevice()
        try:
            default = sounddevice.query_devices(kind="input")["index"]
        except sounddevice.PortAudioError:  # there is no input device
            default = None
        return [
            InputDevice(
                index=index,
                name=device["name"],
                channels=device["max_input_channels"],
                sample_rate=device["default_samplerate"],
                default=index == default,
            )
            for index, device in enumerate(sounddevice.query_devices())
            if device["max_input_channels"] > 0
        ]

    # -- inside --------------------------------------------------------------------------------------

    @property
    def _device(self) -> str:
        return "the default input device" if self._device_index is None else f"device {self._device_index}"

    def _why_not(self, error: Exception) -> str:
        devices = ", ".join(f"{device['index']} {device['name']!r}" for device in self.list_devices())
        if not devices:
            return "there is no input device; plug in a microphone, or allow this program to use it"
        return (
            f"can't record at {self._sample_rate} Hz from {self._device}: {error}; input devices: {devices}"
        )

    def _warn(self, recording: _Recording, *, finally_: bool = False) -> None:
        """Log what was lost, on the reader's thread: the audio thread must not wait for a log file."""
        logged, when = self._warned
        now = time.monotonic()
        if recording.overflows == logged or (now < when + _WARN_EVERY and not finally_):
            return
        self._warned = (recording.overflows, now)
        logger.warning(
            "microphone audio was lost %d times, %.2f s in total: it is not read fast enough",
            recording.overflows,
            self.seconds_lost,
        )


class _Recording:
    """What the audio thread has recorded and the reader has not read yet.

    The queue is the only object that both use; putting into it neither waits nor takes a lock that anybody
    holds. Only the audio thread writes the counts.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit  # blocks
        self._blocks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._over = False
        self.overflows = 0
        self.frames_lost = 0

    def hear(self, data: Any, frames: int, _time: object, status: Any) -> None:
        """Add a block. Runs on the audio thread, so it neither blocks nor raises."""
        if status.input_overflow:
            self.overflows += 1
        if self._blocks.qsize() >= self._limit:
            try:
                self._blocks.get_nowait()
                self.overflows += 1
                self.frames_lost += frames
            except queue.Empty:
                pass  # the reader has just taken it
        self._blocks.put(bytes(data))

    def end(self) -> None:
        """Mark the end, after what has not been read yet."""
        self._blocks.put(b"")

    def next(self, timeout: float) -> bytes:
        """Return the next block; at the end always ``b""``."""
        if self._over and self._blocks.empty():
            return b""
        block = self._wait(time.monotonic() + timeout)
        if block is None:
            raise AudioError(f"the microphone has delivered nothing for {timeout:.0f} s; was it unplugged?")
        if not block:
            self._over = True
            return self.next(timeout)  # stop() and PortAudio may both have marked the end
        return block

    def _wait(self, deadline: float) -> Optional[bytes]:
        while True:
            left = deadline - time.monotonic()
            try:
                return self._blocks.get(timeout=min(max(0.0, left), SLICE))
            except queue.Empty:
                if left <= SLICE:
                    return None


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as exc:
        text = "a microphone needs the package sounddevice: pip install 'speechmatics-rt-sync[mic]'"
        raise ConfigurationError(text) from exc
    except OSError as exc:
        text = f"sounddevice can't find PortAudio ({exc}); on Debian and Ubuntu: apt install libportaudio2"
        raise ConfigurationError(text) from exc
    return sounddevice
