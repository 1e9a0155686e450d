"""What the tests of the shared threads have in common."""

from __future__ import annotations

import pytest

from speechmatics_rt import AudioFormat, Client
from speechmatics_rt.network import shared_reader

PCM = AudioFormat("pcm_s16le", 16000)


@pytest.fixture
def all_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first sessions of a process share a thread, too."""
    monkeypatch.setattr(shared_reader, "OWN", 0)


def started(client: Client) -> Client:
    client.start_session(audio_format=PCM)
    return client
