"""The Real-Time protocol as one table: which end may send which message when.

Pure: no socket, thread, clock or logger. A :class:`ProtocolState` belongs to one end (its *role*), is asked
before anything is written and told of everything that was read. The client's is in ``ClientProtocol``, the
server's in ``LocalServer``; both follow the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Optional

from ..exceptions import (
    CHECK_KEY,
    AuthenticationError,
    ConnectionError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TranscriptionError,
    amend,
)
from ..messages import one_line, text_of

__all__ = ["RUNNING", "ChannelCount", "Ending", "Role", "ProtocolState", "Phase"]


class Role(Enum):
    """An end of the wire."""

    CLIENT = "client"
    SERVER = "server"


class Phase(Enum):
    """The phase of a session. DONE and FAILED are final."""

    __hash__ = object.__hash__  # a phase is the key of every look-up below; Enum's hash is slow Python code

    NEW = "new"  # nothing was sent yet
    STARTING = "starting"  # StartRecognition was sent
    STREAMING = "streaming"  # RecognitionStarted was sent: audio may follow
    DRAINING = "draining"  # all audio was sent; the rest of the transcript is awaited
    DONE = "done"  # EndOfTranscript was sent
    FAILED = "failed"  # Error was sent, or the connection was lost


RUNNING = (Phase.STREAMING, Phase.DRAINING)

_WHILE_STREAMING = {Phase.STREAMING: Phase.STREAMING}
_WHILE_RUNNING = {**_WHILE_STREAMING, Phase.DRAINING: Phase.DRAINING}
_UNTIL_THE_END = {Phase.NEW: Phase.NEW, Phase.STARTING: Phase.STARTING, **_WHILE_RUNNING}

_INPUT = (
    "AddAudio",
    "AddChannelAudio",
    "EndOfChannel",  # of the last channel: DRAINING, see _move()
    "SetRecognitionConfig",
    "ForceEndOfUtterance",
    "GetSpeakers",
)
_CLIENT_SAYS: dict[str, dict[Phase, Phase]] = {
    "StartRecognition": {Phase.NEW: Phase.STARTING},
    "EndOfStream": {Phase.STREAMING: Phase.DRAINING},
    **dict.fromkeys(_INPUT, _WHILE_STREAMING),
}

_OUTPUT = (
    "AudioAdded",
    "ChannelAudioAdded",
    "AddTranscript",
    "AddPartialTranscript",
    "AddTranslation",
    "AddPartialTranslation",
    "AudioEventStarted",
    "AudioEventEnded",
    "EndOfUtterance",
    "SpeakersResult",
    "LanguageInfo",
)
_SERVER_SAYS: dict[str, dict[Phase, Phase]] = {
    "RecognitionStarted": {Phase.STARTING: Phase.STREAMING},
    "EndOfTranscript": dict.fromkeys(_WHILE_RUNNING, Phase.DONE),
    "Error": dict.fromkeys(_UNTIL_THE_END, Phase.FAILED),
    "Info": _UNTIL_THE_END,
    "Warning": _UNTIL_THE_END,
    **dict.fromkeys(_OUTPUT, _WHILE_RUNNING),
}

# Unknown messages pass, so that future messages work with this client. A client may send them only while
# streaming; a server at any time until the end.
_CLIENT, _SERVER = (_CLIENT_SAYS, _WHILE_STREAMING), (_SERVER_SAYS, _UNTIL_THE_END)


class ChannelCount:
    """The audio sent and acknowledged on one channel; a session without channels has one, named None."""

    __slots__ = ("acknowledged", "ended", "sent")

    def __init__(self) -> None:
        self.sent = self.acknowledged = 0
        self.ended = False


class Ending(NamedTuple):
    """How a session failed: the phase it was in, and the server's Error and close frame, if any."""

    phase: Phase
    error: Optional[Mapping[str, Any]] = None
    code: Optional[int] = None
    reason: str = ""

    def exception(self, after: float = 0.0, cause: Optional[BaseException] = None) -> SpeechmaticsError:
        """Return the failure as an exception, ``after`` so many seconds of connection.

        The ``cause`` is what reading or writing it has raised, if it did.

        The ``Error`` message says the cause; the close code only adds what it lacks. Close codes 4001 to
        4013 without an ``Error`` stand for one of the type in ``_TYPE_OF_CLOSE_CODE``.
        """
        error = self._named(after, cause)
        if error.retry_after is not None:
            amend(error, f". Try again after at least {error.retry_after:g} s")
        return error

    def _named(self, after: float, cause: Optional[BaseException]) -> SpeechmaticsError:
        error = self.error or {}
        kind = text_of(error.get("type")) or self._type_by_close
        if kind is None and self.error is None:
            return self._connection_lost(after, cause)
        reason = text_of(error.get("reason")) or self.reason
        meaning = _MEANING.get(kind or "") if reason in ("", kind) else None
        text = f"the service ended the session {_WHILE[self.phase]}, after {after:.1f} s"
        text += "".join(
            f": {one_line(part, _MOST)}" for part in dict.fromkeys((kind, reason, meaning)) if part
        )
        if self.code is not None:
            text += f" (close code {self.code})"
        if kind == "not_authorised":
            return AuthenticationError(f"{text}. {CHECK_KEY}")
        return TranscriptionError(text, type=kind, reason=reason, code=self.code)

    @property
    def _type_by_close(self) -> Optional[str]:
        if self.code == 1008 and self.reason in _TIMEOUTS:
            return self.reason
        return _TYPE_OF_CLOSE_CODE.get(self.code) if self.code else None

    def _connection_lost(self, after: float, cause: Optional[BaseException]) -> ConnectionError:
        code = self.code if self.code is not None else 1006
        said = f": {one_line(self.reason)}" if self.reason else ""
        if code == 1006:
            text = f"the connection was lost {_WHILE[self.phase]}, after {after:.1f} s, without a close frame"
            if cause is not None:  # those of ssl are worded for its own people
                of_python = type(cause).__module__ == "builtins"
                text += f" ({(of_python and getattr(cause, 'strerror', None)) or type(cause).__name__})"
        else:
            when = f"{_WHILE[self.phase]}, after {after:.1f} s"
            text = f"the server closed the connection {when}, with code {code}{said}"
        return ConnectionError(text, stage=_STAGE[self.phase], code=code, reason=self.reason)


# What a type means, for an Error that does not explain itself.
_MEANING = {
    "buffer_error": "audio came faster than the service could take it",
    "idle_timeout": "no audio came for too long; end the session when there is nothing to send",
    "invalid_language": "there is no such language",
    "invalid_model": "there is no such model or language for this account",
    "job_error": "the service's worker failed",
    "not_allowed": "this account, or the licence of this container, does not include what was asked for",
    "quota_exceeded": "all sessions that this account may have at once are in use",
    "session_timeout": "the session has reached its maximum length",
    "timelimit_exceeded": "the account has used up its hours",
}
_MOST = 300  # characters of a server's text in the text of an error; its attributes have the whole
_TYPE_OF_CLOSE_CODE = {
    4001: "not_authorised",
    4003: "not_allowed",
    4004: "invalid_model",
    4005: "quota_exceeded",
    4006: "timelimit_exceeded",
    4013: "job_error",
}
_TIMEOUTS = ("idle_timeout", "session_timeout")  # told apart by the reason alone: both close with 1008
_STAGE = {
    Phase.NEW: "start",
    Phase.STARTING: "start",
    Phase.STREAMING: "streaming",
    Phase.DRAINING: "draining",
    Phase.DONE: "closing",
    Phase.FAILED: "closing",
}
_WHILE = {
    Phase.NEW: "before the start",
    Phase.STARTING: "while starting",
    Phase.STREAMING: "in mid-stream",
    Phase.DRAINING: "while the rest of the transcript was awaited",
    Phase.DONE: "after its end",
    Phase.FAILED: "after its end",
}


class ProtocolState:
    """One end's view of one session.

    ``send`` is called before a message is written; if it is out of turn, it raises :class:`SessionError` and
    changes nothing. ``receive`` is called for each message read; if it was out of turn, it raises
    :class:`ProtocolError` and fails the session.

    Example:
        >>> state = ProtocolState(Role.CLIENT)
        >>> state.send({"message": "StartRecognition", "transcription_config": {"language": "en"}})
        >>> state.receive({"message": "RecognitionStarted", "id": "5b0e"})
        True
        >>> state.send_audio()
        >>> state.end_of_stream()
        {'message': 'EndOfStream', 'last_seq_no': 1}
    """

    __slots__ = (
        "_ours",
        "_single",
        "_theirs",
        "channels",
        "ending",
        "phase",
        "role",
        "session_id",
        "surplus",
    )

    def __init__(self, role: Role) -> None:
        self.role = role
        self.phase = Phase.NEW
        self.session_id: Optional[str] = None
        self._single: Optional[ChannelCount] = ChannelCount()
        self.channels: dict[Optional[str], ChannelCount] = {None: self._single}
        self.ending: Optional[Ending] = None
        self.surplus = 0  # acknowledgements of audio that was never sent
        self._ours, self._theirs = (_CLIENT, _SERVER) if role is Role.CLIENT else (_SERVER, _CLIENT)

    @property
    def over(self) -> bool:
        return self.phase is Phase.DONE or self.phase is Phase.FAILED

    @property
    def starting(self) -> bool:
        return self.phase is Phase.NEW or self.phase is Phase.STARTING

    @property
    def sent(self) -> int:
        """Audio frames sent so far, over all channels."""
        return sum(count.sent for count in self.channels.values())

    @property
    def acknowledged(self) -> int:
        return sum(count.acknowledged for count in self.channels.values())

    @property
    def unacknowledged(self) -> int:
        return self.sent - self.acknowledged

    # -- this end sends ------------------------------------------------------------------------------

    def send(self, message: Mapping[str, Any]) -> None:
        """Note that this end sends a message; raise SessionError, changing nothing, if it is out of turn."""
        kind = message["message"]
        table, unknown = self._ours
        if self.phase not in table.get(kind, unknown):
            raise SessionError(f"{kind} can't be sent {_SPOKEN[self.phase]}")
        counter = _COUNTERS.get(kind)
        if counter is not None:
            try:
                count = self._counted(kind, message.get("channel"))
            except _Mismatch as exc:
                raise SessionError(str(exc)) from None
            counter(self, count)
        self._move(message, table.get(kind, unknown)[self.phase])

    def send_audio(self, channel: Optional[str] = None) -> None:
        """Note that one audio frame is sent: binary without a channel, ``AddChannelAudio`` with one."""
        if self.phase is Phase.STREAMING and channel is None and self._single is not None:
            self._single.sent += 1  # the hot path: one frame of a session without channels
        else:
            self.send(
                {"message": "AddAudio"}
                if channel is None
                else {"message": "AddChannelAudio", "channel": channel}
            )

    def end_of_stream(self) -> dict[str, Any]:
        """Build EndOfStream; ``last_seq_no`` is the number of audio frames sent."""
        return {"message": "EndOfStream", "last_seq_no": self.sent}

    def end_of_channel(self, channel: str) -> dict[str, Any]:
        """Build EndOfChannel with that channel's own count."""
        count = self.channels.get(channel)
        return {"message": "EndOfChannel", "channel": channel, "last_seq_no": count.sent if count else 0}

    # -- the other end sends -------------------------------------------------------------------------

    def receive(self, message: Mapping[str, Any]) -> bool:
        """Note a message of the other end. Return False if it must be ignored, as the session is over."""
        kind = message["message"]
        if kind == "AudioAdded" and self._single is not None and self.phase in RUNNING:
            _acknowledged(self, self._single)  # the hot path: one acknowledgement for each frame of audio
            return True
        if self.over:
            return False
        table, unknown = self._theirs
        if self.phase not in table.get(kind, unknown):
            self._fail()
            raise ProtocolError(f"the {_OTHER[self.role]} sent {kind} {_SPOKEN[self.ending.phase]}")  # type: ignore[union-attr]
        counter = _COUNTERS.get(kind)
        if counter is not None:
            try:
                count = self._counted(kind, message.get("channel"))
            except _Mismatch as exc:
                self._fail()
                raise ProtocolError(str(exc)) from None
            counter(self, count)
        self._move(message, table.get(kind, unknown)[self.phase])
        return True

    def receive_audio(self, channel: Optional[str] = None) -> bool:
        """Note that one audio frame was received (at the server's end)."""
        return self.receive(
            {"message": "AddAudio"} if channel is None else {"message": "AddChannelAudio", "channel": channel}
        )

    def lose(self, code: Optional[int] = None, reason: str = "") -> None:
        """Note that the connection has ended, with its close frame if there was one.

        After an ``Error`` this adds the close code to the ending; after DONE it changes nothing.
        """
        if self.phase is Phase.FAILED and self.ending is not None:
            if self.ending.code is None and code is not None:
                self.ending = Ending(self.ending.phase, self.ending.error, code, reason)
        elif self.phase is not Phase.DONE:
            self._fail(code=code, reason=reason)

    # -- inside --------------------------------------------------------------------------------------

    def _fail(
        self, error: Optional[Mapping[str, Any]] = None, code: Optional[int] = None, reason: str = ""
    ) -> None:
        self.ending = Ending(self.phase, error, code, reason)
        self.phase = Phase.FAILED

    def _move(self, message: Mapping[str, Any], phase: Phase) -> None:
        kind = message["message"]
        if kind == "Error":
            self._fail(error=dict(message))
            return
        if kind == "StartRecognition":
            labels = _labels(message)
            if labels:
                self.channels = {label: ChannelCount() for label in labels}
                self._single = None
        elif kind == "RecognitionStarted":
            identity = message.get("id")
            # Cut and on one line, as every line of the log repeats it from now on.
            self.session_id = one_line(identity, _MOST) if isinstance(identity, str) else None
        elif kind == "EndOfChannel" and all(count.ended for count in self.channels.values()):
            phase = Phase.DRAINING
        self.phase = phase

    def _counted(self, kind: str, channel: Any) -> ChannelCount:
        """Return the count that a message changes; the caller changes it, once nothing can fail any more."""
        label = None if kind in ("AddAudio", "AudioAdded") else channel
        count = self.channels.get(label) if label is None or isinstance(label, str) else None
        if count is None:
            if kind == "ChannelAudioAdded":
                return ChannelCount()  # of an unknown channel, which makes it a surplus
            if label is None:
                raise _Mismatch(f"{kind} doesn't belong in a session of several channels")
            names = ", ".join(repr(name) for name in self.channels if name is not None) or "no channels"
            raise _Mismatch(f"{kind} names channel {label!r}; the session has {names}")
        if count.ended and kind in ("AddChannelAudio", "EndOfChannel"):
            raise _Mismatch(f"{kind} for channel {label!r}, which has ended")
        return count


class _Mismatch(Exception):
    """A message is in turn, but its channel does not exist or has ended."""


def _labels(start: Mapping[str, Any]) -> list[str]:
    config = start.get("transcription_config")
    if not isinstance(config, Mapping) or not str(config.get("diarization", "")).startswith("channel"):
        return []
    labels = config.get("channel_diarization_labels")
    return [str(label) for label in labels] if isinstance(labels, (list, tuple)) else []


def _sent(session: ProtocolState, count: ChannelCount) -> None:
    count.sent += 1


def _acknowledged(session: ProtocolState, count: ChannelCount) -> None:
    if count.acknowledged < count.sent:
        count.acknowledged += 1
    else:
        session.surplus += 1


def _ended(session: ProtocolState, count: ChannelCount) -> None:
    count.ended = True


_COUNTERS = {
    "AddAudio": _sent,
    "AddChannelAudio": _sent,
    "AudioAdded": _acknowledged,
    "ChannelAudioAdded": _acknowledged,
    "EndOfChannel": _ended,
}
_OTHER = {Role.CLIENT: "server", Role.SERVER: "client"}
_SPOKEN = {
    Phase.NEW: "before StartRecognition",
    Phase.STARTING: "before RecognitionStarted",
    Phase.STREAMING: "after RecognitionStarted",
    Phase.DRAINING: "after the end of the audio",
    Phase.DONE: "after EndOfTranscript",
    Phase.FAILED: "after the session failed",
}
