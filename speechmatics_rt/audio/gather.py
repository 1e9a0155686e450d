"""Tiny pieces, put together as far as they are at hand.

``iter_content()`` of requests gives byte after byte: as messages of their own they would be many times
the audio. But who waits for more of a live source holds back what is there. Only a second thread can tell
what is at hand from what is still to come.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Optional

from ..deadline import begin
from ..locks import new_lock
from .reading import Reading
from .wav import Block

__all__ = ["gathered"]

_TINY = 128  # bytes: less than 20 ms of mu-law, the least that telephone lines send at a time
_AHEAD = 16  # chunks that may wait here


def gathered(blocks: Iterator[Block], size: int, reading: Reading) -> Iterator[Block]:
    """Yield the same bytes; if the first blocks are tiny, what is at hand in pieces of up to ``size``.

    The thread that reads ahead begins when the audio goes on the wire. It has ended when this has, or when
    ``reading`` is closed.
    """
    for block in blocks:
        yield block
        if reading.begun:
            break
    if not reading.begun or len(block) >= _TINY:
        yield from blocks
        return
    ahead = _Ahead(blocks, size)
    reading.at_close(ahead.stop)
    try:
        yield from ahead
    finally:
        ahead.stop()


class _Ahead:
    """Read on a thread of its own; iterate, on another one, to get what has come meanwhile.

    ``_condition`` guards all that the two share, and both wait on it; reading is outside.
    """

    def __init__(self, blocks: Iterator[Block], size: int) -> None:
        self._blocks = blocks
        self._size = size
        self._condition = threading.Condition(new_lock())
        self._waiting = bytearray()
        self._over = self._stopped = False
        self._failure: Optional[BaseException] = None
        # The source is the caller's code: it sees the context of who reads it.
        context = contextvars.copy_context()
        name = threading.current_thread().name.replace("sender", "gatherer", 1)
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        begin(self._thread)

    def _run(self) -> None:
        try:
            for block in self._blocks:
                with self._condition:
                    self._waiting += block
                    self._condition.notify_all()
                    while len(self._waiting) >= _AHEAD * self._size and not self._stopped:
                        self._condition.wait()
                    if self._stopped:
                        return
        except BaseException as exc:  # noqa: BLE001  # not swallowed: raised to who iterates
            self._failure = exc
        finally:
            with self._condition:
                self._over = True
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
        """Read no further, and wait until the source is let go: a block that is awaited has to come first."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._thread.join()
