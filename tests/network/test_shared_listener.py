"""Many sessions whose handlers one thread runs: each goes as it does with a thread of its own."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import pytest

from speechmatics_rt import Client, SessionError
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network import shared_listener
from speechmatics_rt.network.shared_listener import Place, share

from ..conftest import threads
from ..interrupts import is_passed_over, leaves_a_with
from ..looks import settled
from .conftest import started

pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll"),
    pytest.mark.usefixtures("all_shared"),
]

SECOND = bytes(32000)
SHARED = "speechmatics-rt-listener-shared"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session is slow on a machine that is."""
    monkeypatch.setattr(shared_listener, "_SLOW", 60.0)
    monkeypatch.setattr(shared_listener, "_SLOW_IF_LATE", 60.0)
    monkeypatch.setattr(shared_listener, "_STUCK", 60.0)


def listeners() -> list[str]:
    return [name for name in threads() if name.startswith("speechmatics-rt-listener")]


def test_the_handlers_of_many_sessions_run_on_one_thread(patient, serve, client_of) -> None:
    server = serve()
    seen: set[str] = set()
    clients = [client_of(server) for _ in range(12)]
    for client in clients:
        client.on("AddTranscript", lambda message: seen.add(threading.current_thread().name))
        started(client)
    assert listeners() == [SHARED, SHARED]  # one of them stands by
    for _ in range(4):
        for client in clients:
            client.send_audio(SECOND)
    for client in clients:
        client.stop_session()
    assert seen == {SHARED}
    assert len({client.transcript.text for client in clients}) == 1
    assert clients[0].transcript.text


def test_the_handlers_of_the_start_have_run_when_start_session_returns(serve, client_of) -> None:
    server = serve()
    for _ in range(10):
        client, seen = client_of(server), []
        client.on("RecognitionStarted", seen.append)
        started(client)
        assert seen
        client.stop_session()


def test_with_resume_too(patient, serve, client_of) -> None:
    seen: set[str] = set()
    server = serve(faults=[Fault.reset(after_seconds=2, sessions=range(1))])
    with client_of(server, resume=True) as client:
        client.on("AddTranscript", lambda message: seen.add(threading.current_thread().name))
        started(client)
        for _ in range(6):
            client.send_audio(SECOND)
        client.stop_session()
    assert seen == {SHARED}
    assert len(server.sessions) == 2


def test_a_handler_that_does_not_return_holds_up_its_own_session_alone(monkeypatch, serve, client_of) -> None:
    monkeypatch.setattr(shared_listener, "_SLOW", 60.0)
    server = serve()
    stuck, others = client_of(server), [client_of(server) for _ in range(3)]
    entered, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def wait(message: Any) -> None:
        seen.append(threading.current_thread().name)
        entered.set()
        go_on.wait(30)

    stuck.on("AddTranscript", wait)
    for client in (stuck, *others):
        started(client)
    stuck.send_audio(SECOND * 3)
    assert entered.wait(10)
    for client in others:
        client.send_audio(SECOND * 3)
        client.stop_session()  # while that one waits
        assert client.transcript.text
    go_on.set()
    stuck.stop_session()
    assert stuck.transcript.text == others[0].transcript.text
    assert set(seen) == {SHARED}  # that thread is its own now


def test_slow_handlers_get_a_thread_of_their_own_and_quick_ones_do_not(
    patient, monkeypatch, serve, client_of
) -> None:
    server = serve()
    slow, quick = client_of(server), client_of(server)
    seen: dict[str, list[str]] = {"slow": [], "quick": []}

    handled = threading.Event()

    def take_long(message: Any) -> None:
        seen["slow"].append(threading.current_thread().name)
        monkeypatch.setattr(shared_listener, "_SLOW", -1.0)  # whatever it took, on whatever machine
        handled.set()

    def take_none(message: Any) -> None:
        seen["quick"].append(threading.current_thread().name)
        monkeypatch.setattr(shared_listener, "_SLOW", 60.0)
        handled.set()

    slow.on("AudioAdded", take_long)
    quick.on("AudioAdded", take_none)
    for client in (slow, quick):
        started(client)
    for client in (slow, quick) * 3:
        handled.clear()
        client.send_audio(SECOND)
        assert handled.wait(10)  # so that each comes by itself
    for client in (slow, quick):
        client.stop_session()
    assert set(seen["quick"]) == {SHARED}
    assert seen["slow"][0] == SHARED
    assert set(seen["slow"][1:]) == {f"speechmatics-rt-listener-{slow.request_id}"}


def test_a_handler_may_wait_for_the_end_of_another_session(serve, client_of) -> None:
    server = serve()
    first, second = client_of(server), client_of(server)
    texts: list[str] = []

    def stop_the_other(message: Any) -> None:
        second.stop_session()
        texts.append(second.transcript.text)

    first.once("AddTranscript", stop_the_other)
    for client in (first, second):
        started(client)
    second.send_audio(SECOND * 3)
    first.send_audio(SECOND * 3)
    first.stop_session()
    assert texts == [first.transcript.text]


def test_handlers_may_wait_for_each_others_sessions_in_a_row(serve, client_of) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(4)]
    texts: list[str] = []

    def wait_for(other: Client) -> Callable[[Any], None]:
        def wait(message: Any) -> None:
            other.stop_session()
            texts.append(other.transcript.text)

        return wait

    for client, other in zip(clients, clients[1:]):
        client.once("AddTranscript", wait_for(other))
    for client in clients:
        started(client)
    for client in reversed(clients):  # who is waited for has sent all by then
        client.send_audio(SECOND * 3)
    clients[0].stop_session()
    assert texts == [clients[0].transcript.text] * 3


def test_before_its_first_turn_a_session_does_not_take_who_started_it_for_a_handler(
    patient, serve, client_of
) -> None:
    server = serve()
    stuck, late = client_of(server), client_of(server, start_timeout=1)
    holding = Stuck()
    stuck.once("AddTranscript", lambda message: holding())
    started(stuck).send_audio(SECOND * 3)
    assert holding.entered.wait(10)
    started(late).send_audio(SECOND * 3)  # its handlers have not run yet, and nobody stands by in time
    threading.Timer(0.3, holding.may_go.set).start()
    late.stop_session()
    assert late.transcript.text
    stuck.stop_session()


def test_a_handler_may_run_a_whole_session_of_another_client(serve, client_of) -> None:
    server = serve()
    first, second = client_of(server), client_of(server)
    texts: list[str] = []

    def run(message: Any) -> None:
        started(second)
        second.send_audio(SECOND * 3)
        second.stop_session()
        texts.append(second.transcript.text)

    first.once("AddTranscript", run)
    started(first)
    first.send_audio(SECOND * 3)
    first.stop_session()
    assert texts == [first.transcript.text]


def test_what_a_handler_waits_for_in_its_own_session_is_refused_as_ever(serve, client_of) -> None:
    client = client_of(serve())
    refused: list[Exception] = []

    def ask(message: Any) -> None:
        try:
            client.get_speakers()
        except SessionError as exc:
            refused.append(exc)

    client.once("AddTranscript", ask)
    started(client)
    client.send_audio(SECOND * 2)
    client.stop_session()
    assert "can't wait for the answer" in str(refused[0])


def test_system_exit_in_a_handler_ends_its_session_alone(serve, client_of, died) -> None:
    server = serve()
    leaving, stays = client_of(server), client_of(server)
    leaving.once("AddTranscript", lambda message: sys.exit(1))
    for client in (leaving, stays):
        started(client)
    leaving.send_audio(SECOND * 2)
    with pytest.raises(SessionError, match="a handler ended the session"):
        leaving.stop_session()
    stays.send_audio(SECOND * 3)
    stays.stop_session()
    assert stays.transcript.text
    assert died.get(timeout=10).exc_type is SystemExit  # which Python's own hook does not print
    assert died.empty()


def test_a_client_that_is_dropped_ends_its_session_and_no_other(serve) -> None:
    server = serve()
    with Client(url=server.url, **trusting(server)) as stays:
        started(stays)
        dropped = started(Client(url=server.url, **trusting(server)))
        gone = weakref.ref(dropped)
        with pytest.warns(ResourceWarning, match="dropped with an open session"):
            del dropped
            gc.collect()
        assert gone() is None
        stays.send_audio(SECOND * 3)
        stays.stop_session()
        assert stays.transcript.text


def trusting(server: LocalServer) -> dict[str, Any]:
    from speechmatics_rt import ConnectionConfig

    return {"conn_config": ConnectionConfig(ssl_context=server.ssl_context)}


def test_its_threads_end_with_the_last_session(serve, client_of) -> None:
    server = serve()
    for _ in range(5):
        for client in [started(client_of(server)) for _ in range(3)]:
            client.stop_session()
        assert settled(listeners, 10) == []
        assert shared_listener._shared is None


def test_where_no_thread_is_to_be_had_a_slow_session_stays_and_is_whole(
    monkeypatch, caplog, serve, client_of
) -> None:
    monkeypatch.setattr(shared_listener, "_SLOW", -1.0)  # all are
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if "listener" in self.name and "shared" not in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refused)
    client = client_of(serve())
    with caplog.at_level(logging.WARNING):
        started(client)
        client.send_audio(SECOND * 3)
        client.stop_session()
    assert client.transcript.text
    assert "slow handlers may hold up those of other sessions: no thread could be started" in caplog.text


def test_where_the_shared_threads_can_not_begin_the_start_says_so_and_the_next_has_them(
    monkeypatch, serve, client_of
) -> None:
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if self.name == SHARED:
            raise RuntimeError("can't start new thread")
        start(self)

    client = client_of(serve())
    with monkeypatch.context() as patch, pytest.raises(SessionError, match="can't start new thread"):
        patch.setattr(threading.Thread, "start", refused)
        started(client)
    assert shared_listener._shared is None
    started(client).stop_session()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_in_a_handler_ends_and_the_parent_goes_on(serve, client_of) -> None:
    client, other = client_of(serve()), client_of(serve())
    children: list[int] = []

    def fork(message: Any) -> None:
        child = os.fork()
        if child:
            children.append(child)
        else:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)  # a child that hangs is killed, and its status says so

    client.once("AddTranscript", fork)
    for each in (client, other):
        started(each)
    client.send_audio(SECOND * 3)
    client.stop_session()
    # In the child this thread returns from its handler, and ends with it.
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    other.send_audio(SECOND * 3)
    other.stop_session()
    assert other.transcript.text == client.transcript.text


# -- the threads alone ---------------------------------------------------------------------------------


class Listener:
    """A listener without a session."""

    def __init__(self, deliver: Callable[[], bool]) -> None:
        self.deliver = deliver
        self.alone: list[str] = []
        self.over = threading.Event()

    def __call__(self) -> None:
        self._go_on("here")

    def start_alone(self) -> None:
        self._go_on("elsewhere")

    def abandon(self) -> None:
        self._go_on("nowhere")

    def _go_on(self, where: str) -> None:
        self.alone.append(where)
        self.over.set()


class Unlucky(Listener):
    """One for whom there is no thread."""

    def start_alone(self) -> None:
        raise SessionError("no thread")


@pytest.fixture
def place_of() -> Iterator[Callable[[Listener], Place]]:
    places: list[Place] = []

    def share_it(listener: Listener) -> Place:
        share(listener, places.append)
        return places[-1]

    yield share_it
    for place in places:
        place.thread.leave(place)


class Stuck:
    """What does not return until it may."""

    def __init__(self) -> None:
        self.entered, self.may_go = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.entered.set()
        return self.may_go.wait(30)


def test_a_place_that_is_woken_a_thousand_times_while_it_waits_is_served_once(patient, place_of) -> None:
    stuck, served, done = Stuck(), [], threading.Event()
    first = place_of(Listener(stuck))
    second = place_of(Listener(lambda: bool(served.append(1) or done.set() or True)))
    first.wake()
    assert stuck.entered.wait(10)
    for _ in range(1000):
        second.wake()
    assert list(second.thread.due) == [second]
    stuck.may_go.set()
    assert done.wait(10)
    assert served == [1]


def test_a_thread_that_wakes_later_leaves_the_shared_one_asleep_until_it_says_so(patient, place_of) -> None:
    served = threading.Event()
    place = place_of(Listener(lambda: bool(served.set() or True)))
    try:
        shared_listener.postpone(True)
        place.wake()
        assert list(place.thread.due) == [place]
        assert not served.wait(0.05)
        shared_listener.deliver_now()
        assert served.wait(10)
    finally:
        shared_listener.postpone(False)


def test_a_listener_at_its_end_goes_on_elsewhere_and_leaves(patient, place_of) -> None:
    listener = Listener(lambda: False)
    place = place_of(listener)
    place.wake()
    assert listener.over.wait(10)
    assert listener.alone == ["elsewhere"]
    place.wake()
    assert not place.thread.due


def test_one_at_its_end_for_which_there_is_no_thread_is_not_waited_for(patient, place_of) -> None:
    listener = Unlucky(lambda: False)
    place_of(listener).wake()
    assert listener.over.wait(10)
    assert listener.alone == ["nowhere"]


def test_each_handler_that_is_stuck_is_left_to_itself_however_many_are(place_of) -> None:
    stuck = [Stuck() for _ in range(4)]
    listeners = [Listener(one) for one in stuck]
    served = threading.Event()
    for one, listener in zip(stuck, listeners):
        place_of(listener).wake()
        assert one.entered.wait(10)
    place_of(Listener(lambda: bool(served.set() or True))).wake()
    assert served.wait(10)
    for one in stuck:
        one.may_go.set()
    for listener in listeners:
        assert listener.over.wait(10)
    assert [listener.alone for listener in listeners] == [["here"]] * 4


def test_who_stands_by_misses_nobody_that_is_served_while_it_decides_to_sleep(monkeypatch, place_of) -> None:
    """At the worst moment: between its look at what is served and the note that it looks no more."""
    stuck, served = Stuck(), threading.Event()
    first = place_of(Listener(stuck))
    second = place_of(Listener(lambda: bool(served.set() or True)))
    thread = first.thread
    struck: list[int] = []

    class Watched(type(thread)):  # type: ignore[misc]
        @property
        def _served(self) -> int:
            if threading.get_ident() == self._standby and not struck:
                count = self.__dict__["_served"]
                struck.append(count)
                first.wake()
                assert stuck.entered.wait(10)
                return count  # type: ignore[no-any-return]  # as it was before
            return self.__dict__["_served"]  # type: ignore[no-any-return]

        @_served.setter
        def _served(self, count: int) -> None:
            self.__dict__["_served"] = count

    thread.__class__ = Watched
    thread._standby_wakeup.wake()
    assert stuck.entered.wait(10)
    second.wake()
    assert served.wait(10)
    stuck.may_go.set()


def test_a_wake_that_is_interrupted_leaves_no_place_that_seems_to_be_in_the_queue(
    monkeypatch, patient, place_of
) -> None:
    served = threading.Event()
    place = place_of(Listener(lambda: bool(served.set() or True)))

    class Interrupted:
        def append(self, place: Place) -> None:
            raise KeyboardInterrupt

        def __len__(self) -> int:
            return 0

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(place.thread, "due", Interrupted())
        place.wake()
    place.wake()
    assert served.wait(10)


def test_ctrl_c_while_the_first_session_is_taken_in_leaves_no_threads_that_are_to_serve_nobody(
    monkeypatch,
) -> None:
    def interrupted(*arguments: Any) -> Place:
        raise KeyboardInterrupt

    monkeypatch.setattr(shared_listener, "Place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        share(Listener(lambda: True), lambda place: None)
    assert shared_listener._shared is None


def test_log_handlers_that_fail_leave_no_session_without_who_delivers(monkeypatch, place_of, died) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("the disk is full")

    monkeypatch.setattr(shared_listener, "_SLOW", -1.0)  # all are
    monkeypatch.setattr(shared_listener.logger, "propagate", False)
    broken = Broken()
    shared_listener.logger.addHandler(broken)
    try:
        served: list[threading.Event] = [threading.Event(), threading.Event()]
        pending = iter(served)
        place = place_of(Unlucky(lambda: bool(next(pending).set() or True)))
        for event in served:
            place.wake()
            assert event.wait(10)
    finally:
        shared_listener.logger.removeHandler(broken)
    assert died.get(timeout=10).exc_type is SystemExit
    assert died.empty()


class OutOfMemory:
    """A MemoryError at the n-th line of its own that a shared thread executes while it serves, once."""

    LINES = ("_serve", "_serve_one", "_has_turn", "_let_go", "leave", "_dismiss")

    def __init__(self, at: int, *, but_in: str = "") -> None:
        self.at = at
        self._lines = set(self.LINES) - {but_in}
        self.struck = threading.Event()

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let it strike in threads that begin here."""
        threading.settrace(self.trace)
        try:
            yield
        finally:
            threading.settrace(None)  # type: ignore[arg-type]

    def trace(self, frame: Any, event: str, arg: Any) -> Any:
        if event == "call":
            mine = frame.f_code.co_filename == shared_listener.__file__
            return self.trace if mine and frame.f_code.co_name in self._lines else None
        if event == "line" and not self.struck.is_set() and self._may_strike(frame):
            self.at -= 1
            if self.at < 0:
                self.struck.set()
                raise MemoryError(f"line {frame.f_lineno}")
        return self.trace

    @staticmethod
    def _may_strike(frame: Any) -> bool:
        """Whether anything is done there: neither by a ``try:`` nor by the end of a ``with``."""
        return not is_passed_over(frame) and not leaves_a_with(frame)


class Counted(Listener):
    """One that counts how often it was served, or given a thread of its own."""

    def __init__(self, more: bool) -> None:
        super().__init__(self._serve)
        self.heard = threading.Semaphore(0)
        self._more = more

    def _serve(self) -> bool:
        self.heard.release()
        return self._more

    def _go_on(self, where: str) -> None:
        super()._go_on(where)
        self.heard.release()


class CountedUnlucky(Counted, Unlucky):
    pass


@pytest.mark.parametrize("how", ["quick", "slow", "at its end", "slow, and no thread is to be had"])
def test_out_of_memory_at_any_line_leaves_no_session_without_who_delivers(how, monkeypatch, place_of) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(shared_listener, "_STUCK", 60.0)
    for name in ("_SLOW", "_SLOW_IF_LATE"):
        monkeypatch.setattr(shared_listener, name, -1.0 if "slow" in how else 60.0)
    for at in range(100):
        memory = OutOfMemory(at, but_in="_let_go" if "no thread" in how else "")  # two faults would be more
        listener = (CountedUnlucky if "no thread" in how else Counted)(how != "at its end")
        with memory.within():
            place = place_of(listener)
            place.wake()
            assert listener.heard.acquire(timeout=10), at
            if not memory.struck.wait(0.1 if at > 10 else 10):
                break  # so many lines are not executed until it sleeps again
            place.wake()
            assert listener.alone or listener.heard.acquire(timeout=10), at
        other = Counted(more=True)
        place_beside = place_of(other)
        place_beside.wake()
        assert other.heard.acquire(timeout=10), at
        assert len(listener.alone) <= 1, at
        for each in (place, place_beside):
            each.thread.leave(each)
    assert 10 < at < 99


def test_out_of_memory_in_a_shared_listener_costs_a_real_session_nothing(
    patient, serve, client_of, died
) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(3)]
    memory = OutOfMemory(100)
    with memory.within():
        for client in clients:
            started(client)
        for _ in range(3):
            for client in clients:
                client.send_audio(SECOND)
        for client in clients:
            client.stop_session()
    assert memory.struck.is_set()
    assert len({client.transcript.text for client in clients}) == 1
    assert died.get(timeout=10).exc_type is MemoryError
    assert died.empty()
