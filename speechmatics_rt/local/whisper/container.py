"""Decodes the containers that PyAV knows: mp3, ogg, m4a, and many more."""

from __future__ import annotations

import threading
from typing import Any, Optional

from ...exceptions import AudioError
from ...threads import new_lock

__all__ = ["Container"]

_NO_AUDIO = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"PK\x03\x04": "a ZIP archive, or a document in one; unpack it first",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
}
_HEADERLESS = "headerless samples need audio_format=AudioFormat('pcm_s16le', 16000), or what they are"
_HOPELESS = 1000  # bad packets more than samples heard: this is no recording


class Container:
    """Any container that PyAV knows, decoded on a thread of its own while it arrives: a ``Decoder``.

    PyAV pulls from a file, we are pushed at: the thread stands between. ``_lock`` guards what the two
    sides hand each other and is never held while decoding.

    Args:
        rate: Of the samples that come out, in Hz.
    """

    _count = 0

    def __init__(self, rate: int) -> None:
        try:
            import av
        except ImportError as exc:
            raise AudioError(
                "this recording is not a WAV that can be read here; other formats need PyAV: pip install "
                f"'speechmatics-rt-sync[local-file]', or convert it to WAV; {_HEADERLESS}"
            ) from exc
        self._av = av
        self._rate = rate
        self.damage = ""
        self._lock = new_lock()
        self._news = threading.Condition(self._lock)
        self._bytes = bytearray()  # all of it: an MP4 may keep its index at the end and be read backwards
        self._complete = False
        self._decoded: list[bytes] = []
        self._error: Optional[Exception] = None
        self._thread: Optional[threading.Thread] = None

    def feed(self, data: bytes) -> bytes:
        with self._lock:
            self._bytes += data
            self._news.notify()
        if self._thread is None:
            Container._count += 1
            self._thread = threading.Thread(
                target=self._decode, name=f"speechmatics-rt-decoder-{Container._count}", daemon=True
            )
            self._thread.start()
        return self._taken()

    def finish(self) -> bytes:
        with self._lock:
            self._complete = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()  # no deadline: it waits for no one any more, and decodes what is in memory
        return self._taken()

    def close(self) -> None:
        with self._lock:
            self._complete = True
            self._bytes.clear()
            self._news.notify()
        if self._thread is not None:
            self._thread.join(5)  # at most the packet it is at

    def _taken(self) -> bytes:
        with self._lock:
            if self._error is not None:
                raise AudioError(f"the recording can't be decoded: {self._what()}") from self._error
            taken = b"".join(self._decoded)
            self._decoded.clear()
        return taken

    def _what(self) -> str:
        """Say what it is instead, as far as its first bytes tell."""
        head = bytes(self._bytes[:512])
        for beginning, kind in _NO_AUDIO.items():
            if head.startswith(beginning):
                return f"it is {kind}"
        if head[4:8] == b"ftyp" and b"moov" not in self._bytes:
            return "it is an MP4 without its index, which stands at the end of the whole file"
        text = head.decode("utf-8", "ignore")
        if "".join(text.split()).isprintable():
            return f"it is text: {text[:40]!r}"
        reason = str(getattr(self._error, "strerror", None) or self._error)
        return f"{reason}; {_HEADERLESS}" if isinstance(self._error, self._av.InvalidDataError) else reason

    def _decode(self) -> None:
        try:
            with self._av.open(_Growing(self), mode="r") as container:
                if not container.streams.audio:
                    raise AudioError("it holds no sound")  # noqa: TRY301  # one place tells the session
                self._decode_packets(container)
        except Exception as exc:  # noqa: BLE001  # whatever ends this thread belongs to the session
            with self._lock:
                self._error = exc

    def _decode_packets(self, container: Any) -> None:
        """Decode packet by packet; damage is skipped, as by any player, and reported at the end."""
        stream = container.streams.audio[0]
        packets = container.demux(stream)
        bad, heard = 0, 0
        form: Optional[tuple[Any, ...]] = None
        resampler: Any = None
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except self._av.FFmpegError:
                bad += 1
                if bad - heard > _HOPELESS:
                    break
                continue
            for frame in frames:
                if form != (frame.format.name, frame.layout.name, frame.sample_rate):
                    # Another recording follows in the same file, at another rate.
                    heard += self._put(resampler.resample(None)) if resampler is not None else 0
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = self._av.AudioResampler(format="s16", layout="mono", rate=self._rate)
                heard += self._put(resampler.resample(frame))
            if packet is None:
                break
        if resampler is not None:
            heard += self._put(resampler.resample(None))
        if not heard:
            raise AudioError("it holds nothing that can be heard")
        promised = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if bad:
            self.damage = f"{bad} damaged place{'s' * (bad > 1)} in the recording skipped"
        elif heard / self._rate < promised - 1:
            self.damage = f"the recording ends after {heard / self._rate:.1f} s of {promised:.1f} s"

    def _put(self, frames: list[Any]) -> int:
        decoded = [bytes(frame.to_ndarray().astype("<i2").tobytes()) for frame in frames]
        with self._lock:
            self._decoded += decoded
        return sum(map(len, decoded)) // 2


class _Growing:
    """The bytes of a container as a file to read, whose reader waits for what has not arrived."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._at = 0

    def read(self, size: int) -> bytes:
        container = self._container
        with container._lock:
            while len(container._bytes) <= self._at and not container._complete:
                container._news.wait()  # ended by finish() and close(), one of which is always called
            data = bytes(container._bytes[self._at : self._at + size])
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            return -1  # FFmpeg's word for "unknown": the end has not arrived, and must not be waited for
        self._at = offset + (self._at if whence == 1 else 0)
        return self._at

    def tell(self) -> int:
        return self._at
