"""The exceptions of this package, in one tree.

Every error says what happened, at which stage and what to do, carries the ids that the service's support
asks for, and can be pickled (workers send errors between processes). Whether a retry may help is decided
here, for programs and for ``resume`` alike.
"""

from __future__ import annotations

import builtins
import copy
import reprlib
import sys
from types import TracebackType
from typing import Any, Optional

import speechmatics_rt  # which imports what an error carries as its annotation is evaluated, if it ever is

__all__ = [
    "CHECK_KEY",
    "FULL",
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
    "a_kind",
    "amend",
    "assign",
    "no_pickle",
    "shown",
    "without_frames",
]

# Close codes after which a retry may help: the server went away, restarts, is overloaded or broke down
# (1011); _PASSES adds those of a lost network.
_SERVER_PASSES = (1001, 1011, 1012, 1013)
_PASSES = (None, 1005, 1006, *_SERVER_PASSES)
_BUSY = ("quota_exceeded", "job_error")
_ANOTHER_SESSION = (*_BUSY, "start_recognition_timeout", "session_timeout")
CHECK_KEY = "Check the key, which is valid in one region only; a temporary key may have expired"
FULL = (429, 503)  # HTTP: too many sessions, or no slot for one
_PAUSE = 5.0  # seconds: the documentation says "at least 5 to 10 s" after 4005, 4013 and 1011
# Below the traceback (Python 3.11 and newer).
_DOCTOR = "The command speechmatics-rt doctor finds out at which step the way to the service ends."


class SpeechmaticsError(Exception):
    """Root of every error this package raises on purpose.

    Attributes:
        request_id: The client's id of the session (header ``X-Request-Id``), or None.
        session_id: The server's id of the session, or None before ``RecognitionStarted``.
        transcript: The transcript so far (a :class:`~speechmatics_rt.Transcript`), or None if there was
            no session to transcribe.
        retry_after: Seconds to wait at least before a retry, as the server or its documentation asks, or
            None.
        unreached: Nobody has answered: neither the service nor, if it has to be asked first, a proxy or who
            issues keys. Another call would have failed likewise.

    Example:
        >>> error = ConnectionError("lost", code=1011)
        >>> error.retryable, error.retry_after
        (True, 5.0)
        >>> ConfigurationError("wrong").retryable
        False
    """

    request_id: Optional[str] = None
    session_id: Optional[str] = None
    transcript: Optional[speechmatics_rt.Transcript] = None
    retry_after: Optional[float] = None
    unreached: bool = False

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a little later, with nothing changed."""
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
        # from the message and restore the attributes. Python does not pickle causes either.
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the caller's lines, not the hundred of this package below them."""
        import traceback  # only notebooks get here

        error = copy.copy(self)
        for link in ("__cause__", "__context__"):  # whose text the error repeats
            other = getattr(self, link)
            shows = other is not None and _callers(other.__traceback__) is not None
            assign(error, link, other if shows else None)
        assign(error, "__suppress_context__", self.__suppress_context__)
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if shell is None:
            return traceback.format_exception(type(error), error, _callers(self.__traceback__))
        shown: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, _callers(self.__traceback__), tb_offset=0
        )
        return shown


def _rebuild(
    cls: type[SpeechmaticsError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> SpeechmaticsError:
    error = cls.__new__(cls, *args)
    assign(error, "args", args)
    error.__dict__.update(attributes)
    return error


_NOT_THE_CALLERS = ("speechmatics_rt", "websocket", "IPython")  # nor is Python's own library


def _callers(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """Return a traceback of only those frames that are a caller's, or of what he uses."""
    hidden = {*_NOT_THE_CALLERS, *getattr(sys, "stdlib_module_names", ())}  # Python 3.10 and newer
    traces, kept = [], None
    while trace is not None:
        traces.append(trace)
        trace = trace.tb_next
    for trace in reversed(traces):
        module = trace.tb_frame.f_globals.get("__name__") or ""
        if module.partition(".")[0] not in hidden:
            kept = TracebackType(kept, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return kept


class ConfigurationError(SpeechmaticsError, ValueError):
    """An option is wrong, or two options exclude each other. Raised before any I/O."""


class AuthenticationError(SpeechmaticsError):
    """There is no key, or the service refused it: HTTP 401 or 403, ``not_authorised``, close code 4001.

    Attributes:
        status: The HTTP status of the refusal, or None if it came during the session.
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
    """The argument of ``send_audio()`` is not bytes, or cuts a sample in two. Nothing of it was sent."""


class SessionError(SpeechmaticsError, RuntimeError):
    """A call at the wrong time: before the start, twice, after the end, or in a forked child."""


class TransportError(SpeechmaticsError):
    """Communication with the server failed; see the subclasses."""


class NotRunningError(SessionError, TransportError):
    """Nothing can be sent: no session was started, its audio has ended, or it is over."""


class ConnectionError(TransportError, builtins.ConnectionError):
    """The connection could not be made, was refused with an HTTP status, or was lost.

    Attributes:
        stage: Where: ``"limiter"`` (of :func:`transcribe_many`), ``"key"``, ``"features"``, ``"dns"``,
            ``"tcp"``, ``"proxy"``, ``"tls"``, ``"upgrade"``, ``"start"``, ``"streaming"``, ``"draining"``,
            ``"keepalive"`` or ``"closing"``.
        status: The HTTP status of a refused upgrade, or None.
        retry_after: Seconds the server asked to wait (``Retry-After``); after code 1011, as the
            documentation asks; or None.
        code: The WebSocket close code (1006 for a connection that ended without one), or None.
        reason: The text that came with the close code, or None.
        lasting: True if a retry can't help, whatever the other attributes say: a refused certificate, for
            example.
    """

    lasting = False  # for errors pickled before it was an attribute

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
        unreached: bool = False,
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.status = status
        self.retry_after = _PAUSE if retry_after is None and code == 1011 else retry_after
        self.code = code
        self.reason = reason
        self.lasting = lasting
        self.unreached = unreached
        if unreached and stage not in ("limiter", "key"):
            self.__notes__ = [_DOCTOR]

    @property
    def retryable(self) -> bool:
        """False if ``lasting``, or after an HTTP status or close code that a retry won't change."""
        refused = self.status is not None and self.status != 429 and self.status < 500
        return not refused and not self.lasting and self.code in _PASSES


class ProtocolError(TransportError):
    """The server broke the rules of HTTP, WebSocket or the Real-Time API.

    Attributes:
        code: The WebSocket close code that this client answered with (1002, 1003, 1007 or 1009), or None.
    """

    def __init__(self, message: str = "", *, code: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code


class TimeoutError(SpeechmaticsError, builtins.TimeoutError):
    """Something took longer than allowed.

    Attributes:
        stage: ``"open"``, ``"start"``, ``"send"``, ``"answer"``, ``"end"`` or ``"whole"``.
        seconds: The limit that was exceeded.
    """

    def __init__(
        self, message: str = "", *, stage: Optional[str] = None, seconds: Optional[float] = None
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.seconds = seconds
        self.unreached = stage == "open"
        if self.unreached:
            self.__notes__ = [_DOCTOR]

    @property
    def retryable(self) -> bool:
        """True unless it was the caller's own limit on the whole call (stage ``"whole"``)."""
        return self.stage != "whole"


class TranscriptionError(SpeechmaticsError):
    """The service ended the session with an ``Error`` message, or with a close code that stands for one.

    Attributes:
        type: The service's name of the error, for example ``"quota_exceeded"``; None if it gave none.
        reason: The service's explanation.
        code: The close code that came with it, or None.
        retry_after: Seconds to wait at least before a retry, by the documentation, or None.
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
        """Whether the documentation advises a retry, by type or, without one, by close code."""
        if self.type is None:
            return self.code in _SERVER_PASSES
        if self.type == "unknown_error":
            return self.code in _PASSES
        return self.type in _ANOTHER_SESSION


class EndOfTranscriptError(TranscriptionError):
    """The server ended the transcript while audio was still unsent."""


class _Shown(reprlib.Repr):
    """Shows of bytes, and of what else may be audio in memory, only how much it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 200

    def repr_instance(self, thing: Any, level: int) -> str:
        try:
            size = memoryview(thing).nbytes
        except (TypeError, ValueError, BufferError):
            return super().repr_instance(thing, level)
        return repr(thing) if size <= _FEW and isinstance(thing, bytes) else f"<{size} bytes>"

    def repr_array(self, thing: Any, level: int) -> str:
        return self.repr_instance(thing, level)


_FEW = 32  # bytes: a name or a key by mistake, and no audio
_SHOWN = _Shown()


def shown(thing: object, most: int = 200) -> str:
    """Show something of the caller's in the text of an error: in one line, and without audio.

    Example:
        >>> shown([bytes(32000), "call.wav"]), shown("x" * 1000, 10)
        ("[<32000 bytes>, 'call.wav']", "'xxxxxx...")
    """
    try:
        text = " ".join(_SHOWN.repr(thing).split())
    except Exception:  # noqa: BLE001  # a caller's own repr, or an int of more digits than Python shows
        return a_kind(thing)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def a_kind(thing: object) -> str:
    """Name the type of a value, or a type, in a sentence.

    Example:
        >>> a_kind(5), a_kind({}), a_kind(dict)
        ('an int', 'a dict', 'a dict')
    """
    name = (thing if isinstance(thing, type) else type(thing)).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def amend(error: SpeechmaticsError, text: str) -> None:
    """Add something to the end of what an error says; its ids stay behind that.

    Example:
        >>> error = ConnectionError("lost")
        >>> amend(error, "; it was tried twice")
        >>> str(error)
        'lost; it was tried twice'
    """
    assign(error, "args", (f"{error.text}{text}",))


def no_pickle(thing: object, instead: str) -> TypeError:
    """Return the error for pickling or copying an object that is bound to this process."""
    return TypeError(f"{a_kind(thing)} can't be pickled or copied: {instead}")


def assign(error: BaseException, name: str, value: object) -> None:
    """Set an attribute of an exception, whose class may be a caller's that allows no assignments.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class StorageError(Exception):
        ...     code: int
        >>> error = StorageError(503)
        >>> assign(error, "__cause__", OSError("out of space"))
        >>> error.__cause__
        OSError('out of space')
    """
    BaseException.__setattr__(error, name, value)


def without_frames(error: BaseException) -> BaseException:
    """Drop the tracebacks of an error that is stored, and of its causes.

    Their frames would keep alive what the callers hold: a key in a header, a stream that is to be dropped.
    An exception that a caller up the stack is still handling is not touched; the error's ``__context__`` is
    cleared instead, since that exception did not cause it.
    """
    around, frame = set(), sys._getframe(1).f_back
    while frame is not None:
        around.add(frame)
        frame = frame.f_back
    known = [error]
    for one in known:
        assign(one, "__traceback__", None)
        caught = one.__context__.__traceback__ if one.__context__ is not None else None
        if one.__suppress_context__ or (caught is not None and caught.tb_frame in around):
            assign(one, "__context__", None)
        for other in (one.__cause__, one.__context__):
            if other is not None and other not in known:
                known.append(other)
    return error
