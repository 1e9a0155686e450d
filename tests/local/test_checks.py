"""What the local server accepts in StartRecognition, and how it refuses."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from speechmatics_rt.local import LocalServer
from speechmatics_rt.local.checks import CLOSE_CODES, Refused, check_start
from speechmatics_rt.local.engines.speaker_ids import identifier_of

from .raw_client import RAW, RawClient, start_message


def refused(message: dict[str, Any], path_language: Optional[str] = None) -> str:
    with pytest.raises(Refused) as caught:
        check_start(message, path_language)
    return caught.value.type


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


def test_the_preview_model_needs_no_format() -> None:
    config = {"language": "multi", "model": "melia-1"}
    assert check_start({"message": "StartRecognition", "transcription_config": config}) == []


BAD_CONFIG: list[dict[str, Any]] = [
    {"conversation": {}},
    {"max_delay": 0.6},
    {"max_delay": 4.5},
    {"max_delay": "1"},
    {"max_delay": True},
    {"max_delay_mode": "loose"},
    {"enable_partials": 1},
    {"additional_vocab": ["x"] * 1001},
    {"additional_vocab": [""]},
    {"additional_vocab": [{"sounds_like": ["x"]}]},
    {"additional_vocab": [{"content": "x", "sounds_like": []}]},
    {"diarization": "speaker_change"},
    {"diarization": "channel"},
    {"diarization": "channel", "channel_diarization_labels": ["a", "a"]},
    {"diarization": "channel", "channel_diarization_labels": ["a", "b", "c"]},
    {"speaker_diarization_config": {"max_speakers": 1}},
    {"speaker_diarization_config": {"speaker_sensitivity": 1.5}},
    {"speaker_diarization_config": {"speakers": [{"label": "S1", "speaker_identifiers": ["x"]}]}},
    {"speaker_diarization_config": {"speakers": [{"label": " x", "speaker_identifiers": ["x"]}]}},
    {
        "speaker_diarization_config": {
            "speakers": [{"label": "x", "speaker_identifiers": [str(i) for i in range(51)]}]
        }
    },
    {"conversation_config": {"end_of_utterance_silence_trigger": 2.1}},
    {"conversation_config": {"silence": 1}},
    {"audio_filtering_config": {"volume_threshold": 101}},
    {"punctuation_overrides": {"sensitivity": 2}},
    {"transcript_filtering_config": {"replacements": [{"from": "a"}]}},
    {"output_locale": ""},
    {"model": "standard", "operating_point": "enhanced"},
    {"language_hints_strict": False},
]


@pytest.mark.parametrize("config", BAD_CONFIG, ids="-".join)
def test_a_bad_config_is_invalid_config(config: dict[str, Any]) -> None:
    assert refused(start_message(config)) == "invalid_config"


@pytest.mark.parametrize(
    "audio_format",
    [
        None,
        "raw",
        {},
        {"type": "wav"},
        {"type": "raw"},
        {"type": "raw", "encoding": "pcm_s24le", "sample_rate": 16000},
        {"type": "raw", "encoding": "pcm_s16le", "sample_rate": "16000"},
        {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 0},
        {"type": "raw", "encoding": "pcm_s16le"},
        {"type": "file", "encoding": "pcm_s16le"},
    ],
)
def test_a_bad_format_is_invalid_audio_type(audio_format: Any) -> None:
    assert refused(start_message(audio_format=audio_format)) == "invalid_audio_type"


def test_other_refusals_and_their_types() -> None:
    assert refused(start_message(conversation_config={})) == "invalid_message"
    assert refused({"message": "StartRecognition", "audio_format": RAW}) == "invalid_config"
    assert refused(start_message({"language": "xx"})) == "invalid_language"
    assert refused(start_message({"language": "auto"})) == "invalid_language"
    assert refused(start_message({"language": "multi"})) == "invalid_language"
    assert refused(start_message({"model": "turbo"})) == "invalid_model"
    assert refused(start_message(), "de") == "invalid_config"
    assert refused(start_message(translation_config={"target_languages": ["fr"] * 6})) == "invalid_config"
    assert refused(start_message(translation_config={})) == "invalid_config"
    assert refused(start_message(audio_events_config={"types": ["rain"]})) == "invalid_config"


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
