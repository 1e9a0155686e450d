"""What a session imports late, on whichever thread: each such import is one that a fork waits for.

A child that is forked in the middle of one finds the lock of that module held, by a thread that it does not
have, and would wait for it for ever.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import Fault, LocalServer

from .auth.test_jwt import service_of
from .network.dialing.test_dialer import HttpProxy, Service, SocksProxy

# A user's program, which holds a client and its options before any of its threads forks. To begin is most of
# its work: it does that once, and for each line of its input forks what goes on from there.
PROGRAM = """
import asyncio, json, os, sys, threading, traceback
from speechmatics_rt import (
    AsyncClient, AudioFormat, Client, ConnectionConfig, JWTAuth, MultiChannelClient, ResumePolicy,
    SpeechmaticsError, TranscriptionConfig,
)
from speechmatics_rt.threads import importing, is_mine

PCM, SECOND = AudioFormat("pcm_s16le", 16000), bytes(32000)
loose = []


class Finder:
    def find_spec(self, name, path=None, target=None):
        if not is_mine(importing):
            frames = [frame for frame in traceback.extract_stack()[:-1] if "importlib" not in frame.filename]
            place = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames[-3:]))
            loose.append(f"{name} on {threading.current_thread().name}: {place}")
        return None


def by_hand(client):
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    client.get_speakers()
    client.finalize()
    client.stop_session()


def whole(client):
    client.transcribe(SECOND * 4, audio_format=PCM, timeout=60)


def words(client):
    for _ in client.utterances([SECOND] * 4, audio_format=PCM, transcription_config=TranscriptionConfig()):
        pass


def channels(client):
    client.transcribe({"a": SECOND * 2, "b": SECOND * 2}, audio_format=PCM)


def on_a_loop(client):
    async def main():
        async with client:
            await client.start_session(audio_format=PCM)
            await client.send_audio(SECOND)
            await client.stop_session()
            await client.transcribe(SECOND, audio_format=PCM)
    loop.run_until_complete(main())


for line in sys.stdin:
    if not os.fork():
        break
    if os.wait()[1]:
        print(flush=True)
else:
    sys.exit()
asked = json.loads(line)
os.environ.update(asked.pop("variables"))
loop = asyncio.new_event_loop()  # it imports, too, and a program has it before
way = globals()[asked.pop("way")]
kind = {channels: MultiChannelClient, on_a_loop: AsyncClient}.get(way, Client)
options = {"url": asked.pop("url")}
if "key_from" in asked:
    options["auth"] = JWTAuth("long-lived", mp_url=asked.pop("key_from"))
if asked.pop("resume", False):
    options["resume"] = ResumePolicy(min_delay=0, max_delay=0.1, busy_delay=0.1)
sys.meta_path.insert(0, Finder())
client = kind(**options, conn_config=ConnectionConfig(**asked))
client.on("AddTranscript", lambda message: None)
try:
    way(client)
    ended = "complete"
except SpeechmaticsError as exc:
    ended = f"{type(exc).__name__}: {exc.text}"
if way is not on_a_loop:
    client.close()
sys.meta_path.pop(0)
loop.close()
print(json.dumps([ended, loose]), flush=True)
"""

ImportsOf = Callable[..., tuple[str, list[str]]]


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, bufsize=0, env=environment, **pipes) as process:
        yield process


@pytest.fixture
def imports_of(program: subprocess.Popen[bytes], tmp_path: Path) -> ImportsOf:
    """Run a session in a new process; return how it ended, and what it imported without the lock."""

    def ask(url: str, *, trusted: Any = None, **asked: Any) -> tuple[str, list[str]]:
        variables = asked.pop("variables", {})
        if trusted is not None:
            (tmp_path / "ca.pem").write_bytes(trusted)
            variables = {**variables, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        question = {"way": "whole", "url": url, "variables": variables, **asked}
        program.stdin.write(json.dumps(question).encode() + b"\n")
        told = program.stdout.readline().strip()  # or the test's own timeout
        assert told, "the program died: see its stderr"
        ended, loose = json.loads(told)
        return ended, loose

    return ask


def test_nor_does_one_that_is_told_a_date(imports_of) -> None:
    def busy(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    with Service(busy) as service:
        ended, loose = imports_of(f"ws://127.0.0.1:{service.port}/v2")
    assert (ended.split(":")[0], loose) == ("ConnectionError", [])


def named(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("way", ["whole", "by_hand", "words", "channels", "on_a_loop"])
def test_a_session_imports_nothing_that_a_fork_does_not_wait_for(imports_of, serve, way: str) -> None:
    server = serve()
    url = server.url if way == "whole" else named(server.url)
    assert imports_of(url, trusted=server.ca_pem, way=way) == ("complete", [])


def test_nor_does_one_with_a_temporary_key(imports_of, serve) -> None:
    server = serve(keys=["long-lived"], faults=[Fault.refuse(401, sessions=[1])])
    asked = {"trusted": server.ca_pem, "key_from": named(service_of(server))}
    assert imports_of(server.url, **asked) == ("complete", [])


def test_nor_does_one_whose_temporary_key_is_refused(imports_of, serve) -> None:
    server = serve(keys=["another"])
    ended, loose = imports_of(server.url, trusted=server.ca_pem, key_from=service_of(server))
    assert (ended.split(":")[0], loose) == ("AuthenticationError", [])


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.reset(after_seconds=0.5, sessions=[0])],
        [Fault.refuse(429, sessions=[0], retry_after=0.1)],
        [Fault.refuse(503, sessions=[0], retry_after=0.1)],
    ],
    ids=["lost", "429", "503"],
)
def test_nor_does_one_that_resumes(imports_of, serve, faults: list[Fault]) -> None:
    server = serve(faults=faults)
    assert imports_of(server.url, trusted=server.ca_pem, resume=True) == ("complete", [])


def test_nor_does_one_that_is_refused(imports_of, serve) -> None:
    server = serve(faults=[Fault.refuse(403)])
    ended, loose = imports_of(server.url, trusted=server.ca_pem)
    assert (ended.split(":")[0], loose) == ("AuthenticationError", [])


def test_nor_does_one_whose_certificate_is_refused(imports_of) -> None:
    with LocalServer(tls=True) as server:
        ended, loose = imports_of(server.url)
    assert (ended.split(":")[0], loose) == ("ConnectionError", [])
    assert "certificate was refused" in ended


@pytest.mark.parametrize("scheme", ["http", "socks4", "socks5", "socks5h"])
def test_nor_does_one_through_a_proxy(imports_of, serve, scheme: str) -> None:
    server = serve()
    with Service(HttpProxy() if scheme == "http" else SocksProxy()) as way:
        proxy = f"{scheme}://me:ge%3Aheim@127.0.0.1:{way.port}"
        assert imports_of(server.url, trusted=server.ca_pem, proxy=proxy) == ("complete", [])


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("variables", [{}, {"ALL_PROXY": "http://127.0.0.1:1"}], ids=["none", "a proxy"])
def test_nor_does_one_with_an_international_name_or_a_proxy_of_the_environment(
    imports_of, scheme: str, variables: dict[str, str]
) -> None:
    url = f"{scheme}://b\u00fccher.invalid/v2"
    ended, loose = imports_of(url, open_timeout=10, variables=variables)
    assert (ended.split(":")[0], loose) == ("ConnectionError", [])
