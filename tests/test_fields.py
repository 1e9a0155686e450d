"""Every field that a client may send, with values in, at and past its bounds: one line a value.

A line says what the client makes of the value and what the local server does. When the service changes, its
line is changed, and what fails next says where.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from speechmatics_rt.config import doubts, set_recognition_config, start_recognition
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local.checks import (
    Refused,
    check_change,
    check_end,
    check_force,
    check_get_speakers,
    check_start,
    read_channel_audio,
)
from speechmatics_rt.local.engines import identifier_of

from .schemas import check_client

# What the client says: sends it, sends it and warns that the cloud documents otherwise, refuses it.
SENT, DOUBTED, REFUSED = "sent", "doubted", "refused"
ALONE = "not asked"  # the client makes this field itself, or passes on what its caller has written
# What the server says: accepts it, accepts it with a Warning of a type, or sends an Error of a type.
FINE = "fine"
CONFIG, AUDIO, MESSAGE = "Error invalid_config", "Error invalid_audio_type", "Error invalid_message"
LANGUAGE, MODEL, NOT_ALLOWED = "Error invalid_language", "Error invalid_model", "Error not_allowed"
VALIDATION, SPEAKER_ID = "Warning validation_warning", "Warning speaker_id"
NO_TARGET = "Warning empty_translation_target_list"
PAIR = "Warning unsupported_translation_pair"

T = "transcription_config."
TRIGGER = f"{T}conversation_config.end_of_utterance_silence_trigger"
LABELS = f"{T}channel_diarization_labels"
SPEAKERS = f"{T}speaker_diarization_config."
FILTER = f"{T}transcript_filtering_config."
MELIA = {"language": "multi", "model": "melia-1"}
CHANNELS = {"diarization": "channel", "channel_diarization_labels": ["left", "right"]}
KNOWN = identifier_of("S1")


def speaker(label: Any = "Ann", *identifiers: Any) -> dict[str, Any]:
    return {"label": label, "speaker_identifiers": [*identifiers] or [KNOWN]}


class Line(NamedTuple):
    message: str
    field: str
    value: Any
    client: str
    server: str
    config: Mapping[str, Any] = {}  # of the session, or what else StartRecognition's config holds
    schema: bool = True  # False: the schema can't tell that it is wrong, or that it is right


def start(field: str, value: Any, client: str, server: str, schema: bool = True, **config: Any) -> Line:
    return Line("StartRecognition", field, value, client, server, config, schema)


def change(field: str, value: Any, client: str, server: str, schema: bool = True, **config: Any) -> Line:
    return Line("SetRecognitionConfig", field, value, client, server, config, schema)


def say(message: str, field: str, value: Any, server: str, schema: bool = True, **config: Any) -> Line:
    return Line(message, field, value, ALONE, server, config, schema)


# fmt: off
LINES: list[Line] = [
    start("audio_format.type", "raw", SENT, FINE),
    start("audio_format.type", "mp3", REFUSED, AUDIO),
    start("audio_format.type", "file", REFUSED, AUDIO),  # with an encoding
    start("audio_format", {"type": "file"}, SENT, FINE),
    start("audio_format", ..., ALONE, AUDIO),
    start("audio_format", ..., ALONE, FINE, **MELIA),
    start("audio_format", ..., ALONE, FINE, language="multi", operating_point="melia-1"),
    start("audio_format", None, ALONE, AUDIO),
    start("audio_format", "raw", REFUSED, AUDIO),
    start("audio_format", {}, ALONE, AUDIO),
    start("audio_format", {"type": "file", "encoding": "pcm_s16le"}, REFUSED, AUDIO),
    start("audio_format", {"type": "raw"}, REFUSED, AUDIO),
    start("audio_format.encoding", "pcm_s16le", SENT, FINE),
    start("audio_format.encoding", "pcm_f32le", SENT, FINE),
    start("audio_format.encoding", "mulaw", SENT, FINE),
    start("audio_format.encoding", "pcm_s24le", REFUSED, AUDIO),
    start("audio_format.encoding", ..., REFUSED, AUDIO),
    start("audio_format.sample_rate", 1, SENT, FINE),
    start("audio_format.sample_rate", 192_000, SENT, FINE),
    start("audio_format.sample_rate", 0, REFUSED, AUDIO),
    start("audio_format.sample_rate", 8000.5, REFUSED, AUDIO),
    start("audio_format.sample_rate", "8000", REFUSED, AUDIO),
    start("audio_format.sample_rate", ..., REFUSED, AUDIO),
    start("audio_format.channels", 2, REFUSED, AUDIO),

    start(f"{T}language", "en", SENT, FINE),
    start(f"{T}language", "cmn_en_ms_ta", SENT, FINE),
    start(f"{T}language", "xx", SENT, LANGUAGE),
    start(f"{T}language", "auto", SENT, LANGUAGE),
    start(f"{T}language", "multi", SENT, LANGUAGE, schema=False),  # without melia-1
    start(f"{T}language", "", REFUSED, CONFIG),
    start(f"{T}language", 7, REFUSED, CONFIG),
    start(f"{T}language", ..., SENT, CONFIG),  # the client puts "en" in its place
    start(f"{T}model", "standard", SENT, FINE),
    start(f"{T}model", "enhanced", SENT, FINE),
    start(f"{T}model", "melia-1", SENT, FINE, language="multi"),
    start(f"{T}model", "melia-1", SENT, LANGUAGE, schema=False),  # with a language of its own
    start(f"{T}model", "turbo", SENT, MODEL),
    start(f"{T}model", "", REFUSED, CONFIG),
    start(f"{T}operating_point", "enhanced", SENT, FINE),
    start(f"{T}operating_point", "melia-1", SENT, FINE, language="multi"),
    start(f"{T}operating_point", "turbo", SENT, MODEL),
    start(f"{T}operating_point", "enhanced", REFUSED, CONFIG, model="standard"),
    start(f"{T}domain", "medical", SENT, FINE),
    start(f"{T}domain", "", REFUSED, CONFIG),
    start(f"{T}output_locale", "en-GB", SENT, FINE),
    start(f"{T}output_locale", "", REFUSED, CONFIG),
    start(f"{T}max_delay", 0.7, SENT, FINE),
    start(f"{T}max_delay", 4, SENT, FINE),
    start(f"{T}max_delay", 0.69, DOUBTED, CONFIG),
    start(f"{T}max_delay", 4.01, DOUBTED, CONFIG),
    start(f"{T}max_delay", -0.1, REFUSED, CONFIG),
    start(f"{T}max_delay", "1", REFUSED, CONFIG),
    start(f"{T}max_delay", True, REFUSED, CONFIG),
    start(f"{T}max_delay_mode", "flexible", SENT, FINE),
    start(f"{T}max_delay_mode", "fixed", SENT, FINE),
    start(f"{T}max_delay_mode", "loose", REFUSED, CONFIG),
    start(f"{T}enable_partials", True, SENT, FINE),
    start(f"{T}enable_partials", 1, REFUSED, CONFIG),
    start(f"{T}enable_entities", False, SENT, FINE),
    start(f"{T}enable_entities", "no", REFUSED, CONFIG),
    start(f"{T}additional_vocab", [], SENT, FINE),
    start(f"{T}additional_vocab", ["Oslo"] * 1000, SENT, FINE),
    start(f"{T}additional_vocab", ["Oslo"] * 1001, SENT, CONFIG),
    start(f"{T}additional_vocab", ["one two three four five six"], SENT, FINE),
    start(f"{T}additional_vocab", ["one two three four five six seven"], SENT, VALIDATION),
    start(f"{T}additional_vocab", ["x" * 4000], SENT, FINE),
    start(f"{T}additional_vocab", ["x" * 4001], SENT, VALIDATION),
    start(f"{T}additional_vocab", [""], REFUSED, CONFIG),
    start(f"{T}additional_vocab", "Oslo", REFUSED, CONFIG),
    start(f"{T}additional_vocab.content", [{"content": "Oslo"}], SENT, FINE),
    start(f"{T}additional_vocab.content", [{"content": ""}], REFUSED, CONFIG),
    start(f"{T}additional_vocab.content", [{"sounds_like": ["x"]}], REFUSED, CONFIG),
    start(f"{T}additional_vocab.sounds_like", [{"content": "Oslo", "sounds_like": ["oh slow"]}], SENT, FINE),
    start(f"{T}additional_vocab.sounds_like", [{"content": "Oslo", "sounds_like": ["x" * 4001]}],
          SENT, VALIDATION),
    start(f"{T}additional_vocab.sounds_like", [{"content": "Oslo", "sounds_like": []}], REFUSED, CONFIG),
    start(f"{T}additional_vocab.sounds_like", [{"content": "Oslo", "sounds_like": [""]}], REFUSED, CONFIG),
    start(f"{T}diarization", "none", SENT, FINE),
    start(f"{T}diarization", "speaker", SENT, FINE),
    start(f"{T}diarization", "channel_and_speaker", SENT, FINE, channel_diarization_labels=["left"]),
    start(f"{T}diarization", "channel", REFUSED, CONFIG),  # without labels
    start(f"{T}diarization", "speaker_change", REFUSED, CONFIG),
    start(LABELS, ["left"], SENT, FINE, diarization="channel"),
    start(LABELS, ["left", "right"], SENT, FINE, diarization="channel"),
    start(LABELS, ["a", "b", "c"], SENT, CONFIG, schema=False, diarization="channel"),
    start(LABELS, ["left", "left"], REFUSED, CONFIG, diarization="channel"),
    start(LABELS, [], REFUSED, CONFIG, diarization="channel"),
    start(LABELS, [""], REFUSED, CONFIG, diarization="channel"),
    start(f"{SPEAKERS}max_speakers", 2, SENT, FINE),
    start(f"{SPEAKERS}max_speakers", 1, REFUSED, CONFIG),
    start(f"{SPEAKERS}max_speakers", 2.5, REFUSED, CONFIG),
    start(f"{SPEAKERS}speaker_sensitivity", 0, SENT, FINE),
    start(f"{SPEAKERS}speaker_sensitivity", 1, SENT, FINE),
    start(f"{SPEAKERS}speaker_sensitivity", 1.01, REFUSED, CONFIG),
    start(f"{SPEAKERS}speaker_sensitivity", -0.01, REFUSED, CONFIG),
    start(f"{SPEAKERS}prefer_current_speaker", True, SENT, FINE),
    start(f"{SPEAKERS}prefer_current_speaker", 1, REFUSED, CONFIG),
    start(f"{SPEAKERS}get_speakers", True, SENT, FINE),
    start(f"{SPEAKERS}get_speakers", "yes", REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers", [], SENT, FINE),
    start(f"{SPEAKERS}speakers", [speaker("Ann", *map(identifier_of, map(str, range(50))))], SENT, FINE),
    start(f"{SPEAKERS}speakers", [speaker("Ann", *map(identifier_of, map(str, range(51))))],
          REFUSED, CONFIG, schema=False),
    start(f"{SPEAKERS}speakers", [speaker("Ann"), speaker("Ann", identifier_of("S2"))], SENT, FINE),
    start(f"{SPEAKERS}speakers", [speaker("Ann"), speaker("Bob")], REFUSED, CONFIG, schema=False),
    start(f"{SPEAKERS}speakers.label", [speaker("S1b")], SENT, FINE),
    start(f"{SPEAKERS}speakers.label", [speaker("S1")], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.label", [speaker("UU")], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.label", [speaker("Ann ")], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.label", [speaker(" Ann")], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.label", [speaker("")], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.speaker_identifiers", [speaker("Ann", KNOWN)], SENT, FINE),
    start(f"{SPEAKERS}speakers.speaker_identifiers", [speaker("Ann", "b3BhcXVl")], SENT, SPEAKER_ID),
    start(f"{SPEAKERS}speakers.speaker_identifiers", [speaker("Ann", KNOWN, KNOWN)], REFUSED, CONFIG),
    start(f"{SPEAKERS}speakers.speaker_identifiers", [{"label": "Ann", "speaker_identifiers": []}],
          REFUSED, CONFIG),
    start(f"{T}punctuation_overrides.permitted_marks", [], SENT, FINE),
    start(f"{T}punctuation_overrides.permitted_marks", [".", "\u3002"], SENT, FINE),
    start(f"{T}punctuation_overrides.permitted_marks", ["all"], SENT, FINE),
    start(f"{T}punctuation_overrides.permitted_marks", [".!"], REFUSED, CONFIG),
    start(f"{T}punctuation_overrides.sensitivity", 0, SENT, FINE),
    start(f"{T}punctuation_overrides.sensitivity", 1, SENT, FINE),
    start(f"{T}punctuation_overrides.sensitivity", 1.01, REFUSED, CONFIG),
    start(f"{T}audio_filtering_config", {}, SENT, FINE),
    start(f"{T}audio_filtering_config.volume_threshold", 0, SENT, FINE),
    start(f"{T}audio_filtering_config.volume_threshold", 100, SENT, FINE),
    start(f"{T}audio_filtering_config.volume_threshold", 100.1, REFUSED, CONFIG),
    start(f"{T}audio_filtering_config.volume_threshold", -0.1, REFUSED, CONFIG),
    start(f"{FILTER}remove_disfluencies", True, SENT, FINE),
    start(f"{FILTER}remove_disfluencies", 0, REFUSED, CONFIG),
    start(f"{FILTER}replacements", [], SENT, FINE),
    start(f"{FILTER}replacements.from", [{"from": "", "to": "x"}], SENT, FINE),
    start(f"{FILTER}replacements.from", [{"from": "/colou?r/", "to": "hue"}], SENT, FINE),
    start(f"{FILTER}replacements.from", [{"from": "/(/", "to": ""}], SENT, CONFIG, schema=False),
    start(f"{FILTER}replacements.from", [{"to": ""}], REFUSED, CONFIG),
    start(f"{FILTER}replacements.to", [{"from": "a", "to": ""}], SENT, FINE),
    start(f"{FILTER}replacements.to", [{"from": "a", "to": 7}], REFUSED, CONFIG),
    start(f"{FILTER}replacements.to", [{"from": "a"}], REFUSED, CONFIG),
    start(TRIGGER, 0, SENT, FINE),
    start(TRIGGER, 2, SENT, FINE),
    start(TRIGGER, 2.01, REFUSED, CONFIG),
    start(TRIGGER, -0.01, REFUSED, CONFIG),
    start(f"{T}conversation_config.silence", 1, DOUBTED, CONFIG),
    start(f"{T}language_hints", ["en"], SENT, FINE),
    start(f"{T}language_hints", "en", REFUSED, CONFIG),
    start(f"{T}language_hints_strict", True, SENT, FINE, language_hints=["en"]),
    start(f"{T}language_hints_strict", True, REFUSED, FINE, schema=False),  # without hints: a rule of clients
    start(f"{T}language_hints_strict", False, REFUSED, CONFIG, language_hints=["en"]),
    start(f"{T}streaming_mode", True, SENT, FINE, schema=False),
    start(f"{T}ctrl", {}, SENT, FINE, schema=False),
    start(f"{T}mood", "calm", DOUBTED, CONFIG),
    start(f"{T}max_dealy", 1, REFUSED, CONFIG),  # a slip of the pen

    # The preview model has less: what only tunes is ignored, what promises results is refused.
    start(f"{T}max_delay", 1, SENT, VALIDATION, **MELIA),
    start(f"{T}language_hints", ["en"], SENT, VALIDATION, **MELIA),
    start(f"{T}additional_vocab", ["Oslo"], SENT, CONFIG, schema=False, **MELIA),
    start(f"{T}diarization", "speaker", SENT, CONFIG, schema=False, **MELIA),
    start(f"{T}diarization", "channel", SENT, FINE, channel_diarization_labels=["left"], **MELIA),
    start(f"{T}enable_entities", True, SENT, CONFIG, schema=False, **MELIA),
    start(f"{T}enable_entities", False, SENT, FINE, **MELIA),
    start(f"{FILTER}remove_disfluencies", True, SENT, CONFIG, schema=False, **MELIA),
    start(TRIGGER, 0.5, SENT, CONFIG, schema=False, **MELIA),
    start(TRIGGER, 0, SENT, FINE, **MELIA),
    start("audio_events_config", {}, SENT, CONFIG, schema=False, **MELIA),
    start("translation_config", {"target_languages": ["fr"]}, SENT, CONFIG, schema=False, **MELIA),
    change(f"{T}max_delay", 1, SENT, VALIDATION, **MELIA),
    change(TRIGGER, 0.5, SENT, CONFIG, schema=False, **MELIA),
    say("ForceEndOfUtterance", "timestamp", 1, NOT_ALLOWED, schema=False, **MELIA),

    start("translation_config.target_languages", ["fr"], SENT, FINE),
    start("translation_config.target_languages", ["fr", "de", "es", "it", "nl"], SENT, FINE),
    start("translation_config.target_languages", ["fr", "de", "es", "it", "nl", "pl"], DOUBTED, CONFIG),
    start("translation_config.target_languages", ["fr", "xx"], SENT, PAIR),
    start("translation_config.target_languages", [], REFUSED, NO_TARGET),
    start("translation_config.target_languages", ..., REFUSED, CONFIG),
    start("translation_config.target_languages", "fr", REFUSED, CONFIG),
    start("translation_config.enable_partials", True, SENT, FINE),
    start("translation_config.enable_partials", 1, REFUSED, CONFIG),
    start("audio_events_config", {}, SENT, FINE),
    start("audio_events_config.types", ["laughter", "applause", "music"], SENT, FINE),
    start("audio_events_config.types", ["rain"], REFUSED, CONFIG),
    start("conversation_config", {"end_of_utterance_silence_trigger": 1}, ALONE, MESSAGE),
    start("type", "transcription", ALONE, MESSAGE),
    start("transcription_config", ..., ALONE, CONFIG),

    change(f"{T}language", "en", ALONE, FINE),
    change(f"{T}language", "de", ALONE, CONFIG, schema=False),
    change(f"{T}language", "xx", ALONE, CONFIG),
    change(f"{T}max_delay", 0.7, SENT, FINE),
    change(f"{T}max_delay", 4, SENT, FINE),
    change(f"{T}max_delay", 4.01, REFUSED, CONFIG),
    change(f"{T}max_delay", 0.69, REFUSED, CONFIG),
    change(f"{T}max_delay", -0.1, REFUSED, CONFIG),
    change(f"{T}max_delay_mode", "fixed", SENT, FINE),
    change(f"{T}max_delay_mode", "loose", REFUSED, CONFIG),
    change(f"{T}enable_partials", False, SENT, FINE),
    change(f"{T}enable_partials", 0, REFUSED, CONFIG),
    change(f"{T}audio_filtering_config.volume_threshold", 100, SENT, FINE),
    change(f"{T}audio_filtering_config.volume_threshold", 101, REFUSED, CONFIG),
    change(TRIGGER, 2, SENT, FINE),
    change(TRIGGER, 3, REFUSED, CONFIG),
    change(f"{T}diarization", "none", REFUSED, CONFIG),
    change("translation_config", {"target_languages": ["fr"]}, ALONE, CONFIG),

    say("EndOfStream", "last_seq_no", 0, FINE),
    say("EndOfStream", "last_seq_no", -1, MESSAGE),
    say("EndOfStream", "last_seq_no", ..., MESSAGE),
    say("EndOfChannel", "channel", "left", FINE),
    say("EndOfChannel", "channel", ..., MESSAGE),
    say("EndOfChannel", "last_seq_no", 7, FINE),
    say("EndOfChannel", "last_seq_no", 0.5, MESSAGE),
    say("AddChannelAudio", "channel", "left", FINE),
    say("AddChannelAudio", "channel", ..., MESSAGE),
    say("AddChannelAudio", "data", "", FINE),
    say("AddChannelAudio", "data", "AAECAw==", FINE),
    say("AddChannelAudio", "data", "AAECAw=", MESSAGE),
    say("AddChannelAudio", "data", ..., MESSAGE),
    say("GetSpeakers", "final", True, FINE),
    say("GetSpeakers", "final", ..., FINE),
    say("GetSpeakers", "final", "yes", MESSAGE),
    say("ForceEndOfUtterance", "timestamp", 0, FINE),
    say("ForceEndOfUtterance", "timestamp", ..., FINE),
    say("ForceEndOfUtterance", "timestamp", -0.01, MESSAGE),
    say("ForceEndOfUtterance", "channel", "left", FINE),
    say("ForceEndOfUtterance", "channel", 1, MESSAGE),
]
# fmt: on

RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
BARE: dict[str, dict[str, Any]] = {
    "StartRecognition": {"audio_format": RAW, "transcription_config": {"language": "en"}},
    "SetRecognitionConfig": {"transcription_config": {}},
    "EndOfStream": {"last_seq_no": 3},
    "EndOfChannel": {"channel": "left", "last_seq_no": 3},
    "AddChannelAudio": {"channel": "left", "data": ""},
    "GetSpeakers": {},
    "ForceEndOfUtterance": {},
}
JUDGES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "StartRecognition": lambda message, _: check_start(message),
    "SetRecognitionConfig": lambda message, config: check_change(message, config)[1],
    "EndOfStream": lambda message, _: check_end(message),
    "EndOfChannel": lambda message, _: check_end(message),
    "AddChannelAudio": lambda message, _: read_channel_audio(message),
    "GetSpeakers": lambda message, _: check_get_speakers(message),
    "ForceEndOfUtterance": check_force,
}
_IN_LISTS = ("content", "sounds_like", "label", "speaker_identifiers", "from", "to")


def written(line: Line) -> dict[str, Any]:
    """Write the message of a line."""
    message: Any = {"message": line.message, **copy.deepcopy(BARE[line.message])}
    if line.message == "StartRecognition":
        message["transcription_config"].update(copy.deepcopy(dict(line.config)))
    *way, last = line.field.split(".")
    if last in _IN_LISTS and way and way[0] != last and line.message == "StartRecognition":
        *way, last = way  # the value is the list that the field is in
    place = message
    if line.field == "translation_config.enable_partials":
        message["translation_config"] = {"target_languages": ["fr"]}
    for step in way:
        place = place.setdefault(step, {})
    if line.value is ...:
        place.pop(last, None)
    else:
        place[last] = line.value
    return message


def named(line: Line) -> str:
    value = "" if line.value is ... else json.dumps(line.value)[:40]
    return f"{line.message}-{line.field}-{value}-{line.config.get('model', '')}"


def said_by_the_client(line: Line) -> str:
    message = written(line)
    try:
        if line.message == "SetRecognitionConfig":
            sent = set_recognition_config(line.config.get("language", "en"), message["transcription_config"])
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of operating_point
                sent = start_recognition(
                    **{name: part for name, part in message.items() if name != "message"}
                )
    except ConfigurationError:
        return REFUSED
    assert with_what_is_in(message, sent) == sent, "what was given was changed"
    return DOUBTED if [*doubts(sent)] else SENT


def with_what_is_in(asked: Any, sent: Any) -> Any:
    """Put all of a message into what was made of it."""
    if not isinstance(asked, dict) or not isinstance(sent, dict):
        return asked
    return {**sent, **{name: with_what_is_in(part, sent.get(name)) for name, part in asked.items()}}


def said_by_the_server(line: Line) -> list[str]:
    """Return what the local server says; of several Warnings each."""
    try:
        said = JUDGES[line.message](written(line), {"language": "en", **line.config})
    except Refused as refused:
        return [f"Error {refused.type}"]
    return [f"Warning {warning['type']}" for warning in said or ()] if isinstance(said, list) else []


def allowed_by_the_schema(line: Line) -> bool:
    try:
        check_client(written(line))
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("line", [line for line in LINES if line.client is not ALONE], ids=named)
def test_the_client_says_of_a_value(line: Line) -> None:
    assert said_by_the_client(line) == line.client


@pytest.mark.parametrize("line", LINES, ids=named)
def test_the_local_server_says_of_a_value(line: Line) -> None:
    said = said_by_the_server(line)
    assert line.server in said if said else line.server == FINE


@pytest.mark.parametrize("line", LINES, ids=named)
def test_the_schema_says_what_the_local_server_says(line: Line) -> None:
    agrees = allowed_by_the_schema(line) == (not line.server.startswith("Error"))
    assert agrees == line.schema


def fields_of(part: Any, defined: Mapping[str, Any]) -> Iterator[str]:
    """Name the innermost fields of a part of the schema; "" stands for the part itself."""
    if "$ref" in part:
        part = defined[part["$ref"].rpartition("/")[2]]
    forms = [part, *(part[form] for form in ("then", "else", "items") if form in part)]
    forms += [defined[form["$ref"].rpartition("/")[2]] for form in forms if "$ref" in form]
    forms += [form["else"] for form in forms[1:] if "else" in form]
    inner = [(name, value) for form in forms for name, value in form.get("properties", {}).items()]
    for name, value in inner:
        if value is not True and name != "message":
            yield from (f"{name}.{deeper}".rstrip(".") for deeper in fields_of(value, defined))
    if not inner:
        yield ""


def test_every_field_has_a_value_that_is_fine_and_one_that_is_not() -> None:
    defined = json.loads((Path(__file__).parent / "schemas" / "client.json").read_text("utf-8"))["$defs"]
    missing = []
    for message in JUDGES:
        for field in sorted(set(fields_of(defined[message], defined))):
            lines = [line for line in LINES if (line.message, line.field) == (message, field)]
            verdicts = {line.server.startswith("Error") for line in lines}
            if field and verdicts != {True, False}:
                missing.append((message, field, verdicts))
    assert not missing
