"""Who reads, and how often anybody is woken to see to that."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from speechmatics_rt.config import ConnectionConfig
from speechmatics_rt.exceptions import SessionError
from speechmatics_rt.network.lead import Lead
from speechmatics_rt.network.monitor import Monitor
from speechmatics_rt.protocol import ClientProtocol


class Wakes:
    count = 0

    def wake(self) -> None:
        self.count += 1


def lead(**options: float) -> tuple[Lead, Wakes]:
    monitor = Monitor(ClientProtocol(ConnectionConfig(**options), block=65536, now=0.0), None)  # type: ignore[arg-type]
    monitor.writer = wakes = Wakes()  # type: ignore[assignment]
    subject = Lead(monitor, None, None, None, end=lambda: None)  # type: ignore[arg-type]
    subject.thread = threading.get_ident()
    return subject, wakes


class Acknowledgements:
    """Two reads that bring only these, and one that brings a message as well."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.left = 3
        self.waiting: list[int] = []  # senders that wait, before each read

    def step(self, idle: Callable[[], object]) -> bool:
        idle()
        self.waiting.append(len(self.monitor.room.tickets))
        self.left -= 1
        self.monitor.protocol.room = True
        if not self.left:
            self.monitor.protocol._inbox.append(({"message": "AddTranscript"}, b"", 0))
            self.monitor.protocol.news = True
            with self.monitor.lock:
                self.monitor.notify()  # as a thread that sends may, before the reading one looks
        return True


def test_reading_goes_on_over_acknowledgements_and_lets_waiting_senders_go_on_meanwhile() -> None:
    subject, _ = lead()
    subject._reading = reads = Acknowledgements(subject._monitor)  # type: ignore[assignment]
    subject._monitor.room.ticket()
    assert subject.read_some()
    assert reads.waiting == [1, 0, 0]


def test_reading_ends_once_another_thread_has_reached_the_outcome() -> None:
    subject, _ = lead()
    subject._reading = reads = Acknowledgements(subject._monitor)  # type: ignore[assignment]
    with subject._monitor.lock:
        subject._monitor.protocol.conclude(SessionError("the source failed"), now=1.0)
        subject._monitor.notify()
    assert subject.read_some()
    assert reads.left == 2


@pytest.mark.parametrize(("end_timeout", "wakes_it"), [(60, False), (1, True)])
def test_a_phase_wakes_the_writer_only_for_what_is_due_before_it_wakes_by_itself(
    end_timeout: float, wakes_it: bool
) -> None:
    subject, wakes = lead(end_timeout=end_timeout)
    monitor, protocol = subject._monitor, subject._monitor.protocol
    protocol.send({"message": "StartRecognition", "transcription_config": {}}, b"", 0.0)
    monitor.notify()
    monitor.wakes_at = protocol.tick(0.0)
    started = {"message": "RecognitionStarted", "id": "1"}
    protocol.receive([(started, started, 0)], 0.1, lambda kind: False)
    monitor.notify()
    assert wakes.count == 0
    protocol.end_stream(0.2)
    monitor.notify()
    assert wakes.count == wakes_it
    ended = {"message": "EndOfTranscript"}
    protocol.receive([(ended, ended, 0)], 0.3, lambda kind: False)
    monitor.notify()
    assert wakes.count == wakes_it + 1  # the server's close frame is not waited for as long as for a ping


def test_a_thousand_messages_wake_the_writer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    still = SimpleNamespace(monotonic=lambda: 1.0)  # on a busy machine one message may take half a second
    monkeypatch.setattr(sys.modules[Lead.__module__], "time", still)
    subject, wakes = lead()
    for _ in range(1000):
        subject.deliver()
        assert subject.read()
        subject._idle()
    assert wakes.count == 1


def test_a_quiet_session_is_not_looked_at_and_says_when_it_speaks_again() -> None:
    subject, wakes = lead()
    subject.deliver()
    subject.read()
    subject._idle()
    now = time.monotonic()
    assert subject.look(now) == (False, 2.0)  # it has delivered since the last look
    assert subject.look(now + 2.0) == (False, float("inf"))
    subject.deliver()
    assert wakes.count == 2


def test_a_reader_comes_when_a_handler_takes_long_and_no_sooner() -> None:
    subject, _ = lead()
    subject.deliver()
    now = time.monotonic()
    late, seconds = subject.look(now + 0.3)
    assert not late
    assert 0 < seconds <= 0.2  # until it has taken long, and no longer
    assert subject.look(now + 0.6)[0]
    assert subject.hand_over()
    assert not subject.read()  # it takes from the inbox from here on
    assert subject.look(now + 9) == (False, float("inf"))


def test_a_reader_comes_when_short_handlers_never_catch_up() -> None:
    subject, _ = lead()
    now = time.monotonic()
    for _ in range(3):
        subject.deliver()
        assert not subject.look(now + 0.1)[0]
        subject.read()
    subject.deliver()
    subject._delivering = now + 2.4  # just begun
    assert subject.look(now + 2.5)[0]


def test_nobody_takes_over_from_a_thread_that_reads() -> None:
    subject, _ = lead()
    assert subject.read()
    assert not subject.hand_over()


def test_whoever_waits_for_what_only_reading_brings_has_a_reader_come_at_once() -> None:
    subject, wakes = lead()
    subject.deliver()
    subject.have_read()
    assert wakes.count == 2
    assert subject.look(time.monotonic())[0]
