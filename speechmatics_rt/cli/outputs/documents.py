"""Writes the transcript in one of its formats to a file, or to stdout if that fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ...transcript import CaptionShape, Transcript
from ..streams import Stream
from ..text import Token
from .output import CAPTIONS, Output, Pace, captions_text, cause_of, json_line, json_text, opened
from .places import Place
from .tables import tsv_text

if TYPE_CHECKING:
    from ..show import Screen

__all__ = [
    "FLOWING",
    "WORDS_ALONE",
    "Contents",
    "Document",
    "beside_of",
    "give_instead",
    "json_of",
    "places_in",
]

FLOWING = ("text", "jsonl")  # written as they come
WORDS_ALONE = (*CAPTIONS, "tsv")  # translations go to files of their own
_ENDINGS = {"text": "txt"}
_EACH = 1.0  # s


class Contents(NamedTuple):
    """What a document is made of, at the end.

    Attributes:
        text: Writes it as text, with the lines that are no sentences.
        asked: The options of the session.
        stats: What JSON holds of the figures.
    """

    transcript: Transcript
    text: Callable[[], str]
    asked: Mapping[str, Any]
    stats: Optional[Mapping[str, Any]]
    shape: CaptionShape


def json_of(transcript: Transcript, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return it fit for JSON. Translations and sounds that were asked for are there even if none came."""
    document = transcript.to_dict()
    if "translation_config" in asked:
        document.setdefault("translations", {})
    if "audio_events_config" in asked:
        document.setdefault("audio_events", [])
    return document


def places_in(folder: str, stem: str, forms: Sequence[str]) -> dict[str, Place]:
    """Name a file for each form."""
    return {
        form: Place("--output-dir", os.path.join(folder, f"{stem}.{_ENDINGS.get(form, form)}"))
        for form in forms
    }


def beside_of(place: Place, language: str) -> Place:
    """Name the file of a translation: ``talk.srt`` has a ``talk.fr.srt`` beside it."""
    root, ending = os.path.splitext(place.name)
    return Place(place.option, f"{root}.{language.replace(os.sep, '_')}{ending}")


class Document:
    """One form of the transcript; use it in ``with``, after its place was found good.

    A file that can't take it costs nothing of what was heard: it goes to stdout, or with no stdout to stderr.

    Attributes:
        form: ``text``, ``jsonl``, ``json``, ``srt``, ``vtt`` or ``tsv``.
        place: Where it goes.
        language: Of a translation; "" for what was said.
        homeless: The file can't take what is for it.
        written: It has been written to its file, whole.
    """

    def __init__(self, form: str, place: Place, screen: Screen, out: Stream, language: str = "") -> None:
        self.form = form
        self.place = place
        self.language = language
        self.homeless = False
        self.written = False
        self._reason = ""  # why its file can't be written, until that is reported
        self._screen = screen
        self._out = out
        self._output: Optional[Output] = None
        self._held: list[str] = []  # lines of a file that stays as it was if no session begins
        self._begun = False
        self._pace = Pace(_EACH)
        self._files = ExitStack()

    def __enter__(self) -> Document:
        if not self.place.is_standard_output:
            self._output = self._files.enter_context(closing(opened(self.place)))
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def begin(self) -> None:
        """Note that a session has begun."""
        self._begun = True
        for line in self._held:
            self.add_line(line)

    # -- as it comes -------------------------------------------------------------------------------------

    @property
    def flows(self) -> bool:
        """Whether it is text that is shown as it comes, and not written to a file."""
        return self.form == "text" and self.place.is_standard_output

    def add_line(self, line: str) -> None:
        """Write a line, and all that follow, where they are to be, or where they still can be."""
        if self._output is not None:
            if not self._begun and self._output.live:
                self._held.append(line)
                return
            try:
                self._output.append(line)
            except BrokenPipeError:
                raise  # as of stdout: its reader has gone away
            except OSError as exc:
                self._cannot_write(exc)
                self._output = None
            else:
                self.written = True
                return
        self._give(line)

    def add_message(self, message: Mapping[str, Any]) -> None:
        self.add_line(json_line(message))

    def keep(self, contents: Callable[[], Contents], *, changed: bool) -> None:
        """Bring a file up to date, each second at most: a run that is killed loses no more.

        One that can't be written is left to the end, which tells it.
        """
        if self.form == "jsonl" or self._output is None or not self._output.live:
            return
        if self._pace.is_due(changed=changed):
            with self._pace.around(), suppress(OSError):
                self._output.write(self._whole(contents()))

    # -- at the end --------------------------------------------------------------------------------------

    def finish(self, contents: Contents) -> None:
        """Write the whole where it is to be, or where it still can be."""
        if self.form == "jsonl" or self.flows:
            return  # it was given as it came
        text = self._whole(contents)
        if self._output is not None:
            try:
                self._output.write(text)
            except OSError as exc:
                self._cannot_write(exc)
            else:
                self.written = True
                return
        self._give(text)

    def _whole(self, contents: Contents) -> str:
        if self.form == "text":
            return contents.text()
        if self.form == "json":
            stats = {} if contents.stats is None else {"stats": contents.stats}
            return json_text({**json_of(contents.transcript, contents.asked), **stats})
        if self.form == "tsv":
            return tsv_text(contents.transcript)
        return captions_text(self.form, contents.transcript, contents.shape)

    def _cannot_write(self, exc: OSError) -> None:
        self.homeless = True
        self.written = False
        self._screen.rest()
        self._reason = f"can't write {self.place.shown}: {cause_of(exc)}"

    def _give(self, text: str) -> None:
        if self.homeless:
            give_instead(text, self._reason, self._screen, self._out)
            self._reason = ""
        else:
            self._screen.write([Token(text)])


def give_instead(text: str, reason: str, screen: Screen, out: Stream) -> str:
    """Write a text whose file can't be written to stdout, or else to stderr; report the reason first.

    Returns where it went.
    """
    if reason:
        where = "standard error" if out.missing else "standard output"
        screen.complain(f"{reason}; it goes to {where} instead")
    try:
        if not out.missing:
            screen.write([Token(text)])
            return "standard output"
    except OSError:
        pass  # as its file
    screen.tell(text.rstrip("\n"))
    return "standard error"
