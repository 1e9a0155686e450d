"""Recorded sessions, served again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import LocalServer, ReplayEngine, SessionRecord

from ..raw_client import RawClient
from ..test_channels import CHANNELS, audio

LIVELY = {
    "max_delay": 0.7,
    "enable_partials": True,
    "diarization": "speaker",
    "conversation_config": {"end_of_utterance_silence_trigger": 0.4},
}
TOP: dict[str, Any] = {"translation_config": {"target_languages": ["fr"]}, "audio_events_config": {}}


def session(server: LocalServer, force_at: int = 40) -> tuple[list[dict[str, Any]], SessionRecord]:
    """Hold one session, and return what was received but for the ids."""
    with RawClient(server) as client:
        client.start(LIVELY, **TOP)
        for number in range(130):
            client.ws.send(bytes(3200))
            if number == force_at:
                client.send({"message": "ForceEndOfUtterance"})
        client.send({"message": "GetSpeakers", "final": True})
        client.finish(130)
    received = [{key: value for key, value in message.items() if key != "id"} for message in client.received]
    record = server.sessions[-1].wait_closed()
    return [message for message in received if message["message"] != "Info"], record


def test_a_replay_sends_the_same_at_the_same_places(tmp_path: Path) -> None:
    with LocalServer() as server:
        received, record = session(server)
    recording = record.recording()
    assert [entry["message"] for entry in recording] == record.sent
    kinds = {message["message"] for message in received}
    assert kinds >= {"EndOfUtterance", "AddTranslation", "SpeakersResult"}
    path = tmp_path / "session.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in recording), encoding="utf-8")
    for source in (recording, path, str(path)):
        with LocalServer(ReplayEngine(source)) as server:
            assert session(server)[0] == received


def test_a_recording_of_channels_goes_to_its_channels() -> None:
    def run_channels(server: LocalServer) -> list[dict[str, Any]]:
        with RawClient(server) as client:
            client.start(CHANNELS, translation_config={"target_languages": ["fr"]})
            for channel in ("agent", "caller", "agent", "agent", "agent", "agent"):
                client.send(audio(channel))
            client.finish(5)
        return [message for message in client.received if "id" not in message and "usage" not in message]

    with LocalServer() as server:
        received = run_channels(server)
        recording = server.sessions[0].wait_closed().recording()
    assert {message.get("channel") for message in received} == {"agent", "caller", None}
    assert len([message for message in received if message["message"] == "AddTranslation"]) == 3
    with LocalServer(ReplayEngine(recording)) as server:
        assert run_channels(server) == received


def final(end: float, text: str, **more: Any) -> dict[str, Any]:
    times = {"start_time": 0.0, "end_time": end}
    return {"message": "AddTranscript", "results": [], "metadata": {**times, "transcript": text}, **more}


def test_messages_alone_come_at_the_times_they_name_and_the_rest_at_the_end() -> None:
    messages = [
        final(1.0, "one "),
        {"message": "Warning", "type": "speaker_id", "reason": "x"},
        {"message": "AudioEventStarted", "event": {"type": "music", "start_time": 2.0, "confidence": 1}},
        final(60.0, "never heard "),
        {"message": "EndOfTranscript"},
    ]
    with LocalServer(ReplayEngine(messages)) as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(3, chunk=0.5))
    kinds = [message["message"] for message in client.received[3:]]
    ack = "AudioAdded"
    assert kinds == [
        *(ack, ack, "AddTranscript", "Warning", ack, ack, "AudioEventStarted"),
        *(ack, ack, "AddTranscript", "EndOfTranscript"),
    ]


def test_a_recorded_error_ends_the_session() -> None:
    messages = [final(0.5, "one "), {"message": "Error", "type": "job_error", "reason": "worker"}]
    with LocalServer(ReplayEngine(messages)) as server, RawClient(server) as client:
        client.start()
        client.send_audio(1)
        assert client.closed() == (4013, "job_error")


def test_a_forced_end_that_was_never_recorded_is_empty() -> None:
    with LocalServer(ReplayEngine([])) as server, RawClient(server) as client:
        client.start()
        client.send_audio(1)
        client.send({"message": "ForceEndOfUtterance"})
        assert client.until("EndOfUtterance")["metadata"] == {"start_time": 1.0, "end_time": 1.0}
        client.finish(10)


def test_the_language_pack_is_that_of_the_recording() -> None:
    pack = {"word_delimiter": "", "language_description": "Japanese"}
    engine = ReplayEngine([{"message": "RecognitionStarted", "language_pack_info": pack}])
    with LocalServer(engine) as server, RawClient(server) as client:
        assert client.start({"language": "ja"})["language_pack_info"]["word_delimiter"] == ""


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read the recording"):
        ReplayEngine(tmp_path / "none.jsonl")
    path = tmp_path / "bad.jsonl"
    path.write_text('{"message": "Info"}\n\n{"mess\n')
    with pytest.raises(ConfigurationError, match=r"line 3 of .*bad\.jsonl is not JSON"):
        ReplayEngine(path)
    for entry in ([1], {"audio": 1.0}, {"message": {"type": "Info"}}, 7):
        with pytest.raises(ConfigurationError, match="entry 1 of the recording is not a server message"):
            ReplayEngine([entry])  # type: ignore[list-item]


RAW = {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
FINAL = {"message": "AddTranscript", "results": [], "metadata": {"end_time": 0.5}}


@pytest.mark.parametrize(
    "entry",
    [
        {"audio": "soon", "message": FINAL},
        {"audio": [], "message": FINAL},
        {"audio": float("nan"), "message": FINAL},
        {"time": 1, "received": {"message": 7}},
        {"time": 0, "sent": {"message": "StartRecognition", "audio_format": {"type": "raw"}}},
        {"time": 0, "sent": {"message": "StartRecognition", "audio_format": {**RAW, "sample_rate": "high"}}},
    ],
)
def test_an_entry_that_can_not_be_placed_is_a_configuration_error(entry: Any) -> None:
    with pytest.raises(ConfigurationError):
        ReplayEngine([entry])


@pytest.mark.parametrize(
    "entry",
    [
        {**FINAL, "metadata": {"end_time": None, "start_time": "x"}},
        {**FINAL, "metadata": None, "results": 3},
        {**FINAL, "results": [None, {"end_time": "x"}, {"end_time": 10**400}]},
        {**FINAL, "channel": ["a list"]},
        {"message": "RecognitionStarted", "language_pack_info": "none"},
        {"message": "SpeakersResult", "speakers": "all"},
        {"time": 0, "sent": {"message": "AddAudio", "size": None, "channel": {}}},
        {"time": 0, "sent": {"message": "AddAudio", "size": 10**12}},  # is counted, not held
        {"time": 0, "received": {"message": "AudioAdded", "seq_no": "one", "channel": []}},
    ],
)
def test_what_is_odd_in_a_recorded_message_says_nothing(entry: Any) -> None:
    recogniser = ReplayEngine([entry, FINAL]).recogniser({"audio_format": RAW})
    said = [*recogniser.feed(bytes(8000)), *recogniser.finish()]
    assert FINAL in said
    assert isinstance(recogniser.speakers(), list)


def test_a_recording_nested_too_deep_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text("[" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        ReplayEngine(path)
