"""One report at the end of a run: the figures that tests have to tell, by subject.

A test takes the fixture ``report`` and tells a line: ``report("hunt", "20,000 schedules: 0 hung")``. What
is told travels with the test's outcome, so it arrives from the workers of pytest-xdist too, and from a test
that fails after it has told. ``tox -e reliability`` ends with the whole, plain ``pytest`` with a short form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import pytest

# In this order; a subject that is not listed comes after them.
SUBJECTS = (
    "faults",
    "pairs",
    "words",
    "interrupts",
    "hunt",
    "long time",
    "networks",
    "environments",
    "hostile",
    "leaks",
    "fuzz",
)
PROPERTY = "line of the report"


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Tell a line of the report: ``report(subject, line)``. One without a figure is not worth it."""

    def tell(subject: str, line: str) -> None:
        request.node.user_properties.append((PROPERTY, [subject, line]))

    return tell


def told(outcomes: list[Any]) -> dict[str, list[str]]:
    """Sort what the tests told by subject; each test ends with one teardown, which has all of its lines."""
    lines: dict[str, list[str]] = {subject: [] for subject in SUBJECTS}
    for outcome in outcomes:
        if getattr(outcome, "when", None) == "teardown":
            for name, value in outcome.user_properties:
                if name == PROPERTY:
                    lines.setdefault(value[0], []).append(value[1])
    return {subject: found for subject, found in lines.items() if found}


def rows(lines: dict[str, list[str]]) -> Iterator[str]:
    for subject, found in lines.items():
        # Tests run in any order; the report reads the same each time.
        for at, line in enumerate(sorted(found)):
            yield f"{subject if at == 0 else '':<14}{line}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = told([one for outcomes in terminalreporter.stats.values() for one in outcomes])
    if lines:
        terminalreporter.section("what the tests measured")
        for row in rows(lines):
            terminalreporter.write_line(row)
