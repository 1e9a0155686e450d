"""Builds result items from the words of a script: filtered, replaced, labelled, formatted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from .languages import RIGHT_TO_LEFT, language_pack
from .replacements import Replacements
from .script import Script, Word, ends_sentence
from .speaker_ids import identifier_of, label_in

__all__ = ["POINT", "ResultBuilder", "grid", "seconds"]

POINT = 0.04  # s between two points of the grid on which all times lie


def grid(time: float) -> int:
    """Return the point of the service's grid of 0.04 s that is next to a time."""
    return round(time / POINT)


def seconds(points: int) -> float:
    """Return the time of a grid point."""
    return round(points * POINT, 2)


class ResultBuilder:
    """Turns words of a script into result items, as the config of one session asks.

    Attributes:
        config: The session's ``transcription_config``; changes take effect at once.
        labels: The speakers met so far, in order of appearance.
    """

    def __init__(self, script: Script, config: dict[str, Any]) -> None:
        self.config = config
        self.labels: list[str] = []
        self._script = script
        filtering = config.get("transcript_filtering_config", {})
        self._replacements = Replacements(filtering.get("replacements", ()))
        self._clean: bool = filtering.get("remove_disfluencies", False)
        speakers = config.get("speaker_diarization_config", {})
        self._most: Optional[int] = speakers.get("max_speakers")
        self._enrolled: dict[Optional[str], str] = {
            label_in(identifier): speaker["label"]
            for speaker in speakers.get("speakers", ())
            for identifier in speaker["speaker_identifiers"]
        }
        self._diarized = "speaker" in config.get("diarization", "none")
        self._multi = config["language"] == "multi"
        self._announced: set[str] = set()  # languages that LanguageInfo has named

    def wants(self, word: Word) -> bool:
        """Tell whether a word is in the results at all."""
        if self._clean and "disfluency" in word.tags:
            return False
        if word.kind == "punctuation":
            marks = self.config.get("punctuation_overrides", {}).get("permitted_marks", ["all"])
            return "all" in marks or word.content in marks
        threshold = self.config.get("audio_filtering_config", {}).get("volume_threshold", 0)
        return word.volume >= threshold and bool(
            word.kind == "entity" or self._replacements.apply(word.content)
        )

    def items(self, word: Word) -> list[dict[str, Any]]:
        """Return the results of a word: one, but for an entity that is given word by word."""
        start, end = grid(word.start), grid(word.end)
        if word.kind == "entity":
            return self._entity(word, start, end)
        item = _item(word.kind, start, start if word.kind == "punctuation" else end)
        content = word.content
        if word.kind == "punctuation":
            item.update(attaches_to="previous", is_eos=ends_sentence(word.content))
        else:
            content = self._replacements.apply(content)
            if "audio_filtering_config" in self.config:
                item["volume"] = word.volume
        item["alternatives"] = [self._alternative(word, content)]
        return [item]

    def speakers(self) -> list[dict[str, Any]]:
        """Return the ``speakers`` of a SpeakersResult."""
        voices = {label: voice for voice, label in self._enrolled.items() if voice is not None}
        return [
            {"label": label, "speaker_identifiers": [identifier_of(voices.get(label, label))]}
            for label in self.labels
        ]

    def language_infos(self, items: list[dict[str, Any]], partial: bool) -> list[dict[str, Any]]:
        """Return a LanguageInfo for each language that appears in these results for the first time."""
        infos: list[dict[str, Any]] = []
        for item in items if self._multi else ():
            language = item["alternatives"][0]["language"]
            if language not in self._announced:
                self._announced.add(language)
                infos.append(_language_info(language, partial))
        return infos

    def _entity(self, word: Word, start: int, end: int) -> list[dict[str, Any]]:
        """Return the entity; without entities its written words alone, for numbers are formatted anyway."""
        written = self._parts(word, word.content.split(), start, end)
        if not self.config.get("enable_entities"):
            return written
        item = _item("entity", start, end)
        item.update(entity_class=word.entity_class, written_form=written)
        item["spoken_form"] = self._parts(word, word.spoken, start, end)
        item["alternatives"] = [self._alternative(word, word.content)]
        return [item]

    def _parts(self, word: Word, contents: Sequence[str], start: int, end: int) -> list[dict[str, Any]]:
        parts = []
        for place, content in enumerate(contents):
            item = _item("word", *_share(start, end, place, len(contents)))
            parts.append({**item, "alternatives": [self._alternative(word, content)]})
        return parts

    def _alternative(self, word: Word, content: str) -> dict[str, Any]:
        language = (
            word.language or self._script.language or ("en" if self._multi else self.config["language"])
        )
        alternative: dict[str, Any] = {"content": content, "language": language}
        if not self._multi:  # the multilingual model has none yet
            alternative["confidence"] = word.confidence
        if language in RIGHT_TO_LEFT:
            alternative["display"] = {"direction": "rtl"}
        if word.tags:
            alternative["tags"] = list(word.tags)
        if self._diarized:
            alternative["speaker"] = self._label(word.speaker)
        return alternative

    def _label(self, speaker: str) -> str:
        """Name a speaker: as enrolled, else as in the script, as long as that many are allowed."""
        label = self._enrolled.get(speaker, speaker)
        if label == "UU":
            return label
        if label not in self.labels:
            generic = [known for known in self.labels if known not in self._enrolled.values()]
            if label == speaker and self._most is not None and len(generic) >= self._most:
                return generic[-1]  # more voices than allowed: they sound alike
            self.labels.append(label)
        return label


def _item(kind: str, start: int, end: int) -> dict[str, Any]:
    return {"type": kind, "start_time": seconds(start), "end_time": seconds(end)}


def _share(start: int, end: int, place: int, count: int) -> tuple[int, int]:
    return start + (end - start) * place // count, start + (end - start) * (place + 1) // count


def _language_info(language: str, partial: bool) -> dict[str, Any]:
    pack = language_pack(language)
    info: dict[str, Any] = {
        "message": "LanguageInfo",
        "language": language,
        "word_delimiter": pack["word_delimiter"],
        "writing_direction": pack["writing_direction"],
    }
    if partial:
        info["partial"] = True
    return info
