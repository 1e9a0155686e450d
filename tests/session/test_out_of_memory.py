"""A thread that fails as it begins, or in our own work, ends its session, with a reason, and no other one."""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Callable

import pytest

from speechmatics_rt import AudioError, Client, ConnectionError, SessionError, SpeechmaticsError
from speechmatics_rt.aio import bridge
from speechmatics_rt.audio.gather import _Ahead
from speechmatics_rt.local import Fault
from speechmatics_rt.network import Connection, connection, lead, shared_reader
from speechmatics_rt.network.monitor import Monitor
from speechmatics_rt.resume.reconnection import Reconnection
from speechmatics_rt.session import sender
from speechmatics_rt.session.delivering.listener import Listener
from speechmatics_rt.session.session import Session
from speechmatics_rt.threads import begin

from ..looks import settled
from ..network.conftest import PCM
from .test_hunted import in_time

SECOND = bytes(32000)
LISTENER = "speechmatics-rt-listener-"

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def whole(client: Client) -> None:
    client.transcribe((SECOND for _ in range(4)), audio_format=PCM)


def by_hand(client: Client) -> None:
    client.start_session(audio_format=PCM)
    for _ in range(4):
        client.send_audio(SECOND)
    client.stop_session()


WAYS = [whole, by_hand]


class Once:
    """Raises MemoryError instead of the first call that it is to fail."""

    def __init__(self, function: Callable[..., Any], fails: Callable[..., bool] = lambda *_: True) -> None:
        self._function, self._fails = function, fails
        self.failed = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not self.failed and self._fails(*args):
            self.failed += 1
            raise MemoryError
        return self._function(*args, **options)


def begun(thread: threading.Thread) -> None:
    """Begin a thread; a writer that is to fail has failed then, and not when the start is over."""
    begin(thread)
    if "-writer-" in thread.name:
        thread.join(0.2)


def patched(patch: pytest.MonkeyPatch, owner: Any, name: str, fails: Callable[..., bool]) -> Once:
    once = Once(getattr(owner, name), fails)
    patch.setattr(owner, name, (lambda *args, **options: once(*args, **options)))
    return once


@pytest.fixture(params=["threads of its own", "the shared reader"])
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    shares = request.param == "the shared reader"
    if shares and not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")
    if shares:
        monkeypatch.setattr(shared_reader, "OWN", 0)
    return shares


@pytest.mark.parametrize("thread", ["reader", "writer"])
@pytest.mark.parametrize("way", WAYS)
def test_a_thread_of_a_connection_that_fails_as_it_begins_ends_the_session(
    serve, client_of, monkeypatch, way: Callable[[Client], None], thread: str, shared: bool
) -> None:
    server = serve()
    client = client_of(server)
    once = patched(monkeypatch, Monitor, "enter", lambda monitor, name: name == thread)
    ended: list[Any] = []
    client.on("SessionEnded", lambda event: ended.append(event["error"]))
    assert isinstance(in_time(lambda: way(client)), ConnectionError)
    assert once.failed == 1
    assert len(ended) == 1
    way(client)
    assert client.transcript.words


@pytest.mark.parametrize("faults", [[], [Fault.no_start(sessions=[0])]], ids=["", "no start"])
@pytest.mark.parametrize("way", WAYS)
def test_a_start_ends_though_the_thread_that_keeps_the_time_has_not_run_a_line(
    serve, client_of, monkeypatch, way: Callable[[Client], None], faults: list[Fault]
) -> None:
    client = client_of(serve(faults=faults), start_timeout=0.2, close_timeout=0.2)
    patched(monkeypatch, Connection, "_write", lambda *_: True)
    monkeypatch.setattr(connection, "begin", begun)
    assert isinstance(in_time(lambda: way(client)), ConnectionError)
    way(client)


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_that_can_not_be_counted_ends_the_session(serve, client_of, monkeypatch, way) -> None:
    client = client_of(serve())
    patched(monkeypatch, lead, "own_reader_begins", lambda: True)
    before = shared_reader._own
    assert isinstance(in_time(lambda: way(client)), ConnectionError)
    way(client)
    assert settled(lambda: shared_reader._own - before, 3) == 0


def test_a_listener_that_fails_before_it_delivers_tells_the_end(serve, client_of, monkeypatch) -> None:
    client = client_of(serve())
    ended: list[Any] = []
    client.on("SessionEnded", lambda event: ended.append(event["error"]))

    def fails(monitor: Monitor) -> bool:
        return monitor.protocol.started and threading.current_thread().name.startswith(LISTENER)

    patched(monkeypatch, Monitor, "notify_from_reader", fails)
    assert isinstance(in_time(lambda: by_hand(client)), ConnectionError)
    assert settled(lambda: not ended, 5) is False
    assert isinstance(ended[0], ConnectionError)


def test_a_listener_that_fails_as_it_begins_ends_the_session(serve, client_of, monkeypatch, shared) -> None:
    client = client_of(serve())
    ended: list[Any] = []
    client.on("SessionEnded", lambda event: ended.append(event["error"]))
    patched(monkeypatch, Listener, "_run", lambda *_: True)
    assert isinstance(in_time(lambda: by_hand(client)), SessionError)
    assert [type(error) for error in ended] == [SessionError]
    by_hand(client)
    assert client.transcript.words


def test_a_sender_that_fails_as_it_begins_ends_the_session(serve, client_of, monkeypatch) -> None:
    client = client_of(serve())
    patched(monkeypatch, sender, "_send", lambda *_: True)
    with pytest.raises(SessionError, match="the audio could not be sent: MemoryError"):
        raise in_time(lambda: whole(client))
    whole(client)
    assert client.transcript.words


def test_a_thread_that_reads_ahead_and_fails_as_it_begins_ends_the_audio(
    serve, client_of, monkeypatch
) -> None:
    client = client_of(serve())
    patched(monkeypatch, _Ahead, "_run", lambda *_: True)
    with pytest.raises(AudioError, match="MemoryError"):
        raise in_time(lambda: client.transcribe((bytes(2) for _ in range(99)), audio_format=PCM))


@pytest.mark.parametrize("way", WAYS)
def test_a_reconnect_that_fails_as_it_begins_ends_the_session(serve, client_of, monkeypatch, way) -> None:
    server = serve(faults=[Fault.fin(after_seconds=2, sessions=[0])])
    client = client_of(server, resume=True)
    patched(monkeypatch, Reconnection, "_reconnect", lambda *_: True)
    with pytest.raises(ConnectionError, match="could not be restored: MemoryError"):
        raise in_time(lambda: way(client))


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
@pytest.mark.parametrize("way", WAYS)
def test_a_shared_reader_that_fails_as_it_begins_ends_its_sessions_and_the_next_have_another(
    serve, client_of, monkeypatch, way
) -> None:
    monkeypatch.setattr(shared_reader, "OWN", 0)
    server = serve()
    patched(monkeypatch, shared_reader, "before_logging", bool)
    assert isinstance(in_time(lambda: way(client_of(server))), ConnectionError)
    for _ in range(3):
        way(client_of(server))


def test_a_call_of_an_event_loop_whose_thread_fails_as_it_begins_raises_that() -> None:
    def fails(frame: FrameType, event: str, _: object) -> None:
        if frame.f_code.co_filename == bridge.__file__:
            raise MemoryError

    async def main() -> None:
        threading.settrace(fails)
        try:
            with pytest.raises(MemoryError):
                await asyncio.wait_for(bridge.in_thread(int), 10)
        finally:
            threading.settrace(None)

    asyncio.run(main())


def test_what_fails_in_our_own_sending_is_not_said_of_the_source(serve, client_of, monkeypatch) -> None:
    client = client_of(serve())
    patched(monkeypatch, Session, "feed", lambda *_: True)
    with pytest.raises(SpeechmaticsError, match="the audio could not be sent: MemoryError") as caught:
        whole(client)
    assert not isinstance(caught.value, AudioError)
    assert isinstance(caught.value.__cause__, MemoryError)


def test_what_a_source_raises_is_said_of_it(serve, client_of) -> None:
    def blocks() -> Iterator[bytes]:
        yield SECOND
        raise SystemExit(3)

    client = client_of(serve())
    with pytest.raises(AudioError, match="the audio source raised SystemExit: 3"):
        client.transcribe(blocks(), audio_format=PCM)
