"""Long time: what a session of days costs, and what thousands of sessions leave behind.

The short form takes seconds. The long one, a day of speech, the roll-over after 48 hours and 2,000 sessions
in a row, runs by ``tox -e reliability`` and prints its figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

import pytest

from ..conftest import SPEECH

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it reads memory and descriptors in /proc"
)

DRIFT = 40  # ms
A_DAY = 24


def figures(*arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.long", *map(str, arguments)],
        cwd=SPEECH.parent.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_speech(told: dict[str, Any], *, growth: float) -> None:
    """Hold a session to what it said: each word in its place, and no more memory an hour than this."""
    assert told["wrong"] == []
    assert told["words"] > 8500 * told["hours"]
    assert told["drift ms"] <= DRIFT
    memory = [row["MB"] for row in told["rows"]]
    half = len(memory) // 2
    steps = [(later - earlier) for earlier, later in zip(memory, memory[1:])]
    # No more in the second half than in the first, but for what the allocator keeps.
    assert sum(steps[half:]) - sum(steps[: half - 1]) < 2 + 0.1 * sum(steps)
    assert told["MB an hour"] < growth


@pytest.mark.timeout(180)
def test_half_an_hour_of_speech_rolled_over_is_whole_and_its_times_do_not_drift() -> None:
    told = figures("speech", "--hours", 0.5, "--limit", 0.3, "--step", 225)
    assert told["resumed"] == 1
    check_speech(told, growth=12)


@pytest.mark.timeout(180)
def test_sessions_failed_starts_and_dropped_iterators_leave_the_process_as_it_was() -> None:
    for name, told in figures("sessions", "--share", 0.05).items():
        assert (told["threads"], told["descriptors"]) == (0, 0), name


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_a_day_of_speech() -> None:
    told = figures("speech", "--hours", A_DAY)
    check_speech(told, growth=9)
    late = told["late ms"]
    assert median(late[A_DAY // 2 :]) < 2 * median(late[: A_DAY // 2]) + 50


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_the_end_of_a_session_after_48_hours_is_rolled_over_and_an_hour_that_is_kept_takes_no_more() -> None:
    told = figures("speech", "--hours", 50, "--limit", 48, "--keep", 3600)
    assert told["resumed"] == 1
    check_speech(told, growth=0.2)


@pytest.mark.reliability
@pytest.mark.timeout(1800)
def test_two_thousand_sessions_in_a_row_and_two_hundred_at_once() -> None:
    for name, told in figures("sessions").items():
        assert (told["threads"], told["descriptors"]) == (0, 0), name
        assert told["MB"] < 8, name  # of 200 threads at once the allocator keeps some
