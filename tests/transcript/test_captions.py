"""Captions, read back by parsers that know nothing of us."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConfigurationError,
    MultiChannelClient,
    Transcript,
    TranscriptionConfig,
)
from speechmatics_rt.local import LocalServer
from speechmatics_rt.transcript.captions import arrange
from speechmatics_rt.transcript.words import Paragraph, Word

from ..samples import tried
from ..steps import steps

PCM = AudioFormat("pcm_s16le", 16000)


@pytest.fixture(scope="module", params=["one speaker", "speakers", "channels"])
def transcript(request: Any) -> Transcript:
    with LocalServer() as server:
        if request.param == "channels":
            with MultiChannelClient(url=server.url) as several:
                sources = {"agent": bytes(32000 * 30), "caller": bytes(32000 * 20)}
                return several.transcribe(sources, audio_format=PCM)
        config = TranscriptionConfig(diarization="speaker" if request.param == "speakers" else "none")
        with Client(url=server.url) as client:
            return client.transcribe(bytes(32000 * 40), audio_format=PCM, transcription_config=config)


def spoken(transcript: Transcript) -> list[str]:
    return sorted(word.text for word in transcript.words)


def test_srt_is_read_back_with_every_word_once_in_order_and_without_overlap(transcript: Transcript) -> None:
    cues = list(srt.parse(transcript.to_srt()))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    names = {f"{label}:" for label in {word.speaker or word.channel for word in transcript.words} if label}
    words = [word for cue in cues for word in cue.content.split() if word not in names and word != "-"]
    assert sorted(words) == spoken(transcript)
    for cue, following in zip(cues, cues[1:]):
        assert cue.start < cue.end <= following.start
    for cue in cues:
        lines = cue.content.splitlines()
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)


def test_vtt_is_read_back_with_every_word_once_and_within_the_form(transcript: Transcript) -> None:
    cues = webvtt.from_buffer(io.StringIO(transcript.to_vtt()))
    words = [word for cue in cues for word in cue.text.split() if word != "-"]
    assert sorted(words) == spoken(transcript)
    for cue in cues:
        lines = cue.text.splitlines()
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)


# -- quick exchanges, and two who speak at once ------------------------------------------------------------

Said = tuple[float, float, str, str]  # start, end, text, who


def told(said: Iterable[Said], channels: bool) -> Transcript:
    transcript = Transcript()
    for start, end, text, who in said:
        best = {"content": text, "confidence": 1.0, **({} if channels else {"speaker": who})}
        word = {"type": "word", "start_time": start, "end_time": end, "alternatives": [best]}
        mark = {"type": "punctuation", "attaches_to": "previous", "is_eos": True, "start_time": end}
        results = [word, {**mark, "end_time": end, "alternatives": [{**best, "content": "."}]}]
        message = {"message": "AddTranscript", "metadata": {"start_time": start, "end_time": end}}
        transcript.add({**message, "results": results, **({"channel": who} if channels else {})})
    return transcript


def cues_of(transcript: Transcript) -> Iterator[list[tuple[float, float, str]]]:
    """What two parsers read: start, end, text."""
    yield [
        (cue.start.total_seconds(), cue.end.total_seconds(), cue.content)
        for cue in srt.parse(transcript.to_srt())
    ]
    read = webvtt.from_buffer(io.StringIO(transcript.to_vtt()))
    yield [(seconds(cue.start), seconds(cue.end), cue.text) for cue in read]


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def sync(transcript: Transcript, said: Iterable[Said]) -> tuple[float, float]:
    """How early and how late captions, and what another one says in them, are shown at most."""
    starts = {text: start for start, _, text, _ in said}
    speakers = {text: who for _, _, text, who in said}
    early = late = 0.0
    for cues in cues_of(transcript):
        shown = []
        for start, _, text in cues:
            words = re.findall(r"\bw\d+\b", text)
            shown += words
            first = {speakers[word]: starts[word] for word in reversed(words)}
            early = max(early, *(time - start for time in first.values()))
            late = max(late, start - starts[words[0]])
        assert sorted(shown) == sorted(starts)
    return early, late


@pytest.mark.parametrize("channels", [False, True], ids=["speakers", "channels"])
@pytest.mark.parametrize("gap", [0.2, 0.3, 0.6, 0.8, 1.0, 1.3])
@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("count", [150, pytest.param(600, marks=pytest.mark.reliability)])
def test_captions_of_a_quick_exchange_stay_with_the_sound(
    gap: float, people: int, channels: bool, count: int
) -> None:
    said = [(n * gap, (n + 0.8) * gap, f"w{n}", f"S{n % people}") for n in range(count)]
    early, late = sync(told(said, channels), said)
    assert late <= 2.01
    assert early <= 1.51


@tried(60)
@given(
    turns=st.lists(
        st.tuples(st.floats(0, 2), st.floats(0.05, 4), st.sampled_from("ABC")), min_size=1, max_size=60
    ),
    channels=st.booleans(),
)
def test_captions_stay_with_the_sound_however_people_speak(turns: list[Any], channels: bool) -> None:
    said, now = [], 0.0
    for number, (pause, length, who) in enumerate(turns):
        now += 0.15 + pause  # faster than this nobody takes turns for long
        said.append((now, now + length, f"w{number}", who))
    early, late = sync(told(said, channels), said)
    assert late <= 2.01
    assert early <= 1.51


def sentences(who: str, begin: float, count: int) -> Iterator[Said]:
    """Speech at an ordinary pace, 2.5 words of 6 columns a second, in sentences of 5 seconds."""
    for number in range(count):
        at = begin + number * 5
        yield at, at + 4.8, " ".join(f"{who}{number % 10}word{index:02d}" for index in range(9)), who


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0, 2.5])
def test_of_two_who_speak_at_once_both_can_be_read(shift: float) -> None:
    said = sorted([*sentences("A", 0, 30), *sentences("B", shift, 30)])
    transcript = told(said, channels=True)
    for cues in cues_of(transcript):
        for start, end, text in cues:
            columns = sum(map(len, text.splitlines()))
            assert columns / (end - start) <= 65, text  # of both; their speech has 36 and more a second
        assert cues[-1][0] <= said[-1][1] + 2


def test_a_line_each_has_a_voice_each() -> None:
    transcript = told([(0.0, 0.4, "Yes", "A"), (0.5, 0.9, "No", "B<"), (5.0, 5.5, "Well", "A")], True)
    assert transcript.to_vtt() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v A>Yes.</v>\n<v B&lt;>No.</v>\n\n"
        "00:00:05.000 --> 00:00:06.000\n<v A>Well.\n"
    )
    assert "A: Yes.\nB<: No.\n" in transcript.to_srt()
    assert next(iter(webvtt.from_buffer(io.StringIO(transcript.to_vtt())))).text == "Yes.\nNo."


@pytest.mark.parametrize(("columns", "lines"), [(10, 1), (20, 3), (32, 2), (80, 1), (25, 5)])
def test_captions_of_any_shape_hold_every_word_and_no_more_than_they_may(
    transcript: Transcript, columns: int, lines: int
) -> None:
    text = transcript.to_vtt(columns=columns, lines=lines)
    cues = webvtt.from_buffer(io.StringIO(text))
    said = "".join("".join(cue.text.split()) for cue in cues)
    assert sorted(said) == sorted("".join(spoken(transcript)))
    for cue in cues:
        rows = cue.text.splitlines()
        assert len(rows) <= lines
        assert all(len(row) <= columns for row in rows)
    named = srt.parse(transcript.to_srt(columns=columns, lines=lines))
    assert all(len(cue.content.splitlines()) <= lines for cue in named)


def uttered(*words: tuple[float, float, str, str], delimiter: str = " ") -> Transcript:
    """A transcript of these words: start, end, text, speaker."""
    transcript = Transcript()
    transcript.add({"message": "RecognitionStarted", "language_pack_info": {"word_delimiter": delimiter}})
    results = [
        {
            "type": "word",
            "start_time": start,
            "end_time": end,
            "is_eos": text.endswith("."),
            "alternatives": [{"content": text, "speaker": who}],
        }
        for start, end, text, who in words
    ]
    transcript.add({"message": "AddTranscript", "metadata": {"end_time": words[-1][1]}, "results": results})
    return transcript


def rows_of(transcript: Transcript, **shape: int) -> list[list[str]]:
    return [cue.content.splitlines() for cue in srt.parse(transcript.to_srt(**shape))]


def test_characters_that_take_two_columns_fill_lines_of_half_as_many() -> None:
    sentence = "私は毎朝六時に起きて近くの公園まで歩きます"
    words = [(index * 0.2, index * 0.2 + 0.2, one, "S1") for index, one in enumerate(sentence)]
    rows = [row for cue in rows_of(uttered(*words, delimiter=""), columns=20) for row in cue]
    assert "".join(rows) == sentence
    assert [len(row) for row in rows] == [10, 10, 1]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("one hundred twenty three million", 11, [["one hundred", "twenty"], ["three", "million"]]),
        ("abcde fghij", 10, [["abcde", "fghij"]]),
        ("abcdefghij klm", 10, [["abcdefghij", "klm"]]),
        ("abcdefghijklm", 10, [["abcdefghij", "klm"]]),
    ],
)
def test_an_entity_wider_than_a_line_is_broken_at_a_space_if_it_has_one(
    text: str, columns: int, rows: list[list[str]]
) -> None:
    assert rows_of(uttered((0.0, 3.0, text, "S1")), columns=columns) == rows


def test_who_speaks_is_said_once_for_a_turn_however_many_captions_it_has() -> None:
    words = [(0, 1, "Good", "S1"), (1, 2, "day", "S1"), (9, 10, "Hello", "S1"), (10, 11, "You", "S2")]
    rows = rows_of(uttered(*words, (20, 21, "again", "S2")))
    assert rows == [["S1: Good day"], ["Hello"], ["S2: You"], ["again"]]


def test_two_lines_are_of_similar_length_and_break_after_a_mark_nearby() -> None:
    for text, rows in (
        ("When it rained so, we stayed at home all day", ["When it rained so,", "we stayed at home all day"]),
        ("When it rained so we stayed at home all days", ["When it rained so we", "stayed at home all days"]),
    ):
        said = [(at * 0.3, at * 0.3 + 0.3, word, "S1") for at, word in enumerate(text.split())]
        assert rows_of(uttered(*said)) == [rows]


def test_a_vowel_sign_at_the_end_of_a_word_is_no_mark_after_which_a_line_breaks() -> None:
    def first_line(tenth: str) -> int:
        words = [*["कक"] * 9, tenth, *["कक"] * 7]
        said = uttered(*((index * 0.2, index * 0.2 + 0.2, word, "S1") for index, word in enumerate(words)))
        return len(rows_of(said)[0][0].split())

    assert first_line("कि") == first_line("कक") == 8
    assert first_line("क।") == 10


@pytest.mark.parametrize("mark", [",", "、", "،", "؛"])
def test_a_caption_ends_with_a_clause_in_any_script(mark: str) -> None:
    words = [f"كلمة{mark if index == 9 else ''}" for index in range(24)]
    said = uttered(*((index * 0.25, index * 0.25 + 0.25, word, "S1") for index, word in enumerate(words)))
    first = " ".join(rows_of(said, columns=30)[0])
    assert first.endswith(mark)
    assert len(first.split()) == 10


def test_the_end_of_a_sentence_is_not_left_alone_in_a_caption() -> None:
    said = (
        "We went down to the old harbour to see whether the boats had come back from the north sea yesterday."
    )
    for follows in ("", " It rained."):
        words = [(at * 0.3, at * 0.3 + 0.3, word, "S1") for at, word in enumerate((said + follows).split())]
        captions = [" ".join(rows) for rows in rows_of(uttered(*words))]
        assert captions == [
            "We went down to the old harbour to see whether the",
            f"boats had come back from the north sea yesterday.{follows}",
        ]


@pytest.mark.parametrize("shape", [{"columns": 9}, {"lines": 0}, {"columns": 40.5}])
def test_a_shape_in_which_nothing_can_be_read_is_refused(transcript: Transcript, shape: Any) -> None:
    with pytest.raises(ConfigurationError, match="or more"):
        transcript.to_srt(**shape)


def said(text: str, speaker: str, start: float) -> dict[str, Any]:
    alternative = {"content": text, "speaker": speaker, "confidence": 1.0}
    return {"type": "word", "start_time": start, "end_time": start + 0.5, "alternatives": [alternative]}


FORGED = "\n\n9\n00:00:00,000 --> 09:00:00,000\nforged"
PLACES = {
    "a word": {"word": FORGED},
    "a speaker": {"speaker": FORGED},
    "what stands between words": {"delimiter": FORGED},
    "a line of its own kind": {"word": "a\u2028b\x85c\x0bd\re", "delimiter": "\u2029x\x0c"},
    "a NUL and commands to a terminal": {
        "word": "a\x00b\x1b[2J\x9bc",
        "speaker": "S\x00",
        "delimiter": "\x07",
    },
    "markup": {"word": "<v Forged>&lt;</v><i>-->", "speaker": "a>b & <c> -->"},
}


@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_a_server_says_becomes_another_caption_or_voice(place) -> None:
    hostile = {"word": "word", "speaker": "S1", "delimiter": " ", **PLACES[place]}
    transcript = Transcript()
    pack = {"word_delimiter": hostile["delimiter"]}
    transcript.add({"message": "RecognitionStarted", "language_pack_info": pack})
    turns = [
        ("before", "S2", 0.0),
        (hostile["word"], hostile["speaker"], 1.0),
        ("after", hostile["speaker"], 1.5),
    ]
    transcript.add({"message": "AddTranscript", "results": [said(*turn) for turn in turns]})
    as_srt, as_vtt = transcript.to_srt(), transcript.to_vtt()
    assert [(cue.index, cue.start.total_seconds()) for cue in srt.parse(as_srt)] == [(1, 0.0), (2, 1.0)]
    assert as_srt.count("-->") == as_vtt.count("-->") == 2
    cues = webvtt.from_buffer(io.StringIO(as_vtt)).captions
    assert [cue.start for cue in cues] == ["00:00:00.000", "00:00:01.000"]
    assert len(re.findall("<", as_vtt)) == 2  # a voice each
    for text in (as_srt, as_vtt):
        assert text.splitlines() == text.split("\n")[:-1]
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize("content", ["word", "été", "กิน"])
@pytest.mark.parametrize("every", [12, 10_000], ids=["sentences", "one sentence"])
def test_captions_of_long_speech_cost_no_more_a_word_than_those_of_a_short_one(
    content: str, every: int
) -> None:
    words = [
        Word(content, n * 0.4, n * 0.4 + 0.4, content, " ", is_eos=n % every == every - 1)
        for n in range(1200)
    ]
    assert steps(lambda: arrange([Paragraph(tuple(words))], named=True)) < 100 * len(words)
