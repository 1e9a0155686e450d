"""Utterances against the transcript of the same messages: all words, none twice, in order."""

from __future__ import annotations

import json
from typing import Any, Optional

from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import Transcript
from speechmatics_rt.transcript import Utterance, Utterances, Word


def token(
    content: str, start: float, speaker: Optional[str] = None, mark: Optional[str] = None
) -> dict[str, Any]:
    alternative = {"content": content, **({"speaker": speaker} if speaker else {})}
    if mark:
        kind = {"type": "punctuation", "attaches_to": mark, "is_eos": content == "."}
        return {**kind, "start_time": start, "end_time": start, "alternatives": [alternative]}
    return {"type": "word", "start_time": start, "end_time": start + 0.3, "alternatives": [alternative]}


def final(*tokens: dict[str, Any], channel: Optional[str] = None) -> dict[str, Any]:
    times = {
        "start_time": 0.0,
        "end_time": max((t["end_time"] for t in tokens), default=0.0),
        "transcript": "",
    }
    message = {"message": "AddTranscript", "results": list(tokens), "metadata": times}
    return message if channel is None else {**message, "channel": channel}


def end_of_utterance(*, channel: Optional[str] = None, forced: bool = False) -> dict[str, Any]:
    message: dict[str, Any] = {"message": "EndOfUtterance", "metadata": {"start_time": 1.0, "end_time": 1.0}}
    return {**message, **({"channel": channel} if channel else {}), **({"forced": True} if forced else {})}


# -- by properties -------------------------------------------------------------------------------------

MARKS = st.sampled_from(["previous", "next", "both", "none"])
PIECES = st.tuples(st.sampled_from(["S1", "S2", None]), st.none() | MARKS)
SAID = st.lists(
    st.one_of(
        st.tuples(st.just("final"), st.sampled_from(["a", "b"]), st.lists(PIECES, max_size=4)),
        st.tuples(st.just("partial"), st.sampled_from(["a", "b"]), st.lists(PIECES, max_size=4)),
        st.tuples(st.just("over"), st.sampled_from(["a", "b", None]), st.booleans()),
    ),
    max_size=30,
)


def messages_of(said: Any, *, channels: bool) -> list[dict[str, Any]]:
    """Number all tokens of the session, so that each can be told from all others."""
    messages, number = [], 0
    for kind, channel, more in said:
        label = channel if channels else None
        if kind == "over":
            messages.append(end_of_utterance(channel=label, forced=more))
            continue
        tokens = []
        for speaker, mark in more:
            number += 1
            tokens.append(token(f"{'-' if mark else 'w'}{number}", number * 0.4, speaker, mark))
        message = final(*tokens, channel=label)
        messages.append(message if kind == "final" else {**message, "message": "AddPartialTranscript"})
    return messages


def hear(messages: list[dict[str, Any]]) -> tuple[Transcript, list[Utterance]]:
    transcript, follower, over = Transcript(), Utterances(), []
    for message in messages:
        transcript.add(message)
        over += follower.add(message)
    return transcript, over + follower.end()


def contents(words: Any, channel: Optional[str]) -> list[str]:
    return [word.content for word in words if word.channel == channel and word.type == "word"]


@given(SAID, st.booleans())
def test_every_word_is_in_one_utterance_in_the_order_of_its_channel(said: Any, channels: bool) -> None:
    transcript, over = hear(messages_of(said, channels=channels))
    words = [word for utterance in over for word in utterance.words]
    for channel in ("a", "b") if channels else (None,):
        assert contents(words, channel) == contents(transcript.words, channel)
    assert len({word.content for word in words}) == len(words)


@given(SAID, st.booleans())
def test_an_utterance_is_of_one_speaker_and_one_channel_and_never_empty(said: Any, channels: bool) -> None:
    for utterance in hear(messages_of(said, channels=channels))[1]:
        assert utterance.words
        assert utterance.ended_by
        assert utterance.text
        spoken = [word for word in utterance.words if word.type == "word"]
        assert len({(word.speaker, word.channel) for word in spoken}) <= 1 + (not spoken)


@given(st.lists(st.tuples(st.just("final"), st.just("a"), st.lists(PIECES, max_size=4)), max_size=20))
def test_without_pauses_they_are_the_paragraphs_of_the_transcript(said: Any) -> None:
    transcript, over = hear(messages_of(said, channels=False))
    assert [utterance.words for utterance in over] == [one.words for one in transcript.paragraphs]
    assert [utterance.text for utterance in over] == [one.text for one in transcript.paragraphs]


@given(SAID)
def test_a_paragraph_is_made_of_whole_utterances(said: Any) -> None:
    """Those of a paragraph, one behind the other, hold its words, wherever a pause came."""
    words_only = [
        (kind, who, [(s, None) for s, _ in more] if kind != "over" else more) for kind, who, more in said
    ]
    transcript, over = hear(messages_of(words_only, channels=False))
    left = [word.text for utterance in over for word in utterance.words]
    for paragraph in transcript.paragraphs:
        taken = [word.text for word in paragraph.words]
        assert left[: len(taken)] == taken
        del left[: len(taken)]
    assert left == []


@given(SAID)
def test_what_is_being_spoken_is_what_comes_of_it(said: Any) -> None:
    follower = Utterances()
    for message in messages_of(said, channels=True):
        before = {channel: follower.spoken(channel) for channel in ("a", "b")}
        for utterance in follower.add(message):
            begun = before[utterance.channel or "a"]
            if begun is not None and begun.words and begun.words[0].content == utterance.words[0].content:
                texts = [word.content for word in utterance.words]
                assert texts[: len(begun.words) - 1] == [word.content for word in begun.words][:-1]


KEYS = st.sampled_from(["message", "results", "channel", "metadata", "forced"])
ODD = st.none() | st.booleans() | st.integers() | st.lists(st.none() | st.dictionaries(st.just("type"), KEYS))
KINDS = st.sampled_from(["AddTranscript", "EndOfUtterance", "LanguageInfo", "RecognitionStarted"])


@given(st.lists(st.dictionaries(KEYS, ODD | KINDS)))
def test_what_a_server_sends_amiss_is_passed_over(messages: Any) -> None:
    follower = Utterances()
    for message in messages:
        follower.add(message)
    follower.spoken()
    follower.end()


# -- by example ----------------------------------------------------------------------------------------


def test_each_says_why_it_is_over() -> None:
    _, over = hear(
        [
            final(token("one", 0, "S1"), token("two", 1, "S1")),
            end_of_utterance(),
            final(token("three", 2, "S1"), token("four", 3, "S2")),
            end_of_utterance(forced=True),
            final(token("five", 4, "S2")),
        ]
    )
    assert [(one.text, one.speaker, one.ended_by) for one in over] == [
        ("one two", "S1", "silence"),
        ("three", "S1", "speaker"),
        ("four", "S2", "forced"),
        ("five", "S2", "end"),
    ]
    assert (over[0].start_time, over[0].end_time, over[0].label) == (0, 1.3, "S1")


def test_a_change_of_speaker_is_seen_with_the_first_word_of_the_next() -> None:
    follower = Utterances()
    assert follower.add(final(token("one", 0, "S1"))) == []
    (over,) = follower.add(final(token(".", 0.3, "S1", "previous"), token("two", 1, "S2")))
    assert over.text == "one."


def test_a_mark_that_comes_too_late_is_left_out() -> None:
    _, over = hear(
        [final(token("one", 0)), end_of_utterance(), final(token(".", 0.3, mark="previous"), token("two", 1))]
    )
    assert [utterance.text for utterance in over] == ["one", "two"]


def test_a_pause_of_one_channel_leaves_the_other_alone_unless_the_server_names_none() -> None:
    follower = Utterances()
    follower.add(final(token("left", 0), channel="a"))
    follower.add(final(token("right", 0), channel="b"))
    assert [one.text for one in follower.add(end_of_utterance(channel="a"))] == ["left"]
    assert [one.text for one in follower.add(end_of_utterance())] == ["right"]


def test_what_is_being_spoken_has_its_partial() -> None:
    follower = Utterances()
    assert follower.spoken() is None
    follower.add(final(token("Good", 0)))
    follower.add({**final(token("Good", 0), token("morn", 0.4)), "message": "AddPartialTranscript"})
    follower.add(final(token("Good", 0)))
    spoken = follower.spoken()
    assert spoken is not None
    assert spoken.partial == "morn"
    assert spoken.ended_by is None


def partial_of(follower: Utterances) -> str:
    spoken = follower.spoken()
    return "" if spoken is None else spoken.partial


def test_the_mark_after_a_word_that_became_final_leaves_the_partial_with_it() -> None:
    late = [token("late", 1.0), token(",", 1.3, mark="previous"), token("so", 1.3)]
    for said in (late[:1], late[:2]):  # the mark may also come with the next final
        follower = Utterances()
        follower.add({**final(*late), "message": "AddPartialTranscript"})
        follower.add(final(*said))
        assert partial_of(follower) == "so"


def test_a_partial_is_shown_whole_though_it_may_begin_a_little_before_the_end_of_the_final() -> None:
    follower = Utterances()
    follower.add(final(token("how", 1.0)))
    follower.add({**final(token("are", 1.25), token("you", 1.6)), "message": "AddPartialTranscript"})
    assert partial_of(follower) == "are you"


def test_a_mark_that_comes_after_the_end_of_its_utterance_is_not_shown_either() -> None:
    follower = Utterances()
    follower.add(final(token("late", 1.0)))
    follower.add(end_of_utterance())
    marked = [token(".", 1.3, mark="previous"), token("So", 2.0)]
    follower.add({**final(*marked), "message": "AddPartialTranscript"})
    assert partial_of(follower) == "So"


def test_words_are_joined_as_the_server_says_for_its_language() -> None:
    follower = Utterances({"word_delimiter": ""})
    follower.add(final(token("你", 0), token("好", 1)))
    assert follower.end()[0].text == "你好"


def test_it_has_a_form_for_json() -> None:
    utterance = Utterance((Word("Yes", 1.0, 1.5, "Yes.", speaker="S1", is_eos=True),), "forced")
    assert json.loads(json.dumps(utterance.to_dict())) == {
        "speaker": "S1",
        "channel": None,
        "text": "Yes.",
        "start_time": 1.0,
        "end_time": 1.5,
        "ended_by": "forced",
        "words": [
            {
                "content": "Yes",
                "start_time": 1.0,
                "end_time": 1.5,
                "text": "Yes.",
                "delimiter": "",
                "type": "word",
                "confidence": None,
                "speaker": "S1",
                "channel": None,
                "language": None,
                "is_eos": True,
                "tags": [],
                "entity_class": None,
                "volume": None,
            }
        ],
    }
    assert repr(utterance) == "<Utterance S1: 'Yes.' 1.00-1.50 s, ended by forced>"
    going_on = Utterance((), None, (Word("No", 2.0, 2.5, "No"),))
    assert repr(going_on) == "<Utterance '' 2.00-2.50 s, perhaps going on with 'No'>"
    assert repr(Utterance(())) == "<Utterance of no words>"
