"""What a transcript has besides words: translations and sounds. Pure, and not thread-safe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..exceptions import ConfigurationError, shown
from ..messages import results_of, span, text_of, time_of
from .stored import listed

if TYPE_CHECKING:
    from .results import AudioEvent
    from .transcript import Transcript

__all__ = ["Beside"]

_SPACELESS = ("cmn", "ja", "yue", "zh")
_ENDS = ".?!…。？！"  # noqa: RUF001  those of Chinese and Japanese are meant
_SLACK = 1.125

_Read = Callable[[bytes], Mapping[str, Any]]
_Sentences = tuple[str, list[dict[str, Any]]]  # in which language


class Beside:
    """Collects translations and sounds as they come; translations are read when they are asked for.

    Args:
        keep: How many seconds to keep.
        blank: Makes a transcript for the text in another language.

    Example:
        >>> from speechmatics_rt import Transcript
        >>> beside = Beside(math.inf, Transcript)
        >>> said = [{"content": "Bonjour.", "end_time": 1.4}]
        >>> beside.add({"message": "AddTranslation", "language": "fr", "results": said})
        >>> beside.add({"message": "AudioEventStarted", "event": {"type": "music", "start_time": 0.5}})
        >>> {language: text.text for language, text in beside.translations(dict).items()}
        {'fr': 'Bonjour.'}
        >>> beside.to_dict(dict)["audio_events"]
        [{'type': 'music', 'start_time': 0.5}]
    """

    def __init__(self, keep: float, blank: Callable[[], Transcript]) -> None:
        self._keep = keep
        self._blank = blank
        self._sentences: list[Union[bytes, _Sentences]] = []  # as bytes until they are read
        self._dropped = 0  # how many were there before those
        # Texts by language, the number of the latest translation in each, and how many of those sentences are
        # in them. None while they are fed, so that it is begun anew if an interrupt cuts that short.
        self._texts: Optional[tuple[dict[str, Transcript], dict[str, int], int]] = None
        # The latest partial of each language, and how many translations came before it.
        self._partials: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self._events: list[dict[str, Any]] = []

    def add(self, message: Mapping[str, Any]) -> None:
        """Take an ``Add(Partial)Translation``, ``AudioEventStarted`` or ``AudioEventEnded``."""
        if message.get("message") == "AddTranslation":
            self._translated(message)
        elif message.get("message") == "AddPartialTranslation":
            language, sentences = _sentences_of(message)
            self._partials[language] = (self._dropped + len(self._sentences), sentences)
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
            if self._keep < math.inf:
                self._drop_old(max(span(item)[1] for item in said[1]))

    def _drop_old(self, now: float) -> None:
        """Drop what is too old, an eighth of ``keep`` at a time. Nothing is in bytes then."""
        ends = [span(said[1][-1])[1] for said in self._sentences if not isinstance(said, bytes)]
        if now - ends[0] > self._keep * _SLACK:
            kept = [said for said, end in zip(self._sentences, ends) if now - end <= self._keep]
            self._texts = None  # first, in case Ctrl-C comes in between
            self._dropped += len(self._sentences) - len(kept)
            self._sentences = kept

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
            now = max(map(_latest, self._events[-2:]))
            if now - _latest(self._events[0]) > self._keep * _SLACK:
                self._events = [each for each in self._events if now - _latest(each) <= self._keep]

    def sentences(self, read: _Read) -> Iterator[_Sentences]:
        """Yield all sentences, with their language."""
        for said in self._sentences:
            yield _sentences_of(read(said)) if isinstance(said, bytes) else said

    def translations(self, read: _Read) -> dict[str, Transcript]:
        """Return the text in each language."""
        texts, latest, done = self._texts or ({}, {}, 0)
        new = self._sentences[done:]
        self._texts = None
        for number, said in enumerate(new, self._dropped + done):
            language, sentences = _sentences_of(read(said)) if isinstance(said, bytes) else said
            if not sentences:
                continue
            latest[language] = number
            end = max(span(item)[1] for item in sentences)
            self._text(texts, language).add(
                {"message": "AddTranscript", "metadata": {"end_time": end}, "results": _words_of(sentences)}
            )
        for language in {*texts, *self._partials}:
            before, partial = self._partials.get(language, (0, []))
            words = _words_of(partial) if latest.get(language, -1) < before else []
            self._text(texts, language).add({"message": "AddPartialTranscript", "results": words})
        self._texts = (texts, latest, done + len(new))
        return dict(texts)

    def _text(self, texts: dict[str, Transcript], language: str) -> Transcript:
        if language not in texts:
            texts[language] = self._blank()
            texts[language].add(_pack(language))
        return texts[language]

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
        for language, sentences in self.sentences(read):
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
            self._translated({"language": language, "results": listed(translations, language, Mapping)})
        self._events = [dict(event) for event in listed(data, "audio_events", Mapping)]


def _sentences_of(message: Mapping[str, Any]) -> _Sentences:
    return text_of(message.get("language")) or "", results_of(message)


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


def _pack(language: str) -> dict[str, Any]:
    delimiter = "" if language.partition("-")[0].partition("_")[0] in _SPACELESS else " "
    return {"message": "RecognitionStarted", "language_pack_info": {"word_delimiter": delimiter}}


def _words_of(sentences: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [word for sentence in sentences for word in _words(sentence)]


def _words(sentence: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Make words of a sentence, which has no times for them: each gets a share by its length."""
    words = (text_of(sentence.get("content")) or "").split()
    start, end = span(sentence)
    letters, done = sum(map(len, words)), 0
    for number, word in enumerate(words, 1):
        begun, done = done, done + len(word)
        result = {
            "type": "word",
            "start_time": round(start + (end - start) * begun / letters, 3),
            "end_time": round(start + (end - start) * done / letters, 3),
            "is_eos": number == len(words) and word[-1] in _ENDS,
            "alternatives": [{"content": word, "speaker": sentence.get("speaker")}],
        }
        yield {**result, "channel": sentence["channel"]} if "channel" in sentence else result
