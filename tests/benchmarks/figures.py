"""From what was measured to a table: pure, and tested."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

from .rows import LABELS, Row

__all__ = ["BUSY", "OTHERS", "Figure", "Measured", "alternated", "doubts", "line", "render", "result"]

COSTS = ("cpu_us", "cpu_percent", "kilobytes", "p50_us")  # what a bar shows beside that of a peer
OTHERS = 0.10  # of the machine: more than that, and figures are those of a crowd
BUSY = 0.40  # of the time: a sink that is busier may be what is measured


class Figure(NamedTuple):
    """The median of the rounds, and the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        return cls(statistics.median(values), min(values), max(values))


Measured = dict[str, dict[str, dict[str, Figure]]]  # by the task's key, the peer and the figure


def alternated(peers: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Give whose turn it is: in each round everybody once, and somebody else first.

    Example:
        >>> [peer for _, peer in alternated(["a", "b", "c"], 2)]
        ['a', 'b', 'c', 'b', 'c', 'a']
    """
    for turn in range(rounds):
        first = turn % len(peers)
        for peer in (*peers[first:], *peers[:first]):
            yield turn, peer


def doubts(told: dict[str, Any], seen: dict[str, Any], *, messages: int, ours: bool) -> list[str]:
    """Say what is wrong with a measurement, of which the client told one thing and the sink saw another.

    Args:
        messages: How many a flood has.
        ours: It must count its frames. The official SDK ends with the number that was acknowledged so far.
    """
    found = []
    if seen.get("misplaced"):
        found.append(f"{seen['misplaced']} frames were not what was to be sent")
    if seen.get("miscounted") and ours:
        found.append(f"{seen['miscounted']} EndOfStream had a wrong last_seq_no")
    if told.get("audio", 0) != seen.get("bytes", 0):
        found.append(f"{told.get('audio', 0)} bytes were sent, and {seen.get('bytes', 0)} arrived")
    if "seen" in told and told["seen"] != messages:
        found.append(f"{told['seen']} of {messages} messages reached their handler")
    return found


def result(row: Row, measured: Measured) -> dict[str, Any]:
    """Return a line of the table as data; what could not be measured is None."""
    peers = measured.get(row.task, {})
    figures = {name: figure for name, found in peers.items() if (figure := found.get(row.figure)) is not None}
    ours = figures.get(row.who)
    other = figures.get(row.against or "")
    value: Optional[float] = None
    if ours is not None:
        value = ours.median if row.against is None else other and ours.median / other.median
    return {
        "title": row.title,
        "unit": row.unit,
        "who": row.who,
        "cost": row.figure in COSTS,
        "figures": {name: figure._asdict() for name, figure in figures.items()},
        "ratios": {
            name: ours.median / figure.median
            for name, figure in figures.items()
            if ours is not None and figure.median and not name.startswith("ours")
        },
        "against": row.against,
        "goal": row.goal,
        "value": value,
        "met": None if row.goal is None else value is not None and value <= row.goal,
    }


def render(results: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    columns = ("raw", "official")
    lines = [
        "| measure | this package (least to most) | "
        + " | ".join(LABELS[name] for name in columns)
        + " | ratio | goal | |",
        "| --- | ---: |" + " ---: |" * (len(columns) + 2) + " --- |",
    ]
    lines += [line(found, columns) for found in results]
    return "\n".join(lines)


def line(found: dict[str, Any], columns: Sequence[str]) -> str:
    figures, unit = found["figures"], found["unit"]
    ours = figures.get(found["who"])
    cells = [found["title"]]
    cells.append(
        f"{_amount(ours['median'], unit)} ({_number(ours['low'])} to {_number(ours['high'])})"
        if ours
        else "not measured"
    )
    cells += [_amount(figures[name]["median"], unit) if name in figures else "" for name in columns]
    against, goal, value = found["against"], found["goal"], found["value"]
    cells.append(f"{value:.2f} of {LABELS[against]}" if against and value is not None else "")
    cells.append("" if goal is None else f"≤ {goal:g}" if against else f"≤ {_amount(goal, unit)}")
    cells.append({None: "", True: "met", False: "**falls short**"}[found["met"]])
    return "| " + " | ".join(cells) + " |"


def _amount(value: float, unit: str) -> str:
    if unit == "µs" and value >= 1000:
        value, unit = value / 1000, "ms"
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
