"""What the tests of networks stand on: a machine that can make them, nothing that stays, and their table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from .hosts import left_of, missing, tidy

_TABLE = "networks: "  # what the names of those properties begin with that are rows of a table


@pytest.fixture(scope="session")
def able() -> Iterator[None]:
    """Skip where no network can be made, and say why."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    yield
    tidy()


@pytest.fixture(autouse=True)
def nothing_stays(able: None) -> Iterator[None]:
    yield
    assert left_of(os.getpid()) == []


@pytest.fixture(autouse=True)
def ahead_of_all_others(able: None) -> Iterator[None]:
    """Have a test, and all that it starts, go before whatever else runs: it is networks that are timed."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:  # root of a container that may not
        yield
        return
    yield
    os.sched_setscheduler(0, policy, parameters)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Put a row into the table at the end of the run: what was run, what came of it, and the figures."""

    def put(table: str, name: str, told: dict[str, Any], bound: float, *, resume: bool = False) -> None:
        error = told["error"]
        came = f"{error['kind']} ({error.get('stage')})" if error else "all words"
        lost = (
            "" if error else f"{told['missing']:>6}{told['twice']:>6}{told['losses']:>7}{told['attempts']:>6}"
        )
        shown = f"{name}{', with resume' * resume}"
        record_property(_TABLE + table, f"{shown:<66}{came:<28}{told['after']:>7.2f}{bound:>7.1f}{lost}")

    return put


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    told = [(name, text) for one in reports for name, text in one.user_properties if name.startswith(_TABLE)]
    for table in sorted({name for name, _ in told}):
        terminalreporter.section(table)
        head = f"{'what happens':<66}{'what comes of it':<28}{'s':>7}{'bound':>7}"
        terminalreporter.write_line(f"{head}{'lost':>6}{'twice':>6}{'breaks':>7}{'tries':>6}")
        for row in sorted(text for name, text in told if name == table):
            terminalreporter.write_line(row)
