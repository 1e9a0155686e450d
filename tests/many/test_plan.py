"""What is tried when, and how much at once: against services of every temper, on a clock of its own."""

from __future__ import annotations

import random
from collections import Counter
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import AudioError, ConnectionError, TimeoutError, TranscriptionError
from speechmatics_rt.many.plan import MOST_TRIES, Plan, is_full, is_out_of_reach

LOST = ConnectionError("lost", code=1006)
BROKEN = TranscriptionError("broken", type="job_error")  # asks for 5 s
FULL = TranscriptionError("full", type="quota_exceeded")
BUSY = ConnectionError("busy", status=503, retry_after=40.0)
BAD = AudioError("bad")
UNREACHED = ConnectionError("nobody there", unreached=True)
UNANSWERED = TimeoutError("no connection", stage="open")
OVERDUE = TimeoutError("no connection", stage="open")
OVERDUE.stage = "whole"  # the caller's own limit was the first to pass


class Run:
    """Drives a plan as :class:`Outcomes` does; ``answer`` says how a session of a source ends."""

    def __init__(self, count: int, most: int, answer, seed: int = 0) -> None:
        self.plan = Plan(most)
        self.most = most
        self.answer = answer
        self.chance = random.Random(seed)
        self.now = 0.0
        self.left = list(range(count))[::-1]
        self.sessions: list[tuple[float, int]] = []  # when each ends
        self.ends: dict[int, Optional[Exception]] = {}
        self.begun: Counter[int] = Counter()
        self.not_before: dict[int, float] = {}
        self.held = self.peak = 0

    def go(self) -> Run:
        for _ in range(100_000):
            self._begin()
            assert self.plan.running == len(self.sessions) <= self.plan.allowed <= self.most
            due = self.plan.due(more=bool(self.left))
            if self.sessions and min(self.sessions)[0] <= due:
                self._end(*min(self.sessions))
            elif due < float("inf"):
                assert due > self.now  # or it would have begun: who drives it must not turn in circles
                self.now = due
            else:
                return self
        raise AssertionError("it never ends")

    def _begin(self) -> None:
        while self.plan.has_room(self.now):
            index = self.plan.again(self.now)
            if index is None:
                if not (self.left and self.plan.takes_more):
                    return
                index = self.left.pop()
            assert self.now >= self.not_before.get(index, 0.0)
            self.plan.begin()
            self.begun[index] += 1
            self.sessions.append((self.now + self.chance.uniform(0.1, 30), index))
            self.peak = max(self.peak, len(self.sessions) + self.plan.waiting)

    def _end(self, when: float, index: int) -> None:
        self.sessions.remove((when, index))
        self.now = when
        error = self.answer(index, self.begun[index], len(self.sessions))
        if error is None:
            self.plan.succeeded(index)
        else:
            delay = self.plan.failed(index, error, self.now, self.chance.random())
            if delay is not None:
                assert delay >= (error.retry_after or 0.0)
                self.not_before[index] = self.now + delay
                return
        assert index not in self.ends
        self.ends[index] = error


errors = st.sampled_from([None, None, LOST, BROKEN, FULL, BUSY, BAD])


@given(
    most=st.integers(1, 6),
    answers=st.lists(st.lists(errors, max_size=12), max_size=20),
    seed=st.integers(0, 1000),
)
def test_every_source_ends_once_within_the_limit_and_no_sooner_than_was_asked(most, answers, seed) -> None:
    def answer(index: int, session: int, _: int):
        return answers[index][session - 1] if session <= len(answers[index]) else None

    run = Run(len(answers), most, answer, seed).go()
    assert sorted(run.ends) == list(range(len(answers)))
    assert run.peak <= 2 * most
    for index, script in enumerate(answers):
        expected, counted = None, 0
        for error in script:
            counted += error in (LOST, BROKEN)
            if error in (None, BAD) or counted == MOST_TRIES:
                expected = error
                break
        assert run.ends[index] is expected


@given(quota=st.integers(1, 8), most=st.integers(1, 8), seed=st.integers(0, 1000))
def test_a_quota_that_others_set_is_found_and_nobody_fails(quota, most, seed) -> None:
    def answer(index: int, session: int, others: int):
        return FULL if others >= quota else None

    run = Run(40, most, answer, seed).go()
    assert set(run.ends.values()) == {None}


def test_a_full_service_lets_nobody_begin_until_it_is_time() -> None:
    plan = Plan(4)
    for _ in range(4):
        plan.begin()
    plan.failed(0, FULL, now=10.0, jitter=0.5)
    assert plan.allowed == 3  # as many as it has let in
    assert not plan.has_room(14.9)
    assert plan.due(more=True) == float("inf")  # the three that run may end before
    plan.succeeded(1)
    assert plan.allowed == 4
    assert plan.pause(10.0) >= 5.0
    assert plan.due(more=True) == 10.0 + plan.pause(10.0)


def test_why_all_wait_is_known_and_a_failure_of_one_is_no_reason() -> None:
    plan = Plan(2)
    for index, error, cause in ((0, LOST, None), (1, FULL, FULL), (2, BROKEN, FULL), (3, OVERDUE, OVERDUE)):
        plan.begin()
        plan.failed(index, error, 0.0, 0.5)
        assert plan.cause is cause


def test_refusals_that_come_together_are_one_and_those_that_follow_are_waited_for_longer() -> None:
    plan, now, pauses = Plan(2), 0.0, []
    for _ in range(8):
        plan.begin()
        pauses.append(plan.failed(0, FULL, now, jitter=1.0))
        now += pauses[-1]
        plan.again(now)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]
    together = Plan(3)
    for _ in range(3):
        together.begin()
    for index in range(3):
        together.failed(index, FULL, 0.0, 1.0)
    assert together.pause(0.0) <= 10.0


def test_who_failed_together_does_not_come_back_together() -> None:
    def delay(jitter: float) -> float:
        plan = Plan(1)
        plan.begin()
        return plan.failed(0, LOST, 0.0, jitter) or 0.0

    chance = random.Random(5)
    delays = sorted(delay(chance.random()) for _ in range(1000))
    assert delays[0] < 1.01
    assert delays[-1] > 1.99
    assert all(after - before < 0.02 for before, after in zip(delays, delays[1:]))


def test_after_a_stop_nothing_begins_and_nothing_is_tried_again() -> None:
    plan = Plan(2)
    plan.begin()
    plan.begin()
    plan.failed(7, LOST, 0.0, 0.0)
    assert plan.stop() == [7]
    assert plan.failed(8, LOST, 0.0, 0.0) is None
    assert not plan.has_room(1e9)
    assert plan.due(more=True) == float("inf")


def test_what_says_that_others_are_served_is_no_failure() -> None:
    assert is_full(TranscriptionError(code=4005))
    assert is_full(ConnectionError(status=429))
    assert not is_full(TranscriptionError(type="job_error"))
    assert not is_full(ConnectionError(status=500))


@given(
    most=st.integers(1, 6),
    count=st.integers(2, 20),
    begins=st.floats(31, 100),
    lasts=st.floats(0, 500),
    seed=st.integers(0, 1000),
)
def test_nobody_fails_while_a_service_that_was_reached_is_out_of_reach(
    most, count, begins, lasts, seed
) -> None:
    def answer(index: int, session: int, _: int):
        lost = begins <= run.now < begins + lasts
        return [UNREACHED, UNANSWERED, OVERDUE][session % 3] if lost else None

    run = Run(count, most, answer, seed)
    run.go()
    assert run.ends == dict.fromkeys(range(count))
    assert run.plan.out_of_reach is None
    assert run.plan.allowed == most  # it has refused nobody


def test_a_service_that_stays_out_of_reach_ends_the_run_sooner_if_it_never_was_reached() -> None:
    plan, now = Plan(1), 0.0
    plan.begin()
    while (delay := plan.failed(0, UNREACHED, now, 0.5)) is not None:
        now += delay
        plan.begin()
    assert plan.out_of_reach == now
    assert now == pytest.approx(30)  # the last try is not put off until long after
    assert plan.tries(0) == 1

    plan, now = Plan(1), 0.0
    plan.begin()
    plan.failed(1, LOST, now, 0.5)  # it has answered
    plan.begin()
    while (delay := plan.failed(0, UNREACHED, now, 0.5)) is not None:
        now += delay
        plan.begin()
    assert plan.out_of_reach == now
    assert now == pytest.approx(600)


def test_what_another_source_would_meet_as_well_is_no_failure_of_this_one() -> None:
    assert is_out_of_reach(UNREACHED)
    assert is_out_of_reach(UNANSWERED)
    assert is_out_of_reach(OVERDUE)
    assert not is_out_of_reach(TimeoutError("slow", stage="whole"))
    assert not any(map(is_out_of_reach, (LOST, BROKEN, FULL, BUSY, BAD, TimeoutError("slow", stage="start"))))
    assert not is_out_of_reach(ConnectionError("refused by a proxy", unreached=True, lasting=True))
