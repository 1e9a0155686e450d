"""The replay engine: replays the messages of a recorded session, at the same places in the audio."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from ...config import Caller
from ...exceptions import ConfigurationError, shown
from ...messages import is_time, metadata_of, results_of, text_of, time_of
from .clock import AudioClock
from .messages import end_of_utterance
from .recorded import CUT_OFF, ending_of, placed

__all__ = ["ReplayEngine"]

Entry = tuple[float, dict[str, Any]]  # s of audio, message

# What the server sends by itself, whoever the engine is.
_OF_THE_SERVER = ("RecognitionStarted", "AudioAdded", "ChannelAudioAdded", "EndOfTranscript")
_AT_THE_START = (
    *("concurrent_session_usage", "recognition_quality"),
    *("validation_warning", "unsupported_translation_pair"),
)
_PACK = {"adapted": False, "itn": True, "language_description": "English", "word_delimiter": " "}


class ReplayEngine:
    """Replays the server messages of one session, whatever audio it gets.

    Args:
        recording: A file of JSON lines, or the entries themselves. An entry is one of these:

            * ``{"audio": seconds, "message": {...}}``, as returned by
              :meth:`~speechmatics_rt.local.SessionRecord.recording`: sent once so much audio has been
              received, or, with None, once it has ended.
            * A server message alone: sent at its end time, and never before the previous one.
            * An entry of a :class:`~speechmatics_rt.Recorder`: sent once as much audio has been received as
              had been acknowledged before it in that session.

    Messages that are left when the audio ends are sent then, so even short audio gets the whole session. A
    forced utterance is sent when the client asks for it, or when its place in the audio has passed.

    The recording of a session that did not end well ends likewise: with the same refusal, close code or
    silence. One that was cut off ends with a lost connection, and you are warned.

    Attributes:
        recorded_faults: What ends each session before anything is recognised, as arguments of faults.

    Raises:
        ConfigurationError: The file can't be read, there is nothing in it, an entry is not a message, or the
            session reached no server.

    Example:
        >>> hello = {"message": "AddTranscript", "results": [], "metadata": {"end_time": 1.0}}
        >>> settings = {"audio_format": {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}}
        >>> recogniser = ReplayEngine([hello]).recogniser(settings)
        >>> [len(recogniser.feed(bytes(4000))) for _ in range(3)]
        [0, 1, 0]
    """

    slow = False

    def __init__(self, recording: Union[str, os.PathLike[str], Iterable[Mapping[str, Any]]]) -> None:
        torn = False
        if isinstance(recording, (str, os.PathLike)):
            recording, torn = _read(recording)
        self._entries: dict[Optional[str], list[Entry]] = {}  # by channel
        self._pack: dict[str, Any] = dict(_PACK)
        channel: Optional[str] = None
        recording = list(recording)
        ending = ending_of(recording, torn=torn)
        self.recorded_faults = ending.faults if ending is not None and ending.early else ()
        if ending is not None and ending.doubt:
            Caller.find().warn(
                f"the recording ends in the middle of its session ({ending.doubt}), and so does the session "
                "that replays it: with a lost connection"
            )
        for number, entry in enumerate(placed(recording, ending), 1):
            at, message = _entry(entry, number)
            if message["message"] == "RecognitionStarted":
                told = message.get("language_pack_info")
                self._pack.update(told if isinstance(told, Mapping) else {})
            if message["message"] in _OF_THE_SERVER or message.get("type") in _AT_THE_START:
                continue
            named = text_of(message.pop("channel", None))
            channel = channel if named is None else named  # what names none belongs to what it follows
            entries = self._entries.setdefault(channel, [])
            before = entries[-1][0] if entries else 0.0
            if channel is not None and named is None and at != math.inf:
                at = before
            entries.append((max(before, _end_of(message) if at is None else at), message))

    def language_pack_info(self, language: str) -> dict[str, Any]:
        return dict(self._pack)

    def recogniser(self, settings: Mapping[str, Any]) -> _Replay:
        channel = settings.get("channel")
        entries = self._entries.get(channel, [])
        if channel not in self._entries:  # it was cut off before anything was said
            entries = [entry for entry in self._entries.get(None, []) if entry[1]["message"] == CUT_OFF]
        return _Replay(entries, AudioClock(settings.get("audio_format") or {"type": "file"}))

    def close(self) -> None:
        """Release nothing."""


class _Replay:
    def __init__(self, entries: list[Entry], clock: AudioClock) -> None:
        self._entries = entries
        self._clock = clock
        self._next = 0
        self._speakers: list[dict[str, Any]] = []

    def feed(self, audio: bytes) -> list[dict[str, Any]]:
        self._clock.feed(audio)
        now = self._clock.seconds
        until = self._next
        while until < len(self._entries):
            place, message = self._entries[until]
            # A forced message waits for the request, which came right after this audio.
            if place > now or (place == now and message.get("forced")):
                break
            until += 1
        return self._release(until)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change nothing: all is settled already."""

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        now = self._clock.seconds
        for place in range(self._next, len(self._entries)):
            message = self._entries[place][1]
            if message["message"] == "EndOfUtterance" and message.get("forced"):
                return self._release(place + 1)
        return [end_of_utterance(now if timestamp is None else timestamp, forced=True)]

    def speakers(self) -> list[dict[str, Any]]:
        return self._speakers

    def finish(self) -> list[dict[str, Any]]:
        return self._release(len(self._entries))

    def close(self) -> None:
        self._next = len(self._entries)

    def _release(self, until: int) -> list[dict[str, Any]]:
        released = [message for _, message in self._entries[self._next : until]]
        self._next = max(until, self._next)
        for message in released:
            if message["message"] == "SpeakersResult":
                told = message.get("speakers")
                self._speakers = told if isinstance(told, list) else []
        # A SpeakersResult is sent when it is asked for.
        return [message for message in released if message["message"] != "SpeakersResult"]


def _read(path: Union[str, os.PathLike[str]]) -> tuple[list[Any], bool]:
    """Return the entries of a file, and whether it ends in the middle of one."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        text = data.decode(json.detect_encoding(data))  # a shell of Windows writes its files in UTF-16
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"can't read the recording {os.fspath(path)}: {exc}") from exc
    texts = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not texts:
        raise ConfigurationError(
            f"the recording {os.fspath(path)} is empty: no session was recorded, or its disk was full"
        )
    entries: list[Any] = []
    for number, line in texts:
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError) as exc:
            if entries and line is texts[-1][1] and not text.endswith("\n"):
                return entries, True  # who wrote it died in the middle of it
            raise ConfigurationError(f"line {number} of {os.fspath(path)} is not JSON: {exc}") from exc
    return entries, False


def _entry(entry: Any, number: int) -> tuple[Optional[float], dict[str, Any]]:
    """Return where an entry stands, None if it does not name one, and its message."""
    message = entry.get("message") if isinstance(entry, Mapping) else None
    if isinstance(message, str):
        return None, dict(entry)
    place = entry.get("audio") if isinstance(entry, Mapping) else None
    if (
        not isinstance(message, Mapping)
        or not isinstance(message.get("message"), str)
        or not (place is None or is_time(place))
    ):
        raise ConfigurationError(
            f"entry {number} of the recording is not a server message: {shown(entry, 100)}"
        )
    return math.inf if place is None else float(place), dict(message)


def _end_of(message: Mapping[str, Any]) -> float:
    """Return the end of what a message is about, in seconds of audio; 0 if it names none."""
    parts = [metadata_of(message), message.get("event"), *results_of(message)]
    times = [part.get("end_time", part.get("start_time")) for part in parts if isinstance(part, Mapping)]
    return max(map(time_of, times), default=0.0)
