"""Converts transcripts to tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...transcript import Transcript, Word

__all__ = ["tsv_text"]


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
