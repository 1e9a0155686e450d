"""The rarer messages and fields of the protocol, as the scripted engine sends them."""

from __future__ import annotations

import time
from typing import Any, Optional

import pytest

from speechmatics_rt.local import LocalServer, Script, ScriptedEngine, Sound, Word
from speechmatics_rt.local.engines.speaker_ids import identifier_of

from .raw_client import RawClient, start_message
from .test_channels import CHANNELS, audio

HELLO = Script((Word("Hello", 0.4, 0.8), Word("again", 1.2, 1.6), Word(".", 1.6, 1.6, kind="punctuation")))


def run(script: Optional[Script], config: dict[str, Any], seconds: float = 4.0, **top: Any) -> RawClient:
    with LocalServer(ScriptedEngine(script)) as server, RawClient(server) as client:
        client.start(config, **top)
        client.finish(client.send_audio(seconds))
    return client


def items(client: RawClient) -> list[dict[str, Any]]:
    return [item for message in client.received_of("AddTranscript") for item in message["results"]]


def contents(client: RawClient) -> list[str]:
    return [item["alternatives"][0]["content"] for item in items(client)]


# -- words -----------------------------------------------------------------------------------------------


def test_words_are_replaced_plain_ones_first_and_each_once() -> None:
    rules = [
        {"from": "/(H)el+o/", "to": "$1i"},
        {"from": "Hi", "to": "never"},
        {"from": "again", "to": "twice"},
        {"from": "/twice/", "to": "never"},
        {"from": "hello", "to": "never"},
    ]
    assert contents(run(HELLO, {"transcript_filtering_config": {"replacements": rules}})) == [
        "Hi",
        "twice",
        ".",
    ]


def test_a_word_can_be_replaced_by_nothing() -> None:
    rules = [{"from": "Hello", "to": ""}]
    client = run(HELLO, {"transcript_filtering_config": {"replacements": rules}})
    assert contents(client) == ["again", "."]


def test_an_entity_has_its_spoken_and_its_written_form() -> None:
    script = Script(
        (Word("5 May", 0.4, 2.0, kind="entity", entity_class="date", spoken=("the", "fifth", "of", "May")),)
    )
    [entity] = items(run(script, {"enable_entities": True}))
    assert (entity["type"], entity["entity_class"]) == ("entity", "date")
    assert entity["alternatives"][0]["content"] == "5 May"
    assert [part["alternatives"][0]["content"] for part in entity["written_form"]] == ["5", "May"]
    spoken = [
        (part["alternatives"][0]["content"], part["start_time"], part["end_time"])
        for part in entity["spoken_form"]
    ]
    assert spoken == [("the", 0.4, 0.8), ("fifth", 0.8, 1.2), ("of", 1.2, 1.6), ("May", 1.6, 2.0)]
    words = items(run(script, {}))
    assert [(item["type"], item["alternatives"][0]["content"]) for item in words] == [
        ("word", "5"),
        ("word", "May"),
    ]


def test_the_volume_is_sent_if_asked_for_and_quiet_words_are_dropped() -> None:
    script = Script((Word("loud", 0.4, 0.8, volume=80.0), Word("quiet", 1.2, 1.6, volume=5.0)))
    assert all("volume" not in item for item in items(run(script, {})))
    client = run(script, {"audio_filtering_config": {}})
    assert [item["volume"] for item in items(client)] == [80.0, 5.0]
    assert contents(run(script, {"audio_filtering_config": {"volume_threshold": 10}})) == ["loud"]


def test_marks_can_be_left_out_and_tags_are_sent() -> None:
    script = Script(
        (
            Word("Um", 0.4, 0.6, tags=("disfluency",)),
            Word("yes", 0.8, 1.0),
            Word(",", 1.0, 1.0, kind="punctuation"),
            Word("it", 1.2, 1.4),
            Word(".", 1.4, 1.4, kind="punctuation"),
        )
    )
    client = run(script, {"punctuation_overrides": {"permitted_marks": []}})
    assert contents(client) == ["Um", "yes", "it"]
    assert items(client)[0]["alternatives"][0]["tags"] == ["disfluency"]
    clean = {"transcript_filtering_config": {"remove_disfluencies": True}}
    assert contents(run(script, clean)) == ["yes", ",", "it", "."]
    both = {**clean, "punctuation_overrides": {"permitted_marks": ["."]}}
    assert contents(run(script, both)) == ["yes", "it", "."]


# -- speakers --------------------------------------------------------------------------------------------

VOICES = Script(
    (
        Word("a", 0.4, 0.6, speaker="S1"),
        Word("b", 0.8, 1.0, speaker="S2"),
        Word("c", 1.2, 1.4, speaker="S3"),
        Word("d", 1.6, 1.8, speaker="UU"),
    )
)


def speakers_of(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    client = run(
        VOICES, {"diarization": "speaker", "speaker_diarization_config": {"get_speakers": True, **config}}
    )
    labels = [item["alternatives"][0]["speaker"] for item in items(client)]
    return labels, [speaker["label"] for speaker in client.received_of("SpeakersResult")[0]["speakers"]]


def test_speakers_are_labelled_enrolled_and_limited() -> None:
    assert speakers_of({}) == (["S1", "S2", "S3", "UU"], ["S1", "S2", "S3"])
    assert speakers_of({"max_speakers": 2}) == (["S1", "S2", "S2", "UU"], ["S1", "S2"])
    ann = [{"label": "Ann", "speaker_identifiers": [identifier_of("S2")]}]
    assert speakers_of({"speakers": ann}) == (["S1", "Ann", "S3", "UU"], ["S1", "Ann", "S3"])


def test_a_speaker_is_known_again_in_another_session() -> None:
    with LocalServer(ScriptedEngine(VOICES)) as server:
        with RawClient(server) as client:
            client.start({"diarization": "speaker", "speaker_diarization_config": {"get_speakers": True}})
            client.finish(client.send_audio(3))
        enrolled = [
            {**speaker, "label": f"known {speaker['label']}"}
            for speaker in client.received_of("SpeakersResult")[0]["speakers"]
        ]
        with RawClient(server) as client:
            client.start(
                {
                    "diarization": "speaker",
                    "speaker_diarization_config": {"speakers": enrolled, "get_speakers": True},
                }
            )
            assert not client.received_of("Warning")
            client.finish(client.send_audio(3))
        assert client.received_of("SpeakersResult")[0]["speakers"] == enrolled


def test_foreign_identifiers_are_warned_of_before_the_start() -> None:
    speakers = [{"label": "Ann", "speaker_identifiers": ["from elsewhere"]}]
    with LocalServer() as server, RawClient(server) as client:
        client.start({"diarization": "speaker", "speaker_diarization_config": {"speakers": speakers}})
    assert [message.get("type") for message in client.received] == [
        "concurrent_session_usage",
        "recognition_quality",
        "speaker_id",
        None,
    ]


# -- translations, sounds, languages ---------------------------------------------------------------------


def test_translations_final_and_partial_by_speaker() -> None:
    script = Script(HELLO.words, translations=(("fr", "Hello again.", "Rebonjour."),))
    client = run(
        script,
        {"enable_partials": True, "max_delay": 1.0, "diarization": "speaker"},
        translation_config={"target_languages": ["fr", "de"], "enable_partials": True},
    )
    [french, german] = client.received_of("AddTranslation")
    assert french["results"] == [
        {"content": "Rebonjour.", "start_time": 0.4, "end_time": 1.6, "speaker": "S1"}
    ]
    assert (german["language"], german["results"][0]["content"]) == ("de", "[de] Hello again.")
    partials = client.received_of("AddPartialTranslation")
    assert partials[0]["results"][0]["content"] == "[fr] Hello"
    for message in partials:
        earlier = client.received[client.received.index(message) - 1]["message"]
        assert earlier in ("AddPartialTranscript", "AddPartialTranslation")


def test_no_partial_translations_unless_asked_for() -> None:
    client = run(HELLO, {"enable_partials": True}, translation_config={"target_languages": ["fr"]})
    assert not client.received_of("AddPartialTranslation")


SOUNDS = Script(
    (Word("Ha", 0.4, 0.6),),
    sounds=(Sound("laughter", 0.8, 1.6, 0.71), Sound("music", 2.0, 9.0), Sound("applause", 9.0, 9.4)),
)


def test_sounds_begin_and_end() -> None:
    client = run(SOUNDS, {"max_delay": 0.7}, audio_events_config={})
    events = [message for message in client.received if message["message"].startswith("AudioEvent")]
    assert events == [
        {
            "message": "AudioEventStarted",
            "event": {"type": "laughter", "start_time": 0.8, "confidence": 0.71},
        },
        {"message": "AudioEventEnded", "event": {"type": "laughter", "end_time": 1.6}},
        {"message": "AudioEventStarted", "event": {"type": "music", "start_time": 2.0, "confidence": 0.9}},
        {"message": "AudioEventEnded", "event": {"type": "music", "end_time": 4.0}},
    ]


def test_sounds_are_sent_only_if_asked_for_and_of_these_types() -> None:
    assert not run(SOUNDS, {}).received_of("AudioEventStarted")
    client = run(SOUNDS, {}, 12.0, audio_events_config={"types": ["applause"]})
    assert [message["event"]["type"] for message in client.received_of("AudioEventStarted")] == ["applause"]
    assert [message["event"] for message in client.received_of("AudioEventEnded")] == [
        {"type": "applause", "end_time": 9.4}
    ]


def test_the_default_script_has_sounds_and_repeats_them() -> None:
    client = run(None, {}, 70.0, audio_events_config={})
    kinds = [message["event"]["type"] for message in client.received_of("AudioEventEnded")]
    assert kinds[:3] == ["laughter", "music", "laughter"]


def test_sounds_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="music starts at 1 before laughter has ended"):
        Script((), sounds=(Sound("laughter", 0, 2), Sound("music", 1, 3)))


def test_each_language_is_sent_once_before_its_first_word() -> None:
    script = Script((Word("Hello", 0.4, 0.8), Word("shalom", 1.2, 1.6, language="he"), Word("bye", 2.0, 2.4)))
    client = run(script, {"language": "multi", "model": "melia-1", "enable_partials": True})
    infos = client.received_of("LanguageInfo")
    assert [(info["language"], info["writing_direction"], info.get("partial")) for info in infos] == [
        ("en", "left-to-right", True),
        ("he", "right-to-left", True),
    ]
    following = client.received[client.received.index(infos[1]) + 1]
    assert following["message"] == "AddPartialTranscript"
    assert following["results"][-1]["alternatives"][0] == {
        "content": "shalom",
        "language": "he",
        "display": {"direction": "rtl"},
    }
    assert run(HELLO, {}).received_of("LanguageInfo") == []


def test_each_channel_has_a_script_of_its_own() -> None:
    engine = ScriptedEngine({"agent": HELLO})
    with LocalServer(engine) as server, RawClient(server) as client:
        client.start(CHANNELS)
        for channel in ("agent", "caller"):
            client.send(audio(channel, bytes(64000)))
        client.finish(2)
    texts = {
        message["channel"]: message["metadata"]["transcript"]
        for message in client.received_of("AddTranscript")
    }
    assert texts == {"agent": "Hello again. ", "caller": ""}


# -- the start, the limits, the end ----------------------------------------------------------------------


def test_a_new_dictionary_delays_the_start_and_a_known_one_does_not() -> None:
    config = {
        "additional_vocab": ["Ravelin", "a b c d e f g", {"content": "x", "sounds_like": ["b" * 4001, "y"]}]
    }
    with LocalServer(dictionary_delay=0.8) as server:
        for delayed in (True, False):
            with RawClient(server) as client:
                began = time.monotonic()
                client.send(start_message(config))
                assert [client.receive().get("type") for _ in range(4)] == [
                    "concurrent_session_usage",
                    "recognition_quality",
                    "validation_warning",
                    "validation_warning",
                ]
                client.until("RecognitionStarted")
                assert (time.monotonic() - began >= 0.8) == delayed


def test_too_much_audio_is_warned_of_acknowledged_and_ignored() -> None:
    with LocalServer(duration_limit=2.0) as server, RawClient(server) as client:
        client.start({"max_delay": 0.7})
        client.send_audio(2, chunk=0.5)
        client.until("EndOfTranscript")
        [warning] = client.received_of("Warning")
        assert (warning["type"], warning["duration_limit"]) == ("duration_limit_exceeded", 2.0)
        assert client.received_of("AddTranscript")[-1]["metadata"]["end_time"] <= 2.0
    with LocalServer(duration_limit=2.0, speed=10.0) as server, RawClient(server) as client:
        client.start()
        count = client.send_audio(4, chunk=0.5)
        client.until("EndOfTranscript")
        assert len(client.received_of("AudioAdded")) == count
        assert client.received_of("AddTranscript")[-1]["metadata"]["end_time"] <= 2.0


def test_silence_is_noticed_no_sooner_than_its_trigger() -> None:
    for trigger in (0.2, 0.5, 1.0, 2.0):
        config = {"max_delay": 0.7, "enable_partials": True}
        client = run(
            HELLO, {**config, "conversation_config": {"end_of_utterance_silence_trigger": trigger}}, 8.0
        )
        end = [message["metadata"]["end_time"] for message in client.received_of("EndOfUtterance")][-1]
        assert 1.6 + trigger <= end <= 1.6 + trigger + 0.44
        place = next(
            number
            for number, message in enumerate(client.received)
            if message["message"] == "EndOfUtterance" and message["metadata"]["end_time"] == end
        )
        assert client.received[place - 2]["metadata"]["end_time"] == pytest.approx(end - 0.08)


def test_while_the_buffer_is_full_other_messages_are_read() -> None:
    with LocalServer(speed=1.0) as server, RawClient(server) as client:
        client.start()
        client.send_audio(10, chunk=1.0)
        record = server.sessions[0].wait_for(lambda record: len(record.frames) == 10)
        client.send({"message": "GetSpeakers"})
        assert client.ws.ping().wait(2)
        record.wait_for(lambda record: record.heard("GetSpeakers"))


@pytest.mark.parametrize(
    "message",
    [
        {"message": "GetSpeakers", "who": 1},
        {"message": "ForceEndOfUtterance", "timestamp": 1, "extra": 1},
        {"message": "EndOfStream", "last_seq_no": 1, "extra": 1},
        {"message": "SetRecognitionConfig", "transcription_config": {}, "translation_config": {}},
    ],
)
def test_unknown_fields_are_refused(message: dict[str, Any]) -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.start()
        client.send(message)
        assert client.closed()[0] in (1003, 1008)
        assert client.received_of("Error")[0]["type"] in ("invalid_message", "invalid_config")


@pytest.mark.parametrize("source", ["/[/", "/(/"])
def test_a_malformed_regular_expression_fails_the_session(source: str) -> None:
    config = {"transcript_filtering_config": {"replacements": [{"from": source, "to": "x"}]}}
    with LocalServer() as server, RawClient(server) as client:
        client.send(start_message(config))
        assert client.closed()[0] == 1008
        assert "no regular expression" in client.received_of("Error")[0]["reason"]
