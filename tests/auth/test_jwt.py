"""Temporary keys, end to end: a client, the local server's own key service, and its refusals."""

from __future__ import annotations

import asyncio
import threading

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    AuthenticationError,
    Client,
    ConnectionConfig,
    ConnectionError,
    JWTAuth,
)
from speechmatics_rt.local import LocalServer

from ..conftest import a_closed_port

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def service_of(server: LocalServer) -> str:
    return server.url.replace("ws", "http", 1).replace("/v2", "/")


def keys_asked_for(server: LocalServer) -> int:
    return sum(record.path == "/v1/api_keys" for record in server.sessions)


def make(server: LocalServer, key: str = "long-lived") -> tuple[JWTAuth, ConnectionConfig]:
    return JWTAuth(key, mp_url=service_of(server)), ConnectionConfig(ssl_context=server.ssl_context)


def test_a_temporary_key_opens_sessions_and_is_fetched_once_for_all_threads(serve) -> None:
    server = serve(keys=["long-lived"])
    auth, config = make(server)

    def run() -> None:
        with Client(auth, url=server.url, conn_config=config) as client:
            client.transcribe(SECOND, audio_format=PCM)

    workers = [threading.Thread(target=run) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sessions = [record for record in server.sessions if record.start is not None]
    assert len(sessions) == 8
    assert len({record.headers["authorization"] for record in sessions}) == 1
    assert "long-lived" not in sessions[0].headers["authorization"]
    assert keys_asked_for(server) == 1


def test_a_wrong_key_is_an_authentication_error_with_its_status(serve) -> None:
    server = serve(keys=["long-lived"])
    auth, config = make(server, "wrong")
    with (
        Client(auth, url=server.url, conn_config=config) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.transcribe(SECOND, audio_format=PCM)
    assert caught.value.status in (401, 403)
    assert "wrong" not in str(caught.value)


def test_a_refused_token_is_renewed_once(serve) -> None:
    from speechmatics_rt.local import Fault

    server = serve(keys=["long-lived"], faults=[Fault.refuse(401, sessions=[1])])
    auth, config = make(server)
    with Client(auth, url=server.url, conn_config=config) as client:
        client.transcribe(SECOND, audio_format=PCM)
    assert keys_asked_for(server) == 2


class InTurn(JWTAuth):
    """A client with a proxy configures it after the other one, and before that asks for a key."""

    def __init__(self, server: LocalServer) -> None:
        super().__init__("long-lived", mp_url=service_of(server))
        self.first, self.second = threading.Event(), threading.Event()

    def configure(self, conn_config: ConnectionConfig) -> None:
        if conn_config.proxy:
            self.first.wait(10)
        super().configure(conn_config)
        (self.second if conn_config.proxy else self.first).set()
        self.second.wait(10)


def test_clients_of_one_loop_get_their_keys_each_through_its_own_proxy(serve) -> None:
    server = serve(keys=["long-lived"])
    auth = InTurn(server)

    async def transcribe(proxy: str) -> bool:
        config = ConnectionConfig(ssl_context=server.ssl_context, proxy=proxy)
        async with AsyncClient(auth, url=server.url, conn_config=config) as client:
            try:
                await client.transcribe(SECOND, audio_format=PCM)
            except ConnectionError:
                return False
            return True

    async def both(nobody: str) -> list[bool]:
        return await asyncio.gather(transcribe(""), transcribe(nobody))

    with a_closed_port() as port:
        assert asyncio.run(both(f"http://127.0.0.1:{port}")) == [True, False]
