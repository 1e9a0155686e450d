"""One session on one connection, from the first frame to the closed descriptor.

A connection is never reopened: a reconnect makes a new one, and nothing here knows of reconnecting.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from sys import is_finalizing
from typing import Any, Callable, Optional, Union

from ..config import ConnectionConfig
from ..exceptions import ProtocolError, SessionError, SpeechmaticsError, TimeoutError, without_frames
from ..log import SessionLog, wire
from ..messages import Secrets
from ..protocol import ClientProtocol, Payload, Phase, codec, frames
from ..stats import SessionStats
from ..threads import begin, is_mine, let_go
from .duplex import DuplexSocket
from .lead import Lead, thread_of
from .link import Messages, Replaceable, out_of_place
from .monitor import Monitor
from .reader import Reader
from .wakeup import WaitList, Wakes
from .writer import Writer

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

_JOIN = 1.0  # seconds to wait for a thread that should be ending


class Connection(Replaceable):
    """Owns an upgraded socket, its reader thread, its writer thread and the :class:`Monitor` they share.

    Args:
        sock: The upgraded socket; this connection closes it.
        config: Timeouts and limits.
        log: The logger with this session's ids.
        wants: Called on the reader thread: whether any handler listens to acknowledgements. If none does,
            they are not delivered.
        secrets: Hidden where the server repeats them.
        bytes_per_second: Of the audio of one channel; 0 if that is not known.
    """

    def __init__(
        self,
        sock: DuplexSocket,
        config: ConnectionConfig,
        log: SessionLog,
        *,
        wants: Callable[[str], bool],
        secrets: Secrets,
        bytes_per_second: int = 0,
    ) -> None:
        self._sock = sock
        self._config = config
        self._log = log.on(logger)
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._protocol = ClientProtocol(
            config, block=sock.max_block, now=self._began, bytes_per_second=bytes_per_second
        )
        self._monitor = Monitor(self._protocol, self._log)
        self._lock = self._monitor.lock
        self._writing = Writer(sock, self._monitor, self._log)
        self._reading = Reader(
            sock,
            self._monitor,
            self._writing,
            self._log,
            max_size=config.max_size,
            wants=wants,
            secrets=secrets,
        )
        self._lead = Lead(self._monitor, self._reading, self._writing, self._log, end=self._end_reading)
        self._listener: Optional[Callable[[], None]] = None
        # Started by start(): by then the opener has stored this connection where it can be closed.
        self._writer = thread_of(f"speechmatics-rt-writer-{log.request_id}", self._write)

    # -- from any thread -----------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._protocol.state.session_id

    @property
    def is_open(self) -> bool:
        protocol = self._protocol
        if protocol.conclusion is not None or protocol.closed or self._monitor.abandoned:
            return False
        # After an Error there is no conclusion before the close frame, which may still say a code.
        return not protocol.state.over and os.getpid() == self._pid

    @property
    def is_complete(self) -> bool:
        conclusion = self._protocol.conclusion
        return conclusion is not None and conclusion.normal

    @property
    def draining(self) -> bool:
        protocol = self._protocol
        return protocol.conclusion is not None or protocol.ending or protocol.state.phase is Phase.DRAINING

    @property
    def seconds_sent(self) -> float:
        return self._protocol.seconds(self._protocol.bytes_sent)

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return self._protocol.seconds(self._protocol.bytes_on.get(channel, 0))

    @property
    def bytes_sent(self) -> int:
        return self._protocol.bytes_sent

    def check_process(self) -> None:
        if os.getpid() != self._pid:
            raise SessionError(
                "this session belongs to the process that started it; after a fork, start one in the child"
            )

    @property
    def interrupted(self) -> bool:
        return is_mine(self._lock) or is_finalizing()

    def check(self, *locks: Any) -> None:
        if os.getpid() != self._pid:  # asked here, too, since this is called for every chunk and message
            self.check_process()
        if is_mine(self._lock) or is_finalizing() or (locks and any(map(is_mine, locks))):
            raise out_of_place()

    def stats(self) -> SessionStats:
        self.check_process()
        with self._lock:
            protocol = self._protocol
            sent = protocol.seconds(protocol.bytes_sent)
            return SessionStats(
                seconds_sent=sent,
                seconds_acknowledged=max(0.0, round(sent - protocol.window.seconds, 9)),
                frames_sent=protocol.state.sent,
                unacknowledged_frames=protocol.window.frames,
                bytes_sent=protocol.bytes_sent,
                messages_received=protocol.received,
                messages_skipped=self._reading.skipped,
                queue_depth=protocol.queue_depth,
                silence=time.monotonic() - protocol.keepalive.received_at,
            )

    # -- sending -------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> bool:
        self._listener = listener
        return not self._lead.is_shared

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        self.check()
        self.send(message)  # before the threads, which would be woken for it
        self._lead.start(self._listener)
        begin(self._writer)
        late = time.monotonic() + (self._config.start_timeout or float("inf")) + _JOIN
        while True:
            with self._lock:
                if not (self._writer.is_alive() or self._monitor.over):  # it failed before its first line
                    self._protocol.receive_eof(None, None, time.monotonic())
                    self._monitor.raise_conclusion()
                if self._listener is not None and self._protocol.started:
                    return True  # the listener gets what has happened since
                conclusion = self._protocol.conclusion
                if conclusion is not None and not conclusion.normal:
                    self._monitor.raise_conclusion()
                if self._protocol.state.phase not in (Phase.STARTING, Phase.FAILED):
                    return True  # a short session may be over before this thread runs
                ticket = self._monitor.news.ticket()
            if not WaitList.wait(ticket, min(late, deadline)):
                if time.monotonic() >= deadline:
                    return False
                late = float("inf")

    def send(self, message: Mapping[str, Any]) -> None:
        self._send(message, wait=True)

    def offer(self, message: Mapping[str, Any]) -> bool:
        return self._send(message, wait=False)

    def _send(self, message: Mapping[str, Any], *, wait: bool) -> bool:
        self.check()
        frame = frames.encode(frames.TEXT, codec.encode(message))
        if wire.isEnabledFor(logging.DEBUG):
            self._log.on(wire).debug("> %s", dict(message))
        protocol = self._protocol
        return self._send_when(
            lambda: not protocol.outbox.full, lambda now: protocol.send(message, frame, now), wait=wait
        )

    def send_audio(
        self,
        payload: Union[bytes, bytearray, memoryview],
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        self.check()
        if channel is None:
            frame = frames.encode(frames.BINARY, payload)
        else:
            data = b64encode(payload).decode("ascii")
            message = {"message": "AddChannelAudio", "channel": channel, "data": data}
            frame = frames.encode(frames.TEXT, codec.encode(message))
        protocol = self._protocol
        try:
            with self._lock:  # the usual case, on a short path: this is called for every chunk
                if protocol.admits(channel, seconds, feeding):
                    protocol.send_audio(frame, channel, seconds, len(payload))
                    self._writing.write_soon(time.monotonic())
                    return True
        except BaseException:
            self._cut_short()
            raise
        return self._send_when(
            lambda: protocol.admits(channel, seconds, feeding),
            lambda now: protocol.send_audio(frame, channel, seconds, len(payload)),
            feeding=feeding,
            wait=wait,
        )

    def wait_for_room(self, channel: Optional[str], seconds: float, feeding: bool) -> None:
        protocol = self._protocol
        self._send_when(lambda: protocol.admits(channel, seconds, feeding), lambda now: None, feeding=feeding)

    def end_stream(self) -> None:
        self.check()
        try:
            with self._lock:
                now = time.monotonic()
                self._protocol.end_stream(now)
                self._writing.pump()  # after an upload, too: nothing follows for which to wait
                self._monitor.notify()
        except BaseException:
            self._cut_short()
            raise

    def end_channel(self, channel: str) -> None:
        self.check()
        protocol = self._protocol
        self._send_when(lambda: not protocol.outbox.full, lambda now: protocol.end_channel(channel, now))

    def request_stop(self) -> None:
        self._protocol.stop = True
        self._monitor.writer.wake()

    def wait_until(self, moment: float) -> bool:
        protocol = self._protocol
        ticket: Optional[threading.Lock] = None
        while True:
            with self._lock:
                self._monitor.room.give_back(ticket)
                if protocol.ending or protocol.state.phase is not Phase.STREAMING or protocol.stop:
                    return False
                if time.monotonic() >= moment:
                    return True
                ticket = self._monitor.room.ticket()
            self._lead.have_read()
            WaitList.wait(ticket, moment)

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        # Only a thread of the package reads the socket here. The caller is often the main thread, and Ctrl-C
        # between reading bytes and storing them would lose a part of the stream.
        self.check()
        protocol = self._protocol
        while True:
            with self._lock:
                arrived = protocol.take()
                if protocol.news or protocol.room or protocol.some_room:
                    self._monitor.notify()
                if arrived:
                    self._lead.deliver()
                    # The log shows decoded messages, so with it on every message is decoded.
                    self._reading.logged = logged = wire.isEnabledFor(logging.DEBUG)
                    return Messages(arrived, self.decode, whole=logged)
                if protocol.conclusion is not None:
                    if protocol.conclusion.normal:
                        return ()
                    self._monitor.raise_conclusion()
                reads = self._lead.read()
                if not reads and time.monotonic() >= deadline:  # as always if the caller waits elsewhere
                    return None
                ticket = None if reads else self._monitor.news.ticket()
            if ticket is None:
                self._lead.read_some()
            elif not WaitList.wait(ticket, deadline):
                return None

    def decode(self, payload: Payload) -> Optional[dict[str, Any]]:
        if isinstance(payload, dict):
            return payload
        try:
            return self._reading.decode(payload)
        except ProtocolError as error:
            cause = None if error.__cause__ is None else without_frames(error.__cause__)
            self.fail(self._monitor.annotate(error), cause)
            raise

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        self._monitor.wake_on_arrival(wakeup)

    def left_over(self) -> Messages:
        with self._lock:
            return Messages(self._protocol.take(), self.decode)

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        with self._lock:
            self._protocol.conclude(error, cause, now=time.monotonic())
            self._protocol.send_close((isinstance(error, ProtocolError) and error.code) or 1000)
            self._writing.pump()
            self._monitor.notify()

    def close(self, deadline: float = float("inf")) -> None:
        if os.getpid() != self._pid:  # the parent still uses the connection: no byte may be written here
            self._sock.close()
            return
        if self.interrupted:
            self._protocol.closed = True
            self.abandon()  # the interrupted code holds the lock, and runs on afterwards
            return
        try:
            self._protocol.closed = True  # first, so that it holds whatever interrupts the rest
            timeout = self._config.close_timeout
            if timeout is not None:
                deadline = min(deadline, time.monotonic() + timeout)
            self._close_handshake(deadline)
        finally:  # after Ctrl-C, too: a finaliser has nothing to do for what is closed
            self._sock.shut()
            self._leave()
        self._lead.see_off(_JOIN)
        for thread in (self._writer, self._lead.reader):
            if thread is not None and thread.is_alive() and thread.ident != threading.get_ident():
                thread.join(_JOIN)
                if thread.is_alive():
                    self._log.warning("thread %s did not end within %g s", thread.name, _JOIN)

    def abandon(self) -> None:
        self._monitor.abandoned = True  # is_open is False at once; the reader wakes and sees the end
        self._sock.shut()
        self._monitor.writer.wake()

    # -- private; called without the lock ------------------------------------------------------------

    def _cut_short(self) -> None:
        """Clean up after an exception under the lock: Ctrl-C may have left it held, or a change half made."""
        let_go(self._lock)
        if self._protocol.torn:
            self._monitor.writer.wake()  # the writer ends the session, see ClientProtocol.tick()

    def _send_when(
        self,
        has_room: Callable[[], bool],
        send: Callable[[float], None],
        *,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        """Call ``send`` under the lock once there is room; without ``wait``, return False if there isn't."""
        since = None
        ticket: Optional[threading.Lock] = None
        while True:
            try:
                with self._lock:
                    self._monitor.room.give_back(ticket)
                    now = time.monotonic()
                    since = self._turn(since, now, has_room(), feeding)
                    if since is None:
                        send(now)
                        self._writing.write_soon(now)
                        self._monitor.notify()
                        return True
                    if not wait:
                        return False
                    ticket = self._monitor.room.ticket()
            except BaseException:
                self._cut_short()
                raise
            limit = self._config.send_timeout
            self._lead.have_read()
            WaitList.wait(ticket, float("inf") if limit is None else since + limit)

    def _close_handshake(self, deadline: float) -> None:
        """Send a close frame and wait for the server's."""
        self._lead.have_read(anybody=True)
        with self._lock:
            self._protocol.break_off(time.monotonic())
            self._protocol.send_close()
            self._writing.pump()
        while True:
            with self._lock:
                self._monitor.notify()
                left = "reader" not in self._monitor.inside
                if left or self._writing.blocked or self._lead.is_reader:
                    return
                ticket = None if self._lead.read() else self._monitor.news.ticket()
            if ticket is None:
                self._lead.read_some()  # the writer shuts the socket at the deadline
            elif not WaitList.wait(ticket, deadline):
                return

    # -- private; called with the lock held ----------------------------------------------------------

    def _turn(self, since: Optional[float], now: float, room: bool, feeding: bool) -> Optional[float]:
        """Return None to send now, else since when there was no progress.

        None also if the message is out of turn: the protocol's table then refuses it with a better error.
        """
        protocol = self._protocol
        if not protocol.ending and (room or protocol.state.phase is not Phase.STREAMING):
            return None
        if protocol.conclusion is not None:
            self._monitor.raise_conclusion()
        limit = self._config.send_timeout
        # While the receiver is behind, the server is not to blame.
        since = now if since is None or (feeding and protocol.behind) else max(since, protocol.progress_at)
        if limit is not None and now >= since + limit:
            text = (
                f"nothing could be sent for {limit:g} s: the server acknowledges no audio "
                f"({protocol.window.frames} frames are unacknowledged)"
            )
            raise self._monitor.annotate(TimeoutError(text, stage="send", seconds=limit))
        return since

    # -- the two threads -----------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            if self._monitor.enter("writer"):
                self._writing.run(self._lead.watch)
        finally:
            self._sock.shut()  # however it ended, no thread enforces the deadlines any more
            self._leave("writer")

    def _end_reading(self) -> None:
        try:
            self._log_end()
        finally:  # a program's log handlers may raise
            self._sock.shut()
            self._leave("reader")

    def _leave(self, thread: Optional[str] = None) -> None:
        """Close the descriptor if this is the last thread to leave, or if neither thread ever ran."""
        if self._monitor.leave(thread):
            if self._protocol.conclusion is None:  # the other thread has failed before the reader began
                self._reading.fail(None)
            self._sock.close()

    def _log_end(self) -> None:
        protocol = self._protocol
        conclusion = protocol.conclusion
        how = "complete" if conclusion is None or conclusion.normal else conclusion.error.text
        self._log.info(
            "the session ended after %.1f s: %s; %d audio frames, %d messages",
            time.monotonic() - self._began,
            how,
            protocol.state.sent,
            protocol.received,
        )
        if protocol.state.surplus:
            self._log.warning("the server acknowledged %d frames more than were sent", protocol.state.surplus)
