"""The transcript of a session, assembled from the server's messages as they arrive."""

from __future__ import annotations

import marshal
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..exceptions import ConfigurationError, shown
from ..late import LateModule
from ..messages import Glance, channel_of, text_of, time_of, times_of
from ..threads import new_lock
from .beside import Beside
from .merge import Merged
from .stored import (
    NOTHING,
    Final,
    Kept,
    Packed,
    by_channel,
    by_label,
    ends_of,
    in_order,
    is_result,
    labelled,
    listed,
    mappings,
    pack,
    without_lone_marks,
)
from .words import Delimiters, Joiner, Paragraph, Word, feed, paragraphs, since

if TYPE_CHECKING:
    from . import player as players
    from . import results as objects
else:
    players = LateModule("speechmatics_rt.transcript.player")  # only notebooks need it
    objects = LateModule("speechmatics_rt.transcript.results")

__all__ = ["Paragraph", "Transcript", "Word"]

_Channel = Optional[str]


class Transcript:
    """The transcript of a session.

    :meth:`add` accepts every server message and keeps what belongs to the transcript. Text is joined when
    it is read, over the whole session, so a punctuation mark that comes in a later message still attaches
    to its word. Any thread may read while another adds; a signal handler may read, too. Messages are copied
    in a compact form or kept as they came, so a handler that changes one changes nothing here. An hour of
    speech, 150 words a minute, takes 5 to 6 MB, and 9 MB once its text or words have been read. Reading
    joins what is new since the last time, and is nearly free if nothing is.

    Args:
        keep: How many seconds of each channel to keep at least (at most an eighth more). None keeps
            everything, 0 nothing; of translations and sounds as much. :attr:`partial` and :attr:`end_time`
            are not affected.

    Raises:
        ConfigurationError: ``keep`` is not a number of seconds.

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
        self._ends: dict[_Channel, Kept] = {}
        # Reentrant: a plain lock would hang a signal handler that reads in mid-add().
        self._lock = new_lock()
        # Finals with results, packed: as dicts they would take twenty times the memory, and the garbage
        # collector would traverse all of them again and again in a long session.
        self._finals: list[Final] = []
        # Joiners and how many finals are in them. None while they are fed, so that a join is begun anew if
        # an interrupt cut it short, or if a signal handler comes in the middle of it.
        self._joined: Optional[tuple[dict[_Channel, Joiner], int]] = None
        # The words of those joiners in order of time, for several channels. None while some are added.
        self._merged: Optional[tuple[dict[_Channel, Joiner], Merged]] = None
        # Of each channel: results, and the time before which they are void because they became final.
        self._partials: dict[_Channel, tuple[Packed, float]] = {}
        self._end_times: dict[_Channel, float] = {}
        self._beside = Beside(self._keep, self._end_times, Transcript)
        self._read: Callable[[bytes], Mapping[str, Any]] = lambda payload: {}  # see add_payloads()
        self._pack: dict[str, Any] = {}
        self._languages: dict[str, dict[str, Any]] = {}

    # -- from the server -----------------------------------------------------------------------------

    def add(self, message: Mapping[str, Any]) -> None:
        """Add a server message; one that does not belong to the transcript is ignored."""
        kind = message.get("message")
        if kind in ("AddTranscript", "AddPartialTranscript"):
            results = message.get("results")
            results = results if isinstance(results, list) else []
            if kind == "AddTranscript":
                self._add_final(message, results)
            else:
                with self._lock:
                    self._partials[channel_of(message)] = (pack(results), 0.0)
        elif kind == "RecognitionStarted":
            self._learn(message.get("language_pack_info"), None)
        elif kind == "LanguageInfo":
            self._learn(None, message)
        elif kind in ("AddTranslation", "AddPartialTranslation", "AudioEventStarted", "AudioEventEnded"):
            with self._lock:
                self._beside.add(message)
        elif kind == "EndOfTranscript":
            with self._lock:
                self._partials.clear()
                self._beside.end()

    def add_payloads(self, seen: Iterable[Glance], read: Callable[[bytes], Mapping[str, Any]]) -> None:
        """Add transcripts and translations as they came, in bytes, without decoding them.

        Args:
            seen: What is known of each, in order.
            read: Decodes it when text is asked for. Called under the lock: memory work only.
        """
        self._read = read
        with self._lock:
            for kind, payload, empty, _, end_time, channel, label in seen:
                if kind == "AddTranscript":
                    self._take_final(channel, label, None if empty else (True, payload), end_time)
                elif kind == "AddPartialTranscript":
                    self._partials[label] = ((True, payload), 0.0)
                elif kind == "AddTranslation":
                    self._beside.payload(payload, read)
                else:
                    self._beside.add(read(payload))  # its language is not known before

    def _unpack(self, late: bool, form: Union[bytes, list[Any]]) -> list[Any]:
        if not isinstance(form, bytes):
            return form
        results = self._read(form).get("results") if late else marshal.loads(form)  # noqa: S302  # our own bytes
        return results if isinstance(results, list) else []

    def _add_final(self, message: Mapping[str, Any], results: list[Any]) -> None:
        packed = pack(results) if results and self._keep else None
        with self._lock:
            self._take_final(
                text_of(message.get("channel")), channel_of(message), packed, times_of(message)[1]
            )

    def _take_final(
        self, channel: _Channel, label: _Channel, packed: Optional[Packed], end_time: float
    ) -> None:
        """Add a final, of which ``packed`` is kept; the lock is held."""
        if packed is not None and self._keep == math.inf:
            late, form = packed
            self._finals.append((channel, late, form, end_time))
        elif packed is not None and self._keep:
            self._keep_final(channel, packed, end_time)
        if end_time > self._end_times.get(label, 0.0):
            self._end_times[label] = end_time
        if self._partials:
            # Words that are now final leave the partial; the next partial replaces the rest.
            self._partials[label] = (self._partials.get(label, (NOTHING,))[0], end_time)

    def _keep_final(self, channel: _Channel, packed: Packed, end_time: float) -> None:
        """Keep the results of a final for a while; drop what is too old, an eighth of ``keep`` at a time."""
        kept = self._ends.get(channel)
        if kept is None:
            kept = self._ends[channel] = Kept(end_time)
        headed = kept.headed(packed, self._unpack)
        if headed is None:
            return
        self._finals.append((channel, *headed, end_time))
        kept.end = max(kept.end, end_time)
        if kept.end - kept.since > self._keep * 1.125:
            self._drop(channel, kept)

    def _drop(self, channel: _Channel, kept: Kept) -> None:
        oldest = kept.end - self._keep
        finals = kept.trimmed(self._finals, channel, oldest, self._unpack)
        # First, in case Ctrl-C comes in between: what is joined holds the old words, and counts finals.
        self._joined = self._merged = None
        self._finals = finals
        kept.since = oldest

    def _learn(self, pack: Any, language: Optional[Mapping[str, Any]]) -> None:
        """Learn delimiters and directions, and join anew: text must not depend on when it was read."""
        with self._lock:
            if isinstance(pack, Mapping):
                self._pack = dict(pack)
            if language is not None and isinstance(language.get("language"), str):
                self._languages[language["language"]] = {
                    key: value for key, value in language.items() if key not in ("message", "partial")
                }
            self._joined = None

    def _delimiters(self) -> Delimiters:
        delimiters = Delimiters()
        delimiters.learn({"language_pack_info": self._pack})
        for info in self._languages.values():
            delimiters.learn(info)
        return delimiters

    def _join(self) -> dict[_Channel, Joiner]:
        """Join what has come since the last reading."""
        joiners, done = self._joined or ({}, 0)
        finals = self._finals[done:]
        if finals:
            self._joined = None
            for channel, late, form, _ in finals:
                feed(joiners, channel, mappings(self._unpack(late, form)), self._delimiters)
            self._joined = (joiners, done + len(finals))
        return joiners

    def _merge(self, joiners: dict[_Channel, Joiner]) -> Merged:
        """Sort what has come since the last reading by time."""
        of, merged = self._merged or (joiners, Merged())
        if of is not joiners:
            merged = Merged()
        self._merged = None
        merged.take(joiners.values())
        self._merged = (joiners, merged)
        return merged

    # -- reading -------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The final text; with several channels, one line per turn.

        Without channels, and with all of it kept, it only grows at its end: ``text[shown:]`` is what is new.
        """
        with self._lock:
            joiners = self._join()
            if len(joiners) <= 1:
                return "".join([joiner.text() for joiner in joiners.values()])
            return self._merge(joiners).text()

    @property
    def partial(self) -> str:
        """The text that may still change; with several channels, one line each."""
        with self._lock:
            joiners: dict[_Channel, Joiner] = {}
            for channel, (packed, void_before) in sorted(self._partials.items(), key=by_label):
                items = list(mappings(self._unpack(*packed)))
                rest = [item for item in items if time_of(item.get("start_time")) >= void_before]
                if len(rest) < len(items):  # a mark begins where its word ends
                    rest = without_lone_marks(rest)
                feed(joiners, channel, rest, self._delimiters)
            return "\n".join(filter(None, (joiner.text() for joiner in joiners.values())))

    @property
    def words(self) -> list[Word]:
        """The final words and entities; their texts, joined by their delimiters, are the text."""
        return self._words_since(0)

    def _words_since(self, count: int) -> list[Word]:
        """Return the words after so many that won't change: one channel's at the price of these alone."""
        with self._lock:
            joiners = self._join()
            if len(joiners) > 1:
                words = self._merge(joiners).words()
                return words[count:] if count else words
            for joiner in joiners.values():  # in the order they came, whatever their times
                return joiner.words(count)
            return []

    @property
    def paragraphs(self) -> list[Paragraph]:
        """The words, grouped by speaker and channel."""
        return paragraphs(self.words)

    @property
    def keep(self) -> Optional[float]:
        """How many seconds of each channel are kept at least; None for everything."""
        return None if self._keep == math.inf else self._keep

    @property
    def end_time(self) -> float:
        """The end of the last final, in seconds of audio; of several channels the latest."""
        return max(self.end_times.values(), default=0.0)

    @property
    def end_times(self) -> dict[Optional[str], float]:
        """The same of each channel; the key is None in a session without channels."""
        return self._end_times.copy()

    def _said_since(self, places: Mapping[_Channel, float], channel: _Channel = None) -> list[Word]:
        """Return the words of a channel that ended after its place; without it, of that which spoke last."""
        with self._lock:
            joiners = self._join()
            labels = joiners if channel is None else joiners.keys() & {channel}
            said = [since(joiners[label].words(), places.get(label, -1.0)) for label in labels]
        return max(said, key=lambda words: words[-1].end_time if words else -1.0, default=[])

    def _keeps_since(self, place: float, channel: _Channel = None) -> bool:
        """Whether the words of a channel that ended after a place are all kept."""
        kept = self._ends.get(channel)
        return kept is None or kept.dropped <= place

    @property
    def translations(self) -> dict[str, Transcript]:
        """The text in each language it was translated into; ``partial`` is what is not final yet.

        The service translates whole sentences, so each word of a translation has a share of the time of its
        sentence, and no confidence. Those of several channels are in the order of time, and have their
        channels as far as the service names them.
        """
        with self._lock:
            return self._beside.translations(self._read)

    @property
    def audio_events(self) -> list[objects.AudioEvent]:
        """The sounds that were reported, in order of time."""
        with self._lock:
            return self._beside.events()

    @property
    def direction(self) -> str:
        """``"rtl"`` for packs written from right to left, else ``"ltr"``."""
        return "rtl" if self._pack.get("writing_direction") == "right-to-left" else "ltr"

    @property
    def language_pack_info(self) -> dict[str, Any]:
        """The ``language_pack_info`` of ``RecognitionStarted``."""
        with self._lock:
            return dict(self._pack)

    def __str__(self) -> str:
        """Return the text; with several speakers or channels, one line per turn, with its label."""
        with self._lock:
            joiners = self._join()
            if sum(bool(joiner.tail()) for joiner in joiners.values()) > 1:  # channels differ in their labels
                return self._merge(joiners).text(named=True)
        turns = self.paragraphs
        if len({turn.label for turn in turns}) <= 1:
            return self.text
        return "\n".join(f"{turn.label}: {turn.text}" if turn.label else turn.text for turn in turns)

    def __repr__(self) -> str:
        return f"<Transcript of {self.end_time:.2f} s, {len(self.words)} words>"

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same results, partial ones included; channels may have come in any order."""
        if not isinstance(other, Transcript):
            return NotImplemented
        return self is other or self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it grows: what it equals now it may not equal later

    def _repr_html_(self) -> str:
        from . import page  # only notebooks need it

        return page.sheet(self)

    def player(self, recording: players.Playable) -> players.Player:
        """Return an HTML player of the recording with its words, for a notebook or a page of your own.

        Words are shaded by confidence and highlighted as they are spoken; a click on one plays from there.
        The recording is embedded, and may have at most 50 MB; for a longer one pass a URL.

        Args:
            recording: A path, the bytes of the file (WAV, MP3, Ogg, FLAC, MP4, WebM), an open file, which is
                read from its beginning, or a URL that begins with ``https://``, from which the browser
                loads it.

        Raises:
            AudioError: The recording can't be read, is too large, or has a format that browsers don't play.

        Example::

            transcript.player("audio.wav")  # the last line of a cell shows it
        """
        return players.Player(self.paragraphs, self.direction, recording)

    def to_srt(self, *, columns: int = 42, lines: int = 2) -> str:
        """Return SubRip captions.

        Args:
            columns: Maximum width of a line, 10 or more.
            lines: Maximum number of lines in a caption.

        Raises:
            ConfigurationError: A number is too small.
        """
        from . import captions  # few need them, and every import pays

        return captions.srt(self.paragraphs, captions.CaptionShape(columns, lines))

    def to_vtt(self, *, columns: int = 42, lines: int = 2) -> str:
        """Return WebVTT captions, with speakers as voices; otherwise like :meth:`to_srt`."""
        from . import captions

        return captions.vtt(self.paragraphs, captions.CaptionShape(columns, lines))

    # -- to a file and back --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return everything :meth:`from_dict` needs, fit for JSON: all results as the server sent them."""
        with self._lock:
            wire: dict[str, Any] = {
                "language_pack_info": dict(self._pack),
                "languages": [dict(self._languages[code]) for code in sorted(self._languages)],
                "end_time": self.end_time,
                "results": in_order(
                    labelled(channel, item)
                    for channel, late, form, _ in self._finals
                    for item in mappings(self._unpack(late, form))
                    if is_result(item)
                ),
            }
            partials = [
                {"channel": channel, "void_before": void_before, "results": results}
                for channel, (packed, void_before) in sorted(self._partials.items(), key=by_label)
                if (results := self._unpack(*packed))
            ]
            wire.update(self._beside.to_dict(self._read))
            ends = {channel: end for channel, end in sorted(self._end_times.items(), key=by_label) if channel}
            if ends:
                wire["end_times"] = ends
            return {**wire, "partials": partials} if partials else wire

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transcript:
        """Build a transcript from the result of :meth:`to_dict`.

        Raises:
            ConfigurationError: ``data`` is something else.
        """
        return cls._of(data)

    @classmethod
    def _of(cls, data: Any, **options: Any) -> Transcript:
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"not a transcript: {shown(data, 60)}")
        if "results" not in data:
            names = ", ".join(map(str, data))
            raise ConfigurationError(f"not a transcript: it has no results, only {shown(names, 60)}")
        transcript = cls(**options)
        for info in listed(data, "languages", Mapping):
            transcript._learn(None, info)
        transcript._learn(data.get("language_pack_info"), None)
        ends, end_time = ends_of(data), time_of(data.get("end_time"))
        for channel, results in by_channel(data).items():
            transcript._take_final(channel, channel, pack(results), ends.get(channel, end_time))
        transcript._end_times.clear()
        if end_time > max(ends.values(), default=0.0):  # the end of what came without a channel
            transcript._end_times[None] = end_time
        transcript._end_times.update(ends)
        transcript._beside.load(data)
        for partial in listed(data, "partials", Mapping):
            void_before = time_of(partial.get("void_before"))
            packed = pack(listed(partial, "results", object))
            transcript._partials[text_of(partial.get("channel"))] = (packed, void_before)
        return transcript

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_dict(), self.keep)  # a lock has no pickle


def _restored(kind: type[Transcript], data: Mapping[str, Any], keep: Optional[float]) -> Transcript:
    return kind._of(data, **({} if keep is None else {"keep": keep}))
