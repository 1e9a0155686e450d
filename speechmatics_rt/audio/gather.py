"""Joins tiny pieces of audio, without holding any back.

``iter_content()`` of requests yields single bytes, which as messages of their own would take many times the
space. But waiting for more of a live source would hold back what is there. Only a second thread can tell
what is already there from what is still to come.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Optional

from ..threads import begin, new_lock, telling
from .reading import Reading
from .wav import Block

__all__ = ["gathered"]

_TINY = 128  # bytes: less than 20 ms of mu-law, the smallest packet of telephone lines
_AHEAD = 16  # chunks that are read ahead at most


def gathered(blocks: Iterator[Block], size: int, reading: Reading) -> Iterator[Block]:
    """Yield the same bytes; if the first blocks are tiny, join what is there into pieces of up to ``size``.

    A thread then reads ahead, once sending has begun. It ends when ``reading`` is closed.
    """
    for block in blocks:
        yield block
        if reading.begun:
            break
    if reading.begun and len(block) < _TINY:
        ahead = _Ahead(blocks, size)
        reading.at_close(ahead.stop)
        blocks = iter(ahead)
    # Not "yield from", which closes the blocks when this generator is dropped: Ctrl-C in there would be lost.
    for block in blocks:
        yield block


class _Ahead:
    """Read on a thread of its own; iterate, on another one, to get what has been read meanwhile.

    ``_condition`` guards everything the two share, and both wait on it; it is not held while reading.
    """

    def __init__(self, blocks: Iterator[Block], size: int) -> None:
        self._blocks = blocks
        self._size = size
        self._condition = threading.Condition(new_lock())
        self._waiting = bytearray()
        self._over = self._stopped = False
        self._failure: Optional[BaseException] = None
        # The source is the caller's code, and sees the context of the thread that reads it.
        context = contextvars.copy_context()
        name = threading.current_thread().name.replace("sender", "gatherer", 1)
        args = (self._end, context.run, self._run)
        self._thread = threading.Thread(target=telling, args=args, name=name, daemon=True)
        begin(self._thread)

    def _run(self) -> None:
        for block in self._blocks:
            with self._condition:
                self._waiting += block
                self._condition.notify_all()
                while len(self._waiting) >= _AHEAD * self._size and not self._stopped:
                    self._condition.wait()
                if self._stopped:
                    break
        self._end(None)

    def _end(self, failure: Optional[BaseException]) -> None:
        """Note that no more will come, perhaps because of a failure, which is raised to who iterates."""
        with self._condition:
            self._failure, self._over = failure, True
            self._condition.notify_all()

    def __iter__(self) -> Iterator[Block]:
        while True:
            with self._condition:
                while not self._waiting and not self._over:
                    self._condition.wait()
                piece = bytes(self._waiting[: self._size])
                del self._waiting[: self._size]
                self._condition.notify_all()
            if piece:
                yield piece
            elif self._failure is not None:
                raise self._failure
            else:
                return

    def stop(self) -> None:
        """Read no further, and wait for the thread to end, which first has to get the block it waits for."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._thread.join()
