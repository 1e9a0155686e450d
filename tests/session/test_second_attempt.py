"""A source and a second attempt: the whole of it, or an error; never what is left of it as if it were all."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import threading
import time
import wave
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioError,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionError,
    MultiChannelClient,
    SpeechmaticsError,
    split_channels,
)
from speechmatics_rt.aio import AsyncMessageStream
from speechmatics_rt.local import Fault, LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
SECONDS = b"".join(bytes([second, 0]) * 16000 for second in range(20))

LOST = Fault.fin(after_seconds=5, sessions=[0])
REFUSED = Fault.refuse(status=503, sessions=[0])


def chunks() -> Iterator[bytes]:
    yield from (SECONDS[at : at + 6400] for at in range(0, len(SECONDS), 6400))


@pytest.fixture(params=["lost", "refused", "error"])
def fault(request: Any) -> Fault:
    return {
        "lost": LOST,
        "refused": REFUSED,
        "error": Fault.error(type="job_error", after_seconds=5, sessions=[0]),
    }[request.param]


def test_a_file_is_sent_whole_at_a_second_attempt(fault: Fault, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"head" + SECONDS)
    with LocalServer(faults=[fault]) as server, open(tmp_path / "a.raw", "rb") as file:
        file.seek(4)
        for attempt in range(2):
            with Client(url=server.url) as client:
                if not attempt:
                    with pytest.raises(SpeechmaticsError):
                        client.transcribe(file, audio_format=PCM)
                    assert file.tell() == 4
                else:
                    client.transcribe(file, audio_format=PCM)
        assert server.sessions[-1].audio == SECONDS


def test_a_generator_goes_on_where_nothing_of_it_was_sent() -> None:
    source = chunks()
    with LocalServer(faults=[REFUSED]) as server, Client(url=server.url) as client:
        with pytest.raises(ConnectionError):
            client.transcribe(source, audio_format=PCM)
        client.transcribe(source, audio_format=PCM)
        assert server.sessions[-1].audio == SECONDS


def test_a_generator_that_was_sent_in_part_is_refused_before_any_connection() -> None:
    source = chunks()
    with LocalServer(faults=[LOST]) as server:
        with Client(url=server.url) as client, pytest.raises(ConnectionError):
            client.transcribe(source, audio_format=PCM)
        count = len(server.sessions)
        with (
            Client(url=server.url) as client,
            pytest.raises(AudioError, match=r"read up to byte \d+ by a call"),
        ):
            client.transcribe(source, audio_format=PCM)
        assert len(server.sessions) == count


def test_a_pipe_that_was_sent_in_part_is_refused() -> None:
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
            for _ in range(10):
                pipe.write(SECONDS)

    threading.Thread(target=feed, daemon=True).start()
    with LocalServer(faults=[LOST]) as server, open(reader, "rb") as source, Client(url=server.url) as client:
        with pytest.raises(ConnectionError):
            client.transcribe(source, audio_format=PCM)
        with pytest.raises(AudioError, match="read up to byte"):
            client.transcribe(source, audio_format=PCM)


def test_an_error_in_the_body_of_a_with_puts_the_source_back_and_leaving_it_does_not() -> None:
    file = io.BytesIO(SECONDS)
    with LocalServer() as server, Client(url=server.url) as client:
        with pytest.raises(ZeroDivisionError), client.stream(file, audio_format=PCM, speed=20) as messages:
            next(messages)
            raise ZeroDivisionError
        assert file.tell() == 0
        with client.stream(file, audio_format=PCM, speed=20) as messages:
            next(messages)
        assert file.tell() > 0


def test_a_handler_that_raises_puts_the_source_back() -> None:
    file = io.BytesIO(SECONDS)
    with LocalServer() as server, Client(url=server.url, handler_errors="raise") as client:
        client.on("AddTranscript", lambda message: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.transcribe(file, audio_format=PCM)
        assert file.tell() == 0


def test_channels_go_back_together(fault: Fault) -> None:
    sources = {"a": io.BytesIO(SECONDS), "b": io.BytesIO(SECONDS[:-64000])}
    with LocalServer(faults=[fault]) as server, MultiChannelClient(url=server.url) as client:
        with pytest.raises(SpeechmaticsError):
            client.transcribe(sources, audio_format=PCM)
        client.transcribe(sources, audio_format=PCM)
        assert server.sessions[-1].audio_of("a") == SECONDS
        assert server.sessions[-1].audio_of("b") == SECONDS[:-64000]


def test_one_channel_that_is_refused_puts_the_others_back() -> None:
    good = io.BytesIO(SECONDS)
    client = MultiChannelClient(url="ws://127.0.0.1:9/v2")
    with client, pytest.raises(AudioError, match="channel 'b'"):
        client.transcribe({"a": good, "b": "missing.wav"}, audio_format=PCM)
    assert good.tell() == 0


def test_split_channels_may_be_sent_twice(fault: Fault, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "call.wav"), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(bytes([1, 0, 2, 0]) for _ in range(320000)))
    sources = split_channels(tmp_path / "call.wav", ["agent", "caller"])
    with LocalServer(faults=[fault]) as server, MultiChannelClient(url=server.url) as client:
        with pytest.raises(SpeechmaticsError):
            client.transcribe(sources)
        for _ in range(2):
            assert client.transcribe(sources).text
            assert server.sessions[-1].audio_of("agent") == bytes([1, 0]) * 320000
            assert server.sessions[-1].audio_of("caller") == bytes([2, 0]) * 320000


# -- in an event loop ------------------------------------------------------------------------------------


class AsyncFile:
    """As of aiofiles or anyio."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int) -> bytes:
        return self._file.read(size)

    async def seek(self, at: int) -> int:
        return self._file.seek(at)

    async def tell(self) -> int:
        return self._file.tell()

    async def seekable(self) -> bool:
        return True


class Upload:
    """As of Starlette: it seeks, but doesn't say where it stands."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    async def read(self, size: int) -> bytes:
        return self.file.read(size)

    async def seek(self, at: int) -> None:
        self.file.seek(at)


@pytest.mark.parametrize("kind", [AsyncFile, Upload, io.BytesIO])
def test_an_asynchronous_file_is_sent_whole_at_a_second_attempt(kind: Any, fault: Fault) -> None:
    async def main(server: LocalServer) -> None:
        source = kind(SECONDS)
        async with AsyncClient(url=server.url) as client:
            with pytest.raises(SpeechmaticsError):
                await client.transcribe(source, audio_format=PCM)
            await client.transcribe(source, audio_format=PCM)
        assert server.sessions[-1].audio == SECONDS

    with LocalServer(faults=[fault]) as server:
        asyncio.run(main(server))


class FileOnThreads(AsyncFile):
    """As of aiofiles: a read goes on, on another thread, when who awaits it is cancelled.

    Attributes:
        reading: Set as the read of a number begins.
    """

    def __init__(self, data: bytes, number: int) -> None:
        super().__init__(data)
        self.reading = asyncio.Event()
        self._left = number

    async def read(self, size: int) -> bytes:
        self._left -= 1
        if not self._left:
            self.reading.set()
        return await asyncio.get_running_loop().run_in_executor(None, self._read, size)

    def _read(self, size: int) -> bytes:
        if not self._left:
            time.sleep(0.1)
        return self._file.read(size)


async def cancelled(call: Coroutine[Any, Any, Any], moment: asyncio.Event, times: int = 1) -> None:
    task = asyncio.ensure_future(call)
    await moment.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def iterated(messages: AsyncMessageStream) -> None:
    async for _ in messages:
        pass


@pytest.mark.parametrize("times", [1, 2], ids=["", "twice"])
@pytest.mark.parametrize("number", [1, 2, 4], ids=["the first", "the second", "the fourth"])
@pytest.mark.parametrize("way", ["transcribe", "stream"])
def test_a_file_that_is_read_as_its_call_is_cancelled_is_sent_whole_by_the_next(
    way: str, number: int, times: int
) -> None:
    async def main(server: LocalServer) -> None:
        async with AsyncClient(url=server.url) as client:
            source = FileOnThreads(SECONDS, number)
            if way == "transcribe":
                call = client.transcribe(source, audio_format=PCM)
            else:
                call = iterated(client.stream(source, audio_format=PCM))
            await cancelled(call, source.reading, times)
            await client.transcribe(source, audio_format=PCM)
        assert server.sessions[-1].audio == SECONDS

    with LocalServer() as server:
        asyncio.run(main(server))


def test_a_file_is_sent_whole_after_a_call_that_is_cancelled_as_its_session_opens() -> None:
    async def main(server: LocalServer) -> None:
        async with AsyncClient(url=server.url) as client:
            source = io.BytesIO(SECONDS)
            entering = asyncio.ensure_future(client.stream(source, audio_format=PCM).__aenter__())
            await asyncio.sleep(0)
            while not (server.sessions and server.sessions[0].audio):
                time.sleep(0.001)  # the loop is kept from hearing that it is open
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            await client.transcribe(source, audio_format=PCM)
        assert server.sessions[-1].audio == SECONDS

    with LocalServer() as server:
        asyncio.run(main(server))


class OnlyForward(AsyncFile):
    async def seek(self, at: int) -> int:
        raise OSError("it only goes forward")


async def async_chunks() -> AsyncIterator[bytes]:
    for chunk in chunks():
        yield chunk


class AsyncChunks:
    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_chunks()


@pytest.mark.parametrize(
    "source_of", [async_chunks, lambda: OnlyForward(SECONDS)], ids=["generator", "a file that can't seek"]
)
def test_an_asynchronous_source_that_only_goes_forward_is_refused_once_it_was_sent_in_part(
    source_of: Callable[[], object],
) -> None:
    async def main(server: LocalServer) -> None:
        source = source_of()
        async with AsyncClient(url=server.url) as client:
            with pytest.raises(ConnectionError):
                await client.transcribe(source, audio_format=PCM)
            with pytest.raises(AudioError, match="read up to byte"):
                await client.transcribe(source, audio_format=PCM)

    with LocalServer(faults=[LOST]) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize("again", [False, True], ids=["generator", "iterable"])
def test_an_asynchronous_source_loses_nothing_where_nothing_was_sent(again: bool) -> None:
    async def main(server: LocalServer) -> None:
        source = AsyncChunks() if again else async_chunks()
        async with AsyncMultiChannelClient(url=server.url) as client:
            with pytest.raises(ConnectionError):
                await client.transcribe({"a": source}, audio_format=PCM)
            await client.transcribe({"a": source}, audio_format=PCM)
        assert server.sessions[-1].audio_of("a") == SECONDS

    with LocalServer(faults=[REFUSED]) as server:
        asyncio.run(main(server))


# -- what is said of sources -----------------------------------------------------------------------------


def test_what_is_warned_of_a_source_bears_the_ids_of_its_session(caplog: Any) -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as mono:
        mono.setparams((1, 2, 16000, 0, "NONE", ""))
        mono.writeframes(SECONDS)
    with LocalServer() as server, Client(url=server.url) as client, caplog.at_level(logging.WARNING):
        client.transcribe(io.BytesIO(out.getvalue()[:-32001]))
        warned = [record for record in caplog.records if record.name.startswith("speechmatics_rt.audio")]
        assert len(warned) == 2  # it was cut short, and inside a sample
        assert {getattr(record, "session_id", None) for record in warned} == {client.session_id}


@pytest.mark.parametrize("audio_format", [None, AudioFormat()], ids=["found out", "given"])
def test_a_pace_is_refused_for_audio_whose_time_is_not_known(audio_format: Any) -> None:
    file = io.BytesIO(b"\xff\xfb" + SECONDS)
    with LocalServer() as server, Client(url=server.url) as client:
        with pytest.raises(ConfigurationError, match="speed needs raw audio, whose duration is known"):
            client.transcribe(file, audio_format=audio_format, speed=1.0)
        assert server.sessions == []
        assert file.tell() == 0
        assert client.transcribe(file, audio_format=audio_format).text
