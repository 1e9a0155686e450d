"""One speaker has one label, over as many sessions as it takes: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.config.recognition import AudioFormat
from speechmatics_rt.local.checks import check_start
from speechmatics_rt.resume.replay import Replay
from speechmatics_rt.resume.speakers import Speakers

SPEAKER = {"language": "en", "diarization": "speaker"}
START = {
    "message": "StartRecognition",
    "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 1000},
    "transcription_config": SPEAKER,
}


def known(speakers: Speakers, **identifiers: Any) -> None:
    speakers.answered([{"label": label, "speaker_identifiers": ids} for label, ids in identifiers.items()])


def carried(start: dict[str, Any]) -> dict[str, list[str]]:
    config = start["transcription_config"].get("speaker_diarization_config", {})
    return {speaker["label"]: speaker["speaker_identifiers"] for speaker in config.get("speakers", [])}


def test_who_is_known_by_identifiers_keeps_a_label_and_who_is_new_gets_the_next_number() -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1", "S2", "UU"])
    known(speakers, S1=["one"], S2=["two"])
    speakers.begin()
    assert carried(speakers.start(START)) == {"S1 (resumed)": ["one"], "S2 (resumed)": ["two"]}
    assert [speakers.whole(label) for label in ("S2 (resumed)", "S1", "UU", "Alice")] == [
        "S2",
        "S3",
        "UU",
        "Alice",
    ]
    assert speakers.renamed == []


def test_over_a_third_session_too() -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1"])
    known(speakers, S1=["one"])
    speakers.begin()
    speakers.start(START)
    speakers.heard([speakers.whole("S1")])  # S2 of the whole
    known(speakers, S1=["one", "more"], S2=["two"])
    speakers.begin()
    assert carried(speakers.start(START)) == {"S1 (resumed)": ["one", "more"], "S2 (resumed)": ["two"]}
    assert speakers.whole("S1") == "S3"


def test_who_was_enrolled_stays_so_and_is_not_carried_twice() -> None:
    enrolled = [{"label": "Alice", "speaker_identifiers": ["alice", "voice"]}]
    config = {**SPEAKER, "speaker_diarization_config": {"speakers": enrolled, "speaker_sensitivity": 0.7}}
    speakers = Speakers(config)
    speakers.heard(["S1", "Alice"])
    known(speakers, S1=["one", "alice"], Alice=["alice"])
    speakers.begin()
    start = speakers.start({**START, "transcription_config": config})
    assert carried(start) == {"Alice": ["alice", "voice"], "S1 (resumed)": ["one"]}
    assert start["transcription_config"]["speaker_diarization_config"]["speaker_sensitivity"] == 0.7
    assert len(config["speaker_diarization_config"]["speakers"]) == 1  # the caller's own is not changed


def test_without_identifiers_those_who_go_on_have_new_labels_and_are_named() -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1", "S2"])
    known(speakers, S2=["two"], S1=[])
    speakers.begin()
    assert carried(speakers.start(START)) == {"S2 (resumed)": ["two"]}
    assert speakers.renamed == ["S1"]


@pytest.mark.parametrize("diarization", ["none", "channel", "channel_and_speaker"])
def test_only_speakers_of_one_channel_are_asked_for(diarization: str) -> None:
    speakers = Speakers({**SPEAKER, "diarization": diarization})
    speakers.heard(["S1"])
    assert not speakers.asks
    known(speakers, S1=["one"])
    speakers.begin()
    assert carried(speakers.start(START)) == {}
    assert speakers.renamed == ["S1"]


def test_a_number_that_nobody_can_have_counts_for_nobody() -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1", "S999999999", "S" + "9" * 5000])
    speakers.begin()
    assert speakers.whole("S1") == "S2"
    assert speakers.renamed == ["S1"]


def test_it_is_asked_soon_for_somebody_new_and_now_and_then_for_better_identifiers() -> None:
    speakers = Speakers(SPEAKER)
    assert not speakers.asks
    speakers.heard(["S1"])
    assert speakers.is_due(0.5)
    speakers.asked(0.5)
    known(speakers)
    assert [speakers.is_due(5.0), speakers.is_due(5.5)] == [False, True]
    known(speakers, S1=["one"])
    assert [speakers.is_due(5.5), speakers.is_due(60.5)] == [False, True]
    speakers.heard(["S2"])
    assert speakers.is_due(5.5)


def test_a_server_that_does_not_answer_is_seldom_asked() -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1"])
    speakers.asked(0.5)
    assert [speakers.is_due(20.0), speakers.is_due(60.5)] == [False, True]


@given(
    st.dictionaries(
        st.from_regex(r"S[1-9][0-9]?", fullmatch=True), st.lists(st.text(max_size=3), max_size=70)
    )
)
def test_what_is_carried_is_a_start_that_a_server_takes(identifiers: dict[str, list[str]]) -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(identifiers)
    known(speakers, **identifiers)
    speakers.begin()
    start = speakers.start(START)
    check_start(start, None, channels=2, targets=5)
    listed = [one for ids in carried(start).values() for one in ids]
    assert len(listed) == len(set(listed)) <= 50
    assert len({one for ids in identifiers.values() for one in ids if one}) <= 50 or len(listed) == 50


@given(
    st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: st.lists(inner)
        | st.dictionaries(st.sampled_from(["label", "speaker_identifiers"]), inner),
    )
)
def test_whatever_a_server_answers_is_taken(answer: Any) -> None:
    speakers = Speakers(SPEAKER)
    speakers.heard(["S1"])
    speakers.answered(answer)
    speakers.begin()
    speakers.start(START)


def replay_with_speakers() -> Replay:
    replay = Replay(START, [None], AudioFormat("pcm_s16le", 1000), buffer_seconds=60)
    replay.receive({"message": "RecognitionStarted"})
    replay.sent(replay.keep(None, bytes(4000)))
    word = {
        "type": "word",
        "start_time": 0.1,
        "end_time": 0.5,
        "alternatives": [{"content": "so", "speaker": "S1"}],
    }
    replay.receive({"message": "AddTranscript", "metadata": {"end_time": 0.5}, "results": [word]})
    return replay


RESULT = {"message": "SpeakersResult", "speakers": [{"label": "S1", "speaker_identifiers": ["one"]}]}


def test_an_answer_to_our_own_question_is_not_the_callers() -> None:
    replay = replay_with_speakers()
    question = replay.question()
    assert question == {"message": "GetSpeakers", "final": False}
    replay.asked(question)
    assert replay.question() is None
    assert replay.receive(RESULT) is None
    replay.begin()
    assert carried(replay.start) == {"S1 (resumed)": ["one"]}


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_the_callers_question_has_one_answer_whoever_asked_first(first: str) -> None:
    replay = replay_with_speakers()

    def theirs() -> None:
        replay.sent(replay.request({"message": "GetSpeakers"}))

    theirs() if first == "theirs" else None
    replay.asked(replay.question() or {})
    theirs() if first == "ours" else None
    told = [replay.receive(dict(RESULT)) for _ in range(2)]
    assert told == ([None, RESULT] if first == "ours" else [RESULT, None])


def test_a_list_at_the_end_is_the_callers() -> None:
    config = {**SPEAKER, "speaker_diarization_config": {"get_speakers": True}}
    replay = Replay(
        {**START, "transcription_config": config}, [None], AudioFormat("pcm_s16le", 1000), buffer_seconds=60
    )
    replay.receive({"message": "RecognitionStarted"})
    assert replay.receive(RESULT) == RESULT


def test_our_own_question_is_not_asked_again_by_itself() -> None:
    replay = replay_with_speakers()
    replay.asked(replay.question() or {})
    replay.begin()
    kinds = []
    while (item := replay.due()) is not None:
        replay.sent(item)
        kinds.append(type(item).__name__)
    assert kinds == ["Piece"]
