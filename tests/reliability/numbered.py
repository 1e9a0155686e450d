"""Audio that carries its own numbering, and an engine that reads it back as a recogniser would.

Every sample of the n-th word has the value n + 1, silence is 0. So what was spoken is known exactly, and
what is delivered can be counted. The engine hears whole words, puts their limits up to ``blur`` seconds to
either side, and recognises the rest of a word that its session begins in.
"""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple, Optional

from speechmatics_rt import AudioFormat
from speechmatics_rt.local.engines import end_of_utterance, final, partial

RATE = 1000
FORMAT = AudioFormat("pcm_s16le", RATE)

_SHORTEST = 0.04  # seconds of a word that can be recognised
_STEP = 0.36  # seconds between two bursts of messages
_SENTENCE = 5  # words
_VOICE = "bG9jYWw6UzE="  # the identifier of the one who reads it all, as the local server spells them


class Spoken(NamedTuple):
    content: str
    start: float
    end: float


def spell(number: int, repeated: bool) -> str:
    return f"w{number // 4 if repeated else number}"  # repeated: the same word four times in a row


def speak(seconds: float, rng: random.Random, *, repeated: bool = False) -> tuple[bytes, list[Spoken]]:
    """Make audio of about so many seconds, and say what is spoken in it."""
    samples = array("h", bytes(2 * rng.choice([0, 300, 1500])))
    words: list[Spoken] = []
    while len(samples) < seconds * RATE:
        start, length = len(samples), rng.randint(170, rng.choice([300, 600, 1200]))
        samples.extend([len(words) + 1] * length)
        words.append(Spoken(spell(len(words), repeated), start / RATE, (start + length) / RATE))
        samples.extend([0] * rng.choice([0, 0, 0, 20, 300, 2500]))
    return samples.tobytes(), words


class NumberedEngine:
    """Makes recognisers that read the numbering; each has its own blur, as each session would."""

    slow = False

    def __init__(self, *, blur: float = 0.0, repeated: bool = False, seed: int = 0) -> None:
        self.blur, self.repeated = blur, repeated
        self._rng = random.Random(seed)

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return {"word_delimiter": " ", "language_description": language}

    def recogniser(self, settings: Mapping[str, Any]) -> _Recogniser:
        return _Recogniser(self, settings["transcription_config"], self._rng.randrange(2**32))

    def close(self) -> None:
        """Hold nothing."""


class _Recogniser:
    def __init__(self, engine: NumberedEngine, config: Mapping[str, Any], seed: int) -> None:
        self._engine = engine
        self._config = dict(config)
        self._rng = random.Random(seed)
        self._rest = b""  # half a sample
        self._heard = 0  # samples
        self._run: tuple[int, int] = (0, 0)  # the value that sounds, and since when
        self._words: list[tuple[int, int, int]] = []  # heard to their ends, not final: number, start, end
        self._final_end = 0.0
        self._step = _STEP
        self._mark: Optional[dict[str, Any]] = None  # comes with the next final
        self._speaking = False
        enrolled = self._config.get("speaker_diarization_config", {}).get("speakers", [])
        known = (one["label"] for one in enrolled if _VOICE in one["speaker_identifiers"])
        self._speaker = next(known, "S1")

    def feed(self, audio: bytes) -> list[dict[str, Any]]:
        audio = self._rest + audio
        whole = len(audio) // 2 * 2
        self._rest = audio[whole:]
        messages: list[dict[str, Any]] = []
        for value, group in groupby(array("h", audio[:whole])):
            if value != self._run[0]:
                self._turn(value)
            self._heard += len(list(group))
            while self._step <= self._heard / RATE:
                messages += self._burst(self._step - float(self._config.get("max_delay", 4)))
                self._step += _STEP
        return messages

    def configure(self, changes: Mapping[str, Any]) -> None:
        self._config.update(changes)

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        until = self._heard / RATE if timestamp is None else timestamp
        words = [word for word in self._words if word[2] / RATE <= until + 0.1]
        messages = [{**self._final(words), "forced": True}] if words else []
        self._speaking = False
        return [*messages, end_of_utterance(max(self._final_end, until), forced=True)]

    def speakers(self) -> list[dict[str, Any]]:
        return [{"label": self._speaker, "speaker_identifiers": [_VOICE]}]

    def finish(self) -> list[dict[str, Any]]:
        self._turn(0)
        end = self._heard / RATE
        messages = [self._final(list(self._words))] if self._words or self._mark else []
        return messages or [final([], self._final_end, max(end, self._final_end))]

    def close(self) -> None:
        """Hold nothing."""

    def _turn(self, value: int) -> None:
        """Another sound begins."""
        before, since = self._run
        if before and self._heard - since > _SHORTEST * RATE:
            self._words.append((before - 1, since, self._heard))
        self._run = (value, self._heard)

    def _burst(self, limit: float) -> list[dict[str, Any]]:
        words = [word for word in self._words if word[2] / RATE <= limit]
        quiet = min([limit, self._run[1] / RATE if self._run[0] else limit])
        messages = []
        if words:
            messages.append(self._final(words[: self._rng.randint(1, len(words))]))
        elif not self._words and quiet > self._final_end:
            messages.append(final([], self._final_end, round(quiet, 2)))
            self._final_end = round(quiet, 2)
            if self._speaking:
                self._speaking = False
                messages.append(end_of_utterance(self._final_end))
        if self._config.get("enable_partials"):
            items = [self._item(word) for word in self._words]
            until = max([self._final_end, *(item["end_time"] for item in items)])
            messages.append(partial(items, self._final_end, until))
        return messages

    def _final(self, words: list[tuple[int, int, int]]) -> dict[str, Any]:
        results = [self._mark] if self._mark else []
        self._mark = None
        for word in words:
            self._words.remove(word)
            results.append(self._item(word))
            if word[0] % _SENTENCE == _SENTENCE - 1:
                at = results[-1]["end_time"]
                mark = {"type": "punctuation", "start_time": at, "end_time": at, "attaches_to": "previous"}
                mark.update(is_eos=True, alternatives=[{"content": ".", "confidence": 1.0}])
                if word is words[-1] and self._words and self._rng.random() < 0.3:
                    self._mark = mark
                else:
                    results.append(mark)
        self._speaking = True
        start, self._final_end = self._final_end, max(self._final_end, results[-1]["end_time"])
        return final(results, start, self._final_end)

    def _item(self, word: tuple[int, int, int]) -> dict[str, Any]:
        number, start, end = word
        # By the word, so that a partial and the final of one session agree.
        rng = random.Random(zlib.crc32(f"{number} {id(self)}".encode()))
        blur = self._engine.blur
        said = {"content": spell(number, self._engine.repeated), "confidence": 1.0, "language": "en"}
        if "speaker" in str(self._config.get("diarization", "")):
            said["speaker"] = self._speaker
        return {
            "type": "word",
            "start_time": round(max(0.0, start / RATE + rng.uniform(-blur, blur)), 2),
            "end_time": round(end / RATE + rng.uniform(-blur, blur), 2),
            "alternatives": [said],
        }
