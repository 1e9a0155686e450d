"""``close()`` while something is being opened ends that at once, whatever it waits for, and nothing stays."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    AuthBase,
    Client,
    ConnectionConfig,
    JWTAuth,
    MultiChannelClient,
    ResumePolicy,
    SessionError,
)
from speechmatics_rt.local import Fault

from ..network.dialing.test_dialer import Service, SocksProxy, a_port_that_swallows, addresses, until_gone

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
SOON = 5.0  # s, of waits without an end, on a busy machine


def ended(*parts: str) -> None:
    """Wait until no thread of those parts runs; fail if that is not soon."""
    deadline = time.monotonic() + SOON
    names = tuple(f"speechmatics-rt-{part}" for part in parts)
    for thread in threading.enumerate():
        if thread.name.startswith(names):
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), thread


class Line:
    """Audio of a line on which nobody speaks at first: its first read takes as long as the test wants."""

    def __init__(self) -> None:
        self.waits, self.spoken = threading.Event(), threading.Event()
        self.left = [SECOND] * 3

    def read(self, size: int) -> bytes:
        self.waits.set()
        assert self.spoken.wait(10)
        return self.left.pop() if self.left else b""


@pytest.mark.parametrize("way", ["one", "channels", "a loop", "a signal handler"])
def test_closing_during_the_first_read_of_a_source_leaves_nothing_to_begin(
    serve, client_of, way: str
) -> None:
    server, line = serve(), Line()
    kind = MultiChannelClient if way == "channels" else Client
    client = client_of(server, kind=kind)
    ended: list[Any] = []
    client.on("SessionEnded", ended.append)
    source = {"a": line, "b": SECOND} if way == "channels" else line

    def close() -> None:
        assert line.waits.wait(10)
        if way == "a signal handler":
            signal.raise_signal(signal.SIGTERM)
        elif way == "a loop":
            asyncio.run_coroutine_threadsafe(face.close(), loop).result(10)
        else:
            client.close()
        line.spoken.set()

    before = signal.signal(signal.SIGTERM, lambda *_: client.close())
    closing = threading.Thread(target=close)
    try:
        if way == "a loop":
            face = AsyncClient(url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context))
            loop = asyncio.new_event_loop()
            closing.start()
            with pytest.raises(SessionError, match="closed while it was being opened"):
                loop.run_until_complete(face.transcribe(source, audio_format=PCM))
            loop.close()
        else:
            closing.start()
            with pytest.raises(SessionError, match="closed while it was being opened") as caught:
                client.transcribe(source, audio_format=PCM)
            assert caught.value.request_id
            assert [event["error"] for event in ended] == [None]  # the program itself has closed it
    finally:
        signal.signal(signal.SIGTERM, before)
        closing.join(10)
    assert server.sessions == []
    if way != "a loop":
        client.transcribe({"a": SECOND} if way == "channels" else SECOND, audio_format=PCM)
        assert len(server.sessions) == 1


def close_once(opens: threading.Event, client: Client) -> None:
    """Start a session, and close it when that has begun to wait."""
    raised: list[Optional[BaseException]] = []

    def start() -> None:
        try:
            client.start_session(audio_format=PCM)
            raised.append(None)
        except Exception as exc:
            raised.append(exc)

    starting = threading.Thread(target=start, daemon=True)
    starting.start()
    assert opens.wait(10)
    client.close()
    starting.join(SOON)
    assert not starting.is_alive()
    assert isinstance(raised[0], SessionError), raised
    assert "closed while it was being opened" in str(raised[0])


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
@pytest.mark.parametrize("how", ["closed", "abandoned"])
def test_an_attempt_to_reconnect_that_nobody_answers_is_given_up(how, serve, client_of, monkeypatch) -> None:
    server = serve(faults=[Fault.reset(after_messages=2)])
    client = client_of(server, resume=ResumePolicy(min_delay=0, max_delay=0), open_timeout=None)
    asked = threading.Event()
    with a_port_that_swallows() as dead:
        client.start_session(audio_format=PCM)

        def look_up(*_: object, **__: object) -> list[Any]:
            asked.set()
            return addresses(dead)()

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        client.send_audio(SECOND)
        assert asked.wait(10)
        if how == "closed":
            client.close()
        else:
            client._session.connection.abandon()  # as its finaliser does
        ended("resume", "listener")


class Silent:
    """A service that takes connections, and says nothing."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(1)
        self.asked.set()
        until_gone(connection)


@pytest.mark.parametrize("way", ["directly", "by SOCKS", "by SOCKS that is silent", "by HTTP"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_request_for_a_temporary_key_is_broken_off(way, tls) -> None:
    platform, proxy = Silent(), Silent()
    tunnel = SocksProxy() if way == "by SOCKS" else proxy
    with Service(platform) as asked, Service(tunnel) as through:
        scheme = "socks5h" if "SOCKS" in way else "http"
        config = ConnectionConfig(open_timeout=None, proxy="")
        if way != "directly":
            config.proxy = f"{scheme}://me:ge%3Aheim@127.0.0.1:{through.port}"
        auth = JWTAuth("k3y", mp_url=f"http{'s' * tls}://127.0.0.1:{asked.port}")
        client = Client(auth, url="ws://127.0.0.1:1/v2", conn_config=config)
        close_once(proxy.asked if way.endswith(("silent", "HTTP")) else platform.asked, client)
        ended("key")


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
def test_a_request_for_a_temporary_key_that_nobody_takes_is_broken_off(monkeypatch) -> None:
    asked = threading.Event()
    with a_port_that_swallows() as dead:

        def look_up(*_: object, **__: object) -> list[Any]:
            asked.set()
            return addresses(dead)()

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        auth = JWTAuth("k3y", mp_url="http://127.0.0.1:1")
        config = ConnectionConfig(open_timeout=None)
        close_once(asked, Client(auth, url="ws://127.0.0.1:1/v2", conn_config=config))
        ended("key")


def test_a_key_that_is_out_of_order_for_now_is_not_asked_for_again_after_close() -> None:
    asked = threading.Event()

    def refuses(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 503 No\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n")
        connection.close()
        asked.set()

    with Service(refuses) as platform:
        auth = JWTAuth("k3y", mp_url=f"http://127.0.0.1:{platform.port}")
        config = ConnectionConfig(open_timeout=None)
        close_once(asked, Client(auth, url="ws://127.0.0.1:1/v2", conn_config=config))
        ended("key")
    assert len(platform._connections) == 1


@pytest.mark.parametrize("limit", [None, 60])
def test_a_scheme_of_the_users_own_that_does_not_return_is_waited_for_no_longer(limit) -> None:
    asked, release = threading.Event(), threading.Event()

    class Slow(AuthBase):
        def get_auth_headers(self) -> dict[str, str]:
            asked.set()
            release.wait(30)
            return {}

    try:
        close_once(
            asked,
            Client(Slow(), url="ws://127.0.0.1:1/v2", conn_config=ConnectionConfig(open_timeout=limit)),
        )
    finally:
        release.set()
    ended("key")


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_the_same_in_an_event_loop(how) -> None:
    platform = Silent()

    async def main(port: int) -> None:
        auth = JWTAuth("k3y", mp_url=f"http://127.0.0.1:{port}")
        client = AsyncClient(auth, url="ws://127.0.0.1:1/v2", conn_config=ConnectionConfig(open_timeout=None))
        starting = asyncio.ensure_future(client.start_session(audio_format=PCM))
        await asyncio.get_running_loop().run_in_executor(None, platform.asked.wait, 10)
        if how == "closed":
            await client.close()
        else:
            starting.cancel()
        with pytest.raises(SessionError if how == "closed" else asyncio.CancelledError):
            await asyncio.wait_for(starting, SOON)

    with Service(platform) as asked:
        asyncio.run(main(asked.port))
        ended("key", "aio")
