"""Joins the results of the service into words, and words into text and paragraphs.

The service sends words, punctuation marks and entities one by one, and says what each mark attaches to; a
mark may come in a later message than its word. So text is joined over the whole session, one channel at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ..messages import channel_of, span, text_of

__all__ = [
    "Delimiters",
    "Joiner",
    "Paragraph",
    "Spoken",
    "Word",
    "ends_run",
    "feed",
    "joined",
    "paragraphs",
    "since",
]

PAUSE = 1.0  # seconds of silence after which another channel's words may come first
OPEN = 2  # words at the end of a channel that may still change, at most: see Joiner.tail()


@dataclass(frozen=True, repr=False)
class Word:
    """A word or an entity with the punctuation marks attached to it; or a mark that attaches to nothing.

    Attributes:
        content: What was recognised, without punctuation.
        start_time, end_time: Seconds since the first audio byte.
        text: ``content`` with its marks, as in the text.
        delimiter: What precedes it in the text; nothing before the first word.
        type: ``"word"``, ``"entity"`` or ``"punctuation"``.
        confidence: 0 to 1, or None.
        speaker: ``"S1"``, ``"UU"`` (unknown), an enrolled label, or None without diarization.
        channel: The label of the channel, or None with a single one.
        language: Code, or None.
        is_eos: Whether one of its marks ends a sentence.
        tags: Any of ``"profanity"`` and ``"disfluency"``.
        entity_class: ``"money"``, ``"date"``, ...; entities only.
        volume: 0 to 100; with audio filtering only.

    Example:
        >>> Word("Alice", 3.96, 4.32, text="Alice.", is_eos=True).text
        'Alice.'
    """

    content: str
    start_time: float
    end_time: float
    text: str = ""
    delimiter: str = ""
    type: str = "word"
    confidence: Optional[float] = None
    speaker: Optional[str] = None
    channel: Optional[str] = None
    language: Optional[str] = None
    is_eos: bool = False
    tags: tuple[str, ...] = ()
    entity_class: Optional[str] = None
    volume: Optional[float] = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything, fit for JSON; what is not known is None.

        Example:
            >>> word = Word("Alice", 3.96, 4.32, text="Alice.", speaker="S1").to_dict()
            >>> word["text"], word["speaker"], word["confidence"], word["tags"]
            ('Alice.', 'S1', None, [])
        """
        return {**vars(self), "tags": list(self.tags)}

    def __repr__(self) -> str:
        known = [f"{self.start_time:.2f}-{self.end_time:.2f} s", self.channel, self.speaker]
        if isinstance(self.confidence, (int, float)):  # a server may send anything
            known.append(f"{self.confidence:.2f}")
        return f"<Word {self.text or self.content!r} {', '.join(filter(None, known))}>"


class Spoken:
    """What paragraphs and utterances have in common: words that belong together."""

    words: tuple[Word, ...]

    @property
    def _all(self) -> tuple[Word, ...]:
        return self.words

    @property
    def text(self) -> str:
        """The words, joined."""
        return joined(self.words)

    @property
    def speaker(self) -> Optional[str]:
        """The label of the speaker; None without diarization, or if several spoke."""
        speakers = {word.speaker for word in self.words or self._all[:1]}
        return speakers.pop() if len(speakers) == 1 else None

    @property
    def channel(self) -> Optional[str]:
        """The label of the channel, or None with a single one."""
        return self._all[0].channel if self._all else None

    @property
    def label(self) -> str:
        """Channel and speaker, as far as they are known."""
        return " ".join(name for name in (self.channel, self.speaker) if name)

    @property
    def start_time(self) -> float:
        """Seconds since the first audio byte."""
        return self._all[0].start_time if self._all else 0.0

    @property
    def end_time(self) -> float:
        """Seconds since the first audio byte."""
        return max((word.end_time for word in self._all), default=0.0)

    def __repr__(self) -> str:
        if not self._all:
            return f"<{type(self).__name__} of no words>"
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        named = f"{self.label}: " if self.label else ""
        times = f"{self.start_time:.2f}-{self.end_time:.2f} s"
        return f"<{type(self).__name__} {named}{text!r} {times}, {self._more()}>"

    def _more(self) -> str:
        """Show what else is known of it."""
        return f"{len(self.words)} words"

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is final, fit for JSON; what is not known is None."""
        return {
            "speaker": self.speaker,
            "channel": self.channel,
            "text": self.text,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "words": [word.to_dict() for word in self.words],
        }


@dataclass(frozen=True, repr=False)
class Paragraph(Spoken):
    """A turn: what one speaker said on one channel without another in between.

    Example:
        >>> Paragraph((Word("Good", 0, 1, "Good"), Word("day", 1, 2, "day.", " "))).text
        'Good day.'
    """

    words: tuple[Word, ...]


class Delimiters:
    """What separates two words: as the server said for the language, or for the pack, or a default."""

    def __init__(self) -> None:
        self.pack: Optional[str] = None
        self.languages: dict[str, str] = {}

    def learn(self, message: Mapping[str, Any]) -> None:
        """Take the delimiters that a ``RecognitionStarted`` or a ``LanguageInfo`` names."""
        pack, language = message.get("language_pack_info"), message.get("language")
        if isinstance(pack, Mapping):
            self.pack = text_of(pack.get("word_delimiter"))
            known = pack.get("per_language_word_delimiters")
            for code, delimiter in known.items() if isinstance(known, Mapping) else ():
                if isinstance(delimiter, str):
                    self.languages[code] = delimiter
        if isinstance(language, str) and isinstance(message.get("word_delimiter"), str):
            self.languages[language] = message["word_delimiter"]

    def of(self, language: Optional[str]) -> str:
        if language in self.languages:
            return self.languages[language]
        if self.pack is not None:
            return self.pack
        return "" if language in ("cmn", "ja") else " "

    def between(self, before: Optional[str], after: Optional[str]) -> str:
        return self.of(after) if before == after else self.of(before) or self.of(after)


class _Open:
    """The latest word of a channel, which a mark may still join."""

    __slots__ = ("best", "delimiter", "is_eos", "result", "text")

    def __init__(self, result: Mapping[str, Any], best: Mapping[str, Any], text: str, delimiter: str) -> None:
        self.result = result
        self.best = best
        self.text = text
        self.delimiter = delimiter
        self.is_eos = bool(result.get("is_eos"))


class Joiner:
    """Join the results of one channel as they come; reading costs only what is new.

    Not thread-safe; a Transcript holds its lock around it.

    Example:
        >>> joiner = Joiner()
        >>> joiner.add({"type": "word", "alternatives": [{"content": "Yes"}]})
        >>> joiner.add({"type": "punctuation", "attaches_to": "previous", "alternatives": [{"content": "."}]})
        >>> joiner.text()
        'Yes.'
    """

    def __init__(self, delimiters: Optional[Delimiters] = None, channel: Optional[str] = None) -> None:
        self._delimiters = delimiters or Delimiters()
        self._channel = channel
        self._settled: list[Word] = []
        self._open: Optional[_Open] = None
        self._held = ""  # marks that wait for the word they precede
        self._holder: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
        self._glued = False  # the next word follows without a delimiter
        self._text = ("", 0)  # of the first n settled words; one tuple, so that an interrupt can't split it

    def add(self, result: Mapping[str, Any]) -> None:
        """Add the next result; one without text is skipped."""
        best = _best(result)
        content = best.get("content")
        if not isinstance(content, str) or not content:
            return
        attaches_to = (
            (result.get("attaches_to") or "previous") if result.get("type") == "punctuation" else None
        )
        word = None if self._held else self._open  # else a mark that is held stands between them
        if attaches_to == "next" or (attaches_to == "both" and not word):
            self._held += content
            self._holder = (result, best)
        elif attaches_to in ("previous", "both") and word:
            word.text += content
            word.is_eos |= bool(result.get("is_eos"))
            self._glued = attaches_to == "both" or self._glued
        elif attaches_to == "previous" and self._held:
            self._held += content
        else:
            self._begin(result, best, self._held + content)

    def _begin(self, result: Mapping[str, Any], best: Mapping[str, Any], text: str) -> None:
        delimiter = self._delimiter(result, best)
        if self._open:
            self._settled.append(self._word(self._open))
        self._open = _Open(result, best, text, delimiter)
        self._held, self._glued = "", False

    def _delimiter(self, result: Mapping[str, Any], best: Mapping[str, Any]) -> str:
        if self._open is None or self._glued:
            return ""
        given = result.get("delimiter")  # of a word of a translation, which came with the white space in it
        if isinstance(given, str):
            return given
        return self._delimiters.between(
            text_of(self._open.best.get("language")), text_of(best.get("language"))
        )

    def text(self) -> str:
        """Return all text so far; a mark that still waits for its word comes last."""
        text, count = self._text
        if count < len(self._settled):
            text += "".join([word.delimiter + word.text for word in self._settled[count:]])
            self._text = (text, len(self._settled))
        return text + "".join([tail.delimiter + tail.text for tail in self._tail()])

    def words(self, since: int = 0) -> list[Word]:
        """Return all words so far, or those after so many that won't change."""
        return [*self._settled[since:], *self.tail()]

    def settled_since(self, count: int) -> list[Word]:
        """Return the words that won't change, without the first ``count``."""
        return self._settled[count:]

    def take_settled(self) -> list[Word]:
        """Return the words that won't change, and forget them."""
        settled, self._settled, self._text = self._settled, [], ("", 0)
        return settled

    def tail(self) -> list[Word]:
        """Return the words that may still change: the last one, and a mark that waits for its word."""
        return [self._word(piece) for piece in self._tail()]

    def _tail(self) -> Iterator[_Open]:
        if self._open:
            yield self._open
        if self._held:
            result, best = self._holder
            yield _Open(result, best, self._held, self._delimiter(result, best))

    def _word(self, piece: _Open) -> Word:
        result, best = piece.result, piece.best
        start, end = span(result)
        tags = best.get("tags")
        return Word(
            content=best["content"],
            start_time=start,
            end_time=end,
            text=piece.text,
            delimiter=piece.delimiter,
            type=text_of(result.get("type")) or "word",
            confidence=best.get("confidence"),
            speaker=text_of(best.get("speaker")),
            channel=self._channel,
            language=text_of(best.get("language")),
            is_eos=piece.is_eos,
            tags=tuple(tags) if isinstance(tags, list) else (),
            entity_class=text_of(result.get("entity_class")),
            volume=result.get("volume"),
        )


def _best(result: Mapping[str, Any]) -> Mapping[str, Any]:
    alternatives = result.get("alternatives")
    best = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    return best if isinstance(best, Mapping) else {}


def joined(words: Sequence[Word]) -> str:
    """Return the text of consecutive words, without the delimiter before the first."""
    return "".join([word.delimiter + word.text for word in words])[len(words[0].delimiter) :] if words else ""


def feed(
    joiners: dict[Optional[str], Joiner],
    channel: Optional[str],
    results: Iterable[Mapping[str, Any]],
    delimiters: Callable[[], Delimiters],
) -> None:
    """Add results to the joiner of their channel, or of each its own if the channel is None."""
    for item in results:
        label = channel_of(item) if channel is None else channel
        joiner = joiners.get(label)
        if joiner is None:
            joiner = joiners[label] = Joiner(delimiters(), label)
        joiner.add(item)


def since(words: list[Word], place: float) -> list[Word]:
    """Return the last words of a channel: those that ended after a place."""
    first = len(words)
    while first and words[first - 1].end_time > place:
        first -= 1
    return words[first:]


def ends_run(last: Word, word: Word) -> bool:
    """Whether another channel's words may come between two words of one channel."""
    return last.is_eos or word.speaker != last.speaker or word.start_time - last.end_time > PAUSE


def paragraphs(words: Iterable[Word]) -> list[Paragraph]:
    """Group words into turns of one speaker on one channel."""
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1][-1] if groups else None
        if last is None or (last.speaker, last.channel) != (word.speaker, word.channel):
            groups.append([])
        groups[-1].append(word)
    return [Paragraph(tuple(group)) for group in groups]
