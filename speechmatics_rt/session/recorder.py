"""Writes a session to a file, every message with its time, for reports and for tests."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import logging
import os
import stat
import sys
import time
import weakref
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from .._version import __version__
from ..audio import BytesLike
from ..config import FLAG, Caller, refused
from ..events import EventEmitter, everything
from ..exceptions import ConfigurationError, SessionError, SpeechmaticsError, shown
from ..log import SessionLog
from ..threads import is_meant_for_call, new_lock

__all__ = ["Recordable", "Recorder", "Recording", "interest_of"]

logger = logging.getLogger(__name__)

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode
_SECRET = ("api_key", "authorization", "auth_token", "jwt", "key_value", "password", "token")
_REMOVED = "***"
_SAID = (
    "stage",
    "status",
    "code",
    "type",
    "reason",
    "retry_after",
    "seconds",
)  # of errors, whichever they have
_VOICE = base64.b64encode(b"removed").decode("ascii")  # in the form of a speaker identifier


class Recorder:
    """Write the next session of a client to a file as it goes: for a bug report, or for a test of your own.

    The file has one line of JSON per message, with the seconds since the session began:
    ``{"time": 1.27, "received": ...}`` or ``"sent"``; of audio only its size. The first line has the ids, the
    last one how the session ended, with what an error says in ``failure``, or that it went on without being
    recorded. A session that could not be opened is recorded, too. Keys are left out, and speaker identifiers
    are replaced, but *it contains what was said*, so only its owner may read the file.
    :class:`~speechmatics_rt.local.ReplayEngine` and the pytest fixture ``speechmatics_replay`` replay it.

    Recording ends with the ``with`` block or with the session. If the file can't be written (a full disk),
    recording ends with a warning in the log, and the session goes on. A block that ends without an exception
    and without a session warns, since it has probably got the wrong client.

    Args:
        client: Any client; its next session, of whatever kind, is recorded.
        path: The file. An existing one is replaced when the session is opened, but links are not followed,
            and files of other users are refused.
        audio: Also write the audio, as base64 in ``data``.

    Raises:
        ConfigurationError: The file can't be written, or an option is wrong.
        SessionError: Another recorder waits for the client's next session, or records the present one.

    Example:
        >>> import os, tempfile
        >>> from speechmatics_rt import AudioFormat, Client
        >>> from speechmatics_rt.local import LocalServer
        >>> path = os.path.join(tempfile.mkdtemp(), "bug.jsonl")
        >>> with LocalServer() as server, Client(url=server.url) as client, Recorder(client, path):
        ...     transcript = client.transcribe(bytes(64000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> from speechmatics_rt.local import ReplayEngine
        >>> with LocalServer(ReplayEngine(path)) as server, Client(url=server.url) as client:
        ...     again = client.transcribe(bytes(64000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> again.words == transcript.words
        True
    """

    def __init__(
        self, client: EventEmitter, path: Union[str, os.PathLike[str]], *, audio: bool = False
    ) -> None:
        behind = getattr(client, "_behind", client)  # the blocking client behind an asyncio one
        if not isinstance(behind, Recordable):
            raise refused("client", client, "a Client, or another client of this package")
        if not isinstance(path, (str, os.PathLike)):
            raise refused("path", path, "the path of a file")
        FLAG("audio", audio)
        other: Optional[Recorder] = behind._recorder
        if other is not None and other._recording.is_open:
            written = shown(other._recording.path)
            raise SessionError(f"this client's session is written to {written}; close() that Recorder first")
        self._recording: Recording = Recording(path, audio)
        self._client = behind
        behind._recorder = self

    def _begin(self, log: SessionLog) -> Optional[Recording]:
        """Return the recording for a session that is opened now; None if it has already recorded one."""
        return self._recording if self._recording.begin(log) else None

    def close(self) -> None:
        """End the recording; the session goes on. A second call does nothing."""
        if self._client._recorder is self:
            self._client._recorder = None
        self._recording.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *exc_info: object) -> None:
        unused = kind is None and self._recording.is_unused
        self.close()
        if unused:
            Caller.find().warn(
                f"no session of this client began, so {self._recording.path} was not written; was another "
                "client meant?"
            )

    def __repr__(self) -> str:
        recording = self._recording
        return f"<Recorder of {type(self._client).__name__} to {recording.path!r}, {recording.state}>"


class Recordable(EventEmitter):
    """A client, whose next session a :class:`Recorder` may record."""

    _recorder: Optional[Recorder] = None

    @property
    def _wants(self) -> Callable[[str], bool]:
        """What says whether a message is to be delivered: somebody listens to it, or all are recorded."""
        return self._is_heard if self._recorder is None else everything


def interest_of(client: Recordable) -> Callable[[str], bool]:
    """Return a function that says whether a client wants a message, without keeping the client alive."""
    reference = weakref.ref(client)

    def wants(name: str) -> bool:
        client = reference()
        if client is None:
            return False
        return client._recorder is not None or client._is_heard(name)  # as _wants(), by a call less

    return wants


class Recording:
    """The file that a session is written to, from any thread.

    ``_lock`` guards the file and whether it is open. It is held while one line is written, so that lines
    stay whole and none goes to a descriptor that has been closed and reused.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], audio: bool) -> None:
        self.path = os.fspath(path)
        self._audio = audio
        self._lock = new_lock()
        self._pid = os.getpid()  # a forked child has the same file, and writes nothing there
        self._zero: Optional[float] = None  # when it began
        self._started = False  # the service has taken the session
        self._ended = False  # and so has its end, or that of a start that was refused
        try:
            self._is_new = not os.path.exists(path)
            self._file = open(path, "wb", buffering=0, opener=_private)  # noqa: SIM115  # closed by close()
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc  # strerror does not repeat the name
            raise ConfigurationError(f"can't write the recording {shown(os.fspath(path))}: {why}") from exc

    @property
    def is_unused(self) -> bool:
        """Whether no session has begun while it was open."""
        return self._zero is None and not self._file.closed

    @property
    def is_open(self) -> bool:
        """Whether anything may still be written."""
        return not self._file.closed and os.getpid() == self._pid

    @property
    def state(self) -> str:
        """What it is doing."""
        if self._zero is None:
            return "unused" if self._file.closed else "waiting for a session"
        return "over" if self._file.closed else "recording"

    def begin(self, log: SessionLog) -> bool:
        """Begin, anew if the last start was refused; False if a session is recorded."""
        with self._lock:
            if self._started or self._file.closed:
                return False
            self._log = log.on(logger)
            self._empty()
            self._zero = time.monotonic()
            self._ended = False
        when = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self._write({"began": when, "package": __version__, "request_id": log.request_id})
        return True

    def sent(self, message: Mapping[str, Any]) -> None:
        self._write({"sent": message})

    def sent_audio(self, payload: BytesLike, channel: Optional[str]) -> None:
        message: dict[str, Any] = {"message": "AddAudio" if channel is None else "AddChannelAudio"}
        if channel is not None:
            message["channel"] = channel
        message["size"] = len(payload)
        if self._audio:
            message["data"] = base64.b64encode(payload).decode("ascii")
        self._write({"sent": message})

    def received(self, message: Mapping[str, Any]) -> None:
        self._started |= message.get("message") == "RecognitionStarted"
        self._write({"received": message})

    def ended(self, failure: Optional[SpeechmaticsError]) -> None:
        """Write how it ended. The file is closed, unless it could not start: the next one may."""
        if not self._ended:
            self._ended = True
            error = None if failure is None else f"{type(failure).__name__}: {failure.text}"
            self._write({"ended": error} if failure is None else {"ended": error, "failure": _told(failure)})
        if self._started:
            with self._lock:
                self._file.close()

    def close(self) -> None:
        if os.getpid() != self._pid:
            self._file.close()
            return
        closed = self._file.closed
        if self._started:
            self._write({"left": "the session goes on"})  # unlike a recording that was cut off
        with self._lock:
            self._file.close()
        if self._zero is None and self._is_new and not closed:
            with contextlib.suppress(OSError):
                os.unlink(self.path)  # an empty file would be taken for a recording

    def _empty(self) -> None:
        """Remove what an earlier session, or a refused start, has left; the lock is held."""
        try:
            if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):  # not of a pipe or a device
                self._file.seek(0)
                self._file.truncate()
        except OSError as exc:
            self._stop(exc)

    def _stop(self, exc: Exception) -> None:
        self._log.warning("the recording ends here, because it can't be written: %s", exc)
        self._file.close()

    def _write(self, entry: Mapping[str, Any]) -> None:
        now = time.monotonic()
        with self._lock:
            if self._file.closed or self._zero is None or os.getpid() != self._pid:
                return
            try:
                line = {"time": round(now - self._zero, 4), **_cleaned(entry)}
                self._file.write(f"{_ENCODE(line)}\n".encode("utf-8", "backslashreplace"))
            except (OSError, ValueError, RecursionError) as exc:  # a full disk, a cyclic message
                if is_meant_for_call(exc):
                    raise
                self._stop(exc)


def _told(failure: SpeechmaticsError) -> dict[str, Any]:
    """Return what an error says, for programs."""
    said = {name: getattr(failure, name, None) for name in _SAID}
    kind = next(one for one in type(failure).__mro__ if one.__module__ == SpeechmaticsError.__module__)
    return {"kind": kind.__name__, **{name: value for name, value in said.items() if value is not None}}


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read, also one that exists; refuse links and others' files.

    The owner of a planted file could read the recording, and a planted link could point to any file of ours.
    """
    descriptor = os.open(path, flags & ~os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        _make_private(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_private(descriptor: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe or a device, which has permissions of its own
    if sys.platform != "win32":
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, "it belongs to another user")
        os.fchmod(descriptor, 0o600)


def _cleaned(value: Any) -> Any:
    """Copy a value without keys, tokens and speaker identifiers."""
    if isinstance(value, Mapping):
        return {name: _replaced(name, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    return value


def _replaced(name: Any, part: Any) -> Any:
    if name == "speaker_identifiers" and isinstance(part, list):
        return [_VOICE for _ in part]
    return _REMOVED if isinstance(name, str) and name.lower() in _SECRET else _cleaned(part)
