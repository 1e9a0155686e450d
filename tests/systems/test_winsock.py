"""What Windows says of a dead connection, by its own numbers, is the error that it is anywhere else.

There ``errno`` has these numbers too; here a plain OSError comes of them, so nothing may hang on its class.
"""

from __future__ import annotations

from typing import Any

import pytest

from speechmatics_rt import AudioFormat, Client, ConnectionError

PCM = AudioFormat("pcm_s16le", 16000)
SAID = {
    10050: "A socket operation encountered a dead network",
    10052: "The network dropped connection on reset",
    10053: "An established connection was aborted by the software in your host machine",
    10054: "An existing connection was forcibly closed by the remote host",
    10058: "A request to send or receive data was disallowed because the socket had already been shut down",
    10060: "A connection attempt failed because the connected party did not properly respond",
    10065: "A socket operation was attempted to an unreachable host",
}


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("way", ["_recv_into", "_send"])
@pytest.mark.parametrize("number", SAID)
def test_a_connection_that_windows_calls_dead_is_lost_as_any_other(
    serve, client_of, monkeypatch, number, way
) -> None:
    def dead(*_: Any) -> int:
        raise OSError(number, SAID[number])

    client: Client = client_of(serve(), close_timeout=0.1)
    client.start_session(audio_format=PCM)
    monkeypatch.setattr(client._session.connection._sock, way, dead)
    with pytest.raises(ConnectionError) as caught:
        for _ in range(200):
            client.send_audio(bytes(3200))
        client.stop_session(timeout=10)
    error = caught.value
    assert (error.code, error.retryable, error.status) == (1006, True, None)
    assert error.stage in ("streaming", "draining")
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == number
