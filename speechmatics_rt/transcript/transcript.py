"""The transcript of a session, assembled from the server's messages as they arrive."""

from __future__ import annotations

import marshal
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..exceptions import ConfigurationError
from ..locks import new_lock
from ..messages import Glance, channel_of, text_of, time_of, times_of
from .merge import Merged
from .words import Delimiters, Joiner, Paragraph, Word, paragraphs

if TYPE_CHECKING:
    import os

    from .player import Player

__all__ = ["Paragraph", "Transcript", "Word"]

_Channel = Optional[str]


# Results in a compact form, and whether that is the whole message as it came. A plain tuple of what refers to
# nothing: the garbage collector lets go of those, and of nothing else that a long session gathers.
_Packed = tuple[bool, Union[bytes, list[Any]]]


class Transcript:
    """What was said.

    :meth:`add` takes every server message and keeps what belongs to the transcript. Text is joined when
    it is read, over the whole session: a mark that comes in a later message still sticks to its word.
    Any thread may read while another adds: one lock guards all state, is held for memory work only, and
    is reentrant, so that a signal handler may read in the thread it interrupts. Messages are copied, in
    a compact form, or kept as they came, so what a handler does to one changes nothing here. An hour of
    speech, 150 words a minute, takes 5 to 6 MB, and 9 MB once its text or its words have been read. Reading
    joins what is new since the last time, and costs next to nothing where there is nothing new.

    Args:
        keep: How many seconds of each channel to keep, at least; up to an eighth more is there. None keeps
            everything, 0 nothing but :attr:`partial` and :attr:`end_time`, which are never affected.

    Raises:
        ConfigurationError: ``keep`` is no number of seconds.

    Example:
        >>> transcript = Transcript()
        >>> for content, kind in (("Good", "word"), ("morning", "word"), (".", "punctuation")):
        ...     transcript.add({"message": "AddTranscript", "metadata": {"start_time": 0, "end_time": 1},
        ...         "results": [{"type": kind, "start_time": 0, "end_time": 1,
        ...                      "alternatives": [{"content": content}]}]})
        >>> print(transcript)
        Good morning.
        >>> [word.text for word in transcript.words]
        ['Good', 'morning.']
    """

    def __init__(self, *, keep: Optional[float] = None) -> None:
        number = isinstance(keep, (int, float)) and not isinstance(keep, bool)
        if keep is not None and not (number and 0 <= keep < math.inf):
            raise ConfigurationError(
                f"keep is {keep!r}; accepted: seconds of transcript, 0 for nothing, or None for everything"
            )
        self._keep = math.inf if keep is None else float(keep)
        self._ends: dict[_Channel, _Kept] = {}
        # Reentrant: a plain lock would hang a signal handler that reads in mid-add().
        self._lock = new_lock()
        # Those with results, packed: as dicts they would take twenty times the memory, and the garbage
        # collector would walk through all of them again and again while a long session goes on.
        self._finals: list[tuple[_Channel, _Packed, float]] = []  # channel, results, end
        # Joiners and how many finals are in them; None while they are fed, so that a join that an
        # interrupt cut short, or a signal handler met half done, is begun anew.
        self._joined: Optional[tuple[dict[_Channel, Joiner], int]] = None
        # The words of those joiners in order of time, for several channels; None while it takes some in.
        self._merged: Optional[tuple[dict[_Channel, Joiner], Merged]] = None
        # The results of each, and the time before which they are void since they became final.
        self._partials: dict[_Channel, tuple[_Packed, float]] = {}
        self._read: Callable[[bytes], list[Any]] = lambda payload: []  # see add_payload()
        self._pack: dict[str, Any] = {}
        self._languages: dict[str, dict[str, Any]] = {}
        self._end_time = 0.0

    # -- from the server -----------------------------------------------------------------------------

    def add(self, message: Mapping[str, Any]) -> None:
        """Take a server message; what does not belong to the transcript is ignored."""
        kind = message.get("message")
        if kind in ("AddTranscript", "AddPartialTranscript"):
            results = message.get("results")
            results = results if isinstance(results, list) else []
            if kind == "AddTranscript":
                self._add_final(message, results)
            else:
                self._take_partial(channel_of(message), _pack(results))
        elif kind == "RecognitionStarted":
            self._learn(message.get("language_pack_info"), None)
        elif kind == "LanguageInfo":
            self._learn(None, message)
        elif kind == "EndOfTranscript":
            with self._lock:
                self._partials.clear()

    def add_payload(self, seen: Glance, read: Callable[[bytes], list[Any]]) -> None:
        """Take a transcript as it came: bytes, that handlers can't change, and nobody need have decoded.

        Args:
            seen: What is known of it.
            read: Gives its results when text is asked for, under the lock: memory work only.
        """
        self._read = read
        packed = (True, seen.payload)
        if seen.kind == "AddTranscript":
            self._take_final(seen.channel, seen.label, None if seen.empty else packed, seen.end_time)
        elif seen.kind == "AddPartialTranscript":
            self._take_partial(seen.label, packed)

    def _unpack(self, packed: _Packed) -> list[Any]:
        late, form = packed
        if not isinstance(form, bytes):
            return form
        results: list[Any] = self._read(form) if late else marshal.loads(form)  # noqa: S302  # our own bytes
        return results

    def _take_partial(self, label: Optional[str], packed: _Packed) -> None:
        with self._lock:
            self._partials[label] = (packed, 0.0)

    def _add_final(self, message: Mapping[str, Any], results: list[Any]) -> None:
        packed = _pack(results) if results and self._keep else None
        self._take_final(text_of(message.get("channel")), channel_of(message), packed, times_of(message)[1])

    def _take_final(
        self, channel: _Channel, label: _Channel, packed: Optional[_Packed], end_time: float
    ) -> None:
        with self._lock:
            if packed is not None and self._keep:
                self._keep_final(channel, packed, end_time)
            self._end_time = max(self._end_time, end_time)
            if self._partials:
                # The words that are now final leave the partial; the next partial replaces the rest.
                self._partials[label] = (self._partials.get(label, (_NOTHING,))[0], end_time)

    def _keep_final(self, channel: _Channel, packed: _Packed, end_time: float) -> None:
        """Take the results of a final; drop what is too old, an eighth of what is kept at a time."""
        kept = self._ends.get(channel)
        if kept is None:
            kept = self._ends[channel] = _Kept(end_time)
        if kept.headless:
            results = _without_lone_marks(self._unpack(packed))
            if not results:
                return
            packed, kept.headless = _pack(results), False
        self._finals.append((channel, packed, end_time))
        kept.end = max(kept.end, end_time)
        if kept.end - kept.since > self._keep * 1.125:
            self._drop(channel, kept)

    def _drop(self, channel: _Channel, kept: _Kept) -> None:
        since = kept.end - self._keep
        finals: list[tuple[_Channel, _Packed, float]] = []
        for one, packed, end in self._finals:
            if one == channel and end < since:
                kept.headless = True
                continue
            if one == channel and kept.headless:
                results = _without_lone_marks(self._unpack(packed))
                if not results:
                    continue
                packed, kept.headless = _pack(results), False
            finals.append((one, packed, end))
        # What is joined holds the old words, and counts finals: it goes first, should Ctrl-C come between.
        self._joined = self._merged = None
        self._finals = finals
        kept.since = since

    def _learn(self, pack: Any, language: Optional[Mapping[str, Any]]) -> None:
        """Take delimiters and directions, and join anew: text must not depend on when it was read."""
        with self._lock:
            if isinstance(pack, Mapping):
                self._pack = dict(pack)
            if language is not None and isinstance(language.get("language"), str):
                self._languages[language["language"]] = {
                    key: value for key, value in language.items() if key not in ("message", "partial")
                }
            self._joined = None

    def _delimiters(self) -> Delimiters:
        per_language = self._pack.get("per_language_word_delimiters")
        given = per_language.items() if isinstance(per_language, Mapping) else ()
        known = {code: delimiter for code, delimiter in given if isinstance(delimiter, str)}
        for code, info in self._languages.items():
            if isinstance(info.get("word_delimiter"), str):
                known[code] = info["word_delimiter"]
        pack = self._pack.get("word_delimiter")
        return Delimiters(pack if isinstance(pack, str) else None, known)

    def _join(self) -> dict[_Channel, Joiner]:
        """Join what came since the last reading."""
        joiners, done = self._joined or ({}, 0)
        finals = self._finals[done:]
        if finals:
            self._joined = None
            for channel, packed, _ in finals:
                _feed(joiners, channel, self._unpack(packed), self._delimiters)
            self._joined = (joiners, done + len(finals))
        return joiners

    def _merge(self, joiners: dict[_Channel, Joiner]) -> Merged:
        """Put in order of time what came since the last reading."""
        of, merged = self._merged or (joiners, Merged())
        if of is not joiners:
            merged = Merged()
        self._merged = None
        merged.take(joiners.values())
        self._merged = (joiners, merged)
        return merged

    # -- to the reader -------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """All that is final; with several channels one line a turn."""
        with self._lock:
            joiners = self._join()
            if len(joiners) <= 1:
                return "".join([joiner.text() for joiner in joiners.values()])
            return self._merge(joiners).text()

    @property
    def partial(self) -> str:
        """What is being said and may still change; with several channels one line each."""
        with self._lock:
            joiners: dict[_Channel, Joiner] = {}
            for channel, (results, void_before) in self._partials.items():
                items = _mappings(self._unpack(results))
                rest = [item for item in items if time_of(item.get("start_time")) >= void_before]
                _feed(joiners, channel, rest, self._delimiters)
            return "\n".join(filter(None, (joiner.text() for joiner in joiners.values())))

    @property
    def words(self) -> list[Word]:
        """All final words and entities; joined by their delimiters they give the text."""
        with self._lock:
            joiners = self._join()
            if len(joiners) <= 1:  # in the order they came, whatever their times
                return [word for joiner in joiners.values() for word in joiner.words()]
            return self._merge(joiners).words()

    @property
    def paragraphs(self) -> list[Paragraph]:
        """The words, grouped by speaker and channel."""
        return paragraphs(self.words)

    @property
    def end_time(self) -> float:
        """Seconds of audio that are final."""
        return self._end_time

    @property
    def direction(self) -> str:
        """``"rtl"`` for packs written from right to left, else ``"ltr"``."""
        return "rtl" if self._pack.get("writing_direction") == "right-to-left" else "ltr"

    @property
    def language_pack_info(self) -> dict[str, Any]:
        """What ``RecognitionStarted`` said of the language pack."""
        with self._lock:
            return dict(self._pack)

    def __str__(self) -> str:
        """Give the text; with several speakers or channels one line a turn, with its label."""
        with self._lock:
            joiners = self._join()
            if sum(bool(joiner.tail()) for joiner in joiners.values()) > 1:  # channels differ in their labels
                return self._merge(joiners).text(named=True)
        turns = self.paragraphs
        if len({turn.label for turn in turns}) <= 1:
            return self.text
        return "\n".join(f"{turn.label}: {turn.text}" if turn.label else turn.text for turn in turns)

    def __repr__(self) -> str:
        return f"<Transcript of {self._end_time:.2f} s, {len(self.words)} words>"

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same: every result, its times included, and what is partial."""
        if not isinstance(other, Transcript):
            return NotImplemented
        return self is other or self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it grows: what it equals now it may not equal later

    def _repr_html_(self) -> str:
        from . import page  # of notebooks alone

        return page.sheet(self.paragraphs, self.partial, self.direction)

    def player(self, recording: Union[str, os.PathLike[str], bytes]) -> Player:
        """Give the recording with its words, for a notebook or a page of your own: HTML that plays.

        Words are shaded by confidence and lit while they sound; a click on one goes there. The recording
        becomes part of it, so it may have 50 MB at most; of a longer one give the address.

        Args:
            recording: A path, the bytes of the file (WAV, MP3, Ogg, FLAC, MP4, WebM), or an address that
                begins with ``https://``, where a browser will find it.

        Raises:
            AudioError: It can't be read, is too large, or is nothing that a browser plays.

        Example::

            transcript.player("audio.wav")  # the last line of a cell shows it
        """
        from .player import Player

        return Player(self.paragraphs, self.direction, recording)

    def to_srt(self, *, columns: int = 42, lines: int = 2) -> str:
        """Give SubRip captions, of so many lines of so many columns at most (10 or more).

        Raises:
            ConfigurationError: Nothing could be read in so few.
        """
        from . import captions  # few need them, and every import pays

        return captions.srt(self.paragraphs, captions.Shape(columns, lines))

    def to_vtt(self, *, columns: int = 42, lines: int = 2) -> str:
        """Give WebVTT captions, with voices; otherwise as :meth:`to_srt`."""
        from . import captions

        return captions.vtt(self.paragraphs, captions.Shape(columns, lines))

    # -- to a file and back --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give all that :meth:`from_dict` needs, fit for JSON: every result as the server sent it."""
        with self._lock:
            wire: dict[str, Any] = {
                "language_pack_info": dict(self._pack),
                "languages": [dict(info) for info in self._languages.values()],
                "end_time": self._end_time,
                "results": [
                    _labelled(channel, item)
                    for channel, packed, _ in self._finals
                    for item in _mappings(self._unpack(packed))
                ],
            }
            partials = [
                {"channel": channel, "void_before": void_before, "results": results}
                for channel, (packed, void_before) in self._partials.items()
                if (results := self._unpack(packed))
            ]
            return {**wire, "partials": partials} if partials else wire

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transcript:
        """Build from what :meth:`to_dict` gave.

        Raises:
            ConfigurationError: It is something else.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"not a transcript: {data!r:.60}")
        transcript = cls()
        for info in _listed(data, "languages", Mapping):
            transcript._learn(None, info)
        transcript._learn(data.get("language_pack_info"), None)
        heard = {"metadata": {"end_time": data.get("end_time")}}
        transcript._add_final(heard, _listed(data, "results", object))
        for partial in _listed(data, "partials", Mapping):
            void_before = time_of(partial.get("void_before"))
            packed = _pack(_listed(partial, "results", object))
            transcript._partials[text_of(partial.get("channel"))] = (packed, void_before)
        return transcript

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)  # a lock has no pickle


def _listed(data: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    listed = data.get(name, [])
    if isinstance(listed, (list, tuple)) and all(isinstance(item, kind) for item in listed):
        return list(listed)
    raise ConfigurationError(f"not a transcript: {name} is {listed!r:.60}")


class _Kept:
    """What is kept of one channel, in seconds."""

    __slots__ = ("end", "headless", "since")

    def __init__(self, now: float) -> None:
        self.since = self.end = now
        self.headless = False  # the word before the next result was dropped


def _without_lone_marks(results: list[Any]) -> list[Any]:
    """Drop the marks at the beginning whose word was dropped."""
    for index, item in enumerate(results):
        mark = isinstance(item, Mapping) and item.get("type") == "punctuation"
        if not mark or item.get("attaches_to") in ("next", "none"):
            return results[index:]
    return []


def _pack(results: list[Any]) -> _Packed:
    try:
        # 2 us for an ordinary sentence; it never leaves this process
        return False, marshal.dumps(results)
    except ValueError:  # added by hand, with more in it than JSON has
        return False, results


_NOTHING = _pack([])


def _mappings(results: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (item for item in results if isinstance(item, Mapping))


def _labelled(channel: _Channel, item: Mapping[str, Any]) -> dict[str, Any]:
    return dict(item) if channel is None else {**item, "channel": channel}


def _feed(joiners: dict[_Channel, Joiner], channel: _Channel, results: list[Any], delimiters: Any) -> None:
    for item in _mappings(results):
        label = channel_of(item) if channel is None else channel
        joiner = joiners.get(label)
        if joiner is None:
            joiner = joiners[label] = Joiner(delimiters(), label)
        joiner.add(item)
