"""Long time: what a session of days costs, and what thousands of sessions leave behind.

The short form takes seconds. The long one, a day of speech, the roll-over after 48 hours and 2,000 sessions
in a row, runs by ``tox -e reliability`` and prints its figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any, Callable

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


def check_speech(told: dict[str, Any], report: Callable[[str, str], None], *, growth: float) -> None:
    """Hold a session to what it said: each word in its place, and no more memory an hour than this."""
    report(
        "long time",
        f"{told['hours']:g} h of speech in a session, at {told['times real time']} times real time: "
        f"{len(told['wrong'])} of {told['words']} words wrong, {told['MB an hour']} MB an hour",
    )
    assert told["wrong"] == []
    assert told["words"] > 8500 * told["hours"]
    assert told["drift ms"] <= DRIFT
    memory = [row["MB"] for row in told["rows"]]
    half = len(memory) // 2
    steps = [(later - earlier) for earlier, later in zip(memory, memory[1:])]
    # No more in the second half than in the first, but for what the allocator keeps.
    assert sum(steps[half:]) - sum(steps[: half - 1]) < 2 + 0.1 * sum(steps)
    assert told["MB an hour"] < growth


def check_sessions(told: dict[str, Any], report: Callable[[str, str], None]) -> None:
    for name, each in told.items():
        left = f"{each['threads']} threads, {each['descriptors']} descriptors left"
        report("long time", f"{each['count']} {name} in {each['s']} s: {left}")
        assert (each["threads"], each["descriptors"]) == (0, 0), name


@pytest.mark.timeout(180)
def test_half_an_hour_of_speech_rolled_over_is_whole_and_its_times_do_not_drift(report) -> None:
    told = figures("speech", "--hours", 0.5, "--limit", 0.3, "--step", 225)
    assert told["resumed"] == 1
    check_speech(told, report, growth=12)


@pytest.mark.timeout(180)
def test_sessions_failed_starts_and_dropped_iterators_leave_the_process_as_it_was(report) -> None:
    check_sessions(figures("sessions", "--share", 0.05), report)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_a_day_of_speech(report) -> None:
    told = figures("speech", "--hours", A_DAY)
    check_speech(told, report, growth=9)
    late = told["late ms"]
    assert median(late[A_DAY // 2 :]) < 2 * median(late[: A_DAY // 2]) + 50


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_the_end_of_a_session_after_48_hours_is_rolled_over_and_an_hour_that_is_kept_takes_no_more(
    report,
) -> None:
    told = figures("speech", "--hours", 50, "--limit", 48, "--keep", 3600)
    assert told["resumed"] == 1
    check_speech(told, report, growth=0.2)


@pytest.mark.reliability
@pytest.mark.timeout(1800)
def test_two_thousand_sessions_in_a_row_and_two_hundred_at_once(report) -> None:
    told = figures("sessions")
    check_sessions(told, report)
    assert all(each["MB"] < 8 for each in told.values()), told  # of 200 threads at once some is kept
