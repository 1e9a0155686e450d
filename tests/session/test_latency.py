"""How far the words are behind the audio, told from the moments of sending and hearing."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.session.latency import Meter
from speechmatics_rt.stats import Latency


def heard(
    *ends: float, kind: str = "AddTranscript", channel: Optional[str] = None, until: Optional[float] = None
) -> dict[str, Any]:
    """A transcript whose words end there; it covers the audio ``until`` there."""
    results = [{"type": "word", "start_time": end - 0.1, "end_time": end} for end in ends]
    until = max(ends, default=0.0) if until is None else until
    message = {"message": kind, "metadata": {"start_time": 0.0, "end_time": until}, "results": results}
    return message if channel is None else {**message, "channel": channel}


def live(seconds: int, channel: Optional[str] = None, meter: Optional[Meter] = None) -> Meter:
    """A meter of audio that was sent as it sounded, in chunks of 0.1 s, since the moment 0."""
    meter = meter or Meter()
    for chunk in range(seconds * 10):
        meter.sent(channel, 0.1, (chunk + 1) / 10)
    return meter


def p50(latency: Optional[Latency]) -> float:
    assert latency is not None
    return latency.p50


def test_without_words_there_is_no_latency_and_without_audio_no_lag() -> None:
    meter = Meter()
    meter.received({"message": "RecognitionStarted"}, 1.0)
    meter.received(heard(1.0), 2.0)
    assert Latency.of(meter.partials) is None
    assert Latency.of(meter.finals) is None
    assert meter.lag == 0


def test_a_word_is_measured_from_the_sending_of_the_chunk_in_which_it_ended() -> None:
    meter = live(5)
    meter.received(heard(0.3, 1.95), 5.0)
    assert p50(Latency.of(meter.finals)) == pytest.approx(3.0)  # that chunk was complete, and sent, at 2.0


def test_a_message_of_several_words_is_measured_once_on_the_last_as_the_figures_say() -> None:
    meter = live(5)
    meter.received(heard(0.95, 1.95, 4.95), 5.5)
    assert Latency.of(meter.finals) == Latency(0.5, 0.5, 0.5, count=1)
    assert "last word" in (Latency.__doc__ or "")


def test_a_partial_that_says_the_same_again_is_not_measured_again() -> None:
    meter = live(5)
    for moment in (2.5, 3.0, 3.5):
        meter.received(heard(2.0, kind="AddPartialTranscript"), moment)
    meter.received(heard(2.0, 3.0, kind="AddPartialTranscript"), 3.5)
    assert Latency.of(meter.partials) == Latency(0.5, 0.5, 0.5, count=2)
    assert Latency.of(meter.finals) is None


def test_a_word_that_seems_to_end_after_the_audio_is_measured_from_its_end() -> None:
    meter = live(2)
    meter.received(heard(2.04), 2.5)
    assert p50(Latency.of(meter.finals)) == pytest.approx(0.5)


def test_audio_of_unknown_length_measures_nothing() -> None:
    meter = Meter()
    meter.sent(None, 0.0, 1.0)
    meter.received(heard(0.5), 2.0)
    assert Latency.of(meter.finals) is None
    assert meter.lag == 0


def test_lag_is_that_of_the_channel_furthest_behind_and_ends_with_the_transcript() -> None:
    meter = live(3, "b", live(5, "a"))
    meter.received(heard(1.0, channel="a", until=4.0), 5.0)
    assert meter.lag == pytest.approx(3.0)  # of b, of which nothing is final
    meter.received(heard(2.5, channel="b", until=3.0), 5.0)
    assert meter.lag == pytest.approx(1.0)
    meter.received({"message": "EndOfTranscript"}, 5.0)
    assert meter.lag == 0


def test_silence_that_is_final_counts_as_heard() -> None:
    meter = live(5)
    meter.received(heard(until=4.5), 5.0)
    assert meter.lag == pytest.approx(0.5)
    assert Latency.of(meter.finals) is None


def test_the_channel_of_older_servers_is_found_in_the_results() -> None:
    meter = live(2, "a")
    message = heard(0.95)
    message["results"][0]["channel"] = "a"
    meter.received(message, 2.0)
    assert p50(Latency.of(meter.finals)) == pytest.approx(1.0)


def test_hours_of_audio_that_nothing_is_heard_of_take_bounded_memory() -> None:
    meter = live(3600)
    meter.received(heard(3599.95), 3601.0)
    assert p50(Latency.of(meter.finals)) == pytest.approx(1.0, abs=0.05)
    assert all(len(track.marks) <= 4096 for track in meter._tracks.values())


def test_a_word_is_measured_right_however_many_chunks_came_after_it() -> None:
    meter = Meter()
    for chunk in range(6000):
        meter.sent(None, 0.01, (chunk + 1) / 100)
    meter.received(heard(1.0), 60.5)
    assert p50(Latency.of(meter.finals)) == pytest.approx(59.5, abs=0.05)


def test_a_chunk_that_is_noted_after_the_end_is_no_lag() -> None:
    meter = live(1)
    meter.received({"message": "EndOfTranscript"}, 2.0)
    meter.sent(None, 0.1, 2.0)  # its sender was held up in between
    assert meter.lag == 0


def test_percentiles_are_those_of_the_last_thousand_messages() -> None:
    meter = Meter()
    for number in range(1, 1501):
        meter.sent(None, 1.0, float(number))
        meter.received(heard(number - 0.5), number + (5.0 if number <= 500 else number / 10000))
    latency = Latency.of(meter.finals)
    assert latency is not None
    assert latency.count == 1000
    assert latency.p50 == pytest.approx(0.1)
    assert latency.p99 == pytest.approx(0.149)


@pytest.mark.parametrize(
    "odd",
    [
        {"message": "AddTranscript"},
        {"message": "AddTranscript", "results": None, "metadata": []},
        {"message": "AddPartialTranscript", "results": [None, {"end_time": "soon"}], "metadata": {}},
        {"message": "AddTranscript", "results": [{"type": "word"}], "channel": 7},
    ],
)
def test_odd_messages_are_passed_over(odd: dict[str, Any]) -> None:
    meter = live(1)
    meter.received(odd, 1.0)
    assert Latency.of(meter.finals) is None
    assert Latency.of(meter.partials) is None


@given(
    st.lists(st.floats(0.01, 2.0), min_size=1, max_size=60),
    st.lists(st.tuples(st.floats(0.0, 60.0), st.booleans()), max_size=60),
)
def test_latency_is_never_negative_and_lag_never_more_than_what_was_sent(
    chunks: list[float], words: list[tuple[float, bool]]
) -> None:
    meter, now = Meter(), 0.0
    for chunk in chunks:
        now += chunk
        meter.sent(None, chunk, now)
    for end, final in words:
        meter.received(heard(end, kind="AddTranscript" if final else "AddPartialTranscript"), now)
        assert 0 <= meter.lag <= now + 1e-9
    for latency in (Latency.of(meter.partials), Latency.of(meter.finals)):
        assert latency is None or 0 <= latency.p50 <= latency.p90 <= latency.p99 <= now


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_percentiles_are_samples_that_so_many_did_not_exceed(samples: list[float]) -> None:
    latency = Latency.of(samples)
    assert latency is not None
    for value, share in ((latency.p50, 0.5), (latency.p90, 0.9), (latency.p99, 0.99)):
        assert value in samples
        assert sum(sample <= value for sample in samples) >= share * len(samples)
        assert sum(sample < value for sample in samples) < share * len(samples)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["AddTranscript", "AddPartialTranscript"]),
            st.one_of(st.floats(11, 1e9), st.floats(-1e9, -1), st.just(10**400)),
        )
    )
)
def test_a_time_that_was_not_sent_measures_nothing_and_hides_nothing(lies: list[tuple[str, float]]) -> None:
    meter = Meter()
    for second in range(10):
        meter.sent(None, 1.0, now=float(second))
    for kind, time in lies:
        word = {"type": "word", "start_time": 0, "end_time": time}
        meter.received({"message": kind, "metadata": {"end_time": time}, "results": [word]}, now=10.0)
    assert (meter.finals, meter.partials, meter.lag) == ([], [], 10.0)
    word = {"type": "word", "start_time": 8.2, "end_time": 8.5}
    meter.received({"message": "AddTranscript", "metadata": {"end_time": 9.0}, "results": [word]}, now=10.0)
    assert (meter.finals, meter.lag) == ([2.0], 1.0)
