"""Turns a client's recording of a session into a replay: its messages with their places, and its end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...config import AudioFormat
from ...exceptions import ConfigurationError
from ...messages import text_of
from .clock import AudioClock

__all__ = ["CUT_OFF", "Ending", "ending_of", "placed"]

_AUDIO = ("AddAudio", "AddChannelAudio")
_ADDED = ("AudioAdded", "ChannelAudioAdded")
CUT_OFF = "CutOff"  # in place of a message: here the session ended, by ``faults``
_OF_THE_CLIENT = ("Reconnecting", "Resumed", "SessionEnded")  # events that no server sends


class Ending(NamedTuple):
    """How a recorded session ended, if not well.

    Attributes:
        faults: The arguments of the local server's faults that end another one likewise.
        early: They act at a point of their own, before anything is recognised; else where it ended.
        after_audio: The audio had ended then.
        doubt: Why this is only a guess; empty if it was recorded.
    """

    faults: Sequence[Mapping[str, Any]]
    early: bool = False
    after_audio: bool = False
    doubt: str = ""


def placed(recording: Iterable[Any], ending: Optional[Ending] = None) -> Iterator[Any]:
    """Return the entries of a replay: those of a :class:`~speechmatics_rt.Recorder` with their places.

    A server sends acknowledgements in order with all its other messages. So a message belongs after the audio
    that was acknowledged before it, whatever was in flight then. Other entries are returned as they are. If
    the session did not end well, a :data:`CUT_OFF` comes last.

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
    if ending is not None and not ending.early:
        place = None if ending.after_audio else places.get(None, 0.0)
        yield {"audio": place, "message": {"message": CUT_OFF, "faults": ending.faults}}


def ending_of(recording: Iterable[Any], *, torn: bool = False) -> Optional[Ending]:
    """Return how a recorded session ended; None if it ended well, by itself or by an Error in mid-stream.

    Args:
        recording: The entries.
        torn: The last one was cut off, and is not among them.

    Raises:
        ConfigurationError: It is one that reached no server.

    Example:
        >>> lost = {"kind": "ConnectionError", "stage": "streaming", "code": 1011}
        >>> ending_of([
        ...     {"time": 0.0, "sent": {"message": "StartRecognition"}},
        ...     {"time": 0.1, "received": {"message": "RecognitionStarted"}},
        ...     {"time": 0.4, "ended": "ConnectionError: lost", "failure": lost}]).faults
        [{'kind': 'close', 'options': (('code', 1011), ('reason', ''))}]
    """
    doubt = "its last line is incomplete" if torn else ""
    sent = False
    received: dict[Any, Any] = {}  # the last message of each kind
    for entry in recording:
        if not isinstance(entry, Mapping):
            continue
        if isinstance(entry.get("failure"), Mapping):
            return _failed(entry["failure"], str(entry.get("ended")), sent, received)
        if "ended" in entry or "left" in entry:
            return None
        sent |= "sent" in entry
        message = entry.get("received", entry.get("message", entry))
        kind = message.get("message") if isinstance(message, Mapping) else message
        received[text_of(kind)] = message
        if not doubt and "began" in entry:
            doubt = "it does not say how it ended"
    over = "EndOfTranscript" in received or "Error" in received
    return _LOST._replace(doubt=doubt) if doubt and not over else None


def _failed(
    failure: Mapping[str, Any], text: str, sent: bool, received: Mapping[Any, Any]
) -> Optional[Ending]:
    """Return the end that an error of the client tells of."""
    error, stage, started = received.get("Error"), failure.get("stage"), "RecognitionStarted" in received
    if not sent or (not started and (stage in _ON_THE_WAY or "status" in failure)):
        return Ending([_at_the_door(failure, text)], early=True)
    if not started:
        faults = _in_session(failure)
        if isinstance(error, Mapping):
            code, kind = _number(failure.get("code"), 1000, 4999), text_of(error.get("type"))
            faults = [_fault("error", type=kind, reason=text_of(error.get("reason")), code=code)]
        return Ending([{**fault, "at": "start"} for fault in faults], early=True) if faults else None
    faults = [] if isinstance(error, Mapping) else _in_session(failure)  # an Error is among the messages
    return Ending(faults, after_audio=stage in ("draining", "end")) if faults else None


def _at_the_door(failure: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """Return what keeps another client out as this one was."""
    kind, stage, status = failure.get("kind"), failure.get("stage"), _number(failure.get("status"), 100, 599)
    if status is not None:
        wait = failure.get("retry_after")
        pause = math.ceil(wait) if isinstance(wait, (int, float)) and 0 <= wait < 1e9 else None
        body = {"code": status, "error": text_of(failure.get("reason")) or "refused"}
        return _fault("refuse", status=status, retry_after=pause, body=body)
    if (kind, stage) == ("TimeoutError", "open"):
        return _fault("hang")
    if (kind, stage) == ("ConnectionError", "upgrade"):
        return _fault("fin", at="handshake")
    if kind == "ProtocolError":
        return _fault("bad_accept")
    raise ConfigurationError(f"the recorded session reached no server, so none can replay it: {text:.300}")


def _in_session(failure: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what ends another session as the server ended this one; nothing if the client ended it."""
    kind, stage = failure.get("kind"), failure.get("stage")
    code = _number(failure.get("code"), 1000, 4999)
    if stage == "keepalive":
        return [_fault("silence"), _fault("no_pongs")]
    if kind == "TimeoutError":
        return [_fault("no_start" if stage == "start" else "silence")]
    if kind == "ProtocolError":
        return [_fault(_BROKEN.get(code or 0, "reserved_bit"))]
    if kind == "EndOfTranscriptError":
        return [_fault("early_end")]
    if kind == "AuthenticationError":
        code = _NOT_AUTHORISED
    elif kind not in ("ConnectionError", "TranscriptionError"):
        return []
    return _closed(code, text_of(failure.get("reason")) or "")


def _closed(code: Optional[int], reason: str) -> Sequence[Mapping[str, Any]]:
    if code in (None, 1006, 1015):  # those that no close frame has
        return _LOST.faults
    return [_fault("bad_close", payload=b"") if code == 1005 else _fault("close", code=code, reason=reason)]


def _fault(kind: str, *, at: Optional[str] = None, **options: Any) -> Mapping[str, Any]:
    given = tuple((name, value) for name, value in options.items() if value is not None)
    return {"kind": kind, "options": given, **({} if at is None else {"at": at})}


def _number(value: Any, least: int, most: int) -> Optional[int]:
    known = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return value if known else None


_LOST = Ending([_fault("fin")])
_ON_THE_WAY = ("open", "key", "dns", "tcp", "proxy", "tls", "upgrade")
_NOT_AUTHORISED = 4001
# What this client closes with these codes for.
_BROKEN = {1003: "deep_json", 1007: "bad_utf8", 1009: "overlong_frame"}


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
