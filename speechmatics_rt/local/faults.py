"""How the local server misbehaves, as data.

A :class:`Fault` has a kind, a moment and the options of its kind. The moment is a point of the session

=============  =====================================================================
``accept``     TCP is connected, nothing was read (with TLS: not even the greeting)
``handshake``  the HTTP request was read, nothing was answered
``open``       101 was sent
``start``      StartRecognition was accepted, RecognitionStarted is due
``started``    RecognitionStarted was sent
``drain``      EndOfStream was read
``end``        EndOfTranscript is due
=============  =====================================================================

or a count, checked after each message of the client: ``after_messages`` (audio and JSON alike),
``after_bytes`` or ``after_seconds`` of audio read. Each fault acts once in a connection; ``sessions``
names the connections it is for, from 0.

=================  ==============  ========================================================
kind               usual moment    what happens
=================  ==============  ========================================================
``refuse``         handshake       an HTTP status, with Retry-After, Location or a body
``drip``           handshake       the next ``total`` bytes trickle
``late_start``     start           RecognitionStarted comes ``seconds`` late
``error``          started         an Error of any type, then its close code or another
``close``          started         a close frame alone
``reset``          started         RST
``fin``            started         the end of the stream without a close frame
``cut_frame``      started         half a frame, then the end of the stream
``silence``        started         nothing more is said, though everything is read
``no_acks``        started         audio is not acknowledged
``no_pongs``       open            pings are not answered
``stop_reading``   started         nothing more is read
``bad_json``       started         a text frame that is no JSON
``binary_json``    started         a message in a binary frame
``unknown``        started         a message nobody knows
``message``        started         any message, in or out of turn
``pings``          open            ``count`` pings, ``interval`` seconds apart
``flood``          started         ``count`` transcripts at once
``oversize``       started         a transcript of ``size`` bytes
=================  ==============  ========================================================

A new fault is one entry in :class:`Fault`: its parameters are its options, its body is what it does.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

from .engine import final
from .peer import Peer
from .wire import Drip, Wire

__all__ = ["Fault", "Stage"]

_POINTS = ("accept", "handshake", "open", "start", "started", "drain", "end")


class Stage(Protocol):
    """The connection a fault acts on: a :class:`~speechmatics_rt.local.conversation.Conversation`."""

    wire: Wire
    peer: Peer
    acks: bool
    start_delay: float

    def say(self, message: Mapping[str, Any], *, binary: bool = False) -> None: ...
    def fail(self, type: str, reason: str, *, code: Optional[int] = None, close: bool = True) -> None: ...


@dataclass(frozen=True)
class _Kind:
    at: str
    act: Callable[..., None]


_KINDS: dict[str, _Kind] = {}
_WHEN = ("at", "after_messages", "after_bytes", "after_seconds", "sessions")


def _kind(at: str) -> Callable[[Callable[..., None]], staticmethod[..., Fault]]:
    """Register a function of the stage as a kind of fault, and turn it into the maker of such faults."""

    def register(act: Callable[..., None]) -> staticmethod[..., Fault]:
        name = act.__name__
        _KINDS[name] = _Kind(at, act)
        options_of = inspect.signature(act)

        @functools.wraps(act)
        def make(*args: Any, **options: Any) -> Fault:
            when = {key: options.pop(key) for key in _WHEN if key in options}
            bound = options_of.bind(None, *args, **options)
            given = tuple((key, value) for key, value in bound.arguments.items() if key != "stage")
            return Fault(name, options=given, **when)

        return staticmethod(make)

    return register


@dataclass(frozen=True)
class Fault:
    """One misbehaviour at one moment; made by the constructors named after the kinds.

    Every constructor also takes ``at``, ``after_messages``, ``after_bytes``, ``after_seconds`` and
    ``sessions``. Without a moment the kind's usual one counts.

    Raises:
        ValueError: The kind or the point is unknown, or two moments are given.

    Example:
        >>> Fault.reset(after_bytes=32000) == Fault("reset", after_bytes=32000)
        True
        >>> Fault.refuse(503, retry_after=2, sessions=[0]).at
        'handshake'
    """

    kind: str
    at: str = ""
    after_messages: Optional[int] = None
    after_bytes: Optional[int] = None
    after_seconds: Optional[float] = None
    sessions: Optional[tuple[int, ...]] = None
    options: tuple[tuple[str, Any], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(sorted(_KINDS))}")
        moments = [self.after_messages, self.after_bytes, self.after_seconds]
        if sum(moment is not None for moment in moments) + bool(self.at) > 1:
            raise ValueError(f"the fault {self.kind!r} has more than one moment")
        if not self.counts and not self.at:
            object.__setattr__(self, "at", _KINDS[self.kind].at)
        if self.at and self.at not in _POINTS:
            raise ValueError(f"no point is called {self.at!r}; there are {', '.join(_POINTS)}")
        if self.sessions is not None:
            object.__setattr__(self, "sessions", tuple(self.sessions))

    @property
    def counts(self) -> bool:
        """True if the moment is a count, not a point."""
        return not (self.after_messages is self.after_bytes is self.after_seconds is None)

    def due(self, messages: int, audio_bytes: int, seconds: float) -> bool:
        """Tell whether a counted moment has come."""
        return (
            (self.after_messages is not None and messages >= self.after_messages)
            or (self.after_bytes is not None and audio_bytes >= self.after_bytes)
            or (self.after_seconds is not None and seconds >= self.after_seconds)
        )

    def applies(self, index: int) -> bool:
        """Tell whether the fault is for that connection."""
        return self.sessions is None or index in self.sessions

    def act(self, stage: Stage) -> None:
        """Do it."""
        _KINDS[self.kind].act(stage, **dict(self.options))

    # -- the kinds -------------------------------------------------------------------------------

    @_kind("handshake")
    def refuse(
        stage: Stage,
        status: int = 503,
        *,
        retry_after: Optional[float] = None,
        location: Optional[str] = None,
        body: Any = None,
    ) -> None:
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        if location is not None:
            headers["Location"] = location
        stage.peer.answer(status, {"code": status, "error": "refused"} if body is None else body, headers)

    @_kind("handshake")
    def drip(stage: Stage, size: int = 1, seconds: float = 0.01, total: int = 100) -> None:
        stage.wire.drip = Drip(size, seconds, total)

    @_kind("start")
    def late_start(stage: Stage, seconds: float = 1.0) -> None:
        stage.start_delay = seconds

    @_kind("started")
    def error(
        stage: Stage,
        type: str = "unknown_error",
        reason: str = "",
        *,
        code: Optional[int] = None,
        close: bool = True,
    ) -> None:
        stage.fail(type, reason or type, code=code, close=close)

    @_kind("started")
    def close(stage: Stage, code: int = 1011, reason: str = "") -> None:
        stage.peer.close(code, reason)

    @_kind("started")
    def reset(stage: Stage) -> None:
        stage.peer.reset()

    @_kind("started")
    def fin(stage: Stage) -> None:
        stage.peer.end()

    @_kind("started")
    def cut_frame(stage: Stage) -> None:
        stage.peer.raw(b'\x81\x7e\x01\x00{"message":"AddTranscript"')  # announces 256 bytes
        stage.peer.end()

    @_kind("started")
    def silence(stage: Stage) -> None:
        stage.peer.speaks = False

    @_kind("started")
    def no_acks(stage: Stage) -> None:
        stage.acks = False

    @_kind("open")
    def no_pongs(stage: Stage) -> None:
        stage.peer.pongs = False

    @_kind("started")
    def stop_reading(stage: Stage) -> None:
        stage.peer.deafen()

    @_kind("started")
    def bad_json(stage: Stage, text: str = '{"message": "AddTranscript", ') -> None:
        stage.peer.send(text)

    @_kind("started")
    def binary_json(stage: Stage, message: Optional[Mapping[str, Any]] = None) -> None:
        stage.say(message or _INFO, binary=True)

    @_kind("started")
    def unknown(stage: Stage) -> None:
        stage.say({"message": "SomethingNew", "detail": {"nested": [1, 2, 3]}})

    @_kind("started")
    def message(stage: Stage, message: Mapping[str, Any]) -> None:
        stage.say(message)

    @_kind("open")
    def pings(stage: Stage, count: int = 3, interval: float = 0.05, payload: bytes = b"ping") -> None:
        def ping(left: int) -> None:
            stage.peer.raw(bytes([0x89, len(payload)]) + payload)
            if left > 1:
                stage.wire.later("pings", interval, lambda: ping(left - 1))

        ping(count)

    @_kind("started")
    def flood(stage: Stage, count: int = 1000) -> None:
        for number in range(count):
            stage.say(final([_word(f"flood{number}", 0.0, 0.0)], 0.0, 0.0))

    @_kind("started")
    def oversize(stage: Stage, size: int = 2 * 1024 * 1024) -> None:
        frame = len(json.dumps(final([_word("", 0.0, 0.0)], 0.0, 0.0)))
        stage.say(final([_word("x" * max(1, (size - frame) // 2), 0.0, 0.0)], 0.0, 0.0))


_INFO = {
    "message": "Info",
    "type": "recognition_quality",
    "reason": "broadcast quality",
    "quality": "broadcast",
}


def _word(content: str, start: float, end: float) -> dict[str, Any]:
    return {
        "type": "word",
        "start_time": start,
        "end_time": end,
        "alternatives": [{"content": content, "confidence": 1.0, "language": "en"}],
    }
