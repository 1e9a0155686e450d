"""The race of a name's addresses, which TCP and SOCKS both run: by a clock, with attempts that are told."""

from __future__ import annotations

import gc
import math
import socket
import weakref
from collections.abc import Iterator
from typing import Any, Optional, Union

import pytest

from speechmatics_rt.network.dialing import reach
from speechmatics_rt.network.dialing.opening import Opening
from speechmatics_rt.network.dialing.reach import Lookup, race

HOSTS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
Outcome = Union[socket.socket, OSError]


class Course:
    """Attempts at three addresses, whose outcomes come at given moments, and what became of them."""

    def __init__(self, outcomes: dict[str, tuple[float, Outcome]], opening: Optional[Opening] = None) -> None:
        self.now = 100.0
        self.outcomes = outcomes
        self.log: list[tuple[float, str, str]] = []
        self.lookup = Lookup(HOSTS[0], 80, opening)
        self.give_up_at = math.inf

    def monotonic(self) -> float:
        return self.now

    def at(self, entry: Any) -> Told:
        return Told(self, entry[4][0])

    def wait(self, racing: list[Told], seconds: float) -> list[Told]:
        until = self.now + seconds
        first = min([one.over_at for one in racing])
        self.now = min(until, first, max(self.now, self.give_up_at))
        if self.now >= self.give_up_at:
            self.lookup.opening.give_up()
        return [one for one in racing if one.over_at <= self.now]

    def run(self, deadline: float = math.inf) -> socket.socket:
        return race(self.lookup, 100 + deadline, attempt=self.at, wait=self.wait, none_of=none_of)

    def told(self, what: str) -> list[tuple[float, str]]:
        return [(moment - 100, host[-1]) for moment, word, host in self.log if word == what]


class Told:
    def __init__(self, course: Course, host: str) -> None:
        self.host = host
        self._course = course
        self.over_at = math.inf

    def begin(self) -> None:
        self._course.log.append((self._course.now, "begun", self.host))
        self.over_at = self._course.now + self._course.outcomes.get(self.host, (math.inf,))[0]

    def result(self) -> socket.socket:
        outcome = self._course.outcomes[self.host][1]
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def give_up(self) -> None:
        self._course.log.append((self._course.now, "given up", self.host))


def none_of(failures: list[tuple[str, OSError]]) -> OSError:
    return OSError("; ".join(f"{host[-1]}: {exc}" for host, exc in failures))


@pytest.fixture
def made() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def course(*outcomes: Optional[tuple[float, Outcome]], opening: Optional[Opening] = None) -> Course:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in HOSTS]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        told = Course({host: one for host, one in zip(HOSTS, outcomes) if one}, opening)
        monkeypatch.setattr(reach, "time", told)
        return told

    return course


def test_each_is_begun_a_quarter_second_after_the_one_before_and_the_first_to_answer_wins(run, made) -> None:
    course = run(None, (0.5, made), (1.0, made))
    assert course.run() is made
    assert course.told("begun") == [(0, "1"), (0.25, "2"), (0.5, "3")]
    assert course.told("given up") == [(0.75, "1"), (0.75, "3")]


def test_one_that_fails_is_followed_at_once(run, made) -> None:
    course = run((0.1, OSError("refused")), (0.0, OSError("no route")), (0.05, made))
    assert course.run() is made
    assert [round(moment, 9) for moment, _ in course.told("begun")] == [0, 0.1, 0.1]


def test_where_all_fail_each_is_told_with_its_reason_in_the_order_in_which_they_failed(run) -> None:
    course = run((0.6, OSError("refused")), (0.1, OSError("no route")), (0.0, OSError("unreachable")))
    with pytest.raises(OSError, match="2: no route; 3: unreachable; 1: refused"):
        course.run()


def test_the_deadline_gives_all_of_them_up(run, made) -> None:
    course = run(None, (5.0, made))
    with pytest.raises(socket.timeout):
        course.run(deadline=2)
    assert course.now == 102
    assert course.told("given up") == [(2, "1"), (2, "2"), (2, "3")]


def test_what_gives_the_opening_up_gives_all_of_them_up(run, made) -> None:
    course = run(None, (5.0, made), opening=Opening())
    course.give_up_at = 100.4
    with pytest.raises(socket.timeout):
        course.run()
    assert [host for _, host in course.told("given up")] == ["1", "2"]


def test_where_one_shows_that_all_would_fail_no_other_is_begun_and_those_under_way_go_on(run, made) -> None:
    course = run((0.4, OSError("a wrong password")), (0.5, made))
    result = Told.result

    class Hopeless(Told):
        def result(self) -> socket.socket:
            if self.host == HOSTS[0]:
                course.lookup.stop()
            return result(self)

    course.at = lambda entry: Hopeless(course, entry[4][0])
    assert course.run() is made
    assert [host for _, host in course.told("begun")] == ["1", "2"]


@pytest.mark.parametrize("moment", ["begin", "result"])
def test_whatever_else_is_raised_gives_all_of_them_up(run, moment: str, monkeypatch) -> None:
    course = run(None, (0.1, OSError("refused")))
    do = getattr(Told, moment)

    def interrupted(self: Told) -> Any:
        if self.host == HOSTS[1]:
            raise KeyboardInterrupt
        return do(self)

    monkeypatch.setattr(Told, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        course.run()
    assert {host for _, host in course.told("given up")} >= {"1", "2"}


def test_a_race_that_failed_keeps_nothing_alive(run) -> None:
    class Refused(OSError):
        pass

    errors = [Refused("refused"), Refused("no route"), Refused("unreachable")]
    course = run(*[(0.1, one) for one in errors])
    gone = weakref.ref(errors[-1])
    errors.clear()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(OSError, match="refused"):
            course.run()
        course.outcomes.clear()
        assert gone() is None
    finally:
        gc.enable()
