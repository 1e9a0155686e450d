"""How the service behaves over a whole session: the rules no schema of one message can tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Optional

import pytest

Messages = Sequence[dict[str, Any]]

_BEFORE_THE_START = ("Info", "Warning", "RecognitionStarted", "Error")
_TRANSCRIPTS = ("AddTranscript", "AddPartialTranscript", "EndOfUtterance")
_GRID = 0.04


def check_conduct(messages: Messages, *, partials: Optional[bool]) -> None:
    """Fail unless the messages of a server are in an order, and at times, that the service keeps to.

    Args:
        messages: All of one session, in order.
        partials: Whether the client asked for them; None if it changed its mind.
    """
    _check_start_and_end(messages)
    _check_acknowledgements(messages)
    by_channel: dict[Optional[str], list[dict[str, Any]]] = defaultdict(list)
    for message in messages:
        if message["message"] in _TRANSCRIPTS:
            by_channel[message.get("channel")].append(message)
    for transcripts in by_channel.values():
        _check_times(transcripts)
        _check_texts(transcripts)
        _check_utterances(transcripts, partials)


def _check_start_and_end(messages: Messages) -> None:
    kinds = [message["message"] for message in messages]
    assert kinds.count("RecognitionStarted") <= 1
    if "RecognitionStarted" in kinds:
        assert set(kinds[: kinds.index("RecognitionStarted")]) <= {"Info", "Warning"}
    else:
        assert set(kinds) <= set(_BEFORE_THE_START)
    for last in ("EndOfTranscript", "Error"):
        assert last not in kinds[:-1], f"something follows {last}"


def _check_acknowledgements(messages: Messages) -> None:
    numbers: dict[Optional[str], list[int]] = defaultdict(list)
    for message in messages:
        if message["message"] in ("AudioAdded", "ChannelAudioAdded"):
            numbers[message.get("channel")].append(message["seq_no"])
    for counted in numbers.values():
        assert counted == list(range(1, len(counted) + 1))


def _check_times(transcripts: Messages) -> None:
    said = 0.0  # up to where everything is final
    for message in transcripts:
        start, end = message["metadata"]["start_time"], message["metadata"]["end_time"]
        assert start <= end
        for time in (start, end):
            assert round(time / _GRID) * _GRID == pytest.approx(time, abs=1e-6)
        results = message.get("results", [])
        order = [(item["start_time"], -item["end_time"]) for item in results]
        assert order == sorted(order), "results are not in order of time"
        for item in results:
            assert start - 1e-6 <= item["start_time"] <= item["end_time"] <= end + 1e-6
            assert item["type"] != "punctuation" or item["start_time"] == item["end_time"]
        if message["message"] == "AddTranscript":
            assert start >= said - 0.08 - 1e-6, "a final revises another"
            said = end
        elif message["message"] == "AddPartialTranscript" and results:
            assert results[0]["start_time"] >= said - 1e-6, "a partial goes behind a final"


def _check_texts(transcripts: Messages) -> None:
    for message in transcripts:
        if message["message"] == "EndOfUtterance":
            continue
        text = message["metadata"]["transcript"]
        assert bool(text) == bool(message["results"])
        if message["message"] == "AddTranscript" and text:
            assert text == text.rstrip() + " "
        else:
            assert text == text.rstrip()
        for item in message["results"]:
            assert item["alternatives"][0]["content"] in text


def _check_utterances(transcripts: Messages, partials: Optional[bool]) -> None:
    spoken = False  # since the last end of an utterance
    for place, message in enumerate(transcripts):
        kind = message["message"]
        before, after = transcripts[max(0, place - 1)], [*transcripts, {"message": ""}][place + 1]
        if kind == "AddTranscript":
            spoken = spoken or bool(message["results"])
            if partials:
                assert after["message"] == "AddPartialTranscript" or place == len(transcripts) - 1
        elif kind == "AddPartialTranscript":
            assert partials is not False, "nobody asked for partials"
        else:
            assert message["metadata"]["start_time"] == message["metadata"]["end_time"]
            assert spoken or message.get("forced"), "silence ends no utterance"
            spoken = False
            if partials and not message.get("forced"):
                empty = {"start_time": message["metadata"]["start_time"], "transcript": ""}
                assert before["message"] == "AddPartialTranscript"
                assert before["metadata"] == {**empty, "end_time": empty["start_time"]}
            finals = [other for other in transcripts[:place] if other["message"] == "AddTranscript"]
            if finals and not message.get("forced"):
                gap = message["metadata"]["end_time"] - finals[-1]["metadata"]["end_time"]
                assert gap == pytest.approx(0.08)
