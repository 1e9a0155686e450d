"""The errors of this package, one tree.

Every error says what happened, at which stage and what to do, carries the ids that the service's
support asks for, survives :mod:`pickle` (workers send errors between processes) and keeps its cause. Whether
another try may help is decided here, from what an error knows, for programs and for ``resume`` alike.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, Optional

__all__ = [
    "SpeechmaticsError",
    "ConfigurationError",
    "AuthenticationError",
    "AudioError",
    "ChunkError",
    "SessionError",
    "NotRunningError",
    "TransportError",
    "ConnectionError",
    "ProtocolError",
    "TimeoutError",
    "TranscriptionError",
    "EndOfTranscriptError",
    "no_pickle",
    "without_frames",
]

# Close codes of a server that goes away, restarts, is overloaded or broke down (1011), and of a lost network.
_SERVER_PASSES = (1001, 1011, 1012, 1013)
_PASSES = (None, 1005, 1006, *_SERVER_PASSES)
_BUSY = ("quota_exceeded", "job_error")
_ANOTHER_SESSION = (*_BUSY, "start_recognition_timeout", "session_timeout")
_PAUSE = 5.0  # seconds: the documentation says "at least 5 to 10 s" after 4005, 4013 and 1011


class SpeechmaticsError(Exception):
    """Root of every error this package raises on purpose.

    Attributes:
        request_id: The client's id of the session (header ``X-Request-Id``), or None.
        session_id: The server's id of the session, or None before ``RecognitionStarted``.
        transcript: What was heard until then (a :class:`~speechmatics_rt.Transcript`), or None
            where nothing could have been heard.
        retry_after: The least number of seconds to wait before another try, as the server or its
            documentation asks; None where neither does.

    Example:
        >>> error = ConnectionError("lost", code=1011)
        >>> error.retryable, error.retry_after
        (True, 5.0)
        >>> ConfigurationError("wrong").retryable
        False
    """

    request_id: Optional[str] = None
    session_id: Optional[str] = None
    transcript: Any = None
    retry_after: Optional[float] = None

    @property
    def retryable(self) -> bool:
        """Whether the same call may well succeed a little later, with nothing changed."""
        return False

    @property
    def text(self) -> str:
        """What happened, without the ids."""
        return str(self.args[0]) if self.args and self.args[0] else type(self).__name__

    def __str__(self) -> str:
        ids = [
            f"{name}={getattr(self, name)}" for name in ("request_id", "session_id") if getattr(self, name)
        ]
        return f"{self.text} [{', '.join(ids)}]" if ids else self.text

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own __reduce__ calls cls(*args), which loses keyword-only arguments; rebuild
        # from the message and lay the attributes back. Causes are not pickled by Python either.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    cls: type[SpeechmaticsError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> SpeechmaticsError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(SpeechmaticsError, ValueError):
    """An option is wrong, or two exclude each other. Raised before any I/O."""


class AuthenticationError(SpeechmaticsError):
    """No key, or the service refused it: HTTP 401 or 403, ``not_authorised``, close code 4001.

    Attributes:
        status: The HTTP status that said so, or None when it was said in the session.
    """

    def __init__(self, message: str = "", *, status: Optional[int] = None) -> None:
        super().__init__(message)
        self.status = status


class AudioError(SpeechmaticsError):
    """The audio source is missing, empty, unreadable, or cut inside a sample.

    Attributes:
        channel: The label of the channel at fault, or None with a single channel.
    """

    def __init__(self, message: str = "", *, channel: Optional[str] = None) -> None:
        super().__init__(message)
        self.channel = channel


class ChunkError(AudioError, ValueError):
    """What was given to ``send_audio()`` is no bytes, or cuts a sample in two. Nothing of it was sent."""


class SessionError(SpeechmaticsError, RuntimeError):
    """A call out of turn: before the start, twice, after the end, or in a forked child."""


class TransportError(SpeechmaticsError):
    """The way to the server failed; see the two subclasses."""


class NotRunningError(SessionError, TransportError):
    """Something was to be sent, and no session runs: none was started, its audio has ended, or it is over."""


class ConnectionError(TransportError, builtins.ConnectionError):
    """The connection could not be made, was refused with an HTTP status, or was lost.

    Attributes:
        stage: Where: ``"key"``, ``"features"``, ``"dns"``, ``"tcp"``, ``"proxy"``, ``"tls"``, ``"upgrade"``,
            ``"start"``, ``"streaming"``, ``"draining"``, ``"keepalive"`` or ``"closing"``.
        status: The HTTP status of a refused upgrade, or None.
        retry_after: Seconds the server asked to wait (``Retry-After``); after code 1011 what the
            documentation asks; or None.
        code: The WebSocket close code (1006 for a connection that just ended), or None.
        reason: The text that came with the close code, or None.
        lasting: What hindered it stays, whatever the other attributes say: a certificate, for example.
    """

    lasting = False  # for pickles from before

    def __init__(
        self,
        message: str = "",
        *,
        stage: Optional[str] = None,
        status: Optional[int] = None,
        retry_after: Optional[float] = None,
        code: Optional[int] = None,
        reason: Optional[str] = None,
        lasting: bool = False,
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.status = status
        self.retry_after = _PAUSE if retry_after is None and code == 1011 else retry_after
        self.code = code
        self.reason = reason
        self.lasting = lasting

    @property
    def retryable(self) -> bool:
        """False after a status (not 429 or 5xx) or a close code that stays, and for what is lasting."""
        refused = self.status is not None and self.status != 429 and self.status < 500
        return not refused and not self.lasting and self.code in _PASSES


class ProtocolError(TransportError):
    """The server broke the rules of HTTP, WebSocket or the Real-Time API.

    Attributes:
        code: The WebSocket close code we answered with (1002, 1003, 1007 or 1009), or None.
    """

    def __init__(self, message: str = "", *, code: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code


class TimeoutError(SpeechmaticsError, builtins.TimeoutError):
    """Something took longer than allowed.

    Attributes:
        stage: ``"open"``, ``"start"``, ``"send"``, ``"answer"``, ``"end"`` or ``"whole"``.
        seconds: The limit that was passed.
    """

    def __init__(
        self, message: str = "", *, stage: Optional[str] = None, seconds: Optional[float] = None
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.seconds = seconds

    @property
    def retryable(self) -> bool:
        """True unless it was the caller's own limit on the whole (stage ``"whole"``)."""
        return self.stage != "whole"


class TranscriptionError(SpeechmaticsError):
    """The service ended the session with an ``Error`` message, or with a close code that stands for one.

    Attributes:
        type: The service's name of the error, for example ``"quota_exceeded"``; None if it gave none.
        reason: The service's own words.
        code: The close code that came with it, or None.
        retry_after: The least number of seconds to wait, by the documentation, or None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        type: Optional[str] = None,
        reason: Optional[str] = None,
        code: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.type = type
        self.reason = reason
        self.code = code
        if type in _BUSY or type == "unknown_error" or (type is None and code == 1011):
            self.retry_after = _PAUSE

    @property
    def retryable(self) -> bool:
        """Whether the documentation advises to try again, by type or, without one, by close code."""
        if self.type is None:
            return self.code in _SERVER_PASSES
        if self.type == "unknown_error":
            return self.code in _PASSES
        return self.type in _ANOTHER_SESSION


class EndOfTranscriptError(TranscriptionError):
    """The server ended the transcript while audio was still unsent."""


def no_pickle(thing: object, instead: str) -> TypeError:
    """Build what is raised of something of this process alone, when it is to be pickled or copied."""
    name = type(thing).__name__
    return TypeError(f"{'an' if name[0] in 'AEIOU' else 'a'} {name} can't be pickled or copied: {instead}")


def without_frames(error: BaseException) -> BaseException:
    """Drop the tracebacks of an error that is kept, and of those behind it.

    Their frames would keep alive what the callers hold: a key in a header, a stream that is to be dropped.
    What is still being handled further out, where a caller's ``except`` has called us, stays as it is: the
    error lets go of it, since it did not come of that, whose traceback grows as it is raised on.
    """
    around, frame = set(), sys._getframe(1).f_back
    while frame is not None:
        around.add(frame)
        frame = frame.f_back
    known = [error]
    for one in known:
        one.__traceback__ = None
        caught = one.__context__.__traceback__ if one.__context__ is not None else None
        if one.__suppress_context__ or (caught is not None and caught.tb_frame in around):
            one.__context__ = None
        for other in (one.__cause__, one.__context__):
            if other is not None and other not in known:
                known.append(other)
    return error
