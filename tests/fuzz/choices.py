"""Bytes as a series of choices: what a fuzzer changes in them is what becomes of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")

# What decides something, somewhere in this package; chance alone would not spell them.
NAMES = (
    *("message", "results", "metadata", "start_time", "end_time", "transcript", "channel", "alternatives"),
    *("content", "type", "attaches_to", "is_eos", "speaker", "language", "confidence", "tags", "volume"),
    *("language_pack_info", "word_delimiter", "per_language_word_delimiters", "writing_direction", "id"),
    *("seq_no", "event", "forced", "reason", "code", "speakers", "label", "speaker_identifiers", "time"),
    *("sent", "received", "audio", "size", "audio_format", "encoding", "sample_rate", "partial", "partials"),
    *("transcription_config", "translation_config", "audio_events_config", "target_languages", "max_delay"),
    *("diarization", "speaker_diarization_config", "additional_vocab", "sounds_like", "operating_point"),
    *("enable_partials", "domain", "conversation_config", "void_before", "languages", "error", "detail"),
    *("written_form", "spoken_form", "entity_class", "format", "display", "direction", "quality", "usage"),
)
WORDS = (
    *("AddTranscript", "AddPartialTranscript", "AddTranslation", "AddPartialTranslation", "AudioAdded"),
    *("RecognitionStarted", "EndOfTranscript", "EndOfUtterance", "EndOfStream", "Error", "Warning", "Info"),
    *("LanguageInfo", "SpeakersResult", "AudioEventStarted", "AudioEventEnded", "ChannelAudioAdded"),
    *("StartRecognition", "AddAudio", "AddChannelAudio", "duration_limit_exceeded", "invalid_message"),
    *("word", "punctuation", "entity", "previous", "next", "both", "none", "S1", "S2", "UU", "a", "b"),
    *("en", "cmn", "raw", "file", "pcm_s16le", "pcm_f32le", "mulaw", "speaker", "right-to-left", "."),
    *("<script>", "</v>", " --> ", "\n\n", "\r", "\x1b[2J", "\x00", "\u2028", "\x85", "\ud800", "&lt;"),
    *("'\"", "\u202e", "00:00:01,000", "WEBVTT", "NOTE", "", " ", "-->", "\x0b", "e\u0301", "\U0001f600"),
)
NUMBERS = (
    *(0, 1, 2, -1, 0.5, 1.25, 8000, 16000, 2**31, 2**63, 2**64, 10**30, -(10**30), 1e308, 1e-308, 1e9),
    *(float("inf"), float("-inf"), float("nan"), True, False, 86400, 0.1, 1e8, 1006, 4005),
)


class Choices:
    """Choices that bytes stand for; when they are used up, every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._at)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self.byte() % len(options)]

    def bytes(self, most: int) -> bytes:
        size = self.byte() % (most + 1)
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        rest = self._data[self._at :]
        self._at = len(self._data)
        return rest

    def cut(self, data: bytes) -> list[bytes]:
        """Cut bytes into pieces of any lengths, empty ones among them."""
        pieces = []
        while data and self.left:
            size = self.byte() % 40
            pieces.append(data[:size])
            data = data[size:]
        return [*pieces, data]

    def text(self) -> str:
        parts = [self.pick(WORDS) for _ in range(1 + self.byte() % 3 // 2)]
        if self.byte() % 4 == 0:
            parts.append(self.bytes(12).decode("latin-1"))
        return "".join(parts)

    def time(self) -> Any:
        """Give a time as a server may tell it: mostly one that can be true."""
        kind = self.byte() % 4
        return (self.byte() / 8, self.byte() * 4.0, self.pick(NUMBERS), self.value(1))[kind if kind else 0]

    def value(self, depth: int = 4) -> Any:
        """Give whatever JSON can say."""
        kind = self.byte() % (9 if depth else 6)
        if kind == 0:
            return None
        if kind in (1, 2):
            return self.text()
        if kind in (3, 4):
            return self.pick(NUMBERS)
        if kind == 5:
            return self.byte() / 16
        if kind == 6:
            return [self.value(depth - 1) for _ in range(self.byte() % 4)]
        return {self.pick(NAMES): self.value(depth - 1) for _ in range(self.byte() % 5)}

    def message(self) -> dict[str, Any]:
        """Give a message of a server: one like those that come, with something odd here and there."""
        kind = self.pick(WORDS[:17])
        message: dict[str, Any] = {"message": kind}
        if kind.startswith("Add"):
            message["results"] = [self._result() for _ in range(self.byte() % 4)]
            message["metadata"] = {"start_time": self.time(), "end_time": self.time(), "transcript": ""}
        elif kind == "EndOfUtterance":
            message["metadata"] = {"start_time": self.time(), "end_time": self.time()}
        elif kind == "AudioAdded":
            message["seq_no"] = self.byte()
        while self.byte() % 3 == 0 and self.left:
            message[self.pick(NAMES[1:])] = self.value()
        return message

    def _result(self) -> Any:
        if self.byte() % 8 == 0:
            return self.value()
        said = {"content": self.text(), "confidence": self.time(), "language": "en"}
        result = {"type": self.pick(("word", "punctuation", "entity")), "alternatives": [said]}
        result["start_time"], result["end_time"] = self.time(), self.time()
        if self.byte() % 2:
            said["speaker"] = self.pick(("S1", "S2", "<b>", "a --> b", "x\n\ny"))
        while self.byte() % 4 == 0 and self.left:
            self.pick((result, said))[self.pick(NAMES)] = self.value(2)
        return result
