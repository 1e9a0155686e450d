"""Lets several channels read a source that can be read only once: a pipe, a socket, a generator."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Optional

from ..exceptions import AudioError
from ..threads import new_lock
from .reading import Reading
from .wav import Block

__all__ = ["SharedSource"]


class SharedSource:
    """A source that is read once for several channels, each of which gets all of its blocks.

    Each call opens a branch for every channel; one call at a time. A later call continues where the one
    before it stopped: at the beginning, if that has sent nothing (see ``leftover``).
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._trunk: Optional[_Trunk] = None

    def branch(self, size: int, channel: str) -> Reading:
        """Open the branch of a channel."""
        if self._trunk is None or not self._trunk.grows(channel):
            self._trunk = _Trunk(Reading(self._source, size))
        return _Branch(self._trunk, size, channel)


class _Trunk:
    """What the branches of one call share: each block is read by the channel that first needs it.

    Blocks wait for the other channels without limit; senders alternate, so there are few. ``_condition``
    guards them, and channels wait on it for the block that another one reads, as long as the source takes
    for it; it is not held while reading.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._condition = threading.Condition(new_lock())
        self._blocks: dict[str, deque[Block]] = {}
        self._before: list[Block] = []  # those that came before sending began, for branches opened later
        self._open: set[str] = set()
        self._read = False  # a channel is reading
        self._over = self._put_back = False
        self._failure: Optional[AudioError] = None

    def grows(self, channel: str) -> bool:
        """Whether a channel may still have its branch here."""
        return channel not in self._blocks and not self._put_back

    def open(self, channel: str) -> Iterator[Block]:
        """Return all blocks, for a channel."""
        with self._condition:
            self._blocks[channel] = deque(self._before)
            self._open.add(channel)
        return iter(lambda: self._next(channel), None)  # ends with None

    def _next(self, channel: str) -> Optional[Block]:
        mine, block = False, None
        try:
            with self._condition:
                waiting = self._blocks[channel]
                while not waiting and self._read:
                    self._condition.wait()
                if waiting:
                    return waiting.popleft()
                if self._failure is not None:
                    raise copy.copy(self._failure) from self._failure.__cause__
                if self._over:
                    return None
                mine = self._read = True
            block = next(self.reading, None)
            self._over = block is None
        except AudioError as exc:
            self._failure = exc
            raise
        finally:
            if mine:
                self._hand_round(block, channel)
        return block

    def _hand_round(self, block: Optional[Block], reader: str) -> None:
        """Give a block to the other channels, and let one of them read."""
        with self._condition:
            self._read = False
            if block is not None:
                if not self.reading.begun:
                    self._before.append(block)
                for channel, waiting in self._blocks.items():
                    if channel != reader and channel in self._open:
                        waiting.append(block)
            self._condition.notify_all()

    def begin(self) -> None:
        """Note that sending begins."""
        self.reading.begin()
        self._before.clear()

    def put_back(self) -> None:
        self._put_back = True
        self.reading.put_back()

    def leave(self, channel: str) -> None:
        """Close the branch of a channel, and after the last one the source, if that was opened here."""
        with self._condition:
            self._open.discard(channel)
            last = not self._open
        if last:
            self._failure = None  # its traceback has a frame that has this
            self.reading.close()


class _Branch(Reading):
    """The shared source as one channel reads it."""

    def __init__(self, trunk: _Trunk, size: int, channel: str) -> None:
        self._trunk = trunk
        self._place = channel
        super().__init__(trunk.open(channel), size, channel)

    def begin(self) -> None:
        super().begin()
        self._trunk.begin()

    def put_back(self) -> None:
        self._put_back = True
        self._trunk.put_back()

    def close(self) -> None:
        super().close()
        self._trunk.leave(self._place)
