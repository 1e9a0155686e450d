"""Writes transcripts to files, each as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...exceptions import ConfigurationError
from ...transcript import Transcript, Word
from ..outputs import File, Flow, Place, Shape, captions_text, cause_of, json_text, places_in, plain, tsv_text
from .found import Recording
from .manifest import MANIFEST

__all__ = ["Results", "Unwritten"]


class Unwritten(NamedTuple):
    """A transcript that could not be written to its file, and why."""

    path: str
    cause: str
    text: str


class Results(NamedTuple):
    """The files that a transcript is written to.

    Attributes:
        folder: That of ``--output``.
        forms: ``text``, ``json``, ``srt``, ``vtt``, ``tsv``: any of them.
        shape: The width and lines of captions.
        timestamps: Whether lines of text begin with their time.
    """

    folder: str
    forms: Sequence[str]
    shape: Shape
    timestamps: bool

    def names(self, stem: str) -> tuple[str, ...]:
        """Name the files of a recording, below the folder."""
        return tuple(place.name for place in places_in("", stem, self.forms).values())

    def check_apart(self, recordings: Iterable[Recording], others: Iterable[Place]) -> None:
        """Refuse to overwrite what is read: a recording, or one of the ``others``.

        Raises:
            ConfigurationError: A result has the path of one of them.
        """
        recordings = list(recordings)
        read = {place.identity(): place for place in [Place("", each.path) for each in recordings]}
        read.update({place.identity(): place for place in others})
        read.pop(None, None)
        names = (name for each in recordings for name in self.names(each.stem))
        for name in (MANIFEST, *names):
            result = Place("", os.path.join(self.folder, name))
            taken = read.get(result.identity())
            if taken is not None:
                raise ConfigurationError(f"{taken} would be overwritten by {result}; give another --output")

    def write(self, stem: str, transcript: Transcript) -> list[Unwritten]:
        """Write all forms; return those that could not be written, so that they are not lost."""
        unwritten = []
        for name, text in zip(self.names(stem), self._texts(transcript)):
            path = os.path.join(self.folder, name)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                File(path).write(text)
            except OSError as exc:
                unwritten.append(Unwritten(path, cause_of(exc), text))
        return unwritten

    def _texts(self, transcript: Transcript) -> Iterator[str]:
        for form in self.forms:
            if form == "text":
                flow = Flow(timestamps=self.timestamps)
                channels = _channels(transcript)
                yield plain(flow.more(*channels)) + plain(flow.end())
            elif form == "json":
                yield json_text(transcript.to_dict())
            elif form == "tsv":
                yield tsv_text(transcript)
            else:
                yield captions_text(form, transcript, self.shape)


def _channels(transcript: Transcript) -> list[list[Word]]:
    """Group the words by channel, so that the lines of one are not broken by another."""
    channels: dict[str, list[Word]] = {}
    for word in transcript.words:
        channels.setdefault(word.channel or "", []).append(word)
    return list(channels.values())
