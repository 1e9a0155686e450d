"""Joins several sessions into one transcript: what in a new session is new, and when it was said.

A session that takes over starts a little before the end of the finals, so it returns some words again.
Which ones is decided by their times alone, never by the words themselves: the same word may well have been
said twice. Pure: no thread, clock or socket; its owner's lock guards it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional

from ..messages import channel_of, heard_up_to, is_time, metadata_of, results_of, span, times_of
from ..transcript import Delimiters, Joiner
from .speakers import Speakers

__all__ = ["Stitcher", "Overlap", "shifted"]

LEAD = 0.5  # seconds of audio sent before what is certain, as a start for the recogniser
_WHOLE = 0.8  # seconds sent before the last final word: cut, it would be recognised as another word
_BLUR = 0.08  # seconds: two sessions may each place the limit of a word 40 ms off
_SENTENCE = 0.2  # seconds by which two sessions may differ about the limits of a sentence
_MARK = 4.0  # seconds of silence in which a mark may still follow the last word; the longest max_delay
_UNTRANSLATED = 30.0  # seconds to go back for a sentence without a translation, which may never come
_TIMES = ("start_time", "end_time")
_DEPTH = 12  # of nesting in a message: times and speakers in the words of an entity are 8 deep

Items = list[dict[str, Any]]


class Overlap:
    """Distinguishes repeated words from new ones at the beginning of a session.

    It compares the middles of words, since limits may be off. The word of the new session whose middle is
    nearest to that of the last final word is that word; what follows is new. This is certain as long as
    limits are off by 40 ms at most, and the middles of neighbouring words are more than 160 ms apart.

    Args:
        start, end: Of the last final word, in seconds.

    Example:
        >>> overlap = Overlap(1.0, 1.3)
        >>> [overlap.is_new(0.5, 0.9), overlap.is_new(1.03, 1.27), overlap.is_new(1.32, 1.6)]
        [False, False, True]
    """

    def __init__(self, start: float, end: float) -> None:
        self.end = end
        self.passed = False  # a new word has come: everything that follows is new
        self._middle = (start + end) / 2
        self._nearest = max((end - start) / 2 + _BLUR / 2, _BLUR * 1.1)

    def is_new(self, start: float, end: float) -> bool:
        """Whether the next word is new; words come in order."""
        middle = (start + end) / 2
        distance = abs(middle - self._middle)
        if not self.passed and middle > self.end - _BLUR:
            self.passed = middle > self.end + _BLUR or distance >= self._nearest
        self._nearest = min(self._nearest, distance)
        return self.passed


class _Channel:
    """What was delivered of one channel, on the overall clock.

    Times of the server are believed only up to the audio it was sent, and not before what is certain, since
    they decide what is kept. A word with an impossible time is delivered as it is, and changes nothing.
    """

    def __init__(self) -> None:
        self.offset = 0.0  # when the current session began, on the overall clock
        self.sent = float("inf")  # the end of the audio that the current session was sent
        self.last: Optional[tuple[float, float]] = None  # of the last final word: start, end
        self.before: Optional[float] = None  # the end of the word before that
        self.marked = False  # a mark followed the last word
        self.certain = 0.0  # everything before is final
        self.until = 0.0  # the end of the last final
        self.speaking = False  # words came since the last end of an utterance
        self.sounding: set[str] = set()  # audio events that have begun
        self.sounded: dict[str, float] = {}  # when those of each kind have ended
        self.overlap: Optional[Overlap] = None
        self.later = False  # the current session is not the first

    def begin(self, offset: float) -> None:
        self.offset, self.later = offset, True
        self.overlap = Overlap(*self.last) if self.last else None

    def anchor(self) -> float:
        """Return from where audio would have to be sent to another session."""
        anchor = self.certain - LEAD
        if self.last is None:
            return max(0.0, anchor)
        near = self.last[1] + (0.1 + LEAD if self.marked else _MARK)
        if self.certain < near:
            anchor = min(self.last[1] - LEAD, self.last[0] - _WHOLE)
        return max(0.0, anchor)

    def up_to(self, time: float) -> float:
        """Return the later of ``until`` and ``time``, if that is believed."""
        return self.until if heard_up_to(time, self.sent) is None else max(time, self.until)

    def lies(self, item: Mapping[str, Any]) -> bool:
        """Whether a word ends later than the audio that was sent."""
        return heard_up_to(span(item)[1], self.sent) is None

    def ends_last_word(self, time: float) -> bool:
        """Whether a mark at ``time`` belongs to the last final word, rather than to an earlier one."""
        if self.last is None:
            return False
        return self.before is None or abs(time - self.last[1]) <= abs(time - self.before)

    def deliver(self, items: Items) -> None:
        for item in items:
            if item.get("type") == "punctuation":
                self.marked |= item.get("attaches_to") != "next"
                continue
            start, end = span(item)
            if self.lies(item) or end < self.certain - LEAD:
                continue
            self.before = self.last[1] if self.last else None
            self.last = (max(start, self.certain - LEAD), max(end, self.before or 0.0))
            self.marked, self.speaking = False, True
            self.certain = max(self.certain, min(end, self.sent))


class Stitcher:
    """Turns the messages of several sessions, one after the other, into those of a single session.

    Args:
        languages: The target languages of the translation.
        channels: The labels of the channels, or just None.
        speakers: Labels the speakers.
    """

    def __init__(
        self,
        languages: Iterable[str] = (),
        channels: Iterable[Optional[str]] = (None,),
        speakers: Optional[Speakers] = None,
    ) -> None:
        self._channels = {label: _Channel() for label in channels}
        # For messages without a channel, or with an unknown one: the only channel, or else just a clock.
        self._other = next(iter(self._channels.values())) if len(self._channels) == 1 else _Channel()
        self.speakers = Speakers({}) if speakers is None else speakers
        self._languages = tuple(languages)
        self._translated: deque[tuple[str, float, float]] = deque(maxlen=100)
        self._introduced: set[str] = set()  # languages that were announced
        self._delimiters = Delimiters()
        self._session = 0
        self._started = -1  # the session that has said RecognitionStarted

    # -- for the owner of the audio ------------------------------------------------------------------

    def begin(self, offsets: Mapping[Optional[str], float]) -> None:
        """Let another session take over, which begins at ``offsets[channel]`` on the overall clock."""
        self._session += 1
        self.speakers.begin()
        for label, offset in offsets.items():
            self._of(label).begin(offset)
        if len(offsets) > 1:
            self._other.offset = min(offsets.values())  # with translations they are all one

    @property
    def started(self) -> bool:
        """Whether RecognitionStarted has come, in any session."""
        return self._started >= 0

    def anchor(self, channel: Optional[str]) -> float:
        """Return from where audio of the channel would have to be sent to another session."""
        anchor = self._of(channel).anchor()
        if self._languages:
            translated = min(
                max((end for known, _, end in self._translated if known == language), default=0.0)
                for language in self._languages
            )
            if translated < self._of(channel).certain:
                anchor = max(0.0, anchor - _UNTRANSLATED, min(anchor, translated - LEAD))
        return anchor

    def until(self, channel: Optional[str]) -> float:
        """Return how far the channel was transcribed: the end of its last final."""
        return self._of(channel).until

    # -- from the server -----------------------------------------------------------------------------

    def receive(self, message: dict[str, Any], sent: float = float("inf")) -> Optional[dict[str, Any]]:
        """Return the message as a single session would have sent it; None if it did before.

        Args:
            message: A message of the current session.
            sent: The end of the audio that it was sent on the channel, on the overall clock.
        """
        kind = message["message"]
        if kind == "RecognitionStarted":
            return self._recognition_started(message)
        if self.started and self._started < self._session:
            return None  # Info and Warning before the start: they came in the first session
        channel = self._of(channel_of(message))
        channel.sent = sent
        if self._session:
            message = shifted(message, channel.offset, self.speakers.whole)
        if kind == "AddTranscript":
            self.speakers.heard(_speakers(message))
        handle = _HANDLERS.get(kind)
        return message if handle is None else handle(self, channel, message)

    def _of(self, label: Optional[str]) -> _Channel:
        return self._channels.get(label, self._other)

    def _recognition_started(self, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        first = not self.started
        self._started = self._session
        self._delimiters.learn(message)
        return message if first else None

    def _final(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        results = results_of(message)
        told = times_of(message)[1]
        end = channel.up_to(told)
        kept = self._news(channel, results, channel.overlap)
        heard_before = bool(results) or told <= channel.until + 1e-6
        if channel.later and not kept and heard_before and not message.get("forced"):
            return None
        if channel.later:
            message = self._of_news(channel, message, kept, len(kept) < len(results))
        channel.deliver(kept)
        if not results:
            channel.certain = max(channel.certain, min(end, channel.sent))
        channel.until = end
        return message

    def _partial(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        if not channel.later:
            return message
        results = results_of(message)
        kept = self._news(channel, results, copy.copy(channel.overlap))
        if not kept and times_of(message)[1] <= channel.until + 1e-6:
            return None
        return self._of_news(channel, message, kept, len(kept) < len(results))

    def _news(self, channel: _Channel, results: Items, overlap: Optional[Overlap]) -> Items:
        """Return the results that were not delivered by an earlier session."""
        if overlap is None:
            return results
        kept: Items = []
        held: Items = []  # marks that belong to the word after them
        marked = channel.marked
        for item in results:
            if item.get("type") != "punctuation":
                if channel.lies(item) or overlap.is_new(*span(item)):
                    kept += [*held, item]
                held = []
            elif item.get("attaches_to") == "next":
                held.append(item)
            elif overlap.passed:
                kept.append(item)
            elif not marked and channel.ends_last_word(span(item)[1]):
                kept.append(item)
                marked = True
        return kept + [item for item in held if overlap.passed or span(item)[0] > overlap.end]

    def _of_news(
        self, channel: _Channel, message: dict[str, Any], kept: Items, dropped: bool
    ) -> dict[str, Any]:
        """Build a transcript message with the new results only."""
        start, end = times_of(message)
        end = max(end, channel.until)  # time never goes back, even if limits differ slightly
        start = min([max(start, channel.until), *(span(item)[0] for item in kept)])
        metadata = {**metadata_of(message), "start_time": start, "end_time": end}
        if dropped:
            old = str(metadata.get("transcript", ""))
            text = self._text(kept)
            tail = old[len(old.rstrip()) :]
            metadata["transcript"] = text + tail if text else ""
        return {**message, "results": kept, "metadata": metadata}

    def _text(self, items: Items) -> str:
        joiner = Joiner(self._delimiters)
        for item in items:
            joiner.add(item)
        return joiner.text()

    def _end_of_utterance(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        if channel.later and not message.get("forced"):
            early = channel.last is not None and times_of(message)[1] <= channel.last[1] - _BLUR
            if early or not channel.speaking:
                return None
        channel.speaking = False
        return message

    def _translation(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        language = str(message.get("language"))
        kept = [item for item in results_of(message) if not self._is_translated(language, item)]
        if self._session and not kept and results_of(message):
            return None
        if message["message"] == "AddTranslation":
            self._translated.extend((language, *span(item)) for item in kept if not channel.lies(item))
        return {**message, "results": kept} if self._session else message

    def _is_translated(self, language: str, item: Mapping[str, Any]) -> bool:
        """Whether this sentence, or one that the new session got only the end of, was translated before."""
        if not self._session:
            return False
        start, end = span(item)
        return any(
            language == known and abs(end - known_end) <= _SENTENCE and start > known_start - _SENTENCE
            for known, known_start, known_end in self._translated
        )

    def _event_started(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        kind, start, _ = _event(message)
        if channel.later and (kind in channel.sounding or start <= channel.sounded.get(kind, -1.0)):
            return None
        channel.sounding.add(kind)
        return message

    def _event_ended(self, channel: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        kind, _, end = _event(message)
        if channel.later and kind not in channel.sounding:
            return None
        channel.sounding.discard(kind)
        believed = heard_up_to(end, channel.sent)
        channel.sounded[kind] = channel.until if believed is None else believed
        return message

    def _language(self, _: _Channel, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        self._delimiters.learn(message)
        language = str(message.get("language"))
        if self._session and language in self._introduced:
            return None
        self._introduced.add(language)
        return message


_HANDLERS: dict[str, Callable[[Stitcher, _Channel, dict[str, Any]], Optional[dict[str, Any]]]] = {
    "AddTranscript": Stitcher._final,
    "AddPartialTranscript": Stitcher._partial,
    "AddTranslation": Stitcher._translation,
    "AddPartialTranslation": Stitcher._translation,
    "EndOfUtterance": Stitcher._end_of_utterance,
    "AudioEventStarted": Stitcher._event_started,
    "AudioEventEnded": Stitcher._event_ended,
    "LanguageInfo": Stitcher._language,
}


def shifted(value: Any, seconds: float, name: Callable[[str], str] = str, *, depth: int = _DEPTH) -> Any:
    """Copy a message with every time in it moved, and every speaker renamed.

    Example:
        >>> shifted({"metadata": {"start_time": 0.5, "end_time": 1}}, 10.0)
        {'metadata': {'start_time': 10.5, 'end_time': 11.0}}
    """
    if isinstance(value, dict) and depth:
        return {key: _moved(key, item, seconds, name, depth - 1) for key, item in value.items()}
    if isinstance(value, list) and depth:
        return [shifted(item, seconds, name, depth=depth - 1) for item in value]
    return value


def _moved(key: str, value: Any, seconds: float, name: Callable[[str], str], depth: int) -> Any:
    if key in _TIMES and is_time(value):
        return round(value + seconds, 3)
    if key in ("speaker", "label") and isinstance(value, str):
        return name(value)
    return shifted(value, seconds, name, depth=depth)


def _speakers(message: Mapping[str, Any]) -> Iterable[str]:
    """Yield the speaker labels in a transcript."""
    for item in results_of(message):
        alternatives = item.get("alternatives")
        for holder in [item, *(alternatives if isinstance(alternatives, list) else [])]:
            if isinstance(holder, Mapping) and isinstance(holder.get("speaker"), str):
                yield holder["speaker"]


def _event(message: Mapping[str, Any]) -> tuple[str, float, float]:
    event = message.get("event")
    event = event if isinstance(event, Mapping) else {}
    return (str(event.get("type")), *span(event))
