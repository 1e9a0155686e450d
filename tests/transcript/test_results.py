"""Finals and partials as objects: nothing required, nothing lost."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.transcript import results
from speechmatics_rt.transcript.results import RecognitionResult, TranscriptResult

ENTITY = {
    "type": "entity",
    "entity_class": "money",
    "start_time": 7.0,
    "end_time": 8.2,
    "alternatives": [
        {"content": "£42", "confidence": 0.97, "language": "en", "display": {"direction": "ltr"}}
    ],
    "spoken_form": [
        {
            "type": "word",
            "start_time": 7.0,
            "end_time": 7.6,
            "alternatives": [{"content": "forty", "confidence": 1}],
        }
    ],
    "written_form": [
        {"type": "word", "start_time": 7.0, "end_time": 8.2, "alternatives": [{"content": "£42"}]}
    ],
}
FINAL: dict[str, Any] = {
    "message": "AddTranscript",
    "format": "2.9",
    "channel": "agent",
    "forced": True,
    "metadata": {"start_time": 7.0, "end_time": 8.2, "transcript": "£42 "},
    "results": [ENTITY],
}


def test_what_the_wire_has_beyond_words_is_there() -> None:
    result = TranscriptResult.from_message(FINAL)
    entity = result.results[0]
    assert (result.is_final, result.channel, result.forced, result.format) == (True, "agent", True, "2.9")
    assert (result.metadata.start_time, result.metadata.end_time, result.metadata.transcript) == (
        7.0,
        8.2,
        "£42 ",
    )
    assert entity.entity_class == "money"
    assert entity.alternatives is not None
    assert entity.alternatives[0].display == results.RecognitionDisplay("ltr")
    assert entity.spoken_form is not None
    assert entity.spoken_form[0].alternatives == [results.RecognitionAlternative("forty", 1)]
    assert entity.written_form is not None


def test_a_partial_is_not_final() -> None:
    message = {**FINAL, "message": "AddPartialTranscript"}
    assert not TranscriptResult.from_message(message).is_final
    assert TranscriptResult.from_message(message).to_dict() == message


@pytest.mark.parametrize("missing", ["alternatives", "start_time", "type", "end_time"])
def test_no_field_of_a_result_is_required(missing: str) -> None:
    item = {key: value for key, value in ENTITY.items() if key != missing}
    result = TranscriptResult.from_message({**FINAL, "results": [item]})
    assert result.results[0].entity_class == "money"


def test_an_empty_message_reads_as_an_empty_partial() -> None:
    result = TranscriptResult.from_message({})
    assert (result.is_final, result.results, result.metadata.transcript) == (False, [], "")


def test_confidence_may_be_missing_or_null() -> None:
    for alternative in ({"content": "a"}, {"content": "a", "confidence": None}):
        item = RecognitionResult.from_dict({"type": "word", "alternatives": [alternative]})
        assert item.alternatives is not None
        assert item.alternatives[0].confidence is None
        assert item.alternatives[0].to_dict() == alternative


def test_fields_of_tomorrow_are_kept_at_every_depth() -> None:
    message = copy.deepcopy(FINAL)
    message["tomorrow"] = {"a": [1]}
    message["metadata"]["mood"] = "calm"
    message["results"][0]["alternatives"][0]["accent"] = None
    message["results"][0]["spoken_form"][0]["pitch"] = 3
    result = TranscriptResult.from_message(message)
    assert result.extra == {"tomorrow": {"a": [1]}}
    assert result.to_dict() == message
    assert pickle.loads(pickle.dumps(result)) == result


def test_a_final_built_by_hand_becomes_a_message() -> None:
    result = TranscriptResult(
        results.RecognitionMetadata(0, 1, "a "), [RecognitionResult("word", 0, 1)], is_final=True
    )
    assert result.to_dict() == {
        "message": "AddTranscript",
        "metadata": {"start_time": 0, "end_time": 1, "transcript": "a "},
        "results": [{"type": "word", "start_time": 0, "end_time": 1}],
    }


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (results.RecognitionAlternative, "content confidence language display speaker tags"),
        (
            RecognitionResult,
            "type start_time end_time channel attaches_to is_eos alternatives score volume",
        ),
        (results.RecognitionMetadata, "start_time end_time transcript"),
        (TranscriptResult, "metadata results format is_final"),
    ],
)
def test_fields_come_in_the_order_of_the_official_sdk(cls: Any, names: str) -> None:
    ours = [item.name for item in dataclasses.fields(cls)]
    assert ours[: len(names.split())] == names.split()


_SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_TIMES = {"start_time": st.floats(0, 1e5), "end_time": st.floats(0, 1e5)}
_UNKNOWN = st.dictionaries(st.text(min_size=1, max_size=5).map("x_".__add__), _SCALAR, max_size=2)


def _with_unknown(known: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda one, two: {**two, **one}, known, _UNKNOWN)


_ALTERNATIVES = st.lists(
    _with_unknown(
        st.fixed_dictionaries(
            {"content": st.text(max_size=5)},
            optional={
                "confidence": st.none() | st.floats(0, 1),
                "language": st.none() | st.just("en"),
                "speaker": st.sampled_from(["S1", "UU", None]),
                "display": st.sampled_from([{"direction": "rtl"}, {"direction": "ltr", "font": 1}, None]),
                "tags": st.lists(st.just("profanity")),
            },
        )
    ),
    max_size=2,
)
_WORDS = st.lists(
    st.fixed_dictionaries({"type": st.just("word"), **_TIMES}, optional={"alternatives": _ALTERNATIVES}),
    max_size=2,
)
_RESULTS = st.lists(
    _with_unknown(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["word", "punctuation", "entity", "tomorrow"]), **_TIMES},
            optional={
                "alternatives": _ALTERNATIVES,
                "attaches_to": st.sampled_from(["previous", "next", None]),
                "is_eos": st.booleans(),
                "volume": st.floats(0, 100),
                "channel": st.just("a"),
                "score": st.none() | st.floats(0, 1),
                "spoken_form": _WORDS,
                "written_form": _WORDS,
                "entity_class": st.just("date"),
            },
        )
    ),
    max_size=3,
)
_MESSAGES = _with_unknown(
    st.fixed_dictionaries(
        {
            "message": st.sampled_from(["AddTranscript", "AddPartialTranscript"]),
            "metadata": _with_unknown(st.fixed_dictionaries({**_TIMES, "transcript": st.text(max_size=5)})),
            "results": _RESULTS,
        },
        optional={"format": st.just("2.9"), "channel": st.none() | st.just("a"), "forced": st.booleans()},
    )
)


@given(_MESSAGES)
def test_every_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    before = copy.deepcopy(message)
    assert TranscriptResult.from_message(message).to_dict() == before
    assert message == before
