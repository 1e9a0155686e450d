"""Where the utterances of a session have ended, and which ends its program has asked for. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Optional

from ..messages import answered_forced_end, channel_of, is_close_to_end, text_of, times_of

__all__ = ["UNKNOWN", "ForcedEnd", "ForcedEnds", "Place"]

_Channel = Optional[str]
_MOST = 100  # without an answer; beyond that the oldest are forgotten


# Where an utterance is to end, None if that is unknown, and how much audio of the channel had been sent by
# then, in seconds.
Place = tuple[Optional[float], float]
UNKNOWN: Place = (None, float("inf"))  # of files


class ForcedEnd:
    """A forced end of an utterance that the service has been asked for.

    Attributes:
        question: The message that asks.
        places: Of each channel whose answer is still to come.
        since: Where the utterance before it has ended, on each channel. What a silence ends between question
            and answer is not taken off, since nobody who waits for the answer has got it otherwise.
        returned: Whether what was said is to be given to a call that waits for it.
    """

    def __init__(
        self,
        question: Mapping[str, Any],
        places: dict[_Channel, Place],
        since: dict[_Channel, float],
        *,
        returned: bool,
    ) -> None:
        self.question = question
        self.places = places
        self.since = since
        self.returned = returned

    @property
    def channel(self) -> _Channel:
        """The channel that it names."""
        return text_of(self.question.get("channel"))

    def is_of(self, channel: _Channel) -> bool:
        """Whether an answer that names this channel, or none, may be its."""
        return channel is None or channel in self.places or None in self.places

    def place_on(self, channel: _Channel) -> tuple[float, float]:
        at, sent = self.places.get(channel) or next(iter(self.places.values()), UNKNOWN)
        return at or 0.0, sent

    def is_reached(self, ends: Mapping[_Channel, float]) -> bool:
        """Whether the finals of each channel, which end there, have come to its place."""
        return all(
            at is not None and is_close_to_end(ends.get(label, 0.0), at)
            for label, (at, _) in self.places.copy().items()
        )


class ForcedEnds:
    """The forced ends that were asked for and not answered yet, and where utterances have ended.

    Any thread may ask; the one that delivers messages gives answers. There is no lock: each change is one
    atomic operation, and iteration is over a copy.

    Example:
        >>> ends = ForcedEnds()
        >>> asked = [ends.ask({"message": "ForceEndOfUtterance"}, {None: (at, at)}) for at in (2.0, 4.0)]
        >>> ends.answered({"message": "EndOfUtterance", "forced": True}) is asked[0]
        True
    """

    def __init__(self) -> None:
        self._asked: list[ForcedEnd] = []
        self._since: dict[_Channel, float] = {}

    def ask(
        self, question: Mapping[str, Any], places: Mapping[_Channel, Place], *, returned: bool = False
    ) -> ForcedEnd:
        """Note that the service is about to be asked to end an utterance, on each of these channels."""
        forced = ForcedEnd(question, dict(places), self._since.copy(), returned=returned)
        self._asked.append(forced)
        del self._asked[:-_MOST]
        return forced

    def withdraw(self, forced: ForcedEnd) -> None:
        """Note that it was not asked after all."""
        with contextlib.suppress(ValueError):  # it has been forgotten, or passed over
            self._asked.remove(forced)

    def answered(self, message: Mapping[str, Any]) -> Optional[ForcedEnd]:
        """Return which of them an ``EndOfUtterance`` answers, or None; those before it were passed over."""
        channel, time = channel_of(message), times_of(message)[1]
        asked = [forced for forced in self._asked.copy() if forced.is_of(channel)]
        number = answered_forced_end(message, time, [forced.place_on(channel) for forced in asked])
        if number is None:
            return None
        for forced in asked[: number + 1]:
            if forced.places.pop(channel, None) is None:
                forced.places.clear()  # answered on all channels, or on one without a name before
            if not forced.places:
                self.withdraw(forced)
        return asked[number]

    def leave(self, forced: ForcedEnd, channel: _Channel) -> None:
        """Note that nobody has got what it ended on a channel, or on all: it is left to the next one."""
        for since in (self._since, *(other.since for other in self._asked.copy())):
            for label, place in since.copy().items():
                if channel in (None, label):
                    since[label] = min(place, forced.since.get(label, -1.0))

    def end(self, places: Mapping[_Channel, float], *, forced: bool) -> None:
        """Note that utterances have ended at these places; of ends meanwhile asked for, forced ones alone."""
        self._since.update(places)
        for other in self._asked.copy() if forced else ():
            other.since.update(places)
