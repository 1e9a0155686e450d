"""What can't be sent: where no session runs, and what is no audio; as users of both SDKs catch it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioError,
    AudioFormat,
    AuthBase,
    Client,
    ConfigurationError,
    MultiChannelClient,
    SessionError,
    TransportError,
)
from speechmatics_rt.exceptions import ChunkError, NotRunningError

from ..aio.test_aio import face

PCM = AudioFormat("pcm_s16le", 16000)
CHUNK = bytes(3200)


@pytest.mark.parametrize("caught_as", [NotRunningError, SessionError, TransportError, RuntimeError])
def test_audio_outside_of_a_session_is_a_session_error_and_a_transport_error(
    serve, client_of, caught_as
) -> None:
    client = client_of(serve())
    with pytest.raises(caught_as, match="start_session"):
        client.send_audio(CHUNK)
    client.start_session(audio_format=PCM)
    client.send_audio(CHUNK)
    client.stop_session()
    with pytest.raises(caught_as) as caught:
        client.send_audio(CHUNK)
    assert caught.value.request_id == client.request_id
    with pytest.raises(caught_as):
        client.send_message({"message": "GetSpeakers"})


def test_after_the_end_of_the_audio_and_after_close_it_is_the_same(serve, client_of) -> None:
    client = client_of(serve(), resume=True)
    client.start_session(audio_format=PCM)
    client.request_stop()
    with pytest.raises(NotRunningError):
        while True:  # the writer sends EndOfStream when it comes to it
            client.send_audio(CHUNK)
    client.close()
    with pytest.raises(NotRunningError):
        client.send_audio(CHUNK)


def test_a_wrong_channel_is_no_lost_connection(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    client.start_session(channels=["a"], audio_format=PCM)
    with pytest.raises(SessionError) as caught:
        client.send_audio("b", CHUNK)
    assert not isinstance(caught.value, TransportError)


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2], bytes(3)])
def test_what_is_no_audio_is_a_value_error_too_and_costs_nothing(serve, client_of, wrong: Any) -> None:
    server = serve()
    client = client_of(server)
    client.start_session(audio_format=PCM)
    for kind in (ChunkError, AudioError, ValueError):
        with pytest.raises(kind):
            client.send_audio(wrong)
    client.send_audio(CHUNK)
    client.stop_session()
    assert server.sessions[0].audio == CHUNK


def test_the_same_in_an_event_loop(serve) -> None:
    server = serve()

    async def main() -> None:
        async with face(server) as client:
            with pytest.raises(TransportError):
                await client.send_audio(CHUNK)
            await client.start_session(audio_format=PCM)
            with pytest.raises(ValueError, match="bytes"):
                await client.send_audio("text")
            await client.stop_session()
            with pytest.raises(TransportError):
                await client.send_audio(CHUNK)

    asyncio.run(main())


def test_the_id_of_the_first_session_is_known_before_it_begins(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    known = client.request_id
    assert known == client.request_id
    client.transcribe(CHUNK, audio_format=PCM)
    assert server.sessions[0].request_id == client.request_id == known
    client.transcribe(CHUNK, audio_format=PCM)
    assert server.sessions[1].request_id == client.request_id != known
    assert AsyncClient(url=server.url).request_id


class Vault(AuthBase):
    async def get_auth_headers(self) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"Authorization": "Bearer right"}


def test_headers_that_are_awaited_serve_an_asyncio_client_and_are_refused_by_a_blocking_one(serve) -> None:
    server = serve(keys=["right"])

    async def main() -> str:
        async with face(server, auth=Vault()) as client:
            return (await client.transcribe(bytes(64000), audio_format=PCM)).text

    assert asyncio.run(main()) == "Good morning, and welcome"
    with Client(Vault(), url=server.url) as client, pytest.raises(ConfigurationError, match="AsyncClient"):
        client.transcribe(CHUNK, audio_format=PCM)
