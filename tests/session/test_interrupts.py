"""Ctrl-C at every line of what a caller may call: nothing stays open, and the next session works."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConnectionConfig,
    ConnectionError,
    JWTAuth,
    MultiChannelClient,
    ResumePolicy,
    SpeechmaticsError,
)
from speechmatics_rt.local import Fault, LocalServer, ScriptedEngine
from speechmatics_rt.network import Connection, shared_reader
from speechmatics_rt.session.connector import Connector
from speechmatics_rt.session.session import Session

from ..conftest import threads
from ..interrupts import Interrupt
from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
QUICK = ResumePolicy(min_delay=0.01, max_delay=0.01)
MOMENTS = 5  # of each series in the default run; all of them by tox -e reliability

# A stream that was interrupted before its `with` has begun is ended by its finaliser, which says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*MessageStream.__del__:pytest.PytestUnraisableExceptionWarning"
)

Step = Callable[[Client], object]


def start(client: Client) -> None:
    client.start_session(audio_format=PCM)


def start_and_send(client: Client) -> None:
    start(client)
    client.send_audio(SECOND)


def start_channels(client: Any) -> None:
    client.start_session(channels=["agent", "caller"], audio_format=PCM)


def start_channels_and_send(client: Any) -> None:
    start_channels(client)
    client.send_audio("agent", SECOND)


def nothing(client: Client) -> None:
    pass


def stop(client: Client) -> None:
    client.stop_session()


def with_block(client: Client) -> None:
    with client:
        start_and_send(client)


def read_stream(client: Client) -> None:
    with client.stream([SECOND] * 2, audio_format=PCM) as messages:
        for _ in messages:
            pass


def enter_and_leave(client: Client) -> None:
    with client.stream(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=1):
        pass


def transcribe(client: Client) -> None:
    client.transcribe([SECOND], audio_format=PCM)


def transcribe_channels(client: Any) -> None:
    client.transcribe({"agent": [SECOND], "caller": [SECOND] * 2}, audio_format=PCM)


def send(client: Client) -> None:
    client.send_audio(SECOND[:3200])
    client.send_audio(SECOND[:3200])


def send_on_a_channel(client: Any) -> None:
    client.send_audio("caller", SECOND[:3200])
    client.end_channel("agent")


def ask(client: Client) -> None:
    client.get_speakers()
    client.update_config(max_delay=1.0)


CALLS: dict[str, tuple[type, Step, Step]] = {  # the client, what comes before, what is interrupted
    "start_session": (Client, nothing, start),
    "send_audio": (Client, start, send),
    "send_message": (Client, start, ask),
    "stop_session": (Client, start_and_send, stop),
    "close": (Client, start_and_send, lambda client: client.close()),
    "with": (Client, nothing, with_block),
    "stream": (Client, nothing, read_stream),
    "a stream closed at once": (Client, nothing, enter_and_leave),
    "transcribe": (Client, nothing, transcribe),
    "start_session with channels": (MultiChannelClient, nothing, start_channels),
    "send_audio on a channel": (MultiChannelClient, start_channels_and_send, send_on_a_channel),
    "transcribe with channels": (MultiChannelClient, nothing, transcribe_channels),
}

# Those that close what they have opened; after the others a program calls close(), or its `with` does.
ALONE = {call for call in CALLS if call not in ("send_audio", "send_message", "stop_session", "close")}
ALONE.discard("send_audio on a channel")
SHARED = ("start_session", "send_audio", "stop_session", "close", "with")
RESUMABLE = ("start_session", "send_audio", "stop_session", "close", "transcribe")


@pytest.fixture(scope="module", params=["ws", "wss"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    with LocalServer(tls=request.param == "wss", keep_sessions=50) as server:
        yield server


def client_for(
    server: LocalServer, kind: type, *, ping_interval: Optional[float] = 20, **options: Any
) -> Any:
    config = ConnectionConfig(
        ssl_context=server.ssl_context,
        close_timeout=1,
        open_timeout=60,
        start_timeout=60,
        end_timeout=60,
        ping_interval=ping_interval,
    )
    return kind(url=server.url, conn_config=config, **options)


def left_of(server: LocalServer, *, collected: bool = False) -> list[str]:
    """What is left of the sessions, once what ends by itself has ended, or is collected."""
    looks = itertools.count()

    def left() -> list[str]:
        look = next(looks)
        if collected and look % 100 == 0:
            # Young, as what is looked for mostly is; all takes ten times as long where many tests have been.
            gc.collect(2 if look else 1)
        names = [name for name in threads() if "local" not in name]
        return names + [f"session {one.index}" for one in server.sessions if not one.closed.is_set()]

    return settled(left, 5, 0.002)


def prepared(server: LocalServer, call: str, **options: Any) -> tuple[Any, Step]:
    kind, before, step = CALLS[call]
    client = client_for(server, kind, **options)
    before(client)
    return client, step


def lines_of(server: LocalServer, call: str, within: str = "", **options: Any) -> int:
    client, step = prepared(server, call, **options)
    interrupt = Interrupt(within=within)
    assert interrupt.during(lambda: step(client)) is None
    client.close()
    return interrupt.lines


def some(server: LocalServer, lines: int, seed: str) -> list[int]:
    """Choose as many moments as the default run takes: others over TLS than without."""
    return sorted(random.Random(server.url[:3] + seed).sample(range(lines), min(lines, MOMENTS)))


def strike(server: LocalServer, call: str, at: int, within: str = "", **options: Any) -> str:
    """Interrupt a call at a line, and then do what a program does that goes on; say what is wrong then."""
    client, step = prepared(server, call, **options)
    interrupt = Interrupt(at, within=within)
    raised = interrupt.during(lambda: step(client))
    where = f"{call}, line {at}: {interrupt.where}"
    if not (raised is None or isinstance(raised, (KeyboardInterrupt, SpeechmaticsError))):
        return f"{where}: {raised!r}"
    began = time.monotonic()
    if call not in ALONE or interrupt.where is None:
        client.close()
    if time.monotonic() - began > 20:  # it waits for none of the others' deadlines
        return f"{where}: close() took {time.monotonic() - began:.1f} s"
    left = left_of(server)
    if left:
        return f"{where}: left behind: {left}"
    (transcribe if type(client) is Client else transcribe_channels)(client)
    return ""


def check_all(
    server: LocalServer, call: str, places: Sequence[int], within: str = "", **options: Any
) -> None:
    wrong = [told for at in places if (told := strike(server, call, at, within, **options))]
    gc.collect()
    assert wrong == []


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_at_any_line_leaves_nothing_and_the_next_session_works(server, call) -> None:
    check_all(server, call, some(server, lines_of(server, call), call))


@pytest.mark.parametrize("call", RESUMABLE)
def test_ctrl_c_at_any_line_of_a_session_that_resumes_leaves_nothing(server, call) -> None:
    lines = lines_of(server, call, resume=True)
    check_all(server, call, some(server, lines, call), resume=True)


@pytest.mark.parametrize("call", SHARED)
def test_ctrl_c_at_any_line_with_the_shared_reader_leaves_nothing(monkeypatch, server, call) -> None:
    monkeypatch.setattr(shared_reader, "OWN", 0)
    check_all(server, call, some(server, lines_of(server, call), call))


@pytest.mark.parametrize("call", ["start_session", "stream", "start_session with channels"])
def test_ctrl_c_at_each_line_that_opens_a_session_leaves_nothing(server, call) -> None:
    within = "/session/opener.py"
    lines = lines_of(server, call, within)
    assert lines > 50
    check_all(server, call, range(lines), within)


def test_ctrl_c_at_any_line_of_what_close_notes_ends_the_listener_too(monkeypatch, server) -> None:
    monkeypatch.setattr(shared_reader, "OWN", 0)

    def struck(at: Optional[int] = None) -> Interrupt:
        client = client_for(server, Client)
        start(client)
        interrupt = Interrupt(at, within="/protocol")
        interrupt.during(client.close)
        client.close()
        return interrupt

    lines = struck().lines
    assert lines > 20
    for at in range(lines):
        where = struck(at).where
        assert left_of(server) == [], where


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("resume", [False, True], ids=["plain", "resume"])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_at_every_single_line(server, call, resume, report) -> None:
    lines = lines_of(server, call, resume=resume)
    check_all(server, call, range(lines), resume=resume)
    how = f"{call} {'with' if resume else 'without'} resume"
    report("interrupts", f"Ctrl-C before each of {lines} lines of {how}: nothing left behind")


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", SHARED)
def test_ctrl_c_at_every_single_line_with_the_shared_reader(monkeypatch, server, call, report) -> None:
    monkeypatch.setattr(shared_reader, "OWN", 0)
    lines = lines_of(server, call)
    check_all(server, call, range(lines))
    how = f"{call} with the shared reader"
    report("interrupts", f"Ctrl-C before each of {lines} lines of {how}: nothing left behind")


def stream_and_close(client: Client) -> Step:
    messages = client.stream(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=1)
    return lambda client: messages.close()


DROPPED: dict[str, Callable[[Client], Step]] = {  # what comes before, and returns what is interrupted
    "close": lambda client: (start_and_send(client), lambda client: client.close())[1],
    "stop_session": lambda client: (start_and_send(client), stop)[1],
    "send_audio": lambda client: (start(client), send)[1],
    "close of a stream": stream_and_close,
}


@pytest.mark.filterwarnings("ignore:a (client|stream) was dropped:ResourceWarning")
@pytest.mark.parametrize("resume", [False, True], ids=["plain", "resume"])
@pytest.mark.parametrize("call", DROPPED)
@pytest.mark.parametrize("all_lines", [False, pytest.param(True, marks=pytest.mark.reliability)])
def test_after_ctrl_c_at_any_line_a_client_that_is_dropped_leaves_nothing(
    server, call, resume, all_lines
) -> None:
    def struck(at: Optional[int] = None) -> Interrupt:
        client = client_for(server, Client, resume=resume, ping_interval=None)  # no ping is a deadline
        step, interrupt = DROPPED[call](client), Interrupt(at)
        interrupt.during(lambda: step(client))
        return interrupt

    lines = struck().lines
    assert lines > 50
    for at in range(lines) if all_lines or call == "close" else some(server, lines, call):
        where = struck(at).where
        assert left_of(server, collected=True) == [], where


# -- what is sent, and what is counted -------------------------------------------------------------------


@pytest.mark.parametrize("all_lines", [False, pytest.param(True, marks=pytest.mark.reliability)])
@pytest.mark.parametrize("resume", [False, QUICK], ids=["plain", "resume"])
def test_after_ctrl_c_inside_send_audio_the_count_is_right_or_the_session_says_that_it_has_ended(
    server, resume, all_lines
) -> None:
    client, _ = prepared(server, "send_audio", resume=resume)
    probe = Interrupt()
    assert probe.during(lambda: client.send_audio(SECOND)) is None
    client.close()
    told: list[str] = []
    places = range(probe.lines) if all_lines else some(server, probe.lines, "count")
    for at in places:
        client, _ = prepared(server, "send_audio", resume=resume)
        client.send_audio(SECOND)
        interrupt = Interrupt(at)
        interrupt.during(lambda client=client: client.send_audio(SECOND))
        try:
            client.send_audio(SECOND)
            client.stop_session()
        except ConnectionError as exc:
            told.append(f"{exc} {interrupt.where}")
        else:
            record = server.sessions[-1]
            (end,) = record.heard("EndOfStream")
            assert end["last_seq_no"] == len(record.frames), interrupt.where
            assert client.stats.unacknowledged_frames == 0, interrupt.where
        client.close()
        assert left_of(server) == []
    assert all("interrupted" in text for text in told)
    assert len(told) < probe.lines / 2  # most moments are harmless


# -- the others that open something ----------------------------------------------------------------------


def test_ctrl_c_at_any_line_of_the_local_servers_start_leaves_nothing() -> None:
    engine = ScriptedEngine()  # some 500 lines, which open nothing

    def run() -> None:
        with LocalServer(engine):
            pass

    run()  # what it imports the first time is not counted
    before = threads()
    probe = Interrupt(within="/local")
    assert probe.during(run) is None
    assert probe.lines > 30
    for at in range(probe.lines):
        interrupt = Interrupt(at, within="/local")
        interrupt.during(run)
        assert settled(lambda: list(Counter(threads()) - Counter(before)), 5, 0.002) == [], interrupt.where


def test_ctrl_c_at_any_line_of_the_fetching_of_a_temporary_key_leaves_an_auth_that_works(server) -> None:
    pytest.importorskip("jwt")
    pytest.importorskip("requests")
    url = server.url.replace("ws", "http", 1).replace("/v2", "")

    def auth() -> JWTAuth:
        made = JWTAuth("key", mp_url=url)
        made.configure(ConnectionConfig(ssl_context=server.ssl_context, open_timeout=5))
        return made

    probe = Interrupt(within="/auth")
    assert probe.during(auth().get_auth_headers) is None
    for at in range(probe.lines):
        asked = auth()
        interrupt = Interrupt(at, within="/auth")
        assert isinstance(interrupt.during(asked.get_auth_headers), KeyboardInterrupt)
        assert asked.get_auth_headers()["Authorization"], interrupt.where
        assert asked.refresh()
    assert left_of(server) == []


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="only 3.9 looks for signals at the end of a `with`")
def test_ctrl_c_at_the_end_of_a_with_leaves_no_connection_locked(server) -> None:
    client, step = prepared(server, "send_audio")
    probe = Interrupt(exits=True, within="/network/connection.py")
    assert probe.during(lambda: step(client)) is None
    client.close()
    for at in range(probe.lines):
        client, step = prepared(server, "send_audio")
        interrupt = Interrupt(at, exits=True, within="/network/connection.py")
        assert isinstance(interrupt.during(lambda step=step, client=client: step(client)), KeyboardInterrupt)
        client.close()
        assert left_of(server) == [], interrupt.where


def test_ctrl_c_just_as_a_start_has_failed_leaves_nobody_waiting_in_stop_session(
    serve, client_of, monkeypatch
) -> None:
    client = client_of(serve(faults=[Fault.error("quota_exceeded", at="start")]))
    waiter = threading.Thread(target=client.stop_session, daemon=True)

    def interrupted(session: Any, *_: object) -> None:
        waiter.start()
        raise KeyboardInterrupt  # before its first line

    monkeypatch.setattr(Session, "fail_to_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.start_session(audio_format=PCM)
    waiter.join(5)
    assert not waiter.is_alive()


@pytest.mark.parametrize("resume", [False, True], ids=["plain", "resume"])
@pytest.mark.parametrize("behind", ["_connect", "link"])
def test_ctrl_c_behind_the_connecting_leaves_no_connection_to_the_collector(
    serve, client_of, monkeypatch, behind, resume
) -> None:
    server = serve()
    connect = getattr(Connector, behind)

    def interrupted(*arguments: Any, **options: Any) -> None:
        connect(*arguments, **options)
        raise KeyboardInterrupt  # before anybody has what was returned

    monkeypatch.setattr(Connector, behind, interrupted)
    gc.disable()
    try:
        with pytest.raises(KeyboardInterrupt):
            start(client_of(server, resume=resume))
        assert server.sessions[0].wait_closed(10)
    finally:
        gc.enable()


def test_a_second_ctrl_c_as_a_connection_is_closed_that_never_began_leaves_it_to_nobody(
    serve, client_of, monkeypatch
) -> None:
    server, struck = serve(), []
    leave = Connection._leave

    def interrupted(connection: Connection, *arguments: Any) -> None:
        if not struck:
            struck.append(connection)
            raise KeyboardInterrupt
        leave(connection, *arguments)

    def interrupting(*_: object) -> None:
        monkeypatch.setattr(Connection, "_leave", interrupted)
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "_session_over", interrupting)
    gc.disable()
    try:
        with pytest.raises(KeyboardInterrupt):
            start(client_of(server))
        assert struck[0]._sock.fileno() == -1
    finally:
        gc.enable()
