"""The frames that wait to be written, in the order in which they must be."""

from __future__ import annotations

from collections import deque
from typing import Optional, Union

__all__ = ["Outbox"]

Block = Union[bytes, memoryview]

_JOINED = 64 * 1024  # bytes of data to join at a time, so that the blocks of TLS, of 16 kB, are full


class Outbox:
    """Frames on their way to the socket, in three parts. Pure; its owner's lock guards it.

    * The *pinned* bytes are written block by block, and one of these was tried on the socket. So they go
      first, alone and unchanged: a TLS write repeated with other bytes corrupts the stream.
    * The *control* lane overtakes data between frames, never inside one. It holds one ping and one pong, the
      latest: RFC 6455 lets a busy end answer only that.
    * The *data* lane holds messages and audio. The close frame ends it: nothing follows.

    Args:
        block: The most bytes of one write.
        limit: The number of waiting data bytes from which the box counts as full.

    Attributes:
        full: Senders should wait.
        closing: There is or was a close frame: nothing more is accepted.
    """

    __slots__ = (
        "_block",
        "_close",
        "_data",
        "_limit",
        "_ping",
        "_pinned",
        "_pong",
        "_size",
        "closing",
        "full",
    )

    def __init__(self, block: int, limit: int) -> None:
        self._block = block
        self._limit = limit
        self._pinned: Block = b""
        self._pong: Optional[bytes] = None
        self._ping: Optional[bytes] = None
        self._close: Optional[bytes] = None
        self._data: deque[bytes] = deque()
        self._size = 0
        self.closing = self.full = False

    def __bool__(self) -> bool:
        return bool(self._pinned or self._data or self._pong or self._ping or self._close)

    def put(self, frame: bytes) -> None:
        if not self.closing:
            self._data.append(frame)
            self._size += len(frame)
            self.full = self._size >= self._limit

    def put_pong(self, frame: bytes) -> None:
        if not self.closing:
            self._pong = frame

    def put_ping(self, frame: bytes) -> None:
        if not self.closing:
            self._ping = frame

    def put_close(self, frame: bytes) -> None:
        """Make ``frame`` the last one; frames that are not pinned yet are dropped."""
        if not self.closing:
            self.clear()
            self.closing = True
            self._close = frame

    def clear(self) -> None:
        """Drop all frames that are not pinned yet."""
        self._data.clear()
        self._size = 0
        self.full = False
        self._pong = self._ping = self._close = None

    def take(self) -> Block:
        """Return the next block to write, empty if there is none; the same one again until :meth:`wrote`."""
        if not self._pinned:
            if self._pong or self._ping:
                self._pinned = (self._pong or b"") + (self._ping or b"")
                self._pong = self._ping = None
            elif self._close:
                self._pinned, self._close = self._close, None
            elif self._data:
                self._pinned = self._joined()
        if len(self._pinned) > self._block:
            return memoryview(self._pinned)[: self._block]
        return self._pinned

    def wrote(self, count: int) -> Block:
        """Note that ``count`` bytes of the block were written; return what is to be written next."""
        if count == len(self._pinned):
            self._pinned = b""
        elif count:
            self._pinned = memoryview(self._pinned)[count:]
        more = self._pinned or self._data or self._pong or self._ping or self._close
        return self.take() if more else b""  # nothing, as mostly in a live session, is known without a call

    def _joined(self) -> bytes:
        """Take so much data that blocks are full, and one frame at least."""
        data, room = self._data, _JOINED
        batch: list[bytes] = []
        while data and (not batch or len(data[0]) <= room):
            frame = data.popleft()
            room -= len(frame)
            self._size -= len(frame)
            batch.append(frame)
        self.full = self._size >= self._limit
        return batch[0] if len(batch) == 1 else b"".join(batch)
