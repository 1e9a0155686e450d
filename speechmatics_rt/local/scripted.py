"""The scripted engine: speaks a script over any audio, at the service's rhythm.

Time is the audio's own. Each step of 0.36 s brings a final (the words older than ``max_delay``, or
an empty one) and, if asked for, a partial. All times lie on a grid of 0.04 s and are counted here in
grid points, so that nothing drifts.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from .checks import supported_targets
from .clock import AudioClock
from .engine import end_of_utterance, final, joined, partial
from .script import Script, Word, ends_sentence

__all__ = ["ScriptedEngine"]

_GRID = 0.04
_STEP = 9  # grid points between two bursts of messages
_LATENCY = 5  # grid points between the end of a word and its first partial
_AFTER = 2  # grid points between the end of a final and its EndOfUtterance
_RIGHT_TO_LEFT = ("ar", "fa", "he", "ug", "ur")
_NO_DELIMITER = ("cmn", "ja", "yue")


def _grid(seconds: float) -> int:
    return round(seconds / _GRID)


def _seconds(points: int) -> float:
    return round(points * _GRID, 2)


class ScriptedEngine:
    """Makes recognisers that all speak the same script; deterministic.

    Example:
        >>> engine = ScriptedEngine(Script.from_text("Good morning."))
        >>> recogniser = engine.recogniser({
        ...     "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
        ...     "transcription_config": {"language": "en"}})
        >>> messages = [*recogniser.feed(bytes(64000)), *recogniser.finish()]
        >>> "".join(m["metadata"]["transcript"] for m in messages)
        'Good morning. '
    """

    slow = False

    def __init__(self, script: Optional[Script] = None) -> None:
        self.script = script or Script.default()

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return {
            "adapted": False,
            "itn": True,
            "language_description": "English" if language == "en" else language,
            "word_delimiter": "" if language in _NO_DELIMITER else " ",
            "writing_direction": "right-to-left" if language in _RIGHT_TO_LEFT else "left-to-right",
        }

    def recogniser(self, settings: Mapping[str, Any]) -> _ScriptedRecogniser:
        return _ScriptedRecogniser(self.script, settings, self.language_pack_info)

    def close(self) -> None:
        """Hold nothing, so give nothing back."""


class _ScriptedRecogniser:
    def __init__(self, script: Script, settings: Mapping[str, Any], pack: Any) -> None:
        config = dict(settings["transcription_config"])
        self._script = script
        self._config = config
        self._clock = AudioClock(settings.get("audio_format") or {"type": "file"})
        self._delimiter: str = pack(config["language"])["word_delimiter"]
        self._targets = supported_targets(config["language"], settings.get("translation_config"))
        self._words: Iterator[Word] = iter(script)
        self._open: list[Word] = []  # begun, not final
        self._next: Optional[Word] = next(self._words, None)  # not begun
        self._heard = 0  # up to where words are known
        self._step = _STEP  # when the next burst is due
        self._final_end = 0  # up to where everything is final
        self._last_end: Optional[int] = None  # of the last final word of this utterance
        self._sentence: list[dict[str, Any]] = []  # final results not translated yet
        self._labels: list[str] = []

    # -- the engine's interface ------------------------------------------------------------------

    def feed(self, audio: bytes) -> list[dict[str, Any]]:
        self._clock.feed(audio)
        now = self._now()
        messages: list[dict[str, Any]] = []
        while self._step <= now:
            messages += self._burst(self._step)
            self._step += _STEP
        return messages

    def configure(self, changes: Mapping[str, Any]) -> None:
        self._config.update(changes)

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        now = self._now()
        until = now if timestamp is None else min(now, _grid(timestamp))
        self._listen(until)
        words = self._ended(until)
        messages = self._finalise(words, _grid(words[-1].end), forced=True) if words else []
        when = self._final_end + _AFTER if words else max(until, self._final_end)
        self._final_end, self._last_end = when, None
        return [*messages, end_of_utterance(_seconds(when), forced=True)]

    def speakers(self) -> list[dict[str, Any]]:
        def identifier(label: str) -> str:
            return base64.b64encode(f"local:{label}".encode()).decode()

        return [{"label": label, "speaker_identifiers": [identifier(label)]} for label in self._labels]

    def finish(self) -> list[dict[str, Any]]:
        now = self._now()
        self._listen(now)
        words = self._ended(now)
        self._open.clear()  # cut off by the end of the audio
        end = _grid(words[-1].end) if words else now
        messages = self._finalise(words, end) if words or end > self._final_end else []
        return messages + self._translate(whole=True)

    def close(self) -> None:
        self._words = iter(())

    # -- the rhythm ------------------------------------------------------------------------------

    def _burst(self, now: int) -> list[dict[str, Any]]:
        """Say what is due at one step: the final and its partial, and the end of the utterance."""
        heard = now - _LATENCY
        self._listen(heard)
        messages: list[dict[str, Any]] = []
        trigger = self._config.get("conversation_config", {}).get("end_of_utterance_silence_trigger", 0)
        begun = [word for word in self._open if _grid(word.end) > heard]
        last = _grid(self._open[-1].end) if self._open else self._last_end
        if trigger and not begun and last is not None and heard - last >= _grid(trigger):
            words = self._ended(heard)
            messages += self._finalise(words, _grid(words[-1].end) if words else heard, partial_too=False)
            self._final_end += _AFTER
            self._last_end = None
            messages += self._partial([], self._final_end)
            messages.append(end_of_utterance(_seconds(self._final_end)))
            return messages
        words = self._due(now, heard)
        quiet = min(heard, _grid(self._open[0].start)) if self._open else heard  # so far there are no words
        end = _grid(words[-1].end) if words else quiet
        if end > self._final_end or words:
            messages += self._finalise(words, end)
        else:
            messages += self._current()
        return messages + self._translate()

    def _due(self, now: int, heard: int) -> list[Word]:
        """Take the words that would be older than max_delay at the next step."""
        limit = min(heard, now + _STEP - _grid(self._config.get("max_delay", 4)))
        words: list[Word] = []
        while self._open and _grid(self._open[0].end) <= limit:
            if self._open[0].late and words:
                break  # a late mark makes a final of its own
            words.append(self._open.pop(0))
            if words[-1].late:
                break
        return words

    def _ended(self, until: int) -> list[Word]:
        """Take all words that had ended by then."""
        words = [word for word in self._open if _grid(word.end) <= until]
        self._open = self._open[len(words) :]
        return words

    def _listen(self, until: int) -> None:
        self._heard = until
        while self._next is not None and _grid(self._next.start) < until:
            if self._wanted(self._next):
                self._open.append(self._next)
            self._next = next(self._words, None)

    def _now(self) -> int:
        return int(self._clock.seconds / _GRID + 1e-6)

    # -- the messages ----------------------------------------------------------------------------

    def _finalise(
        self, words: list[Word], end: int, *, forced: bool = False, partial_too: bool = True
    ) -> list[dict[str, Any]]:
        start, self._final_end = self._final_end, max(end, self._final_end)
        if words:
            self._last_end = self._final_end
        results = [item for word in words for item in self._results(word)]
        self._sentence += results
        times = (_seconds(start), _seconds(self._final_end))
        messages = [final(results, *times, delimiter=self._delimiter, forced=forced)]
        return messages + (self._current() if partial_too else [])

    def _current(self) -> list[dict[str, Any]]:
        """Say the partial: the words that have ended and are not final."""
        words = [word for word in self._open if _grid(word.end) <= self._heard]
        return self._partial(words, _grid(words[-1].end) if words else max(self._heard, self._final_end))

    def _partial(self, words: list[Word], end: int) -> list[dict[str, Any]]:
        if not self._config.get("enable_partials"):
            return []
        results = [item for word in words for item in self._results(word)]
        return [partial(results, _seconds(self._final_end), _seconds(end), delimiter=self._delimiter)]

    def _wanted(self, word: Word) -> bool:
        filtering = self._config.get("transcript_filtering_config", {})
        if filtering.get("remove_disfluencies") and "disfluency" in word.tags:
            return False
        marks = self._config.get("punctuation_overrides", {}).get("permitted_marks", ["all"])
        return word.kind != "punctuation" or "all" in marks or word.content in marks

    def _results(self, word: Word) -> list[dict[str, Any]]:
        start, end = _grid(word.start), _grid(word.end)
        if word.kind == "punctuation":
            end = start
        item: dict[str, Any] = {"type": word.kind, "start_time": _seconds(start), "end_time": _seconds(end)}
        if word.kind == "punctuation":
            item.update(attaches_to="previous", is_eos=ends_sentence(word.content))
        elif word.kind == "entity":
            parts = list(self._spoken(word))
            if not self._config.get("enable_entities"):
                return parts
            written = {"type": "word", "start_time": _seconds(start), "end_time": _seconds(end)}
            written["alternatives"] = [self._alternative(word, word.content)]
            item.update(entity_class=word.entity_class, spoken_form=parts, written_form=[written])
        elif "audio_filtering_config" in self._config:
            item["volume"] = 60.0
        item["alternatives"] = [self._alternative(word, word.content)]
        return [item]

    def _spoken(self, word: Word) -> Iterator[dict[str, Any]]:
        start, end = _grid(word.start), _grid(word.end)
        count = len(word.spoken)
        for place, content in enumerate(word.spoken):
            yield {
                "type": "word",
                "start_time": _seconds(start + (end - start) * place // count),
                "end_time": _seconds(start + (end - start) * (place + 1) // count),
                "alternatives": [self._alternative(word, content)],
            }

    def _alternative(self, word: Word, content: str) -> dict[str, Any]:
        language = self._script.language or self._config["language"]
        said: dict[str, Any] = {"content": content, "confidence": word.confidence, "language": language}
        if word.tags:
            said["tags"] = list(word.tags)
        if "speaker" in self._config.get("diarization", "none"):
            said["speaker"] = word.speaker
            if word.speaker not in self._labels:
                self._labels.append(word.speaker)
        return said

    def _translate(self, whole: bool = False) -> list[dict[str, Any]]:
        """Translate the sentences that are final; with ``whole`` the begun one, too."""
        if not self._targets:
            self._sentence.clear()
            return []
        messages: list[dict[str, Any]] = []
        while True:
            stops = [place for place, item in enumerate(self._sentence) if item.get("is_eos")]
            count = stops[0] + 1 if stops else len(self._sentence) if whole else 0
            if not count:
                return messages
            sentence, self._sentence = self._sentence[:count], self._sentence[count:]
            for language in self._targets:
                text = self._script.translation(language, joined(sentence, self._delimiter))
                span = {"start_time": sentence[0]["start_time"], "end_time": sentence[-1]["end_time"]}
                result = {"content": text, **span}
                messages.append(
                    {"message": "AddTranslation", "format": "2.9", "language": language, "results": [result]}
                )
