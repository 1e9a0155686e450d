"""What the tests of the shared threads have in common."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from speechmatics_rt import AudioFormat, Client
from speechmatics_rt.network import shared_reader

PCM = AudioFormat("pcm_s16le", 16000)


@pytest.fixture
def all_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first sessions of a process share a thread, too."""
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
