"""What a service says of itself, a key for others, and the name of an application."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    JWTAuth,
    ProtocolError,
    StaticKeyAuth,
    TimeoutError,
    available_features,
)
from speechmatics_rt.session import discovery

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    discovery._known.clear()


def config_of(server: Any) -> ConnectionConfig:
    return ConnectionConfig(ssl_context=server.ssl_context, open_timeout=10)


# -- features ------------------------------------------------------------------------------------------


def test_a_service_tells_its_languages_and_is_asked_once(serve) -> None:
    server = serve()
    first = available_features(server.url, conn_config=config_of(server))
    first["realtime"].clear()  # each caller has a copy of its own
    second = available_features(server.url + "?sm-app=x", conn_config=config_of(server))
    assert "en" in second["realtime"]["transcription"][0]["languages"]
    pages = [record for record in server.sessions if record.path == "/v1/discovery/features"]
    assert len(pages) == 1


def test_it_is_asked_again_when_the_answer_is_old(serve, monkeypatch) -> None:
    monkeypatch.setattr(discovery, "_FRESH", 0.0)
    server = serve()
    for _ in range(2):
        available_features(server.url, conn_config=config_of(server))
    assert len(server.sessions) == 2


def test_the_address_of_the_environment_counts(monkeypatch) -> None:
    from speechmatics_rt.local import LocalServer

    with LocalServer() as server:
        monkeypatch.setenv("SPEECHMATICS_RT_URL", server.url)
        assert available_features()["realtime"]


def test_a_container_has_no_such_page(serve) -> None:
    server = serve(container=True)
    with pytest.raises(ConnectionError) as caught:
        available_features(server.url, conn_config=config_of(server))
    assert (caught.value.stage, caught.value.status, caught.value.retryable) == ("features", 404, False)


@pytest.fixture
def page() -> Iterator[Callable[[bytes, float], str]]:
    """Serve one page; gives the address of a service beside it."""
    servers = []

    def start(content: bytes, delay: float = 0.0) -> str:
        released = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                released.wait(delay)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread, released))
        return f"ws://127.0.0.1:{server.server_port}/v2"

    yield start
    for server, thread, released in servers:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b""])
def test_what_is_no_answer_is_no_answer(page, content: bytes) -> None:
    with pytest.raises(ProtocolError):
        available_features(page(content))


def test_who_does_not_answer_and_who_is_not_there(page) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        available_features(page(b"{}", 20.0), conn_config=ConnectionConfig(open_timeout=0.2))
    assert caught.value.stage == "open"
    assert time.monotonic() - began < 10
    with pytest.raises(ConnectionError) as nobody:
        available_features("ws://127.0.0.1:1/v2")
    assert (nobody.value.stage, nobody.value.unreached) == ("features", True)


# -- a key for others ----------------------------------------------------------------------------------


def test_a_token_is_handed_out_and_opens_a_session_elsewhere(serve) -> None:
    server = serve(keys=["long-lived"])
    auth = JWTAuth("long-lived", ttl=60, mp_url=server.url.replace("ws", "http", 1)[: -len("/v2")])
    auth.configure(config_of(server))
    token = auth.token()
    assert token == auth.token(at_least=0)  # while it lasts
    with Client(StaticKeyAuth(token), url=server.url, conn_config=config_of(server)) as client:
        assert client.transcribe(SECOND, audio_format=PCM)
    assert token != "long-lived"


def test_a_token_that_is_nearly_over_is_not_handed_out(serve) -> None:
    server = serve(keys=["long-lived"])
    auth = JWTAuth("long-lived", ttl=60, mp_url=server.url.replace("ws", "http", 1)[: -len("/v2")])
    auth.configure(config_of(server))

    def asked() -> int:
        return sum(record.path == "/v1/api_keys" for record in server.sessions)

    auth.token(at_least=10)
    auth.token(at_least=10)
    assert asked() == 1
    auth.token(at_least=59)
    assert asked() == 2
    with pytest.raises(ConfigurationError, match="ttl"):
        auth.token(at_least=61)


# -- the application -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "expected"), [("?sm-app=old", "old"), ("", "my app & more")])
def test_the_application_is_named_in_the_address(serve, client_of, given: str, expected: str) -> None:
    server = serve()
    config = config_of(server)
    with Client(url=server.url + given, app="my app & more", conn_config=config) as client:
        client.transcribe(SECOND, audio_format=PCM)
    record = server.sessions[0]
    assert record.query["sm-app"] == expected
    assert record.query["sm-sdk"]
