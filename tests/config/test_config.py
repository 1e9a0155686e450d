"""Options: what is accepted, what is refused and how the refusal reads, what goes on the wire."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import pickle
import ssl
import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import speechmatics_rt
from speechmatics_rt import Client
from speechmatics_rt.config import (
    AudioEncoding,
    AudioEventsConfig,
    AudioFormat,
    ConversationConfig,
    Model,
    OperatingPoint,
    SpeakerDiarizationConfig,
    SpeakerIdentifier,
    TranscriptionConfig,
    TranslationConfig,
    doubts,
    set_recognition_config,
    start_recognition,
)
from speechmatics_rt.config.connection import ConnectionConfig, ResumePolicy
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.stats import SessionInfo

OFFICIAL = {
    "AudioFormat": "encoding sample_rate chunk_size",
    "ConversationConfig": "end_of_utterance_silence_trigger",
    "SpeakerIdentifier": "label speaker_identifiers",
    "SpeakerDiarizationConfig": "max_speakers speaker_sensitivity prefer_current_speaker speakers",
    "TranscriptionConfig": "language model output_locale diarization additional_vocab punctuation_overrides "
    "domain enable_entities audio_filtering_config transcript_filtering_config max_delay max_delay_mode "
    "enable_partials speaker_diarization_config streaming_mode conversation_config ctrl "
    "channel_diarization_labels operating_point language_hints language_hints_strict",
    "TranslationConfig": "target_languages enable_partials",
    "AudioEventsConfig": "types",
    "SessionInfo": "request_id session_id sequence_number is_running",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_positional_arguments_mean_what_they_mean_in_the_official_sdk(name: str) -> None:
    names = [field.name for field in dataclasses.fields(getattr(speechmatics_rt, name))]
    assert names[: len(OFFICIAL[name].split())] == OFFICIAL[name].split()


def test_importing_warns_of_nothing() -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", "import speechmatics_rt.config.recognition"], check=True
    )


# -- audio format ------------------------------------------------------------------------------------


def test_no_encoding_is_a_file() -> None:
    assert AudioFormat().to_dict() == {"type": "file"}
    assert (AudioFormat().sample_rate, AudioFormat().chunk_size) == (44100, 4096)


@pytest.mark.parametrize(("encoding", "size"), [("pcm_f32le", 4), ("pcm_s16le", 2), ("mulaw", 1)])
def test_an_encoding_may_be_a_string_and_becomes_the_enum(encoding: str, size: int) -> None:
    given_as_string = AudioFormat(encoding, 8000)  # type: ignore[arg-type]
    assert given_as_string.encoding is AudioEncoding(encoding)
    assert given_as_string.bytes_per_sample == size
    wire = given_as_string.to_dict()
    assert wire == {"type": "raw", "encoding": encoding, "sample_rate": 8000}
    assert type(wire["encoding"]) is str


def test_a_mistyped_encoding_is_refused_with_the_three_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AudioFormat(encoding="pcm16")  # type: ignore[arg-type]
    assert str(caught.value) == "encoding is 'pcm16'; accepted: 'pcm_f32le', 'pcm_s16le', 'mulaw'"


@pytest.mark.parametrize("arguments", [("mulaw",), (AudioEncoding.PCM_S16LE,)])
def test_an_encoding_without_a_rate_warns_of_the_rate_that_is_assumed(arguments: Any) -> None:
    with pytest.warns(UserWarning, match="means 44100 Hz; give the sample_rate") as told:
        assert AudioFormat(*arguments).to_dict()["sample_rate"] == 44100
    assert told[0].filename == __file__
    assert type(AudioFormat().sample_rate) is int


def test_a_rate_that_is_given_is_no_doubt_even_if_it_is_the_default() -> None:
    audio = AudioFormat("mulaw", 44100)
    assert dataclasses.replace(audio, encoding="pcm_s16le").sample_rate == 44100
    assert AudioFormat() == dataclasses.replace(AudioFormat(), chunk_size=4096)


def test_an_encoding_assigned_later_is_checked_when_used() -> None:
    audio = AudioFormat(AudioEncoding.MULAW, 8000)
    audio.encoding = "pcm16"  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="pcm16"):
        audio.to_dict()
    with pytest.raises(ConfigurationError, match="pcm16"):
        _ = audio.bytes_per_sample
    audio.encoding = "pcm_s16le"  # type: ignore[assignment]
    assert audio.bytes_per_sample == 2


def test_a_file_has_no_sample_size() -> None:
    with pytest.raises(ValueError, match="encoding"):
        _ = AudioFormat().bytes_per_sample


@pytest.mark.parametrize("rate", [0, -1, 16000.0, "16000", None, True])
def test_a_sample_rate_is_a_positive_whole_number(rate: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"sample_rate is {rate!r}|sample_rate is missing"):
        AudioFormat(AudioEncoding.PCM_S16LE, rate).to_dict()


def test_a_chunk_holds_whole_samples() -> None:
    with pytest.raises(
        ConfigurationError, match="chunk_size is 4095; accepted: whole samples, here 2 bytes each"
    ):
        AudioFormat(AudioEncoding.PCM_S16LE, 16000, 4095).check()
    AudioFormat(AudioEncoding.MULAW, 8000, 4095).check()
    AudioFormat(chunk_size=4095).check()
    with pytest.raises(ConfigurationError, match="chunk_size is 0"):
        AudioFormat(chunk_size=0).check()
    AudioFormat(chunk_size=2**24).check()
    for size in (2**24 + 1, 2**40, 10**400):  # which would be asked of the memory before anything is read
        with pytest.raises(ConfigurationError, match="a whole number of bytes, 1 to 16777216"):
            AudioFormat("pcm_s16le", 16000, chunk_size=size).check()


def test_numbers_of_other_libraries_become_plain_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    wire = AudioFormat(AudioEncoding.MULAW, numpy.int64(8000)).to_dict()
    assert type(wire["sample_rate"]) is int
    assert type(TranscriptionConfig(max_delay=numpy.float32(1.5)).to_dict()["max_delay"]) is float


def test_the_wire_form_of_a_format_is_read_back() -> None:
    audio = AudioFormat(AudioEncoding.PCM_S16LE, 16000)
    assert AudioFormat.from_dict(audio.to_dict()) == audio
    assert AudioFormat.from_dict({"type": "file"}) == AudioFormat()
    for raw in ({"type": "raw", "encoding": "pcm_s16le"}, {"encoding": AudioEncoding.MULAW}):
        with pytest.raises(ConfigurationError, match="sample_rate is missing"):
            AudioFormat.from_dict(raw)
    with pytest.raises(ConfigurationError, match="type is 'raw'"):
        AudioFormat.from_dict({"type": "raw", "sample_rate": 16000})


# -- transcription -----------------------------------------------------------------------------------


def test_the_least_config_names_language_and_model() -> None:
    assert TranscriptionConfig().to_dict() == {"language": "en", "model": "enhanced"}
    assert TranscriptionConfig(model="standard").to_dict() == {"language": "en", "model": "standard"}
    assert TranscriptionConfig(model=Model.MELIA_1).to_dict() == {"language": "en", "model": "melia-1"}
    assert TranscriptionConfig(model=None).to_dict() == {"language": "en"}


def test_operating_point_still_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="use model") as caught:
        config = TranscriptionConfig(operating_point=OperatingPoint.STANDARD)
    assert caught[0].filename == __file__
    assert config.to_dict() == {"language": "en", "operating_point": "standard"}
    for copied in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert copied.to_dict() == config.to_dict()


def test_one_setting_by_two_names_is_refused() -> None:
    with pytest.raises(ValueError, match="model alone"):
        TranscriptionConfig(model="standard", operating_point="standard")
    config = TranscriptionConfig()
    config.operating_point = "standard"
    with pytest.raises(ConfigurationError, match="'enhanced' and operating_point is 'standard'"):
        config.to_dict()


def test_parts_may_be_dataclasses_or_mappings() -> None:
    typed = TranscriptionConfig(
        conversation_config=ConversationConfig(0.5),
        speaker_diarization_config=SpeakerDiarizationConfig(speakers=[SpeakerIdentifier("A", ["x"])]),
    )
    plain = TranscriptionConfig(
        conversation_config=MappingProxyType({"end_of_utterance_silence_trigger": 0.5}),
        speaker_diarization_config={
            "max_speakers": None,
            "speakers": ({"label": "A", "speaker_identifiers": ("x",)},),
        },
    )
    assert typed.to_dict() == plain.to_dict()
    assert json.loads(json.dumps(plain.to_dict())) == plain.to_dict()


def test_a_config_is_neither_changed_nor_aliased() -> None:
    words: list[Any] = ["Ravelin", {"content": "Quillon", "sounds_like": ["kwill on"]}]
    config = TranscriptionConfig(additional_vocab=words, ctrl={"a": {"b": [1]}})
    before = copy.deepcopy(config)
    wire = config.to_dict()
    wire["additional_vocab"][1]["sounds_like"].append("x")
    wire["ctrl"]["a"]["b"].append(2)
    assert config == before
    assert config.to_dict() != wire


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"language": ""}, "language is ''; accepted: a non-empty string"),
    ({"language": None}, "language is missing"),
    ({"max_delay": -1}, "max_delay is -1; accepted: a number of seconds, 0 or more"),
    ({"conversation_config": {"end_of_utterance_silence_trigger": 5}}, "the range the service documents"),
    ({"max_delay": float("nan")}, "max_delay is nan"),
    ({"max_delay": "2"}, "max_delay is '2'"),
    ({"max_delay_mode": "flex"}, "accepted: 'flexible', 'fixed'"),
    ({"enable_partials": 1}, "enable_partials is 1; accepted: True or False"),
    ({"enable_entities": "yes"}, "enable_entities is 'yes'"),
    ({"diarization": "speaker_change"}, "diarization is 'speaker_change'; accepted: 'none', 'speaker'"),
    ({"diarization": "channel"}, "channel_diarization_labels is missing"),
    ({"diarization": "channel", "channel_diarization_labels": []}, "a list without repetitions of 1 or more"),
    ({"diarization": "channel", "channel_diarization_labels": ["a", "a"]}, "without repetitions"),
    ({"diarization": "channel", "channel_diarization_labels": "ab"}, "channel_diarization_labels is 'ab'"),
    (
        {"diarization": "channel", "channel_diarization_labels": [["a"]]},
        "channel_diarization_labels[0] is ['a']",
    ),
    ({"additional_vocab": "word"}, "additional_vocab is 'word'; accepted: a list"),
    ({"additional_vocab": ["a", ""]}, "additional_vocab[1] is ''"),
    ({"additional_vocab": [{"sounds_like": ["a"]}]}, "additional_vocab[0].content is missing"),
    ({"additional_vocab": [{"content": "a", "sounds_like": []}]}, "additional_vocab[0].sounds_like is []"),
    ({"additional_vocab": [{"content": "a", "sound_like": ["b"]}]}, "did you mean 'sounds_like'?"),
    (
        {"punctuation_overrides": {"permitted_marks": ["..."]}},
        "punctuation_overrides.permitted_marks is ['...']",
    ),
    ({"punctuation_overrides": {"sensitivity": 2}}, "0 to 1"),
    ({"audio_filtering_config": {"volume_threshold": 101}}, "0 to 100"),
    ({"audio_filtering_config": 3}, "a mapping of volume_threshold"),
    ({"transcript_filtering_config": {"replacements": [{"from": "a"}]}}, "replacements[0].to is missing"),
    ({"transcript_filtering_config": {"replacements": {"from": "a", "to": "b"}}}, "accepted: a list"),
    ({"conversation_config": {"end_of_utterance_silence_trigger": 2.1}}, "a number of seconds, 0 to 2"),
    ({"conversation_config": ConversationConfig(-1)}, "end_of_utterance_silence_trigger is -1"),
    ({"language_hints_strict": True}, "without language_hints"),
    ({"language_hints": ["en"], "language_hints_strict": False}, "language_hints_strict is False"),
    (
        {"speaker_diarization_config": {"max_speakers": 1}},
        "max_speakers is 1; accepted: a whole number, 2 or more",
    ),
    ({"speaker_diarization_config": {"speaker_sensitivity": 1.1}}, "speaker_sensitivity is 1.1"),
    ({"speaker_diarization_config": {"speakers": [SpeakerIdentifier()]}}, "speakers[0].label is ''"),
]


MISPLACED = [
    ("translation_config", {"target_languages": ["de"]}, "pass translation_config= to transcribe"),
    ("target_languages", ["de"], "pass translation_config= to transcribe"),
    ("audio_events_config", {}, "pass audio_events_config= to transcribe"),
    ("audio_format", {"type": "file"}, "pass audio_format= to transcribe"),
    ("sample_rate", 8000, "pass audio_format= to transcribe"),
    ("transcription_config", {"language": "en"}, "give what is in it alone"),
    ("end_of_utterance_silence_trigger", 0.5, "put it into conversation_config"),
    ("max_speakers", 2, "put it into speaker_diarization_config"),
    ("speakers", [], "put it into speaker_diarization_config"),
    ("replacements", [], "put it into transcript_filtering_config"),
    ("permitted_marks", ["."], "put it into punctuation_overrides"),
    ("volume_threshold", 5, "put it into audio_filtering_config"),
]


@pytest.mark.parametrize(("name", "value", "told"), MISPLACED, ids=[name for name, *_ in MISPLACED])
def test_a_field_in_the_wrong_place_is_refused_with_the_right_one(name: str, value: Any, told: str) -> None:
    message = {"message": "StartRecognition", "language": "en", name: value}
    with pytest.raises(ConfigurationError, match=f"'{name}' is not a field of TranscriptionConfig; {told}"):
        start_recognition(message, AudioFormat())
    with pytest.raises(ConfigurationError, match=told):
        config = TranscriptionConfig()
        setattr(config, name, value)
        config.check()
    sent_as_it_is = TranscriptionConfig(extra={name: value})
    assert sent_as_it_is.to_dict()[name] == value


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_the_service_would_refuse_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TranscriptionConfig(**options).to_dict()
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_assigned_value_is_checked_when_used() -> None:
    config = TranscriptionConfig()
    config.max_delay = -10
    with pytest.raises(ConfigurationError, match="max_delay is -10"):
        config.check()


@pytest.mark.parametrize(
    ("config", "name", "meant"),
    [
        (TranscriptionConfig(), "langage", "language"),
        (AudioFormat("pcm_s16le", 16000), "samplerate", "sample_rate"),
        (TranslationConfig(target_languages=["de"]), "target_language", "target_languages"),
        (ConnectionConfig(), "open_timout", "open_timeout"),
        (ResumePolicy(), "max_attempt", "max_attempts"),
    ],
)
def test_a_slip_of_the_pen_in_an_assignment_is_told_when_used(config: Any, name: str, meant: str) -> None:
    setattr(config, name, 5)
    with pytest.raises(ConfigurationError, match=f"'{name}' is not a field of .*did you mean '{meant}'"):
        config.check()


def test_what_a_subclass_keeps_in_a_config_is_its_own_affair() -> None:
    class Tenants(TranscriptionConfig):
        tenant = "red"

    config = Tenants()
    config.tenant, config._seen = "blue", 1  # type: ignore[attr-defined]
    assert config.to_dict()["language"] == "en"


def test_what_was_assigned_to_the_options_of_a_client_is_checked_when_it_is_made() -> None:
    config, policy = ConnectionConfig(), ResumePolicy()
    config.open_timeout, policy.max_attempts = -1, 0
    for wrong, name in (({"conn_config": config}, "open_timeout"), ({"resume": policy}, "max_attempts")):
        with pytest.raises(ConfigurationError, match=name):
            Client(url="ws://127.0.0.1:1/v2", **wrong)


@pytest.mark.parametrize("label", ["", "UU", "S1", "S23", " Alice", "Alice ", "\tA", 5, None])
def test_labels_the_service_keeps_for_itself_are_refused(label: Any) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        SpeakerIdentifier(label, ["x"]).check()


@pytest.mark.parametrize("label", ["Alice", "S", "SS1", "s1", "UU2", "Dr. No"])
def test_other_labels_are_accepted(label: str) -> None:
    SpeakerIdentifier(label, ["x"]).check()


def test_at_most_fifty_identifiers_each_once() -> None:
    def speakers(*identifiers: list[str]) -> SpeakerDiarizationConfig:
        return SpeakerDiarizationConfig(
            speakers=[SpeakerIdentifier(f"Speaker {n}", own) for n, own in enumerate(identifiers)]
        )

    speakers([str(n) for n in range(25)], [str(n) for n in range(25, 50)]).check()
    with pytest.raises(ConfigurationError, match="51 identifiers; accepted: at most 50"):
        speakers([str(n) for n in range(25)], [str(n) for n in range(25, 51)]).check()
    with pytest.raises(ConfigurationError, match="twice"):
        speakers(["a"], ["a"]).check()
    with pytest.raises(ConfigurationError, match=r"speaker_identifiers is \[\]"):
        speakers([]).check()


def test_what_is_assigned_and_is_no_field_is_refused_as_it_would_not_be_sent() -> None:
    config = TranscriptionConfig()
    config.agent_mode = True  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"'agent_mode' is not a field of .* extra=\{'agent_mode': "):
        config.to_dict()
    assert TranscriptionConfig(extra={"agent_mode": True}).to_dict()["agent_mode"] is True


def test_what_nothing_can_hold_is_refused_with_what_is_accepted_however_it_is_given() -> None:
    told = r"'mood'.*; accepted: label, speaker_identifiers"
    with pytest.raises(ConfigurationError, match=told):
        SpeakerIdentifier.from_dict({"label": "Ann", "speaker_identifiers": ["a"], "mood": "calm"})
    with pytest.raises(TypeError, match=told):
        SpeakerIdentifier("Ann", ["a"], mood="calm")  # type: ignore[call-arg]
    ann = SpeakerIdentifier("Ann", ["a"])
    ann.mood = "calm"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=told):
        ann.to_dict()


def test_a_mapping_becomes_a_config_or_names_its_mistake() -> None:
    config = TranscriptionConfig.from_dict({"language": "de", "conversation_config": {}})
    assert config.to_dict() == {"language": "de", "model": "enhanced", "conversation_config": {}}
    with pytest.raises(
        ConfigurationError,
        match=r"'max_dely' is not a field of TranscriptionConfig; did you mean 'max_delay'\?",
    ):
        TranscriptionConfig.from_dict({"max_dely": 1})
    with pytest.raises(ConfigurationError, match="max_delay is nan"):
        TranscriptionConfig.from_dict({"max_delay": float("nan")})
    with pytest.raises(ConfigurationError, match="target_languages is missing"):
        TranslationConfig.from_dict({})


# -- what is for the server to say ---------------------------------------------------------------------


def test_what_servers_differ_in_goes_out_and_is_what_the_cloud_documents_otherwise() -> None:
    wire = start_recognition(
        {"language": "en", "max_delay": 0.3, "mood": "calm", "conversation_config": {"patience": 2}},
        AudioFormat(),
        TranslationConfig(["fr"] * 6),
        {"loudness": True},
    )
    assert wire["transcription_config"]["max_delay"] == 0.3
    assert wire["transcription_config"]["mood"] == "calm"
    assert wire["transcription_config"]["conversation_config"] == {"patience": 2}
    assert len(wire["translation_config"]["target_languages"]) == 6
    assert wire["audio_events_config"] == {"loudness": True}
    assert sorted(doubts(wire)) == [
        "audio_events_config.loudness is not documented",
        "max_delay is 0.3, where 0.7 to 4 is documented",
        "target_languages has 6 entries, where at most 5 are documented",
        "transcription_config.conversation_config.patience is not documented",
        "transcription_config.mood is not documented",
    ]
    assert not list(doubts(start_recognition({"language": "en", "max_delay": 4}, AudioFormat())))
    changed = set_recognition_config("en", {"mood": "brisk", "max_delay": 3})
    assert changed["transcription_config"] == {"language": "en", "mood": "brisk", "max_delay": 3}
    assert len(list(doubts(changed))) == 1


@pytest.mark.parametrize(
    "kind",
    [
        ConversationConfig,
        SpeakerDiarizationConfig,
        TranscriptionConfig,
        AudioEventsConfig,
        lambda **more: TranslationConfig(["fr"], **more),
    ],
)
def test_fields_of_previews_are_given_as_such(kind: Any) -> None:
    config = kind(extra={"mood": {"calm": True, "left_out": None}})
    assert config.to_dict()["mood"] == {"calm": True}
    assert "extra" not in config.to_dict()
    assert type(config).from_dict(config.to_dict()).to_dict() == config.to_dict()
    assert type(config).from_dict({**kind().to_dict(), "extra": {"mood": 1}}).to_dict()["mood"] == 1
    assert kind(extra={}).to_dict() == kind().to_dict()
    assert pickle.loads(pickle.dumps(config)) == config
    known = next(iter(type(config)._fields.rules))
    for wrong in (5, "mood", ["mood"], {known: 1}, {5: 1}):
        with pytest.raises(ConfigurationError, match="extra"):
            kind(extra=wrong).to_dict()


def test_extra_fields_of_a_part_reach_the_wire_and_a_wrong_one_is_refused_there_too() -> None:
    config = TranscriptionConfig(conversation_config=ConversationConfig(0.5, extra={"patience": 2}))
    assert config.to_dict()["conversation_config"] == {"end_of_utterance_silence_trigger": 0.5, "patience": 2}
    config.conversation_config = ConversationConfig(extra=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="extra is 5"):
        config.to_dict()


def test_a_name_that_is_nearly_known_goes_out_when_it_is_given_as_extra() -> None:
    config = TranscriptionConfig(
        extra={"max_delays": 1},
        conversation_config=ConversationConfig(extra={"end_of_utterance_silence_triggers": 2}),
    )
    wire = config.to_dict()
    assert wire["max_delays"] == 1
    assert wire["conversation_config"] == {"end_of_utterance_silence_triggers": 2}
    changed = set_recognition_config("en", {"conversation_config": config.conversation_config})
    assert changed["transcription_config"]["conversation_config"] == wire["conversation_config"]
    for mistaken in ({"max_delays": 1}, {"conversation_config": {"end_of_utterance_silence_triggers": 2}}):
        with pytest.raises(ConfigurationError, match="did you mean"):
            start_recognition(mistaken, AudioFormat())
    with pytest.raises(
        ConfigurationError, match=r"conversation_config\.end_of_utterance_silence_trigger is 9"
    ):
        TranscriptionConfig(conversation_config=ConversationConfig(9)).check()
    with pytest.raises(ConfigurationError, match="conversation_config"):
        TranscriptionConfig(conversation_config=AudioFormat()).check()  # type: ignore[arg-type]


def test_what_is_for_the_client_alone_takes_nothing_unknown() -> None:
    for kind in (AudioFormat, ConnectionConfig, ResumePolicy):
        with pytest.raises(ConfigurationError, match="'zzz' is not a field"):
            kind.from_dict({"zzz": 1})


def test_a_deprecated_name_in_a_mapping_is_warned_of_where_the_mapping_is_used() -> None:
    with pytest.warns(DeprecationWarning, match="use model") as caught:
        TranscriptionConfig.from_dict({"operating_point": "standard"})
    assert caught[0].filename == __file__


_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "language": st.sampled_from(["en", "cmn_en"]),
        "model": st.sampled_from([None, "standard", Model.ENHANCED]),
        "max_delay": st.floats(0.7, 4),
        "enable_partials": st.booleans() | st.none(),
        "conversation_config": st.builds(ConversationConfig, st.none() | st.floats(0, 2)),
        "language_hints": st.lists(st.text(min_size=1), max_size=3),
        "ctrl": st.dictionaries(st.text(), st.none() | st.lists(st.integers())),
    },
)


@given(_OPTIONS)
def test_the_wire_form_is_plain_has_no_none_and_builds_the_same_config(options: dict[str, Any]) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str and plain(part) for key, part in value.items())
        return all(map(plain, value)) if type(value) is list else type(value) in (str, int, float, bool)

    wire = TranscriptionConfig(**options).to_dict()
    assert plain(wire)
    assert TranscriptionConfig.from_dict({"model": None, **wire}).to_dict() == wire


# -- translation, events, connection -----------------------------------------------------------------


def test_translation_takes_at_least_one_language() -> None:
    assert TranslationConfig(["fr"], True).to_dict() == {"target_languages": ["fr"], "enable_partials": True}
    for languages in ([], "fr", None, [""]):
        with pytest.raises(ConfigurationError, match="target_languages"):
            TranslationConfig(languages).to_dict()  # type: ignore[arg-type]


def test_audio_events_are_all_unless_named() -> None:
    assert AudioEventsConfig().to_dict() == {}
    assert AudioEventsConfig(["music"]).to_dict() == {"types": ["music"]}
    with pytest.raises(
        ConfigurationError, match=r"types\[0\] is 'musik'; accepted: 'laughter', 'applause', 'music'"
    ):
        AudioEventsConfig(["musik"]).to_dict()


def test_connection_options_have_the_documented_defaults() -> None:
    config = ConnectionConfig()
    assert config.to_dict() == {
        "open_timeout": 10,
        "start_timeout": 30,
        "send_timeout": 120,
        "end_timeout": 60,
        "close_timeout": 5,
        "ping_interval": 20,
        "ping_timeout": 60,
        "max_size": 2**24,
        "max_queue": 1000,
        "window_frames": 500,
        "window_seconds": 10,
    }
    assert (config.ssl_context, config.proxy, config.read_limit, config.write_limit) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open_timeout", -1),
        ("ping_interval", "20"),
        ("ping_interval", 0),
        ("ping_interval", 0.001),
        ("ping_timeout", 0),
        ("open_timeout", float("nan")),
        ("open_timeout", True),
        ("end_timeout", float("inf")),
        ("max_size", 0),
        ("max_queue", 1.5),
        ("window_frames", 0),
        ("ssl_context", True),
        ("proxy", 3),
    ],
)
def test_connection_options_are_checked_at_once(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is {value!r}"):
        ConnectionConfig(**{name: value})


@pytest.mark.parametrize(
    "value",
    [10**400, 10**5000, type("Odd", (), {"__repr__": lambda self: 1 / 0})()],
    ids=["long", "too long for Python", "without a text"],
)
def test_a_value_that_can_hardly_be_shown_is_refused_all_the_same(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="open_timeout is ") as caught:
        ConnectionConfig(open_timeout=value)
    assert len(str(caught.value)) < 200


def test_every_limit_can_be_lifted() -> None:
    names = [field.name for field in dataclasses.fields(ConnectionConfig)]
    assert ConnectionConfig(**dict.fromkeys(names)).to_dict() == {}


def test_a_tls_context_is_kept_out_of_the_dictionary_and_a_proxy_out_of_the_log() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    config = ConnectionConfig(ssl_context=context, proxy="http://user:secret@host:8080")
    assert config.ssl_context is context
    assert "ssl_context" not in config.to_dict()
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    "make",
    [
        TranscriptionConfig,
        ConnectionConfig,
        ResumePolicy,
        lambda **options: AudioFormat("pcm_s16le", 8000, **options),
        lambda **options: SpeakerIdentifier("Ann", ["a"], **options),
    ],
)
def test_a_config_is_what_its_options_are_as_with_any_dataclass(make: Any) -> None:
    config = make()
    as_ever = dataclasses.make_dataclass(
        type(config).__qualname__,
        [(one.name, Any, dataclasses.field(repr=one.repr)) for one in dataclasses.fields(config)],
    )(**{one.name: getattr(config, one.name) for one in dataclasses.fields(config)})
    assert repr(config) == repr(as_ever)
    assert config == make() == copy.deepcopy(config)
    assert config != as_ever
    other = dataclasses.replace(config)
    setattr(other, dataclasses.fields(config)[-1].name, 7)
    assert config != other
    with pytest.raises(TypeError, match="unhashable"):
        hash(config)


def test_a_resume_policy_is_checked_at_once() -> None:
    policy = ResumePolicy()
    assert [getattr(policy, field.name) for field in dataclasses.fields(policy)] == [
        10,
        0.5,
        30,
        5,
        300,
        600,
        4,
    ]
    for options in ({"max_attempts": 0}, {"min_delay": -1}, {"replay_speed": 0.5}, {"max_delay": None}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            ResumePolicy(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"max_delay is 0\.1; accepted: min_delay"):
        ResumePolicy(max_delay=0.1)


def test_session_info_starts_empty() -> None:
    assert SessionInfo("7f3c") == SessionInfo("7f3c", None, 0, False)


# -- messages ----------------------------------------------------------------------------------------


def test_start_recognition_puts_each_config_in_its_place() -> None:
    message = start_recognition(
        TranscriptionConfig(conversation_config=ConversationConfig(0.5)),
        AudioFormat(AudioEncoding.PCM_S16LE, 16000),
        TranslationConfig(["fr"]),
        AudioEventsConfig(),
    )
    assert message == {
        "message": "StartRecognition",
        "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
        "transcription_config": {
            "language": "en",
            "model": "enhanced",
            "conversation_config": {"end_of_utterance_silence_trigger": 0.5},
        },
        "translation_config": {"target_languages": ["fr"]},
        "audio_events_config": {},
    }


def test_start_recognition_takes_mappings_and_refuses_anything_else() -> None:
    message = start_recognition(
        {"language": "en"}, {"encoding": "mulaw", "sample_rate": 8000}, {"target_languages": ["fr"]}, {}
    )
    assert message["audio_format"] == {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
    assert message["translation_config"] == {"target_languages": ["fr"]}
    assert message["audio_events_config"] == {}
    with pytest.raises(
        ConfigurationError,
        match="transcription_config is 'en'; accepted: a TranscriptionConfig, or a mapping",
    ):
        start_recognition("en", AudioFormat())  # type: ignore[arg-type]


def test_five_fields_can_change_in_a_session() -> None:
    message = set_recognition_config(
        "en",
        {
            "max_delay": 1,
            "max_delay_mode": "fixed",
            "enable_partials": False,
            "audio_filtering_config": {},
            "conversation_config": ConversationConfig(1),
        },
    )
    assert message == {
        "message": "SetRecognitionConfig",
        "transcription_config": {
            "language": "en",
            "max_delay": 1,
            "max_delay_mode": "fixed",
            "enable_partials": False,
            "audio_filtering_config": {},
            "conversation_config": {"end_of_utterance_silence_trigger": 1},
        },
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"domain": "medical", "max_delay": 1, "model": "standard"},
            "'domain', 'model' can't change during a session",
        ),
        ({"language": "de"}, "'language' can't change"),
        ({"max_delay": -9}, "max_delay is -9"),
        ({"max_delay": 99}, "max_delay is 99; accepted: a number of seconds, 0.7 to 4"),
        ({"end_of_utterance_silence_trigger": 1}, "message; put it into conversation_config"),
        ({"volume_threshold": 1}, "message; put it into audio_filtering_config"),
        ({"max_dely": 9}, "did you mean 'max_delay'?"),
        ({}, "nothing to change"),
        ({"max_delay": None}, "nothing to change"),
    ],
)
def test_other_changes_are_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        set_recognition_config("en", changes)
    assert said in str(caught.value)


def test_enums_compare_with_their_strings() -> None:
    for kind in (AudioEncoding, Model, OperatingPoint):
        assert issubclass(kind, (str, enum.Enum))
    assert [model.value for model in Model] == [point.value for point in OperatingPoint]
