"""The whole surface: each field can be set and is seen by the server, each message is heard as it was said.

The tables are compared with the schemas, so that a field or message that is added there has to be added here.
"""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AudioEventsConfig,
    AudioFormat,
    Client,
    ClientMessageType,
    ConnectionConfig,
    ConversationConfig,
    Model,
    MultiChannelClient,
    ServerMessageType,
    SpeakerDiarizationConfig,
    SpeakerIdentifier,
    TranscriptionConfig,
    TranscriptResult,
    TranslationConfig,
    messages,
    transcribe_many,
)
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.session import SourceOptions

from .test_schemas import SERVER

SCHEMAS = Path(__file__).parent / "schemas"
SAYS = json.loads((SCHEMAS / "client.json").read_text(encoding="utf-8"))["$defs"]
HEARS = json.loads((SCHEMAS / "server.json").read_text(encoding="utf-8"))["$defs"]
PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)

# What a caller sets, and what has to be on the wire.
FIELDS: dict[str, tuple[Any, Any]] = {
    "language": ("en", "en"),
    "model": (Model.STANDARD, "standard"),
    "domain": ("medical", "medical"),
    "output_locale": ("en-GB", "en-GB"),
    "additional_vocab": (["Ravelin", {"content": "Quillon", "sounds_like": ["kwill on"]}],) * 2,
    "diarization": ("speaker", "speaker"),
    "speaker_diarization_config": (
        SpeakerDiarizationConfig(
            max_speakers=3,
            speaker_sensitivity=0.4,
            prefer_current_speaker=True,
            get_speakers=True,
            speakers=[SpeakerIdentifier("Alice", ["b3BhcXVl"])],
        ),
        {
            "max_speakers": 3,
            "speaker_sensitivity": 0.4,
            "prefer_current_speaker": True,
            "get_speakers": True,
            "speakers": [{"label": "Alice", "speaker_identifiers": ["b3BhcXVl"]}],
        },
    ),
    "max_delay": (1.5, 1.5),
    "max_delay_mode": ("fixed", "fixed"),
    "enable_partials": (True, True),
    "enable_entities": (True, True),
    "punctuation_overrides": ({"permitted_marks": [".", ","], "sensitivity": 0.4},) * 2,
    "audio_filtering_config": ({"volume_threshold": 12.5},) * 2,
    "transcript_filtering_config": (
        {"remove_disfluencies": True, "replacements": [{"from": "door", "to": "gate"}]},
    )
    * 2,
    "conversation_config": (
        ConversationConfig(end_of_utterance_silence_trigger=0.6),
        {"end_of_utterance_silence_trigger": 0.6},
    ),
    "language_hints": (["en", "de"], ["en", "de"]),
}
ELSEWHERE = {
    "operating_point",  # the deprecated alias of model, below
    "channel_diarization_labels",  # of several channels, below
    "language_hints_strict",  # only with hints, below
    "streaming_mode",
    "ctrl",  # internal flags that clients pass on
}


def started(config: Any, **options: Any) -> dict[str, Any]:
    """Run a short session and return the StartRecognition that the server read."""
    with LocalServer() as server, Client(url=server.url) as client:
        client.transcribe(SECOND, audio_format=PCM, transcription_config=config, **options)
        start: dict[str, Any] = server.sessions[0].start
        return start


def test_the_table_has_every_field_of_the_schema() -> None:
    fields = set(SAYS["transcription_config"]["properties"])
    assert fields - ELSEWHERE == set(FIELDS)
    assert fields <= set(TranscriptionConfig.__dataclass_fields__)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_set_and_reaches_the_server_as_the_service_wants_it(field: str) -> None:
    given, on_the_wire = FIELDS[field]
    more = {"diarization": "speaker"} if field == "speaker_diarization_config" else {}
    config = TranscriptionConfig(**{"language": "en", **more, field: given})
    assert started(config)["transcription_config"][field] == on_the_wire


def test_the_fields_that_need_another() -> None:
    with pytest.warns(DeprecationWarning, match="model"):
        config = TranscriptionConfig(operating_point="standard")
    sent = started(config)["transcription_config"]
    assert (sent["operating_point"], "model" in sent) == ("standard", False)
    config = TranscriptionConfig(language_hints=["en"], language_hints_strict=True)
    assert started(config)["transcription_config"]["language_hints_strict"] is True


def test_every_field_at_once_and_the_same_as_a_mapping() -> None:
    given = {field: value for field, (value, _) in FIELDS.items()}
    sent = started(TranscriptionConfig(**given))["transcription_config"]
    assert sent == {field: wire for field, (_, wire) in FIELDS.items()}
    assert started(sent)["transcription_config"] == sent


OPTIONS: dict[str, Any] = {  # of a session that sends a source
    "transcription_config": TranscriptionConfig(**{name: value for name, (value, _) in FIELDS.items()}),
    "audio_format": PCM,
    "translation_config": TranslationConfig(["fr"]),
    "audio_events_config": AudioEventsConfig(["music"]),
    "ws_headers": {"X-Department": "archive"},
    "timeout": 30.0,
    "speed": 4.0,
}


@pytest.mark.parametrize("source", [SECOND, {"agent": SECOND}], ids=["one", "channels"])
def test_many_sources_are_asked_for_as_one_is(source: Any) -> None:
    """Whatever one call sends for an option, a run sends as well; there is no option that it lacks."""
    assert OPTIONS.keys() == SourceOptions.__annotations__.keys()
    options = dict(OPTIONS)
    if isinstance(source, dict):
        options["transcription_config"] = TranscriptionConfig(max_delay=1.5)
    client = {"app": "archive", "sdk_identifier": "mine", "keep_transcript": 60}
    with LocalServer() as server:
        one = MultiChannelClient if isinstance(source, dict) else Client
        with one(url=server.url, **client) as asked:
            asked.transcribe(source, **options)
        outcomes = list(transcribe_many([source] * 2, url=server.url, **client, **options))
        assert all(outcome.ok for outcome in outcomes)
        as_one, *others = server.sessions
        for record in others:
            assert record.start == as_one.start
            assert record.headers["x-department"] == "archive"
            assert record.query == as_one.query
        assert len(others) == 2


def test_many_sources_are_asked_for_with_every_option_of_a_client() -> None:
    of_one = signature(Client).parameters.keys()
    own = {"sources", "executor", "max_sessions", "limiter", "on_progress"}
    assert signature(transcribe_many).parameters.keys() - own == of_one | SourceOptions.__annotations__.keys()


@pytest.mark.parametrize("encoding", ["pcm_f32le", "pcm_s16le", "mulaw"])
def test_every_encoding_is_spoken(encoding: str) -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        client.transcribe(SECOND, audio_format=AudioFormat(encoding, 8000))
        start = server.sessions[0].start
    assert start["audio_format"] == {"type": "raw", "encoding": encoding, "sample_rate": 8000}


def test_translation_and_audio_events_stand_at_the_top() -> None:
    start = started(
        None,
        translation_config=TranslationConfig(["fr", "de"], enable_partials=True),
        audio_events_config=AudioEventsConfig(["laughter"]),
    )
    assert start["translation_config"] == {"target_languages": ["fr", "de"], "enable_partials": True}
    assert start["audio_events_config"] == {"types": ["laughter"]}
    assert started(None, audio_events_config=AudioEventsConfig())["audio_events_config"] == {}


def test_every_message_of_a_client_can_be_said() -> None:
    said = set()
    config = TranscriptionConfig(diarization="speaker")
    with LocalServer() as server, Client(url=server.url) as client:
        client.start_session(audio_format=PCM, transcription_config=config)
        client.send_audio(SECOND)
        client.get_speakers(final=True)
        client.update_config(max_delay=1.0)
        client.force_end_of_utterance()
        client.stop_session()
        said |= {message["message"] for message in server.sessions[0].messages}
    with LocalServer() as server, MultiChannelClient(url=server.url) as client:
        client.transcribe({"a": SECOND, "b": SECOND}, audio_format=PCM)
        said |= {message["message"] for message in server.sessions[0].messages}
    unreleased = {"PauseRecognition", "ResumeRecognition"}
    assert said == {member.value for member in ClientMessageType} - unreleased
    assert {kind for kind in SAYS if kind[0].isupper()} | {"AddAudio"} == said | unreleased


def test_the_enumerations_name_every_message_of_the_schemas() -> None:
    assert {member.value for member in ServerMessageType} == {kind for kind in HEARS if kind[0].isupper()}
    assert set(SERVER) == {member.value for member in ServerMessageType}


@pytest.mark.parametrize("kind", sorted(set(SERVER) - {"RecognitionStarted", "EndOfTranscript", "Error"}))
def test_every_message_of_the_service_is_heard_untouched_by_callback_and_iterator(kind: str) -> None:
    message = SERVER[kind]
    called: list[dict[str, Any]] = []
    fault = Fault.message(message, after_seconds=0.5)
    with LocalServer(faults=[fault]) as server, Client(url=server.url) as client:
        client.on(kind, called.append)
        iterated = list(client.stream(SECOND * 2, audio_format=PCM))
    assert message in called
    if kind not in ("AudioAdded", "ChannelAudioAdded"):
        assert message in iterated


@pytest.mark.parametrize("kind", ["AddTranscript", "AddPartialTranscript"])
def test_a_transcript_becomes_an_object_and_back_without_loss(kind: str) -> None:
    message = SERVER[kind]
    assert TranscriptResult.from_message(message).to_dict() == message


@pytest.mark.parametrize("kind", sorted(SERVER))
def test_every_message_has_a_typed_dict_with_every_field_of_its_schema(kind: str) -> None:
    typed = getattr(messages, f"{kind}Message")
    assert set(HEARS[kind]["properties"]) <= set(typed.__annotations__)


def test_a_start_that_takes_fifteen_seconds_is_waited_for() -> None:
    fast = 5.0  # a second of this test is five of the client and of the server
    limit = ConnectionConfig(start_timeout=(ConnectionConfig().start_timeout or 0.0) / fast)
    faults = [Fault.late_start(15 / fast)]
    with LocalServer(faults=faults) as server, Client(url=server.url, conn_config=limit) as client:
        assert client.transcribe(SECOND * 2, audio_format=PCM).words


def test_sixty_one_finals_of_which_eighteen_are_empty_and_one_is_only_a_mark() -> None:
    def final(start: float, *items: tuple[str, str]) -> dict[str, Any]:
        results = [
            {
                "type": kind,
                "start_time": start,
                "end_time": start + (0.2 if kind == "word" else 0.0),
                "alternatives": [{"content": content, "confidence": 1.0}],
                **({"attaches_to": "previous", "is_eos": True} if kind == "punctuation" else {}),
            }
            for kind, content in items
        ]
        text = "".join(content for _, content in items)
        times = {"start_time": start, "end_time": start + 0.36, "transcript": text and text + " "}
        return {"message": "AddTranscript", "format": "2.9", "metadata": times, "results": results}

    words = [f"word{number}" for number in range(42)]
    finals = [final(number * 0.36, ("word", word)) for number, word in enumerate(words)]
    finals.append(final(42 * 0.36, ("punctuation", ".")))
    finals += [final((43 + number) * 0.36) for number in range(18)]
    assert len(finals) == 61
    faults = [Fault.message(message, after_messages=number + 2) for number, message in enumerate(finals)]
    with LocalServer(faults=faults) as server, Client(url=server.url) as client:
        small = AudioFormat("pcm_s16le", 16000, chunk_size=320)  # 10 ms: the script says nothing yet
        transcript = client.transcribe(bytes(320 * 70)[: 320 * 62], audio_format=small)
    assert transcript.text == " ".join(words) + "."
