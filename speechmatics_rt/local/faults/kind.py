"""A kind of fault: one decorated function, whose parameters are the fault's options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Optional, Protocol, TypeVar

from ..connection import Acknowledger, Delay, Peer, SessionRecord, Wire

__all__ = ["KINDS", "WHEN", "Kind", "Maker", "Target", "kind"]

Made = TypeVar("Made")

# The keywords of every maker that say when and where, and are no options of the kind; with their types.
WHEN = {
    "at": "str",
    "after_messages": "int",
    "after_bytes": "int",
    "after_seconds": "float",
    "after_final": "float",
    "delay": "float",
    "sessions": "list[int]",
}


_OTHERWISE = """unless ``at`` names another point, or an ``after_...`` a count;
``delay`` seconds later, and in the connections of ``sessions`` alone, by their numbers from 0."""


class Target(Protocol):
    """What a fault acts on: a :class:`~speechmatics_rt.local.session.ServerSession`.

    Attributes:
        wire, peer, record: The socket, its WebSocket, its record.
        acks, words: How audio is acknowledged, and how late is told what was heard.
        start_delay, end_delay: Seconds before RecognitionStarted and EndOfTranscript; None: they never come.
        added: Fields that every message gets from now on.
    """

    wire: Wire
    peer: Peer
    record: SessionRecord
    acks: Acknowledger
    words: Delay
    start_delay: Optional[float]
    end_delay: Optional[float]
    added: dict[str, Any]

    def send(self, message: Mapping[str, Any], *, binary: bool = False) -> None: ...
    def fail(
        self, type: str, reason: str, *, code: Optional[int] = None, close: bool = True, send: bool = True
    ) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """A way to misbehave: its usual moment, its line in the table, what it does, its options."""

    at: str
    what: str
    act: Callable[..., None]
    options: tuple[inspect.Parameter, ...]

    @property
    def types(self) -> dict[str, str]:
        """The type of each keyword of its maker."""
        return {**{option.name: str(option.annotation) for option in self.options}, **WHEN}


KINDS: dict[str, Kind] = {}


class Maker:
    """A kind seen as an attribute of its class: the maker of such faults."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: Callable[..., Made]) -> Callable[..., Made]:
        act = KINDS[self._name].act

        @functools.wraps(act)
        def make(*args: Any, **options: Any) -> Made:
            when = {key: options.pop(key) for key in WHEN if key in options}
            bound = inspect.signature(act).bind(None, *args, **options)
            given = tuple((key, value) for key, value in bound.arguments.items() if key != "session")
            return owner(self._name, options=given, **when)

        kind = KINDS[self._name]
        moments = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=of) for name, of in WHEN.items()
        ]
        make.__signature__ = inspect.Signature([*kind.options, *moments])  # type: ignore[attr-defined]
        make.__doc__ = f"Make a fault: {kind.what}.\n\nIt acts at ``{kind.at}``, {_OTHERWISE}"
        return make


def kind(at: str, what: str) -> Callable[[Callable[..., None]], Maker]:
    """Register a function of a session as a kind of fault: its usual moment, its line in the table."""

    def register(act: Callable[..., None]) -> Maker:
        name = act.__name__
        _, *options = inspect.signature(act).parameters.values()
        KINDS[name] = Kind(at, what, act, tuple(options))
        return Maker(name)

    return register
