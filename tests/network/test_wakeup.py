"""Waits end by Ctrl-C, and nobody who waits is forgotten by one that comes in the middle."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import types

import pytest

from speechmatics_rt.network import WaitList, WakeUp, dial
from speechmatics_rt.threads import OverdueError, call_until, locks
from speechmatics_rt.threads.locks import Latch, new_lock, wait_for, wait_on

from ..interrupts import Interrupt


def lines_of(work) -> int:
    probe = Interrupt()
    assert probe.during(work) is None
    return probe.lines


def called(tickets: list[threading.Lock]) -> bool:
    return all(ticket.acquire(timeout=1) for ticket in tickets)


def test_a_ctrl_c_inside_notify_all_forgets_nobody() -> None:
    def three() -> tuple[WaitList, list[threading.Lock]]:
        waiting = WaitList()
        return waiting, [waiting.ticket() for _ in range(3)]

    for at in range(lines_of(three()[0].notify_all)):
        waiting, tickets = three()
        Interrupt(at).during(waiting.notify_all)
        waiting.notify_all()  # as whoever holds the lock next
        assert called(tickets), at
        assert waiting.tickets == []


def test_a_ctrl_c_inside_the_wait_for_a_latch_holds_up_nobody_else() -> None:
    def opened() -> Latch:
        latch = Latch()
        threading.Timer(0.005, latch.set).start()
        return latch

    for at in range(lines_of(opened().wait)):
        latch = opened()
        Interrupt(at).during(latch.wait)
        assert latch.wait(5), at
        assert latch.wait(5), at


def test_no_wait_is_longer_than_a_slice(monkeypatch) -> None:
    slices: list[float] = []

    def pause(seconds: float) -> bool:
        slices.append(seconds)
        return False

    class Deaf:
        """A lock that is never free, as Windows' is to Ctrl-C."""

        def acquire(self, timeout: float) -> bool:
            return pause(timeout)

    monkeypatch.setattr(locks, "SLICE", 0.02)
    monkeypatch.setattr(locks, "time", types.SimpleNamespace(monotonic=lambda: sum(slices)))
    assert not wait_on(Deaf(), 0.1)
    assert sum(slices) == pytest.approx(0.1)
    condition = threading.Condition(new_lock())
    monkeypatch.setattr(condition, "wait", pause)
    with condition:
        assert not wait_for(condition, lambda: False, 0.1)
    assert sum(slices) == pytest.approx(0.2)
    assert max(slices) <= 0.02


def test_a_wait_without_an_end_is_one_in_slices(monkeypatch) -> None:
    monkeypatch.setattr(locks, "SLICE", 0.01)
    wakeup = WakeUp()
    threading.Timer(0.1, wakeup.wake).start()
    wakeup.wait(float("inf"))
    assert (
        call_until(float("inf"), lambda: time.sleep(0.05) or "done", name="speechmatics-rt-test-1") == "done"
    )
    late = threading.Event()
    with pytest.raises(OverdueError):
        call_until(time.monotonic() + 0.03, lambda: late.wait(30), name="speechmatics-rt-test-2")
    late.set()


def test_what_the_call_raised_keeps_its_reason_whatever_its_caller_handles() -> None:
    def call() -> None:
        try:
            raise OSError("the reason")
        except OSError:
            raise ValueError("what came of it")  # noqa: B904  # as libraries do

    try:
        raise KeyError("of the caller")
    except KeyError:
        with pytest.raises(ValueError, match="what came of it") as caught:
            call_until(float("inf"), call, name="speechmatics-rt-test-3")
    assert repr(caught.value.__context__) == "OSError('the reason')"


def test_an_error_of_windows_sockets_is_told_in_words(monkeypatch) -> None:
    module = sys.modules["speechmatics_rt.network.dialing.reach"]
    monkeypatch.setattr(sys, "platform", "win32")
    words = {10061: "No connection could be made because the target machine actively refused it.\r\n"}
    monkeypatch.setattr(ctypes, "FormatError", words.__getitem__, raising=False)
    assert module._meaning(10061) == words[10061].strip()
    assert module._meaning(2) == "No such file or directory"
    assert callable(dial)
