"""The words of the scripted engine, with their times, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Optional, TypeVar

from ...config import ABOVE_ZERO, STRING, TEXT, a_list, number, refused
from ...exceptions import ConfigurationError

__all__ = ["Script", "Sound", "Word"]

_MARKS = ".,!?"
_SENTENCE_ENDS = ".!?"
_TEXT = (
    "Good morning, and welcome to the reading room. The train from Norwich was late, so we begin at once. "
    "Was that the door? Nobody came in, but the lamp on the stairs went out. "
    "Please keep your seats while somebody finds a candle. Well, here it is! Now we can see the map again, "
    "and the river that runs past the mill."
)


@dataclass(frozen=True)
class Word:
    """One item of a script: a word, a mark or an entity, with times in seconds of audio.

    Attributes:
        content: The word, the mark, or the written form of the entity.
        start, end: Seconds, rounded to the service's grid of 0.04 s; for a mark, both the end of its word.
        speaker: The label of the speaker, in sessions with speaker diarization.
        kind: ``"word"``, ``"punctuation"`` or ``"entity"``.
        late: Marks only: it comes in a final of its own, one step after the final with its word.
        entity_class: Entities only, such as ``"money"``.
        spoken: Entities only: the words as spoken.
        tags: Such as ``("disfluency",)``.
        confidence: 0 to 1.
        volume: 0 to 100; words below a session's ``volume_threshold`` are left out.
        language: The language of this word, for the multilingual model; None: that of the script.
    """

    content: str
    start: float
    end: float
    speaker: str = "S1"
    kind: str = "word"
    late: bool = False
    entity_class: Optional[str] = None
    spoken: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    confidence: float = 0.98
    volume: float = 60.0
    language: Optional[str] = None

    def moved(self, seconds: float) -> Word:
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True)
class Sound:
    """An audio event: ``"laughter"``, ``"applause"`` or ``"music"``, with times in seconds of audio."""

    type: str
    start: float
    end: float
    confidence: float = 0.9

    def moved(self, seconds: float) -> Sound:
        return replace(self, start=self.start + seconds, end=self.end + seconds)


Moved = TypeVar("Moved", Word, Sound)


@dataclass(frozen=True)
class Script:
    """Words in order of time, spoken once, or repeatedly if ``period`` is given.

    Attributes:
        words: Items in order of start time, marks right after their word.
        period: Seconds after which the words start again; None: never.
        language: The value of ``alternatives[].language``; None: the language of the session.
        translations: (language, sentence, translation); other sentences are marked with the language code.
        sounds: Audio events in order of start time, one at a time.

    Raises:
        ConfigurationError: Words or sounds overlap or end before they start, or the period is too short for
            them.

    Example:
        >>> script = Script.from_text("Hello, world.", rate=2.0)
        >>> [(word.content, word.start, word.end) for word in script.words]
        [('Hello', 0.4, 0.8), (',', 0.8, 0.8), ('world', 0.9, 1.3), ('.', 1.3, 1.3)]
    """

    words: tuple[Word, ...]
    period: Optional[float] = None
    language: Optional[str] = None
    translations: tuple[tuple[str, str, str], ...] = ()
    sounds: tuple[Sound, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("words", Word), ("sounds", Sound)):
            given: Any = getattr(self, name)
            items: Any = tuple(given) if isinstance(given, Iterable) else (given,)
            if not all(isinstance(item, kind) for item in items):
                raise refused(name, given, f"a sequence of {kind.__name__}; for a text, Script.from_text()")
            object.__setattr__(self, name, items)
            for item in items:
                if item.end < item.start:
                    raise ConfigurationError(f"{item!r} ends before it starts")
        for sound, next_sound in zip(self.sounds, self.sounds[1:]):
            if next_sound.start < sound.end:
                raise ConfigurationError(
                    f"{next_sound.type} starts at {next_sound.start} before {sound.type} has ended"
                )
        for earlier, later in zip(self.words, self.words[1:]):
            if later.start < earlier.end:
                raise ConfigurationError(
                    f"{later.content!r} starts at {later.start} before {earlier.content!r} has ended"
                )
        ends = [word.end for word in self.words[-1:]] + [sound.end for sound in self.sounds[-1:]]
        if self.period is not None and (not ends or self.period < max(ends)):
            raise ConfigurationError("the period is shorter than the words")

    @classmethod
    def default(cls) -> Script:
        """Return a readable text by two speakers, repeated, with pauses, an entity and a late full stop."""
        words: list[Word] = list(cls.from_text(_TEXT, speakers=("S1", "S2")).words)
        stops = [position for position, word in enumerate(words) if word.content == "."]
        stop = words[stops[1]] = replace(words[stops[1]], late=True)
        start = words[-1].end + 0.8
        words += [
            Word("Um", start, start + 0.28, tags=("disfluency",), confidence=0.81),
            Word("it", start + 0.4, start + 0.56),
            Word("cost", start + 0.56, start + 0.92),
            Word(
                "£42",
                start + 1.0,
                start + 2.2,
                kind="entity",
                entity_class="money",
                spoken=("forty", "two", "pounds"),
            ),
            Word(".", start + 2.2, start + 2.2, kind="punctuation"),
        ]
        sounds = (
            Sound("laughter", stop.end + 0.1, stop.end + 0.7),
            Sound("music", words[-1].end + 0.2, words[-1].end + 1.4),
        )
        return cls(tuple(words), period=words[-1].end + 1.6, sounds=sounds)

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        start: float = 0.4,
        rate: float = 2.5,
        pause: float = 0.9,
        speakers: tuple[str, ...] = ("S1",),
        repeat: bool = False,
    ) -> Script:
        """Time a text: ``rate`` words a second, ``pause`` seconds after a sentence, speakers by turns.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        STRING("text", text)
        for name, value in (("start", start), ("pause", pause)):
            number(0, unit="seconds")(name, value)
        ABOVE_ZERO("rate", rate)
        a_list(TEXT, least=1)("speakers", list(speakers) if isinstance(speakers, tuple) else speakers)
        words: list[Word] = []
        now, sentence = start, 0
        for token in text.split():
            content = token.rstrip(_MARKS)
            speaker = speakers[sentence % len(speakers)]
            end = now + 0.8 / rate
            if content:
                words.append(Word(content, round(now, 6), round(end, 6), speaker=speaker))
            for mark in token[len(content) :]:
                words.append(Word(mark, round(end, 6), round(end, 6), speaker=speaker, kind="punctuation"))
            now += 1 / rate
            if token[-1] in _SENTENCE_ENDS:
                now += pause
                sentence += 1
        return cls(tuple(words), period=now + pause if repeat else None)

    @property
    def text(self) -> str:
        """The words of one round, joined."""
        pieces: list[str] = []
        for word in self.words:
            if word.kind == "punctuation" and pieces:
                pieces[-1] += word.content
            else:
                pieces.append(word.content)
        return " ".join(pieces)

    def __iter__(self) -> Iterator[Word]:
        """Iterate over all words, without end if the script repeats."""
        return self._repeated(self.words)

    def heard_words(self, since: float = 0.0) -> Iterator[Word]:
        """Iterate over the words of audio that begins ``since`` seconds later than the script."""
        return _later(self._repeated(self.words), since)

    def heard_sounds(self, since: float = 0.0) -> Iterator[Sound]:
        """Iterate over the sounds of audio that begins ``since`` seconds later than the script."""
        return _later(self._repeated(self.sounds), since)

    def _repeated(self, items: tuple[Moved, ...]) -> Iterator[Moved]:
        yield from items
        shift = self.period if items else None
        while shift is not None:
            yield from (item.moved(shift) for item in items)
            shift += self.period or 0.0

    def translation(self, language: str, sentence: str) -> str:
        """Return the sentence in another language, or itself marked with the language's code."""
        known = {(to, source): target for to, source, target in self.translations}
        return known.get((language, sentence), f"[{language}] {sentence}")


def _later(items: Iterator[Moved], since: float) -> Iterator[Moved]:
    """Yield what begins after so many seconds, as counted from there."""
    if not since:
        return items
    return (item.moved(-since) for item in items if item.start >= since)


def ends_sentence(mark: str) -> bool:
    """True for marks with ``is_eos``."""
    return mark in _SENTENCE_ENDS
