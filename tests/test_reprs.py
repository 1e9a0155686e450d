"""What a person sees of an object, and what a pickle takes along: into a log, a notebook, another process."""

from __future__ import annotations

import asyncio
import copy
import pickle
import ssl
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    ConnectionConfig,
    JWTAuth,
    MultiChannelClient,
    NoAuth,
    StaticKeyAuth,
)
from speechmatics_rt.local import LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


# -- reprs -----------------------------------------------------------------------------------------------


def test_a_client_says_where_it_goes_and_how_far_it_is(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    assert repr(client) == f"<Client of {server.url}, no session>"
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    assert repr(client) == f"<Client of {server.url}, session {client.request_id} open, 1.0 s sent>"
    client.stop_session()
    assert repr(client) == f"<Client of {server.url}, session {client.request_id} over, 1.0 s sent>"
    client.transcribe(b"ID3" + bytes(997))
    assert repr(client).endswith("over, 1000 bytes sent>")


def test_a_client_shows_no_secret_and_never_fails_to_show_itself(monkeypatch) -> None:
    assert (
        repr(Client(url="wss://h/v2?jwt=s3cret", api_key="s3cret"))
        == "<Client of wss://h/v2?jwt=***, no session>"
    )
    monkeypatch.setenv("SPEECHMATICS_RT_URL", "nonsense")
    assert "invalid URL" in repr(Client())
    half_made = Client.__new__(Client)
    half_made._session = None
    assert repr(half_made) == "<Client of nowhere, no session>"
    assert repr(MultiChannelClient(url="ws://h/v2")).startswith("<MultiChannelClient of ws://h/v2")


def test_a_local_server_says_where_it_is_and_how_many_came(client_of) -> None:
    server = LocalServer()
    assert repr(server) == "<LocalServer of ws://127.0.0.1:0/v2, not started, 0 connections>"
    with server:
        client_of(server).transcribe(SECOND, audio_format=PCM)
        assert repr(server) == f"<LocalServer of {server.url}, running, 1 connections>"
    assert repr(server).endswith("closed, 1 connections>")


def test_the_asyncio_clients_show_themselves_alike() -> None:
    async def run() -> str:
        with LocalServer() as server:
            async with AsyncClient(url=server.url) as client:
                await client.transcribe(SECOND, audio_format=PCM)
                return repr(client)

    assert asyncio.run(run()).startswith("<AsyncClient of ws://127.0.0.1:")
    assert (
        repr(AsyncMultiChannelClient(url="ws://h/v2")) == "<AsyncMultiChannelClient of ws://h/v2, no session>"
    )


def test_a_stream_and_a_record_fit_on_a_line(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    with client.stream(SECOND * 20, audio_format=PCM) as messages:
        assert repr(messages) == f"<MessageStream of session {client.request_id}, running>"
        for _ in messages:
            pass
    assert repr(messages).endswith(", over>")
    record = server.sessions[0].wait_closed()
    assert repr(record) == f"<SessionRecord 0: 20.00 s of audio, {len(record.sent)} messages sent, closed>"


# -- pickles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_config_of_a_connection_is_the_same_in_another_process(protocol: int) -> None:
    config = ConnectionConfig(open_timeout=3, ping_interval=None, proxy="http://user:word@proxy:3128")
    assert pickle.loads(pickle.dumps(config, protocol)) == config


def test_a_tls_context_can_not_go_along_and_the_error_says_what_to_do() -> None:
    config = ConnectionConfig(ssl_context=ssl.create_default_context(), open_timeout=3)
    with pytest.raises(TypeError, match=r"in the process that uses it.*SSL_CERT_FILE"):
        pickle.dumps(config)
    assert copy.copy(config) == config
    assert copy.copy(config).ssl_context is config.ssl_context


class OwnAuth(JWTAuth):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant = "blue"


@pytest.mark.parametrize("again", [lambda auth: pickle.loads(pickle.dumps(auth)), copy.deepcopy])
def test_temporary_keys_go_on_in_another_process_by_their_arguments(again: Any) -> None:
    pytest.importorskip("jwt")
    with LocalServer(keys=["s3cret"]) as server:
        mp_url = f"http://127.0.0.1:{server.port}"
        auth = OwnAuth("s3cret", ttl=300, region="us", client_ref="me", mp_url=mp_url, request_id="r1")
        before = auth.get_auth_headers()
        auth.configure(ConnectionConfig(ssl_context=ssl.create_default_context()))  # which has no pickle
        copied = again(auth)
        assert (repr(copied), copied.tenant) == (repr(auth), "blue")
        assert copied.get_auth_headers() != before  # the token stays in its process
        first, second = server.key_requests
        assert first.body == second.body
        assert (second.headers["x-request-id"], second.headers["authorization"]) == ("r1", "Bearer s3cret")
        with Client(copied, url=server.url) as client:
            client.transcribe(SECOND, audio_format=PCM)


def test_a_key_of_the_environment_stays_where_it_is(monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "s3cret")
    for auth in (JWTAuth(), StaticKeyAuth(), NoAuth()):
        assert b"s3cret" not in pickle.dumps(auth)
        assert type(pickle.loads(pickle.dumps(auth))) is type(auth)


@pytest.mark.parametrize("kind", [Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient])
def test_a_client_has_no_pickle_and_says_what_to_do(kind: type) -> None:
    client = kind(url="ws://127.0.0.1:1/v2")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"{kind.__name__} can't be pickled.*create it where it is used"):
            take(client)


def test_a_local_server_and_its_records_have_no_pickle_and_say_what_to_do() -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        client.transcribe(SECOND, audio_format=PCM)
        for take in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"a LocalServer can't be pickled.*hand on its url"):
                take(server)
            with pytest.raises(TypeError, match=r"a SessionRecord can't be pickled.*recording\(\)"):
                take(server.sessions[0])


@pytest.mark.parametrize("kind", [Client, MultiChannelClient])
def test_a_subclass_that_forgot_to_initialise_its_base_can_be_shown(kind: type) -> None:
    class Forgot(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self.tenant = "blue"

    assert repr(Forgot()) == "<Forgot of nowhere, no session>"


def test_a_stream_has_no_pickle_but_its_transcript_has(serve, client_of) -> None:
    with client_of(serve()).stream(SECOND, audio_format=PCM) as messages:
        with pytest.raises(TypeError, match="its transcript can be"):
            pickle.dumps(messages)
        messages.finish()
        assert pickle.loads(pickle.dumps(messages.transcript)) == messages.transcript
