"""Remembers how far a failed call has read a source that can't be rewound.

The next call, perhaps of another client, must not take the second half for the whole. So the position is
remembered beside the source; and if nothing was sent, what was read is, for the next call to begin with.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
import weakref
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple, Optional

from ..threads import is_meant_for_call
from .wav import Block, Fault

__all__ = ["go_on", "key_of", "let_go", "remember"]

_PIPES = 8  # how many are remembered, since their end is not noticed


class _Left(NamedTuple):
    source: Any  # a weak reference, if it has one
    position: Optional[int]  # where the source says that it stands
    raw: bool  # whether it holds no bytes back in a buffer of its own
    read: int
    held: Optional[list[Block]]  # what was read, if nothing of it was sent


_left: dict[Hashable, _Left] = {}  # the latest last


def key_of(source: Any) -> Hashable:
    """Return the identity of a source: that of the pipe or connection behind it, or of the object itself."""
    try:
        name = os.readlink(f"/proc/self/fd/{source.fileno()}")  # Linux; elsewhere objects are compared
    except Exception as exc:  # the caller's code: no such method, closed, asynchronous
        if is_meant_for_call(exc):
            raise
        name = ""
    # Not of a named pipe: opening that again may reach another writer.
    return name if name.startswith(("pipe:[", "socket:[")) else id(source)


def remember(key: Hashable, source: Any, count: int, held: Optional[list[Block]]) -> None:
    """Note that a failed call has read ``count`` bytes; ``held`` are these, if none of them was sent."""
    try:
        reference = weakref.ref(source, (lambda _: _forget(key)) if key == id(source) else None)
    except TypeError:  # an iterator of a list, map, chain: see let_go(); a path
        reference = source
    raw = isinstance(source, (io.RawIOBase, str, os.PathLike))
    _forget(key)
    _left[key] = _Left(reference, _told(source), raw, count, held)
    # Of a copy, which is made in one step: other threads change it at any time.
    for pipe in [key for key in list(_left) if isinstance(key, str)][:-_PIPES]:
        _forget(pipe)


def let_go() -> None:
    """Forget sources without weak references that nobody else refers to, and which nobody can give again."""
    for key in list(_left):  # a copy of items() would make objects, and so may run _forget() meanwhile
        left = _left.get(key)
        if left is None or key != id(left.source):
            continue
        if sys.getrefcount(left.source) <= 2:  # by the entry and this call
            _forget(key)


def go_on(key: Hashable, source: Any, fault: Fault) -> list[Block]:
    """Return what a failed call has read, which comes before the rest; refuse the source if it was sent."""
    left = _left.get(key)
    if left is None:
        return []
    before = left.source() if isinstance(left.source, weakref.ref) else left.source
    if key == id(source) and before is not source:
        return []  # another object, at the same address
    if left.position is not None and left.position != _told(source):
        _forget(key)  # its owner has moved its position
        return []
    if left.held is None or not (left.raw or before is source):  # another object's buffer is out of reach
        reads = "itertools.chain(source)" if isinstance(source, Iterator) else None
        rest = reads or 'iter(lambda: source.read(4096), b"")'
        raise fault(
            f"the audio source was read up to byte {left.read} by a call that failed, and can't be rewound; "
            f"give it from its beginning, or, to send only the rest, {rest}"
        )
    _forget(key)
    return left.held


def _forget(key: Hashable) -> None:
    _left.pop(key, None)


def _told(source: Any) -> Optional[int]:
    try:
        position = source.tell()
    except Exception as exc:  # the caller's code: no such method, closed, asynchronous
        if is_meant_for_call(exc):
            raise
        return None
    if inspect.iscoroutine(position):
        position.close()  # or it would warn that it was never awaited
    return position if isinstance(position, int) else None
