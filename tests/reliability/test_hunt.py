"""The hunt for deadlocks, as processes: some seeds with every run, thousands by ``tox -e reliability``."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from typing import Callable

import pytest

from ..conftest import SPEECH
from .hunt import watch

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it forks, and counts descriptors in /proc"
)


def hunt(first: int, count: int, report: Callable[[str, str], None]) -> None:
    """Run so many seeds, and show what they have found."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.hunt", str(first), str(first + count)],
        cwd=SPEECH.parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:]
    report("hunt", done.stdout.splitlines()[-1])


@pytest.mark.timeout(180)
def test_sessions_in_which_everything_happens_at_once_come_back_and_leave_nothing(report) -> None:
    hunt(0, 25, report)


def test_what_stands_still_is_found_out() -> None:
    found = threading.Event()
    with watch(lambda: [os.getpid()], 0.5, found.set):
        assert found.wait(30)


@pytest.mark.reliability  # what it finds is new, and no fault of the change that is being tried
@pytest.mark.timeout(180)
def test_the_same_at_moments_that_nobody_has_tried(report) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")  # and the hunt's own output names it
    hunt(seed, 30, report)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("series", range(4))
def test_twenty_thousand_schedules(series: int, report) -> None:
    count = int(os.environ.get("SPEECHMATICS_RT_RELIABILITY_SCHEDULES", "20000")) // 4
    hunt(1_000_000 + series * 100_000, count, report)
