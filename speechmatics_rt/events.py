"""Callbacks by event name, registered and removed from any thread."""

from __future__ import annotations

import inspect
import logging
import warnings
import weakref
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Literal, Optional, TypeVar, Union, cast

from .exceptions import ConfigurationError
from .log import OF_A_HANDLER, SessionLog
from .messages import ServerMessageType

if TYPE_CHECKING:
    from .messages.handlers import HandlerDecorator

__all__ = ["EVENTS", "Callback", "EventEmitter", "interest_of"]

logger = logging.getLogger(__name__)

Callback = Callable[[Any], Any]
Event = Union[ServerMessageType, str]
_C = TypeVar("_C", bound=Callback)
_NO_MESSAGES = frozenset({"SessionEnded", "Utterance"})
EVENTS = frozenset({*(kind.value for kind in ServerMessageType), "Reconnecting", "Resumed", *_NO_MESSAGES})


class _Handler:
    """One registration; no two are equal, so that one is removed and no other."""

    __slots__ = ("callback", "once")

    def __init__(self, callback: Callback, once: bool) -> None:
        self.callback = callback
        self.once = once


def _typed(method: Callable[[Any, Event, Optional[Callback]], Any]) -> HandlerDecorator:
    """Show type checkers which message the handler of each event is given."""
    return cast("HandlerDecorator", method)


class EventEmitter:
    """Call registered functions with each message of an event, in the order of registration.

    Events are named by :class:`ServerMessageType` or by string; every callback takes the message (a
    plain dict). All methods may be called from any thread, and by a callback; what a callback changes
    counts from the next message on. A callback registered twice runs twice.

    Args:
        handler_errors: ``"log"``: an exception in a callback is logged with its traceback and goes no
            further; where a program has configured no logging, it is printed to stderr. ``"raise"``: the
            first one of a message is raised by :meth:`emit`. In both cases the other callbacks of the
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
        # No lock, so that a signal handler and a forked child may do it all: each change is one step of a
        # list or a dict, and who runs callbacks runs over a copy.
        self._handlers: dict[str, list[_Handler]] = {}
        self._any: list[_Handler] = []

    @_typed
    def on(self, event: Event, callback: Optional[Callback] = None) -> Any:
        """Call ``callback`` with each message of ``event``; without a callback, a decorator.

        Any name will do, for servers grow; a client warns of one that is nearly that of a known event.

        Raises:
            ConfigurationError: The callback is a coroutine function; those belong to the asyncio clients.
            TypeError: It can't be called.
        """
        return self._register(event, callback, once=False)

    @_typed
    def once(self, event: Event, callback: Optional[Callback] = None) -> Any:
        """Like :meth:`on`, for the next message only."""
        return self._register(event, callback, once=True)

    def on_any(self, callback: _C) -> _C:
        """Call ``callback`` with every message, after the callbacks of its event.

        ``SessionEnded`` and ``Utterance`` are events of this package, and come to their own callbacks alone.
        """
        self._any.append(_Handler(self._checked(callback), once=False))
        return callback

    def off(self, event: Event, callback: Callback) -> None:
        """Remove every registration of ``callback`` for ``event``; not registered is no error."""
        handlers = self._handlers.get(_name(event), [])
        for handler in handlers.copy():
            if handler.callback == callback:
                _remove(handlers, handler)

    def listeners(self, event: Event) -> list[Callback]:
        """Return the callbacks of ``event``, in the order in which they run."""
        return [handler.callback for handler in [*self._handlers.get(_name(event), ()), *self._any]]

    def remove_all_listeners(self, event: Optional[Event] = None) -> None:
        """Remove the callbacks of one event; without one all of them, those of :meth:`on_any` included."""
        if event is None:
            self._handlers.clear()
            self._any.clear()
        else:
            self._handlers.pop(_name(event), None)

    def emit(self, event: Event, message: Mapping[str, Any]) -> None:
        """Run the callbacks of ``event``, one after the other, on this thread.

        Raises:
            Exception: With ``handler_errors="raise"``, what the first failing callback raised. Always what a
                signal handler of the program raised while a callback ran.
        """
        name = event if type(event) is str else _name(event)
        failure: Optional[Exception] = None
        for callback in self._due(name):
            try:
                callback(message)
            except Exception as exc:  # user code: logged or raised, never lost
                if _of_a_signal(exc):
                    raise  # like KeyboardInterrupt: a limit on time is meant for the call, whatever it hits
                failure = self._failed(name, callback, exc, failure)
        if failure is not None:
            raise failure

    # -- inside --------------------------------------------------------------------------------------

    def _wants(self, name: str) -> bool:
        """Whether anybody listens to ``name``: what nobody wants need not be delivered."""
        if self._any or self._handlers.get(name):
            return True
        return name == "AddTranscript" and self._hears("Utterance")

    def _hears(self, name: str) -> bool:
        """Whether a callback of its own is registered for ``name``."""
        return bool(self._handlers.get(name))

    def _due(self, name: str) -> Iterator[Callback]:
        """Give the callbacks for one message, each when it is its turn."""
        for handler in [*self._handlers.get(name, ()), *(self._any if name not in _NO_MESSAGES else ())]:
            # Removed before it runs: of two threads that saw it, one gets it.
            if not handler.once or _remove(self._handlers.get(name, []), handler):
                yield handler.callback

    def _failed(
        self, name: str, callback: Callback, error: Exception, first: Optional[Exception]
    ) -> Optional[Exception]:
        """Log the error of a callback, or give it to be raised if it is the first."""
        if self._handler_errors == "raise" and first is None:
            return error
        text = "a handler of %s failed: %r"
        self._log_to(logger).error(text, name, callback, exc_info=error, extra=OF_A_HANDLER)
        return first

    def _log_to(self, logger: logging.Logger) -> Union[logging.Logger, SessionLog]:
        """Give what writes there; a client's says of which session."""
        return logger

    def _register(self, event: Event, callback: Optional[Callback], *, once: bool) -> Any:
        name = _name(event)
        if name not in self._known and (meant := _meant(name, self._known)) is not None:
            warnings.warn(f"no event is called {name!r}; did you mean {meant!r}?", UserWarning, 3)

        def register(function: Callback) -> Callback:
            self._handlers.setdefault(name, []).append(_Handler(self._checked(function), once))
            return function

        return register if callback is None else register(callback)

    @staticmethod
    def _checked(callback: Callback) -> Callback:
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
            getattr(type(callback), "__call__", None)  # noqa: B004  # the method itself is looked at
        ):
            raise ConfigurationError(
                f"{callback!r} is a coroutine function: nothing here would await it; pass a plain function"
            )
        return callback


def interest_of(emitter: EventEmitter) -> Callable[[str], bool]:
    """Return what tells whether anybody listens, and does not keep the emitter alive."""
    reference = weakref.ref(emitter)

    def wants(kind: str) -> bool:
        emitter = reference()
        return emitter is not None and emitter._wants(kind)

    return wants


def _of_a_signal(error: Exception) -> bool:
    """Whether a signal handler of the program raised it: a soft time limit of Celery, an alarm of rq."""
    import signal  # who has no failing callback does not need it

    # Some handlers are callable objects, or bound methods; those of C have no code.
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {
        getattr(getattr(each, "__func__", each), "__code__", None)
        or getattr(getattr(type(each), "__call__", None), "__code__", None)  # noqa: B004  # as _checked
        for each in handlers
    }
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _meant(name: str, events: frozenset[str]) -> Optional[str]:
    """Give the known event that was probably meant by one that is not.

    Example:
        >>> [_meant(name, EVENTS) for name in ("AddTranscripts", "ADD_TRANSCRIPT", "Transcript", "Ordered")]
        ['AddTranscript', 'AddTranscript', 'AddTranscript', None]
    """
    for event in events:
        if name.replace("_", "").lower() == event.lower():
            return event
    from difflib import get_close_matches  # only what is unknown needs it

    return next(iter(get_close_matches(name, events, 1, 0.85)), None)


def _remove(handlers: list[_Handler], handler: _Handler) -> bool:
    """Take it out; False if somebody else has."""
    try:
        handlers.remove(handler)
    except ValueError:
        return False
    return True


def _name(event: Event) -> str:
    name: Any = event.value if isinstance(event, Enum) else event
    if not isinstance(name, str):
        raise ConfigurationError(
            f"event is {event!r}; accepted: a ServerMessageType, or its name as a string"
        )
    return name
