"""What the model read in the audio of these tests, kept beside them: to read all of it takes a minute.

CTranslate2 alone is stood for, and only where it reads here about as it did there, which is tried first.
All of ours is done anew each time, and what is not kept is read by the model. ``WHISPER_READS=all`` has it
read everything (``tox -e reliability`` does), ``WHISPER_READS=keep`` does so and keeps that here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import numpy

from speechmatics_rt.local.whisper.model import WhisperModel, Word

__all__ = ["Readings"]

_KEPT = Path(__file__).with_name("readings.json")
_READS = os.environ.get("WHISPER_READS", "")


class Readings:
    """Stands in the place of a model of CTranslate2, for one thread.

    Args:
        model: The one whose place it takes.
        audio: What it is tried with: if the model reads that otherwise, nothing that is kept is used.
    """

    def __init__(self, model: WhisperModel, audio: bytes) -> None:
        self._model: Any = model._model
        self._words = model.words
        self._words_known: dict[Any, list[Word]] = {}
        self._encoded: dict[str, Any] = {}
        self._audio = ""
        model._model = self
        model.words = self.words  # type: ignore[method-assign]
        self._known: dict[str, Any] = {}
        self.words(audio)
        kept = {} if _READS else json.loads(_KEPT.read_text("utf-8"))
        if all(_alike(kept.get(key), read) for key, read in self._known.items()):
            self._known.update(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def words(
        self, audio: bytes, *, prefix: Sequence[int] = (), before: Sequence[int] = (), **how: Any
    ) -> list[Word]:
        key = (audio, tuple(prefix), tuple(before), *sorted(how.items()))
        if key not in self._words_known:
            # By the audio, and by about what it is made into: to the last bit no two machines make the same.
            self._audio = _digest(audio.hex(), sorted(how.items()))
            self._words_known[key] = self._words(audio, prefix=prefix, before=before, **how)
        return list(self._words_known[key])

    def encode(self, features: Any) -> tuple[str, Any]:
        return _digest(self._audio, _roughly(features)), features

    def generate(self, encoded: tuple[str, Any], prompts: Any, **how: Any) -> list[Any]:
        def read(audio: Any) -> dict[str, Any]:
            (found,) = self._model.generate(audio, prompts, **how)
            return {"tokens": found.sequences_ids[0], "silence": found.no_speech_prob}

        kept = self._read(encoded, [prompts, how], read)
        return [SimpleNamespace(sequences_ids=[kept["tokens"]], no_speech_prob=kept["silence"])]

    def align(self, encoded: tuple[str, Any], task: Any, tokens: Any, lengths: Any) -> list[Any]:
        def read(audio: Any) -> dict[str, Any]:
            (found,) = self._model.align(audio, task, tokens, lengths)
            firsts = dict(reversed(found.alignments))
            return {"positions": sorted(firsts.items()), "probabilities": list(found.text_token_probs)}

        kept = self._read(encoded, [task, tokens, lengths], read)
        alignments = [tuple(pair) for pair in kept["positions"]]
        return [SimpleNamespace(alignments=alignments, text_token_probs=kept["probabilities"])]

    def _read(self, encoded: tuple[str, Any], asked: Any, read: Callable[[Any], dict[str, Any]]) -> Any:
        audio, features = encoded
        key = _digest(audio, asked)
        if key not in self._known:
            if audio not in self._encoded:
                self._encoded[audio] = self._model.encode(features)
            self._known[key] = json.loads(json.dumps(read(self._encoded[audio])))
        return self._known[key]

    def keep(self) -> None:
        if _READS == "keep":
            lines = (f"{json.dumps(key)}: {json.dumps(self._known[key])}" for key in sorted(self._known))
            _KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _roughly(features: Any) -> list[float]:
    """Give the shape of what the model is given, and the mean of every tenth band."""
    array = numpy.asarray(features)
    return [*array.shape, *(round(float(mean), 1) for mean in array.mean(axis=(0, 2))[::10])]


def _alike(kept: Any, read: dict[str, Any]) -> bool:
    """Whether the same was read, 0.04 s apart at most: so do processors differ, and in how sure they are."""
    if kept is None or kept.get("tokens") != read.get("tokens"):
        return False
    there, here = (dict(map(tuple, one.get("positions", ()))) for one in (kept, read))
    return there.keys() == here.keys() and all(abs(there[token] - here[token]) <= 2 for token in here)
