"""An exception that a signal handler raises, as Celery and rq limit time, ends a call wherever it comes."""

from __future__ import annotations

import builtins
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

import pytest

from speechmatics_rt import (
    AudioFormat,
    AuthBase,
    Client,
    ConnectionConfig,
    MultiChannelClient,
    Recorder,
    split_channels,
    transcribe_many,
)
from speechmatics_rt.local import LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
NOWHERE = "ws://127.0.0.1:1/v2"


class Limit(Exception):
    """As SoftTimeLimitExceeded of Celery, and JobTimeoutException of rq."""


@pytest.fixture(params=[Limit, builtins.TimeoutError, ValueError])
def limit(request) -> Iterator[type[Exception]]:
    """Let SIGTERM raise this."""

    def ends(number: int, frame: Any) -> None:
        raise request.param("the time is over")

    before = signal.signal(signal.SIGTERM, ends)
    yield request.param
    signal.signal(signal.SIGTERM, before)


def strike(*_: object) -> Any:
    signal.raise_signal(signal.SIGTERM)


class Source:
    """A file in which it comes at one method."""

    def __init__(self, at: str) -> None:
        self.at = 0
        setattr(self, at, strike)

    def read(self, size: int) -> bytes:
        return SECOND

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, position: int) -> None:
        pass

    def fileno(self) -> int:
        raise OSError


def pieces() -> Iterator[bytes]:
    yield strike()


class Pieces:
    def __iter__(self) -> Iterator[bytes]:
        return strike()


@pytest.mark.parametrize("at", ["read", "seekable", "tell", "seek", "fileno"])
def test_it_ends_a_call_in_any_method_of_a_source(limit, at: str) -> None:
    with Client(url=NOWHERE) as client, pytest.raises(limit, match=r"^the time is over$"):
        client.transcribe(Source(at), audio_format=PCM)
    with MultiChannelClient(url=NOWHERE) as client, pytest.raises(limit, match=r"^the time is over$"):
        client.transcribe({"a": Source(at), "b": SECOND}, audio_format=PCM)


@pytest.mark.parametrize("make", [pieces, Pieces])
def test_it_ends_a_call_in_the_first_step_of_an_iteration(limit, make: Callable[[], Any]) -> None:
    with Client(url=NOWHERE) as client, pytest.raises(limit, match=r"^the time is over$"):
        client.transcribe(make(), audio_format=PCM)


def test_it_ends_the_separation_of_channels(limit) -> None:
    with pytest.raises(limit, match=r"^the time is over$"):
        split_channels(Source("read"), ["a", "b"])


class Own(AuthBase):
    """Is asked on the thread of the call, as it respects the deadline itself."""

    def __init__(self, at: str) -> None:
        self.at = at

    def configure(self, conn_config: ConnectionConfig) -> None:
        pass

    def get_auth_headers(self) -> dict[str, str]:
        return strike() if self.at == "headers" else {"Authorization": "Bearer stale"}

    def refresh(self) -> bool:
        return strike()


@pytest.mark.parametrize("at", ["headers", "refresh"])
def test_it_ends_a_call_that_is_asking_for_a_key_and_is_no_failure_of_who_issues_it(limit, at: str) -> None:
    with (
        LocalServer(keys=["good"]) as server,
        Client(Own(at), url=server.url) as client,
        pytest.raises(limit, match=r"^the time is over$"),
    ):
        client.transcribe(SECOND, audio_format=PCM)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that raises a signal")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("limit", [Limit], indirect=True)  # a socket may itself raise the others
def test_it_ends_a_wait_for_the_network(limit, scheme: str) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        before = signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with (
                Client(url=f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/v2", api_key="key") as client,
                pytest.raises(limit, match=r"^the time is over$"),
            ):
                client.transcribe(SECOND, audio_format=PCM)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("url", [NOWHERE, None])
def test_it_ends_a_call_in_the_last_handler(limit, url: str | None) -> None:
    with LocalServer() as server, Client(url=url or server.url, handler_errors="raise") as client:
        client.on("SessionEnded", strike)
        with pytest.raises(limit, match=r"^the time is over$"):
            client.transcribe(SECOND, audio_format=PCM)
        client.off("SessionEnded", strike)


class Busy(Executor):
    def submit(self, function: Any, /, *args: Any, **options: Any) -> Any:
        return strike()


def names() -> Iterator[str]:
    yield strike()


@pytest.mark.parametrize(("sources", "executor"), [(names, None), (lambda: [SECOND], Busy())])
def test_it_ends_a_run_over_many(limit, sources: Any, executor: Any) -> None:
    run = transcribe_many(sources(), executor=executor, url=NOWHERE)
    with contextlib.closing(run), pytest.raises(limit, match=r"^the time is over$"):
        next(run)


class Word:
    """Something in a message that has no JSON form, so that a recording shows it."""

    def __repr__(self) -> str:
        return str(strike())


def test_it_is_not_lost_in_a_recording(limit, tmp_path) -> None:
    with LocalServer() as server, Client(url=server.url) as client, Recorder(client, tmp_path / "r.jsonl"):
        client.start_session(audio_format=PCM)
        recording = client._session._recording
        with pytest.raises(limit) as raised:
            recording.sent({"message": Word()})
        assert str(raised.value) == "the time is over"  # Python 3.14 adds notes: where in the message it was
        client.close()
