"""Writes transcripts to files, each as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...exceptions import ConfigurationError
from ...transcript import CaptionShape, Transcript, Word
from ..outputs import (
    File,
    Place,
    about_link,
    beside_of,
    captions_text,
    cause_of,
    json_of,
    json_text,
    places_in,
    tsv_text,
)
from ..text import Flow
from .found import FoundRecording
from .manifest import MANIFEST, Manifest, Unwritable

__all__ = ["Results", "Unwritten", "unwritable"]

# Of errors that concern one path, if others can be written beside it; any other concerns the disk.
_OF_ONE_PATH = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.EACCES, errno.EPERM}
_OF_ONE_PATH |= {errno.EINVAL, errno.ELOOP}


class Unwritten(NamedTuple):
    """A text that could not be written to its file, below the folder, and why."""

    name: str
    cause: OSError
    text: str


class Results(NamedTuple):
    """The files that a transcript is written to.

    Attributes:
        folder: That of ``--output``.
        forms: ``text``, ``json``, ``srt``, ``vtt``, ``tsv``: any of them.
        shape: The width and lines of captions.
        timestamps: Whether lines of text begin with their time.
        asked: The options of the sessions. Translations go to files of their own, except in JSON.
    """

    folder: str
    forms: Sequence[str]
    shape: CaptionShape
    timestamps: bool
    asked: Mapping[str, Any]

    def names(self, stem: str) -> tuple[str, ...]:
        """Name the files of a recording, below the folder."""
        return tuple(name for name, _, _ in self._files(stem))

    @property
    def _languages(self) -> Sequence[str]:
        translation = self.asked.get("translation_config")
        return [] if translation is None else translation.target_languages

    def _files(self, stem: str) -> Iterator[tuple[str, str, str]]:
        """Yield the name, form and language of each file; the language is "" for what was said."""
        for form, place in places_in("", stem, self.forms).items():
            yield place.name, form, ""
            for language in self._languages if form != "json" else ():
                yield beside_of(place, language).name, form, language

    def kept(self, recordings: Iterable[FoundRecording], manifest: Manifest) -> list[FoundRecording]:
        """Have each keep the name that an earlier run gave its results, whatever is beside it by now."""
        kept = []
        for each in recordings:
            source = os.path.abspath(each.path)
            stems = (each.stem, each.name, os.path.splitext(each.name)[0])
            before = (
                stem for stem in stems if any(manifest.is_of(name, source) for name in self.names(stem))
            )
            kept.append(each._replace(stem=next(before, each.stem)))
        return kept

    def check_apart(self, recordings: Iterable[FoundRecording], others: Iterable[Place]) -> None:
        """Refuse to overwrite what is read: a recording, or one of the ``others``.

        Raises:
            ConfigurationError: A result has the path of one of them, or of another result.
        """
        recordings = list(recordings)
        read = {place.identity(): place for place in [Place("", each.path) for each in recordings]}
        read.update({place.identity(): place for place in others})
        read.pop(None, None)
        results: dict[str, FoundRecording] = {}
        for each in recordings:
            for name in self.names(each.stem):
                other = results.setdefault(name, each)
                if other is not each:
                    raise ConfigurationError(
                        f"{name!r} would hold a transcript of {each.path!r} and one of {other.path!r}; "
                        "transcribe them to folders of their own"
                    )
        for name in (MANIFEST, *results):
            result = Place("", os.path.join(self.folder, name))
            taken = read.get(result.identity())
            if taken is not None:
                raise ConfigurationError(f"{taken} would be overwritten by {result}; give another --output")

    def check_unwritten(self, recordings: Iterable[FoundRecording], manifest: Manifest) -> None:
        """Refuse to overwrite what an earlier run has written of another recording.

        Raises:
            ConfigurationError: A result has the name of such a file.
        """
        for each in recordings:
            for name in self.names(each.stem):
                other = manifest.other(name, os.path.abspath(each.path))
                if other is not None:
                    raise ConfigurationError(
                        f"{other!r} and {each.path!r} would be written to the same place: {name!r} in "
                        f"{self.folder!r} is the transcript of the first, by an earlier run; give another "
                        "--output, or remove that file if nobody wants it any more"
                    )

    def obstacle(self, stem: str) -> Optional[Unwritable]:
        """Return why a transcript could not be written, as far as that can be known before there is one.

        No file is touched; the folder that it would be in is made.
        """
        for name in self.names(stem):
            path = os.path.join(self.folder, name)
            try:
                _make_folder_of(path)
                _look_at(path)
            except OSError as exc:
                return unwritable(name, exc)
        return None

    def write(self, stem: str, transcript: Transcript) -> list[Unwritten]:
        """Write all forms; return those that could not be written, so that they are not lost."""
        unwritten = []
        translations = transcript.translations if self._languages else {}
        for name, form, language in self._files(stem):
            path = os.path.join(self.folder, name)
            text = self._text(form, translations.get(language) or Transcript() if language else transcript)
            try:
                _make_folder_of(path)
                File(path).write(text)
            except OSError as exc:
                unwritten.append(Unwritten(name, exc, text))
        return unwritten

    def takes_others(self, error: Unwritable) -> bool:
        """Whether an error concerns one path alone, since the folder of all takes files."""
        if error.number not in _OF_ONE_PATH:
            return False
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                return True
        except OSError:
            return False

    def _text(self, form: str, transcript: Transcript) -> str:
        if form == "text":
            return Flow.whole(_channels(transcript), timestamps=self.timestamps)
        if form == "json":
            return json_text(json_of(transcript, self.asked))
        if form == "tsv":
            return tsv_text(transcript)
        return captions_text(form, transcript, self.shape)


def _channels(transcript: Transcript) -> list[list[Word]]:
    """Group the words by channel, so that the lines of one are not broken by another."""
    channels: dict[str, list[Word]] = {}
    for word in transcript.words:
        channels.setdefault(word.channel or "", []).append(word)
    return list(channels.values())


def unwritable(name: str, exc: OSError, further: str = "") -> Unwritable:
    """Build the error of a recording of which a file, with a name below the folder, can't be written."""
    # A name that is too long need not be told twice: it is the recording's.
    what = f"its {os.path.splitext(name)[1]}" if exc.errno == errno.ENAMETOOLONG else repr(name)
    return Unwritable(f"can't write {what}: {cause_of(exc)}{further}", number=exc.errno)


def _make_folder_of(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError:  # it is a file
        raise _os_error(errno.ENOTDIR) from None


def _look_at(path: str) -> None:
    """Raise OSError if a file can't be written, or made."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise _os_error(errno.EISDIR)
        if os.access(path, os.W_OK):
            return
    except FileNotFoundError:
        pass  # it is to be made
    folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        if os.path.isdir(folder):
            raise _os_error(errno.EACCES)
        raise OSError(errno.ENOENT, about_link(path) or os.strerror(errno.ENOENT))


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
