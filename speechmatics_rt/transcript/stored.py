"""The results of a transcript in memory, and in JSON: checked as they come in, in order as they go out."""

from __future__ import annotations

import marshal
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, Optional, Union

from ..exceptions import ConfigurationError, shown
from ..messages import channel_of, text_of, time_of

__all__ = [
    "NOTHING",
    "Final",
    "Kept",
    "Packed",
    "by_channel",
    "by_label",
    "ends_of",
    "in_order",
    "is_result",
    "labelled",
    "listed",
    "mappings",
    "pack",
    "without_lone_marks",
]

# Results in a compact form, and whether that is the whole message as it came. A plain tuple of bytes, which
# the garbage collector stops tracking: a long session gathers many.
Packed = tuple[bool, Union[bytes, list[Any]]]
Unpack = Callable[[bool, Union[bytes, list[Any]]], list[Any]]
# Channel, results as in Packed, end; in one tuple, not in two, since a day of speech has 200,000.
Final = tuple[Optional[str], bool, Union[bytes, list[Any]], float]


def pack(results: list[Any]) -> Packed:
    """Bring results into a compact form."""
    try:
        # 2 us for an ordinary sentence; it never leaves this process
        return False, marshal.dumps(results)
    except ValueError:  # added by hand, with more in it than JSON has
        return False, results


NOTHING = pack([])


def mappings(results: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Leave out what is no result."""
    return (item for item in results if isinstance(item, Mapping))


class Kept:
    """Which part of one channel is kept, in seconds."""

    __slots__ = ("dropped", "end", "headless", "since")

    def __init__(self, now: float) -> None:
        self.since = self.end = now
        self.dropped = -1.0  # the end of the last final that is gone
        self.headless = False  # the word before the next result was dropped

    def headed(self, packed: Packed, unpack: Unpack) -> Optional[Packed]:
        """Return the next results without marks whose word was dropped; None if nothing is left of them."""
        if not self.headless:
            return packed
        results = without_lone_marks(unpack(*packed))
        if not results:
            return None
        packed, self.headless = pack(results), False
        return packed

    def trimmed(
        self, finals: list[Final], channel: Optional[str], oldest: float, unpack: Unpack
    ) -> list[Final]:
        """Return the finals without those of this channel that ended before ``oldest``."""
        left: list[Final] = []
        for final in finals:
            one, late, form, end = final
            if one == channel and end < oldest:
                self.headless, self.dropped = True, max(self.dropped, end)
                continue
            if one == channel and self.headless:
                packed = self.headed((late, form), unpack)
                if packed is None:
                    continue
                final = (one, *packed, end)
            left.append(final)
        return left


def without_lone_marks(results: list[Any]) -> list[Any]:
    """Drop the marks at the beginning, whose word was dropped."""
    for index, item in enumerate(results):
        mark = isinstance(item, Mapping) and item.get("type") == "punctuation"
        if not mark or item.get("attaches_to") in ("next", "none"):
            return results[index:]
    return []


def ends_of(data: Mapping[str, Any]) -> dict[Optional[str], float]:
    """Return the ends of the channels of what was stored: none if there are no channels."""
    ends = data.get("end_times", {})
    if not isinstance(ends, Mapping):
        raise ConfigurationError(f"not a transcript: end_times is {shown(ends, 60)}")
    return {text_of(channel): time_of(end) for channel, end in ends.items()}


def listed(data: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Return a list of what was stored, which may be missing.

    Raises:
        ConfigurationError: It is no list of these.
    """
    found = data.get(name, [])
    if isinstance(found, (list, tuple)) and all(isinstance(item, kind) for item in found):
        return list(found)
    raise ConfigurationError(f"not a transcript: {name} is {shown(found, 60)}")


def by_channel(data: Mapping[str, Any]) -> dict[Optional[str], list[Any]]:
    """Return the results of each channel that was stored.

    Raises:
        ConfigurationError: Something else was.
    """
    results: dict[Optional[str], list[Any]] = {}
    for item in listed(data, "results", Mapping):
        if not is_result(item):
            raise ConfigurationError(f"not a transcript: a result is {shown(item, 60)}")
        results.setdefault(channel_of(item), []).append(item)
    return results


def is_result(item: Mapping[str, Any]) -> bool:
    """Whether it has what at least one is needed of to be told from any other JSON."""
    return "alternatives" in item or "type" in item


def labelled(channel: Optional[str], item: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a result, with its channel."""
    return dict(item) if channel is None else {**item, "channel": channel}


def by_label(item: tuple[Optional[str], Any]) -> str:
    """Return what to sort channels by."""
    return item[0] or ""


def in_order(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort results by time, those at one time by channel, however the finals of the channels came in turn.

    Example:
        >>> agent, caller = ({"start_time": 1.0, "channel": label} for label in ("agent", "caller"))
        >>> in_order([caller, agent]) == in_order([agent, caller])
        True
    """
    latest: dict[str, float] = {}
    keyed: list[tuple[tuple[float, str], dict[str, Any]]] = []
    for item in results:
        label = channel_of(item) or ""
        # Results of one channel stay in their order, whatever their times.
        latest[label] = max(latest.get(label, 0.0), time_of(item.get("start_time")))
        keyed.append(((latest[label], label), item))
    if len(latest) > 1:
        keyed.sort(key=operator.itemgetter(0))
    return [item for _, item in keyed]
