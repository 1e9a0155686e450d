"""Real clients over real networks, between hosts in namespaces: what is promised, in its time, nothing left.

All rows of the three tables: ``tox -e networks``. Those marked ``short`` run in CI. Both end with figures.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

import pytest

from .hosts import Network, left_of, two_hosts, until, without
from .openings import OPENINGS, Opening, call
from .proxies import PROXIES, Proxied
from .proxies import run as run_through
from .sessions import SESSIONS, Session, run

pytestmark = [pytest.mark.networks, pytest.mark.timeout(300)]
Tell = Callable[..., None]


def rows(table: Iterable[Any]) -> list[Any]:
    return [pytest.param(row, id=row.name, marks=[pytest.mark.short] if row.short else []) for row in table]


def both(table: Iterable[Any]) -> list[Any]:
    """Each row without ``resume``, and with it where the connection breaks or the cable is bad."""
    found = []
    for row in table:
        marks = [pytest.mark.short] if row.short else []
        found.append(pytest.param(row, False, id=row.name, marks=marks))
        if row.breaks:
            found.append(pytest.param(row, True, id=f"{row.name}, with resume", marks=marks))
    return found


@pytest.mark.parametrize("row", rows(OPENINGS))
def test_a_connection_opens_or_fails_as_promised(row: Opening, tell: Tell) -> None:
    with two_hosts() as network:
        told = call(network, row)
    tell("opening", row.name, told, row.within[1])
    assert told["wrong"] == []


@pytest.mark.parametrize(("row", "resume"), both(SESSIONS))
def test_a_session_ends_as_promised_or_loses_no_word(row: Session, resume: bool, tell: Tell) -> None:
    told = run(row, resume=resume)
    tell("sessions", row.name, told, row.back if resume and row.raises else row.within, resume=resume)
    assert told["wrong"] == []


@pytest.mark.parametrize(("row", "resume"), both(PROXIES))
def test_a_proxy_lets_through_or_refuses_as_promised(row: Proxied, resume: bool, tell: Tell) -> None:
    reason = without(row.program) or row.hindrance
    if reason:
        pytest.skip(reason)
    told = run_through(row, resume=resume)
    tell("proxies", row.name, told, row.within, resume=resume)
    assert told["wrong"] == []


@pytest.mark.short
def test_what_a_killed_run_has_left_is_removed_by_the_next_one() -> None:
    program = f"""
import os, signal
from {__package__}.hosts import Network
with Network() as network:
    network.join(network.host("one"), network.host("other"))
    network["one"].start("sleep", "1000")
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    folder = Path(__file__).parent.parent.parent
    killed = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    left = left_of(int(killed.stdout))
    assert len(left) == 5  # two namespaces, with their files, and a folder
    inside = os.stat(next(path for path in left if path.startswith("/run") and path.endswith("one"))).st_ino
    until(lambda: inside in namespaces(), 5)
    with Network():
        assert left_of(int(killed.stdout)) == []
        until(lambda: inside not in namespaces(), 5)  # so its program has ended


def namespaces() -> set[int]:
    """The networks in which something runs."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(process.stat().st_ino)
    return found


@pytest.mark.short
def test_names_are_unique() -> None:
    tables: list[list[Any]] = [OPENINGS, SESSIONS, PROXIES]
    for table in tables:
        assert [name for name, count in Counter(row.name for row in table).items() if count > 1] == []
