"""How a Whisper model is made to stream: the recogniser of one session.

Whisper transcribes a whole window of audio at once. Here the open utterance is transcribed again every half
second; words that two results in a row agree on become final, and are forced on the results that follow, so
that a final never changes. A voice detector opens and closes the utterances.

There is no thread and no socket; the clock only shows whether the caller waits for audio or has plenty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import webrtcvad

from ..engines import end_of_utterance, final, identifier_of, partial
from .decoders import Decoder
from .marks import parted, plain
from .model import WhisperModel, Word

__all__ = ["WhisperRecogniser"]

Message = dict[str, Any]

_FRAME = 0.03  # seconds the voice detector judges at a time; it knows 10, 20 and 30 ms
_FRAME_BYTES = 960  # of 16 kHz int16
_ONSET = 3  # frames of speech that open an utterance: a click is shorter
_PRE_ROLL = 15  # frames kept from before: soft consonants come before the detector's first frame
_PAUSE = 0.6  # seconds of silence that close an utterance at the latest
_STEP = 0.5  # seconds of audio from one reading to the next
_REST = 2.0  # times what the last reading took, until the next: sessions that share the cores take turns
_DOUBTFUL = 0.6  # confidence below which a word waits until it is due, whatever two readings agree on
_REMEMBERED = 40  # tokens of the text before that are given to the model
_WAITED = 0.05  # seconds without audio at hand that tell a live stream from a backlog
_LONGEST = 14.0  # seconds of an utterance before its settled part is cut off
_LONGEST_WORD = 1.5  # seconds
_PASSED_OVER = 1.5  # seconds of speech behind the last word that mean that the model stopped too early
_KEPT = 4  # settled words that stay when an utterance is cut
_EMPTY_FINAL = 0.96  # seconds of silence covered by one empty final
_GRID = 25  # times are multiples of 1/25 s


class WhisperRecogniser:
    """The recogniser of one session or channel; called from one thread.

    With ``diarization`` ``"speaker"`` every word is labelled S1: Whisper doesn't tell voices apart.
    Punctuation marks come as results of their own; numbers stand as the model writes them.
    """

    def __init__(
        self, model: WhisperModel, decoder: Decoder, config: Mapping[str, Any], *, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._clock = clock
        self._detect: Callable[[bytes, int], bool] = webrtcvad.Vad(2).is_speech
        self._language: str = config.get("language", "en")
        diarization = str(config.get("diarization", "none"))
        self._speaker = "S1" if diarization.endswith("speaker") else None
        self._permitted = (config.get("punctuation_overrides") or {}).get("permitted_marks", ["all"])
        self._partials = False
        self._max_delay = 4.0
        self._trigger = 0.0
        self.configure(config)
        self._rest = b""  # less than a frame
        self._frames = 0  # judged so far
        self._before: deque[tuple[bytes, bool]] = deque(maxlen=_PRE_ROLL)
        self._utterance: Optional[_Utterance] = None
        self._last_speech = 0  # the frame behind it
        self._covered = 0.0  # end of the last final: what follows starts there or later
        self._spoken = False  # words since the last EndOfUtterance
        self._ever_spoken = False
        self._said: list[int] = []  # the tokens of what was settled before the open utterance
        self._step = _STEP  # seconds of audio from the last reading to the next
        self._waited = 0.0  # seconds the caller had nothing to feed since the last reading
        self._left = clock()

    # -- the Recogniser interface --------------------------------------------------------------------

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Take ``enable_partials``, ``max_delay`` and ``conversation_config``; leave the rest."""
        self._partials = bool(changes.get("enable_partials", self._partials))
        self._max_delay = float(changes.get("max_delay", self._max_delay))
        conversation = changes.get("conversation_config")
        if conversation is not None:
            self._trigger = float(conversation.get("end_of_utterance_silence_trigger", self._trigger))

    def feed(self, audio: bytes) -> list[Message]:
        """Take the bytes of one message and return what is to be sent now.

        Reading the utterance again costs the same for half a second more or for ten. While more audio
        is at hand than can be recognised, readings in between are left out: nobody could see them in time.

        Raises:
            AudioError: The recording can't be decoded.
        """
        self._waited += self._clock() - self._left
        messages = self._take(self._decoder.feed(audio))
        utterance = self._utterance
        if (
            utterance is not None
            and self._waited >= _WAITED
            and self._now >= utterance.read_at + self._step
            and self._silence < _PAUSE / 2  # else it is about to close, and will be read then
        ):
            messages += self._read(utterance)
        self._left = self._clock()
        return messages

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[Message]:
        """End the utterance at ``timestamp``, or at the end of all audio so far, marked as forced."""
        at = self._now if timestamp is None else min(timestamp, self._now)
        utterance = self._utterance
        if utterance is None:
            self._spoken = False
            return [end_of_utterance(max(self._time(at), self._covered), forced=True)]
        self._utterance = utterance.split(at)
        return [*self._close(utterance, at, forced=True), *self._end_of_utterance(forced=True, at=at)]

    def speakers(self) -> list[dict[str, Any]]:
        """Return S1 once there were words, if diarization is on; the identifier stands for nobody."""
        if self._speaker is None or not self._ever_spoken:
            return []
        return [{"label": self._speaker, "speaker_identifiers": [identifier_of("S1")]}]

    def finish(self) -> list[Message]:
        """Read the open utterance to its end; cover the rest of the audio with the last final."""
        messages = self._take(self._decoder.finish())
        if damage := self._decoder.damage:
            messages.append({"message": "Warning", "type": "validation_warning", "reason": damage})
        tail = len(self._rest) / _FRAME_BYTES
        if tail:
            messages += self._take(bytes(_FRAME_BYTES - len(self._rest)))
        end = self._time((self._frames - (1 - tail if tail else 0)) * _FRAME)
        if self._utterance is not None:
            messages += self._close(self._utterance, end)
            self._utterance = None
        if end > self._covered:
            messages.append(self._final([], end))
        return [*messages, *self._shown([], self._covered)] if messages else []

    def close(self) -> None:
        """Stop the decoder."""
        self._decoder.close()

    # -- audio in ------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self._frames * _FRAME

    @property
    def _silence(self) -> float:
        """Seconds since the last frame of speech."""
        return (self._frames - self._last_speech) * _FRAME

    def _take(self, pcm: bytes) -> list[Message]:
        messages: list[Message] = []
        self._rest += pcm
        whole = len(self._rest) - len(self._rest) % _FRAME_BYTES
        pcm, self._rest = self._rest[:whole], self._rest[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            frame = pcm[at : at + _FRAME_BYTES]
            self._frames += 1
            speech = self._detect(frame, 16_000)
            if self._utterance is None:
                messages += self._take_silence(frame, speech)
            else:
                self._utterance.add(frame, speech)
                self._last_speech = self._frames if speech else self._last_speech
                messages += self._take_speech(self._utterance)
        return messages

    def _take_silence(self, frame: bytes, speech: bool) -> list[Message]:
        self._before.append((frame, speech))
        onset = [flag for _, flag in self._before][-_ONSET:]
        if len(onset) == _ONSET and all(onset):
            utterance = _Utterance((self._frames - len(self._before)) * _FRAME)
            for earlier, flag in self._before:
                utterance.add(earlier, flag)
            utterance.read_at = self._now
            self._before.clear()
            self._utterance = utterance
            self._last_speech = self._frames
            return []
        if self._spoken and self._trigger:  # the end of the utterance is owed, and its final comes with it
            ended = _reached(self._silence, self._trigger)
            return [self._final([], self._now - 2 / _GRID), *self._end_of_utterance()] if ended else []
        settled = self._now - _FRAME * _PRE_ROLL  # an utterance that opens next can't begin before
        if settled - self._covered < _EMPTY_FINAL:
            return []
        return [self._final([], settled), *self._shown([], self._covered)]

    def _take_speech(self, utterance: _Utterance) -> list[Message]:
        if _reached(self._silence, min(self._trigger or _PAUSE, _PAUSE)):
            self._utterance = None
            messages = self._close(utterance, self._now - 2 / _GRID)
            if self._spoken and self._trigger and _reached(self._silence, self._trigger):
                return [*messages, *self._end_of_utterance()]
            return [*messages, *self._shown([], self._covered)] if messages else []
        if utterance.length >= _LONGEST:
            messages = self._read(utterance)
            rest = self._utterance = utterance.without_settled()
            if rest is None:
                return [*messages, *self._close(utterance, self._now)]
            self._remember(utterance.settled[: -len(rest.settled)])
            return messages
        return []

    # -- reading -------------------------------------------------------------------------------------

    def _read(self, utterance: _Utterance) -> list[Message]:
        """Read an utterance that goes on: settle what is sure or due, show the rest."""
        words = self._words(utterance)
        utterance.read_at = self._now
        self._waited = 0.0
        sure = self._sure(utterance, words)
        settled, shown = words[:sure], words[sure:]
        changed = [word.text for word in shown] != [word.text for word in utterance.shown]
        results = self._results(utterance, settled)
        utterance.settled += settled
        utterance.shown = shown
        messages = [self._final(results)] if results else []
        if messages or changed:
            messages += self._shown(self._results(utterance, _without_last_mark(shown)), self._now)
        return messages

    def _sure(self, utterance: _Utterance, words: Sequence[Word]) -> int:
        """Count the words to settle now; never the last, which may be half a word."""
        agreed = _agreed(utterance.shown, words)
        # The next reading is a step away: what would be late by then is due now. Words the model doubts
        # get that step on top, also if two readings agree: the first ones of an utterance are the worst.
        late = utterance.length - max(self._max_delay, 2 * _STEP)
        sure = 0
        for word in words[:-1]:
            settled = sure < agreed or word.end < late + self._step
            if word.end >= late and (word.confidence < _DOUBTFUL or not settled):
                break
            sure += 1
        return sure

    def _close(self, utterance: _Utterance, until: float, *, forced: bool = False) -> list[Message]:
        """Read an utterance that has ended; return the final of all of it, to ``until`` seconds or later.

        The model may stop in the middle, for example where a sentence is repeated. Then the rest is read like
        an utterance of its own.
        """
        results: list[Message] = []
        part: Optional[_Utterance] = utterance
        while part is not None:
            words, rest = part.without_read(self._words(part, thorough=True))
            results += self._results(part, words, after=results)
            self._remember([*part.settled, *words])
            part = rest
        self._waited = 0.0
        if not utterance.settled and not results:
            return []  # it was noise; the empty finals cover it
        return [self._final(results, until, forced=forced)]

    def _words(self, utterance: _Utterance, *, thorough: bool = False) -> list[Word]:
        began = self._clock()
        words = self._model.words(
            bytes(utterance.audio),
            language=self._language,
            prefix=[token for word in utterance.settled for token in word.tokens],
            before=self._said,
            thorough=thorough,
        )
        self._step = max(_STEP, _REST * (self._clock() - began))
        return words

    def _remember(self, words: Sequence[Word]) -> None:
        self._said = [*self._said, *(token for word in words for token in word.tokens)][-_REMEMBERED:]

    # -- messages ------------------------------------------------------------------------------------

    def _final(self, results: list[Message], until: float = 0.0, *, forced: bool = False) -> Message:
        """Build a final to its last word, or to ``until`` if that is later."""
        end = max(self._covered, self._time(until), *(result["end_time"] for result in results[-1:]))
        message = final(results, self._covered, end, forced=forced)
        self._covered = end
        if any(result["type"] == "word" for result in results):
            self._spoken = self._ever_spoken = True
        return message

    def _shown(self, results: list[Message], until: float) -> list[Message]:
        """Build the partial that is due after a final or a reading, if partials are asked for."""
        end = max(self._covered, self._time(until), *(result["end_time"] for result in results[-1:]))
        return [partial(results, self._covered, end)] if self._partials else []

    def _end_of_utterance(self, *, forced: bool = False, at: Optional[float] = None) -> list[Message]:
        """Build the end of the utterance, after the partial without words and length that goes before it."""
        self._spoken = False
        time = max(self._covered, self._time(self._now if at is None else at))
        shown = [partial([], time, time)] if self._partials else []
        return [*shown, end_of_utterance(time, forced=forced)]

    def _time(self, seconds: float) -> float:
        return round(round(seconds * _GRID) / _GRID, 2)

    def _results(
        self, utterance: _Utterance, words: Sequence[Word], *, after: Sequence[Message] = ()
    ) -> list[Message]:
        """Build the result items of words; times rise from the last final on, or from these items."""
        results: list[Message] = []
        at = after[-1]["end_time"] if after else self._covered
        bare = bool(utterance.settled) and not parted(utterance.settled[-1].text)[1]
        for word in words:
            content, mark = parted(word.text)
            start = max(at, self._time(utterance.start + word.start))
            end = max(self._time(utterance.start + word.end), round(start + 1 / _GRID, 2))
            confidence = round(min(1.0, max(0.0, word.confidence)), 2)
            if content:
                results.append({"type": "word", **self._timed(start, end, content, confidence)})
                at = end
                bare = True  # a word takes one mark, which may come with a later reading
            if mark and bare and (mark in self._permitted or "all" in self._permitted):
                item = {"type": "punctuation", **self._timed(at, at, mark, confidence)}
                results.append({**item, "attaches_to": "previous", "is_eos": mark != ","})
                bare = False
        return results

    def _timed(self, start: float, end: float, content: str, confidence: float) -> Message:
        alternative: Message = {"content": content, "confidence": confidence, "language": self._language}
        if self._speaker is not None:
            alternative["speaker"] = self._speaker
        return {"start_time": start, "end_time": end, "alternatives": [alternative]}


class _Utterance:
    """The audio of one stretch of speech, and what was made of it so far."""

    def __init__(self, start: float) -> None:
        self.start = start  # seconds from the start of the session
        self.audio = bytearray()
        self.speech: list[bool] = []  # the voice detector's judgement of each frame
        self.settled: list[Word] = []  # sent in finals, never to change; their times count from start
        self.shown: list[Word] = []  # the last reading beyond them
        self.read_at = 0.0  # when, on the session's clock

    @property
    def length(self) -> float:
        return len(self.speech) * _FRAME

    def add(self, frame: bytes, speech: bool) -> None:
        self.audio += frame
        self.speech.append(speech)

    def split(self, timestamp: float) -> Optional[_Utterance]:
        """Cut off what came after ``timestamp`` seconds of the session, but no settled word."""
        keep = max(timestamp - self.start, self.settled[-1].end if self.settled else 0.0)
        frame = round(keep / _FRAME)
        if sum(self.speech[frame:]) < _ONSET:
            return None
        after = self._from(frame)
        del self.audio[frame * _FRAME_BYTES :], self.speech[frame:]
        return after

    def without_read(self, words: list[Word]) -> tuple[list[Word], Optional[_Utterance]]:
        """Return the words, and the audio behind the last one if the model passed over speech in it.

        A last word that is stretched over that audio is part of it.
        """
        if not words:
            return words, None
        stretched = words[-1].end - words[-1].start > _LONGEST_WORD
        frame = round((words[-1].start if stretched else words[-1].end) / _FRAME)
        if sum(self.speech[frame:]) * _FRAME < _PASSED_OVER or frame * _FRAME < _STEP:
            return words, None
        return words[:-1] if stretched else words, self._from(frame)

    def without_settled(self) -> Optional[_Utterance]:
        """Return the utterance less its settled part, but for a few words.

        None if that would leave more than half: words that were followed by noise or music.
        """
        # words that stay, and are forced, make it harmless if the cut goes through one of them
        last = len(self.settled) - 1 - _KEPT
        if last < 0 or self.length - self.settled[last].end > _LONGEST / 2:
            return None
        frame = round(self.settled[last].end / _FRAME)
        rest = self._from(frame)
        rest.settled = [_shifted(word, frame * _FRAME) for word in self.settled[last + 1 :]]
        rest.shown = [_shifted(word, frame * _FRAME) for word in self.shown]
        rest.read_at = self.read_at
        return rest

    def _from(self, frame: int) -> _Utterance:
        rest = _Utterance(self.start + frame * _FRAME)
        rest.audio = self.audio[frame * _FRAME_BYTES :]
        rest.speech = self.speech[frame:]
        rest.read_at = rest.start
        return rest


def _shifted(word: Word, seconds: float) -> Word:
    return word._replace(start=word.start - seconds, end=word.end - seconds)


def _reached(silence: float, limit: float) -> bool:
    return silence >= limit - 1e-6  # sums of 0.03 miss their mark by a hair


def _agreed(before: Sequence[Word], now: Sequence[Word]) -> int:
    """Count the words that two readings in a row begin with, but for the last: it may be cut in two."""
    count = 0
    for one, other in zip(before, now[:-1]):
        if plain(one.text) != plain(other.text):
            break
        count += 1
    return count


def _without_last_mark(words: Sequence[Word]) -> list[Word]:
    """Drop the mark behind the last word shown: Whisper ends each reading as if it were a sentence."""
    return [*words[:-1], *(word._replace(text=parted(word.text)[0]) for word in words[-1:])]
