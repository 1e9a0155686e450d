"""One TLS socket, two busy threads: the server's receive window full, pings and transcripts coming down."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from typing import Optional

import pytest

from speechmatics_rt import AudioFormat, Client, ConnectionConfig
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network.duplex import DuplexSocket
from speechmatics_rt.tls import TlsStream

WORDS = 500


@pytest.mark.parametrize("megabytes", [12, pytest.param(48, marks=pytest.mark.reliability)])
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_blocked_upload_and_a_flood_of_transcripts_and_pings_disturb_neither_way(
    tls: bool, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    blocks, floods, refusals = megabytes * 1_000_000 // 16_384, 5 * megabytes // 12, 1_000 * megabytes // 48
    try_send = DuplexSocket.try_send

    def counting(self: DuplexSocket, data: bytes) -> int:
        nonlocal refused
        count = try_send(self, data)
        refused += count < len(data)
        return count

    init = DuplexSocket.__init__

    def with_little_room(self: DuplexSocket, sock: socket.socket, tls: Optional[TlsStream] = None) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        init(self, sock, tls)

    monkeypatch.setattr(DuplexSocket, "try_send", counting)
    monkeypatch.setattr(DuplexSocket, "__init__", with_little_room)
    digest = hashlib.sha256()

    def audio() -> Iterator[bytes]:
        """Give so much, and more where the two ends ran in turns and the socket was seldom full."""
        noise = random.Random(7)
        for number in range(4 * blocks):
            if number >= blocks and refused >= refusals:
                return
            block = noise.randbytes(16_384)
            digest.update(block)
            yield block

    # 96 kHz: 60 s of audio, or 250, of which the server buffers 10 s and then leaves the rest to TCP.
    faults = [Fault.flood(WORDS, after_bytes=1_000_000 * number) for number in range(1, floods + 1)]
    faults.append(Fault.pings(2_000, 0.001))
    with LocalServer(tls=tls, faults=faults, speed=40) as server:
        config = ConnectionConfig(
            ssl_context=server.ssl_context, window_frames=None, window_seconds=None, ping_interval=0.01
        )
        with Client(url=server.url, conn_config=config) as client:
            transcript = client.transcribe(audio(), audio_format=AudioFormat("pcm_s16le", 96_000, 16_384))
        (record,) = server.sessions
    assert hashlib.sha256(record.audio).digest() == digest.digest()
    assert sum(word.content.startswith("flood") for word in transcript.words) == floods * WORDS
    assert record.pings > 50
    print(f"{refused} writes found the socket full")
    assert refused >= refusals
