"""Knows audio again that was heard before, wherever it begins: by hashes of its blocks of 0.04 s."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Optional, TypeVar, Union

from ...threads import new_lock
from .clock import SAMPLE_WIDTHS, wav_header
from .engine import Recogniser

__all__ = ["Choosing", "Hearing", "Heard", "Search"]

_BLOCK = 0.04  # s
_MOST = 100_000  # blocks that are remembered: an hour of audio
_LONGEST = 1.0  # s of a session after which it is not looked for any more
_HEADER = 65_536  # bytes of a file in which the samples begin
_NEAR = 0.001  # s by which two places may differ and be one

Of = TypeVar("Of")
Place = tuple[Of, float]  # a recording, and seconds of it


class Heard(Generic[Of]):
    """Where each block of some recordings is. Safe from all threads.

    What is heard in several places says nothing about where it is, and neither does silence.

    Args:
        most: How many blocks to remember; the oldest are forgotten.

    Example:
        >>> raw = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}
        >>> audio = b"".join(number.to_bytes(2, "little") for number in range(16000))
        >>> heard = Heard()
        >>> Hearing(heard, raw, "a recording").feed(audio)
        >>> search = Search(heard, raw)
        >>> search.feed(audio[2 * 4001 :])
        >>> search.over, search.place
        (True, ('a recording', 0.500125))
    """

    def __init__(self, most: Optional[int] = _MOST) -> None:
        self._most = most
        self._lock = new_lock()  # guards _places; held for the change of one
        # By hash: where it is, None if in several places; and how often it was noted.
        self._places: dict[int, tuple[Optional[Place[Of]], int]] = {}
        self._silence = False  # some was heard; set once

    def __bool__(self) -> bool:
        return bool(self._places)

    def note(self, block: bytes, of: Of, seconds: float) -> Optional[int]:
        """Remember where a block was heard; return what it is forgotten by."""
        if _is_flat(block):
            self._silence = True
            return None
        key = hash(block)
        with self._lock:
            place, count = self._places.get(key, ((of, seconds), 0))
            if place is not None and place[0] is not of:
                place = (of, seconds)
            elif place is not None and abs(place[1] - seconds) > _NEAR:
                place = None
            self._places[key] = (place, count + 1)
            if self._most is not None and len(self._places) > self._most:
                del self._places[next(iter(self._places))]
        return key

    def forget(self, keys: Iterable[int]) -> None:
        """Forget what was noted, unless another has noted it, too."""
        for key in keys:
            with self._lock:
                place, count = self._places.pop(key, (None, 0))
                if count > 1:
                    self._places[key] = (place, count - 1)

    def find(self, block: bytes) -> tuple[bool, Optional[Place[Of]]]:
        """Return whether a block may have been heard, and where; None if it may be in several places."""
        if _is_flat(block):
            return self._silence, None
        known = self._places.get(hash(block))
        return known is not None, None if known is None else known[0]


class Hearing(Generic[Of]):
    """Has the audio of one session remembered as it comes; audio that is not raw is not.

    Args:
        of: The recording that it belongs to.
        since: The seconds of that at which it begins.
    """

    def __init__(self, heard: Heard[Of], audio_format: Mapping[str, Any], of: Of, since: float = 0.0) -> None:
        self._heard = heard
        self._of = of
        self._since = since
        self._geometry = _Geometry(audio_format)
        self._rest = b""
        self._blocks = 0
        self._keys = array("q")

    def forget(self) -> None:
        """Forget all of it: the session is complete, and nobody will resume it."""
        keys, self._keys = self._keys, array("q")
        self._heard.forget(keys)

    def feed(self, audio: bytes) -> None:
        size = self._geometry.size
        if not size:
            return
        self._rest += audio
        ends = range(size, len(self._rest) + 1, size)
        for end in ends:
            place = self._since + self._geometry.seconds(self._blocks * size)
            key = self._heard.note(self._rest[end - size : end], self._of, place)
            if key is not None:
                self._keys.append(key)
            self._blocks += 1
        if len(self._keys) > 2 * _MOST:
            del self._keys[:-_MOST]  # of blocks that are forgotten already
        self._rest = self._rest[len(ends) * size :]


class Search(Generic[Of]):
    """Looks for the place of a session's audio among what was heard, as it comes.

    A block that was heard lies somewhere in the first two of a session that continues a recording. Where
    those say nothing, since they are silent or in several places, it is looked for further on.

    Attributes:
        over: It has been found, or will not be.
        place: Where the audio begins; None if that is unknown.
    """

    def __init__(self, heard: Heard[Of], audio_format: Mapping[str, Any]) -> None:
        self.place: Optional[Place[Of]] = None
        self.over = not heard
        self._heard = heard
        self._geometry = _Geometry(audio_format)
        self._audio = b""  # of a file with its header, until that is read
        self._at = 0  # the next block to look at begins here
        self._last = self._geometry.size  # and the last one

    def feed(self, audio: bytes) -> None:
        if self.over:
            return
        self._audio += audio
        if not self._geometry.size:
            self._read_header()
        geometry = self._geometry
        if self.over or not geometry.size:
            return
        until = min(len(self._audio), geometry.longest) - geometry.size
        while self._at <= min(until, self._last):
            perhaps, place = self._heard.find(self._audio[self._at : self._at + geometry.size])
            if place is not None:
                begins = place[1] - geometry.seconds(self._at)
                self.place = (place[0], round(max(0.0, begins), 6))
                self.over = True
                return
            if perhaps:
                self._last = self._at + geometry.size
            self._at += geometry.width
        self.over = self._at > self._last or len(self._audio) >= geometry.longest

    def _read_header(self) -> None:
        """Take the samples of a WAV for 16-bit mono: a recording of another kind is not known anyway."""
        found = wav_header(self._audio)
        if found is None:
            self.over = len(self._audio) > _HEADER
            return
        rate, header = found
        self.over = not header
        self._geometry = _Geometry({"type": "raw", "encoding": "pcm_s16le", "sample_rate": int(rate) // 2})
        self._audio, self._last = self._audio[header:], self._geometry.size


class Choosing:
    """Waits until a search for the place of the audio is over; from then on it is the recogniser chosen.

    Args:
        search: It is fed with the audio.
        choose: Makes the recogniser, once the search is over or an answer is wanted.
    """

    def __init__(self, search: Search[Any], choose: Callable[[], Recogniser]) -> None:
        self._search = search
        self._choose = choose
        self._chosen: Optional[Recogniser] = None
        self._before: list[Union[bytes, Mapping[str, Any]]] = []  # audio and changes that came before it
        self._waiting: list[dict[str, Any]] = []  # messages for these
        if search.over:
            self._one()

    def _one(self) -> Recogniser:
        if self._chosen is None:
            self._chosen = self._choose()
            for came in self._before:
                if isinstance(came, Mapping):
                    self._chosen.configure(came)
                else:
                    self._waiting += self._chosen.feed(came)
            self._before.clear()
        return self._chosen

    def _with_waiting(self, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        return [*waiting, *messages]

    def feed(self, audio: bytes) -> Iterable[dict[str, Any]]:
        if self._chosen is not None:
            return self._with_waiting(self._chosen.feed(audio)) if self._waiting else self._chosen.feed(audio)
        self._search.feed(audio)
        self._before.append(audio)
        if self._search.over:
            self._one()
        return self._with_waiting(())

    def configure(self, changes: Mapping[str, Any]) -> None:
        if self._chosen is not None:
            self._chosen.configure(changes)
        else:
            self._before.append(changes)

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().force_end_of_utterance(timestamp))

    def speakers(self) -> list[dict[str, Any]]:
        return [] if self._chosen is None else self._chosen.speakers()

    def finish(self) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().finish())

    def complete(self) -> None:
        getattr(self._chosen, "complete", lambda: None)()

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()


class _Geometry:
    """The sizes of raw audio, in bytes; that of a block is 0 of any other."""

    def __init__(self, audio_format: Mapping[str, Any]) -> None:
        self.width = self.size = self.longest = 0
        if audio_format.get("type") == "raw":
            self.width = SAMPLE_WIDTHS[audio_format["encoding"]]
            self._rate: int = audio_format["sample_rate"]
            self.size = round(self._rate * _BLOCK) * self.width
            self.longest = round(self._rate * _LONGEST) * self.width

    def seconds(self, size: int) -> float:
        return size / (self._rate * self.width)


def _is_flat(block: bytes) -> bool:
    """Whether all samples are the same, of whatever width: silence, and nothing to know a place by."""
    return block[4:] == block[:-4]
