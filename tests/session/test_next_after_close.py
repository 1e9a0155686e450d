"""``close()``, or the end of a task, gives up a call that opens a session: the next one may begin at once.

It waits until the call has ended that was given up, so that a client still has one session at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    MultiChannelClient,
    Recorder,
    SessionError,
    TimeoutError,
)
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.session import Call, opener
from speechmatics_rt.threads import Latch

from ..aio.test_aio import face, run

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
LATE = 0.1  # s, by which a call that is given up ends later here

Opens = Callable[[Any], Any]


def by_hand(client: Client) -> None:
    client.start_session(audio_format=PCM)


def whole(client: Client) -> None:
    client.transcribe(SECOND, audio_format=PCM)


def by_loop(client: Client) -> None:
    with client.stream(SECOND, audio_format=PCM) as messages:
        for _ in messages:
            pass


def channels(client: MultiChannelClient) -> None:
    client.transcribe({"a": SECOND, "b": SECOND}, audio_format=PCM)


def channels_by_hand(client: MultiChannelClient) -> None:
    client.start_session(channels=["a"], audio_format=PCM)


WAYS = [by_hand, whole, by_loop, channels, channels_by_hand]


def kind_for(way: Opens) -> type:
    return MultiChannelClient if way in (channels, channels_by_hand) else Client


@pytest.fixture
def ends_late(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have calls that were given up end as late as on a machine that is busy."""
    give_back = Call.give_back

    def later(call: Call) -> None:
        if call.opening.given_up:
            time.sleep(LATE)
        give_back(call)

    monkeypatch.setattr(Call, "give_back", later)
    return


class Attempt(threading.Thread):
    """A call that opens a session, on a thread of its own; it waits for ever, unless somebody closes it."""

    def __init__(self, server: LocalServer, client: Client, way: Opens) -> None:
        super().__init__(daemon=True)
        self._client, self._way = client, way
        self.raised: list[BaseException] = []
        self.start()
        until(lambda: server.sessions and server.sessions[0].start is not None)

    def run(self) -> None:
        try:
            self._way(self._client)
        except SessionError as exc:
            self.raised.append(exc)

    def join(self, timeout: float = 10) -> None:
        super().join(timeout)
        assert not self.is_alive()
        assert "closed" in str(self.raised[0])


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def record_of(client: Any) -> list[str]:
    """Note, in their order, the first and the last event of each session."""
    events: list[str] = []
    client.on("RecognitionStarted", lambda message: events.append("started"))
    client.on("SessionEnded", lambda event: events.append("ended" if event["error"] is None else "failed"))
    return events


@pytest.mark.parametrize("closer", ["a thread", "a signal handler"])
@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_is_closed_while_it_opens_a_session_opens_the_next(
    serve, client_of, ends_late, way: Opens, closer: str
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server, kind=kind_for(way))
    events = record_of(client)
    attempt = Attempt(server, client, way)
    if closer == "a thread":
        client.close()
    else:
        before = signal.signal(signal.SIGTERM, lambda *_: client.close())
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before)
    if way in (channels, channels_by_hand):
        channels(client)
    else:
        whole(client)
    attempt.join()
    assert events == ["ended", "started", "ended"]
    assert len(server.sessions) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no such timers")
def test_a_signal_handler_that_closes_on_the_thread_that_opens_waits_for_nothing(
    serve, client_of, ends_late
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server)
    seconds: list[float] = []

    def close(*_: Any) -> None:
        began = time.monotonic()
        client.close()
        with pytest.raises(SessionError, match="already running"):  # not before this thread has gone on
            client.start_session(audio_format=PCM)
        seconds.append(time.monotonic() - began)

    before = signal.signal(signal.SIGALRM, close)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(SessionError, match="closed"):
            whole(client)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seconds[0] < LATE + 5  # of the close frame, not of open_timeout
    whole(client)


def test_a_handler_of_the_end_of_a_start_that_was_closed_opens_the_next_at_once(serve, client_of) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server, open_timeout=60)
    texts: list[str] = []
    client.once("SessionEnded", lambda _: texts.append(client.transcribe(SECOND * 2, audio_format=PCM).text))
    attempt = Attempt(server, client, by_hand)
    client.close()
    attempt.join(30)
    assert texts == ["Good morning, and welcome"]


def test_what_does_not_end_is_waited_for_as_long_as_for_a_connection(
    serve, client_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server, open_timeout=0.3)
    release, give_back = threading.Event(), Call.give_back

    def later(call: Call) -> None:
        if call.opening.given_up:
            release.wait(30)
        give_back(call)

    monkeypatch.setattr(Call, "give_back", later)
    attempt = Attempt(server, client, by_hand)
    client.close()
    with pytest.raises(TimeoutError, match="session before") as caught:
        whole(client)
    assert (caught.value.stage, caught.value.retryable) == ("end", True)
    with pytest.raises(TimeoutError, match="session before") as caught:
        client.transcribe(SECOND, audio_format=PCM, timeout=0.1)
    assert (caught.value.stage, caught.value.seconds) == ("whole", 0.1)
    release.set()
    attempt.join()
    whole(client)


def test_a_handler_of_the_session_before_is_waited_for_once_for_open_timeout(
    serve, client_of, ends_late, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []

    class Noted(Latch):
        def wait(self, timeout: Any = None) -> bool:
            limits.append(timeout)
            return super().wait(timeout)

    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server, open_timeout=1.0)
    release = threading.Event()
    client.once("SessionEnded", lambda _: release.wait(10))
    attempt = Attempt(server, client, by_hand)
    client.close()
    monkeypatch.setattr(opener, "Latch", Noted)
    client.start_session(audio_format=PCM)
    release.set()
    attempt.join()
    client.stop_session()
    first, second = limits  # before a source is read, and after that
    assert 0 < first <= 1.0
    assert second <= 0


def test_closing_leaves_the_last_event_to_the_call_that_is_given_up(serve, client_of, ends_late) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server)
    told: list[threading.Thread] = []
    client.on("SessionEnded", lambda _: told.append(threading.current_thread()))
    attempt = Attempt(server, client, by_hand)
    client.close()
    attempt.join()
    assert told == [attempt]


def test_closing_ends_that_wait_too(serve, client_of, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server, open_timeout=None)
    release, waits, give_back = threading.Event(), threading.Event(), Call.give_back

    def later(call: Call) -> None:
        if call.opening.given_up:
            release.wait(30)
        give_back(call)

    when_over = Call.when_over
    monkeypatch.setattr(Call, "give_back", later)
    monkeypatch.setattr(Call, "when_over", lambda call, tell: (when_over(call, tell), waits.set()))
    attempt = Attempt(server, client, by_hand)
    client.close()
    closing = threading.Thread(target=lambda: (waits.wait(10), client.close()))
    closing.start()
    with pytest.raises(SessionError, match="closed while it was being opened"):
        whole(client)
    closing.join()
    release.set()
    attempt.join()
    assert len(server.sessions) == 1


def test_a_recording_has_the_next_session_and_nothing_of_the_one_given_up(
    serve, client_of, ends_late, tmp_path: Path
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    client = client_of(server)
    with Recorder(client, tmp_path / "it.jsonl"):
        attempt = Attempt(server, client, by_hand)
        client.close()
        whole(client)
        attempt.join()
    lines = [json.loads(line) for line in (tmp_path / "it.jsonl").read_text().splitlines()]
    assert lines[0]["request_id"] == client.request_id
    assert [line["ended"] for line in lines if "ended" in line] == [None]


# -- in an event loop ------------------------------------------------------------------------------------


async def awaited_by_hand(client: AsyncClient) -> None:
    await client.start_session(audio_format=PCM)
    await client.send_audio(SECOND)
    await client.stop_session()


async def awaited_whole(client: AsyncClient) -> None:
    await client.transcribe(SECOND, audio_format=PCM)


async def awaited_loop(client: AsyncClient) -> None:
    async with client.stream(SECOND, audio_format=PCM) as messages:
        async for _ in messages:
            pass


async def awaited_channels(client: AsyncMultiChannelClient) -> None:
    await client.transcribe({"a": SECOND, "b": SECOND}, audio_format=PCM)


AWAITED = [awaited_by_hand, awaited_whole, awaited_loop, awaited_channels]


def face_for(server: LocalServer, way: Opens) -> Any:
    return face(server, AsyncMultiChannelClient if way is awaited_channels else AsyncClient)


@pytest.mark.parametrize("closes", [False, True], ids=["", "and closed"])
@pytest.mark.parametrize("way", AWAITED)
def test_a_task_that_was_cancelled_while_it_opened_a_session_opens_the_next(
    serve, ends_late, way: Opens, closes: bool
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])

    async def main() -> list[str]:
        client = face_for(server, way)
        events = record_of(client)
        opening = asyncio.ensure_future(way(client))
        await asyncio.get_running_loop().run_in_executor(
            None, until, lambda: server.sessions and server.sessions[0].start is not None
        )
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        if closes:
            await client.close()
        await way(client)
        return events

    assert run(main) == ["ended", "started", "ended"]
    assert len(server.sessions) == 2


MOMENTS = [0.0004 * moment for moment in range(24)]
EACH = [
    pytest.param(MOMENTS, id="some"),
    pytest.param([0.0001 * moment for moment in range(400)], id="many", marks=pytest.mark.reliability),
]


@pytest.mark.parametrize("moments", EACH)
@pytest.mark.parametrize("way", AWAITED)
def test_whenever_a_task_is_cancelled_the_next_session_of_its_client_is_not_refused(
    serve, way: Opens, moments: list[float]
) -> None:
    server = serve()

    async def main() -> None:
        for moment in moments:
            client = face_for(server, way)
            events = record_of(client)
            opening = asyncio.ensure_future(way(client))
            await asyncio.sleep(moment)
            opening.cancel()
            try:
                await opening
            except asyncio.CancelledError:
                if way is awaited_by_hand:
                    await client.close()  # it may have been sending, which goes on
            await way(client)
            await client.close()
            first, second = events[:-2], events[-2:]
            assert first in ([], ["ended"], ["started", "ended"]), moment
            assert second == ["started", "ended"], moment

    run(main)


@pytest.mark.parametrize("way", [by_hand, whole, by_loop])
def test_whenever_a_client_is_closed_its_next_session_is_not_refused(serve, client_of, way: Opens) -> None:
    server = serve()
    for moment in MOMENTS:
        client = client_of(server)
        raised: list[SessionError] = []

        def first(client: Client = client, raised: list[SessionError] = raised) -> None:
            try:
                way(client)
            except SessionError as exc:
                raised.append(exc)

        opening = threading.Thread(target=first)
        opening.start()
        time.sleep(moment)
        client.close()
        try:
            whole(client)
        except SessionError:  # the first began after close(), which ended nothing
            assert not raised
            client.close()
        opening.join(10)


def test_a_start_that_is_cancelled_just_as_it_succeeds_is_over(serve, tmp_path: Path) -> None:
    server = serve()

    async def main() -> list[str]:
        client = face(server)
        events = record_of(client)
        with Recorder(client, tmp_path / "it.jsonl"):
            opening = asyncio.ensure_future(client.start_session(audio_format=PCM))
            await asyncio.sleep(0)
            until(lambda: not any("open_session" in thread.name for thread in threading.enumerate()))
            opening.cancel()  # the loop was busy, and has not seen yet that it is done
            with pytest.raises(asyncio.CancelledError):
                await opening
            await asyncio.wait_for(client.stop_session(), 10)
        await awaited_by_hand(client)
        return events

    assert run(main) == ["ended", "started", "ended"]
    lines = [json.loads(line) for line in (tmp_path / "it.jsonl").read_text().splitlines()]
    assert [line["ended"] for line in lines if "ended" in line] == [None]


def test_whenever_a_start_is_cancelled_its_end_is_not_waited_for_in_vain(serve) -> None:
    server = serve()

    async def main() -> None:
        for moment in MOMENTS:
            client = face(server)
            opening = asyncio.ensure_future(client.start_session(audio_format=PCM))
            await asyncio.sleep(moment)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening
            with contextlib.suppress(SessionError):  # it was closed while it was started
                await asyncio.wait_for(client.stop_session(), 10)

    run(main)


class SlowToBegin:
    """A source whose first block comes when it is released."""

    def __init__(self) -> None:
        self.read_at, self.release = threading.Event(), threading.Event()

    def read(self, size: int) -> bytes:
        first = not self.read_at.is_set()
        self.read_at.set()
        self.release.wait(10)
        return SECOND if first else b""


@pytest.mark.parametrize("goes_on", [False, True], ids=["", "with a session meanwhile"])
def test_a_call_that_is_closed_as_its_source_is_read_tells_its_end_in_no_other_session(
    serve, client_of, goes_on: bool
) -> None:
    client = client_of(serve())
    errors: list[Any] = []
    client.on("SessionEnded", lambda event: errors.append((client.is_connected, event["error"])))
    source, raised = SlowToBegin(), []

    def first() -> None:
        try:
            client.transcribe(source, audio_format=PCM)
        except SessionError as exc:
            raised.append(exc)

    reading = threading.Thread(target=first)
    reading.start()
    assert source.read_at.wait(10)
    client.close()
    if goes_on:
        client.start_session(audio_format=PCM)
    source.release.set()
    reading.join(10)
    assert "closed while it was being opened" in str(raised[0])
    assert len(errors) == (0 if goes_on else 1)
    if goes_on:
        client.stop_session()
    assert errors == [(False, None)]  # None: the program itself has closed it


def test_a_call_that_is_closed_as_it_connects_tells_that_the_program_did_it(client_of_nobody) -> None:
    client, listening = client_of_nobody
    errors: list[Any] = []
    client.on("SessionEnded", lambda event: errors.append(event["error"]))

    def close() -> None:
        peer, _ = listening.accept()
        with peer:
            client.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(SessionError, match="closed while it was being opened"):
        by_hand(client)
    closing.join(10)
    assert errors == [None]


@pytest.fixture
def client_of_nobody() -> Iterator[Any]:
    """Return a client, and the socket that it connects to, which never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/v2"
        yield Client(api_key="key", url=url), listening


@pytest.mark.parametrize("cancels", [False, True], ids=["closed", "cancelled"])
def test_a_loop_tells_the_end_of_a_start_before_the_next_session_begins(serve, cancels: bool) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0])])
    events: list[str] = []

    async def ended(event: Any) -> None:
        events.append("ends")
        await asyncio.sleep(0.3)
        events.append("ended")

    async def main() -> None:
        client = face(server)
        client.on("RecognitionStarted", lambda _: events.append("started"))
        client.on("SessionEnded", ended)
        opening = asyncio.ensure_future(client.start_session(audio_format=PCM))
        await asyncio.get_running_loop().run_in_executor(
            None, until, lambda: server.sessions and server.sessions[0].start is not None
        )
        if cancels:
            opening.cancel()
        else:
            await client.close()
        while not events:
            await asyncio.sleep(0.005)
        await awaited_by_hand(client)
        with pytest.raises(asyncio.CancelledError if cancels else SessionError):
            await opening

    run(main)
    assert events == ["ends", "ended", "started", "ends", "ended"]


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize("cancels", [False, True], ids=["closed", "cancelled"])
def test_a_handler_of_the_end_of_a_start_opens_the_next_in_a_loop_at_once(
    serve, way: Opens, cancels: bool
) -> None:
    server = serve(faults=[Fault.no_start(sessions=[0, 1])])
    starts: list[float] = []

    async def main() -> None:
        client = face_for(server, way)

        async def ended(_: Any) -> None:
            if len(starts) < 2:
                starts.append(time.monotonic())
                opening = asyncio.ensure_future(way(client))
                if len(starts) == 1:
                    await end(opening, 1)
                else:
                    await opening

        async def end(opening: asyncio.Future[None], number: int) -> None:
            """Give up a start, whose handlers run within those of the one before."""
            await asyncio.get_running_loop().run_in_executor(
                None, until, lambda: len(server.sessions) > number and server.sessions[number].start
            )
            if cancels:
                opening.cancel()
            else:
                await client.close()
            with pytest.raises(asyncio.CancelledError if cancels else SessionError):
                await opening

        client.on("SessionEnded", ended)
        await asyncio.wait_for(end(asyncio.ensure_future(way(client)), 0), 30)

    began = time.monotonic()
    run(main)
    assert len(server.sessions) == 3
    assert time.monotonic() - began < 8  # not open_timeout
