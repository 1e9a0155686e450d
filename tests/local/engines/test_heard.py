"""Audio that is known again, wherever it begins, and what is told apart from that."""

from __future__ import annotations

import math
import random
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.local import Script, ScriptedEngine
from speechmatics_rt.local.engines.heard import Heard, Hearing, Search

from ...samples import tried

RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
SECOND = 32000  # bytes
NOISE = random.Random(1).randbytes(10 * SECOND)
TONE = array("h", [round(3000 * math.sin(number / 5)) for number in range(1600)]).tobytes()
WORDS = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."


def found(heard: Heard[str], audio: bytes, piece: int = 3200) -> Any:
    search = Search(heard, RAW)
    for start in range(0, len(audio), piece):
        search.feed(audio[start : start + piece])
    return search.place if search.over else "undecided"


@tried(60)
@given(start=st.integers(0, 9 * 16000), piece=st.integers(1, 700), often=st.integers(1, 5000))
def test_audio_is_known_from_whatever_sample_it_is_sent_and_however_it_is_cut(
    start: int, piece: int, often: int
) -> None:
    heard: Heard[str] = Heard()
    hearing = Hearing(heard, RAW, "it")
    for place in range(0, len(NOISE), 2 * often):
        hearing.feed(NOISE[place : place + 2 * often])
    of, seconds = found(heard, NOISE[2 * start : 2 * start + SECOND], 2 * piece)
    assert (of, seconds) == ("it", pytest.approx(start / 16000, abs=1e-5))


@pytest.mark.parametrize(
    "other",
    [bytes(SECOND), bytes(10) * SECOND, random.Random(2).randbytes(SECOND), b"\1\0" * SECOND, TONE * 10],
    ids=["silence", "long silence", "noise", "a constant", "a tone"],
)
def test_other_audio_is_not_taken_for_it(other: bytes) -> None:
    heard: Heard[str] = Heard()
    Hearing(heard, RAW, "it").feed(bytes(SECOND) + NOISE + bytes(SECOND) + TONE * 30)
    assert found(heard, other) is None


def test_after_silence_that_was_heard_it_is_known_by_what_follows() -> None:
    heard: Heard[str] = Heard()
    audio = NOISE[:SECOND] + bytes(SECOND // 2) + NOISE[SECOND:]
    Hearing(heard, RAW, "it").feed(audio)
    assert found(heard, audio[SECOND + 8000 :][:SECOND]) == ("it", 1.25)
    assert found(heard, audio[SECOND + 8000 :][:6400]) == "undecided"


def test_silence_is_not_waited_through_if_none_was_heard() -> None:
    heard: Heard[str] = Heard()
    Hearing(heard, RAW, "it").feed(NOISE)
    assert found(heard, bytes(3200)) is None


def test_what_is_remembered_has_a_limit() -> None:
    heard: Heard[str] = Heard(most=100)
    Hearing(heard, RAW, "it").feed(NOISE)
    assert len(heard._places) == 100
    assert found(heard, NOISE[9 * SECOND :]) == ("it", 9.0)
    assert found(heard, NOISE[:SECOND]) is None


def said(engine: ScriptedEngine, audio: bytes, **config: Any) -> list[str]:
    settings = {"audio_format": RAW, "transcription_config": {"language": "en"}, **config}
    recogniser = engine.recogniser(settings)
    pieces = [audio[start : start + 3200] for start in range(0, len(audio), 3200)]
    messages = [message for piece in pieces for message in recogniser.feed(piece)]
    messages += recogniser.finish()
    recogniser.close()  # without a word that it is complete: the connection broke
    return "".join(message["metadata"]["transcript"] for message in messages).split()


def test_a_session_that_begins_in_the_middle_has_the_words_from_there() -> None:
    engine = ScriptedEngine(Script.from_text(WORDS))
    whole = said(engine, NOISE)
    assert whole == WORDS.split()
    assert said(engine, NOISE[3 * SECOND :]) == whole[7:]  # 0.4 s, and 0.4 s each
    assert said(engine, NOISE[5 * SECOND :]) == whole[12:]
    assert said(engine, NOISE) == whole


def test_a_complete_session_is_resumed_by_none_and_one_beside_it_may_still_be() -> None:
    engine = ScriptedEngine(Script.from_text(WORDS))
    settings = {"audio_format": RAW, "transcription_config": {"language": "en"}}
    one, other = (engine.recogniser(settings) for _ in range(2))
    for recogniser in (one, other):
        recogniser.feed(NOISE)
    one.complete()
    assert said(engine, NOISE[5 * SECOND :]) == WORDS.split()[12:]
    other.complete()
    assert found(engine._heard[""], NOISE[:SECOND]) is None
    assert said(engine, NOISE[: 6 * SECOND]) == WORDS.split()[:14]


def test_a_script_that_was_replaced_begins_anew() -> None:
    engine = ScriptedEngine(Script.from_text(WORDS))
    said(engine, NOISE)
    engine.script = Script.from_text("Another text.")
    assert said(engine, NOISE[3 * SECOND :]) == ["Another", "text."]


@pytest.mark.parametrize("audio", [bytes(8 * SECOND), TONE * 80], ids=["silence", "a tone"])
def test_what_repeats_itself_is_heard_from_the_beginning(audio: bytes) -> None:
    engine = ScriptedEngine(Script.from_text(WORDS))
    said(engine, NOISE)
    assert said(engine, audio) == said(engine, audio[3 * SECOND :] + audio[: 3 * SECOND]) == WORDS.split()


def test_channels_are_known_each_by_its_own() -> None:
    engine = ScriptedEngine({"a": Script.from_text(WORDS), "b": Script.from_text("Yes. No. Perhaps.")})
    said(engine, NOISE, channel="a")
    said(engine, NOISE, channel="b")
    assert said(engine, NOISE[3 * SECOND :], channel="a") == WORDS.split()[7:]
    assert said(engine, NOISE[SECOND:], channel="b") == ["No.", "Perhaps."]


def test_what_is_asked_before_the_place_is_known_is_heeded() -> None:
    engine = ScriptedEngine(Script.from_text(WORDS))
    said(engine, NOISE)
    config = {"language": "en", "enable_partials": False}
    recogniser = engine.recogniser({"audio_format": RAW, "transcription_config": config})
    assert recogniser.speakers() == []
    recogniser.configure({"enable_partials": True})
    messages = [*recogniser.feed(NOISE[3 * SECOND : 5 * SECOND])]
    assert [message for message in messages if message["message"] == "AddPartialTranscript"]
    forced = [*recogniser.force_end_of_utterance(None)]
    assert forced[0]["metadata"]["transcript"].split() == WORDS.split()[7:11]
    recogniser.close()
