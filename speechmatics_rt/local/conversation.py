"""One connection of the local server, from the HTTP request to the last close frame."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from ..exceptions import ConfigurationError, ProtocolError
from ..session import Role, Session, State
from .checks import CLOSE_CODES, Refused, check_change, check_force, check_start
from .clock import AudioClock
from .engine import Engine, Recogniser
from .faults import Fault
from .handshake import Handshake, Refusal, http_answer
from .recognition import Recognition
from .record import SessionRecord
from .wire import Wire

__all__ = ["Conversation", "House"]

_log = logging.getLogger(__name__)

START_TIMEOUT = 60.0  # s for StartRecognition; the service has such a limit and does not publish it
CLOSE_TIMEOUT = 5.0  # s for the client's close frame
_QUOTA_SHOWN = 50  # what the Info about usage says when there is no quota


@dataclass(frozen=True)
class House:
    """What all conversations of a server share."""

    engine: Engine
    keys: Optional[Collection[str]]
    speed: Optional[float]
    time_scale: float
    quota: Optional[int]
    live: Callable[[], int]  # connections now open
    version: str


class Conversation:
    """Talks to one client, on one thread.

    The attributes without underscore, and the verbs, are also the stage on which faults play.
    """

    def __init__(self, wire: Wire, house: House, record: SessionRecord, faults: Sequence[Fault]) -> None:
        self.wire = wire
        self.record = record
        self.acks = True  # acknowledge audio
        self.pongs = True  # answer pings
        self.speaks = True  # say anything at all
        self.hears = True  # read from the socket
        self.start_delay = 0.0  # s before RecognitionStarted
        self._house = house
        self._session = Session(Role.SERVER)
        self._handshake = Handshake()
        self._ws: Optional[wsproto.Connection] = None
        self._parts: list[Any] = []  # of a message in several frames
        self._settings: dict[str, Any] = {}  # the checked StartRecognition
        self._recognition: Optional[Recognition] = None
        self._acknowledged = 0
        self._speakers_at_end = False
        self._closing = False  # our last word is said: an HTTP refusal, a close frame, the end of the stream
        self._stalled = False  # frames wait unread because the buffer is full
        self._faults = list(faults)
        self._counted = [fault for fault in faults if fault.counts]
        self._heard_messages = 0
        self._heard_bytes = 0

    def run(self) -> None:
        """Serve the connection to its end."""
        record = self.record
        record.reach("accepted")
        try:
            self.reach("accept")
            self.wire.run(self._received)
        except Exception:  # noqa: BLE001  the server outlives its conversations; the log has it all
            _log.exception("connection %d of the local server broke", record.index)
        finally:
            if self._recognition is not None:
                self._recognition.close()
            self.wire.close()
            record.closed.set()
            record.reach("closed")

    def leave(self) -> None:
        """Say goodbye because the server closes."""
        if self._ws is not None:
            self.close(1001, "the local server is closing")
        self._closing = True
        self.wire.finish(within=0.5)

    # -- the stage of the faults -----------------------------------------------------------------

    def reach(self, point: str) -> None:
        """Let the faults of a point of the session act."""
        self.record.reach(point)
        for fault in self._faults:
            if fault.at == point and not fault.counts:
                fault.act(self)

    def answer(self, status: int, body: Any = None, headers: Optional[Mapping[str, str]] = None) -> None:
        """Answer the HTTP request, and no upgrade."""
        self.record.status = status
        self._last_bytes(http_answer(status, body, headers))

    def say(self, message: Mapping[str, Any], *, binary: bool = False) -> None:
        """Send a message, whether it is its turn or not."""
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        self.record.say(message)
        self.frame(text.encode() if binary else text)

    def frame(self, data: Any) -> None:
        """Send a text frame of a str, or a binary frame of bytes."""
        if self.speaks and not self._closing and self._ws is not None:
            kind = TextMessage if isinstance(data, str) else BytesMessage
            self.wire.send(self._ws.send(kind(data=data)))

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        if not self._closing:
            self.wire.send(data)

    def fail(self, type: str, reason: str, *, code: Optional[int] = None, close: bool = True) -> None:
        """Say an Error and close as the service does after one of that type, or with another code."""
        if self._closing:
            return
        error = {"message": "Error", "type": type, "reason": reason}
        if not self._session.over:
            self._session.send(error)
        self.say(error)
        if close:
            usual, text = CLOSE_CODES.get(type, (1011, "internal_error"))
            self.close(usual if code is None else code, text if code is None else type)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; wait for the client's, but not long."""
        if self._closing or self._ws is None:
            return
        self._closing = True
        self.record.server_code, self.record.server_reason = code, reason
        if self._ws.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self.wire.send(self._ws.send(CloseConnection(code=code, reason=reason)))
        self._session.lose(code, reason)
        self.wire.reading = True  # to hear the client's close frame; whatever comes before it is ignored
        self.later("close", CLOSE_TIMEOUT, self.wire.finish)

    def end(self) -> None:
        """End the stream (FIN) without a close frame."""
        self._last_bytes(b"")

    def reset(self) -> None:
        """Drop the connection (RST)."""
        self._closing = True
        self.wire.reset()

    def later(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Run a callback in so many seconds of the service's clock."""
        self.wire.later(name, seconds / self._house.time_scale, callback)

    def _last_bytes(self, data: bytes) -> None:
        if not self._closing:
            self._closing = True
            self.wire.send(data)
            self.wire.finish()

    # -- bytes in --------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if not data:
            self._session.lose()
            self._closing = True
            self.wire.finish()
        elif self._ws is None:
            if not self._closing:
                self._shake_hands(data)
        elif self._ws.state is not ConnectionState.CLOSED:
            self._ws.receive_data(data)
            self._read_on()

    def _shake_hands(self, data: bytes) -> None:
        try:
            request = self._handshake.receive(data)
            if request is None:
                return
            record = self.record
            record.method, record.target, record.path = request.method, request.target, request.path
            record.query, record.headers = dict(request.query), dict(request.headers)
            self.reach("handshake")
            if self._closing:
                return
            answer, websocket, early = self._handshake.upgrade(self._house.keys)
        except Refusal as refusal:
            self.record.status = refusal.status
            self._last_bytes(refusal.answer())
            return
        self._ws = websocket
        self.record.status = 101
        self.wire.send(answer)
        self._opened()
        if early:
            self._received(early)

    def _opened(self) -> None:
        self.reach("open")
        quota = self._house.quota
        if quota is not None and self._house.live() > quota:
            self.fail("quota_exceeded", "Concurrent Quota Exceeded")
            return
        self.later(
            "start",
            START_TIMEOUT,
            lambda: self.fail("start_recognition_timeout", f"no StartRecognition within {START_TIMEOUT:g} s"),
        )

    def _read_on(self) -> None:
        """Take frames until there are no more, or no room for more."""
        self._stalled = False
        for event in self._ws.events():  # type: ignore[union-attr]
            self._event(event)
            if not self._closing and (
                not self.hears or (self._recognition is not None and self._recognition.full)
            ):
                self._stalled = True
                break
        self.wire.reading = not self._stalled

    def _event(self, event: Any) -> None:
        if isinstance(event, (TextMessage, BytesMessage)):
            self._parts.append(event.data)
            if event.message_finished:
                parts, self._parts = self._parts, []
                if self._closing:
                    return
                if isinstance(event, TextMessage):
                    self._text("".join(parts))
                else:
                    self._audio(parts[0] if len(parts) == 1 else b"".join(parts))
                self._heard_messages += 1
                self._count_faults()
        elif isinstance(event, Ping):
            self.record.pings += 1
            if self.pongs and not self._closing:
                self.wire.send(self._ws.send(event.response()))  # type: ignore[union-attr]
        elif isinstance(event, CloseConnection):
            self._closed_by_client(event)

    def _closed_by_client(self, event: CloseConnection) -> None:
        websocket = self._ws
        if (
            websocket is not None and websocket.state is ConnectionState.OPEN
        ):  # not a close frame but a broken one
            self.close(int(event.code), event.reason or "")
            return
        self.record.close_code, self.record.close_reason = int(event.code), event.reason or ""
        if not self._closing:
            self.close(1000 if event.code == 1005 else int(event.code), "")
        self.wire.finish()

    def _count_faults(self) -> None:
        if not self._counted:
            return
        clock = self._recognition.clock if self._recognition is not None else None
        due = [
            fault
            for fault in self._counted
            if fault.due(self._heard_messages, self._heard_bytes, clock.seconds if clock is not None else 0.0)
        ]
        for fault in due:
            self._counted.remove(fault)
            fault.act(self)

    # -- messages in -----------------------------------------------------------------------------

    def _audio(self, audio: bytes) -> None:
        self.record.hear_audio(audio)
        self._heard_bytes += len(audio)
        if self._session.state is State.DRAINING:
            self._say(
                {
                    "message": "Warning",
                    "type": "add_audio_after_eos",
                    "reason": "audio after EndOfStream is ignored",
                }
            )
            return
        try:
            heard = self._session.receive_audio()
        except ProtocolError as exc:
            self.fail("protocol_error", str(exc))
            return
        if heard and self._recognition is not None:
            if self.acks:
                self._acknowledged += 1
                self._say({"message": "AudioAdded", "seq_no": self._acknowledged})
            self._recognition.hear(audio)

    def _text(self, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as exc:
            self.fail("invalid_message", f"this is not JSON: {exc}")
            return
        if not isinstance(message, dict) or not isinstance(message.get("message"), str):
            self.fail("invalid_message", "a message is a JSON object with a string called message")
            return
        self.record.hear(message)
        handler = _HANDLERS.get(message["message"])
        if handler is None:
            self.fail("invalid_message", f"there is no message {message['message']!r}")
            return
        try:
            if self._session.receive(message):
                handler(self, message)
        except ProtocolError as exc:
            self.fail("protocol_error", str(exc))
        except Refused as refused:
            self.fail(refused.type, refused.reason)

    def _start(self, message: dict[str, Any]) -> None:
        self.wire.cancel("start")
        request = self._handshake.request
        warnings = check_start(message, request.language if request is not None else None)
        language = message["transcription_config"]["language"]
        try:
            pack = self._house.engine.language_pack_info(language)
        except ConfigurationError as exc:
            raise Refused("invalid_language", str(exc)) from exc
        self._settings = message
        diarization = message["transcription_config"].get("speaker_diarization_config", {})
        self._speakers_at_end = bool(diarization.get("get_speakers"))
        self._say(self._usage())
        for warning in warnings:
            self._say(warning)
        self.reach("start")
        if self._closing:
            return
        if self.start_delay:
            self.wire.later("started", self.start_delay, lambda: self._started(pack))
        else:
            self._started(pack)

    def _started(self, pack: dict[str, Any]) -> None:
        if self._closing:
            return
        house = self._house
        self._recognition = Recognition(
            house.engine.recogniser(self._settings),
            AudioClock(self._settings.get("audio_format") or {"type": "file"}),
            self.wire,
            name=str(self.record.index),
            worker=house.engine.slow,
            speed=house.speed,
            said=self._say_all,
            failed=self._engine_failed,
        )
        self._say(
            {
                "message": "RecognitionStarted",
                "orchestrator_version": house.version,
                "id": str(uuid.uuid4()),
                "language_pack_info": pack,
            }
        )
        self.reach("started")

    def _configure(self, message: dict[str, Any]) -> None:
        changes = check_change(message, self._settings["transcription_config"]["language"])

        def configure(recogniser: Recogniser) -> list[dict[str, Any]]:
            recogniser.configure(changes)
            return []

        self._ask(configure)

    def _force(self, message: dict[str, Any]) -> None:
        check_force(message)
        timestamp = message.get("timestamp")
        self._ask(lambda recogniser: recogniser.force_end_of_utterance(timestamp))

    def _get_speakers(self, message: dict[str, Any]) -> None:
        at_end = message.get("final", False)
        if not isinstance(at_end, bool):
            raise Refused("invalid_message", f"final must be true or false, not {at_end!r}")
        if at_end:
            self._speakers_at_end = True
        else:
            self._ask(_speakers_result)

    def _end_of_stream(self, message: dict[str, Any]) -> None:
        count = message.get("last_seq_no")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise Refused(
                "invalid_message", f"EndOfStream needs last_seq_no, an integer of at least 0, not {count!r}"
            )
        self.reach("drain")
        if not self._closing:
            self._ask(lambda recogniser: recogniser.finish(), self._drained)

    def _drained(self) -> None:
        if self._speakers_at_end:
            self._speakers_at_end = False
            self._ask(_speakers_result, self._drained)
            return
        self.reach("end")
        self._say({"message": "EndOfTranscript"})
        self.later("close", CLOSE_TIMEOUT, lambda: self.close(1000))

    # -- messages out ----------------------------------------------------------------------------

    def _ask(self, call: Any, then: Optional[Callable[[], None]] = None) -> None:
        if self._recognition is not None:
            self._recognition.ask(call, then)

    def _say_all(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self._say(message)
        if self._stalled and not self._closing:
            self._read_on()

    def _say(self, message: Mapping[str, Any]) -> None:
        """Send a message in its turn; after the end of the session it is dropped."""
        if not self._closing and not self._session.over:
            self._session.send(message)
            self.say(message)

    def _engine_failed(self, error: Exception) -> None:
        _log.error("the engine failed in connection %d", self.record.index, exc_info=error)
        self.fail("job_error", f"the engine failed: {error}")

    def _usage(self) -> dict[str, Any]:
        usage, quota = self._house.live(), self._house.quota or _QUOTA_SHOWN
        return {
            "message": "Info",
            "type": "concurrent_session_usage",
            "reason": f"{usage} concurrent sessions active out of quota {quota}",
            "usage": usage,
            "quota": quota,
            "last_updated": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


_HANDLERS = {
    "StartRecognition": Conversation._start,
    "SetRecognitionConfig": Conversation._configure,
    "ForceEndOfUtterance": Conversation._force,
    "GetSpeakers": Conversation._get_speakers,
    "EndOfStream": Conversation._end_of_stream,
}


def _speakers_result(recogniser: Recogniser) -> list[dict[str, Any]]:
    return [{"message": "SpeakersResult", "speakers": recogniser.speakers()}]
