"""What the hunt for deadlocks has found (``tests/reliability/hunt.py``), each as small as it gets."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import itertools
import logging
import threading
import time
import weakref

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    Client,
    ConnectionConfig,
    ProtocolError,
    ResumePolicy,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
)
from speechmatics_rt.local import Fault
from speechmatics_rt.network import Connection, shared_reader

from ..looks import collected, settled

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def in_time(work, seconds=10.0):
    """Return what it raised; fail if it hangs."""
    raised = []

    def run():
        try:
            work()
            raised.append(None)
        except BaseException as exc:
            raised.append(exc)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    assert raised, "it hangs"
    return raised[0]


def test_stop_session_of_a_stream_that_was_closed_and_is_read_by_nobody_returns(serve, client_of) -> None:
    client = client_of(serve())
    messages = client.stream([SECOND] * 20, audio_format=PCM)
    next(messages)

    def close_and_stop() -> None:
        client.close()
        client.stop_session()

    assert isinstance(in_time(close_and_stop), SessionError)
    with pytest.raises(SessionError):
        next(messages)


def test_who_waits_in_stop_session_of_a_stream_is_let_go_by_close(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.no_end()]))
    messages = client.stream([SECOND], audio_format=PCM)
    next(messages)
    raised = []

    def stop() -> None:
        try:
            client.stop_session()
        except SpeechmaticsError as exc:
            raised.append(exc)

    waiting = threading.Thread(target=stop, daemon=True)
    waiting.start()
    assert in_time(client.close) is None
    waiting.join(10)
    assert isinstance(raised[0], SessionError)
    messages.close()


class Exits(logging.Handler):
    """A log handler of a program that is at its end."""

    def emit(self, record: logging.LogRecord) -> None:
        if "skipped a frame that is not a message" in record.getMessage():
            raise SystemExit(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("own", [0, 8], ids=["read by the shared thread", "read by a thread of its own"])
def test_a_log_handler_that_exits_on_the_thread_that_reads_ends_that_session_alone(
    own, serve, client_of, monkeypatch
) -> None:
    monkeypatch.setattr(shared_reader, "OWN", own)
    calm = client_of(serve())
    calm.start_session(audio_format=PCM)
    client = client_of(serve(faults=[Fault.not_object()]))
    log, handler = logging.getLogger("speechmatics_rt.network.connection"), Exits()
    log.addHandler(handler)
    try:
        raised = in_time(lambda: client.transcribe([SECOND] * 3, audio_format=PCM))
    finally:
        log.removeHandler(handler)
    assert isinstance(raised, ProtocolError)
    calm.send_audio(SECOND * 3)
    calm.stop_session()
    assert calm.transcript.text


def test_an_interrupt_that_ends_no_wait_by_itself_reaches_the_main_thread_all_the_same(
    serve, client_of
) -> None:
    # As one does that comes when the main thread is just about to wait: nothing wakes it then.
    client = client_of(serve(faults=[Fault.no_end()]))
    client.on("AddTranscript", lambda message: _thread.interrupt_main())
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.stop_session()
        time.sleep(0)  # where it is told when the interrupt came as the wait ended
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("how", ["transcribe", "stream"])
def test_the_time_for_the_whole_call_holds_where_there_is_always_something_to_receive(
    how, serve, client_of
) -> None:
    client = client_of(serve())
    client.on("AudioAdded", lambda message: time.sleep(0.002))  # slower than they come
    endless = itertools.repeat(SECOND[:3200])

    def transcribe() -> None:
        if how == "transcribe":
            client.transcribe(endless, audio_format=PCM, timeout=1)
        else:
            for _ in client.stream(endless, audio_format=PCM, timeout=1):
                pass

    raised = in_time(transcribe)
    assert isinstance(raised, TimeoutError)
    assert raised.stage == "whole"


def test_the_same_in_an_event_loop(serve) -> None:
    server = serve()

    async def main() -> None:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config) as client:
            client.on("AudioAdded", lambda message: time.sleep(0.002))
            await client.transcribe(itertools.repeat(SECOND[:3200]), audio_format=PCM, timeout=1)

    raised = in_time(lambda: asyncio.run(main()))
    assert isinstance(raised, TimeoutError)


@pytest.mark.parametrize("mended", [True, False], ids=["replaced", "over"])
def test_a_client_that_began_anew_in_an_except_is_collected_with_its_session_when_it_is_dropped(
    mended, serve
) -> None:
    # What is kept of the refusal would lead to the error that was being handled, and that to its frames.
    server = serve(faults=[Fault.refuse(503, sessions=[0])])
    policy = ResumePolicy(min_delay=0, max_delay=0, busy_delay=0) if mended else False

    def begin(client: Client) -> None:
        try:
            raise LookupError
        except LookupError:
            try:
                client.start_session(audio_format=PCM)
            except SpeechmaticsError:
                client.start_session(audio_format=PCM)
            raise

    def drop() -> weakref.ref[Client]:
        client = Client(
            url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context), resume=policy
        )
        client.held = client  # a cycle
        with contextlib.suppress(LookupError):
            begin(client)
        return weakref.ref(client)

    dropped = drop()
    with pytest.warns(ResourceWarning, match=r"dropped with an open session: .*, session \S+ open, "):
        assert collected(dropped)
    assert server.sessions[-1].wait_closed(5)


@pytest.mark.parametrize("how", ["a refused connection", "a lost one", "a handler"])
def test_what_the_caller_is_handling_meanwhile_keeps_its_traceback(how, serve, client_of) -> None:
    faults = {"a refused connection": [Fault.refuse(503)], "a lost one": [Fault.reset(after_messages=2)]}
    client = client_of(serve(faults=faults.get(how, [])), handler_errors="raise")
    if how == "a handler":
        client.on("AddTranscript", lambda message: message["nothing"])
    handled = LookupError()
    try:
        raise handled
    except LookupError:
        with pytest.raises((SpeechmaticsError, KeyError)):
            client.transcribe([SECOND] * 3, audio_format=PCM)
        traceback = handled.__traceback__
    assert traceback is not None


def test_a_client_whose_sending_was_interrupted_is_collected_with_its_session_when_it_is_dropped(
    serve, monkeypatch
) -> None:
    server = serve()

    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    def send(client: Client) -> None:
        resumed = threading.Event()
        client.on("Resumed", lambda message: resumed.set())
        try:
            with monkeypatch.context() as patched:
                patched.setattr(Connection, "send_audio", interrupted)
                client.send_audio(SECOND)
        finally:  # the interrupt is still to pass its caller
            assert resumed.wait(10)

    def drop() -> weakref.ref[Client]:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        client = Client(url=server.url, conn_config=config, resume=ResumePolicy(min_delay=0, max_delay=0))
        client.held = client  # a cycle
        client.start_session(audio_format=PCM)
        with contextlib.suppress(KeyboardInterrupt):
            send(client)
        return weakref.ref(client)

    dropped = drop()
    with pytest.warns(ResourceWarning, match="dropped with an open session"):
        assert collected(dropped)
    assert server.sessions[-1].wait_closed(5)


@pytest.mark.filterwarnings("ignore:a client was dropped:ResourceWarning")
@pytest.mark.parametrize("how", ["plain", "resume", "asyncio"])
def test_the_log_says_that_a_client_was_dropped_and_not_that_its_connection_was_lost(
    how, serve, caplog
) -> None:
    server = serve()
    options = {
        "url": server.url,
        "conn_config": ConnectionConfig(ssl_context=server.ssl_context),
        "resume": how == "resume",
    }

    def forget() -> None:
        client = Client(**options)
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)

    async def forget_on_a_loop() -> None:
        client = AsyncClient(**options)
        await client.start_session(audio_format=PCM)
        await client.send_audio(SECOND)

    def told() -> list[str]:
        gc.collect()
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    async def forget_and_go_on() -> None:
        await forget_on_a_loop()
        for _ in range(500):
            if told():
                break
            await asyncio.sleep(0.01)

    if how == "asyncio":
        asyncio.run(forget_and_go_on())
    else:
        forget()
        assert not settled(lambda: not told(), 5)
    (only,) = told()
    assert "its client was dropped with the session open" in only
    assert only.count("request_id=") == 1
