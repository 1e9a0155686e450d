"""Sessions of several channels with the local server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from speechmatics_rt.local import Fault, LocalServer

from .raw_client import RawClient
from .test_pressure import Gate

CHANNELS = {"diarization": "channel", "channel_diarization_labels": ["agent", "caller"]}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


def audio(channel: str, data: bytes = bytes(32000)) -> dict[str, Any]:
    return {"message": "AddChannelAudio", "channel": channel, "data": base64.b64encode(data).decode()}


def test_each_channel_has_its_own_counts_times_and_end(server: LocalServer) -> None:
    with RawClient(server) as client:
        started = client.start({**CHANNELS, "max_delay": 0.7, "enable_partials": True})
        assert started["channel_ids"] == ["agent", "caller"]
        for _ in range(4):
            client.send(audio("agent"))
        client.send(audio("caller", b"\1\2" * 16000))
        client.send({"message": "EndOfChannel", "channel": "caller", "last_seq_no": 1})
        for _ in range(2):
            client.send(audio("agent"))
        client.send({"message": "EndOfChannel", "channel": "agent", "last_seq_no": 6})
        client.until("EndOfTranscript")
    acks = [(message["channel"], message["seq_no"]) for message in client.received_of("ChannelAudioAdded")]
    assert acks == [("agent", number) for number in (1, 2, 3, 4)] + [
        ("caller", 1),
        ("agent", 5),
        ("agent", 6),
    ]
    ends = {}
    for message in client.received_of("AddTranscript"):
        ends[message["channel"]] = message["metadata"]["end_time"]
    assert ends["caller"] <= 1.0 < ends["agent"] <= 6.0
    record = server.sessions[-1].wait_closed()
    assert record.audio_of("caller") == b"\1\2" * 16000
    assert record.messages[1] == {"message": "AddChannelAudio", "channel": "agent", "size": 32000}


def test_the_end_of_the_stream_ends_all_channels(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({**CHANNELS, "diarization": "channel_and_speaker"})
        client.send({"message": "GetSpeakers", "final": True})
        client.send(audio("agent", bytes(64000)))
        client.send(audio("caller", bytes(64000)))
        client.send({"message": "EndOfChannel", "channel": "agent", "last_seq_no": 1})
        client.finish(2)
    assert len(client.received_of("SpeakersResult")) == 1
    assert [speaker["label"] for speaker in client.received[-2]["speakers"]] == ["S1", "S1"]
    assert {message["channel"] for message in client.received_of("AddTranscript")} == {"agent", "caller"}


def test_an_utterance_is_forced_on_one_channel(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({**CHANNELS, "max_delay": 4})
        client.send(audio("agent", bytes(64000)))
        client.send(audio("caller", bytes(64000)))
        client.send({"message": "ForceEndOfUtterance", "channel": "caller"})
        assert client.until("EndOfUtterance")["channel"] == "caller"
        assert client.received_of("AddTranscript")[-1]["channel"] == "caller"
        client.finish(2)
    assert len(client.received_of("EndOfUtterance")) == 1


def test_translations_name_no_channel(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({**CHANNELS, "max_delay": 0.7}, translation_config={"target_languages": ["fr"]})
        client.send(audio("agent", bytes(32000 * 5)))
        client.finish(1)
    assert client.received_of("AddTranslation")
    assert all("channel" not in message for message in client.received_of("AddTranslation"))


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ([bytes(320)], "protocol_error"),
        ([audio("nobody")], "protocol_error"),
        (
            [{"message": "EndOfChannel", "channel": "agent", "last_seq_no": 0}, audio("agent")],
            "protocol_error",
        ),
        ([{"message": "EndOfChannel", "channel": "nobody", "last_seq_no": 0}], "protocol_error"),
        ([{"message": "EndOfChannel", "channel": "agent"}], "invalid_message"),
        ([{"message": "ForceEndOfUtterance", "channel": "nobody"}], "protocol_error"),
        ([{**audio("agent"), "data": "?"}], "invalid_message"),
        ([{"message": "AddChannelAudio", "channel": "agent"}], "invalid_message"),
    ],
)
def test_what_is_wrong_with_a_channel_ends_the_session(
    server: LocalServer, says: list[Any], kind: str
) -> None:
    with RawClient(server) as client:
        client.start(CHANNELS)
        for item in says:
            client.ws.send(item) if isinstance(item, bytes) else client.send(item)
        assert client.closed()[0] == 1003
        assert [error["type"] for error in client.received_of("Error")] == [kind]


def test_channel_audio_without_channels_is_out_of_turn(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start()
        client.send(audio("agent"))
        assert client.closed()[0] == 1003
        assert client.received_of("Error")[0]["type"] == "protocol_error"


def test_late_audio_of_a_channel_is_a_warning() -> None:
    with LocalServer(speed=50.0) as server, RawClient(server) as client:
        client.start(CHANNELS)
        client.send(audio("agent", bytes(32000 * 5)))
        client.send({"message": "EndOfStream", "last_seq_no": 1})
        client.send(audio("caller"))
        client.until("EndOfTranscript")
    assert [warning["type"] for warning in client.received_of("Warning")] == ["add_audio_after_eos"]


def test_each_channel_of_a_slow_engine_has_a_worker() -> None:
    gate = Gate()
    gate.open.set()
    with LocalServer(gate) as server:
        with RawClient(server) as client:
            client.start(CHANNELS)
            for channel in ("agent", "caller"):
                client.send(audio(channel))
            client.finish(2)
        server.sessions[0].wait_closed()
    assert gate.threads == {f"speechmatics-rt-local-recogniser-0-{name}" for name in ("agent", "caller")}
    assert gate.closed == 2


def test_faults_count_the_audio_of_all_channels() -> None:
    with (
        LocalServer(faults=[Fault.close(4013, "job_error", after_bytes=96000)]) as server,
        RawClient(server) as client,
    ):
        client.start(CHANNELS)
        for channel in ("agent", "caller", "agent"):
            client.send(audio(channel))
        assert client.closed() == (4013, "job_error")


def test_the_speakers_of_slow_channels_are_sent_once() -> None:
    gate = Gate()
    gate.open.set()
    with LocalServer(gate) as server:
        for _ in range(20):
            with RawClient(server) as client:
                client.start(CHANNELS)
                client.send({"message": "GetSpeakers", "final": True})
                client.finish(0)
            assert len(client.received_of("SpeakersResult")) == 1
