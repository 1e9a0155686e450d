"""One misbehaviour at one moment, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ...exceptions import ConfigurationError
from .connection import ConnectionFaults
from .content import ContentFaults
from .framing import FramingFaults
from .kind import KINDS, WHEN, Target
from .opening import OpeningFaults
from .parse import check_option, default_of, read_fault, unknown
from .turns import TurnFaults

__all__ = ["POINTS", "Fault", "FaultRow"]

POINTS = (
    *("accept", "tls", "key", "handshake", "open", "start"),
    *("started", "drain", "end", "ended", "closing"),
)


class FaultRow(NamedTuple):
    """One line of the table: a kind, its usual moment, its options as the command line takes them."""

    kind: str
    at: str
    options: str
    what: str


@dataclass(frozen=True, repr=False)
class Fault(OpeningFaults, TurnFaults, ConnectionFaults, FramingFaults, ContentFaults):
    """A fault of the local server at one moment; created by the constructors named after its kinds.

    Every constructor also takes ``at``, ``after_messages``, ``after_bytes``, ``after_seconds``,
    ``after_final``, ``delay`` and ``sessions``. By default a fault acts at the usual moment of its kind,
    and in every connection, those that ``resume`` makes included: ``sessions=[0]`` breaks the first alone.

    Raises:
        ConfigurationError: The kind or the point is unknown, two moments are given, or a value is wrong.

    Example:
        >>> Fault.reset(after_bytes=32000) == Fault("reset", after_bytes=32000)
        True
        >>> Fault.refuse(503, retry_after=2, sessions=[0]).at
        'handshake'
        >>> Fault.parse("reset:after_bytes=32000,sessions=0").sessions  # of a command line
        (0,)
    """

    kind: str
    at: str = ""
    after_messages: Optional[int] = None
    after_bytes: Optional[int] = None
    after_seconds: Optional[float] = None
    after_final: Optional[float] = None
    delay: float = 0.0
    sessions: Optional[tuple[int, ...]] = None
    options: tuple[tuple[str, Any], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("fault", self.kind, KINDS)
        sessions: Any = self.sessions
        if isinstance(sessions, int):  # one is written as one, as on the command line
            object.__setattr__(self, "sessions", (sessions,))
        elif isinstance(sessions, Iterable) and not isinstance(sessions, str):
            object.__setattr__(self, "sessions", tuple(sessions))
        given = {**{name: getattr(self, name) for name in WHEN}, **dict(self.options)}
        for name, value in given.items():
            if value is not None or name not in WHEN:
                check_option(self.kind, name, value, value)
        if sum(moment is not None for moment in self._counts) + bool(self.at) > 1:
            raise ConfigurationError(f"the fault {self.kind!r} has more than one moment")
        if not self.counts and not self.at:
            object.__setattr__(self, "at", KINDS[self.kind].at)
        if self.at and self.at not in POINTS:
            raise unknown("point", self.at, POINTS)

    def __repr__(self) -> str:
        usual = {"at": "" if self.counts else KINDS[self.kind].at, "delay": 0.0}
        when = {name: getattr(self, name) for name in WHEN if getattr(self, name) != usual.get(name)}
        given = {**dict(self.options), **when}
        return f"Fault.{self.kind}({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse ``kind`` or ``kind:option=value,option=value``; moments are options, too.

        A value with brackets or quotes is JSON; any other ends at the next comma.

        Raises:
            ConfigurationError: A name is unknown, or a value is missing or of the wrong type.
        """
        name, keywords = read_fault(text)
        try:
            made: Fault = getattr(cls, name)(**keywords)
        except TypeError as exc:
            raise ConfigurationError(f"the fault {name}: {exc}") from exc
        return made

    @staticmethod
    def table() -> list[FaultRow]:
        """Return a row for each kind, in the order of their moments."""
        rows = [
            FaultRow(name, kind.at, ",".join(map(default_of, kind.options)), kind.what)
            for name, kind in KINDS.items()
        ]
        return sorted(rows, key=lambda row: POINTS.index(row.at))

    @property
    def _counts(self) -> tuple[Optional[float], ...]:
        return self.after_messages, self.after_bytes, self.after_seconds, self.after_final

    @property
    def counts(self) -> bool:
        """Whether the moment is a count, not a point."""
        return any(moment is not None for moment in self._counts)

    def due(self, messages: int, audio_bytes: int, seconds: float, final: float) -> bool:
        """Whether a counted moment has come."""
        counted = zip(self._counts, (messages, audio_bytes, seconds, final))
        return any(moment is not None and count >= moment for moment, count in counted)

    def applies(self, index: int) -> bool:
        """Whether the fault is for that connection."""
        return self.sessions is None or index in self.sessions

    def act(self, session: Target) -> None:
        """Act, now or after the delay."""
        session.wire.after(f"fault {id(self)}", self.delay, lambda: self._act(session))

    def _act(self, session: Target) -> None:
        session.record.add_fault(self.kind)
        KINDS[self.kind].act(session, **dict(self.options))
