"""Opens the sources of a call, which reads their first blocks, within the time that the call may take."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Callable, Optional

from ..audio import AudioSource
from ..exceptions import TimeoutError, amend
from ..threads import Latch, ThreadedCall
from .request import SessionRequest
from .stages import GRACE

__all__ = ["Sources", "open_in_time", "put_back"]

Sources = Mapping[Optional[str], AudioSource]

_numbers = itertools.count(1)


def open_in_time(request: SessionRequest, open_all: Callable[[], Sources]) -> Sources:
    """Open sources; with a ``timeout``, on a thread of its own, since a read may never return.

    Raises:
        TimeoutError: Stage ``"whole"``. What is opened later is put back.
    """
    if request.timeout is None:
        return open_all()
    over = Latch()
    claims = [None]  # one, which the thread takes for the caller, unless that has given up
    opened: list[Sources] = []

    def run() -> Sources:
        opened.append(open_all())
        if not _taken(claims):
            put_back(opened[0])
        return opened[0]

    call = ThreadedCall(run, name=f"speechmatics-rt-source-{next(_numbers)}", done=over.set)
    try:
        if over.wait(request.deadline - time.monotonic()):
            return call.result()
        text = f"the source gave no audio within timeout={request.timeout:g} s, so nothing was connected"
        raise TimeoutError(text, stage="whole", seconds=request.timeout)  # noqa: TRY301  # it is given up below
    except BaseException as exc:  # or Ctrl-C
        if not _taken(claims):
            put_back(opened[0])
        elif not over.wait(GRACE) and isinstance(exc, TimeoutError):
            amend(exc, "; it is still being read, and its next block is lost")
        raise


def _taken(claims: list[None]) -> bool:
    """Take the only claim, in one step; False if the other thread has it."""
    try:
        claims.pop()
    except IndexError:
        return False
    return True


def put_back(sources: Sources) -> None:
    """Rewind and close sources that are not sent."""
    for source in sources.values():
        source.put_back()
        source.close()
