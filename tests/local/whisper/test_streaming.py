"""When the recogniser reads, and what of a reading is final: with a model whose readings are given."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("ctranslate2")
pytest.importorskip("webrtcvad")

from speechmatics_rt.local.whisper.decoders import raw_decoder
from speechmatics_rt.local.whisper.model import Word
from speechmatics_rt.local.whisper.recogniser import WhisperRecogniser

pytestmark = pytest.mark.speech

RECORDING = Path(__file__).parents[3] / "examples" / "audio" / "librivox_3_sentences.wav"
CHUNK = 0.1  # s
TOKEN = {"and": 1, "so": 2, "it": 3, "went": 4, "on.": 5}


class Reader:
    """Writes five words, one each 0.6 s of the utterance, with the confidences given; it takes its time."""

    def __init__(self, takes: float = 0.0, **confidences: float) -> None:
        self.now = 0.0
        self.read: list[float] = []  # seconds of the utterance at each reading
        self.before: list[list[int]] = []  # what it was told of before
        self._takes = takes
        self._confidences = confidences

    def clock(self) -> float:
        return self.now

    def words(
        self, audio: bytes, *, language: str, prefix: Any, before: Any, thorough: bool = False
    ) -> list[Word]:
        length = len(audio) / 32000
        self.now += self._takes
        self.read.append(length)
        self.before.append(list(before))
        words = [
            Word((token,), text, 0.6 * at, 0.6 * at + 0.5, self._confidences.get(text, 0.9))
            for at, (text, token) in enumerate(TOKEN.items())
        ]
        return [word for word in words if word.end <= length][len(prefix) :]


def feed(reader: Reader, seconds: float, **config: Any) -> Iterator[tuple[float, dict[str, Any]]]:
    """Feed so much of the recording, live; yield each word of a final and when it came."""
    recogniser = WhisperRecogniser(
        reader,  # type: ignore[arg-type]
        raw_decoder("pcm_s16le", 16000),
        {"language": "en", **config},
        clock=reader.clock,
    )
    with wave.open(str(RECORDING)) as file:
        for count in range(1, round(seconds / CHUNK) + 1):
            reader.now = max(reader.now, count * CHUNK)  # what comes while it reads waits
            for message in recogniser.feed(file.readframes(int(16000 * CHUNK))):
                if message["message"] == "AddTranscript":
                    for item in message["results"]:
                        if item["type"] == "word":
                            yield count * CHUNK, item


def moments(reader: Reader, seconds: float = 6.5, **config: Any) -> dict[str, float]:
    """Return how long after its end each word was final."""
    return {
        item["alternatives"][0]["content"]: round(when - item["end_time"], 2)
        for when, item in feed(reader, seconds, **config)
    }


def test_two_readings_that_agree_settle_a_word() -> None:
    delays = moments(Reader(), max_delay=4)
    assert delays.keys() >= {"and", "so", "it"}
    assert all(delay <= 1.3 for delay in delays.values())


def test_a_word_of_little_confidence_waits_until_it_is_due_though_readings_agree() -> None:
    for doubt, waits in ((0.59, True), (0.61, False)):
        delays = moments(Reader(so=doubt), max_delay=2)
        assert delays["and"] <= 1.3
        assert (delays["so"] >= 1.9) == waits
        assert delays["so"] <= 2 + 0.6  # a step and a frame later at most
        assert delays["it"] <= 2.0  # it came behind the one that waited


def test_a_reading_that_takes_long_is_followed_by_a_longer_pause() -> None:
    quick, slow = Reader(takes=0.1), Reader(takes=0.5)
    moments(quick, 5.0)
    moments(slow, 5.0)
    steps = [round(after - before, 2) for before, after in zip(slow.read, slow.read[1:])]
    assert min(steps) >= 1.0
    assert len(quick.read) > 1.5 * len(slow.read)


def test_the_next_utterance_is_read_with_what_was_said_before() -> None:
    reader = Reader()
    moments(reader, 10.5)
    assert reader.before[0] == []
    assert reader.before[-1] == 2 * list(TOKEN.values())  # those of the rest, which it passes over at first


class Shared:
    """A session among others on so many cores, in a time of their own: a reading takes what it takes."""

    def __init__(self, number: int, cores: list[float], takes: float) -> None:
        self.now = self.free = 0.0
        self.begins = 0.137 * number  # s; no two read at the same time at first
        self.delays: list[float] = []
        self._cores = cores
        self._takes = takes
        self._heard = 0  # chunks
        self._recogniser = WhisperRecogniser(
            self,  # type: ignore[arg-type]
            raw_decoder("pcm_s16le", 16000),
            {"language": "en", "max_delay": 2},
            clock=lambda: self.now,
        )

    @property
    def next(self) -> float:
        """When it has done what it did, and there is more audio."""
        return max(self.free, self.begins + (self._heard + 1) * CHUNK)

    def words(self, audio: bytes, *, prefix: Any, thorough: bool = False, **_: Any) -> list[Word]:
        core = min(range(len(self._cores)), key=self._cores.__getitem__)
        self.now = max(self.now, self._cores[core]) + self._takes * (2 if thorough else 1)
        self._cores[core] = self.now
        length = len(audio) / 32000 - 0.1
        words = [Word((at,), f"w{at}", 0.3 * at + 0.4, 0.3 * at + 0.7, 0.9) for at in range(1, 60)]
        return [word for word in words if word.end <= length][len(prefix) :]

    def hear(self, audio: bytes) -> bool:
        """Take the audio that has come; False if that was the last."""
        self.now = self.next
        come = min(int((self.now - self.begins) / CHUNK + 1e-6), len(audio) // BYTES)
        for message in self._recogniser.feed(audio[self._heard * BYTES : come * BYTES]):
            if message["message"] == "AddTranscript":
                ends = [item["end_time"] for item in message["results"] if item["type"] == "word"]
                self.delays += [self.now - self.begins - end for end in ends]
        self._heard, self.free = come, self.now
        return come < len(audio) // BYTES


BYTES = int(32000 * CHUNK)


@pytest.mark.parametrize(
    ("sessions", "cores", "takes", "median"),
    [(1, 1, 0.12, 1.2), (8, 2, 0.12, 1.2), (8, 2, 0.2, 1.8), (16, 2, 0.2, 2.6)],
)
def test_sessions_that_share_the_cores_get_their_finals_in_time(
    sessions: int, cores: int, takes: float, median: float
) -> None:
    busy = [0.0] * cores
    all_of_them = [Shared(number, busy, takes) for number in range(sessions)]
    with wave.open(str(RECORDING)) as file:
        audio = file.readframes(file.getnframes())
    live = list(all_of_them)
    while live:
        first = min(live, key=lambda session: session.next)
        if not first.hear(audio):
            live.remove(first)
    delays = sorted(delay for session in all_of_them for delay in session.delays)
    assert delays[len(delays) // 2] <= median
    assert all(session.free - session.begins <= len(audio) / 32000 + 2 for session in all_of_them)
