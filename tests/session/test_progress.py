"""How far a session is: what a program shows while it runs."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import AsyncClient, AudioFormat, Client, MultiChannelClient, SessionStats
from speechmatics_rt.local import LocalServer

SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"
PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def seen_by_a_handler(client: Client, source: Any, **options: Any) -> list[SessionStats]:
    seen: list[SessionStats] = []
    client.on("AddTranscript", lambda message: seen.append(client.stats))
    client.transcribe(source, **options)
    return seen


def test_a_recording_goes_from_nothing_to_all_of_it(serve, client_of) -> None:
    client = client_of(serve())
    assert (client.stats.seconds_total, client.stats.progress) == (None, None)
    seen = seen_by_a_handler(client, SPEECH, speed=40.0)
    shares = [stats.progress for stats in seen]
    (total,) = {stats.seconds_total for stats in seen}
    assert total == pytest.approx(19.4, abs=0.1)
    assert len(set(shares)) > 5
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.3
    assert all(stats.progress == stats.seconds_transcribed / stats.seconds_total for stats in seen)
    assert client.stats.progress == 1.0


def test_the_end_is_seen_by_the_last_handler_too(serve, client_of) -> None:
    client = client_of(serve())
    client.on("EndOfTranscript", lambda message: shares.append(client.stats.progress))
    shares: list[Any] = []
    client.transcribe(io.BytesIO(SECOND * 2), audio_format=PCM)
    assert shares == [1.0]


def test_of_what_nobody_knows_the_length_of_nothing_is_said_until_it_is_complete(serve, client_of) -> None:
    for source, options in ((iter([SECOND] * 5), {"audio_format": PCM}), (b"ID3" + bytes(80000), {})):
        client = client_of(serve())
        seen = seen_by_a_handler(client, source, **options)
        assert {(stats.seconds_total, stats.progress) for stats in seen} == {(None, None)}
        assert (client.stats.seconds_total, client.stats.progress) == (None, 1.0)


def test_audio_sent_by_hand_has_no_total(serve, client_of) -> None:
    client = client_of(serve())
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    assert client.stats.progress is None
    client.stop_session()
    assert client.stats.progress == 1.0


def test_of_several_channels_the_longest_counts(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    client.transcribe({"a": SECOND * 2, "b": SECOND * 5}, audio_format=PCM)
    assert client.stats.seconds_total == 5.0
    client.transcribe({"a": SECOND * 2, "b": b""}, audio_format=PCM)
    assert client.stats.seconds_total == 2.0
    client.transcribe({"a": SECOND * 2, "b": iter([SECOND])}, audio_format=PCM)
    assert client.stats.seconds_total is None


def too_short(header: int, samples: int) -> bytes:
    """A WAV whose header announces fewer seconds than it has."""
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setparams((1, 2, 16000, 0, "NONE", ""))
        wav.writeframes(SECOND * header)
    return out.getvalue() + b"\x01" * 32000 * (samples - header)


@pytest.mark.parametrize(
    "source", [too_short(1, 20), too_short(10, 10) * 2], ids=["a header that is wrong", "two in succession"]
)
def test_what_goes_on_behind_what_was_announced_has_no_total_any_more(
    serve, client_of, source: bytes
) -> None:
    client = client_of(serve())
    seen = seen_by_a_handler(client, source, speed=50.0)
    assert seen[-1].seconds_sent > 10
    for stats in seen:
        if stats.seconds_total is None:
            assert stats.progress is None
        else:
            assert stats.seconds_sent <= stats.seconds_total
            assert stats.progress < 1.0 or stats.seconds_sent == stats.seconds_total
    assert (client.stats.seconds_sent, client.stats.seconds_total, client.stats.progress) == (20.0, None, 1.0)


def test_a_channel_that_goes_on_takes_the_total_of_all(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    client.transcribe({"a": too_short(1, 3), "b": too_short(5, 5)})
    assert client.stats.seconds_total is None
    client.transcribe({"a": too_short(3, 3), "b": too_short(5, 5)})
    assert client.stats.seconds_total == 5.0


def test_a_session_that_failed_is_not_complete(serve, client_of) -> None:
    client = client_of(serve())
    with client.stream(SPEECH, speed=20.0) as messages:
        next(message for message in messages if message["message"] == "AddTranscript")
    assert client.stats.progress < 1.0


def test_the_asyncio_client_has_it_as_well() -> None:
    async def run(url: str) -> SessionStats:
        async with AsyncClient(url=url) as client:
            await client.transcribe(SPEECH)
            return client.stats

    with LocalServer() as server:
        stats = asyncio.run(run(server.url))
    assert stats.seconds_total == pytest.approx(19.4, abs=0.1)
    assert stats.progress == 1.0
