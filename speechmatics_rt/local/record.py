"""What happened on one connection of the local server, kept for assertions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..exceptions import TimeoutError

__all__ = ["SessionRecord"]


@dataclass(eq=False)
class SessionRecord:
    """The diary of one connection; written by its thread, to be read from any, also while it runs.

    Attributes:
        index: Which connection of the server it was, from 0.
        method, target, path, query, headers: The HTTP request; header names in lower case, empty until read.
        status: The HTTP status answered, None until then.
        messages: What the client said, in order. Audio stands as ``{"message": "AddAudio", "size": n}``
            (or ``AddChannelAudio``, with its ``channel``).
        sent: What the server said, in order, acknowledgements included.
        frames: Sizes of the audio messages in bytes.
        pings, pongs: How many of them the client sent.
        times: ``time.monotonic()`` of the points reached (those of :mod:`~speechmatics_rt.local.faults`, and
            ``closed``).
        close_code, close_reason: Of the client's close frame; None and "" if none came.
        server_code, server_reason: Of the server's close frame.
        closed: Set when the connection is over and its threads are gone.
    """

    index: int
    method: str = ""
    target: str = ""
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: Optional[int] = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    times: dict[str, float] = field(default_factory=dict)
    close_code: Optional[int] = None
    close_reason: str = ""
    server_code: Optional[int] = None
    server_reason: str = ""
    closed: threading.Event = field(default_factory=threading.Event)
    _chunks: list[tuple[Optional[str], bytes]] = field(default_factory=list, repr=False)
    _changed: threading.Condition = field(
        default_factory=threading.Condition, repr=False
    )  # guards nothing: a bell

    @property
    def audio(self) -> bytes:
        """All audio read, in order; of several channels mixed up, see :meth:`audio_of`."""
        return b"".join(audio for _, audio in list(self._chunks))

    def audio_of(self, channel: Optional[str]) -> bytes:
        """Return all audio read of one channel."""
        return b"".join(audio for label, audio in list(self._chunks) if label == channel)

    @property
    def start(self) -> Optional[dict[str, Any]]:
        """The StartRecognition message, or None if none came."""
        return next(
            (message for message in list(self.messages) if message.get("message") == "StartRecognition"), None
        )

    @property
    def request_id(self) -> Optional[str]:
        """The client's header ``X-Request-Id``."""
        return self.headers.get("x-request-id")

    @property
    def session_id(self) -> Optional[str]:
        """The ``id`` of RecognitionStarted."""
        return next((message.get("id") for message in self.said("RecognitionStarted")), None)

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return the server's messages of one kind."""
        return [message for message in list(self.sent) if message.get("message") == kind]

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """Return the client's messages of one kind."""
        return [message for message in list(self.messages) if message.get("message") == kind]

    def wait_for(self, condition: Callable[[SessionRecord], Any], timeout: float = 10.0) -> SessionRecord:
        """Wait until ``condition(record)`` holds.

        Raises:
            TimeoutError: It did not within ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(
                    f"connection {self.index} did not come to the awaited state within {timeout:g} s; "
                    f"heard {len(self.messages)} messages, said {len(self.sent)}",
                    stage="local",
                    seconds=timeout,
                )
        return self

    def wait_closed(self, timeout: float = 10.0) -> SessionRecord:
        """Wait until the connection is over."""
        return self.wait_for(lambda record: record.closed.is_set(), timeout)

    # -- written by the connection's thread ----------------------------------------------------------

    def hear(self, message: Mapping[str, Any]) -> None:
        self.messages.append(dict(message))
        self.ring()

    def hear_audio(self, audio: bytes, channel: Optional[str] = None) -> None:
        self._chunks.append((channel, audio))
        self.frames.append(len(audio))
        entry: dict[str, Any] = {"message": "AddAudio", "size": len(audio)}
        if channel is not None:
            entry.update(message="AddChannelAudio", channel=channel)
        self.messages.append(entry)
        self.ring()

    def say(self, message: Mapping[str, Any]) -> None:
        self.sent.append(dict(message))
        self.ring()

    def ping(self) -> None:
        self.pings += 1
        self.ring()

    def pong(self) -> None:
        self.pongs += 1
        self.ring()

    def reach(self, point: str) -> None:
        self.times[point] = time.monotonic()
        self.ring()

    def ring(self) -> None:
        """Wake who waits in :meth:`wait_for`; lists grow by single appends, so readers need no lock."""
        with self._changed:
            self._changed.notify_all()
