"""Transcripts as files: each whole, or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...transcript import Transcript, Word
from ..outputs import Flow, plain
from ..outputs.documents import places_in
from ..outputs.output import File, Shape, captions_text, json_text
from ..outputs.tables import tsv_text

__all__ = ["Results"]


class Results(NamedTuple):
    """What a transcript becomes, and where.

    Attributes:
        folder: The one of ``--output``.
        forms: ``text``, ``json``, ``srt``, ``vtt``, ``tsv``: any of them.
        shape: Of captions.
        timestamps: Whether lines of text begin with their time.
    """

    folder: str
    forms: Sequence[str]
    shape: Shape
    timestamps: bool

    def names(self, stem: str) -> tuple[str, ...]:
        """Name the files of a recording, below the folder."""
        return tuple(place.name for place in places_in("", stem, self.forms).values())

    def write(self, stem: str, transcript: Transcript) -> None:
        """Write all forms; raises OSError, whose ``filename`` says which file."""
        for name, text in zip(self.names(stem), self._texts(transcript)):
            path = os.path.join(self.folder, name)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                File(path).write(text)
            except OSError as exc:
                raise OSError(exc.errno, exc.strerror, path) from exc

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
    """Part the words by their channels: those of one are not broken by those of another."""
    channels: dict[str, list[Word]] = {}
    for word in transcript.words:
        channels.setdefault(word.channel or "", []).append(word)
    return list(channels.values())
