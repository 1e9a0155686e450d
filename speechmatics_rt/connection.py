"""One connection, one session: a reader thread, a writer thread and the lock between them.

Two rules keep it simple. *The reader pronounces the verdict*: it hears the server out, so that the
server's own words win over a broken pipe. *The writer keeps the time*: pings and every deadline that
nobody waits for. A connection lives once; a reconnect is a new one, and nothing here knows the word.
"""

from __future__ import annotations

import copy
import logging
import os
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, NoReturn, Optional, Union

from . import frames, messages
from .config import ConnectionConfig
from .duplex import DuplexSocket
from .exceptions import (
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
)
from .keepalive import Keepalive
from .log import SessionLog, wire
from .outbox import Outbox
from .session import Role, Session, State
from .stats import SessionStats
from .window import Window

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

ACKNOWLEDGEMENTS = ("AudioAdded", "ChannelAudioAdded")

_BURST = 0.001  # chunks closer together than this are an upload: the writer joins them
_OUTBOX_BYTES = 1024 * 1024
_INBOX_BYTES = 64 * 1024 * 1024
_LAST_WORDS = 1.0  # seconds to wait for the close frame after an Error, or for an Error after a broken write
_JOIN = 1.0
_LONGEST_WAIT = 3600.0  # nobody waits for this one: without any timeout a Condition overflows or hides Ctrl-C
_CTRL_C = 0.5 if os.name == "nt" else _LONGEST_WAIT  # on Windows a waiting lock is deaf to Ctrl-C


class Doorbell:
    """Wake one sleeping thread. :meth:`ring` takes no lock, so a signal handler may call it at any moment."""

    __slots__ = ("_button",)

    def __init__(self) -> None:
        self._button = threading.Lock()
        self._button.acquire()

    def ring(self) -> None:
        if self._button.locked():
            try:
                self._button.release()
            except RuntimeError:
                pass  # somebody else rang in between; once is enough

    def wait(self, seconds: float) -> None:
        self._button.acquire(timeout=min(seconds, _LONGEST_WAIT))


Arrival = Union[dict[str, Any], bytes]  # a message, or one still to be decoded


class Verdict(NamedTuple):
    """How it ended, once and for all: what every later call raises, and where that came from."""

    error: SpeechmaticsError
    cause: Optional[BaseException]
    normal: bool  # the transcript is complete


_SPEECH = {
    kind: {"message": kind}
    for kind in ("AddTranscript", "AddPartialTranscript", "AddTranslation", "AddPartialTranslation")
}


def _unreadable(exc: Exception) -> ProtocolError:
    if isinstance(exc, UnicodeDecodeError):
        return ProtocolError(f"the server sent text that is not UTF-8: {exc}", code=1007)
    return ProtocolError(f"a message of the server could not be read: {type(exc).__name__}: {exc}", code=1003)


class Connection:
    """Own one upgraded socket from the first frame to the closed descriptor.

    Any thread may send; one thread receives. ``_lock`` guards everything here but the descriptor: session,
    outbox, window, inbox, verdict. Under it the socket is tried, which never waits; it is never held over
    a wait, a join or the user's code. ``_room`` and ``_news`` are conditions on it: senders wait for the
    one, receivers for the other. The doorbell is the writer's, and belongs to nobody's lock.

    Args:
        sock: The upgraded socket; this connection closes it.
        config: Timeouts and limits.
        log: The logger with this session's ids.
        wants: Asked on the reader thread whether anybody listens to an acknowledgement; the others never
            leave the reader.
    """

    def __init__(
        self, sock: DuplexSocket, config: ConnectionConfig, log: SessionLog, *, wants: Callable[[str], bool]
    ) -> None:
        self._sock = sock
        self._config = config
        self._log = log.on(logger)
        self._wants = wants
        self._pid = os.getpid()
        self._began = now = time.monotonic()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._news = threading.Condition(self._lock)
        self._bell = Doorbell()
        self._session = Session(Role.CLIENT)
        self._outbox = Outbox(sock.max_block, _OUTBOX_BYTES)
        self._window = Window(config.window_frames, config.window_seconds)
        self._keepalive = Keepalive(config.ping_interval, config.ping_timeout, now)
        self._inbox: list[Arrival] = []
        self._inbox_bytes = 0  # arrived, not yet taken
        self._taken = 0  # messages of the last batch, in the receiver's hands until it comes for the next
        self._verdict: Optional[Verdict] = None
        self._blocked = False  # the socket takes no more; the writer waits for it, nobody else tries
        self._broken: Optional[tuple[OSError, float]] = (
            None  # a failed write and when, until the server is heard out
        )
        self._stop = False  # request_stop() was called; set without the lock
        self._limited = False  # the server stopped listening by itself (duration_limit_exceeded)
        self._put_at = 0.0
        self._progress_at = now  # when an acknowledgement came or bytes left
        self._state_at = now  # when the session's state changed
        self._last_words_until: Optional[float] = None  # the reader's deadline once the end is in sight
        self._reader_left = self._writer_left = False  # the last of the two closes the descriptor
        self._surplus_told = self._abandoned = False
        self._reopened = False  # an acknowledgement just heard made enough room to wake a sender
        self._seconds_sent = 0.0
        self._bytes_sent = self._heard = self._skipped = 0
        name = f"speechmatics-rt-{{}}-{log.request_id}"
        self._reader = threading.Thread(target=self._read, name=name.format("reader"), daemon=True)
        self._writer = threading.Thread(target=self._write, name=name.format("writer"), daemon=True)
        try:
            self._reader.start()
            self._writer.start()
        except RuntimeError:  # the system has no more threads to give
            if self._reader.ident is None:
                sock.close()
            else:
                self._writer_left = True
                sock.shut()
            raise

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._session.session_id

    @property
    def is_open(self) -> bool:
        """Whether the session runs: no verdict yet, and this is the process that opened it."""
        return self._verdict is None and not self._abandoned and os.getpid() == self._pid

    @property
    def draining(self) -> bool:
        """Whether all audio is said, or the session is over: there is nothing left to send."""
        return self._verdict is not None or self._session.state is State.DRAINING

    @property
    def seconds_sent(self) -> float:
        return self._seconds_sent

    @property
    def bytes_sent(self) -> int:
        return self._bytes_sent

    def stats(self) -> SessionStats:
        self._check_process()
        with self._lock:
            return SessionStats(
                seconds_sent=self._seconds_sent,
                seconds_acknowledged=self._seconds_sent - self._window.seconds,
                frames_sent=self._session.sent,
                unacknowledged_frames=self._window.frames,
                bytes_sent=self._bytes_sent,
                messages_received=self._heard,
                messages_skipped=self._skipped,
                queue_depth=len(self._inbox) + self._taken,
                silence=time.monotonic() - self._keepalive.heard_at,
            )

    # -- talking -------------------------------------------------------------------------------------

    def start(self, message: Mapping[str, Any], deadline: Optional[float] = None) -> bool:
        """Say StartRecognition and wait for RecognitionStarted; False if ``deadline`` (monotonic) passed first."""
        self.send(message)
        with self._lock:
            while self._verdict is None and self._session.state is State.STARTING:
                if not self._wait(self._news, deadline):
                    return False
            if self._verdict is not None:
                self._raise_verdict()
        return True

    def send(self, message: Mapping[str, Any]) -> None:
        """Say a JSON message.

        Raises:
            SessionError: It is not the moment for it, or the session has ended.
            TimeoutError: Stage ``"send"``: the connection takes nothing.
            SpeechmaticsError: The verdict, if there is one.
        """
        self._check_process()
        frame = frames.encode(frames.TEXT, messages.encode(message))
        if wire.isEnabledFor(logging.DEBUG):
            self._log.on(wire).debug("> %s", dict(message))
        with self._lock:
            self._wait_for_room(lambda: not self._outbox.full)
            before = self._session.state
            self._session.send(message)
            self._put(frame)
            if self._session.state is not before:
                self._changed_state()

    def send_audio(
        self,
        payload: Union[bytes, bytearray, memoryview],
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
    ) -> None:
        """Send one chunk of audio, when the window has room for it.

        Args:
            payload: The audio.
            seconds: Its length, 0 if unknown.
            feeding: Wait also while the receiver is behind (``max_queue``); never for the receiver itself.

        Raises:
            As :meth:`send`.
        """
        self._check_process()
        if channel is None:
            frame = frames.encode(frames.BINARY, payload)
        else:
            message = {
                "message": "AddChannelAudio",
                "channel": channel,
                "data": b64encode(payload).decode("ascii"),
            }
            frame = frames.encode(frames.TEXT, messages.encode(message))
        with self._lock:
            if self._ending() or not self._admits(channel, seconds, feeding):
                self._wait_for_room(lambda: self._admits(channel, seconds, feeding))
            self._session.send_audio(channel)
            self._window.sent(channel, seconds)
            self._seconds_sent += seconds
            self._bytes_sent += len(payload)
            self._put(frame)

    def end_stream(self) -> None:
        """Say EndOfStream with the number of frames sent; a second time, or once over, do nothing."""
        self._check_process()
        with self._lock:
            if self._verdict is not None:
                return
            if self._session.state is State.STREAMING:
                self._end_stream()
            else:
                self._stop = True  # not started yet: the writer says it then

    def request_stop(self) -> None:
        """Have the writer thread say EndOfStream soon. A flag and a wake-up, no lock: for signal handlers."""
        self._stop = True
        self._bell.ring()

    def wait_until(self, moment: float) -> bool:
        """Sleep until ``moment`` (monotonic) for the feeder's pace; False at once when no more audio is wanted."""
        with self._lock:
            while self._verdict is None and self._session.state is State.STREAMING and not self._stop:
                if not self._wait(self._room, moment):
                    return True
        return False

    # -- listening -----------------------------------------------------------------------------------

    def receive(self, deadline: Optional[float] = None) -> Optional[list[Arrival]]:
        """Take all messages that have arrived, waiting for some; [] when the transcript is complete.

        None if ``deadline`` (monotonic) passed first. Each is for :meth:`open`.

        Raises:
            SpeechmaticsError: The verdict, after everything that came before it was taken.
        """
        self._check_process()
        with self._lock:
            if self._taken:
                self._taken = 0
                self._room.notify_all()
            while not self._inbox:
                if self._verdict is not None:
                    if self._verdict.normal:
                        return []
                    self._raise_verdict()
                if not self._wait(self._news, deadline):
                    return None
            batch, self._inbox = self._inbox, []
            self._taken = len(batch)
            if self._inbox_bytes > _INBOX_BYTES:
                self._room.notify_all()  # the reader has paused
            self._inbox_bytes = 0
            return batch

    def open(self, arrival: Arrival) -> Optional[dict[str, Any]]:
        """Give the message in what was received; None, logged and counted, if it holds none.

        Transcripts and translations are decoded here, on the thread that handles them: decoded by the
        reader they would wait in memory by the hundreds and change processors.

        Raises:
            ProtocolError: It can't be decoded at all; the session has failed with this.
        """
        if isinstance(arrival, dict):
            return arrival
        try:
            return self._decode(arrival)
        except Exception as exc:
            error = self._told(_unreadable(exc))
            self.fail(error, exc)
            raise error from exc

    def left_over(self) -> list[Arrival]:
        """Take what has arrived, without waiting and whatever the verdict is."""
        with self._lock:
            batch, self._inbox = self._inbox, []
            return batch

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """End the session for a reason of our own, the audio source's for example: the first cause wins."""
        with self._lock:
            self._conclude(error, cause)
            self._say_goodbye((isinstance(error, ProtocolError) and error.code) or 1000)

    def close(self) -> None:
        """End it now: a close frame if it fits, ``close_timeout`` for the answer, then the socket is shut.

        Takes its own deadline against everything that could hold it up, the lock included. In a forked child
        it closes the child's descriptor and nothing else.
        """
        if os.getpid() != self._pid:
            self._sock.close()
            return
        me = threading.current_thread()
        deadline = self._deadline(self._config.close_timeout)
        if self._lock.acquire(timeout=max(0.0, min(deadline - time.monotonic(), _LONGEST_WAIT))):
            try:
                if self._conclude(SessionError("the session was closed")):
                    self._inbox.clear()
                    self._inbox_bytes = 0
                self._say_goodbye(1000)
                while not self._reader_left and me is not self._reader and not self._blocked:
                    if not self._wait(self._news, deadline):
                        break
            finally:
                self._lock.release()
        self._sock.shut()
        self._bell.ring()
        for thread in (self._writer, self._reader):
            if thread is not me:
                thread.join(_JOIN)
                if thread.is_alive():
                    self._log.warning("thread %s did not end within %g s", thread.name, _JOIN)

    def abandon(self) -> None:
        """Shut the socket, no more: for finalisers, which may run on any thread and inside any lock."""
        self._abandoned = True  # closed for everybody at once; the reader says so when it wakes
        self._sock.shut()

    # -- inside: sending; everything here expects the lock to be held ------------------------------------

    def _check_process(self) -> None:
        if os.getpid() != self._pid:  # before any lock: its owner may not exist on this side of the fork
            raise SessionError(
                "this session belongs to the process that started it; after a fork, start a new one in the child"
            )

    def _wait(self, condition: threading.Condition, deadline: Optional[float] = None) -> bool:
        """Wait for a notification; False once the deadline has passed."""
        left = _LONGEST_WAIT if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        condition.wait(min(left, _CTRL_C))
        return True

    def _deadline(self, seconds: Optional[float]) -> float:
        return float("inf") if seconds is None else time.monotonic() + seconds

    def _ending(self) -> bool:
        """Whether there is a verdict, or one is on its way: a write failed, or the server said Error."""
        return self._broken is not None or self._session.over

    def _admits(self, channel: Optional[str], seconds: float, feeding: bool) -> bool:
        if not self._window.admits(channel, seconds) or self._outbox.full:
            return False
        return not feeding or not self._behind()

    def _behind(self) -> bool:
        limit = self._config.max_queue
        return limit is not None and len(self._inbox) + self._taken > limit

    def _wait_for_room(self, has_room: Callable[[], bool]) -> None:
        limit = self._config.send_timeout
        waiting_since = time.monotonic()
        while True:
            if self._verdict is not None:
                self._raise_verdict()
            if self._ending():
                self._wait(self._news)  # at most _LAST_WORDS: the reader is about to pronounce the verdict
                continue
            if self._session.state is not State.STREAMING or has_room():
                return  # out of turn: the session says so better
            now = time.monotonic()
            since = max(waiting_since, self._progress_at)
            if self._behind():
                since = now  # our own receiver is slow; the server is not to blame
            if limit is not None and now >= since + limit:
                raise self._told(
                    TimeoutError(
                        f"nothing could be sent for {limit:g} s: the server acknowledges no audio "
                        f"({self._window.frames} frames are unacknowledged)",
                        stage="send",
                        seconds=limit,
                    )
                )
            self._wait(self._room, None if limit is None else since + limit)

    def _put(self, frame: bytes) -> None:
        self._outbox.put(frame)
        now = time.monotonic()
        burst = now - self._put_at < _BURST
        self._put_at = now
        if burst:
            self._bell.ring()
        else:
            self._pump()

    def _pump(self) -> None:
        """Write what is queued until the socket takes no more; then the writer goes on with it."""
        if self._blocked or self._broken is not None:
            return
        try:
            block = self._outbox.take()
            while block:
                count = self._sock.try_send(block)
                self._outbox.wrote(count)
                if count < len(block):
                    self._blocked = True
                    self._bell.ring()
                    break
                block = self._outbox.take()
        except OSError as exc:
            # Not the verdict: the server may have said why before it hung up. See _keep_time.
            self._broken = (exc, time.monotonic())
            self._outbox.clear()
            self._room.notify_all()
            self._bell.ring()
        except BaseException as exc:  # Ctrl-C inside a send: nobody knows how much of the frame went out
            self._conclude(ConnectionError("interrupted while sending", stage=self._session.state.value), exc)
            self._sock.shut()
            raise

    def _end_stream(self) -> None:
        message = self._session.end_of_stream()
        frame = frames.encode(frames.TEXT, messages.encode(message))
        self._session.send(message)
        self._log.debug("all audio is sent: %d frames", message["last_seq_no"])
        self._put(frame)
        self._changed_state()

    def _changed_state(self) -> None:
        self._state_at = time.monotonic()
        self._room.notify_all()
        self._news.notify_all()
        self._bell.ring()  # other deadlines count now

    # -- inside: the verdict ---------------------------------------------------------------------------

    def _conclude(
        self, error: SpeechmaticsError, cause: Optional[BaseException] = None, *, normal: bool = False
    ) -> bool:
        """Pronounce the verdict; only the first counts."""
        if self._verdict is not None:
            return False
        self._verdict = Verdict(self._told(error), cause, normal)
        self._session.lose()
        self._log.debug("the session ended: %s", "complete" if normal else error.args[0])
        self._room.notify_all()
        self._news.notify_all()
        self._bell.ring()
        return True

    def _told(self, error: SpeechmaticsError) -> SpeechmaticsError:
        error.request_id = self._log.request_id
        error.session_id = self._session.session_id
        return error

    def _raise_verdict(self) -> NoReturn:
        """Raise the verdict, as an exception of its own each time: each raise writes its own traceback."""
        if self._verdict is None:
            raise RuntimeError("there is no verdict")
        raise copy.copy(self._verdict.error) from self._verdict.cause

    def _say_goodbye(self, code: int, reason: str = "") -> None:
        self._outbox.put_close(frames.encode(frames.CLOSE, frames.close_payload(code, reason)))
        self._pump()

    # -- the writer thread: backlog, pings, deadlines ----------------------------------------------------

    def _write(self) -> None:
        try:
            while True:
                with self._lock:
                    was_full = self._outbox.full
                    waiting = bool(self._outbox)
                    self._blocked = False
                    self._pump()
                    now = time.monotonic()
                    if waiting and not self._blocked:
                        self._progress_at = now
                    if was_full and not self._outbox.full:
                        self._room.notify_all()
                    wake_at = self._keep_time(now)
                    blocked = self._blocked
                if wake_at is None:
                    return
                if blocked:
                    self._sock.wait_sendable(max(0.0, wake_at - now))
                else:
                    self._bell.wait(max(0.0, wake_at - now))
        except OSError as exc:  # the descriptor is gone: the reader sees that too and says what it means
            self._log.debug("the writer ends: %s", exc)
        finally:
            self._leave("_writer_left")

    def _keep_time(self, now: float) -> Optional[float]:
        """Do what is due; return when to look again, or None when the writer may go."""
        if self._reader_left:
            return None
        if self._verdict is not None:
            # Only the close frame is left to write; whoever put it also waits for the answer.
            return now + _LONGEST_WAIT if self._outbox and self._broken is None else None
        if self._broken is not None:
            until = self._broken[1] + _LAST_WORDS
            if now >= until:
                self._sock.shut()
                return None
            return until
        state = self._session.state
        if self._stop and state is State.STREAMING:
            self._end_stream()
            state = self._session.state
        wake_at = now + _LONGEST_WAIT
        expiry = self._expiry(state)
        if expiry is not None:
            if now >= expiry[0]:
                self._conclude(expiry[1]())
                self._say_goodbye(1000)
                self._sock.shut()
                return None
            wake_at = min(wake_at, expiry[0])
        return self._keep_alive(now, wake_at)

    def _expiry(self, state: State) -> Optional[tuple[float, Callable[[], SpeechmaticsError]]]:
        """When the present state has lasted too long, and what to say then."""
        config = self._config
        start, end = config.start_timeout, config.end_timeout
        if state is State.STARTING and start is not None:
            return self._state_at + start, lambda: TimeoutError(
                f"the server did not say RecognitionStarted within {start:g} s of StartRecognition; "
                "a large custom dictionary can take 15 s (start_timeout)",
                stage="start",
                seconds=start,
            )
        if state is State.DRAINING and end is not None:
            # Counted from the server's last word: a backlog may take long, as long as it moves.
            return max(self._state_at, self._keepalive.heard_at) + end, lambda: TimeoutError(
                f"the server fell silent for {end:g} s before it ended the transcript (end_timeout)",
                stage="end",
                seconds=end,
            )
        return None

    def _keep_alive(self, now: float, wake_at: float) -> Optional[float]:
        if self._inbox_bytes > _INBOX_BYTES:
            self._keepalive.stand_still(now)
        if self._keepalive.lost(now):
            silence = now - self._keepalive.heard_at
            self._conclude(
                ConnectionError(
                    f"the connection was lost: the server was silent for {silence:.1f} s and answered no ping",
                    stage="keepalive",
                    code=1006,
                )
            )
            self._sock.shut()
            return None
        if self._keepalive.ping_due(now):
            self._outbox.put_ping(frames.encode(frames.PING, b""))
            self._pump()
        ping = self._keepalive.wake_at
        return wake_at if ping is None else min(wake_at, ping)

    # -- the reader thread -------------------------------------------------------------------------------

    def _read(self) -> None:
        decoder = frames.Decoder(self._config.max_size)
        error: Optional[ProtocolError] = None
        cause: Optional[BaseException] = None
        try:
            while True:
                until = self._last_words_until
                timeout = None if until is None else max(0.0, until - time.monotonic())
                count = self._sock.recv_into(decoder.buffer(), timeout)
                if not count or self._hear(decoder.received(count)):
                    break
        except socket.timeout:
            pass  # it had its time to say goodbye
        except OSError as exc:
            cause = exc
        except frames.FrameError as exc:
            error, cause = (
                ProtocolError(f"the server broke the WebSocket protocol: {exc}", code=exc.code),
                exc,
            )
        except ProtocolError as exc:
            error, cause = exc, exc.__cause__
        except Exception as exc:  # noqa: BLE001  # nothing is swallowed: it becomes the verdict, chained
            error, cause = _unreadable(exc), exc
        goodbye = 1000 if error is None else error.code or 1002
        with self._lock:
            if cause is None and self._broken is not None:
                cause = self._broken[0]
            self._session.lose()
            ending = self._session.ending
            if error is not None:
                self._conclude(error, cause)
            elif ending is not None:
                self._conclude(ending.exception(time.monotonic() - self._began), cause)
            self._say_goodbye(goodbye)
        self._sock.shut()
        self._leave("_reader_left")

    def _hear(self, events: list[tuple[int, bytes]]) -> bool:
        """Take in what arrived, in order; True once the server has closed."""
        heard: list[tuple[Mapping[str, Any], Arrival, int]] = []
        pong: Optional[bytes] = None
        close: Optional[frames.Close] = None
        failure: Optional[Exception] = None
        for opcode, payload in events:
            if opcode in (frames.TEXT, frames.BINARY):
                speech = messages.peek(payload)
                if speech is not None:
                    heard.append((_SPEECH[speech], payload, len(payload)))
                    continue
                try:
                    message = self._decode(payload)
                except Exception as exc:  # noqa: BLE001  # raised below, after what came before it was delivered
                    failure = exc
                    break
                if message is not None:
                    heard.append((message, message, len(payload)))
            elif opcode == frames.PING:
                pong = payload
            elif opcode == frames.CLOSE:
                close = frames.Close.parse(payload)
        deliver_acknowledgements = self._wants("AudioAdded") or self._wants("ChannelAudioAdded")
        with self._lock:
            now = time.monotonic()
            unacknowledged = self._window.frames
            self._keepalive.heard(now)
            try:
                for known, arrival, size in heard:
                    self._hear_message(known, arrival, size, deliver_acknowledgements)
            finally:
                if self._inbox:
                    self._news.notify_all()
                if self._window.frames < unacknowledged:
                    self._progress_at = now
                if self._reopened:
                    self._reopened = False
                    self._room.notify_all()
            if failure is not None:
                raise failure
            if pong is not None:
                self._outbox.put_pong(frames.encode(frames.PONG, pong))
                self._pump()
            if close is not None:
                self._session.lose(close.code, close.reason)
                self._say_goodbye(close.code if close.code != 1005 else 1000)
                return True
            while self._inbox_bytes > _INBOX_BYTES and self._verdict is None:
                self._wait(self._room)  # until the receiver comes; the ping deadline stands still meanwhile
        return False

    def _decode(self, payload: bytes) -> Optional[dict[str, Any]]:
        try:
            message = messages.decode(payload)
        except messages.MessageError as exc:
            with self._lock:
                self._skipped += 1
            self._log.warning("skipped what is no message: %s", exc)
            return None
        if wire.isEnabledFor(logging.DEBUG):
            self._log.on(wire).debug("< %s", message)
        return message

    def _hear_message(
        self, message: Mapping[str, Any], arrival: Arrival, size: int, deliver_acknowledgements: bool
    ) -> None:
        before = self._session.state
        if not self._session.receive(message):
            return
        self._heard += 1
        kind = message["message"]
        if kind in ACKNOWLEDGEMENTS:
            self._hear_acknowledgement(message)
            if not deliver_acknowledgements:
                return
        self._inbox.append(arrival)
        self._inbox_bytes += size
        if kind == "Warning" and message.get("type") == "duration_limit_exceeded":
            self._limited = True
        if self._session.state is not before:
            self._hear_turn(before)

    def _hear_acknowledgement(self, message: Mapping[str, Any]) -> None:
        self._reopened |= self._window.acknowledged(message.get("channel"))
        if self._session.surplus and not self._surplus_told:
            self._surplus_told = True
            self._log.warning("the server acknowledged more audio than was sent: %s", message)

    def _hear_turn(self, before: State) -> None:
        """The message just heard moved the session on from ``before``."""
        state = self._session.state
        self._changed_state()
        if state is State.STREAMING:
            self._log.session_id = self._session.session_id
            self._log.debug("recognition started after %.2f s", time.monotonic() - self._began)
        elif state is State.FAILED:
            self._last_words_until = time.monotonic() + _LAST_WORDS
        elif state is State.DONE:
            if before is State.STREAMING and not self._limited:
                self._conclude(
                    EndOfTranscriptError(
                        "the server ended the transcript before all audio was sent", type="end_of_transcript"
                    )
                )
            else:
                self._conclude(SessionError("the session has ended"), normal=True)
            self._last_words_until = self._deadline(self._config.close_timeout)
            self._say_goodbye(1000)  # now: handlers may take long, and the session counts against the quota

    def _leave(self, mark: str) -> None:
        """The last of the two threads to leave closes the descriptor."""
        with self._lock:
            setattr(self, mark, True)
            last = self._reader_left and self._writer_left
            self._room.notify_all()
            self._news.notify_all()
        self._bell.ring()
        if last:
            self._sock.close()
