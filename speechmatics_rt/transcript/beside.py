"""What a transcript has besides words: translations and sounds. Pure, and not thread-safe."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..exceptions import ConfigurationError, shown
from ..messages import channel_of, results_of, span, text_of, time_of
from .stored import labelled, listed

if TYPE_CHECKING:
    from .results import AudioEvent
    from .transcript import Transcript

__all__ = ["Beside"]

# The end of a sentence, in any script, with the quotes and brackets that close behind it.
_END = re.compile("[.?!…。？！｡．।॥؟۔][\"'”’“‘»›)\\]」』）\\s]*$")  # noqa: RUF001
# White space, and what follows it up to the next that allows a break: "Vraiment ?" has one that does not.
_WORD = re.compile(r"(\s*)(\S+(?:[\u00a0\u2007\u202f]\S+)*)")

_FIRST = (0.0, "", 0.0)

_Read = Callable[[bytes], Mapping[str, Any]]
_Key = tuple[str, Optional[str]]  # language and channel
_Sentences = tuple[_Key, list[dict[str, Any]]]


class Beside:
    """Collects translations and sounds as they come; translations are read when they are asked for.

    Args:
        keep: How many seconds of each channel to keep at least (at most an eighth more).
        ends: Up to where each channel is final; it grows.
        blank: Makes a transcript for the text in another language.

    Example:
        >>> from speechmatics_rt import Transcript
        >>> beside = Beside(math.inf, {}, Transcript)
        >>> said = [{"content": "Bonjour.", "end_time": 1.4}]
        >>> beside.add({"message": "AddTranslation", "language": "fr", "results": said})
        >>> beside.add({"message": "AudioEventStarted", "event": {"type": "music", "start_time": 0.5}})
        >>> {language: text.text for language, text in beside.translations(dict).items()}
        {'fr': 'Bonjour.'}
        >>> beside.to_dict(dict)["audio_events"]
        [{'type': 'music', 'start_time': 0.5}]
    """

    def __init__(
        self, keep: float, ends: Mapping[Optional[str], float], blank: Callable[[], Transcript]
    ) -> None:
        self._keep = keep
        self._ends = ends
        self._blank = blank
        self._sentences: list[Union[bytes, _Sentences]] = []  # as bytes until they are read
        self._dropped = 0  # how many were there before those
        # None while it is fed, so that it is begun anew if an interrupt cuts that short.
        self._texts: Optional[_Texts] = None
        # The latest partial of each language and channel, and how many translations came before it.
        self._partials: dict[_Key, tuple[int, list[dict[str, Any]]]] = {}
        self._events: list[dict[str, Any]] = []
        self._latest: dict[Optional[str], float] = {}  # the end of the last of these on each channel
        self._tidied = 0.0  # the latest time when old ones were dropped

    def add(self, message: Mapping[str, Any]) -> None:
        """Take an ``Add(Partial)Translation``, ``AudioEventStarted`` or ``AudioEventEnded``."""
        if message.get("message") == "AddTranslation":
            self._translated(message)
        elif message.get("message") == "AddPartialTranslation":
            key, sentences = _sentences_of(message)
            self._partials[key] = (self._dropped + len(self._sentences), sentences)
        else:
            self._sounded(message)

    def payload(self, payload: bytes, read: _Read) -> None:
        """Take an ``AddTranslation`` as it came."""
        if self._keep == math.inf:
            self._sentences.append(payload)
        else:
            self._translated(read(payload))

    def end(self) -> None:
        """Note that no partial will become final any more."""
        self._partials.clear()

    def _translated(self, message: Mapping[str, Any]) -> None:
        said = _sentences_of(message)
        self._partials.pop(said[0], None)
        if said[1] and self._keep:
            self._sentences.append(said)
            self._drop_old(said[0][1], max(span(item)[1] for item in said[1]))

    def _drop_old(self, channel: Optional[str], end: float) -> None:
        """Drop what is too old, if it is time to do so; something on a channel has just ended."""
        if self._keep == math.inf:
            return
        self._note(channel, end)
        now = max([*self._latest.values(), *self._ends.values()])
        if now - self._tidied <= self._keep / 8:
            return
        self._tidied = now
        kept = [said for said in self._sentences if isinstance(said, bytes) or self._keeps(*_place(said))]
        if len(kept) < len(self._sentences):
            self._texts = None  # first, in case Ctrl-C comes in between
            self._dropped += len(self._sentences) - len(kept)
            self._sentences = kept
        self._events = [
            event for event in self._events if self._keeps(text_of(event.get("channel")), _latest(event))
        ]

    def _note(self, channel: Optional[str], end: float) -> None:
        self._latest[channel] = max(self._latest.get(channel, 0.0), end)

    def _keeps(self, channel: Optional[str], end: float) -> bool:
        """Whether something has ended lately on its channel; on any, if that is unknown."""
        ends = self._ends.values() if channel is None else [self._ends.get(channel, 0.0)]
        return any(0.0 <= now - end <= self._keep for now in (self._latest[channel], *ends))

    def _sounded(self, message: Mapping[str, Any]) -> None:
        told = message.get("event")
        event = dict(told) if isinstance(told, Mapping) else {}
        if text_of(message.get("channel")) is not None:
            event["channel"] = message["channel"]
        if message.get("message") == "AudioEventEnded":
            for begun in reversed(self._events):
                same = all(begun.get(key) == event.get(key) for key in ("type", "channel"))
                if same and "end_time" not in begun:
                    begun.update(event)
                    return
        if self._keep:
            self._events.append(event)
            self._drop_old(text_of(event.get("channel")), _latest(event))

    def translations(self, read: _Read) -> dict[str, Transcript]:
        """Return the text in each language, in the order of time, which several channels do not come in."""
        texts = self._texts or _Texts()
        self._texts = None
        coming = self._read_from(texts.done, read)
        if any(_in_time(said) < texts.last.get(said[0], _FIRST) for said in coming if said[1]):
            texts, coming = _Texts(), self._read_from(0, read)
        for number, (key, sentences) in enumerate(coming, self._dropped + texts.done):
            if sentences:
                texts.latest[key] = number
        for said in sorted(coming, key=_in_time):
            key, sentences = said
            if sentences:
                texts.last[key] = _in_time(said)
                end = max(span(item)[1] for item in sentences)
                self._text(texts, key).add(
                    {
                        "message": "AddTranscript",
                        "metadata": {"end_time": end},
                        "results": _words_of(key[0], sentences),
                    }
                )
        for key in {*texts.partial, *self._partials}:
            before, partial = self._partials.get(key, (0, []))
            words = _words_of(key[0], partial) if texts.latest.get(key, -1) < before else []
            message = {"message": "AddPartialTranscript", "channel": key[1], "results": words}
            self._text(texts, key).add(message)
        texts.partial, texts.done = {*self._partials}, texts.done + len(coming)
        self._texts = texts
        return dict(texts.by_language)

    def _read_from(self, number: int, read: _Read) -> list[_Sentences]:
        """Return the translations without so many first ones."""
        sentences = self._sentences[number:]
        return [_sentences_of(read(said)) if isinstance(said, bytes) else said for said in sentences]

    def _text(self, texts: _Texts, key: _Key) -> Transcript:
        language, _ = key
        if language not in texts.by_language:
            texts.by_language[language] = self._blank()
        return texts.by_language[language]

    def events(self) -> list[AudioEvent]:
        """Return the sounds, in order of time."""
        from .results import AudioEvent  # few need it, and every import pays

        return [AudioEvent.from_dict(_checked(event)) for event in self._in_order()]

    def _in_order(self) -> list[dict[str, Any]]:
        return sorted(
            self._events, key=lambda event: (time_of(event.get("start_time")), str(event.get("channel")))
        )

    def to_dict(self, read: _Read) -> dict[str, Any]:
        """Return what there is, fit for JSON, in the shape that the service gives transcripts of files."""
        translations: dict[str, list[dict[str, Any]]] = {}
        for (language, _), sentences in sorted(self._read_from(0, read), key=_in_time):
            if sentences:
                translations.setdefault(language, []).extend(sentences)
        parts: dict[str, Any] = {}
        if translations:
            parts["translations"] = {language: translations[language] for language in sorted(translations)}
        if self._events:
            parts["audio_events"] = [dict(event) for event in self._in_order()]
        return parts

    def load(self, data: Mapping[str, Any]) -> None:
        """Take what :meth:`to_dict` has returned, in whatever it has become a part of.

        Raises:
            ConfigurationError: It is something else.
        """
        translations = data.get("translations", {})
        if not isinstance(translations, Mapping):
            raise ConfigurationError(f"not a transcript: translations is {shown(translations, 60)}")
        for language in translations:
            said = _sentences_of({"language": language, "results": listed(translations, language, Mapping)})
            if said[1]:
                self._sentences.append(said)
                self._note(*_place(said))
        for event in listed(data, "audio_events", Mapping):
            self._events.append(dict(event))
            self._note(text_of(event.get("channel")), _latest(event))


class _Texts:
    """The text in each language, as far as it is made."""

    def __init__(self) -> None:
        self.by_language: dict[str, Transcript] = {}
        self.done = 0  # how many translations are in it
        self.latest: dict[_Key, int] = {}  # the number of the latest of each
        self.last: dict[_Key, tuple[float, str, float]] = {}  # the last of each in time
        self.partial: set[_Key] = set()  # those that have had a partial


def _sentences_of(message: Mapping[str, Any]) -> _Sentences:
    channel = channel_of(message)
    sentences = [labelled(text_of(message.get("channel")), item) for item in results_of(message)]
    return (text_of(message.get("language")) or "", channel), sentences


def _in_time(said: _Sentences) -> tuple[float, str, float]:
    """Return what to sort translations by: as they were said, those at one time by channel."""
    (_, channel), sentences = said
    start, end = span(sentences[0]) if sentences else (0.0, 0.0)
    return start, channel or "", end


def _place(said: _Sentences) -> tuple[Optional[str], float]:
    return said[0][1], span(said[1][-1])[1]


def _checked(event: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an event; what is odd in it counts as absent."""
    checked = {
        **event,
        "type": text_of(event.get("type")) or "",
        "start_time": time_of(event.get("start_time")),
    }
    if "end_time" in event:
        checked["end_time"] = time_of(event["end_time"])
    if text_of(event.get("channel")) is None:
        checked.pop("channel", None)
    return checked


def _latest(event: Mapping[str, Any]) -> float:
    return max(time_of(event.get("start_time")), time_of(event.get("end_time")))


def _words_of(language: str, sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [word for sentence in sentences for word in _words(language, sentence)]


def _words(language: str, sentence: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Make words of a sentence, which has no times for them: each gets a share by its length."""
    content = (text_of(sentence.get("content")) or "").strip()
    words: list[tuple[str, str]] = _WORD.findall(content)
    start, end = span(sentence)
    letters, done = sum(len(word) for _, word in words), 0
    for number, (before, word) in enumerate(words, 1):
        begun, done = done, done + len(word)
        result: dict[str, Any] = {
            "type": "word",
            "start_time": round(start + (end - start) * begun / letters, 3),
            "end_time": round(start + (end - start) * done / letters, 3),
            "is_eos": number == len(words) and bool(_END.search(word)),
            "alternatives": [
                {"content": word, "speaker": sentence.get("speaker"), "language": language or None}
            ],
        }
        if before:
            result["delimiter"] = before
        if "channel" in sentence:
            result["channel"] = sentence["channel"]
        yield result
