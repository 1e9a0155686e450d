"""What is seen of a transcript without decoding it is what decoding would have shown; or nothing is."""

from __future__ import annotations

import json
import time
import timeit
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.messages import channel_of, times_of
from speechmatics_rt.protocol.glance import glance, message_in, seen_in

TIMES = st.one_of(st.floats(0, 1e6), st.integers(-5, 10**6), st.floats(), st.just(1e300), st.none())
TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ['"metadata":{"end_time":9}}', "end_time", '],"metadata":{', '"', "\\", '\\"end_time":7', "}]", "é"]
    ),
)
RESULT = st.fixed_dictionaries(
    {"alternatives": st.lists(st.fixed_dictionaries({"content": TEXT}), max_size=2)},
    optional={"start_time": TIMES, "end_time": TIMES, "type": TEXT, "channel": TEXT, "end": TEXT},
)
MESSAGE = st.tuples(
    st.sampled_from(["AddTranscript", "AddPartialTranscript"]),
    st.lists(RESULT, max_size=3),
    st.fixed_dictionaries(
        {}, optional={"start_time": TIMES, "end_time": TIMES, "transcript": TEXT, "more": st.lists(TEXT)}
    ),
    st.fixed_dictionaries({}, optional={"channel": TEXT, "forced": st.booleans(), "foo": st.lists(RESULT)}),
    st.booleans(),
)


def ordinary(**more) -> dict:
    result = {"start_time": 1.0, "end_time": 1.5, "type": "word", "alternatives": [{"content": "Good"}]}
    metadata = {"start_time": 1.0, "end_time": 1.8, "transcript": "Good "}
    return {"message": "AddTranscript", "format": "2.9", "results": [result], "metadata": metadata, **more}


def wire(message: dict, **options) -> bytes:
    return json.dumps(message, **options).encode()


@pytest.mark.parametrize("options", [{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}])
def test_what_the_service_sends_is_seen(options) -> None:
    payload = wire(ordinary(), **options)
    assert glance(payload) == ("AddTranscript", payload, False, 1.5, 1.8, None, None)
    nothing = wire(ordinary(results=[], message="AddPartialTranscript"), **options)
    assert glance(nothing) == ("AddPartialTranscript", nothing, True, 0.0, 1.8, None, None)


@pytest.mark.parametrize("text", ["{", "}}", "],", "C:\\x", "naïve"])
def test_whatever_was_said_ends_with_its_quotation_mark(text) -> None:
    payload = wire(ordinary(metadata={"start_time": 1.0, "end_time": 1.8, "transcript": text}))
    assert glance(payload) == ("AddTranscript", payload, False, 1.5, 1.8, None, None)


def test_a_transcript_does_not_end_before_its_start() -> None:
    message = ordinary(metadata={"start_time": 2.5, "end_time": 1.8, "transcript": "Good "})
    _, _, _, _, end_time, *_ = glance(wire(message))
    assert end_time == times_of(message)[1] == 2.5


@given(MESSAGE, st.booleans())
def test_it_is_what_decoding_shows_or_nothing(given_message, ensure_ascii) -> None:
    kind, results, metadata, more, late = given_message
    message = {"message": kind, "format": "2.9"}
    message.update({"results": results, **more} if late else {**more, "results": results})
    message["metadata"] = metadata
    payload = json.dumps(message, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")
    seen = glance(payload)
    if seen is None:
        return
    name, whole, empty, _, end_time, *_ = seen
    assert name == kind
    assert whole == payload
    assert empty == (not results)
    assert end_time == times_of(message)[1]
    assert (message_in(payload) or {})["results"] == results
    assert channel_of(message) is None
    if not more and results and "end_time" in results[-1] and not results[-1].get("start_time"):
        assert (seen,) == seen_in(message, payload)


@pytest.mark.parametrize(
    "payload",
    [
        wire(ordinary(channel="agent")),
        wire({"results": [], "message": "AddTranscript", "metadata": {"start_time": 0, "end_time": 1}}),
        wire({"message": "AddTranscript"}),
        wire(ordinary(metadata={"start_time": 0, "end_time": 1, "transcript": '"'})),
        wire(ordinary(metadata={"start_time": 0, "end_time": True})),
        wire(ordinary()).replace(b'"metadata"', b'"results": [], "metadata"').replace(b"Good", b"\xff\xfe"),
        wire(ordinary()).replace(b"1.8", b'1.8, "end_time": 9'),
        wire(ordinary(results=[[[]] * 300])),
        wire(ordinary(results=[]))[:-1] + b',"results":[1]}',
        wire(ordinary(results=[])).replace(b'"metadata"', b'"results": [{"end_time": 2}], "metadata"', 1)[
            :-2
        ],
        b'{"message":"AddTranscript","results":[' + b"9" * 5000 + b'],"metadata":{}}',
        b"",
    ],
)
def test_what_is_odd_is_left_to_the_decoder(payload) -> None:
    assert glance(payload) is None


def test_results_given_twice_are_not_lost() -> None:
    first, metadata = (
        b'{"message":"AddTranscript","results":[],',
        b'"metadata":{"start_time":0,"end_time":2}}',
    )
    seen = glance(first + b'"results":[{"end_time":2}],' + metadata)
    _, _, empty, *_ = seen or (None, None, False)
    assert not empty


def test_what_turns_out_to_be_no_message_has_no_results() -> None:
    broken = wire(ordinary()).replace(b'"word"', b"word")
    assert glance(broken) is not None
    assert message_in(broken) is None


@pytest.mark.parametrize("opener", ["[", '{"":', '[{"":'])
def test_no_nesting_that_python_can_not_read_is_passed_on(opener) -> None:
    """Of bytes that may be kept undecoded none may turn out to be unreadable: that ends a session."""
    seen = 0
    for size in range(40, 4096, 40):
        nested = (opener * (size // len(opener) + 1)).encode()
        payload = wire(ordinary()).replace(b'"Good"', nested)
        if glance(payload) is not None:
            seen += 1
            message_in(payload)  # it is not JSON, which is found out without a RecursionError
    assert seen


def test_it_costs_a_fraction_of_decoding() -> None:
    payload = wire(ordinary(results=ordinary()["results"] * 25))
    assert glance(payload) is not None
    glancing, decoding = [
        timeit.Timer(partial(function, payload), timer=time.thread_time) for function in (glance, json.loads)
    ]
    # In turns, and the least of many: whatever else the machine does meanwhile is in neither.
    turns = [(glancing.timeit(50), decoding.timeit(50)) for _ in range(20)]
    assert min(turn[0] for turn in turns) < min(turn[1] for turn in turns) / 2
