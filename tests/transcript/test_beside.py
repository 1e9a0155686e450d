"""What a transcript has besides words: translations and sounds."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechmatics_rt import AudioFormat, ResumePolicy, TranscriptionConfig, TranslationConfig
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import Fault, Script, ScriptedEngine
from speechmatics_rt.messages import Glance
from speechmatics_rt.transcript import AudioEvent, Transcript

PCM = AudioFormat("pcm_s16le", 16000)
SPEECH = bytes(32000 * 10)


def sentence(content: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"content": content, "start_time": start, "end_time": end, **more}


def translation(language: str, *sentences: dict[str, Any]) -> dict[str, Any]:
    return {"message": "AddTranslation", "format": "2.9", "language": language, "results": [*sentences]}


def sound(begins: bool, kind: str, at: float, **more: Any) -> dict[str, Any]:
    event = {"type": kind, "start_time" if begins else "end_time": at}
    return {"message": f"AudioEvent{'Started' if begins else 'Ended'}", "event": event, **more}


def heard(*messages: dict[str, Any], keep: Any = None) -> Transcript:
    transcript = Transcript(keep=keep)
    for message in messages:
        transcript.add(message)
    return transcript


TOLD = [
    translation("fr", sentence("Bonjour, monde.", 0.0, 1.4, speaker="S1")),
    translation("de", sentence("Guten Tag.", 0.0, 1.4, speaker="S1")),
    sound(True, "music", 0.5),
    translation("fr", sentence("Il pleut.", 2.0, 3.0, speaker="S2")),
    sound(False, "music", 2.5),
    sound(True, "applause", 2.6, channel="left"),
]


def test_each_language_is_a_transcript_with_captions() -> None:
    transcript = heard(*TOLD)
    assert sorted(transcript.translations) == ["de", "fr"]
    french = transcript.translations["fr"]
    assert french.text == "Bonjour, monde. Il pleut."
    assert str(french) == "S1: Bonjour, monde.\nS2: Il pleut."
    assert [(word.text, word.start_time, word.end_time) for word in french.words][:2] == [
        ("Bonjour,", 0.0, 0.8),
        ("monde.", 0.8, 1.4),
    ]
    assert "00:00:02,000 --> " in french.to_srt()
    assert "<v S2>Il pleut." in french.to_vtt()
    assert (transcript.text, french.end_time) == ("", 3.0)
    assert Transcript().translations == {}


def test_what_is_read_again_is_what_came_meanwhile_as_well() -> None:
    transcript = heard(TOLD[0])
    assert transcript.translations["fr"].text == "Bonjour, monde."
    for message in TOLD[1:]:
        transcript.add(message)
    assert transcript.translations["fr"] == heard(*TOLD).translations["fr"]


def seen(kind: str, payload: bytes) -> Glance:
    return kind, payload, True, 0.0, 0.0, None, None


def partial(language: str, *sentences: dict[str, Any]) -> dict[str, Any]:
    return {**translation(language, *sentences), "message": "AddPartialTranslation"}


@pytest.mark.parametrize("in_bytes", [False, True])
def test_what_is_not_final_of_a_translation_is_its_partial(in_bytes: bool) -> None:
    transcript = Transcript()

    def add(message: dict[str, Any]) -> None:
        if in_bytes:
            transcript.add_payloads([seen(message["message"], json.dumps(message).encode())], json.loads)
        else:
            transcript.add(message)

    add(partial("fr", sentence("Bonjour", 0.0, 0.8)))
    assert transcript.translations["fr"].partial == "Bonjour"
    add(partial("fr", sentence("Bonjour, mon", 0.0, 1.2)))
    add(partial("de", sentence("Guten", 0.0, 0.8)))
    assert transcript.translations["fr"].partial == "Bonjour, mon"
    add(TOLD[0])
    french = transcript.translations["fr"]
    assert (french.text, french.partial) == ("Bonjour, monde.", "")
    assert transcript.translations["de"].partial == "Guten"
    add(partial("fr", sentence("Il", 2.0, 2.4)))
    assert transcript.translations["fr"].partial == "Il"
    transcript.add({"message": "EndOfTranscript"})
    assert [text.partial for text in transcript.translations.values()] == ["", ""]
    assert transcript.to_dict() == heard(TOLD[0]).to_dict()


def test_what_a_translation_that_is_not_kept_replaces_is_not_kept_either() -> None:
    transcript = heard(partial("fr", sentence("Bonjour", 0.0, 0.8)), keep=0)
    assert transcript.translations["fr"].partial == "Bonjour"
    transcript.add(TOLD[0])
    assert transcript.translations["fr"].partial == ""


def test_sounds_have_their_ends_once_they_are_known() -> None:
    assert heard(*TOLD).audio_events == [
        AudioEvent("music", 0.5, 2.5),
        AudioEvent("applause", 2.6, channel="left"),
    ]
    assert [event.to_dict() for event in heard(*TOLD).audio_events] == heard(*TOLD).to_dict()["audio_events"]
    (alone,) = heard(sound(False, "music", 1.0)).audio_events
    assert (alone.start_time, alone.end_time) == (0.0, 1.0)


@pytest.mark.parametrize(
    "through",
    [
        lambda transcript: Transcript.from_dict(json.loads(json.dumps(transcript.to_dict()))),
        lambda transcript: pickle.loads(pickle.dumps(transcript)),
        copy.deepcopy,
    ],
    ids=["JSON", "pickle", "copy"],
)
def test_they_are_stored_as_the_service_gives_them_for_files(
    through: Callable[[Transcript], Transcript],
) -> None:
    transcript = heard(*TOLD)
    stored = transcript.to_dict()
    assert stored["translations"]["de"] == [sentence("Guten Tag.", 0.0, 1.4, speaker="S1")]
    assert stored["audio_events"][0] == {"type": "music", "start_time": 0.5, "end_time": 2.5}
    again = through(transcript)
    assert again == transcript != heard(*TOLD[:-1])
    assert again.translations["fr"].words == transcript.translations["fr"].words
    assert again.audio_events == transcript.audio_events
    assert not {"translations", "audio_events"} & set(Transcript().to_dict())


@pytest.mark.parametrize(
    "wrong",
    [
        {"translations": []},
        {"translations": {"fr": "Bonjour"}},
        {"translations": {"fr": ["Bonjour"]}},
        {"audio_events": {}},
        {"audio_events": ["music"]},
    ],
)
def test_what_is_none_of_these_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="not a transcript: "):
        Transcript.from_dict({"results": [], **wrong})


def test_what_is_refused_is_shown_in_one_line_and_without_audio() -> None:
    with pytest.raises(ConfigurationError, match=r"translations is \[<32000 bytes>, array \d \d\]$"):
        Transcript.from_dict({"results": [], "translations": [bytes(32000), _Several()]})


class _Several:
    def __repr__(self) -> str:
        return "array 1\n      2"


def test_only_so_many_seconds_of_them_are_kept() -> None:
    def minutes(count: int) -> list[dict[str, Any]]:
        messages = []
        for at in range(count):
            messages += [
                translation("fr", sentence(f"{at}.", at * 60.0, at * 60.0 + 1)),
                sound(True, "music", at * 60.0),
                sound(False, "music", at * 60.0 + 1),
            ]
        return messages

    kept = heard(*minutes(100), keep=600)
    assert 10 <= len(kept.translations["fr"].words) <= 12
    assert 10 <= len(kept.audio_events) <= 12
    assert kept.translations["fr"].text.endswith("99.")
    assert len(kept.to_dict()["translations"]["fr"]) <= 12
    nothing = heard(*minutes(100), keep=0)
    assert (nothing.translations, nothing.audio_events) == ({}, [])


AGENT = [
    translation("de", sentence("Guten Tag.", 0.4, 2.4)),
    translation("de", sentence("Wie geht es?", 3.2, 5.2)),
]
CALLER = [
    translation("de", sentence("Hallo.", 0.4, 1.2)),
    translation("de", sentence("Der Zug kommt nicht.", 2.0, 4.4)),
]
IN_TURN = [AGENT[0], CALLER[0], CALLER[1], AGENT[1]]
ONE_BEHIND = [*CALLER, *AGENT]


def labelled(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "channel": "agent" if one in AGENT else "caller"} for one in messages]


@pytest.mark.parametrize("in_bytes", [False, True])
def test_translations_of_several_channels_are_in_the_order_of_time_however_they_come(in_bytes: bool) -> None:
    orders = [Transcript(), Transcript(), Transcript()]
    for transcript, messages in zip(orders, (IN_TURN, ONE_BEHIND, [*AGENT, *CALLER])):
        for number, message in enumerate(messages):
            payload = json.dumps(message).encode()
            if in_bytes:
                transcript.add_payloads([seen("AddTranslation", payload)], json.loads)
            else:
                transcript.add(message)
            if transcript is not orders[2]:  # the last is read at the end alone
                assert len(transcript.to_dict()["translations"]["de"]) == number + 1
                assert transcript.translations["de"].words[0].start_time == 0.4
    first, *others = (transcript.translations["de"] for transcript in orders)
    assert first.text == "Hallo. Guten Tag. Der Zug kommt nicht. Wie geht es?"
    assert all(one == first and one.to_srt() == first.to_srt() for one in others)
    assert orders[0] == orders[1] == orders[2]


def test_a_translation_keeps_its_channel() -> None:
    first, second = heard(*labelled(IN_TURN)), heard(*labelled(ONE_BEHIND))
    german = first.translations["de"]
    assert str(german).splitlines() == [
        "agent: Guten Tag.",
        "caller: Hallo. Der Zug kommt nicht.",
        "agent: Wie geht es?",
    ]
    assert {word.channel for word in german.words} == {"agent", "caller"}
    assert (first, str(german)) == (second, str(second.translations["de"]))
    again = Transcript.from_dict(json.loads(json.dumps(first.to_dict())))
    assert (again, str(again.translations["de"])) == (first, str(german))


def test_each_channel_has_its_own_partial_of_a_translation() -> None:
    guesses = {label: partial("de", sentence(text, 0.0, 0.4)) for label, text in (("a", "Gut"), ("b", "Hal"))}
    transcript = heard(*({**guess, "channel": label} for label, guess in guesses.items()))
    assert transcript.translations["de"].partial == "Gut\nHal"
    transcript.add({**AGENT[0], "channel": "a"})
    assert transcript.translations["de"].partial == "Hal"


def minutes_of(channel: str, count: int, *, named: bool) -> list[dict[str, Any]]:
    """Give minutes of a call: a word, its translation, which may name its channel, and a sound in each."""
    messages = []
    for minute in range(count):
        at = minute * 60.0
        word = {"type": "word", "start_time": at, "end_time": at + 2, "alternatives": [{"content": "x"}]}
        messages += [
            {
                "message": "AddTranscript",
                "channel": channel,
                "metadata": {"start_time": at, "end_time": at + 2},
                "results": [word],
            },
            {
                **translation("fr", sentence(f"{channel}{minute}.", at, at + 2)),
                **({"channel": channel} if named else {}),
            },
            sound(True, "music", at, channel=channel),
            sound(False, "music", at + 2, channel=channel),
        ]
    return messages


@pytest.mark.parametrize("named", [True, False])
def test_of_a_channel_that_is_behind_as_much_is_kept_as_of_its_words(named: bool) -> None:
    transcript = heard(*minutes_of("b", 12, named=named), *minutes_of("a", 100, named=named), keep=300)
    told = [sentence["content"] for sentence in transcript.to_dict()["translations"]["fr"]]
    for label, last in (("a", 99), ("b", 11)):
        words = [word.start_time // 60 for word in transcript.words if word.channel == label]
        assert words[-1] == last
        assert [one for one in told if one[0] == label][-5:] == [
            f"{label}{last - back}." for back in range(5)
        ][::-1]
        sounds = [event.start_time // 60 for event in transcript.audio_events if event.channel == label]
        assert sounds[-5:] == [last - back for back in range(5)][::-1]
    # Where names are missing, what another channel has said at the same time can't be told from its own.
    assert len(told) <= (12 if named else 18)


def test_text_without_spaces_and_odd_messages_are_read_as_what_they_hold() -> None:
    odd = [
        *(sentence("おはよう。", 1.0, 2.0), sentence("さあ。", 0.0, 0.0)),
        *({"content": ""}, {}, {"content": 5, "start_time": "soon"}),
    ]
    transcript = heard(
        translation("ja", *odd),
        {"message": "AddTranslation"},
        {"message": "AddTranslation", "language": ["fr"], "results": [None, 7]},
        {"message": "AudioEventStarted"},
        {"message": "AudioEventStarted", "event": {"channel": ["left"], "extra": 1, "confidence": None}},
        {"message": "AudioEventEnded", "event": {"type": ["music"], "end_time": "soon"}},
    )
    assert transcript.translations["ja"].text == "おはよう。さあ。"
    assert Transcript.from_dict(transcript.to_dict()) == transcript
    assert all(isinstance(event.type, str) and event.channel is None for event in transcript.audio_events)


CONTENTS = [
    ("cmn", "我们用 Google Maps 和 New York Times 的数据。"),
    ("ja", "私は Google Maps を使います。"),
    ("fr", "Vraiment\u00a0? Oui\u202f!"),
    ("vi", "10\u00a0000  người"),
    ("th", "สวัสดี\nครับ"),
    ("", "\u3000 a\u00a0 b \u2007\x1c"),
]


@given(
    st.sampled_from(["cmn", "ja", "fr", "hi", "yue", ""]), st.text() | st.text(" \u00a0\u202f\u3000\na.。)")
)
def test_the_text_of_a_translation_is_what_the_service_sent(language: str, content: str) -> None:
    for add in (translation, partial):
        transcript = heard(add(language, sentence(content, 0.0, 1.0)))
        text = transcript.translations.get(language, Transcript())
        assert (text.text or text.partial) == content.strip()
        again = Transcript.from_dict(json.loads(json.dumps(text.to_dict())))
        assert (again.text, again.words) == (text.text, text.words)


for language, content in CONTENTS:
    test_the_text_of_a_translation_is_what_the_service_sent = example(language, content)(
        test_the_text_of_a_translation_is_what_the_service_sent
    )


def test_a_word_of_a_translation_ends_at_white_space_that_allows_a_line_to_end() -> None:
    said = [("fr", "Vraiment\u00a0? Oui\u202f!"), ("cmn", "我用 Google Maps。"), ("cmn", "好。")]
    transcript = heard(*(translation(language, sentence(content, 0.0, 4.0)) for language, content in said))
    french, chinese = transcript.translations["fr"], transcript.translations["cmn"]
    assert [word.text for word in french.words] == ["Vraiment\u00a0?", "Oui\u202f!"]
    assert [(word.delimiter, word.text, word.language) for word in chinese.words] == [
        ("", "我用", "cmn"),
        (" ", "Google", "cmn"),
        (" ", "Maps。", "cmn"),
        ("", "好。", "cmn"),
    ]
    assert "Vraiment\u00a0? Oui\u202f!" in french.to_srt()


ENDED = ["है।", "॥", "کیا؟", "ہے۔", "¿Sí?", "Ja!", "好。", "好？", "…"]  # noqa: RUF001
CLOSED = ["„Ja.“", "(Ja!)", "「はい。」", "«\u00a0Oui.\u00a0»"]


@pytest.mark.parametrize("content", [*ENDED, *CLOSED])
def test_the_last_word_of_a_translated_sentence_ends_it_in_any_script(content: str) -> None:
    words = heard(translation("xx", sentence(f"so {content}", 0.0, 1.0))).translations["xx"].words
    assert [word.is_eos for word in words] == [False] * (len(words) - 1) + [True]
    for rest in ("so", "so,", "so )", "so \u0964a"):
        words = heard(translation("xx", sentence(rest, 0.0, 1.0))).translations["xx"].words
        assert not any(word.is_eos for word in words)


def test_a_translation_that_nobody_hears_is_decoded_only_when_it_is_read() -> None:
    read: list[bytes] = []

    def decode(payload: bytes) -> dict[str, Any]:
        read.append(payload)
        return json.loads(payload)

    transcript = Transcript()
    payload = json.dumps(TOLD[0]).encode()
    transcript.add_payloads([seen("AddTranslation", payload), seen("AddPartialTranscript", b"")], decode)
    assert not read
    assert transcript.translations["fr"].text == "Bonjour, monde."
    assert transcript.translations["fr"].text == "Bonjour, monde."
    assert read == [payload]
    nothing = json.dumps(translation("fr")).encode()
    transcript = Transcript()
    transcript.add_payloads([seen("AddTranslation", nothing)], decode)
    assert transcript.translations == {}
    assert transcript == Transcript()


@pytest.mark.parametrize("listening", [False, True], ids=["nobody listens", "a handler"])
@pytest.mark.parametrize(
    "resume", [False, ResumePolicy(min_delay=0.01, replay_speed=1000)], ids=["plain", "resume"]
)
def test_a_session_has_them(serve, client_of, listening: bool, resume: Any) -> None:
    script = Script.from_text("Good morning. It rained in Bergen. Good night.", repeat=True)
    faults = [Fault.fin(after_final=4, sessions=[0])] if resume else []
    client = client_of(serve(ScriptedEngine(script), faults=faults), resume=resume)
    told: list[dict[str, Any]] = []
    if listening:
        client.on("AddTranslation", told.append)
    transcript = client.transcribe(
        SPEECH,
        audio_format=PCM,
        transcription_config=TranscriptionConfig(max_delay=1.0),
        translation_config=TranslationConfig(["de", "fr"]),
    )
    german = transcript.translations["de"]
    assert german.text.startswith("[de] Good morning. [de] It rained in Bergen.")
    assert german.text.count("It rained") == transcript.text.count("It rained in Bergen.")
    if listening:
        assert len(transcript.to_dict()["translations"]["de"]) == sum(
            len(message["results"]) for message in told if message["language"] == "de"
        )
