"""Callbacks by event name, registered and removed from any thread."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Literal, Optional, TypeVar, Union, cast

from .exceptions import ConfigurationError
from .log import SessionLog, report
from .messages import ServerMessageType
from .threads import is_meant_for_call

if TYPE_CHECKING:
    from types import CodeType

    from .messages.handlers import HandlerDecorator

__all__ = [
    "EVENTS",
    "Callback",
    "Event",
    "EventEmitter",
    "as_raised",
    "check_callback",
    "check_runs",
    "everything",
    "name_of",
]

logger = logging.getLogger(__name__)

Callback = Callable[[Any], Any]
Event = Union[ServerMessageType, str]
_C = TypeVar("_C", bound=Callback)
_EVERY = ("all", "any", "*", "message", "messages")  # as other emitters call it
_ELSEWHERE = {  # what programs call an event, none of whose words it has
    **dict.fromkeys(("final", "finals"), "AddTranscript"),
    **dict.fromkeys(("partials", "interim"), "AddPartialTranscript"),
    **dict.fromkeys(("open", "start", "started"), "RecognitionStarted"),
    **dict.fromkeys(("close", "closed", "end", "ended"), "SessionEnded"),
}
_NO_MESSAGES = frozenset({"SessionEnded", "Utterance"})
EVENTS = frozenset({*(kind.value for kind in ServerMessageType), "Reconnecting", "Resumed", *_NO_MESSAGES})


class _Handler:
    """One registration. Compared by identity, so that removing one leaves its equals in place.

    Attributes:
        run: What :meth:`EventEmitter.emit` calls.
    """

    __slots__ = ("_failures", "_session", "callback", "once", "run")

    def __init__(self, callback: Callback, once: bool, run: Callback) -> None:
        self.callback = callback
        self.once = once
        self.run = run
        self._session: Optional[str] = None  # in which it has failed, and how often at which line:
        self._failures: dict[tuple[type[BaseException], CodeType, int], int] = {}

    def failed(self, error: BaseException, session: Optional[str]) -> int:
        """Count an error; return how often it has come from that line in the session."""
        if session != self._session:
            self._session, self._failures = session, {}
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is None:
            return 1
        place = (type(error), trace.tb_frame.f_code, trace.tb_lineno)
        self._failures[place] = times = self._failures.get(place, 0) + 1
        return times


def _typed(method: Callable[[Any, Event, Optional[Callback]], Any]) -> HandlerDecorator:
    """Show type checkers which message type each event passes to its handler."""
    return cast("HandlerDecorator", method)


class EventEmitter:
    """Call registered functions with each message of an event, in the order of registration.

    Events are named by :class:`ServerMessageType` or by string; every callback takes the message (a
    plain dict). All methods may be called from any thread, and by a callback; changes that a callback
    makes apply from the next message on. A callback registered twice runs twice.

    Args:
        handler_errors: ``"log"``: an exception in a callback is logged with its traceback and goes no
            further; if the program has configured no logging, it is printed to stderr. ``"raise"``:
            :meth:`emit` raises the first exception of each message. Either way, the other callbacks of the
            message still run.

    Example:
        >>> emitter = EventEmitter()
        >>> @emitter.on("AddTranscript")
        ... def show(message):
        ...     print(message["metadata"]["transcript"])
        >>> emitter.emit("AddTranscript", {"metadata": {"transcript": "Good morning."}})
        Good morning.
    """

    _known: ClassVar[frozenset[str]] = frozenset()  # events to be told from slips of the pen

    def __init__(self, *, handler_errors: Literal["log", "raise"] = "log") -> None:
        if handler_errors not in ("log", "raise"):
            raise ConfigurationError(f"handler_errors={handler_errors!r}: use 'log' or 'raise'")
        self._handler_errors = handler_errors
        # No lock, so that signal handlers and forked children may call every method: each change is one
        # atomic operation on a list or dict, and callbacks are run from a copy.
        self._handlers: dict[str, list[_Handler]] = {}
        self._any: list[_Handler] = []

    @_typed
    def on(self, event: Event, callback: Optional[Callback] = None) -> Any:
        """Call ``callback`` with each message of ``event``. Without a callback, return a decorator.

        Any name will do, for servers grow; a client warns of one that is nearly that of a known event.

        Raises:
            ConfigurationError: The callback is a coroutine function, for which there are the asyncio clients;
                or a generator function.
            TypeError: The callback is not callable.
        """
        return self._register(event, callback, once=False)

    @_typed
    def once(self, event: Event, callback: Optional[Callback] = None) -> Any:
        """Like :meth:`on`, for the next message only."""
        return self._register(event, callback, once=True)

    def on_any(self, callback: _C) -> _C:
        """Call ``callback`` with every message, after the callbacks of its event.

        ``SessionEnded`` and ``Utterance`` are events of this package, not messages: only callbacks
        registered for them by name get them.
        """
        self._any.append(_Handler(callback, once=False, run=self._runner(callback)))
        return callback

    def off_any(self, callback: Callback) -> None:
        """Remove every registration of ``callback`` by :meth:`on_any`, if there is any."""
        for handler in self._any.copy():
            if handler.callback == callback:
                _remove(self._any, handler)

    def off(self, event: Event, callback: Callback) -> None:
        """Remove every registration of ``callback`` for ``event``, if there is any."""
        handlers = self._handlers.get(name_of(event), [])
        for handler in handlers.copy():
            if handler.callback == callback:
                _remove(handlers, handler)

    def listeners(self, event: Event) -> list[Callback]:
        """Return the callbacks of ``event``, in the order in which they run."""
        return [handler.callback for handler in self._due(name_of(event))]

    def remove_all_listeners(self, event: Optional[Event] = None) -> None:
        """Remove the callbacks of ``event``; without it, all callbacks, those of :meth:`on_any` included."""
        if event is None:
            self._handlers.clear()
            self._any.clear()
        else:
            self._handlers.pop(name_of(event), None)

    def emit(self, event: Event, message: Mapping[str, Any]) -> None:
        """Run the callbacks of ``event``, one after the other, on this thread.

        Raises:
            Exception: With ``handler_errors="raise"``, the exception of the first callback that failed. In
                either mode, an exception raised by a signal handler of the program while a callback ran, and
                that of ``quit`` in pdb.
        """
        name = event if type(event) is str else name_of(event)
        failure: Optional[Exception] = None
        for handler in self._due(name):
            if handler.once and not self._take_once(name, handler):
                continue
            try:
                handler.run(message)
            except Exception as exc:  # noqa: BLE001  # user code: logged or raised, never lost
                failure = self._failed(name, handler, exc, failure)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback has this frame, and what that has

    # -- inside --------------------------------------------------------------------------------------

    def _is_heard(self, name: str) -> bool:
        """Whether anybody listens to ``name``, or to what follows from it."""
        handlers = self._handlers
        if handlers.get(name) or self._any:
            return True
        return name == "AddTranscript" and bool(handlers.get("Utterance"))

    def _hears(self, name: str) -> bool:
        """Whether a callback is registered for ``name`` itself."""
        return bool(self._handlers.get(name))

    def _due(self, name: str) -> list[_Handler]:
        """Return the handlers for one message, as they are now."""
        return [*self._handlers.get(name, ()), *(() if name in _NO_MESSAGES else self._any)]

    def _take_once(self, name: str, handler: _Handler) -> bool:
        """Remove a handler that runs once, before it does; False if another thread has, and runs it."""
        return _remove(self._handlers.get(name, []), handler)

    def _failed(
        self, name: str, handler: _Handler, error: Exception, first: Optional[Exception]
    ) -> Optional[Exception]:
        """Return the first error of a callback, if errors are to be raised; log any other.

        One that comes with each message is logged with its traceback once, and then as it comes for the
        10th, 100th, ... time of the session: an hour of speech would be 8,000 tracebacks.

        Raises what is meant for the call, whatever it interrupts, like KeyboardInterrupt: the exception of a
        signal handler, or of ``quit`` in pdb.
        """
        if is_meant_for_call(error):
            raise error
        callback = handler.callback
        if self._handler_errors == "raise" and first is None:
            return as_raised(error, callback)
        log = self._log_to(logger)
        times = handler.failed(error, getattr(log, "request_id", None))
        if times == 1:
            report(log, "a handler of %s failed: %r", name, callback, error=error)
        elif str(times).strip("0") == "1":
            report(log, "a handler of %s failed for the %dth time at that line: %r", name, times, error)
        return first

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        """Give what writes there; a client's says of which session."""
        return logger

    def _register(self, event: Event, callback: Optional[Callback], *, once: bool) -> Any:
        name = name_of(event)
        if name not in self._known and (meant := _meant(name, self._known)) is not None:
            warnings.warn(f"no event is called {name!r}; {meant}", UserWarning, 3)

        def register(function: Callback) -> Callback:
            self._handlers.setdefault(name, []).append(_Handler(function, once, self._runner(function)))
            return function

        return register if callback is None else register(callback)

    def _runner(self, callback: Callback) -> Callback:
        """Return what runs a callback, of which it is checked that this can."""
        check_callback(callback)
        check_runs(callback)
        return callback


def check_callback(callback: Callback) -> None:
    """Refuse what can't be called with a message, before each message fails.

    Raises:
        ConfigurationError: It is a generator function.
        TypeError: It isn't callable, or takes no argument, or more than one.
    """
    if not callable(callback):
        raise TypeError(f"a callback must be callable, not {callback!r}")
    check_runs(callback, awaited=True)
    try:
        taken = inspect.signature(callback)
    except (TypeError, ValueError):  # of some built-in functions nothing is known
        return
    try:
        taken.bind({})
    except TypeError as exc:
        raise TypeError(f"a callback is called with the message; {callback!r} can't be: {exc}") from None


def check_runs(function: Callable[..., Any], name: str = "", *, awaited: bool = False) -> None:
    """Refuse a function of which a call runs nothing: a generator function, or one that is not ``awaited``.

    Args:
        name: What it is given as, if that has a name.

    Raises:
        ConfigurationError: It is one.
    """
    name = name or repr(function)
    # Of an object that is called, the method is looked at.
    for one in (function, getattr(type(function), "__call__", None)):  # noqa: B004
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            raise ConfigurationError(
                f"{name} is a generator function, of which a call runs nothing; leave out its 'yield'"
            )
        if inspect.iscoroutinefunction(one) and not awaited:
            raise ConfigurationError(
                f"{name} is a coroutine function, which nothing here would await; pass a plain function"
            )


def everything(name: str) -> bool:
    """Want every message, whether anybody listens to it or not."""
    return True


def as_raised(error: Exception, callback: Callback) -> Exception:
    """Return what is raised for the error of a callback.

    For the end of an iteration something else, as generators do (PEP 479): it would end a loop over messages
    as if they were complete.
    """
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    failure = RuntimeError(f"{callback!r} raised {type(error).__name__}")
    failure.__cause__ = error
    return failure


def _meant(name: str, events: frozenset[str]) -> Optional[str]:
    """Say which known event was probably meant by one that is not.

    Example:
        >>> [_meant(name, EVENTS) for name in ("AddTranscripts", "ADD_TRANSCRIPT", "Ordered")]
        ["did you mean 'AddTranscript'?", "did you mean 'AddTranscript'?", None]
        >>> [_meant(name, EVENTS) for name in ("partial", "close", "order")]
        ["did you mean 'AddPartialTranscript'?", "did you mean 'SessionEnded'?", None]
        >>> _meant("all", EVENTS)
        'on_any(callback) gets every message'
    """
    if events and name.lower() in _EVERY:
        return "on_any(callback) gets every message"
    for event in events:
        if name.replace("_", "").lower() == event.lower():
            return f"did you mean {event!r}?"
    from difflib import get_close_matches  # only what is unknown needs it

    near = get_close_matches(name, events, 1, 0.85)
    if not near and events and name == name.lower():  # as no server calls a message
        word = name.replace("_", "")
        known = sorted(events, key=lambda event: (len(event), event))
        near = [event for event in known if len(word) > 3 and word in event.lower()]
        near = [_ELSEWHERE[word]] if word in _ELSEWHERE else near
    return f"did you mean {near[0]!r}?" if near else None


def _remove(handlers: list[_Handler], handler: _Handler) -> bool:
    """Remove it; False if another thread already has."""
    try:
        handlers.remove(handler)
    except ValueError:
        return False
    return True


def name_of(event: Event) -> str:
    """Return the name of an event, however it was given."""
    name: Any = event.value if isinstance(event, Enum) else event
    if not isinstance(name, str):
        raise ConfigurationError(f"event is {event!r}; accepted: a ServerMessageType, or a name as a string")
    return name
