"""One session on the server's side: which message is sent when."""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional, Union

from ..exceptions import AudioError, ConfigurationError, ProtocolError
from ..protocol import Phase, ProtocolState, Role
from .checks import (
    CLOSE_CODES,
    Refused,
    check_change,
    check_end,
    check_force,
    check_get_speakers,
    check_start,
    read_channel_audio,
    read_message,
)
from .connection import CLOSE_TIMEOUT, Acknowledger, Answer, Delay, Peer, Request, SessionRecord, Wire
from .engines import CUT_OFF, AudioClock, Recogniser
from .faults import Fault
from .limits import Limits
from .pages import page, point_of
from .preview import heeded, is_preview
from .recognition import Recognition
from .state import ServerState, quality_of

__all__ = ["ServerSession"]

_log = logging.getLogger(__name__)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
START_TIMEOUT = 60.0  # s for StartRecognition; the service has such a limit and does not publish it
_WITH_CHANNEL = (
    *("AddTranscript", "AddPartialTranscript", "EndOfUtterance"),
    *("AudioEventStarted", "AudioEventEnded"),
)


class ServerSession:
    """Serves one client, on one thread; faults act on its attributes, which their ``Target`` describes."""

    def __init__(
        self, wire: Wire, server: ServerState, record: SessionRecord, faults: Sequence[Fault]
    ) -> None:
        self.wire = wire
        self.record = record
        self.peer = Peer(wire, record, self, time_scale=server.time_scale)
        self.acks = Acknowledger(wire, self._send_in_turn)
        self.words = Delay(wire)
        self.start_delay: Optional[float] = 0.0
        self.end_delay: Optional[float] = 0.0
        self.added: dict[str, Any] = {}
        self._server = server
        self._protocol = ProtocolState(Role.SERVER)
        self._limits: Optional[Limits] = None
        self._last_audio = 0.0
        self._settings: dict[str, Any] = {}  # the checked StartRecognition
        self._recognitions: dict[Optional[str], Recognition] = {}  # by channel; without channels by None
        self._finishing: set[Optional[str]] = set()  # channels whose audio has ended
        self._unfinished = 0  # channels whose last words are owed
        self._speakers_at_end = False
        self._received = 0  # messages
        self._overlong = False  # the limit on the length of an utterance was passed
        self._faults = [fault for fault in faults if not fault.counts]
        self._counted = [fault for fault in faults if fault.counts]
        if any(fault.at == "tls" for fault in faults):
            wire.on_client_hello = functools.partial(self.reach, "tls")

    def run(self) -> None:
        """Serve the connection to its end."""
        try:
            self.reach("accept")
            self.peer.run()
        except Exception:  # noqa: BLE001  the server outlives its sessions; the log has it all
            _log.exception("connection %d of the local server broke", self.record.index)
        finally:
            for recognition in self._recognitions.values():
                recognition.close()
            self.wire.close()
            self.record.add_end()

    # -- also for faults, in or out of turn ------------------------------------------------------

    def reach(self, point: str) -> None:
        """Note a point of the session, and let its faults act."""
        self.record.add_point(point)
        for fault in self._faults.copy():
            if fault.at == point and fault in self._faults:
                self._faults.remove(fault)  # first: what it does may reach a point, too
                fault.act(self)

    def send(self, message: Mapping[str, Any], *, binary: bool = False) -> None:
        """Send a message, whether it is its turn or not."""
        if self.peer.sends and not self.peer.closing:
            if self.added:
                message = {**message, **self.added}
            text = _ENCODER.encode(message)
            self.record.add_sent(message, self._place(message.get("channel")))
            self.peer.send(text.encode() if binary else text)
            if message.get("message") == "AddTranscript":
                self._count_faults()

    def fail(
        self, type: str, reason: str, *, code: Optional[int] = None, close: bool = True, send: bool = True
    ) -> None:
        """Send an Error, and close as the service does after one of that type, or with another code."""
        if self.peer.closing:
            return
        if send:
            error = {"message": "Error", "type": type, "reason": reason}
            if not self._protocol.over:
                self._protocol.send(error)
            self.send(error)
        if close:
            usual, text = CLOSE_CODES.get(type, (1011, "internal_error"))
            self.peer.close(usual if code is None else code, text if code is None else type)

    def end(self) -> None:
        """Send EndOfTranscript, and close if the client does not."""
        send = self._send_in_turn if self._protocol.phase in (Phase.STREAMING, Phase.DRAINING) else self.send
        for recognition in self._recognitions.values():
            recognition.complete()  # first: who hears the end may come back at once
        send({"message": "EndOfTranscript"})
        self.wire.cancel("limits")
        self.peer.later("close", CLOSE_TIMEOUT, lambda: self.peer.close(1000))
        self.reach("ended")

    def _place(self, channel: Any) -> Optional[float]:
        """Return the seconds of audio read so far, of a channel or of the longest; None: it has ended."""
        if self._protocol.phase in (Phase.DRAINING, Phase.DONE):
            return None
        recognition = self._recognitions.get(channel)
        return self.record.audio_seconds if recognition is None else recognition.clock.seconds

    # -- events of the peer ----------------------------------------------------------------------

    def requested(self, request: Request) -> None:
        point = point_of(request.path)
        if point is not None:
            self.reach(point)

    def page(self, request: Request) -> Optional[Answer]:
        busy = self._server.container and request.path.startswith("/v2") and self._server.full(more=1)
        if busy:
            return Answer(503, {"code": 503, "error": "no slot for a connection is free"})
        return page(request, self._server)

    def accepts(self, key: Optional[str]) -> bool:
        return self._server.container or self._server.keys.accepts(key)

    def opened(self) -> None:
        self.reach("open")
        if self._server.container:
            return
        if self._server.full():
            self.fail("quota_exceeded", "Concurrent Quota Exceeded")
        else:
            self._send_in_turn(self._server.usage())
            self.peer.later("start", START_TIMEOUT, self._too_late)

    def closing(self) -> None:
        self.reach("closing")

    def lost(self, code: Optional[int], reason: str) -> None:
        self._protocol.lose(code, reason)

    def full(self, message: Union[str, bytes]) -> bool:
        # Only audio waits for room: what is no audio is read on, as long as no audio stands before it.
        if isinstance(message, str) and '"AddChannelAudio"' not in message:
            return False
        return any(recognition.full for recognition in self._recognitions.values())

    def binary(self, data: bytes) -> None:
        self._guarded(lambda: self._audio(data, None))

    def text(self, text: str) -> None:
        self._guarded(lambda: self._receive(read_message(text)))

    def _guarded(self, receive: Callable[[], None]) -> None:
        self._received += 1
        try:
            receive()
        except ProtocolError as exc:
            self.fail("protocol_error", str(exc))
        except Refused as refused:
            self.fail(refused.type, refused.reason)
        self._count_faults()

    def _audio(self, data: bytes, channel: Optional[str]) -> None:
        self._last_audio = time.monotonic()
        if self._protocol.phase is Phase.DRAINING:
            self.record.add_audio(data, channel)
            reason = "audio after EndOfStream is ignored"
            self._send_in_turn({"message": "Warning", "type": "add_audio_after_eos", "reason": reason})
        elif self._protocol.receive_audio(channel):
            self.acks.acknowledge(channel, self._protocol.channels[channel].sent)
            recognition = self._recognitions[channel]
            seconds = 0.0 if self._overlong else recognition.feed(data)
            self.record.audio_seconds = max(self.record.audio_seconds, recognition.clock.seconds)
            self.record.add_audio(data, channel, seconds)
            self._limit_duration()
        else:
            self.record.add_audio(data, channel)

    def _limit_duration(self) -> None:
        """Warn and end, as if EndOfStream had come, once there is too much audio."""
        limit = self._server.duration_limit
        if limit is None or self._overlong or self.record.audio_seconds < limit:
            return
        self._overlong = True
        reason = f"more than {limit:g} s of audio"
        warning = {"message": "Warning", "type": "duration_limit_exceeded", "reason": reason}
        self._send_in_turn({**warning, "duration_limit": limit})
        for channel, count in self._protocol.channels.items():
            if not count.ended:
                self._finish(channel)

    def _receive(self, message: dict[str, Any]) -> None:
        if message["message"] == "AddChannelAudio":
            self._audio(*read_channel_audio(message))
            return
        self.record.add_received(message)
        handler = _HANDLERS.get(message["message"])
        if handler is None:
            raise Refused("invalid_message", f"there is no message {message['message']!r}")
        if self._protocol.receive(message):
            handler(self, message)

    def _count_faults(self) -> None:
        if not self._counted:
            return
        record = self.record
        for fault in self._counted.copy():
            counts = self._received, record.audio_size, record.audio_seconds, record.final_seconds
            if fault in self._counted and fault.due(*counts):
                self._counted.remove(fault)  # first: what it does may be counted, too
                fault.act(self)

    # -- the messages of the client --------------------------------------------------------------

    def _start(self, message: dict[str, Any]) -> None:
        self.wire.cancel("start")
        request = self.peer.request
        container = self._server.container
        warnings = check_start(
            message,
            request.language if request is not None else None,
            channels=self._server.most if container else 2,
            targets=None if container else 5,
        )
        config = message["transcription_config"]
        try:
            pack = self._server.engine.language_pack_info(config["language"])
        except ConfigurationError as exc:
            raise Refused("invalid_language", str(exc)) from exc
        self._settings = {**message, "transcription_config": heeded(config) if is_preview(config) else config}
        self._speakers_at_end = config.get("speaker_diarization_config", {}).get("get_speakers", False)
        quality = None if container else quality_of(message)
        if quality is not None:
            self._send_in_turn(quality)
        for warning in warnings:
            self._send_in_turn(warning)
        self.reach("start")
        wait = self._server.dictionary_wait(config) / self._server.time_scale
        self.wire.after("dictionary", wait, lambda: self._start_late(pack))

    def _start_late(self, pack: dict[str, Any]) -> None:
        self.wire.after("started", self.start_delay, lambda: self._started(pack))

    def _started(self, pack: dict[str, Any]) -> None:
        if self.peer.closing:
            return
        try:
            for channel in self._protocol.channels:
                self._recognitions[channel] = self._recognition(channel)
        except Exception as exc:  # noqa: BLE001  an engine may raise anything; the session ends with it
            self._engine_failed(exc)
            return
        self._unfinished = len(self._recognitions)
        started = {
            "message": "RecognitionStarted",
            "orchestrator_version": self._server.version,
            "id": str(uuid.uuid4()),
            "language_pack_info": pack,
        }
        if None not in self._recognitions:
            started["channel_ids"] = [channel for channel in self._recognitions if channel is not None]
        self._send_in_turn(started)
        self._last_audio = time.monotonic()
        if not self._server.container:
            self._limits = Limits(self._last_audio * self._server.time_scale)
            self._keep_limits()
        self.reach("started")

    def _recognition(self, channel: Optional[str]) -> Recognition:
        index = self.record.index
        settings = self._settings if channel is None else {**self._settings, "channel": channel}
        return Recognition(
            self._server.engine.recogniser(settings),
            AudioClock(self._settings.get("audio_format") or {"type": "file"}),
            self.wire,
            name=str(index) if channel is None else f"{index}-{channel}",
            worker=self._server.engine.slow,
            speed=self._server.speed,
            on_messages=functools.partial(self._heard, channel),
            on_failure=self._engine_failed,
        )

    def _configure(self, message: dict[str, Any]) -> None:
        changes, warnings = check_change(message, self._settings["transcription_config"])
        for warning in warnings:
            self._send_in_turn(warning)

        def configure(recogniser: Recogniser) -> list[dict[str, Any]]:
            recogniser.configure(changes)
            return []

        for recognition in self._recognitions.values():
            recognition.ask(configure)

    def _force(self, message: dict[str, Any]) -> None:
        check_force(message, self._settings["transcription_config"])
        timestamp, channel = message.get("timestamp"), message.get("channel")
        if channel is not None and channel not in self._recognitions:
            raise Refused("protocol_error", f"the session has no channel {channel!r}")
        for label, recognition in self._recognitions.items():
            if channel in (None, label):
                recognition.ask(lambda recogniser: recogniser.force_end_of_utterance(timestamp))

    def _get_speakers(self, message: dict[str, Any]) -> None:
        if check_get_speakers(message):
            self._speakers_at_end = True
        else:
            self._send_speakers()

    def _end_of_channel(self, message: dict[str, Any]) -> None:
        check_end(message)
        self.acks.flush(message["channel"])
        if self._protocol.phase is Phase.DRAINING:  # it was the last one
            self.reach("drain")
        self._finish(message["channel"])

    def _end_of_stream(self, message: dict[str, Any]) -> None:
        check_end(message)
        self.reach("drain")
        for channel, count in self._protocol.channels.items():
            if not count.ended:
                self.acks.flush(channel)
                self._finish(channel)

    def _finish(self, channel: Optional[str]) -> None:
        if channel not in self._finishing:
            self._finishing.add(channel)
            self._recognitions[channel].ask(lambda recogniser: recogniser.finish(), then=self._finished)

    def _finished(self) -> None:
        self._unfinished -= 1
        if not self._unfinished and (self._overlong or self._protocol.phase is Phase.DRAINING):
            if self._speakers_at_end:
                self._send_speakers(then=self._end_of_transcript)
            else:
                self.words.do(self._end_of_transcript)

    def _send_speakers(self, then: Optional[Callable[[], None]] = None) -> None:
        """Send one SpeakersResult, once every channel has reached this moment of its audio."""
        found: dict[Optional[str], list[dict[str, Any]]] = {}
        waiting = set(self._recognitions)

        def ask(channel: Optional[str], recogniser: Recogniser) -> list[dict[str, Any]]:
            found[channel] = recogniser.speakers()
            return []

        def answered(channel: Optional[str]) -> None:
            waiting.discard(channel)
            if not waiting:
                speakers = [speaker for label in self._recognitions for speaker in found[label]]
                result = {"message": "SpeakersResult", "speakers": speakers}
                self.words.do(functools.partial(self._send_in_turn, result))
                if then is not None:
                    self.words.do(then)

        for channel, recognition in self._recognitions.items():
            recognition.ask(functools.partial(ask, channel), functools.partial(answered, channel))

    def _end_of_transcript(self) -> None:
        self.reach("end")
        self.wire.after("late end", self.end_delay, self.end)

    # -- the messages of the server --------------------------------------------------------------

    def _heard(self, channel: Optional[str], messages: list[dict[str, Any]]) -> None:
        self.words.do(functools.partial(self._send_all, channel, messages))
        self.peer.room()

    def _send_all(self, channel: Optional[str], messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["message"] == "Error":
                self.fail(message["type"], message["reason"])
            elif message["message"] == CUT_OFF:
                for fault in message["faults"]:
                    Fault(**fault).act(self)
            elif channel is not None and message["message"] in _WITH_CHANNEL:
                self._send_in_turn({**message, "channel": channel})
            else:
                self._send_in_turn(message)

    def _send_in_turn(self, message: Mapping[str, Any]) -> None:
        """Send a message in its turn; after the end of the session it is dropped."""
        if not self.peer.closing and not self._protocol.over:
            self._protocol.send(message)
            self.send(message)

    def _engine_failed(self, error: Exception) -> None:
        if isinstance(error, AudioError):  # nothing of ours: no other attempt will hear more
            self.fail("invalid_audio_type", error.text)
            return
        _log.error("the engine failed in connection %d", self.record.index, exc_info=error)
        self.fail("job_error", f"the engine failed: {error}")

    def _too_late(self) -> None:
        self.fail("start_recognition_timeout", f"no StartRecognition within {START_TIMEOUT:g} s")

    def _keep_limits(self) -> None:
        if self._limits is None or self._protocol.over:
            return
        scale = self._server.time_scale
        now, sign, audio = time.monotonic() * scale, self.peer.last_sign * scale, self._last_audio * scale
        due, wait = self._limits.check(now, sign, audio)
        for message in due:
            if message["message"] == "Error":
                self.fail(message["type"], message["reason"])
            else:
                self._send_in_turn(message)
        if not self.peer.closing:
            self.peer.later("limits", wait, self._keep_limits)


_HANDLERS = {
    "StartRecognition": ServerSession._start,
    "SetRecognitionConfig": ServerSession._configure,
    "ForceEndOfUtterance": ServerSession._force,
    "GetSpeakers": ServerSession._get_speakers,
    "EndOfChannel": ServerSession._end_of_channel,
    "EndOfStream": ServerSession._end_of_stream,
}
