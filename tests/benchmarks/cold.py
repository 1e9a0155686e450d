"""What each step of a live session costs: ``python -m tests.benchmarks.cold [TREE ...]``.

A session that has slept finds nothing in the processor's caches, and that is most of what it costs. Here they
are emptied before each step, by writing to more memory than they hold. So the figures are those of a live
session, and under ``chrt -f 10`` hardly depend on what else the machine does. Trees are compared in one
process, in turns.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from .peers.material import transcript

ROOT = Path(__file__).resolve().parents[2]
SIZE = 40_000_000  # bytes, more than any cache here
STEPS = ("a chunk", "an acknowledgement", "a transcript (3 kB)")


class Caches:
    """The processor's."""

    def __init__(self) -> None:
        self._one, self._other = bytearray(SIZE), bytearray(SIZE)

    def empty(self) -> None:
        self._one[:] = self._other


def session_of(tree: Path) -> tuple[Any, Any]:
    """Start a session with the package of a tree; return it and the acknowledgement it understands."""
    for name in [name for name in sys.modules if name.split(".")[0] == "speechmatics_rt"]:
        del sys.modules[name]
    sys.modules.pop("tests.session.test_costs", None)
    sys.path.insert(0, str(tree))
    try:
        costs = importlib.import_module("tests.session.test_costs")
    finally:
        sys.path.remove(str(tree))
    live = costs.Live()
    live.start()
    return live, costs.ACKNOWLEDGEMENT


def measure(trees: Sequence[Path], rounds: int) -> dict[Path, dict[str, float]]:
    """Return what each step costs, in microseconds."""
    caches = Caches()
    sessions = {tree: session_of(tree) for tree in trees}
    taken: dict[Path, dict[str, list[float]]] = {tree: defaultdict(list) for tree in trees}

    def take(tree: Path, step: str, work: Callable[[], object]) -> None:
        caches.empty()
        began = time.perf_counter()
        work()
        taken[tree][step].append((time.perf_counter() - began) * 1e6)

    for number in range(rounds):
        for tree in trees if number % 2 else trees[::-1]:
            live, acknowledgement = sessions[tree]
            take(tree, STEPS[0], live.send)
            live.say(acknowledgement)
            take(tree, STEPS[1], live.read)
            live.say(transcript(number))
            take(tree, STEPS[2], live.listener._take)
    for live, _ in sessions.values():
        live.close()
    return {
        tree: {step: statistics.median(values) for step, values in steps.items()}
        for tree, steps in taken.items()
    }


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs="*", type=Path, default=[ROOT], help="checkouts (this one)")
    parser.add_argument("--rounds", type=int, default=200, help="how often each has its turn (200)")
    options = parser.parse_args(arguments)
    for tree, steps in measure([tree.resolve() for tree in options.trees], options.rounds).items():
        print(f"{tree}: " + ", ".join(f"{step} {value:.1f} µs" for step, value in steps.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
