"""The engine for tests: its words can be changed while it runs, or come from the recording it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Optional

from .engine import Engine, Recogniser
from .script import Script
from .scripted import ScriptedEngine

__all__ = ["SpokenEngine", "mark_of"]

_LENGTH = 32  # bytes of a mark
_HEAD = 256  # bytes in which the mark of a file is found: a header may come before it


def mark_of(words: str) -> bytes:
    """Return the first 16 samples (of 16 bits) of a recording with these words: silence, to an ear."""
    samples = sha256(words.encode("utf-8")).digest()[: _LENGTH // 2]
    return b"".join((byte - 128).to_bytes(2, "little", signed=True) for byte in samples)


class SpokenEngine:
    """Makes recognisers that say what :attr:`otherwise` says; of recordings that are known, their own words.

    A recording is known by its first samples; sent as they are, without being resampled or encoded anew.

    Attributes:
        otherwise: Speaks over all other audio; may be replaced at any time, for the sessions that follow.

    Example:
        >>> engine = SpokenEngine()
        >>> engine.know("It rained.", Script.from_text("It rained."))
        >>> settings = {"audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
        ...             "transcription_config": {"language": "en"}}
        >>> recogniser = engine.recogniser(settings)
        >>> messages = [*recogniser.feed(mark_of("It rained.") + bytes(64000)), *recogniser.finish()]
        >>> "".join(m["metadata"]["transcript"] for m in messages)
        'It rained. '
    """

    slow = False

    def __init__(self) -> None:
        self.otherwise: Engine = ScriptedEngine()
        self._known: dict[bytes, Engine] = {}

    def know(self, words: str, script: Script) -> None:
        """Say this script over the recording that begins with :func:`mark_of` these words."""
        self._known[mark_of(words)] = ScriptedEngine(script)

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return self.otherwise.language_pack_info(language)

    def recogniser(self, settings: Mapping[str, Any]) -> Recogniser:
        otherwise = self.otherwise  # of now: what is said later is for later sessions
        if not self._known:
            return otherwise.recogniser(settings)
        known = dict(self._known)

        def choose(head: bytes) -> Recogniser:
            found = (engine for mark, engine in known.items() if mark in head)
            return next(found, otherwise).recogniser(settings)

        raw = (settings.get("audio_format") or {}).get("type") == "raw"
        return _Choosing(choose, _LENGTH if raw else _HEAD)

    def close(self) -> None:
        self.otherwise.close()


class _Choosing:
    """Waits for the first bytes; from then on it is the recogniser that these have chosen."""

    def __init__(self, choose: Callable[[bytes], Recogniser], wanted: int) -> None:
        self._choose = choose
        self._wanted = wanted
        self._head = b""
        self._chosen: Optional[Recogniser] = None
        self._waiting: list[dict[str, Any]] = []  # messages for what came before it was chosen

    def _one(self) -> Recogniser:
        if self._chosen is None:
            self._chosen = self._choose(self._head)
            self._waiting += self._chosen.feed(self._head)
        return self._chosen

    def _with_waiting(self, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        return [*waiting, *messages]

    def feed(self, audio: bytes) -> list[dict[str, Any]]:
        if self._chosen is not None:
            return self._with_waiting(self._chosen.feed(audio))
        self._head += audio
        if len(self._head) >= self._wanted:
            self._one()
        return self._with_waiting(())

    def configure(self, changes: Mapping[str, Any]) -> None:
        self._one().configure(changes)

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().force_end_of_utterance(timestamp))

    def speakers(self) -> list[dict[str, Any]]:
        return self._one().speakers()

    def finish(self) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().finish())

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()
