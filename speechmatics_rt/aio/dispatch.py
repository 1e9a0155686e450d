"""Delivers the messages of one session on an event loop."""

from __future__ import annotations

import asyncio
import inspect
import time
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Callable, Literal, Optional

from ..events import Callback, EventEmitter, check_callback, everything
from ..exceptions import SessionError, SpeechmaticsError
from ..messages import Glance
from ..network import Arrived
from ..session import Arrivals, Session
from .bridge import LoopWakeUp, in_thread
from .handlers import called, finished
from .rounds import Round, rounds_of

__all__ = ["AsyncEmitter", "Dispatcher", "listen"]

_LATE = 0.001  # seconds: a loop may fire a timer early, by the resolution of its clock, and only once


class AsyncEmitter(EventEmitter):
    """An :class:`EventEmitter` whose callbacks may also be coroutine functions.

    :meth:`emit` starts their coroutines as tasks; :meth:`deliver` awaits each before the next one.

    Example:
        >>> emitter = AsyncEmitter()
        >>> @emitter.on("AddTranscript")
        ... async def show(message):
        ...     await asyncio.sleep(0)
        ...     print(message["metadata"]["transcript"])
        >>> asyncio.run(emitter.deliver({"message": "AddTranscript", "metadata": {"transcript": "Hello."}}))
        Hello.
    """

    def __init__(self, *, handler_errors: Literal["log", "raise"] = "log") -> None:
        super().__init__(handler_errors=handler_errors)
        self._started: set[asyncio.Future[Any]] = set()  # a loop holds its tasks weakly

    async def deliver(self, message: Mapping[str, Any]) -> None:
        """Run the callbacks of a message, awaiting each before the next one.

        Raises:
            Exception: With ``handler_errors="raise"``, the exception of the first callback that failed.
        """
        name = message["message"]
        failure: Optional[Exception] = None
        for handler in self._due(name):
            if handler.once and not self._take_once(name, handler):
                continue
            try:
                result = called(handler.callback, message)
                # A task or future is not awaited: a handler that returns one wants it to run in parallel.
                if inspect.iscoroutine(result):
                    await finished(result)
            except Exception as exc:  # noqa: BLE001  # user code: logged or raised below, never lost
                failure = self._failed(name, handler, exc, failure)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    def _runner(self, callback: Callback) -> Callback:
        check_callback(callback)
        started = self._started  # not self: a client must not be part of a cycle

        def run(message: Mapping[str, Any]) -> None:
            result = called(callback, message)
            if inspect.iscoroutine(result):
                task = asyncio.ensure_future(result)
                started.add(task)
                task.add_done_callback(started.discard)

        return run


class Dispatcher:
    """Take the messages of one session and run their handlers, on the event loop.

    Refers to the client weakly, like the listener thread, so that a dropped client is collected.

    Attributes:
        task: The task of :func:`listen`, if that delivers.
        body: The round of the program's loop that asked for the last message, if one did.
        begun: Set once the handlers of ``RecognitionStarted`` have run, or never will.
    """

    def __init__(self, session: Session, emitter: AsyncEmitter, arrivals: Optional[Arrivals] = None) -> None:
        self.session = session
        self.task: Optional[asyncio.Future[Any]] = None
        self.body: Optional[Round] = None
        self._sending: Optional[asyncio.Future[None]] = None  # the last in the line of what waits to be sent
        self.begun = asyncio.Event()
        self._emitter = weakref.ref(emitter)
        self._arrivals = arrivals or Arrivals(session.connection, session.ending)
        self._loop = asyncio.get_running_loop()
        self._wakeup = LoopWakeUp()
        self._alarm: Optional[asyncio.TimerHandle] = None
        deadline = self._arrivals.deadline
        if deadline < float("inf"):
            left = deadline - time.monotonic() + _LATE
            self._alarm = self._loop.call_later(left, self._wakeup.wake)
        session.connection.wake_on_arrival(self._wakeup)

    @property
    def is_left(self) -> bool:
        """Whether nobody is known to be in the program's loop: it has a task for each message, say."""
        return self.body is not None and self.body.is_left

    @property
    def runs_here(self) -> bool:
        """Whether the next message waits for this code, or for what has begun this task."""
        return self.is_left or bool(rounds_of(self.session.delivery))

    @property
    def sends_at_once(self) -> bool:
        """Whether nothing waits to be sent."""
        return self._sending is None or self._sending.done()

    def send_in_turn(self, send: Callable[[], Awaitable[None]]) -> asyncio.Future[None]:
        """Have a task send something, after whatever waits now."""
        before = self._sending

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait([before])
            await send()

        self._sending = sending = asyncio.ensure_future(in_turn())
        sending.add_done_callback(self._sent)
        return sending

    def _sent(self, sending: asyncio.Future[None]) -> None:
        if self._sending is sending:
            self._sending = None  # its error has the frames of who called, and so the client

    async def take(self, wants: Callable[[str], bool] = everything) -> Optional[Arrived]:
        """Return the next message; None at the end of the transcript. Raises the error of the session."""
        session, arrivals = self.session, self._arrivals
        if session.delivery.over.is_set():
            return None
        try:
            while True:
                item = arrivals.take(wants)
                if item is not None:
                    return item
                await asyncio.sleep(0)  # let the loop run, however much has arrived
                while (more := arrivals.receive(0.0)) is None:
                    await self._wakeup.woken()
                if not more:
                    break
        except SpeechmaticsError as exc:
            await self.end(exc)
            if session.delivery.streamed:
                session.ending.raise_failure(exc)
            raise
        await self.end()
        if session.delivery.streamed:
            session.ending.raise_failure()
        return None

    async def deliver(self, message: Optional[dict[str, Any]], seen: Sequence[Glance]) -> None:
        """Have the session take in a message or a run, and run its handlers; see ``network.Arrived``."""
        self.session.take_in(message, seen)
        emitter = self._emitter()
        if emitter is None or message is None:
            return
        body = self.body
        here = None if body is not None and body.is_mine else Round(self.session.delivery, self.task)
        try:
            await emitter.deliver(message)
            if self.session.turns.ended:
                for event in self.session.turns.events():
                    await emitter.deliver(event)
        finally:
            if here is not None:
                here.end()

    async def end(self, failure: Optional[SpeechmaticsError] = None) -> None:
        """Note that nothing more will be delivered, and close."""
        if self._alarm is not None:
            self._alarm.cancel()
        session = self.session
        try:
            await in_thread(session.wind_up, failure, self._arrivals.deadline)
        finally:
            try:
                session.ending.note(failure)
                await self.tell()
            finally:
                session.end(telling=False)

    async def end_if_stranded(self) -> None:
        """End the session if its loop was closed, as nobody delivers it any more."""
        if self._loop.is_closed() and not self.session.delivery.over.is_set():
            failure = SessionError("the event loop that delivered the session's messages was closed")
            self.session.connection.fail(failure)
            await self.end(failure)

    async def tell(self) -> None:
        """Run the handlers of ``SessionEnded``, once, on the loop."""
        emitter = self._emitter()
        if emitter is None:
            return
        here = Round(self.session.delivery)
        try:
            for event in self.session.last_events():
                try:
                    await emitter.deliver(event)
                except Exception as exc:  # noqa: BLE001  # handler_errors="raise": after the session's own
                    self.session.ending.handler_failed(exc)
        finally:
            here.end()


async def listen(dispatcher: Dispatcher, wants: Callable[[str], bool]) -> None:
    """Deliver between ``start_session()`` and ``stop_session()``."""
    session = dispatcher.session
    try:
        while True:
            item = await dispatcher.take(wants)
            if item is None:
                break
            message, seen = item
            kind = message and message["message"]  # before the handlers, which may change it
            try:
                await dispatcher.deliver(message, seen)
            except Exception as exc:  # noqa: BLE001  # handler_errors="raise": stop_session() raises it
                session.ending.handler_failed(exc)
            if kind == "RecognitionStarted":
                dispatcher.begun.set()
    except SpeechmaticsError as exc:
        session.log_failure(exc)
    except asyncio.CancelledError:
        failure = SessionError("the task that delivers the session's messages was cancelled")
        session.connection.fail(failure)
        await dispatcher.end(failure)
        raise
    except GeneratorExit:  # its loop was closed, and nothing can be awaited any more
        session.connection.abandon()
        raise
    except BaseException as exc:  # SystemExit in a handler
        failure = SessionError(f"a handler ended the session: {exc!r}")
        session.connection.fail(failure)
        await dispatcher.end(failure)
        raise
    finally:
        dispatcher.begun.set()
