"""Captions, read back by parsers that know nothing of us."""

from __future__ import annotations

import io
from typing import Any

import pytest
import srt
import webvtt

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConfigurationError,
    MultiChannelClient,
    Transcript,
    TranscriptionConfig,
)
from speechmatics_rt.local import LocalServer

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


@pytest.mark.parametrize("shape", [{"columns": 9}, {"lines": 0}, {"columns": 40.5}])
def test_a_shape_in_which_nothing_can_be_read_is_refused(transcript: Transcript, shape: Any) -> None:
    with pytest.raises(ConfigurationError, match="or more"):
        transcript.to_srt(**shape)
