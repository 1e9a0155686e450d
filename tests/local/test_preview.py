"""Sessions of the preview model: what it does not have is refused, or ignored with a Warning."""

from __future__ import annotations

from typing import Any

import pytest

from speechmatics_rt.local import LocalServer

from .raw_client import RawClient, start_message

MELIA = {"language": "multi", "model": "melia-1"}
FORMER = {"language": "multi", "operating_point": "melia-1"}


def finals(client: RawClient) -> list[float]:
    """Return when the finals with words ended."""
    return [m["metadata"]["end_time"] for m in client.received_of("AddTranscript") if m["results"]]


@pytest.mark.parametrize("config", [MELIA, FORMER])
def test_it_starts_by_either_name_and_without_a_format(config: dict[str, Any]) -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.send({"message": "StartRecognition", "transcription_config": config})
        client.until("RecognitionStarted")
        client.finish(client.send_audio(5))
        words = [item for m in client.received_of("AddTranscript") for item in m["results"]]
        assert words
        assert not any("confidence" in item["alternatives"][0] for item in words)


def test_what_only_tunes_is_ignored_with_a_warning() -> None:
    with LocalServer() as server, RawClient(server) as plain, RawClient(server) as tuned:
        plain.start(MELIA)
        tuned.start({**MELIA, "max_delay": 0.7, "language_hints": ["en"]})
        assert [w["reason"] for w in tuned.received_of("Warning")] == [
            "melia-1 has no max_delay yet; it is ignored",
            "melia-1 has no language_hints yet; it is ignored",
        ]
        tuned.send(
            {
                "message": "SetRecognitionConfig",
                "transcription_config": {"max_delay": 1, "enable_partials": True},
            }
        )
        plain.finish(plain.send_audio(6))
        tuned.finish(tuned.send_audio(6))
    assert len(tuned.received_of("Warning")) == 3
    assert tuned.received_of("AddPartialTranscript")
    assert finals(tuned) == finals(plain)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (start_message({**MELIA, "diarization": "speaker"}), "invalid_config"),
        (start_message(MELIA, audio_events_config={}), "invalid_config"),
        ({"message": "ForceEndOfUtterance"}, "not_allowed"),
        (
            {
                "message": "SetRecognitionConfig",
                "transcription_config": {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
            },
            "invalid_config",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value["message"],
)
def test_what_would_never_come_is_refused(message: dict[str, Any], kind: str) -> None:
    with LocalServer() as server, RawClient(server) as client:
        if message["message"] != "StartRecognition":
            client.start(MELIA)
        client.send(message)
        client.closed()
        [error] = client.received_of("Error")
    assert error["type"] == kind
    assert "yet" in error["reason"]


def test_no_target_at_all_is_warned_of() -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.start(translation_config={"target_languages": []})
        client.finish(client.send_audio(1))
    assert [w["type"] for w in client.received_of("Warning")] == ["empty_translation_target_list"]
    assert not client.received_of("AddTranslation")
