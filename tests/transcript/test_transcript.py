"""The transcript: joining, channels, partials, storing, captions."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
import threading
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.messages.types import ServerMessageType
from speechmatics_rt.transcript import captions, words
from speechmatics_rt.transcript.captions import CaptionShape, arrange
from speechmatics_rt.transcript.transcript import Paragraph, Transcript, Word

from ..samples import tried


def token(content: str, kind: str = "word", at: float = 0.0, **more: Any) -> dict[str, Any]:
    best = {"content": content, "confidence": 0.9}
    best.update({key: more.pop(key) for key in ("speaker", "language", "tags") if key in more})
    return {
        "type": kind,
        "start_time": at,
        "end_time": at + (kind != "punctuation") * 0.4,
        "alternatives": [best],
        **more,
    }


def mark(
    content: str, attaches_to: Optional[str] = "previous", at: float = 0.0, **more: Any
) -> dict[str, Any]:
    if attaches_to is not None:
        more["attaches_to"] = attaches_to
    return token(content, "punctuation", at, **more)


def final(
    *results: dict[str, Any], end: float = 0.0, kind: str = "AddTranscript", **more: Any
) -> dict[str, Any]:
    return {
        "message": kind,
        "metadata": {"start_time": 0.0, "end_time": end, "transcript": "?"},
        "results": [*results],
        **more,
    }


def partial(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return final(*results, kind="AddPartialTranscript", **more)


def started(**pack: Any) -> dict[str, Any]:
    return {"message": "RecognitionStarted", "id": "5b0e", "language_pack_info": pack}


def heard(*messages: dict[str, Any]) -> Transcript:
    transcript = Transcript()
    for message in messages:
        transcript.add(message)
    return transcript


# -- joining -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ([], ""),
        ([token("Good"), token("day"), mark(".")], "Good day."),
        ([token("Good"), mark(",", None), token("day")], "Good, day"),
        ([token("say"), mark("¿", "next"), token("qué"), mark("?")], "say ¿qué?"),
        ([token("well"), mark("-", "both"), token("known"), token("man")], "well-known man"),
        ([token("this"), mark("&", "none"), token("that")], "this & that"),
        ([mark("."), token("late")], ". late"),
        ([mark("-", "both"), token("late")], "-late"),
        ([mark("¡", "next"), mark("¿", "next"), token("qué")], "¡¿qué"),
        ([token("open"), mark("(", "next")], "open ("),
        ([mark("(", "next"), mark("."), token("a")], "(.a"),
        ([token("a"), mark("?", "tomorrow"), token("b")], "a ? b"),
        ([token("paid"), token("forty two pounds", "entity"), mark(".")], "paid forty two pounds."),
    ],
)
def test_marks_attach_as_the_server_says(tokens: list[dict[str, Any]], text: str) -> None:
    assert heard(final(*tokens)).text == text


def test_a_mark_in_a_later_final_sticks_to_its_word() -> None:
    transcript = heard(final(token("speech")))
    assert transcript.text == "speech"  # reading in between changes nothing
    transcript.add(final())
    transcript.add(final(mark(".", is_eos=True)))
    transcript.add(final(token("Next")))
    assert transcript.text == "speech. Next"
    assert [(word.content, word.text, word.is_eos) for word in transcript.words] == [
        ("speech", "speech.", True),
        ("Next", "Next", False),
    ]


def test_the_delimiter_is_that_of_the_pack() -> None:
    spoken = final(token("你好"), mark("，"), token("世界"))  # noqa: RUF001
    assert heard(started(word_delimiter=""), spoken).text == "你好，世界"  # noqa: RUF001
    assert heard(started(word_delimiter="_"), final(token("a"), token("b"))).text == "a_b"


@pytest.mark.parametrize(("language", "text"), [("cmn", "ab"), ("ja", "ab"), ("en", "a b"), (None, "a b")])
def test_without_a_pack_the_delimiter_is_that_of_the_language(language: Optional[str], text: str) -> None:
    assert heard(final(token("a", language=language), token("b", language=language))).text == text


def test_each_language_of_a_session_has_its_own_delimiter() -> None:
    spoken = final(
        *(token(word, language=code) for word, code in (("a", "en"), ("b", "en"), ("c", "ja"), ("d", "ja")))
    )
    info = {
        "message": "LanguageInfo",
        "language": "ja",
        "word_delimiter": "",
        "writing_direction": "left-to-right",
    }
    assert heard(started(word_delimiter=" "), info, spoken).text == "a b cd"
    assert (
        heard(started(word_delimiter=" ", per_language_word_delimiters={"ja": ""}), spoken).text == "a b cd"
    )


def test_what_is_learnt_late_counts_for_all() -> None:
    transcript = heard(final(token("a"), token("b")))
    assert transcript.text == "a b"
    transcript.add(started(word_delimiter=""))
    assert transcript.text == "ab"


def test_the_pack_is_known() -> None:
    transcript = heard(
        started(word_delimiter=" ", writing_direction="right-to-left", language_description="Arabic")
    )
    assert transcript.direction == "rtl"
    assert transcript.language_pack_info["language_description"] == "Arabic"
    assert Transcript().direction == "ltr"


def test_words_carry_what_the_server_said_of_them() -> None:
    result = token(
        "£42", "entity", 7.0, speaker="S1", language="en", tags=["profanity"], entity_class="money", volume=30
    )
    (word,) = heard(final(result, channel="agent")).words
    assert word == Word(
        content="£42",
        start_time=7.0,
        end_time=7.4,
        text="£42",
        type="entity",
        confidence=0.9,
        speaker="S1",
        channel="agent",
        language="en",
        tags=("profanity",),
        entity_class="money",
        volume=30,
    )


@pytest.mark.parametrize(
    "message",
    [
        {"message": "AddTranscript"},
        {"message": "AddTranscript", "results": None, "metadata": None},
        final({"type": "word"}, {"alternatives": []}, {"alternatives": [None]}, {"alternatives": [{}]}),  # type: ignore[arg-type]
        {"message": "AddTranscript", "results": [None, 3, {"alternatives": [{"content": None, "tags": 3}]}]},
        {"message": "RecognitionStarted"},
        {"message": "RecognitionStarted", "language_pack_info": {"word_delimiter": None}},
        {"message": "LanguageInfo"},
        {"message": "AddPartialTranscript", "results": 3},
        {"message": "Tomorrow", "results": [token("x")]},
        {},
    ],
)
def test_messages_without_text_are_borne(message: dict[str, Any]) -> None:
    transcript = heard(message, final(token("a", start_time=None), token("b")))
    assert transcript.text == "a b"
    assert transcript.partial == ""
    assert transcript.to_srt()
    assert Transcript.from_dict(transcript.to_dict()).text == "a b"


# -- partials ----------------------------------------------------------------------------------------


def test_a_partial_replaces_the_one_before() -> None:
    transcript = heard(partial(token("how")), partial(token("how"), token("are")))
    assert (transcript.text, transcript.partial) == ("", "how are")
    transcript.add(partial())
    assert transcript.partial == ""


def test_words_that_became_final_leave_the_partial_at_once() -> None:
    transcript = heard(
        partial(token("how", at=1.0), token("are", at=1.4)), final(token("how", at=1.0), end=1.4)
    )
    assert (transcript.text, transcript.partial) == ("how", "are")
    transcript.add(partial(token("our", at=1.32)))  # may begin a little before the end of the final
    assert transcript.partial == "our"


def test_the_mark_after_a_word_that_became_final_leaves_the_partial_with_it() -> None:
    late = [token("late", at=1.0), mark(",", at=1.4), token("so", at=1.4)]
    transcript = heard(partial(*late), final(*late[:2], end=1.4))
    assert (transcript.text, transcript.partial) == ("late,", "so")
    transcript = heard(partial(*late), final(late[0], end=1.4))  # the mark comes with the next final
    assert (transcript.text, transcript.partial) == ("late", "so")
    transcript.add(partial(*late[1:]))  # as the service says it, it stays
    assert transcript.partial == ", so"


def test_each_channel_has_its_own_partial_which_ends_with_the_transcript() -> None:
    transcript = heard(partial(token("yes"), channel="a"), partial(token("no"), channel="b"))
    assert transcript.partial == "yes\nno"
    transcript.add(partial(channel="a"))
    assert transcript.partial == "no"
    transcript.add({"message": "EndOfTranscript"})
    assert transcript.partial == ""


# -- speakers and channels ---------------------------------------------------------------------------


def test_paragraphs_change_with_the_speaker() -> None:
    transcript = heard(
        final(token("Hello", speaker="S1"), mark(".", speaker="S1"), token("Hi", at=1, speaker="S2")),
        final(token("there", at=2, speaker="S2"), mark("!", at=2.4, speaker="S2"), end=2.4),
    )
    assert [(turn.speaker, turn.text) for turn in transcript.paragraphs] == [
        ("S1", "Hello."),
        ("S2", "Hi there!"),
    ]
    assert transcript.text == "Hello. Hi there!"
    assert str(transcript) == "S1: Hello.\nS2: Hi there!"
    assert (transcript.paragraphs[1].start_time, transcript.paragraphs[1].end_time) == (1, 2.4)
    assert transcript.end_time == 2.4


def test_one_speaker_needs_no_label() -> None:
    assert str(heard(final(token("Hello", speaker="S1"), token("you", speaker="S1")))) == "Hello you"


def _two_channels(in_message: bool) -> list[dict[str, Any]]:
    def said(channel: str, *results: dict[str, Any]) -> dict[str, Any]:
        if in_message:
            return final(*results, channel=channel)
        return final(*({**result, "channel": channel} for result in results))

    return [
        said("b", token("Fine", at=5.0)),
        said("a", token("How", at=1.0), token("are", at=1.4)),
        said("b", mark(".", at=5.4, is_eos=True)),
        said("a", token("you", at=1.8), mark("?", at=2.2, is_eos=True)),
        said("a", token("Good", at=7.0), mark(".", at=7.4, is_eos=True)),
    ]


@pytest.mark.parametrize(
    "in_message", [True, False], ids=["channel in the message", "channel in each result"]
)
def test_channels_are_joined_each_on_its_own_and_ordered_by_time(in_message: bool) -> None:
    transcript = heard(*_two_channels(in_message))
    assert transcript.text == "How are you?\nFine.\nGood."
    assert str(transcript) == "a: How are you?\nb: Fine.\na: Good."
    assert [turn.channel for turn in transcript.paragraphs] == ["a", "b", "a"]
    stored = Transcript.from_dict(json.loads(json.dumps(transcript.to_dict())))
    assert stored.words == transcript.words


@pytest.mark.parametrize("bounds", [(1, 2, 3, 4), (2, 4)], ids=["a final each", "longer finals"])
def test_text_and_equality_do_not_depend_on_the_order_in_which_channels_come(bounds: tuple[int, ...]) -> None:
    """What two channels said at the same moments, whichever of them was faster, and however it was cut."""

    def said(channel: str) -> list[dict[str, Any]]:
        pieces, begin = [], 0
        for end in bounds:
            tokens = [token(f"{channel}{number}", at=number * 2.0) for number in range(begin, end)]
            pieces.append(final(*tokens, end=end * 2.0, channel=channel))
            begin = end
        return pieces

    one, other = said("agent"), said("caller")
    in_turns = [message for pair in zip(other, one) for message in pair]
    orders = [heard(*order) for order in (one + other, other + one, in_turns)]
    for transcript in orders:
        transcript.add(
            partial(token("and", at=9.0), channel="caller" if transcript is orders[0] else "agent")
        )
        transcript.add(
            partial(token("and", at=9.0), channel="agent" if transcript is orders[0] else "caller")
        )
    assert str(orders[0]).startswith("agent: agent0\ncaller: caller0\nagent: agent1")
    assert {str(each) for each in orders} == {str(orders[0])}
    assert {each.text for each in orders} == {orders[0].text}
    assert {each.partial for each in orders} == {orders[0].partial}
    assert {json.dumps(each.to_dict()) for each in orders} == {json.dumps(orders[0].to_dict())}
    assert orders[0] == orders[1] == orders[2] == Transcript.from_dict(orders[1].to_dict())


def test_speakers_of_two_channels_are_different_people() -> None:
    transcript = heard(
        final(token("a", speaker="S1"), channel="x"), final(token("b", speaker="S1"), channel="y")
    )
    assert str(transcript) == "x S1: a\ny S1: b"


def test_the_notebook_view_escapes_text_and_shows_the_partial() -> None:
    transcript = heard(
        final(token("<b>", speaker="S1"), token("&", speaker="<i>")), partial(token("<script>", at=9))
    )
    shown = transcript._repr_html_()
    assert "&lt;i&gt;</b>" in shown
    assert "&amp;" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "2 words" in repr(transcript)


# -- storing -----------------------------------------------------------------------------------------


def _rich() -> Transcript:
    info = {
        "message": "LanguageInfo",
        "language": "he",
        "word_delimiter": " ",
        "writing_direction": "right-to-left",
    }
    return heard(
        started(word_delimiter=" ", itn=True),
        info,
        *_two_channels(True),
        final(end=9.5, channel="a"),
        partial(token("and", at=9.6), channel="a", end=9.9),
    )


@pytest.mark.parametrize(
    "again",
    [
        lambda transcript: Transcript.from_dict(transcript.to_dict()),
        lambda transcript: Transcript.from_dict(json.loads(json.dumps(transcript.to_dict()))),
        lambda transcript: pickle.loads(pickle.dumps(transcript)),
        copy.deepcopy,
    ],
    ids=["dict", "json", "pickle", "deepcopy"],
)
def test_a_stored_transcript_is_the_same(again: Any) -> None:
    transcript = _rich()
    stored = again(transcript)
    for name in (
        "text",
        "partial",
        "words",
        "paragraphs",
        "end_time",
        "end_times",
        "direction",
        "language_pack_info",
    ):
        assert getattr(stored, name) == getattr(transcript, name), name
    assert stored.to_dict() == transcript.to_dict()
    assert stored.to_srt() == transcript.to_srt()
    stored.add(final(mark("!", at=7.4), channel="a"))
    assert stored.text == "How are you?\nFine.\nGood.!"


def test_each_channel_has_its_own_end() -> None:
    assert Transcript().end_times == {}
    assert heard(final(token("yes"), end=2.0), final(end=1.5)).end_times == {None: 2.0}
    transcript = heard(final(token("yes"), end=2.0, channel="a"), final(end=7.0, channel="b"))
    assert (transcript.end_times, transcript.end_time) == ({"a": 2.0, "b": 7.0}, 7.0)
    transcript.end_times.clear()
    assert transcript.end_time == 7.0
    assert Transcript.from_dict(transcript.to_dict()).end_times == {"a": 2.0, "b": 7.0}


def test_messages_are_never_changed() -> None:
    messages = [started(word_delimiter=" "), *_two_channels(True)]
    before = copy.deepcopy(messages)
    transcript = heard(*messages)
    assert transcript.text
    assert transcript.to_dict()
    assert messages == before


# -- properties --------------------------------------------------------------------------------------

_TOKENS = st.lists(
    st.one_of(
        st.builds(token, st.sampled_from(["a", "bb", "ccc dd"]), st.sampled_from(["word", "entity"])),
        st.builds(
            mark,
            st.sampled_from([".", ",", "¿"]),
            st.sampled_from(["previous", "next", "both", "none", None]),
        ),
    ),
    max_size=12,
)


def reference(tokens: list[dict[str, Any]], delimiter: str) -> str:
    """Join by the rules, in two plain passes."""
    pieces: list[str] = []
    waiting, glue = "", False
    for item in tokens:
        content = item["alternatives"][0]["content"]
        where = item.get("attaches_to", "previous") if item["type"] == "punctuation" else "none"
        if where == "previous" and not pieces and not waiting:
            pieces.append(content)
        elif where in ("previous", "both") and pieces and not waiting:
            pieces[-1] += content
            glue = glue or where == "both"
        elif where == "previous" or where in ("next", "both"):
            waiting += content
        elif glue:
            pieces[-1] += waiting + content
            waiting, glue = "", False
        else:
            pieces.append(waiting + content)
            waiting = ""
    if waiting and glue:
        pieces[-1] += waiting
    elif waiting:
        pieces.append(waiting)
    return delimiter.join(pieces)


@given(_TOKENS, st.sampled_from([" ", "", "_"]), st.data())
def test_text_is_that_of_the_rules_however_it_was_cut_and_read(
    tokens: list[dict[str, Any]], delimiter: str, data: st.DataObject
) -> None:
    transcript = heard(started(word_delimiter=delimiter))
    rest, before = tokens, ""
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        transcript.add(final(*rest[:size]))
        rest = rest[size:]
        if data.draw(st.booleans()):
            text = transcript.text
            assert text == reference(tokens[: len(tokens) - len(rest)], delimiter)
            assert text.startswith(before)
            before = text
    expected = reference(tokens, delimiter)
    assert transcript.text == expected
    assert "".join(word.delimiter + word.text for word in transcript.words) == expected
    assert "".join(turn.text for turn in transcript.paragraphs) == expected
    assert Transcript.from_dict(transcript.to_dict()).text == expected


_SPOKEN = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=12) | st.sampled_from(["x" * 99, "one two " * 12, "世" * 50]),
        st.floats(0, 3),
        st.floats(0, 9),
        st.sampled_from(["S1", "S2", "Dr. Very Long Name Of A Speaker Who Has Many Names"]),
        st.sampled_from([None, "a", "b"]),
        st.booleans(),
    ),
    max_size=40,
)


@tried(150)
@given(_SPOKEN)
def test_captions_keep_to_their_form_whatever_was_said(spoken: list[tuple[Any, ...]]) -> None:
    transcript, now = Transcript(), 0.0
    for content, pause, length, speaker, channel, ends in spoken:
        item = token(content, "word", now + pause, speaker=speaker)
        item["end_time"] = now + pause + length
        transcript.add(final(item, *[mark(".", at=item["end_time"], is_eos=True)] * ends, channel=channel))
        now = item["end_time"] - (length if channel == "a" else 0)
    for named in (True, False):
        shown = arrange(transcript.paragraphs, named)
        for caption in shown:
            assert 1 <= len(caption.lines) <= 2
            assert all(line and captions.width(line) <= CaptionShape().columns for line in caption.lines)
            assert caption.end - caption.start >= 100
        assert all(one.end <= two.start for one, two in zip(shown, shown[1:]))
    letters = re.sub(r"\s", "", "".join(word.text for word in transcript.words))
    letters = re.sub("[\x00-\x1f\x7f-\x9f]", "\ufffd", letters)
    assert sorted(re.sub(r"\s", "", "".join(line for caption in shown for line in caption.lines))) == sorted(
        letters
    )
    assert transcript.to_srt().count(" --> ") == len(arrange(transcript.paragraphs, True))
    assert transcript.to_vtt().count(" --> ") == len(shown)


@pytest.mark.parametrize(
    "data",
    [
        [],
        "text",
        {},
        {"foo": 1},
        {"results": None},
        {"results": [None]},
        {"results": [{"x": 1}, 3]},
        {"results": [{"x": 1}]},
        {"results": [{"word": "Good", "start": 0.0, "end": 0.4}]},
        {"results": {"type": "word"}},
        {"results": [], "languages": ["en"]},
        {"results": [], "languages": None},
        {"results": [], "end_times": 1.5},
        {"results": [], "partials": [None]},
        {"results": [], "partials": [{"channel": None, "results": "words"}]},
    ],
)
def test_what_is_no_transcript_is_refused_by_its_name(data: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a transcript: "):
        Transcript.from_dict(data)


def test_what_is_left_out_or_odd_in_a_kept_transcript_says_nothing() -> None:
    odd = {"end_time": "soon", "language_pack_info": 3, "partials": [{"channel": ["a"]}]}
    for data in ({"results": []}, {"results": [{"type": "word"}], **odd}):
        transcript = Transcript.from_dict(data)
        assert (transcript.text, transcript.words, transcript.end_time) == ("", [], 0.0)


def test_what_a_server_sends_that_is_no_result_is_not_kept_so_that_all_that_is_kept_is_accepted() -> None:
    transcript = heard(final(token("yes"), {"x": 1}, None, end=1.0))  # type: ignore[arg-type]
    again = Transcript.from_dict(transcript.to_dict())
    assert (again.text, again) == ("yes", transcript)


def test_words_and_paragraphs_are_fit_for_json_and_always_have_the_same_keys() -> None:
    transcript = heard(
        final(token("good", speaker="S1", tags=["profanity"]), token("day", at=1.0, speaker="S1"), mark("."))
    )
    (turn,) = transcript.paragraphs
    whole = json.loads(json.dumps(turn.to_dict()))
    assert whole["text"] == "good day."
    assert (whole["speaker"], whole["channel"], whole["start_time"], whole["end_time"]) == (
        "S1",
        None,
        0.0,
        1.4,
    )
    assert whole["words"] == [word.to_dict() for word in transcript.words]
    assert [word["tags"] for word in whole["words"]] == [["profanity"], []]
    assert [set(word) for word in whole["words"]] == [{field.name for field in dataclasses.fields(Word)}] * 2


# -- captions ----------------------------------------------------------------------------------------


def _sentence(text: str, start: float = 0.0, speaker: Optional[str] = None, step: float = 0.4) -> list[Word]:
    parts = text.split()
    return [
        Word(
            part,
            start + n * step,
            start + (n + 1) * step,
            part,
            " " if n else "",
            speaker=speaker,
            is_eos=part[-1] in ".?!",
        )
        for n, part in enumerate(parts)
    ]


def test_srt_is_numbered_named_and_timed() -> None:
    turns = [
        Paragraph(tuple(_sentence("Good morning, Alice.", 1.0, "S1"))),
        Paragraph(tuple(_sentence("Hello.", 61.5, "S2"))),
    ]
    assert captions.srt(turns) == (
        "1\n00:00:01,000 --> 00:00:02,412\nS1: Good morning, Alice.\n\n"
        "2\n00:01:01,500 --> 00:01:02,500\nS2: Hello.\n"
    )


def test_vtt_has_voices_and_escapes() -> None:
    turns = [
        Paragraph(tuple(_sentence("A <b> & c --> d.", 0.0, "S1"))),
        Paragraph(tuple(_sentence("No.", 3600.0, "O>k"))),
    ]
    assert captions.vtt(turns) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.400\n<v S1>A &lt;b&gt; &amp; c --&gt; d.\n\n"
        "01:00:00.000 --> 01:00:01.000\n<v O&gt;k>No.\n"
    )


def test_nothing_said_gives_empty_captions() -> None:
    assert Transcript().to_srt() == ""
    assert Transcript().to_vtt() == "WEBVTT\n"


def test_lines_are_balanced_and_end_at_a_sentence() -> None:
    text = "We met on the hill above the town at noon. "
    text += "Then the rain began, and everyone ran down to the houses by the river."
    shown = arrange([Paragraph(tuple(_sentence(text, step=0.2)))], named=True)
    assert [caption.lines for caption in shown] == [
        ("We met on the hill above the town at noon.",),
        ("Then the rain began, and everyone", "ran down to the houses by the river."),
    ]


def test_a_quick_exchange_does_not_overlap_and_catches_up() -> None:
    turns = [Paragraph(tuple(_sentence("No.", 0.2 * n, f"S{n % 2}"))) for n in range(3)]
    turns.append(Paragraph(tuple(_sentence("Later.", 10.0, "S1"))))
    shown = arrange(turns, named=True)
    assert [(caption.start, caption.lines) for caption in shown] == [
        (0, ("S0: No.", "S1: No.")),
        (1000, ("S0: No.",)),
        (10_000, ("S1: Later.",)),
    ]


# -- threads and interrupts --------------------------------------------------------------------------


def test_any_thread_may_read_while_another_adds() -> None:
    transcript, done = Transcript(), threading.Event()
    failures: list[str] = []

    def read() -> None:
        before = ""
        while True:
            last = done.is_set()
            text = transcript.text
            if not text.startswith(before):
                failures.append(f"{before!r} became {text!r}")
            before = text
            list(transcript.words)
            transcript.to_dict()
            if last:
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(400):
        transcript.add(final(token(f"w{n}"), end=float(n)))
        transcript.add(partial(token("p")))
    done.set()
    for reader in readers:
        reader.join(30)
    assert not failures
    assert transcript.text == " ".join(f"w{n}" for n in range(400))


def test_an_interrupt_while_reading_loses_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = heard(final(token("a")))
    assert transcript.text == "a"
    transcript.add(final(token("b"), token("c")))
    add, calls = words.Joiner.add, []

    def interrupted(self: words.Joiner, result: Any) -> None:
        add(self, result)
        calls.append(result)
        if len(calls) == 1:
            assert transcript.text == "a b c"  # a signal handler reads in mid-join
            raise KeyboardInterrupt

    monkeypatch.setattr(words.Joiner, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _ = transcript.text
    assert transcript.text == "a b c"


def test_enums_name_messages_too() -> None:
    assert heard({**final(token("a")), "message": ServerMessageType.ADD_TRANSCRIPT}).text == "a"


@pytest.mark.parametrize("kind", ["AddTranscript", "AddPartialTranscript"])
@pytest.mark.parametrize(
    "more",
    [
        {"language": ["en"]},
        {"language": {}},
        {"speaker": 5},
        {"speaker": ["S1"]},
        {"type": ["word"]},
        {"entity_class": 7},
    ],
    ids=str,
)
def test_odd_fields_of_words_are_left_out_and_the_text_stays_readable(
    kind: str, more: dict[str, Any]
) -> None:
    transcript = Transcript()
    transcript.add(final(token("so", **more), token("on", at=1.0, **more), kind=kind))
    assert (transcript.text or transcript.partial) == "so on"
    for show in (str, repr, Transcript.to_srt, Transcript.to_vtt, Transcript._repr_html_, Transcript.to_dict):
        show(transcript)
    assert Transcript.from_dict(transcript.to_dict()).text == transcript.text


@pytest.mark.parametrize("delimiter", [5, None, ["-"]], ids=repr)
def test_odd_delimiters_of_the_pack_are_left_out(delimiter: Any) -> None:
    transcript = Transcript()
    pack = {"per_language_word_delimiters": {"en": delimiter}}
    transcript.add({"message": "RecognitionStarted", "language_pack_info": pack})
    transcript.add(final(token("so", language="en"), token("on", language="en")))
    assert str(transcript) == "so on"


def test_what_a_handler_does_to_a_partial_changes_no_transcript() -> None:
    transcript = Transcript()
    message = partial(token("so"), token("on"))
    transcript.add(message)
    message["results"].clear()
    assert transcript.partial == "so on"
