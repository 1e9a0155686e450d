"""Turns a client's recording of a session into entries of a replay: its messages with their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from ...config import AudioFormat
from ...messages import text_of
from .clock import AudioClock

__all__ = ["CUT_OFF", "placed"]

_AUDIO = ("AddAudio", "AddChannelAudio")
_ADDED = ("AudioAdded", "ChannelAudioAdded")
CUT_OFF = "CutOff"  # in place of a message: here the connection broke
_OF_THE_CLIENT = ("Reconnecting", "Resumed", "SessionEnded")  # events that no server sends


def placed(recording: Iterable[Any], *, torn: bool = False) -> Iterator[Any]:
    """Return the entries of a replay: those of a :class:`~speechmatics_rt.Recorder` with their places.

    A server sends acknowledgements in order with all its other messages. So a message belongs after the audio
    that was acknowledged before it, whatever was in flight then. Other entries are returned as they are. If
    the connection was lost, or the recording ends in the middle of the session, a :data:`CUT_OFF` comes last,
    with a ``reason``.

    Args:
        recording: The entries.
        torn: The last one was cut off, and is not among them.

    Example:
        >>> raw = {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
        >>> list(placed([
        ...     {"time": 0.0, "sent": {"message": "StartRecognition", "audio_format": raw}},
        ...     {"time": 0.1, "sent": {"message": "AddAudio", "size": 4000}},
        ...     {"time": 0.2, "received": {"message": "AudioAdded", "seq_no": 1}},
        ...     {"time": 0.3, "received": {"message": "EndOfUtterance"}},
        ...     {"time": 0.4, "ended": None}]))
        [{'audio': 0.5, 'message': {'message': 'EndOfUtterance'}}]
    """
    entries = list(recording)
    ends = _ends(entries)
    places: dict[Optional[str], float] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or "message" in entry or "time" not in entry:
            yield entry
            continue
        message = entry.get("received")
        if not isinstance(message, Mapping):
            continue  # what was sent, how it began and ended
        kind, channel = message.get("message"), text_of(message.get("channel"))
        if kind in _ADDED:
            number, sounded = message.get("seq_no"), ends.get(channel, [])
            if isinstance(number, int) and 0 < number <= len(sounded):
                places[channel] = sounded[number - 1]
        elif kind not in _OF_THE_CLIENT:
            yield {"audio": places.get(channel, 0.0), "message": message}
    reason = _cut_off(entries, torn)
    if reason is not None:
        yield {"audio": places.get(None, 0.0), "message": {"message": CUT_OFF, "reason": reason}}


def _cut_off(entries: Iterable[Any], torn: bool) -> Optional[str]:
    """Say why there is no end of the session: "" if it is recorded that the connection was lost then."""
    early = "its last line is incomplete" if torn else None
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        if "ended" in entry:
            return "" if str(entry["ended"]).startswith("ConnectionError") else None
        message = entry.get("received", entry.get("message", entry))
        kind = message.get("message") if isinstance(message, Mapping) else message
        if "left" in entry or kind in ("EndOfTranscript", "Error"):
            return None
        if early is None and "began" in entry:
            early = "it does not say how it ended"
    return early


def _ends(entries: Iterable[Any]) -> dict[Optional[str], list[float]]:
    """Find out for each channel at what second of audio each message of audio ended."""
    clocks: dict[Optional[str], AudioClock] = {}
    ends: dict[Optional[str], list[float]] = {}
    audio_format: Mapping[str, Any] = {"type": "file"}
    for entry in entries:
        sent = entry.get("sent") if isinstance(entry, Mapping) else None
        if not isinstance(sent, Mapping):
            continue
        if sent.get("message") == "StartRecognition":
            audio_format = AudioFormat.of(sent.get("audio_format") or audio_format, "audio_format").to_dict()
        elif sent.get("message") in _AUDIO:
            channel, size = text_of(sent.get("channel")), sent.get("size")
            clock = clocks.setdefault(channel, AudioClock(audio_format))
            clock.skip(size if isinstance(size, int) else 0)
            ends.setdefault(channel, []).append(clock.seconds)
    return ends
