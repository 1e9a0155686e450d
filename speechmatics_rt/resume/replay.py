"""What to keep of a session in progress, and what to send again in the session that takes over.

Raw audio is kept from a little before the end of the last final, for each channel; requests are kept until
they are answered, or until the audio they refer to is final; settings are kept for good. All are in one
order, so that a session that takes over gets them as the first one did. No time that the server sends can
discard audio beyond what was sent. Pure: no thread, clock or socket; its owner's lock guards it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional, Union

from ..config import AudioFormat
from ..messages import answered_forced_end, channel_of, heard_up_to, is_time, time_of, times_of
from .speakers import Speakers
from .stitch import Stitcher

__all__ = ["Due", "End", "Piece", "Replay", "Request"]

_ANSWERABLE = ("ForceEndOfUtterance", "GetSpeakers")
_MOST_REQUESTS = 100  # without an answer; beyond that the oldest are forgotten
_ACKNOWLEDGED = {"AudioAdded": False, "ChannelAudioAdded": True}


class Piece(NamedTuple):
    """One chunk of audio: the ``number``-th of its channel, after ``start`` bytes."""

    order: int
    channel: Optional[str]
    number: int
    start: int
    audio: bytes
    feeding: bool


class Request(NamedTuple):
    """A message other than audio; its times are those of the current session."""

    order: int
    message: Mapping[str, Any]
    place: float = 0.0  # in seconds of audio
    sent: float = 0.0  # seconds of audio before it
    own: bool = False  # asked by this package: handlers don't get the answer

    @property
    def is_answerable(self) -> bool:
        return self.message["message"] in _ANSWERABLE

    @property
    def at_the_end(self) -> bool:
        """Whether it is answered once, at the end, however often it is sent."""
        return self.message["message"] == "GetSpeakers" and bool(self.message.get("final"))


class End(NamedTuple):
    """The end of a channel, or of the stream if the channel is None."""

    order: int
    channel: Optional[str]


Due = Union[Piece, Request, End]


class _Track:
    """The audio of one channel."""

    def __init__(self) -> None:
        self.pieces: deque[Piece] = deque()
        self.taken = 0  # bytes, from the caller
        self.count = 0  # pieces, from the caller
        self.reached = 0  # bytes that were sent, in any session
        self.next = 1  # the number of the piece to send next
        self.given = (0, 0)  # the last piece that may have reached the current session: number, end in bytes
        self.skipped = 0  # pieces that the current session doesn't get
        self.acknowledged = 0
        self.end: Optional[End] = None
        self.end_sent = False
        self.offset = 0.0
        self.forgot = 0  # bytes that were discarded before their words were final
        self.needless = 0.0  # seconds from the beginning that never have to be sent again

    @property
    def due(self) -> Optional[Piece]:
        try:
            return self.pieces[self.next - self.pieces[0].number] if self.next <= self.count else None
        except IndexError:  # a signal handler reads the figures in the middle of a change
            return None

    @property
    def kept(self) -> int:
        return self.taken - self.pieces[0].start if self.pieces else 0


class Replay:
    """Keeps what was sent to a session, for as long as it may have to be sent to another.

    Args:
        start: The StartRecognition message, for raw audio.
        channels: The labels of the channels, or just None.
        buffer_seconds: How much audio to keep at most on each channel.

    Example:
        >>> replay = Replay({"transcription_config": {"language": "en"}}, [None],
        ...     AudioFormat("pcm_s16le", 16000), buffer_seconds=600)
        >>> replay.sent(replay.keep(None, bytes(32000)))
        >>> replay.due()
        >>> replay.begin()  # the connection was lost: a second of audio is to be sent again
        1.0
        >>> len(replay.due().audio)
        32000
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        channels: Iterable[Optional[str]],
        audio_format: AudioFormat,
        *,
        buffer_seconds: float,
    ) -> None:
        self._start = copy.deepcopy(dict(start))
        self._sample = audio_format.bytes_per_sample
        self._rate = audio_format.bytes_per_second
        self._buffer = buffer_seconds * self._rate
        self._tracks = {channel: _Track() for channel in channels}
        languages = (start.get("translation_config") or {}).get("target_languages", ())
        # A translation does not name its channel, so with translations all channels restart at one moment.
        self._together = bool(languages)
        self._requests: list[Request] = []  # by order
        config = start["transcription_config"].get("speaker_diarization_config") or {}
        self._asks_for_speakers = bool(config.get("get_speakers"))
        self._requested = 0  # the order up to which requests were sent in this session
        self._order = 0
        self._end: Optional[End] = None
        self._end_sent = False
        self._again = False  # the current session is not the first
        self.speakers = Speakers(start["transcription_config"])
        self.stitcher = Stitcher(languages, self._tracks, self.speakers)

    # -- what the caller sends ------------------------------------------------------------------------

    @property
    def start(self) -> dict[str, Any]:
        """The StartRecognition message, with the latest settings and the speakers known so far."""
        return self.speakers.start(self._start)

    @property
    def channels(self) -> list[Optional[str]]:
        return list(self._tracks)

    def seconds(self, size: int) -> float:
        return size / self._rate

    def seconds_on(self, channel: Optional[str]) -> float:
        """Return how many seconds of audio the caller has sent on a channel."""
        track = self._tracks.get(channel)
        return self.seconds(track.taken) if track else 0.0

    def full(self, channel: Optional[str], size: int) -> bool:
        """Whether ``size`` more bytes would exceed the buffer."""
        return self._tracks[channel].kept + size > self._buffer

    def ended(self, channel: Optional[str]) -> bool:
        return self._end is not None or self._tracks[channel].end is not None

    @property
    def heard(self) -> list[float]:
        """How far each channel was transcribed: the end of its last final, in seconds."""
        return [self.stitcher.until(channel) for channel in self._tracks]

    @property
    def bytes_taken(self) -> int:
        return sum(track.taken for track in self._tracks.values())

    @property
    def seconds_taken(self) -> float:
        return self.seconds(self.bytes_taken)

    @property
    def frames_taken(self) -> int:
        return sum(track.count for track in self._tracks.values())

    @property
    def waiting(self) -> tuple[int, float]:
        """How many frames, and seconds, of audio are not yet sent in the current session."""
        due = [(track, track.due) for track in self._tracks.values()]
        frames = sum(track.count + 1 - track.next for track, _ in due)
        return frames, self.seconds(sum(track.taken - piece.start for track, piece in due if piece))

    @property
    def over(self) -> bool:
        """Whether the caller has ended the audio."""
        return self._end is not None or all(track.end is not None for track in self._tracks.values())

    def keep(
        self, channel: Optional[str], audio: Union[bytes, bytearray, memoryview], feeding: bool = False
    ) -> Piece:
        """Keep the caller's next chunk."""
        track = self._tracks[channel]
        # Counted only once it is appended: a signal handler may look in between.
        piece = Piece(self._next_order(), channel, track.count + 1, track.taken, bytes(audio), feeding)
        track.pieces.append(piece)
        track.count += 1
        track.taken += len(piece.audio)
        while track.kept > self._buffer and track.pieces[0].number < track.next:
            gone = track.pieces.popleft()
            track.forgot = gone.start + len(gone.audio)
        return piece

    def request(self, message: Mapping[str, Any]) -> Request:
        """Take a caller's message: a question is kept until it is answered, a setting for good."""
        kind = message["message"]
        request = Request(self._next_order(), dict(message), *self._place(message))
        self._remember(request)
        self._asks_for_speakers |= kind == "GetSpeakers"
        changes = message.get("transcription_config")
        if kind == "SetRecognitionConfig" and isinstance(changes, Mapping):
            settings = {**self._start["transcription_config"], **copy.deepcopy(dict(changes))}
            self._start["transcription_config"] = settings
        return self._for_session(request)

    def _remember(self, request: Request) -> None:
        """Keep a request: of those to be answered a limited number, and one about the end only once."""
        if request.at_the_end and any(known.at_the_end for known in self._requests):
            return
        self._requests.append(request)
        waiting = [known for known in self._requests if known.is_answerable and not known.at_the_end]
        if len(waiting) > _MOST_REQUESTS:
            self._requests.remove(waiting[0])

    def question(self) -> Optional[Mapping[str, Any]]:
        """Return the question for the speakers that this package asks by itself; None if it is not due."""
        due = self.speakers.asks and not self.over and self.speakers.is_due(max(self.heard))
        return {"message": "GetSpeakers", "final": False} if due else None

    def asked(self, question: Mapping[str, Any]) -> None:
        """Note that the question was sent."""
        self.speakers.asked(max(self.heard))
        request = Request(self._next_order(), question, *self._place(question), own=True)
        self._remember(request)
        self.sent(request)

    def end_channel(self, channel: Optional[str]) -> End:
        track = self._tracks[channel]
        track.end = End(self._next_order(), channel)
        return track.end

    def end_stream(self) -> End:
        self._end = self._end or End(self._next_order(), None)
        return self._end

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    def _place(self, message: Mapping[str, Any]) -> tuple[float, float]:
        """Return what audio a request is about, and how much was sent before it, in seconds."""
        channel, timestamp = message.get("channel"), message.get("timestamp")
        sent = self.seconds_on(channel if channel in self._tracks else next(iter(self._tracks)))
        return time_of(timestamp) if is_time(timestamp) else sent, sent

    # -- what is sent in the present session --------------------------------------------------------

    def due(self) -> Optional[Due]:
        """Return what to send next, which then counts as received; None if nothing is left."""
        due: list[Due] = [piece for track in self._tracks.values() if (piece := track.due)]
        due += [t.end for t in self._tracks.values() if t.end and not t.end_sent and t.due is None]
        due += [request for request in self._requests if request.order > self._requested][:1]
        if due:
            first = min(due, key=lambda item: item.order)
            if isinstance(first, Piece):
                self._give(first)
            return self._for_session(first) if isinstance(first, Request) else first
        return self._end if not self._end_sent else None

    def sent(self, item: Due) -> None:
        """Note that a due item was sent."""
        if isinstance(item, Piece):
            track = self._tracks[item.channel]
            track.next = item.number + 1
            track.reached = max(track.reached, item.start + len(item.audio))
            self._give(item)
        elif isinstance(item, Request):
            self._requested = max(self._requested, item.order)
            if not item.is_answerable:
                self._requests = [request for request in self._requests if request.order != item.order]
        elif item is self._end:
            self._end_sent = True
        else:
            self._tracks[item.channel].end_sent = True

    def _give(self, piece: Piece) -> None:
        track = self._tracks[piece.channel]
        track.given = max(track.given, (piece.number, piece.start + len(piece.audio)))

    def _for_session(self, request: Request) -> Request:
        message = dict(request.message)
        if is_time(message.get("timestamp")):
            channel = message.get("channel")
            if channel in self._tracks:
                message["timestamp"] = max(0.0, round(message["timestamp"] - self._tracks[channel].offset, 3))
            elif any(track.offset for track in self._tracks.values()):
                del message["timestamp"]  # channels may have restarted at different moments
        return request._replace(message=message)

    # -- when another session takes over -------------------------------------------------------------

    @property
    def missing(self) -> float:
        """Seconds of audio that would have to be sent again, but are no longer kept."""
        gaps = [
            self.seconds(track.forgot) - max(self._anchor(label), track.needless)
            for label, track in self._tracks.items()
            if track.forgot
        ]
        return max([0.0, *gaps])

    def begin(self) -> float:
        """Let another session take over; return how many seconds of audio will be sent again."""
        again = 0.0
        for label, track in self._tracks.items():
            self._forget(label)
            skip = self._sample * int(self._anchor(label) * self._rate // self._sample)
            if track.pieces and track.pieces[0].start < skip:
                first = track.pieces[0]
                track.pieces[0] = first._replace(start=skip, audio=first.audio[skip - first.start :])
            begins = track.pieces[0].start if track.pieces else track.taken
            track.next = track.pieces[0].number if track.pieces else track.count + 1
            track.skipped = track.next - 1
            track.given = (track.skipped, begins)
            track.end_sent = False
            track.offset = self.seconds(begins)
            again = max(again, self.seconds(track.reached - begins))
        self._requests = [
            request
            for request in self._requests
            if not request.own and request.message["message"] != "SetRecognitionConfig"
        ]
        self._drop_passed()
        self._requested, self._end_sent = 0, False
        self._again = True
        self.stitcher.begin({label: track.offset for label, track in self._tracks.items()})
        return again

    def _anchor(self, label: Optional[str]) -> float:
        if self._together:
            return min(self.stitcher.anchor(channel) for channel in self._tracks)
        return self.stitcher.anchor(label)

    def _forget(self, label: Optional[str]) -> None:
        """Discard audio that never has to be sent again."""
        track = self._tracks[label]
        track.needless = max(track.needless, self._anchor(label))
        anchor = track.needless * self._rate
        pieces = track.pieces
        while pieces and pieces[0].number < track.next and pieces[0].start + len(pieces[0].audio) <= anchor:
            pieces.popleft()

    def _drop_passed(self) -> None:
        """Forget requests about audio that is final: they will not be answered any more."""
        self._requests = [
            request
            for request in self._requests
            if request.order > self._requested or request.at_the_end or not self._has_passed(request)
        ]

    def _has_passed(self, request: Request) -> bool:
        needless = self._track_of(request.message).needless
        return needless > 0 and request.place <= needless

    def _track_of(self, message: Mapping[str, Any]) -> _Track:
        """Return the channel of a message; the first one if it names none, or an unknown one."""
        return self._tracks.get(channel_of(message)) or next(iter(self._tracks.values()))

    # -- what is received ------------------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Optional[dict[str, Any]]:
        """Return the message as a single session would have sent it; None if it did before."""
        kind = message["message"]
        if kind in _ACKNOWLEDGED:
            return self._acknowledged(message, channel_of(message) if _ACKNOWLEDGED[kind] else None)
        label = channel_of(message)
        tracks = [self._tracks[label]] if label in self._tracks else list(self._tracks.values())
        sent = self.seconds(max(track.given[1] for track in tracks))
        stitched = self.stitcher.receive(message, sent)
        if kind == "SpeakersResult" and stitched is not None:
            self.speakers.answered(stitched.get("speakers"))
            request = self._answered(stitched, sent)
            ours = request.own if request is not None else self.speakers.has_asked
            return None if ours and not (request is None and self._asks_for_speakers) else stitched
        if kind == "EndOfUtterance" and stitched is not None:
            self._answered(stitched, sent)
        elif kind in ("AddTranscript", "AddTranslation"):
            for channel in self._tracks:
                self._forget(channel)
            self._drop_passed()
        return stitched

    def _acknowledged(self, message: dict[str, Any], channel: Optional[str]) -> Optional[dict[str, Any]]:
        track = self._tracks.get(channel)
        number = message.get("seq_no")
        if track is None or not isinstance(number, int):
            return message
        number += track.skipped
        if self._again and number <= track.acknowledged:
            return None
        track.acknowledged = max(track.acknowledged, min(number, track.given[0]))
        return {**message, "seq_no": number}

    def _answered(self, message: Mapping[str, Any], sent: float) -> Optional[Request]:
        """Remove the request that this answers, if any, and return it."""
        speakers = message["message"] == "SpeakersResult"
        kind = "GetSpeakers" if speakers else "ForceEndOfUtterance"
        asked = [
            request
            for request in self._requests
            if request.message["message"] == kind
            and not request.at_the_end
            and (speakers or request.message.get("channel") in (None, message.get("channel")))
        ]
        number: Optional[int] = 0 if asked else None
        if not speakers:
            time = heard_up_to(times_of(message)[1], sent) or 0.0
            places = [(request.place, request.sent) for request in asked]
            number = answered_forced_end(message, time, places)
        if number is None:
            return None
        self._requests.remove(asked[number])
        return asked[number]
