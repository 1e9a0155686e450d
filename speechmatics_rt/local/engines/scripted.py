"""The scripted engine: returns the words of a script for any audio, at the service's rhythm.

Time is that of the audio. Each step of 0.36 s brings a final (the words older than ``max_delay``, or an
empty one) and, if asked for, a partial. All times are on a grid of 0.04 s and are counted in grid points, so
that nothing drifts. A session whose audio begins in the middle of another's, as that of a client which
resumes, has the words from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

from ...exceptions import ConfigurationError, shown
from .clock import AudioClock
from .engine import Recogniser
from .heard import Choosing, Heard, Hearing, Search
from .languages import language_pack, supported_targets
from .messages import end_of_utterance, final, joined, partial
from .results import POINT, ResultBuilder, grid, seconds
from .script import Script, Sound, Word

__all__ = ["ScriptedEngine", "ScriptedRecogniser"]

_STEP = 9  # grid points between two bursts of messages
_LATENCY = 5  # grid points between the end of a word and its first partial
_AFTER = 2  # grid points between the end of a final and its EndOfUtterance
_SOUNDS = ("laughter", "applause", "music")


class ScriptedEngine:
    """Returns the words of a script for any audio; deterministic.

    A session that begins in the middle of the audio of one that broke off has the words from there, as if it
    resumed that. Silence, and what repeats itself, is heard as the beginning.

    Args:
        script: The words; or, for sessions of several channels, a script for each label. A channel without a
            script is silent.

    Raises:
        ConfigurationError: It is none.

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

    def __init__(self, script: Union[Script, Mapping[str, Script], None] = None) -> None:
        script = Script.default() if script is None else script
        known = script.values() if isinstance(script, Mapping) else [script]
        if not all(isinstance(one, Script) for one in known):
            raise ConfigurationError(
                f"script is {shown(script, 80)}; accepted: a Script, such as Script.from_text('It rained.'),"
                " or a mapping of channels to theirs"
            )
        self.script = script
        self._heard: dict[str, Heard[Script]] = {}  # by channel; grows by single calls

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return language_pack(language)

    def recogniser(self, settings: Mapping[str, Any]) -> Recogniser:
        channel = settings.get("channel", "")
        script = self.script if isinstance(self.script, Script) else self.script.get(channel, Script(()))
        audio_format = settings.get("audio_format") or {"type": "file"}
        heard = self._heard.setdefault(channel, Heard())
        search = Search(heard, audio_format)

        def choose() -> Recogniser:
            known = search.place is not None and search.place[0] is script
            since = search.place[1] if search.place is not None and known else 0.0
            return ScriptedRecogniser(script, settings, since, Hearing(heard, audio_format, script, since))

        return Choosing(search, choose)

    def close(self) -> None:
        """Release nothing."""


class ScriptedRecogniser:
    """Returns the words of a script for audio that begins ``since`` seconds later.

    ``hearing`` gets that audio, too.
    """

    def __init__(
        self,
        script: Script,
        settings: Mapping[str, Any],
        since: float = 0.0,
        hearing: Optional[Hearing[Script]] = None,
    ) -> None:
        config = dict(settings["transcription_config"])
        self._script = script
        self._hearing = hearing
        self._config = config
        self._builder = ResultBuilder(script, config)
        self._clock = AudioClock(settings.get("audio_format") or {"type": "file"})
        self._delimiter: str = language_pack(config["language"])["word_delimiter"]
        translation = settings.get("translation_config") or {}
        self._targets = supported_targets(config["language"], translation)
        self._guesses = bool(self._targets and translation.get("enable_partials"))
        self._sounds = _Sounds(script.heard_sounds(since), settings.get("audio_events_config"))
        self._words: Iterator[Word] = script.heard_words(since)
        self._open: list[Word] = []  # begun, not final
        self._next: Optional[Word] = next(self._words, None)  # not begun
        self._known = 0  # up to where words are known
        self._step = _STEP  # when the next burst is due
        self._final_end = 0  # up to where everything is final
        self._last_end: Optional[int] = None  # of the last final word of this utterance
        self._sentence: list[dict[str, Any]] = []  # final results not translated yet

    # -- the engine's interface ------------------------------------------------------------------

    def feed(self, audio: bytes) -> list[dict[str, Any]]:
        self._clock.feed(audio)
        if self._hearing is not None:
            self._hearing.feed(audio)
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
        until = now if timestamp is None else min(now, grid(timestamp))
        self._advance(until)
        words = self._ended(until)
        messages = self._finalise(words, grid(words[-1].end), forced=True) if words else []
        when = self._final_end + _AFTER if words else max(until, self._final_end)
        self._final_end, self._last_end = when, None
        return [*messages, end_of_utterance(seconds(when), forced=True)]

    def speakers(self) -> list[dict[str, Any]]:
        return self._builder.speakers()

    def finish(self) -> list[dict[str, Any]]:
        now = self._now()
        self._advance(now)
        words = self._ended(now)
        self._open.clear()  # cut off by the end of the audio
        end = grid(words[-1].end) if words else now
        messages = self._sounds.due(now, ended=True)
        if words or end > self._final_end:
            messages += self._finalise(words, end)
        return messages + self._translate(whole=True)

    def complete(self) -> None:
        """Forget the audio, which no other session will resume."""
        if self._hearing is not None:
            self._hearing.forget()

    def close(self) -> None:
        self._words = iter(())

    # -- the rhythm ------------------------------------------------------------------------------

    def _burst(self, now: int) -> list[dict[str, Any]]:
        """Build what is due at one step: the final and its partial, and the end of the utterance."""
        known = now - _LATENCY
        self._advance(known)
        messages = self._sounds.due(known)
        trigger = self._config.get("conversation_config", {}).get("end_of_utterance_silence_trigger", 0)
        begun = [word for word in self._open if grid(word.end) > known]
        last = grid(self._open[-1].end) if self._open else self._last_end
        if trigger and not begun and last is not None and known - last >= grid(trigger):
            words = self._ended(known)
            end = max(known - _AFTER, grid(words[-1].end) if words else 0)
            messages += self._finalise(words, end, partial_too=False)
            self._final_end += _AFTER
            self._last_end = None
            messages += self._partial([], self._final_end)
            messages.append(end_of_utterance(seconds(self._final_end)))
            return messages + self._translate()
        words = self._due(now, known)
        quiet = min(known, grid(self._open[0].start)) if self._open else known  # so far there are no words
        end = grid(words[-1].end) if words else quiet
        if end > self._final_end or words:
            messages += self._finalise(words, end)
        else:
            messages += self._current()
        return messages + self._translate()

    def _due(self, now: int, known: int) -> list[Word]:
        """Take the words that would be older than max_delay at the next step."""
        limit = min(known, now + _STEP - grid(self._config.get("max_delay", 4)))
        words: list[Word] = []
        while self._open and grid(self._open[0].end) <= limit:
            if self._open[0].late and words:
                break  # a late mark makes a final of its own
            words.append(self._open.pop(0))
            if words[-1].late:
                break
        return words

    def _ended(self, until: int) -> list[Word]:
        """Take all words that had ended by then."""
        words = [word for word in self._open if grid(word.end) <= until]
        self._open = self._open[len(words) :]
        return words

    def _advance(self, until: int) -> None:
        self._known = until
        while self._next is not None and grid(self._next.start) < until:
            if self._builder.wants(self._next):
                self._open.append(self._next)
            self._next = next(self._words, None)

    def _now(self) -> int:
        return int(self._clock.seconds / POINT + 1e-6)

    # -- the messages ----------------------------------------------------------------------------

    def _finalise(
        self, words: list[Word], end: int, *, forced: bool = False, partial_too: bool = True
    ) -> list[dict[str, Any]]:
        start, self._final_end = self._final_end, max(end, self._final_end)
        if words:
            self._last_end = self._final_end
        results = [item for word in words for item in self._builder.items(word)]
        self._sentence += results
        times = (seconds(start), seconds(self._final_end))
        messages = self._builder.language_infos(results, partial=False)
        messages.append(final(results, *times, delimiter=self._delimiter, forced=forced))
        return messages + (self._current() if partial_too else [])

    def _current(self) -> list[dict[str, Any]]:
        """Build the partial: the words that have ended and are not final."""
        words = [word for word in self._open if grid(word.end) <= self._known]
        return self._partial(words, grid(words[-1].end) if words else max(self._known, self._final_end))

    def _partial(self, words: list[Word], end: int) -> list[dict[str, Any]]:
        if not self._config.get("enable_partials"):
            return []
        results = [item for word in words for item in self._builder.items(word)]
        messages = self._builder.language_infos(results, partial=True)
        span = (seconds(self._final_end), seconds(end))
        messages.append(partial(results, *span, delimiter=self._delimiter))
        if results and self._guesses:
            stops = [place for place, item in enumerate(self._sentence) if item.get("is_eos")]
            begun = self._sentence[stops[-1] + 1 if stops else 0 :]
            messages += self._translations("AddPartialTranslation", [*begun, *results])
        return messages

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
            messages += self._translations("AddTranslation", sentence)

    def _translations(self, kind: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Build one message for each target language."""
        text = joined(items, self._delimiter)
        result = {"start_time": items[0]["start_time"], "end_time": items[-1]["end_time"]}
        speaker = items[0]["alternatives"][0].get("speaker")
        if speaker is not None:
            result["speaker"] = speaker
        return [
            {
                "message": kind,
                "format": "2.9",
                "language": language,
                "results": [{"content": self._script.translation(language, text), **result}],
            }
            for language in self._targets
        ]


class _Sounds:
    """Announces the sounds of a script, one at a time, if the session asks for them."""

    def __init__(self, coming: Iterator[Sound], config: Optional[Mapping[str, Any]]) -> None:
        self._types = () if config is None else config.get("types", _SOUNDS)
        self._coming = coming
        self._next: Optional[Sound] = next(self._coming, None)
        self._open = False  # the next one has begun

    def due(self, until: int, ended: bool = False) -> list[dict[str, Any]]:
        """Announce what began and ended up to a grid point; with the audio ends what is open, too."""
        messages: list[dict[str, Any]] = []
        while self._next is not None and grid(self._next.start) <= until:
            sound, end = self._next, grid(self._next.end)
            if not self._open and sound.type in self._types:
                event = {"type": sound.type, "start_time": seconds(grid(sound.start))}
                event["confidence"] = sound.confidence
                messages.append({"message": "AudioEventStarted", "event": event})
            self._open = True
            if end > until and not ended:
                break
            if sound.type in self._types:
                event = {"type": sound.type, "end_time": seconds(min(end, until))}
                messages.append({"message": "AudioEventEnded", "event": event})
            self._open = False
            self._next = next(self._coming, None)
        return messages
