"""Connects threads and an event loop: each can wake and wait for the other."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Mapping
from concurrent import futures
from typing import Any, Callable, Optional, TypeVar

from ..audio import StandIn
from ..auth import AuthBase, JWTAuth, NoAuth, StaticKeyAuth, asking, not_headers
from ..config import ConnectionConfig
from ..exceptions import SessionError, TimeoutError
from ..network import Opening, WakeUp
from ..threads import OverdueError, begin, call_until, telling

__all__ = ["AwaitedAuth", "Bridge", "LoopWakeUp", "in_thread", "is_coroutine_method", "step_of"]

_T = TypeVar("_T")


async def in_thread(function: Callable[..., _T], *args: Any, **options: Any) -> _T:
    """Call a function that may block on a thread of its own, and return its result.

    Not on the loop's executor: that has few threads, which the program's own work needs, and
    ``asyncio.run`` would not return before the last of them does, even after a call was cancelled.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context()

    # Emptied on the loop, so that nothing the caller drops stays alive in a thread that is ending.
    waiting = [done]
    outcome: list[tuple[Any, Optional[BaseException]]] = []

    def settle() -> None:
        done, (result, error) = waiting.pop(), outcome.pop()
        if done.done():
            return  # the caller was cancelled
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def end(result: Any, error: Optional[BaseException]) -> None:
        outcome.append((result, error))
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # the loop was closed: nobody waits

    def work() -> None:
        end(context.run(function, *args, **options), None)

    def died(exc: BaseException) -> None:
        if isinstance(exc, StopIteration):  # a future can't hold it
            error = RuntimeError(f"{getattr(function, '__name__', 'a call')} raised StopIteration")
            error.__cause__, exc = exc, error
        end(None, exc)  # raised where it is awaited

    name = getattr(function, "__name__", "call").strip("_")
    name = f"speechmatics-rt-aio-{name}"
    begin(threading.Thread(target=telling, args=(died, work), name=name, daemon=True))
    try:
        return await done
    finally:
        del done  # it holds its error, whose traceback has this frame


class LoopWakeUp(WakeUp):
    """Wake one coroutine from any thread, with one call to its loop however often it is woken meanwhile.

    Create it in the loop of that coroutine. ``wake`` takes no lock of this package and runs no user code, so
    it may be called under any lock.
    """

    __slots__ = ("_called", "_loop", "_woken")

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._called = False

    def wake(self) -> None:
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._set)
            except RuntimeError:
                pass  # the loop is closed: nobody is left to wake

    def _set(self) -> None:
        # First: whatever wakes it from here on may not be noticed this time, and must schedule another call.
        self._called = False
        self._woken.set()

    async def woken(self) -> None:
        """Sleep until it is woken."""
        await self._woken.wait()
        self._woken.clear()


class _Caller:
    """Run coroutines on a loop from one thread at a time, until :meth:`close`.

    Args:
        cancels: Whether the coroutine that runs then is cancelled, or comes to its end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, cancels: bool = True) -> None:
        self._loop = loop
        self._cancels = cancels
        self._closed = False
        self._pending: Optional[futures.Future[Any]] = None

    def call(self, function: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            if self._closed:
                raise asyncio.CancelledError
            return await function()

        coroutine = run()
        try:
            self._pending = pending = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise
        if self._closed and self._cancels:  # after _pending is set; close() does both in the opposite order
            pending.cancel()
        return pending.result()

    def close(self) -> None:
        """Refuse all later calls, and cancel the current one, unless it is to come to its end."""
        self._closed = True
        if self._cancels and self._pending is not None:
            self._pending.cancel()


class Bridge(StandIn):
    """An asynchronous source as a blocking iterable: a thread asks for blocks, the loop reads them.

    Args:
        step: Returns the next block; ``b""`` at the end.
        origin: The source.
    """

    def __init__(self, step: Callable[[], Awaitable[Any]], origin: Any) -> None:
        self.origin = origin
        self.once = hasattr(origin, "read") or origin.__aiter__() is origin
        self._step = step
        self._loop = asyncio.get_running_loop()
        # A read that is cancelled may go on, on a thread of aiofiles, and then moves what has been rewound.
        self._caller = _Caller(self._loop, cancels=not is_coroutine_method(origin, "seek"))

    def __iter__(self) -> Bridge:
        return self

    def __next__(self) -> Any:
        try:
            block = self._caller.call(self._step)
        except futures.CancelledError as exc:
            raise SessionError("the session ended while its audio source was being read") from exc
        if _is_empty(block):
            raise StopIteration
        return block

    def position(self) -> Optional[int]:
        """Return the position of the source; None if it can't be rewound. Not to be called in the loop."""
        source = self.origin
        if not is_coroutine_method(source, "seek"):
            return None
        if is_coroutine_method(source, "tell"):
            seekable = not is_coroutine_method(source, "seekable") or self._caller.call(source.seekable)
            position: Optional[int] = self._caller.call(source.tell) if seekable else None
        else:  # an upload of Starlette has seek(), but only its underlying file has tell()
            position = source.file.tell()
        return position

    def go_back(self, position: int) -> None:
        """Rewind the source to a position. Not to be called in the loop."""
        _Caller(self._loop).call(lambda: self.origin.seek(position))

    def close(self) -> None:
        """Read no more, and cancel the current read, unless the source can be rewound."""
        self._caller.close()


def step_of(source: Any, size: int) -> Optional[Callable[[], Awaitable[Any]]]:
    """Return a function that reads the next block of an asynchronous source; None for any other source."""
    if is_coroutine_method(source, "read"):
        return lambda: source.read(size)
    if not hasattr(source, "__aiter__") or hasattr(source, "__iter__") or hasattr(source, "read"):
        return None
    blocks = source.__aiter__()

    async def step() -> Any:
        while True:
            try:
                block = await blocks.__anext__()
            except StopAsyncIteration:
                return b""
            if not _is_empty(block):  # which is not the end
                return block

    return step


def _is_empty(block: Any) -> bool:
    """Whether it is audio, and none; what it is if it is no audio is told where it is checked."""
    return isinstance(block, (bytes, bytearray, memoryview)) and not len(block)


def is_coroutine_method(thing: object, name: str) -> bool:
    return inspect.iscoroutinefunction(getattr(thing, name, None))


class AwaitedAuth(AuthBase):
    """An ``auth`` whose headers may have to be awaited, for a client that asks for them on a thread.

    Args:
        auth: Anything with ``get_auth_headers()``; if it is an AuthBase, its other methods are called too.

    Attributes:
        loop: The event loop in which to await them.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, auth: Any) -> None:
        self._auth = auth
        self._seconds: Optional[float] = None

    @classmethod
    def of(cls, auth: Any) -> Optional[AwaitedAuth]:
        """Return one for an ``auth`` that may return something to be awaited."""
        if is_coroutine_method(auth, "get_auth_headers"):
            return cls(auth)
        # JWTAuth knows by the thread whose key is asked for, and limits that itself.
        simple = isinstance(auth, (StaticKeyAuth, NoAuth, JWTAuth)) or not isinstance(auth, AuthBase)
        return None if simple else cls(auth)

    def configure(self, conn_config: ConnectionConfig) -> None:
        self._seconds = conn_config.open_timeout
        if isinstance(self._auth, AuthBase):
            self._auth.configure(conn_config)

    def refresh(self) -> bool:
        with asking(self._auth, "refresh"):
            return isinstance(self._auth, AuthBase) and self._auth.refresh()

    def get_auth_headers(self) -> dict[str, str]:
        caller, kind = _Caller(self.loop), type(self._auth).__name__

        def ask() -> Any:
            with asking(self._auth, "get_auth_headers"):
                given = self._auth.get_auth_headers()
                return caller.call(lambda: given) if inspect.isawaitable(given) else given

        began = time.monotonic()
        deadline = float("inf") if self._seconds is None else began + self._seconds
        try:
            name, unless = f"speechmatics-rt-key-{kind}", Opening.present().wait
            given = call_until(deadline, ask, name=name, unless=unless)
        except OverdueError:
            text = f"get_auth_headers() of {kind} did not return within {time.monotonic() - began:.1f} s"
            raise TimeoutError(text, stage="open", seconds=self._seconds) from None
        finally:
            caller.close()  # nobody waits for it any more
        if not isinstance(given, Mapping):
            raise not_headers(self._auth, given)
        return dict(given)
