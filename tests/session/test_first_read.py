"""The first read of a source, which may take long or never end, counts for the time that a call may take."""

from __future__ import annotations

import asyncio
import contextvars
import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    Client,
    MultiChannelClient,
    TimeoutError,
    transcribe_many,
)
from speechmatics_rt.local import LocalServer

from ..conftest import threads

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
LIMIT = 0.5


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


class Late(io.BytesIO):
    """A file whose first read waits until it is let go."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.go = threading.Event()
        self.asked = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.asked.set()
        self.go.wait(60)
        return super().read(size)


@pytest.fixture
def late() -> Iterator[Late]:
    source = Late(SECOND)
    yield source
    source.go.set()


def check(error: TimeoutError, began: float) -> None:
    assert (error.stage, error.seconds, error.retryable) == ("whole", LIMIT, False)
    assert str(error) == (
        "the source gave no audio within timeout=0.5 s, so nothing was connected; it is still being read, "
        "and its next block is lost"
    )
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("several", [False, True])
def test_a_source_that_never_gives_anything_ends_the_call_in_time(server, late, several: bool) -> None:
    began = time.monotonic()
    client: Any = MultiChannelClient(url=server.url) if several else Client(url=server.url)
    source: Any = {"a": SECOND, "b": late} if several else late
    with pytest.raises(TimeoutError) as caught:
        client.transcribe(source, audio_format=PCM, timeout=LIMIT)
    check(caught.value, began)
    assert not server.sessions


def test_what_comes_when_the_call_has_given_up_is_there_for_the_next_one(server, late) -> None:
    with Client(url=server.url) as client:
        with pytest.raises(TimeoutError):
            client.transcribe(late, audio_format=PCM, timeout=LIMIT)
        late.go.set()
        while any(name.startswith("speechmatics-rt-source") for name in threads()):
            time.sleep(0.01)
        assert late.tell() == 0
        client.transcribe(late, audio_format=PCM, timeout=60)
    assert bytes(server.sessions[0].audio) == SECOND


def test_what_comes_within_the_last_moment_is_put_back(server) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(LIMIT + 0.2)
            return super().read(size)

    source = Slow(SECOND)
    with pytest.raises(TimeoutError, match=r"within timeout=0\.5 s, so nothing was connected$"):
        Client(url=server.url).transcribe(source, audio_format=PCM, timeout=LIMIT)
    assert source.tell() == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_named_pipe_that_nobody_writes_to_ends_the_call_in_time(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        Client(url="ws://127.0.0.1:1/v2").transcribe(tmp_path / "pipe", audio_format=PCM, timeout=LIMIT)
    check(caught.value, began)
    os.close(os.open(tmp_path / "pipe", os.O_WRONLY))


def test_an_asyncio_client_ends_in_time_too(server, late) -> None:
    class Silent:
        async def read(self, size: int) -> bytes:
            await asyncio.sleep(60)
            return b""

    async def main(source: Any) -> None:
        async with AsyncClient(url=server.url) as client:
            await client.transcribe(source, audio_format=PCM, timeout=LIMIT)

    for source in (late, Silent()):
        began = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            asyncio.run(main(source))
        check(caught.value, began)


def test_one_of_many_that_gives_nothing_fails_alone(server, late) -> None:
    run = transcribe_many([late, SECOND], url=server.url, audio_format=PCM, timeout=30)
    assert next(run).ok
    late.go.set()
    assert next(run).ok
    again = Late(SECOND)
    began = time.monotonic()
    (outcome,) = transcribe_many([again], url=server.url, audio_format=PCM, timeout=LIMIT)
    check(outcome.error, began)  # type: ignore[arg-type]
    again.go.set()


def test_a_connection_that_has_little_time_left_says_what_had_passed_before() -> None:
    def pieces() -> Iterator[bytes]:
        time.sleep(LIMIT * 0.6)
        yield SECOND

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"ws://127.0.0.1:{mute.getsockname()[1]}/v2"
        with pytest.raises(
            TimeoutError, match=r"; of timeout=0\.5 s, 0\.[3-5] s had passed before"
        ) as caught:
            Client(url=url).transcribe(pieces(), audio_format=PCM, timeout=LIMIT)
    assert caught.value.stage == "whole"


@pytest.mark.skipif(os.name == "nt", reason="a signal to oneself ends the process there")
def test_ctrl_c_ends_the_first_read_whoever_reads(late) -> None:
    def interrupt() -> None:
        late.asked.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        Client(url="ws://127.0.0.1:1/v2").transcribe(late, audio_format=PCM, timeout=60)
    late.go.set()


def test_the_source_sees_the_context_of_the_caller_and_its_error_comes_out() -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    tenant.set("blue")
    seen = []

    def pieces() -> Iterator[bytes]:
        seen.append(tenant.get())
        raise LookupError("no such call")
        yield b""

    with pytest.raises(Exception, match="after 0 bytes: LookupError: no such call"):
        Client(url="ws://127.0.0.1:1/v2").transcribe(pieces(), audio_format=PCM, timeout=60)
    assert seen == ["blue"]
