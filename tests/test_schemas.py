"""The schemas of the wire: examples pass, what is changed in them fails, and the local server agrees."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from speechmatics_rt.local import Fault, LocalServer, SessionRecord
from speechmatics_rt.local.checks import Refused, check_change, check_end, check_force, check_start

from .local.raw_client import RawClient
from .schemas import check_client, check_record, check_server, check_sessions

WORD = {
    "type": "word",
    "start_time": 1.2,
    "end_time": 1.6,
    "alternatives": [{"content": "Hi", "confidence": 1}],
}
MARK = {
    "type": "punctuation",
    "start_time": 1.6,
    "end_time": 1.6,
    "attaches_to": "previous",
    "is_eos": True,
    "alternatives": [{"content": ".", "confidence": 0.9, "language": "en", "speaker": "S1"}],
}
MONEY = {
    "type": "entity",
    "entity_class": "money",
    "start_time": 2.0,
    "end_time": 2.8,
    "alternatives": [{"content": "$9", "confidence": 0.97, "display": {"direction": "ltr"}}],
    "spoken_form": [WORD, {**WORD, "start_time": 1.6, "end_time": 2.0}],
    "written_form": [WORD],
}
TIMES = {"start_time": 1.2, "end_time": 2.8}

SERVER: dict[str, dict[str, Any]] = {
    "RecognitionStarted": {
        "message": "RecognitionStarted",
        "id": "6f6ff8a8-33c2-4a0f-8f60-4d9e8a0a4b11",
        "orchestrator_version": "2026.01.01+abc+15.2.0",
        "language_pack_info": {
            "adapted": False,
            "itn": True,
            "language_description": "English",
            "word_delimiter": " ",
            "writing_direction": "left-to-right",
        },
        "channel_ids": ["left", "right"],
    },
    "AudioAdded": {"message": "AudioAdded", "seq_no": 1},
    "ChannelAudioAdded": {"message": "ChannelAudioAdded", "channel": "left", "seq_no": 3},
    "AddTranscript": {
        "message": "AddTranscript",
        "format": "2.9",
        "channel": "left",
        "forced": True,
        "metadata": {**TIMES, "transcript": "Hi. $9 "},
        "results": [
            {
                **WORD,
                "volume": 51.5,
                "alternatives": [{"content": "Hi", "confidence": 1, "tags": ["disfluency"]}],
            },
            MARK,
            MONEY,
        ],
    },
    "AddPartialTranscript": {
        "message": "AddPartialTranscript",
        "format": "2.9",
        "metadata": {**TIMES, "transcript": ""},
        "results": [],
    },
    "EndOfUtterance": {
        "message": "EndOfUtterance",
        "format": "2.9",
        "channel": "left",
        "forced": True,
        "metadata": {"start_time": 2.88, "end_time": 2.88},
    },
    "AddTranslation": {
        "message": "AddTranslation",
        "format": "2.9",
        "language": "fr",
        "results": [{**TIMES, "content": "Salut.", "speaker": "S1"}],
    },
    "AddPartialTranslation": {"message": "AddPartialTranslation", "language": "cmn", "results": []},
    "AudioEventStarted": {
        "message": "AudioEventStarted",
        "channel": "left",
        "event": {"type": "music", "start_time": 3.0, "confidence": 0.7},
    },
    "AudioEventEnded": {"message": "AudioEventEnded", "event": {"type": "laughter", "end_time": 4.2}},
    "SpeakersResult": {
        "message": "SpeakersResult",
        "speakers": [{"label": "S1", "speaker_identifiers": ["b3BhcXVl"]}],
    },
    "LanguageInfo": {
        "message": "LanguageInfo",
        "language": "ar",
        "word_delimiter": " ",
        "writing_direction": "right-to-left",
        "partial": True,
    },
    "Info": {
        "message": "Info",
        "type": "concurrent_session_usage",
        "reason": "2 of 50 sessions",
        "usage": 2,
        "quota": 50,
        "last_updated": "2026-01-01T12:00:00Z",
        "region": "eu",
        "code": 1,
        "seq_no": 2,
    },
    "Warning": {
        "message": "Warning",
        "type": "duration_limit_exceeded",
        "reason": "too long",
        "duration_limit": 3600,
        "code": 1,
        "seq_no": 2,
    },
    "Error": {
        "message": "Error",
        "type": "job_error",
        "reason": "the worker is gone",
        "code": 4013,
        "seq_no": 2,
    },
    "EndOfTranscript": {"message": "EndOfTranscript"},
    "RecognitionPaused": {"message": "RecognitionPaused"},
    "RecognitionResumed": {"message": "RecognitionResumed"},
}

RAW = {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
CONFIG: dict[str, Any] = {
    "language": "en",
    "model": "standard",
    "domain": "medical",
    "output_locale": "en-GB",
    "additional_vocab": ["Oslo", {"content": "Bergen", "sounds_like": ["bear gain"]}],
    "diarization": "channel_and_speaker",
    "channel_diarization_labels": ["left", "right"],
    "speaker_diarization_config": {
        "max_speakers": 2,
        "speaker_sensitivity": 0.5,
        "prefer_current_speaker": True,
        "get_speakers": False,
        "speakers": [{"label": "Alice", "speaker_identifiers": ["b3BhcXVl"]}],
    },
    "max_delay": 0.7,
    "max_delay_mode": "fixed",
    "enable_partials": True,
    "enable_entities": True,
    "punctuation_overrides": {"permitted_marks": ["all"], "sensitivity": 1},
    "audio_filtering_config": {"volume_threshold": 3.4},
    "transcript_filtering_config": {
        "remove_disfluencies": True,
        "replacements": [{"from": "/colou?r/", "to": "hue"}],
    },
    "conversation_config": {"end_of_utterance_silence_trigger": 2},
}
CLIENT: dict[str, dict[str, Any]] = {
    "StartRecognition": {
        "message": "StartRecognition",
        "audio_format": RAW,
        "transcription_config": CONFIG,
        "translation_config": {"target_languages": ["fr", "de"], "enable_partials": True},
        "audio_events_config": {"types": ["laughter", "applause", "music"]},
    },
    "SetRecognitionConfig": {
        "message": "SetRecognitionConfig",
        "transcription_config": {
            "language": "en",
            "max_delay": 4,
            "max_delay_mode": "flexible",
            "enable_partials": False,
            "audio_filtering_config": {},
            "conversation_config": {"end_of_utterance_silence_trigger": 0},
        },
    },
    "EndOfStream": {"message": "EndOfStream", "last_seq_no": 0},
    "AddChannelAudio": {"message": "AddChannelAudio", "channel": "left", "data": "AAECAw=="},
    "EndOfChannel": {"message": "EndOfChannel", "channel": "left", "last_seq_no": 7},
    "GetSpeakers": {"message": "GetSpeakers", "final": True},
    "ForceEndOfUtterance": {"message": "ForceEndOfUtterance", "timestamp": 1.28, "channel": "left"},
    "PauseRecognition": {"message": "PauseRecognition", "preserve_timeline": True},
    "ResumeRecognition": {"message": "ResumeRecognition"},
}

# More of what is allowed: a few messages a line stands for.
VARIANTS: list[tuple[Callable[[Mapping[str, Any]], None], dict[str, Any]]] = [
    (check_server, {"message": "SpeakersResult", "speakers": []}),
    (check_server, {"message": "RecognitionStarted", "id": SERVER["RecognitionStarted"]["id"]}),
    (check_server, {**SERVER["Info"], "last_updated": ""}),
    (
        check_server,
        {"message": "Info", "type": "recognition_quality", "reason": "good", "quality": "telephony"},
    ),
    (check_client, {"message": "GetSpeakers"}),
    (check_client, {"message": "ForceEndOfUtterance"}),
    (
        check_client,
        {**CLIENT["StartRecognition"], "audio_format": {"type": "file"}, "audio_events_config": {}},
    ),
    (
        check_client,
        {
            "message": "StartRecognition",
            "transcription_config": {
                "language": "multi",
                "model": "melia-1",
                "language_hints": ["en", "de"],
                "language_hints_strict": True,
            },
        },
    ),
]


def changed(message: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Copy a message with another value at a dotted path; ``...`` takes the value away."""
    copied: Any = copy.deepcopy(dict(message))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = copied
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copied


WRONG_OF_THE_SERVER = [
    ("RecognitionStarted", "id", "session 7"),
    ("RecognitionStarted", "id", ...),
    ("RecognitionStarted", "language_pack_info.word_delimiter", ...),
    ("RecognitionStarted", "language_pack_info.writing_direction", "ltr"),
    ("RecognitionStarted", "channel_ids", "left"),
    ("AudioAdded", "seq_no", 0),
    ("AudioAdded", "seq_no", "1"),
    ("AudioAdded", "channel", "left"),
    ("ChannelAudioAdded", "channel", ...),
    ("AddTranscript", "forced", False),
    ("AddTranscript", "metadata.transcript", ...),
    ("AddTranscript", "metadata.start_time", -0.1),
    ("AddTranscript", "results", ...),
    ("AddTranscript", "results.0.channel", "left"),
    ("AddTranscript", "results.0.score", 0.5),
    ("AddTranscript", "results.0.type", "noise"),
    ("AddTranscript", "results.0.is_eos", True),
    ("AddTranscript", "results.0.volume", 101),
    ("AddTranscript", "results.0.alternatives", []),
    ("AddTranscript", "results.0.alternatives.0.confidence", ...),
    ("AddTranscript", "results.0.alternatives.0.confidence", 1.2),
    ("AddTranscript", "results.0.alternatives.0.tags", ["rude"]),
    ("AddTranscript", "results.1.attaches_to", "left"),
    ("AddTranscript", "results.1.entity_class", "money"),
    ("AddTranscript", "results.2.entity_class", "animal"),
    ("AddTranscript", "results.2.spoken_form.0.type", "entity"),
    ("AddTranscript", "results.2.written_form.0.type", "punctuation"),
    ("AddTranscript", "results.2.written_form.0.volume", 3),
    ("AddPartialTranscript", "forced", True),
    ("AddPartialTranscript", "metadata", ...),
    ("EndOfUtterance", "metadata.transcript", ""),
    ("EndOfUtterance", "speaker", "S1"),
    ("EndOfUtterance", "forced", False),
    ("AddTranslation", "language", ...),
    ("AddTranslation", "metadata", TIMES),
    ("AddTranslation", "channel", "left"),
    ("AddTranslation", "results.0.start_time", ...),
    ("AudioEventStarted", "event.confidence", ...),
    ("AudioEventStarted", "event.type", "thunder"),
    ("AudioEventEnded", "event.start_time", 1.0),
    ("SpeakersResult", "speakers.0.speaker_identifiers", []),
    ("LanguageInfo", "partial", False),
    ("LanguageInfo", "word_delimiter", ...),
    ("Info", "reason", ...),
    ("Info", "type", "weather"),
    ("Info", "usage", ...),
    ("Info", "quality", "broadcast"),
    ("Info", "last_updated", "yesterday"),
    ("Warning", "type", "not_a_warning"),
    ("Warning", "reason", ...),
    ("Error", "type", "oops"),
    ("Error", "code", "4013"),
    ("EndOfTranscript", "reason", "done"),
    ("EndOfTranscript", "message", "EndOfEverything"),
]

WRONG_OF_A_CLIENT = [
    ("StartRecognition", "transcription_config", ...),
    ("StartRecognition", "audio_format", ...),
    ("StartRecognition", "conversation_config", {"end_of_utterance_silence_trigger": 1}),
    ("StartRecognition", "type", "transcription"),
    ("StartRecognition", "audio_format.type", "mp3"),
    ("StartRecognition", "audio_format.encoding", "pcm_s24le"),
    ("StartRecognition", "audio_format.encoding", ...),
    ("StartRecognition", "audio_format.sample_rate", ...),
    ("StartRecognition", "audio_format.sample_rate", 8000.5),
    ("StartRecognition", "audio_format.sample_rate", 0),
    ("StartRecognition", "audio_format.chunk_size", 4096),
    ("StartRecognition", "audio_format.type", "file"),  # with an encoding
    ("StartRecognition", "transcription_config.language", ...),
    ("StartRecognition", "transcription_config.language", "auto"),
    ("StartRecognition", "transcription_config.model", "best"),
    ("StartRecognition", "transcription_config.operating_point", "enhanced"),  # beside model
    ("StartRecognition", "transcription_config.output_locale", ""),
    ("StartRecognition", "transcription_config.additional_vocab.0", ""),
    ("StartRecognition", "transcription_config.additional_vocab.1.content", ...),
    ("StartRecognition", "transcription_config.additional_vocab.1.sounds_like", []),
    ("StartRecognition", "transcription_config.additional_vocab", ["word"] * 1001),
    ("StartRecognition", "transcription_config.diarization", "speaker_change"),
    ("StartRecognition", "transcription_config.channel_diarization_labels", ...),
    ("StartRecognition", "transcription_config.channel_diarization_labels", ["left", "left"]),
    ("StartRecognition", "transcription_config.speaker_diarization_config.max_speakers", 1),
    ("StartRecognition", "transcription_config.speaker_diarization_config.speaker_sensitivity", 1.1),
    ("StartRecognition", "transcription_config.speaker_diarization_config.speakers.0.label", "S1"),
    ("StartRecognition", "transcription_config.speaker_diarization_config.speakers.0.label", "UU"),
    ("StartRecognition", "transcription_config.speaker_diarization_config.speakers.0.label", "Alice "),
    (
        "StartRecognition",
        "transcription_config.speaker_diarization_config.speakers.0.speaker_identifiers",
        [],
    ),
    ("StartRecognition", "transcription_config.max_delay", 0.6),
    ("StartRecognition", "transcription_config.max_delay", 4.1),
    ("StartRecognition", "transcription_config.max_delay", "1"),
    ("StartRecognition", "transcription_config.max_delay_mode", "loose"),
    ("StartRecognition", "transcription_config.enable_partials", 1),
    ("StartRecognition", "transcription_config.punctuation_overrides.permitted_marks", [".!"]),
    ("StartRecognition", "transcription_config.punctuation_overrides.sensitivity", 2),
    ("StartRecognition", "transcription_config.audio_filtering_config.volume_threshold", -1),
    ("StartRecognition", "transcription_config.transcript_filtering_config.replacements.0.from", ...),
    ("StartRecognition", "transcription_config.transcript_filtering_config.replacements.0.to", 7),
    ("StartRecognition", "transcription_config.conversation_config.end_of_utterance_silence_trigger", 2.1),
    ("StartRecognition", "transcription_config.language_hints_strict", True),  # without hints
    ("StartRecognition", "transcription_config.nonsense", 1),
    ("StartRecognition", "translation_config.target_languages", ...),
    ("StartRecognition", "translation_config.target_languages", ["fr"] * 6),
    ("StartRecognition", "audio_events_config.types", ["rain"]),
    ("SetRecognitionConfig", "transcription_config", ...),
    ("SetRecognitionConfig", "transcription_config.diarization", "none"),
    ("SetRecognitionConfig", "transcription_config.max_delay", 5),
    ("SetRecognitionConfig", "translation_config", {"target_languages": ["fr"]}),
    ("EndOfStream", "last_seq_no", -1),
    ("EndOfStream", "last_seq_no", ...),
    ("AddChannelAudio", "data", "not base64!"),
    ("AddChannelAudio", "channel", ...),
    ("EndOfChannel", "channel", ...),
    ("GetSpeakers", "final", "yes"),
    ("ForceEndOfUtterance", "timestamp", -1),
    ("ForceEndOfUtterance", "channel", 1),
    ("PauseRecognition", "preserve_timeline", "no"),
]

NOT_THE_SERVICES = "transcription_config.language_hints_strict"  # that it needs hints is a rule of clients
JUDGES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "StartRecognition": check_start,
    "SetRecognitionConfig": lambda message: check_change(message, {"language": "en"}),
    "EndOfStream": check_end,
    "EndOfChannel": check_end,
    "ForceEndOfUtterance": lambda message: check_force(message, {"language": "en"}),
}


@pytest.mark.parametrize("side", ["client", "server"])
def test_the_schemas_are_schemas(side: str) -> None:
    text = (Path(__file__).parent / "schemas" / f"{side}.json").read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("kind", SERVER)
def test_what_the_service_says_passes(kind: str) -> None:
    check_server(SERVER[kind])


@pytest.mark.parametrize("kind", CLIENT)
def test_what_a_client_says_passes(kind: str) -> None:
    check_client(CLIENT[kind])
    if kind in JUDGES:
        JUDGES[kind](CLIENT[kind])


@pytest.mark.parametrize(("check", "message"), VARIANTS)
def test_other_forms_of_a_message_pass(check: Callable[[Mapping[str, Any]], None], message: Any) -> None:
    check(message)


@pytest.mark.parametrize(("kind", "path", "value"), WRONG_OF_THE_SERVER)
def test_what_the_service_would_never_say_fails(kind: str, path: str, value: Any) -> None:
    with pytest.raises(AssertionError):
        check_server(changed(SERVER[kind], path, value))


@pytest.mark.parametrize(("kind", "path", "value"), WRONG_OF_A_CLIENT)
def test_what_no_client_may_say_fails(kind: str, path: str, value: Any) -> None:
    with pytest.raises(AssertionError):
        check_client(changed(CLIENT[kind], path, value))


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [case for case in WRONG_OF_A_CLIENT if case[0] in JUDGES and case[1] != NOT_THE_SERVICES],
)
def test_what_no_client_may_say_is_refused_by_the_local_server(kind: str, path: str, value: Any) -> None:
    with pytest.raises(Refused):
        JUDGES[kind](changed(CLIENT[kind], path, value))


@pytest.mark.parametrize(
    "message", [{}, {"message": None}, {"message": "AddAudio"}, {"message": "addtranscript"}]
)
def test_messages_without_a_known_name_fail(message: Any) -> None:
    for check in (check_server, check_client):
        with pytest.raises(AssertionError):
            check(message)


def test_a_failure_names_the_message_and_the_place() -> None:
    with pytest.raises(AssertionError, match=r"AddTranscript breaks .*\$\.results\[0\]\.volume: 101"):
        check_server(changed(SERVER["AddTranscript"], "results.0.volume", 101))


def test_a_record_is_checked_on_both_sides() -> None:
    record = SessionRecord(0)
    record.add_audio(b"\0\0")
    record.add_audio(b"\0\0", "left")
    record.add_sent({"message": "EndOfTranscript"})
    check_record(record)
    record.add_sent({"message": "EndOfTranscript", "why": "done"})
    with pytest.raises(AssertionError, match="why"):
        check_record(record)
    check_record(record, strange=True)


def test_a_clients_mistake_has_to_be_refused() -> None:
    record = SessionRecord(0)
    record.add_received({"message": "EndOfStream"})
    with pytest.raises(AssertionError, match="last_seq_no"):
        check_record(record)
    record.add_sent({"message": "Error", "type": "job_error", "reason": "something else"})
    with pytest.raises(AssertionError, match="last_seq_no"):
        check_record(record)
    record.add_sent({"message": "Error", "type": "invalid_message", "reason": "needs last_seq_no"})
    check_record(record)


def test_words_need_a_confidence_except_of_the_preview_model() -> None:
    record = SessionRecord(0)
    record.add_sent(changed(SERVER["AddTranscript"], "results.0.alternatives.0.confidence", ...))
    with pytest.raises(AssertionError, match="confidence"):
        check_record(record)
    config = {"language": "multi", "model": "melia-1"}
    record.add_received({"message": "StartRecognition", "transcription_config": config})
    check_record(record)


def test_what_faults_have_the_server_say_is_left_out(closed_servers: list[LocalServer]) -> None:
    faults = [Fault.unknown(sessions=[0]), Fault.oversize(100_000), Fault.flood(3)]
    with LocalServer(faults=faults) as server:
        for _ in range(2):
            with RawClient(server) as client:
                client.start()
                client.finish()
        records = [record.wait_closed() for record in server.sessions]
    check_sessions(server)
    with pytest.raises(AssertionError, match="SomethingNew"):
        check_record(records[0])
    records[1].add_sent({"message": "SomethingNew"})
    with pytest.raises(AssertionError, match="SomethingNew"):
        check_sessions(server)
    closed_servers.remove(server)  # what breaks the schema is this test's own
