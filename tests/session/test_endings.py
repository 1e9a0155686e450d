"""How sessions end: who has waited for whom, what is still delivered, and that one deadline bounds it all."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioError,
    AudioFormat,
    AuthBase,
    Client,
    ConnectionConfig,
    JWTAuth,
    MultiChannelClient,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    Transcript,
    TranscriptionError,
)
from speechmatics_rt.local import Fault, LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
MINUTE = [SECOND] * 30
CHUNKS = b"".join(number.to_bytes(2, "little") * 2048 for number in range(60))


@pytest.fixture(scope="module")
def whole() -> Transcript:
    """What half a minute of audio holds, undisturbed."""
    with LocalServer() as server, Client(url=server.url) as client:
        return client.transcribe(MINUTE, audio_format=PCM)


# -- the caller's things are his again -----------------------------------------------------------------


class SlowFile(io.BytesIO):
    """A file whose reads take a moment, as over a network."""

    def read(self, size: int = -1, /) -> bytes:
        time.sleep(0.01)
        return super().read(size)


@pytest.mark.parametrize("after", [1.0, 1.4, 2.1])
def test_a_retry_with_the_same_file_gets_every_chunk(serve, client_of, after: float) -> None:
    server = serve(faults=[Fault.error("job_error", after_seconds=after, sessions=[0])])
    client, source = client_of(server), SlowFile(CHUNKS)
    with pytest.raises(TranscriptionError):
        client.transcribe(source, audio_format=PCM)
    source.seek(0)
    client.transcribe(source, audio_format=PCM)
    assert bytes(server.sessions[-1].audio) == CHUNKS


def test_a_stream_that_is_closed_early_reads_its_source_no_more(serve, client_of) -> None:
    server, source = serve(), SlowFile(CHUNKS)
    with client_of(server).stream(source, audio_format=PCM) as messages:
        next(messages)
    place = source.tell()
    time.sleep(0.05)  # what must not happen gives no sign
    assert source.tell() == place


def test_a_source_that_blocks_for_ever_is_named_in_the_error(serve, client_of) -> None:
    forever = threading.Event()

    def microphone() -> Iterator[bytes]:
        yield SECOND[:16000]
        forever.wait(30)

    server = serve(faults=[Fault.error("job_error", after_seconds=0.5)])  # when all of that is sent
    began = time.monotonic()
    try:
        with pytest.raises(TranscriptionError, match=r"audio source.*still being read") as caught:
            client_of(server).transcribe(microphone(), audio_format=PCM)
    finally:
        forever.set()
    assert time.monotonic() - began < 5
    assert caught.value.type == "job_error"


def test_that_a_source_is_still_being_read_is_told_once(serve, client_of, caplog) -> None:
    read_again, forever = threading.Event(), threading.Event()

    def microphone() -> Iterator[bytes]:
        yield SECOND
        read_again.set()
        forever.wait(30)

    def stop(_: Any) -> None:
        assert read_again.wait(10)  # stopped while it sends, the sender would read no more
        client.request_stop()

    client = client_of(serve())
    client.on("AudioAdded", stop)
    try:
        with client.stream(microphone(), audio_format=PCM) as messages:
            list(messages)
    finally:
        forever.set()
    assert sum("still being read" in text for text in caplog.messages) == 1


async def _retry(server: LocalServer, source: Any) -> None:
    async with AsyncClient(url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context)) as c:
        with pytest.raises(TranscriptionError):
            await c.transcribe(source, audio_format=PCM)
        source.seek(0)
        await c.transcribe(source, audio_format=PCM)


def test_a_retry_in_an_event_loop_gets_every_chunk_too(serve) -> None:
    server = serve(faults=[Fault.error("job_error", after_seconds=1.2, sessions=[0])])
    asyncio.run(_retry(server, SlowFile(CHUNKS)))
    assert bytes(server.sessions[-1].audio) == CHUNKS


# -- close() while messages are worked off ---------------------------------------------------------------


def _behind(client: Any) -> threading.Thread:
    """Close the client when all has arrived, while its handlers have had three messages."""
    handled: list[Any] = []
    all_there = threading.Event()

    def slow(message: Any) -> None:
        handled.append(message)
        if len(handled) == 3:
            all_there.wait(10)

    def close() -> None:
        while client.is_connected or len(handled) < 3:
            time.sleep(0.005)  # nothing tells a stranger that the last message has arrived
        closing = threading.Thread(target=client.close)
        closing.start()
        while not client._session.ending.closed:
            time.sleep(0.001)
        all_there.set()
        closing.join()

    client.on("AddTranscript", slow)
    thread = threading.Thread(target=close)
    thread.start()
    return thread


def test_close_while_transcribe_works_off_messages_is_an_error_with_what_was_heard(
    serve, client_of, whole
) -> None:
    client = client_of(serve())
    thread = _behind(client)
    with pytest.raises(SessionError, match="closed") as caught:
        client.transcribe(MINUTE, audio_format=PCM)
    thread.join()
    assert 0 < len(caught.value.transcript.words) < len(whole.words)


def test_close_while_the_listener_works_off_messages_is_an_error_of_stop_session(
    serve, client_of, whole
) -> None:
    client = client_of(serve())
    client.start_session(audio_format=PCM)
    for chunk in MINUTE:
        client.send_audio(chunk)
    thread = _behind(client)
    with pytest.raises(SessionError, match="closed") as caught:
        client.stop_session()
    thread.join()
    assert 0 < len(caught.value.transcript.words) < len(whole.words)


def test_close_in_the_handler_of_the_last_message_leaves_the_transcript_whole(
    serve, client_of, whole
) -> None:
    client = client_of(serve())
    client.on("EndOfTranscript", lambda _: client.close())
    assert client.transcribe(MINUTE, audio_format=PCM).text == whole.text


def test_no_handler_of_an_event_loop_runs_after_close(serve, whole) -> None:
    server = serve()

    async def main() -> tuple[int, int, SessionError]:
        handled: list[Any] = []
        closing = asyncio.Event()
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config) as client:

            @client.on("AddTranscript")
            async def slow(message: Any) -> None:
                handled.append(message)
                if len(handled) == 3:
                    await closing.wait()

            await client.start_session(audio_format=PCM)
            for chunk in MINUTE:
                await client.send_audio(chunk)
            stopping = asyncio.ensure_future(client.stop_session())
            while client.is_connected or len(handled) < 3:  # until all has arrived
                await asyncio.sleep(0.001)
            closing.set()
            await client.close()
            count = len(handled)
            with pytest.raises(SessionError, match="closed") as caught:
                await stopping
            await asyncio.sleep(0.05)
            return count, len(handled), caught.value

    closed, after, error = asyncio.run(main())
    assert after == closed
    assert 0 < len(error.transcript.words) < len(whole.words)


# -- an interrupted loop -----------------------------------------------------------------------------------


@pytest.fixture
def endless() -> Iterator[Any]:
    """A source as a microphone is one; it tells how often it was read."""
    closing = threading.Event()

    class Endless:
        reads = 0

        def read(self, size: int) -> bytes:
            Endless.reads += 1
            closing.wait(0.02)
            return b"" if closing.is_set() else SECOND[:640]

    yield Endless()
    closing.set()


def _interrupted_in(client: Client, source: Any, where: str) -> KeyboardInterrupt:
    """Interrupt a loop over a stream that nothing closes, and keep the traceback, as a notebook does."""

    def cell() -> None:
        messages = client.stream(source, audio_format=PCM)
        for _ in messages:
            if where == "the body":
                raise KeyboardInterrupt

    def interrupt() -> None:
        while source.reads < 20:
            time.sleep(0.01)  # a source that is read gives no other sign
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # as the terminal does it

    if where == "the wait":
        threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        cell()
    return caught.value


def test_a_loop_interrupted_while_it_waits_sends_no_more(serve, client_of, endless) -> None:
    server = serve(faults=[Fault.silence(after_seconds=0.2)])
    client = client_of(server)
    kept = _interrupted_in(client, endless, "the wait")
    assert not client.is_connected
    reads = endless.reads
    assert server.sessions[0].wait_closed(5)
    assert endless.reads == reads
    assert kept.__traceback__ is not None  # with the stream in its frames


def test_the_next_session_of_a_client_closes_the_one_whose_loop_was_left(serve, client_of, endless) -> None:
    server = serve()
    client = client_of(server)
    kept = _interrupted_in(client, endless, "the body")
    assert client.is_connected  # nobody can know yet
    assert client.transcribe(SECOND, audio_format=PCM).words
    assert server.sessions[0].wait_closed(5)
    assert kept.__traceback__ is not None


def test_a_loop_that_starts_another_session_of_its_client_is_told(serve, client_of) -> None:
    client = client_of(serve())
    with pytest.raises(SessionError, match="another session was started"):
        for _ in client.stream(MINUTE, audio_format=PCM):
            client.transcribe(SECOND, audio_format=PCM)


def test_a_handler_can_start_no_other_session(serve, client_of, whole) -> None:
    client = client_of(serve())
    refused: list[SessionError] = []

    def start(_: Any) -> None:
        with pytest.raises(SessionError, match="already running") as caught:
            client.transcribe(SECOND, audio_format=PCM)
        refused.append(caught.value)

    client.once("AddTranscript", start)
    assert client.transcribe(MINUTE, audio_format=PCM).text == whole.text
    assert refused


NOTEBOOK = """
from jupyter_client.manager import start_new_kernel
from speechmatics_rt.local import LocalServer

CELL = '''
import time
from speechmatics_rt import AudioFormat, Client

def microphone():
    while True:
        time.sleep(0.02)
        yield bytes(640)

client = Client(url="URL")
for message in client.stream(microphone(), audio_format=AudioFormat("pcm_s16le", 16000)):
    pass
'''

with LocalServer() as server:
    kernel, channel = start_new_kernel(startup_timeout=50)
    try:
        cell = channel.execute(CELL.replace("URL", server.url))
        record = server.wait_for_session(0, timeout=30)
        record.wait_for(lambda it: it.audio_seconds > 0.3, timeout=20)
        kernel.interrupt_kernel()
        record.wait_closed(10)
        replies = iter(lambda: channel.get_shell_msg(timeout=20), None)
        print(next(it["content"]["ename"] for it in replies if it["parent_header"].get("msg_id") == cell))
    finally:
        channel.stop_channels()
        kernel.shutdown_kernel(now=True)
"""


def test_an_interrupted_cell_of_a_kernel_ends_its_session() -> None:
    program = [sys.executable, "-c", NOTEBOOK]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=55, check=False)
    assert ended.stdout == "KeyboardInterrupt\n", ended.stderr


# -- a source that fails at its end ------------------------------------------------------------------------


def dies() -> Iterator[bytes]:
    yield from MINUTE
    raise OSError("the network of the source is gone")


@pytest.mark.parametrize("speed", [None, 20])
@pytest.mark.parametrize("source", [lambda: [*MINUTE, b"\0"], dies], ids=["a stray byte", "an error"])
def test_what_is_in_flight_when_a_source_fails_is_still_delivered(
    serve, client_of, whole, source, speed
) -> None:
    with pytest.raises(AudioError) as caught:
        client_of(serve()).transcribe(source(), audio_format=PCM, speed=speed)
    assert caught.value.transcript.text == whole.text


def test_the_other_channel_is_delivered_too_when_one_source_fails(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    with pytest.raises(AudioError, match="the network of the source") as caught:
        client.transcribe({"a": MINUTE, "b": dies()}, audio_format=PCM)
    assert caught.value.channel == "b"
    assert {word.channel for word in caught.value.transcript.words} == {"a", "b"}


def test_a_failing_source_in_an_event_loop_keeps_what_is_in_flight(serve, whole) -> None:
    server = serve()

    async def blocks() -> Any:
        for block in MINUTE:
            yield block
        raise OSError("the network of the source is gone")

    async def main() -> None:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config) as client:
            await client.transcribe(blocks(), audio_format=PCM)

    with pytest.raises(AudioError, match="the network of the source") as caught:
        asyncio.run(main())
    assert caught.value.transcript.text == whole.text


def test_a_failing_source_is_named_even_when_the_session_fails_after_it(serve, client_of) -> None:
    server = serve(faults=[Fault.error("job_error", at="drain")])
    with pytest.raises(AudioError, match="the network of the source"):
        client_of(server).transcribe(dies(), audio_format=PCM)


# -- one deadline for the whole call -----------------------------------------------------------------------

LIMIT = 1.0
MOST = 2.0  # seconds for LIMIT, on a busy machine; what is waited for here would take 4 s and more


@pytest.fixture
def deaf() -> Iterator[str]:
    """A management platform that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class SlowAuth(AuthBase):
    def __init__(self) -> None:
        self.released = threading.Event()

    def get_auth_headers(self) -> dict[str, str]:
        self.released.wait(10)
        return {"Authorization": "Bearer late"}


def _took(call: Any, error: type[BaseException]) -> tuple[float, SpeechmaticsError]:
    began = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    return time.monotonic() - began, caught.value


def test_a_platform_that_hangs_takes_no_longer_than_the_whole_call_may(serve, client_of, deaf) -> None:
    client = client_of(serve(), auth=JWTAuth("key", mp_url=deaf))
    took, error = _took(lambda: client.transcribe(SECOND, audio_format=PCM, timeout=LIMIT), TimeoutError)
    assert (took < MOST, error.stage, error.seconds) == (True, "whole", LIMIT)


@pytest.mark.parametrize("limit", ["timeout", "open_timeout"])
def test_an_auth_that_takes_its_time_is_left_behind_at_the_deadline(serve, client_of, limit: str) -> None:
    options = {"timeout": LIMIT} if limit == "timeout" else {}
    config = {"open_timeout": LIMIT} if limit == "open_timeout" else {}
    auth = SlowAuth()
    client = client_of(serve(), auth=auth, **config)
    took, error = _took(lambda: client.transcribe(SECOND, audio_format=PCM, **options), TimeoutError)
    assert (took < MOST, error.stage) == (True, "whole" if limit == "timeout" else "open")
    assert "SlowAuth" in str(error)
    auth.released.set()


def test_the_time_that_a_key_took_is_told_as_part_of_the_wait_for_a_connection(deaf) -> None:
    class Dawdling(AuthBase):
        def get_auth_headers(self) -> dict[str, str]:
            time.sleep(LIMIT * 0.8)
            return {}

    config = ConnectionConfig(open_timeout=LIMIT)
    client = Client(Dawdling(), url=deaf.replace("http", "ws"), conn_config=config)
    _, error = _took(lambda: client.transcribe(SECOND, audio_format=PCM), TimeoutError)
    (told,) = re.findall(r"no connection after (\d+\.\d) s", str(error))
    assert float(told) >= LIMIT


@pytest.mark.parametrize("faults", [[Fault.no_end(), Fault.no_close_reply()]])
def test_a_close_frame_that_is_not_answered_costs_transcribe_nothing_more(serve, client_of, faults) -> None:
    client = client_of(serve(faults=faults))
    took, error = _took(lambda: client.transcribe(SECOND, audio_format=PCM, timeout=LIMIT), TimeoutError)
    assert (took < MOST, error.stage) == (True, "whole")


def test_a_close_frame_that_is_not_answered_costs_stop_session_nothing_more(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.no_end(), Fault.no_close_reply()]))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    took, error = _took(lambda: client.stop_session(timeout=LIMIT), TimeoutError)
    assert (took < MOST, error.stage) == (True, "end")


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_transcript_that_is_complete_is_returned_within_the_deadline(serve, client_of, by_hand) -> None:
    client = client_of(serve(faults=[Fault.no_close_reply()]))
    began = time.monotonic()
    if by_hand:
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        client.stop_session(timeout=LIMIT)
        transcript = client.transcript
    else:
        transcript = client.transcribe(SECOND, audio_format=PCM, timeout=LIMIT)
    assert transcript.words
    assert time.monotonic() - began < MOST


def test_the_same_deadlines_hold_in_an_event_loop(serve) -> None:
    server = serve(faults=[Fault.no_end(), Fault.no_close_reply()])
    config = ConnectionConfig(ssl_context=server.ssl_context)

    async def transcribe() -> None:
        async with AsyncClient(url=server.url, conn_config=config) as client:
            await client.transcribe(SECOND, audio_format=PCM, timeout=LIMIT)

    async def stop() -> None:
        async with AsyncClient(url=server.url, conn_config=config) as client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await client.stop_session(timeout=LIMIT)

    for main in (transcribe, stop):
        took, _ = _took(lambda main=main: asyncio.run(main()), TimeoutError)
        assert took < MOST


def test_where_no_thread_is_to_be_had_for_a_source_the_call_says_so(serve, client_of, monkeypatch) -> None:
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if "-sender-" in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    client = client_of(serve())
    with monkeypatch.context() as patch, pytest.raises(SessionError, match="can't start new thread"):
        patch.setattr(threading.Thread, "start", refused)
        client.transcribe(SECOND, audio_format=PCM)
    assert client.transcribe(SECOND * 3, audio_format=PCM).text
