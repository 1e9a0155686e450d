"""Scripts and the engine that speaks them, without a server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.local import Script, ScriptedEngine, Word

from ...samples import tried
from ..raw_client import start_message

PACE = {"enable_partials": True, "conversation_config": {"end_of_utterance_silence_trigger": 0.4}}


def spoken(pieces: list[bytes], config: dict[str, Any]) -> list[dict[str, Any]]:
    recogniser = ScriptedEngine().recogniser(start_message(config))
    messages = [message for piece in pieces for message in recogniser.feed(piece)]
    return [*messages, *recogniser.finish()]


def cut(audio: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(audio) + 1) for place in places), len(audio)]
    return [audio[start:end] for start, end in zip(edges, edges[1:])]


@tried(40)
@given(
    places=st.lists(st.integers(0, 700_000), max_size=40),
    max_delay=st.sampled_from([0.7, 1.3, 2.0, 4.0]),
    trigger=st.sampled_from([0, 0.2, 0.5, 1.0, 2.0]),
)
def test_what_is_sent_does_not_depend_on_how_the_audio_is_cut(
    places: list[int], max_delay: float, trigger: float
) -> None:
    audio = bytes(20 * 32000)
    config = {
        "max_delay": max_delay,
        "enable_partials": True,
        "conversation_config": {"end_of_utterance_silence_trigger": trigger},
    }
    whole = spoken([audio], config)
    assert spoken(cut(audio, places), config) == whole
    times = [
        (message["metadata"]["start_time"], message["metadata"]["end_time"])
        for message in whole
        if message["message"] == "AddTranscript"
    ]
    assert all(start <= end for start, end in times)
    assert all(earlier[1] <= later[0] for earlier, later in zip(times, times[1:]))
    words = [
        item for message in whole if message["message"] == "AddTranscript" for item in message["results"]
    ]
    starts = [item["start_time"] for item in words]
    assert starts == sorted(starts)
    assert all(
        message["metadata"]["start_time"] <= item["start_time"]
        and item["end_time"] <= message["metadata"]["end_time"]
        for message in whole
        if message["message"] == "AddTranscript"
        for item in message["results"]
    )


def test_every_word_that_ended_is_final_once_whatever_the_delay() -> None:
    def words(config: dict[str, Any]) -> list[tuple[str, float]]:
        return [
            (item["alternatives"][0]["content"], item["start_time"])
            for message in spoken([bytes(60 * 32000)], config)
            if message["message"] == "AddTranscript"
            for item in message["results"]
        ]

    expected = words({"max_delay": 4})
    assert len(expected) > 60
    for config in ({"max_delay": 0.7}, {"max_delay": 0.7, **PACE}, {"max_delay": 1.5, **PACE}):
        assert words(config) == expected


def test_a_repeating_script_goes_on() -> None:
    script = Script.from_text("One two.", repeat=True)
    contents = [word.content for word in itertools.islice(script, 7)]
    assert contents == ["One", "two", ".", "One", "two", ".", "One"]
    starts = [word.start for word in itertools.islice(script, 7)]
    assert starts == sorted(starts)


def test_the_default_text_is_readable_and_has_pauses_that_end_utterances() -> None:
    assert Script.default().text.startswith("Good morning, and welcome to the reading room. The train from")
    messages = spoken([bytes(60 * 32000)], {"max_delay": 0.7, **PACE})
    assert len([message for message in messages if message["message"] == "EndOfUtterance"]) >= 6


def test_scripts_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="before 'a' has ended"):
        Script((Word("a", 0, 1), Word("b", 0.5, 2)))
    with pytest.raises(ValueError, match="ends before it starts"):
        Script((Word("a", 1.0, 0.5),))
    with pytest.raises(ValueError, match="period is shorter"):
        Script((Word("a", 0, 1),), period=0.5)


@pytest.mark.parametrize("script", ["", 0, []])
def test_what_is_empty_and_no_script_is_refused_as_anything_else_that_is_none(script) -> None:
    with pytest.raises(ValueError, match="accepted: a Script"):
        ScriptedEngine(script)


def test_translations_can_be_given() -> None:
    script = Script.from_text("Good day.")
    script = Script(script.words, translations=(("fr", "Good day.", "Bonjour."),))
    assert script.translation("fr", "Good day.") == "Bonjour."
    assert script.translation("de", "Good day.") == "[de] Good day."
