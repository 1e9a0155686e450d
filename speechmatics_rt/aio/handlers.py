"""Calls handlers and awaits them, and tells their own cancellations from those of who awaits them.

A handler that cancels a task and awaits it lets a CancelledError out, which would end the session as if the
delivering task itself had been cancelled. It is an error of the handler like any other.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator, Mapping
from typing import Any

from ..events import Callback

__all__ = ["called", "finished"]


def called(callback: Callback, message: Mapping[str, Any]) -> Any:
    """Call a handler; what it returns may be a coroutine."""
    try:
        return callback(message)
    except asyncio.CancelledError as exc:  # no task can be cancelled in a plain call
        raise _error(exc) from exc


async def finished(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Await a handler. A CancelledError means that the task which does so was cancelled.

    Raises:
        RuntimeError: The handler has let the CancelledError of something else out.
    """
    if sys.version_info >= (3, 11):
        try:
            await coroutine
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _error(exc) from exc
    else:
        watched = _Watched(coroutine)
        try:
            await watched
        except asyncio.CancelledError as exc:
            if watched.cancelled:
                raise
            raise _error(exc) from exc


def _error(cancelled: asyncio.CancelledError) -> RuntimeError:
    return RuntimeError(f"a handler ended with {cancelled!r}: something that it awaited was cancelled")


class _Watched:
    """Awaits a coroutine, and notes whether it is itself cancelled: a task says so from Python 3.11 only.

    A task that is cancelled cancels what it waits for. So what the coroutine waits for is not what the task
    waits for, which nobody else cancels.

    Attributes:
        cancelled: Whether the task that awaits this was cancelled.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.cancelled = False
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        step: Any = self._coroutine.send
        given: Any = None
        while True:
            try:
                awaited = step(given)
            except StopIteration:
                return
            step, given = self._coroutine.send, None
            try:
                if asyncio.isfuture(awaited):
                    yield from self._until_done(awaited)
                else:
                    yield awaited  # None, to let the loop run
            except BaseException as exc:  # noqa: BLE001  # not swallowed: the coroutine gets it
                self.cancelled |= isinstance(exc, asyncio.CancelledError)
                step, given = self._coroutine.throw, exc

    def _until_done(self, awaited: asyncio.Future[Any]) -> Generator[Any, Any, None]:
        awaited._asyncio_future_blocking = False  # as a task does with what it is to wait for
        while not awaited.done():
            try:
                yield from asyncio.wait([awaited]).__await__()
            except asyncio.CancelledError:
                self.cancelled = True
                if not awaited.cancel():
                    raise
