"""What the local server accepts in StartRecognition, and how it refuses: see also ``test_fields``."""

from __future__ import annotations

from typing import Any

import pytest

from speechmatics_rt.local import LocalServer
from speechmatics_rt.local.checks import CLOSE_CODES, check_start
from speechmatics_rt.local.engines.speaker_ids import identifier_of

from .raw_client import RawClient, start_message

FULL = {
    "model": "enhanced",
    "domain": "medical",
    "output_locale": "en-GB",
    "additional_vocab": ["Ravelin", {"content": "Quillon", "sounds_like": ["kwill on"]}],
    "diarization": "channel_and_speaker",
    "channel_diarization_labels": ["a", "b"],
    "speaker_diarization_config": {
        "max_speakers": 4,
        "speaker_sensitivity": 0.2,
        "prefer_current_speaker": True,
        "get_speakers": True,
        "speakers": [{"label": "Ann", "speaker_identifiers": [identifier_of("S2")]}],
    },
    "max_delay": 0.7,
    "max_delay_mode": "fixed",
    "enable_partials": True,
    "enable_entities": True,
    "punctuation_overrides": {"permitted_marks": ["."], "sensitivity": 0.5},
    "audio_filtering_config": {"volume_threshold": 3},
    "transcript_filtering_config": {"remove_disfluencies": True, "replacements": [{"from": "a", "to": ""}]},
    "conversation_config": {"end_of_utterance_silence_trigger": 0.6},
}


def test_a_full_config_is_accepted() -> None:
    message = start_message(
        FULL,
        translation_config={"target_languages": ["fr"], "enable_partials": True},
        audio_events_config={"types": ["music"]},
    )
    assert check_start(message) == []
    assert check_start(start_message(audio_events_config={})) == []
    assert check_start(start_message(audio_format={"type": "file"})) == []


def test_warnings_name_what_was_left_out() -> None:
    vocabulary = ["one two three four five six seven", "fine"]
    [warning] = check_start(start_message({"additional_vocab": vocabulary}))
    assert (warning["type"], warning["message"]) == ("validation_warning", "Warning")
    warnings = check_start(start_message(translation_config={"target_languages": ["xx"]}))
    assert [entry["type"] for entry in warnings] == [
        "unsupported_translation_pair",
        "empty_translation_target_list",
    ]
    [warning] = check_start(start_message(translation_config={"target_languages": ["fr", "xx"]}))
    assert warning["type"] == "unsupported_translation_pair"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (start_message({"max_delay": 9}), "invalid_config"),
        (start_message({"language": "xx"}), "invalid_language"),
        (start_message({"model": "turbo"}), "invalid_model"),
        (start_message(audio_format={"type": "wav"}), "invalid_audio_type"),
        (start_message(extra=1), "invalid_message"),
    ],
)
def test_a_refusal_is_an_error_and_its_close_code(message: dict[str, Any], kind: str) -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.send(message)
        assert client.closed() == CLOSE_CODES[kind]
        assert [entry["message"] for entry in client.received] == ["Info", "Error"]
        assert client.received[1]["type"] == kind


def test_warnings_come_before_the_start() -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.start(translation_config={"target_languages": ["xx"]})
        assert [entry["message"] for entry in client.received] == [
            "Info",
            "Info",
            "Warning",
            "Warning",
            "RecognitionStarted",
        ]
