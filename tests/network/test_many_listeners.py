"""Sessions beyond the first ones of a process, which one thread reads: each has one for its handlers."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import sys
import threading
import weakref
from typing import Any, Callable

import pytest

from speechmatics_rt import Client, SessionError
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network import shared_reader

from ..conftest import threads
from ..looks import collected, settled
from .conftest import started

pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll"),
    pytest.mark.usefixtures("all_shared"),
]

SECOND = bytes(32000)


def listeners() -> set[str]:
    return {name for name in threads() if name.startswith("speechmatics-rt-listener")}


def listener_of(client: Client) -> str:
    return f"speechmatics-rt-listener-{client.request_id}"


class Notes:
    """What handlers keep of one session, in a database that only the thread which has opened it may use."""

    def __init__(self, client: Client) -> None:
        self.told: list[str] = []
        client.on("RecognitionStarted", self.begin)
        client.on("AddTranscript", lambda message: self.note(message["metadata"]["transcript"]))
        client.on("SessionEnded", self.end)

    def begin(self, message: Any) -> None:
        self.table = sqlite3.connect(":memory:")
        self.table.execute("create table finals (words text)")

    def note(self, words: str) -> None:
        self.table.execute("insert into finals values (?)", (words,))

    def end(self, event: Any) -> None:
        self.told = [words for (words,) in self.table.execute("select words from finals")]
        self.table.close()


@pytest.mark.parametrize("own", [0, 8])
@pytest.mark.parametrize("resume", [False, True])
def test_what_belongs_to_a_thread_lasts_from_the_first_handler_of_a_session_to_the_last(
    resume, own, monkeypatch, serve, client_of
) -> None:
    monkeypatch.setattr(shared_reader, "OWN", own)
    server = serve(faults=[Fault.reset(after_seconds=2, sessions=range(12))] if resume else [])
    clients = [client_of(server, resume=resume, handler_errors="raise") for _ in range(12)]
    notes = [Notes(client) for client in clients]
    for client in clients:
        started(client)
    assert listeners() == {listener_of(client) for client in clients}
    for _ in range(4):
        for client in clients:
            client.send_audio(SECOND)
    for client in clients:
        client.stop_session()
    assert ["".join(one.told).strip() for one in notes] == [client.transcript.text for client in clients]
    assert all(one.told for one in notes)
    assert len(server.sessions) == (24 if resume else 12)


def test_the_handlers_of_the_start_have_run_when_start_session_returns(serve, client_of) -> None:
    server = serve()
    for _ in range(10):
        client, seen = client_of(server), []
        client.on("RecognitionStarted", seen.append)
        started(client)
        assert seen
        client.stop_session()


def test_a_handler_that_does_not_return_holds_up_its_own_session_alone(serve, client_of) -> None:
    server = serve()
    stuck, others = client_of(server), [client_of(server) for _ in range(3)]
    entered, go_on = threading.Event(), threading.Event()

    def wait(message: Any) -> None:
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
            assert collected(gone)
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
        assert settled(listeners, 10) == set()


def test_where_no_thread_can_begin_for_the_handlers_the_start_says_so_and_the_next_has_one(
    monkeypatch, serve, client_of
) -> None:
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if "listener" in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    client = client_of(serve())
    with monkeypatch.context() as patch, pytest.raises(SessionError, match="can't start new thread"):
        patch.setattr(threading.Thread, "start", refused)
        started(client)
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
