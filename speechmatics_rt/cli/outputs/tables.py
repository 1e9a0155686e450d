"""Converts transcripts to tables, and translations to transcripts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...transcript import Transcript, Word

__all__ = ["translated", "tsv_text"]

_SPACELESS = ("cmn", "ja", "yue", "zh")
_ENDS = ".?!…。？！"  # noqa: RUF001  those of Chinese and Japanese are meant


def tsv_text(transcript: Transcript) -> str:
    r"""Write a line a sentence: start and end in seconds, the speaker, the text.

    Example:
        >>> word = {"type": "word", "start_time": 0.5, "end_time": 0.9, "alternatives": [{"content": "Yes"}]}
        >>> tsv_text(Transcript.from_dict({"results": [word]}))
        'start\tend\tspeaker\ttext\n0.500\t0.900\t\tYes\n'
    """
    rows = ["start\tend\tspeaker\ttext\n"]
    for words in _sentences(transcript.words):
        text = words[0].text + "".join(word.delimiter + word.text for word in words[1:])
        label = _label(words[0])
        cells = (f"{words[0].start_time:.3f}", f"{words[-1].end_time:.3f}", label, text)
        rows.append("\t".join(" ".join(cell.split()) for cell in cells) + "\n")
    return "".join(rows)


def _label(word: Word) -> str:
    return " ".join(name for name in (word.channel, word.speaker) if name)


def _sentences(words: Iterable[Word]) -> Iterator[list[Word]]:
    """Part where a sentence ends, or another one speaks."""
    sentence: list[Word] = []
    for word in words:
        if sentence and (sentence[-1].is_eos or _label(sentence[-1]) != _label(word)):
            yield sentence
            sentence = []
        sentence.append(word)
    if sentence:
        yield sentence


def translated(language: str, segments: Iterable[Mapping[str, Any]]) -> Transcript:
    """Make a transcript of what ``AddTranslation`` held: whole sentences, whose words have no times.

    Each word gets a share of its sentence's time by its length.

    Example:
        >>> heard = translated("fr", [{"content": "Bonjour, monde.", "start_time": 0.0, "end_time": 1.4}])
        >>> [(word.text, word.end_time) for word in heard.words]
        [('Bonjour,', 0.8), ('monde.', 1.4)]
    """
    results: list[dict[str, Any]] = []
    for segment in segments:
        words = str(segment.get("content", "")).split()
        start, end = float(segment.get("start_time", 0.0)), float(segment.get("end_time", 0.0))
        letters, done = sum(map(len, words)), 0
        for number, word in enumerate(words, 1):
            begun, done = done, done + len(word)
            results.append(
                {
                    "type": "word",
                    "start_time": round(start + (end - start) * begun / letters, 3),
                    "end_time": round(start + (end - start) * done / letters, 3),
                    "is_eos": number == len(words) and word[-1] in _ENDS,
                    "alternatives": [{"content": word, "speaker": segment.get("speaker")}],
                    **({"channel": segment["channel"]} if "channel" in segment else {}),
                }
            )
    delimiter = "" if language.partition("-")[0].partition("_")[0] in _SPACELESS else " "
    return Transcript.from_dict({"language_pack_info": {"word_delimiter": delimiter}, "results": results})
