"""Iterators over a session: what is checked when."""

from __future__ import annotations

import asyncio

import pytest

from speechmatics_rt import (
    AsyncMultiChannelClient,
    AudioFormat,
    ConfigurationError,
    TimeoutError,
    TranscriptionConfig,
)
from speechmatics_rt.local import Fault

from .test_aio import PCM, SECOND, face, run

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
        client = face(serve(faults=[Fault.no_end()]))
        messages = client.stream(SECOND, audio_format=PCM, timeout=1.0)
        await asyncio.sleep(1.1)
        heard = []
        with pytest.raises(TimeoutError, match="within 1 s"):
            async for message in messages:
                heard.append(message["message"])
        assert "RecognitionStarted" in heard

    run(main)
