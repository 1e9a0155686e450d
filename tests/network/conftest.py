"""What the tests of sockets, and those of the shared reader, have in common."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any, Callable, Optional

import pytest
import trustme

from speechmatics_rt import AudioFormat, Client
from speechmatics_rt.network import shared_reader

PCM = AudioFormat("pcm_s16le", 16000)


@pytest.fixture
def all_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first sessions of a process read by the shared reader, too."""
    monkeypatch.setattr(shared_reader, "OWN", 0)


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> queue.SimpleQueue[Any]:
    """What threads died of, as given to their hook; wait for it, since sessions end before."""
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", seen.put)
    return seen


def started(client: Client) -> Client:
    client.start_session(audio_format=PCM)
    return client


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def tcp_pair(window: Optional[int] = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; ``window`` keeps both kernel buffers of both small."""
    with socket.socket() as listener:
        here = socket.socket()
        for sock in (listener, here) if window else ():  # before connecting: accepted sockets inherit them
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        here.connect(listener.getsockname())
        there, _ = listener.accept()
    return here, there


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start ``work`` on a thread; the call returned joins it and hands on its result or its error."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except BaseException as exc:
            outcome["error"] = exc

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join() -> Any:
        thread.join(30)
        assert not thread.is_alive(), "the thread is still running"
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    return join
