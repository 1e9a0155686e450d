"""Iterators over a session: what is checked when, who may ask, and how often they are entered and left."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

from speechmatics_rt import (
    AsyncMultiChannelClient,
    AudioFormat,
    ConfigurationError,
    ConnectionError,
    SessionError,
    TranscriptionConfig,
)
from speechmatics_rt.local import Fault

from .test_aio import PCM, SECOND, face, run
from .test_rounds import rapid

ITERATORS = ["stream", "utterances"]


def both(client, what, **options):
    """An iterator of a client for one source, or for two."""
    two = isinstance(client, AsyncMultiChannelClient)
    return getattr(client, what)({"a": SECOND, "b": SECOND} if two else SECOND, **options)


async def rest(iterator):
    return [item async for item in iterator]


# -- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ITERATORS)
@pytest.mark.parametrize("channels", [False, True], ids=["one source", "two"])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"languge": "de"}, TypeError),
        ({"speed": -1}, ConfigurationError),
        ({"speed": 1.0, "audio_format": AudioFormat()}, ConfigurationError),
        ({"timeout": "soon"}, ConfigurationError),
        ({"transcription_config": {"max_delay": -1}}, ConfigurationError),
        ({"ws_headers": {"a": 1}}, ConfigurationError),
    ],
)
def test_options_are_checked_at_the_call_which_opens_nothing(serve, what, channels, options, error) -> None:
    server = serve()

    async def main():
        client = face(server, AsyncMultiChannelClient) if channels else face(server)
        with pytest.raises(error):
            both(client, what, **options)

    run(main)
    assert not server.sessions


def test_what_can_not_be_resumed_is_refused_at_the_call_too(serve) -> None:
    async def main():
        with pytest.raises(ConfigurationError, match="resume needs raw audio"):
            face(serve(), resume=True).stream(SECOND, audio_format=AudioFormat())

    run(main)


@pytest.mark.parametrize("sources", [SECOND, {}, {"": SECOND}])
def test_labels_are_checked_at_the_call(serve, sources) -> None:
    async def main():
        with pytest.raises(ConfigurationError):
            face(serve(), AsyncMultiChannelClient).stream(sources)

    run(main)


@pytest.mark.parametrize("what", ITERATORS)
def test_configs_are_those_of_the_call_whatever_becomes_of_them_before_the_session_begins(
    serve, what
) -> None:
    server = serve()

    async def main():
        client = face(server)
        config = TranscriptionConfig(language="en", additional_vocab=[{"content": "gnocchi"}])
        iterator = both(client, what, audio_format=PCM, transcription_config=config)
        config.language = "de"
        config.additional_vocab.append({"content": "quinoa"})
        await rest(iterator)

    run(main)
    started = server.sessions[0].start["transcription_config"]
    assert started["language"] == "en"
    assert started["additional_vocab"] == [{"content": "gnocchi"}]


def test_the_time_of_a_stream_begins_when_it_is_opened(serve) -> None:
    async def main():
        messages = face(serve()).stream(SECOND, audio_format=PCM, timeout=30)
        messages._request = messages._request._replace(deadline=0.0)  # as if the call were long past
        assert (await rest(messages))[-1]["message"] == "EndOfTranscript"

    run(main)


# -- entered, left and closed --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ITERATORS)
def test_aclose_ends_the_session_for_contextlib_aclosing(serve, what) -> None:
    server = serve()

    async def main():
        client = face(server)
        iterator = getattr(client, what)(rapid(), audio_format=PCM)
        if sys.version_info >= (3, 10):
            async with contextlib.aclosing(iterator) as items:
                await items.__anext__()
        else:
            await iterator.__anext__()
            await iterator.aclose()
        assert not client.is_connected
        assert await rest(iterator) == []

    run(main)
    assert len(server.sessions) == 1


@pytest.mark.parametrize("what", ITERATORS)
def test_async_with_takes_a_stream_that_has_begun(serve, what) -> None:
    server = serve()

    async def main():
        client = face(server)
        iterator = both(client, what, audio_format=PCM)
        items = [await iterator.__anext__()]
        async with iterator as same:
            assert same is iterator
            items += await rest(iterator)
        assert items
        assert client.transcript.text.startswith("Good")

    run(main)
    assert len(server.sessions) == 1


@pytest.mark.parametrize("what", ITERATORS)
def test_a_stream_that_was_closed_before_it_was_opened_opens_nothing(serve, what) -> None:
    server = serve()

    async def main():
        iterator = both(face(server), what, audio_format=PCM)
        await iterator.close()
        assert await rest(iterator) == []
        async with iterator:
            assert await rest(iterator) == []

    run(main)
    assert not server.sessions


def test_a_stream_whose_session_did_not_start_is_over(serve) -> None:
    server = serve(faults=[Fault.refuse(503)])

    async def main():
        iterator = both(face(server), "stream", audio_format=PCM)
        with pytest.raises(ConnectionError):
            await iterator.__anext__()
        assert await rest(iterator) == []

    run(main)


@pytest.mark.parametrize("fault", [Fault.no_start(), Fault.hang()], ids=["start", "handshake"])
@pytest.mark.parametrize("how", ["iterated", "entered"])
def test_a_stream_may_be_closed_by_another_task_while_it_is_opened(serve, fault, how) -> None:
    server = serve(faults=[fault])

    async def main():
        client = face(server, open_timeout=50, start_timeout=50)
        iterator = client.stream(SECOND, audio_format=PCM)
        opening = asyncio.ensure_future(iterator.__anext__() if how == "iterated" else iterator.__aenter__())
        await asyncio.sleep(0.2)
        await iterator.close()
        with pytest.raises(SessionError, match="closed"):
            await opening
        assert not client.is_connected
        assert await rest(iterator) == []

    run(lambda: asyncio.wait_for(main(), 20))


# -- one at a time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ITERATORS)
@pytest.mark.parametrize(
    ("second", "moment"),
    [
        ("__aenter__", "opening"),
        *((second, moment) for second in ("__anext__", "finish") for moment in ("opening", "running")),
    ],
)
def test_a_second_task_that_iterates_is_refused_and_the_first_one_goes_on(
    serve, what, moment, second
) -> None:
    server = serve()

    async def main():
        client, release = face(server), asyncio.Event()

        async def speech():
            yield SECOND * 3
            await release.wait()
            yield SECOND * 3

        iterator = getattr(client, what)(speech(), audio_format=PCM)
        if moment == "running":
            await iterator.__aenter__()
        first = asyncio.ensure_future(rest(iterator))
        await asyncio.sleep(0)
        other = getattr(iterator, second, iterator.__anext__)
        with pytest.raises(SessionError, match="already being iterated over"):
            await other()
        release.set()
        assert await first
        assert client.stats.progress == 1.0

    run(lambda: asyncio.wait_for(main(), 20))
    assert len(server.sessions) == 1


def test_of_two_tasks_that_ask_at_once_one_gets_the_message(serve) -> None:
    async def main():
        messages = face(serve()).stream(SECOND, audio_format=PCM)
        first, second = await asyncio.gather(
            messages.__anext__(), messages.__anext__(), return_exceptions=True
        )
        assert isinstance(second, SessionError)
        kinds = [first["message"], *[message["message"] for message in await rest(messages)]]
        assert kinds.count("RecognitionStarted") == kinds.count("EndOfTranscript") == 1

    run(main)
