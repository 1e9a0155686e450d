"""The engine for tests: its words can be changed while it runs, or come from the recording it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .engine import Engine, Recogniser
from .heard import Choosing, Heard, Hearing, Search
from .script import Script
from .scripted import ScriptedEngine, ScriptedRecogniser

__all__ = ["SpokenEngine"]


class SpokenEngine:
    """Makes recognisers that say what another engine says; of recordings that are known, their own words.

    A recording is known by its samples, from wherever they are sent; as they are, without being resampled or
    encoded anew.

    Example:
        >>> import random
        >>> raw = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
        >>> samples = random.Random("It rained.").randbytes(64000)
        >>> engine = SpokenEngine()
        >>> engine.know(samples, raw, Script.from_text("It rained."))
        >>> recogniser = engine.recogniser({"audio_format": raw, "transcription_config": {"language": "en"}})
        >>> messages = [*recogniser.feed(samples), *recogniser.finish()]
        >>> "".join(m["metadata"]["transcript"] for m in messages)
        'It rained. '
    """

    slow = False

    def __init__(self) -> None:
        self.say(ScriptedEngine())

    def say(self, otherwise: Engine) -> None:
        """Have this engine speak over all audio of the sessions that follow, recordings included."""
        self._known: Heard[Script] = Heard(most=None)
        self._otherwise = otherwise

    def know(self, samples: bytes, audio_format: Mapping[str, Any], script: Script) -> None:
        """Say this script over the recording with these samples."""
        Hearing(self._known, audio_format, script).feed(samples)

    @property
    def recorded_faults(self) -> Sequence[Mapping[str, Any]]:
        """What ends sessions early, if a recording is replayed; see :class:`ReplayEngine`."""
        return getattr(self._otherwise, "recorded_faults", ())

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return self._otherwise.language_pack_info(language)

    def recogniser(self, settings: Mapping[str, Any]) -> Recogniser:
        otherwise = self._otherwise  # of now: what is said later is for later sessions
        search = Search(self._known, settings.get("audio_format") or {"type": "file"})

        def choose() -> Recogniser:
            if search.place is None:
                return otherwise.recogniser(settings)
            script, since = search.place
            return ScriptedRecogniser(script, settings, since)

        return Choosing(search, choose)

    def close(self) -> None:
        self._otherwise.close()
