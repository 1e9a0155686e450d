"""What happened on one connection of the local server, kept for assertions."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Optional

from ...exceptions import TimeoutError, no_pickle
from ...messages import channel_of, times_of
from ...threads import Latch, new_lock, wait_for

__all__ = ["Headers", "SessionRecord"]

_ENTRIES = 10_000


class Headers(dict[str, str]):
    """The headers of a request: their names are in lower case, and found in any.

    Example:
        >>> headers = Headers({"user-agent": "my-app"})
        >>> headers["User-Agent"], headers.get("Authorization"), "USER-AGENT" in headers
        ('my-app', None, True)
        >>> headers == {"user-agent": "my-app"}
        True
    """

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a header, or the default."""
        return super().get(name.lower(), default)


class SessionRecord:
    """What happened on one connection. It can be read from any thread, even while the connection is open.

    Attributes:
        index: The index of the connection, from 0.
        keep_audio: How many seconds of audio are kept; if set, the lists keep the latest 10,000 entries.
            None keeps everything.
        method, target, path, query, headers, body: The HTTP request; names of headers are in lower case, and
            found in any.
        status: The HTTP status of the answer; None before.
        messages: The client's messages, in order. Audio is ``{"message": "AddAudio", "size": n}`` (or
            ``AddChannelAudio``, with its ``channel``).
        sent: The server's messages, in order, acknowledgements included.
        frames: The sizes of the audio messages, in bytes.
        audio_size, audio_seconds: Bytes of audio received, over all channels; seconds, on the longest one.
        final_seconds: The end of the last final sent, on the channel that is furthest.
        tally: The number of messages of each kind, sent by the server and (``AddAudio`` and so on) by the
            client; complete even if the lists are limited.
        start: The StartRecognition message, or None.
        session_id: The ``id`` of RecognitionStarted.
        pings, pongs: How many the client sent.
        struck: The kinds of the faults that have acted, in order.
        times: ``time.monotonic()`` of the points reached (those of :mod:`~speechmatics_rt.local.faults`, and
            ``closed``).
        close_code, close_reason: Of the client's close frame; None and "" without one.
        server_code, server_reason: Of the server's close frame.
        counts: Whether it counts against the quota: from the upgrade to the server's close frame.
        closed: Set when the connection is over and its threads are gone.
    """

    def __init__(self, index: int, keep_audio: Optional[float] = None) -> None:
        self.index = index
        self.keep_audio = keep_audio
        self.method = self.target = self.path = ""
        self.query: dict[str, str] = {}
        self.headers: dict[str, str] = Headers()
        self.body = b""
        self.status: Optional[int] = None
        self.messages: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.frames: list[int] = []
        self.audio_size = 0
        self.audio_seconds = self.final_seconds = 0.0
        self.tally: Counter[str] = Counter()
        self.start: Optional[dict[str, Any]] = None
        self.session_id: Optional[str] = None
        self.pings = self.pongs = 0
        self.struck: list[str] = []
        self.times: dict[str, float] = {}
        self.close_code: Optional[int] = None
        self.close_reason = ""
        self.server_code: Optional[int] = None
        self.server_reason = ""
        self.counts = False
        self.closed = Latch()
        self._read: dict[Optional[str], float] = {}  # s of audio, by channel
        self._final: dict[Optional[str], float] = {}  # of that, final
        self._chunks: deque[tuple[Optional[str], bytes, float]] = deque()
        self._kept = 0.0  # s of audio in them
        self._places: list[Optional[float]] = []  # s of audio, for each in sent
        self._changed = threading.Condition(new_lock())  # guards nothing: it wakes who waits

    def __repr__(self) -> str:
        if self.status != 101:
            what = f"{self.method} {self.path} answered {self.status}" if self.method else "nothing asked yet"
        else:
            what = f"{self.audio_seconds:.2f} s of audio, {len(self.sent)} messages sent"
        return f"<SessionRecord {self.index}: {what}{', closed' if self.closed.is_set() else ''}>"

    def __reduce__(self) -> NoReturn:
        raise no_pickle(self, "threads of this process write it; hand on what you want of it, or recording()")

    @property
    def audio(self) -> bytes:
        """All audio received, in order; of several channels interleaved, see :meth:`audio_of`."""
        return b"".join(audio for _, audio, _ in self._chunks.copy())

    def audio_of(self, channel: Optional[str]) -> bytes:
        """Return all audio received on one channel."""
        return b"".join(audio for label, audio, _ in self._chunks.copy() if label == channel)

    @property
    def lag(self) -> float:
        """Seconds of audio that were received and are not final, on the channel that is furthest behind."""
        read = self._read.copy()
        return max(
            (seconds - self._final.get(channel, 0.0) for channel, seconds in read.items()), default=0.0
        )

    @property
    def request_id(self) -> Optional[str]:
        """The client's header ``X-Request-Id``."""
        return self.headers.get("x-request-id")

    def recording(self) -> list[dict[str, Any]]:
        """Return the server's messages as entries for :class:`~speechmatics_rt.local.ReplayEngine`.

        Each entry has a ``message`` and, in ``audio``, the seconds of audio that had been received when it
        was sent; None if the audio had ended.
        """
        sent = list(zip(self.sent.copy(), self._places.copy()))
        return [{"audio": place, "message": message} for message, place in sent]

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return the server's messages of one kind."""
        return [message for message in list(self.sent) if message.get("message") == kind]

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """Return the client's messages of one kind."""
        return [message for message in list(self.messages) if message.get("message") == kind]

    def wait_for(self, condition: Callable[[SessionRecord], Any], timeout: float = 10.0) -> SessionRecord:
        """Wait until ``condition(record)`` holds.

        Raises:
            TimeoutError: It did not become true within ``timeout`` seconds.
        """
        with self._changed:
            if not wait_for(self._changed, lambda: condition(self), timeout):
                raise TimeoutError(
                    f"connection {self.index} did not reach the expected state within {timeout:g} s; "
                    f"received {len(self.messages)} messages, sent {len(self.sent)}",
                    stage="local",
                    seconds=timeout,
                )
        return self

    def wait_closed(self, timeout: float = 10.0) -> SessionRecord:
        """Wait until the connection is over."""
        return self.wait_for(lambda record: record.closed.is_set(), timeout)

    # -- written by the connection's thread ----------------------------------------------------------

    def add_received(self, message: Mapping[str, Any]) -> None:
        kind = str(message.get("message"))
        if kind == "StartRecognition" and self.start is None:
            self.start = dict(message)
        self.tally[kind] += 1
        self.messages.append(dict(message))
        self._forget()
        self.notify()

    def add_audio(self, audio: bytes, channel: Optional[str] = None, seconds: float = 0.0) -> None:
        self._chunks.append((channel, audio, seconds))
        self._kept += seconds
        self._read[channel] = self._read.get(channel, 0.0) + seconds
        self.audio_size += len(audio)
        self.frames.append(len(audio))
        entry: dict[str, Any] = {"message": "AddAudio", "size": len(audio)}
        if channel is not None:
            entry.update(message="AddChannelAudio", channel=channel)
        self.add_received(entry)

    def add_sent(self, message: Mapping[str, Any], place: Optional[float] = None) -> None:
        kind = str(message.get("message"))
        if kind == "RecognitionStarted" and self.session_id is None:
            self.session_id = message.get("id")
        elif kind == "AddTranscript":
            end, channel = times_of(message)[1], channel_of(message)
            self.final_seconds = max(self.final_seconds, end)
            self._final[channel] = max(self._final.get(channel, 0.0), end)
        self.tally[kind] += 1
        self._places.append(place)  # first: a reader copies ``sent`` first, and each message has its place
        self.sent.append(dict(message))
        self._forget()
        self.notify()

    def _forget(self) -> None:
        if self.keep_audio is None:
            return
        while self._chunks and self._kept - self._chunks[0][2] > self.keep_audio - 1e-6:  # sums of floats
            self._kept -= self._chunks.popleft()[2]
        for entries in (self.messages, self.frames, self.sent, self._places):
            if len(entries) > 2 * _ENTRIES:
                del entries[:-_ENTRIES]  # now and then half of it, which is cheaper than one each time

    def add_ping(self) -> None:
        self.pings += 1
        self.notify()

    def add_pong(self) -> None:
        self.pongs += 1
        self.notify()

    def add_fault(self, fault: str) -> None:
        self.struck.append(fault)
        self.notify()

    def add_point(self, point: str) -> None:
        self.times[point] = time.monotonic()
        self.notify()

    def add_end(self) -> None:
        self.counts = False
        # Who waits for ``closed`` may look at any moment: its time is there before, and the waking is last.
        self.times["closed"] = time.monotonic()
        self.closed.set()
        self.notify()

    def notify(self) -> None:
        """Wake threads in :meth:`wait_for`. Lists change by single calls, so readers need no lock."""
        with self._changed:
            self._changed.notify_all()
