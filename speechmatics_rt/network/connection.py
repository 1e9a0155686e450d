"""One connection, one session: a reader thread, a writer thread and the lock between them.

Two rules keep it simple. *The reader pronounces the verdict*: it hears the server out, so that the
server's own words win over a broken pipe. *The writer keeps the time*: pings, and every deadline that
nobody waits for. A connection lives once; a reconnect is a new one, and nothing here knows the word.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Callable, NoReturn, Optional, Union

from ..config import ConnectionConfig
from ..exceptions import (
    ConnectionError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    without_frames,
)
from ..log import SessionLog, wire
from ..protocol import Arrival, Exchange, State, codec, frames
from ..stats import SessionStats
from .duplex import DuplexSocket
from .reader import Arrived, Receiver
from .wakeup import Doorbell, Waiters

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

_GATHER = 0.0005  # seconds
_BURST = 0.001  # seconds; chunks closer together than this are an upload: the writer joins them
_LOOK_AGAIN = 1.0  # seconds; a window may open below the mark at which senders are called
_STUCK = (
    0.5  # seconds between looks at the time while the socket takes nothing: the bell can't be heard there
)
_JOIN = 1.0  # seconds to wait for a thread that should be on its way out
_LONGEST_WAIT = 3600.0  # for the lock: nobody waits that long, and an endless wait would overflow


class Connection:
    """Own one upgraded socket from the first frame to the closed descriptor.

    Any thread may send; one thread receives. ``_lock`` guards ``_exchange`` and the flags beside it. Under
    it the socket is tried, which never waits; it is never held over a wait, a join or the user's code.
    Who waits takes a ticket under it, from ``_room`` (senders) or ``_news`` (receivers, and who starts or
    closes), and waits for that without it. The doorbell is the writer's, and belongs to no lock.

    Args:
        sock: The upgraded socket; this connection closes it.
        config: Timeouts and limits.
        log: The logger with this session's ids.
        wants: Asked on the reader thread whether anybody listens to acknowledgements; otherwise these
            never leave it.
    """

    def __init__(
        self, sock: DuplexSocket, config: ConnectionConfig, log: SessionLog, *, wants: Callable[[str], bool]
    ) -> None:
        self._sock = sock
        self._config = config
        self._log = log.on(logger)
        self._wants = wants
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._room = Waiters()
        self._news = Waiters()
        self._bell = Doorbell()
        self._arrival: Optional[Doorbell] = None  # of a receiver that sleeps elsewhere
        self._exchange = Exchange(config, block=sock.max_block, now=self._began)
        self._receiver = Receiver(sock, config.max_size, self._log)
        self._blocked = False  # the socket takes no more; the writer waits for it, nobody else tries
        self._put_at = 0.0
        self._went = False
        self._abandoned = False
        self._state_told = State.NEW
        self._reader_left = self._writer_left = False  # the last of the two closes the descriptor
        name = f"speechmatics-rt-{{}}-{log.request_id}"
        self._reader = threading.Thread(target=self._read, name=name.format("reader"), daemon=True)
        self._writer = threading.Thread(target=self._write, name=name.format("writer"), daemon=True)
        try:
            self._reader.start()
            self._writer.start()
        except BaseException:  # no more threads to give, or Ctrl-C while one starts
            self._exchange.hang_up_at = self._began
            sock.shut()
            with self._lock:
                self._writer_left |= not self._writer.is_alive() and self._writer.ident is None
                if self._reader.ident is None and self._writer_left:
                    sock.close()
            raise

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        return self._exchange.session.session_id

    @property
    def is_open(self) -> bool:
        """Whether the session runs: no verdict yet, and this is the process that opened it."""
        return self._exchange.verdict is None and not self._abandoned and os.getpid() == self._pid

    @property
    def draining(self) -> bool:
        """Whether all audio is said, or the session is over: there is nothing left to send."""
        return self._exchange.verdict is not None or self._exchange.session.state is State.DRAINING

    @property
    def seconds_sent(self) -> float:
        return self._exchange.seconds_sent

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        return self._exchange.seconds_on.get(channel, 0.0)

    @property
    def bytes_sent(self) -> int:
        return self._exchange.bytes_sent

    def check_process(self) -> None:
        """Raise SessionError in a forked child."""
        if os.getpid() != self._pid:  # before any lock: its owner may not exist on this side of the fork
            raise SessionError(
                "this session belongs to the process that started it; after a fork, start one in the child"
            )

    def stats(self) -> SessionStats:
        self.check_process()
        with self._lock:
            exchange = self._exchange
            return SessionStats(
                seconds_sent=exchange.seconds_sent,
                seconds_acknowledged=exchange.seconds_sent - exchange.window.seconds,
                frames_sent=exchange.session.sent,
                unacknowledged_frames=exchange.window.frames,
                bytes_sent=exchange.bytes_sent,
                messages_received=exchange.heard,
                messages_skipped=self._receiver.skipped,
                queue_depth=exchange.queue_depth,
                silence=time.monotonic() - exchange.keepalive.heard_at,
            )

    # -- talking -------------------------------------------------------------------------------------

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        """Say StartRecognition and wait for RecognitionStarted; False if ``deadline`` (monotonic) passed."""
        self.send(message)
        while True:
            with self._lock:
                verdict = self._exchange.verdict
                if verdict is not None and not verdict.normal:
                    self._raise_verdict()
                if self._exchange.session.state not in (State.STARTING, State.FAILED):
                    return True  # perhaps over already: a short session can outrun who starts it
                ticket = self._news.ticket()
            if not Waiters.wait(ticket, deadline):
                return False

    def send(self, message: Mapping[str, Any]) -> None:
        """Say a JSON message.

        Raises:
            SessionError: It is not the moment for it, or the session has ended.
            TimeoutError: Stage ``"send"``: the connection takes nothing.
            SpeechmaticsError: The verdict, if there is one.
        """
        self.check_process()
        frame = frames.encode(frames.TEXT, codec.encode(message))
        if wire.isEnabledFor(logging.DEBUG):
            self._log.on(wire).debug("> %s", dict(message))
        exchange = self._exchange
        self._speak(lambda: not exchange.outbox.full, lambda now: exchange.say(message, frame, now))

    def send_audio(
        self,
        payload: Union[bytes, bytearray, memoryview],
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        """Send one chunk of audio, when the window has room for it.

        Args:
            payload: The audio.
            seconds: Its length, 0 if unknown.
            feeding: Wait also while the receiver is behind (``max_queue``); never for the receiver itself.
            wait: With False, return False and send nothing where it would have to wait.

        Raises:
            As :meth:`send`.
        """
        self.check_process()
        if channel is None:
            frame = frames.encode(frames.BINARY, payload)
        else:
            message = {
                "message": "AddChannelAudio",
                "channel": channel,
                "data": b64encode(payload).decode("ascii"),
            }
            frame = frames.encode(frames.TEXT, codec.encode(message))
        exchange = self._exchange
        with self._lock:  # the usual case, without further ado: this is called for every chunk
            if exchange.may_say_audio and exchange.admits(channel, seconds, feeding):
                exchange.say_audio(frame, channel, seconds, len(payload))
                self._write_soon(time.monotonic())
                return True
        return self._speak(
            lambda: exchange.admits(channel, seconds, feeding),
            lambda now: exchange.say_audio(frame, channel, seconds, len(payload)),
            feeding=feeding,
            wait=wait,
        )

    def wait_for_room(self, channel: Optional[str], seconds: float, feeding: bool) -> None:
        """Wait until such a chunk need not wait. Raises as :meth:`send`."""
        exchange = self._exchange
        self._speak(lambda: exchange.admits(channel, seconds, feeding), lambda now: None, feeding=feeding)

    def end_stream(self) -> None:
        """Say EndOfStream with the number of frames sent; a second time, or once over, do nothing."""
        self.check_process()
        with self._lock:
            now = time.monotonic()
            self._exchange.end_stream(now)
            self._write_soon(now)
            self._tell()

    def end_channel(self, channel: str) -> None:
        """Say EndOfChannel with the number of frames sent on it.

        Raises:
            SessionError: There is no such channel, or it has ended already.
            SpeechmaticsError: The verdict, if there is one.
        """
        self.check_process()
        exchange = self._exchange
        self._speak(lambda: not exchange.outbox.full, lambda now: exchange.end_channel(channel, now))

    def request_stop(self) -> None:
        """Have the writer thread say EndOfStream soon. A flag and a wake-up, no lock: for signal handlers."""
        self._exchange.stop = True
        self._bell.ring()

    def wait_until(self, moment: float) -> bool:
        """Sleep until ``moment`` (monotonic) for the feeder's pace; False at once if no audio is wanted."""
        exchange = self._exchange
        ticket: Optional[threading.Lock] = None
        while True:
            with self._lock:
                self._room.give_back(ticket)
                if exchange.ending or exchange.session.state is not State.STREAMING or exchange.stop:
                    return False
                if time.monotonic() >= moment:
                    return True
                ticket = self._room.ticket()
            Waiters.wait(ticket, moment)

    # -- listening -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Optional[list[Arrival]]:
        """Take all messages that have arrived, waiting for some; [] when the transcript is complete.

        None if ``deadline`` (monotonic) passed first. Each is for :meth:`open`.

        Raises:
            SpeechmaticsError: The verdict, after everything that came before it was taken.
        """
        self.check_process()
        while True:
            with self._lock:
                self._exchange.delivered()
                if self._exchange.has_arrivals:
                    batch = self._exchange.take()
                    self._tell()
                    return batch
                self._tell()
                if self._exchange.verdict is not None:
                    if self._exchange.verdict.normal:
                        return []
                    self._raise_verdict()
                ticket = self._news.ticket()
            if not Waiters.wait(ticket, deadline):
                return None

    def ring(self, bell: Doorbell) -> None:
        """Ring ``bell`` from now on when there is something to receive, and once at once.

        For a receiver that sleeps elsewhere, in an event loop, and receives with a deadline that has passed.
        """
        self._arrival = bell
        bell.ring()

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
            return self._receiver.decode(arrival)
        except ProtocolError as error:
            self.fail(self._told(error), without_frames(error.__cause__) if error.__cause__ else None)
            raise

    def left_over(self) -> list[Arrival]:
        """Take what has arrived, without waiting and whatever the verdict is."""
        with self._lock:
            return self._exchange.take()

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """End the session for a reason of our own, the audio source's for example: the first cause wins."""
        with self._lock:
            self._exchange.conclude(error, cause, now=time.monotonic())
            self._exchange.say_goodbye((isinstance(error, ProtocolError) and error.code) or 1000)
            self._pump()
            self._tell()

    def close(self) -> None:
        """End it now: a close frame if it fits, ``close_timeout`` for the answer, then the socket is shut.

        Keeps its deadline against everything that could hold it up, the lock included. In a forked child
        it closes the child's descriptor and nothing else.
        """
        if os.getpid() != self._pid:
            self._sock.close()
            return
        timeout = self._config.close_timeout
        try:
            self._part(float("inf") if timeout is None else time.monotonic() + timeout)
        finally:
            self._sock.shut()
            self._bell.ring()
        for thread in (self._writer, self._reader):
            if thread is not threading.current_thread():
                thread.join(_JOIN)
                if thread.is_alive():
                    self._log.warning("thread %s did not end within %g s", thread.name, _JOIN)

    def abandon(self) -> None:
        """Shut the socket, no more: for finalisers, which may run on any thread and inside any lock."""
        self._abandoned = True  # closed for everybody at once; the reader says so when it wakes
        self._sock.shut()
        self._bell.ring()

    # -- inside, without the lock --------------------------------------------------------------------

    def _speak(
        self,
        has_room: Callable[[], bool],
        say: Callable[[float], None],
        *,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        """Call ``say`` under the lock when there is room; without ``wait``, False if there is none now."""
        since = None
        ticket: Optional[threading.Lock] = None
        while True:
            with self._lock:
                self._room.give_back(ticket)
                now = time.monotonic()
                since = self._turn(since, now, has_room(), feeding)
                if since is None:
                    say(now)
                    self._write_soon(now)
                    self._tell()
                    return True
                if not wait:
                    return False
                ticket = self._room.ticket()
            limit = self._config.send_timeout
            again = now + _LOOK_AGAIN if limit is None else min(now + _LOOK_AGAIN, since + limit)
            Waiters.wait(ticket, again)

    def _part(self, deadline: float) -> None:
        """Say goodbye and wait for the server's, the lock included no longer than until the deadline."""
        said = False
        while self._lock.acquire(timeout=max(0.0, min(deadline - time.monotonic(), _LONGEST_WAIT))):
            try:
                if not said:
                    said = True
                    if self._exchange.conclude(SessionError("the session was closed"), now=time.monotonic()):
                        self._exchange.abandon_arrivals()
                    self._exchange.say_goodbye()
                    self._pump()
                    self._tell()
                if self._reader_left or threading.current_thread() is self._reader or self._blocked:
                    return
                ticket = self._news.ticket()
            finally:
                self._lock.release()
            if not Waiters.wait(ticket, deadline):
                return

    # -- inside; the lock is held from here to the threads -------------------------------------------

    def _tell(self) -> None:
        """Wake who waits for what has happened; the writer too, since other deadlines may count now."""
        exchange = self._exchange
        if exchange.room:
            exchange.room = False
            self._room.notify_all()
        if exchange.news:
            exchange.news = False
            self._news.notify_all()
            if self._arrival is not None:
                self._arrival.ring()
        if exchange.session.state is not self._state_told:
            self._state_told = exchange.session.state
            self._bell.ring()

    def _tell_all(self) -> None:
        """Wake them from the reader's thread, which holds no lock."""
        if self._exchange.news or self._exchange.room:
            with self._lock:
                self._tell()

    def _turn(self, since: Optional[float], now: float, room: bool, feeding: bool) -> Optional[float]:
        """None: speak now, or out of turn, which the session says better; else since when nothing moved."""
        exchange = self._exchange
        if not exchange.ending and (room or exchange.session.state is not State.STREAMING):
            return None
        if exchange.verdict is not None:
            self._raise_verdict()
        limit = self._config.send_timeout
        # While our own receiver is behind, the server is not to blame.
        since = now if since is None or (feeding and exchange.behind) else max(since, exchange.progress_at)
        if limit is not None and now >= since + limit:
            text = (
                f"nothing could be sent for {limit:g} s: the server acknowledges no audio "
                f"({exchange.window.frames} frames are unacknowledged)"
            )
            raise self._told(TimeoutError(text, stage="send", seconds=limit))
        return since

    def _write_soon(self, now: float) -> None:
        """Write at once, on this thread; but a burst is left to the writer, which joins it."""
        burst = now - self._put_at < _BURST
        self._put_at = now
        if burst:
            self._bell.ring()
        else:
            self._pump()

    def _pump(self) -> None:
        """Write what is queued until the socket takes no more; then the writer goes on with it."""
        outbox = self._exchange.outbox
        if self._blocked or self._exchange.broken is not None:
            return
        try:
            block = outbox.take()
            while block:
                count = self._sock.try_send(block)
                outbox.wrote(count)
                self._went |= count > 0
                if count < len(block):
                    self._blocked = True
                    self._bell.ring()
                    break
                block = outbox.take()
        except OSError as exc:
            self._exchange.write_failed(exc, time.monotonic())
            self._bell.ring()
        except BaseException as exc:  # Ctrl-C inside a send: nobody knows how much of the frame went out
            error = ConnectionError("interrupted while sending", stage=self._exchange.session.state.value)
            self._exchange.conclude(error, exc, now=time.monotonic())
            self._tell()
            self._sock.shut()
            raise

    def _told(self, error: SpeechmaticsError) -> SpeechmaticsError:
        error.request_id = self._log.request_id
        error.session_id = self._exchange.session.session_id
        return error

    def _raise_verdict(self) -> NoReturn:
        """Raise the verdict, as an exception of its own each time: each raise writes its own traceback."""
        verdict = self._exchange.verdict
        if verdict is None:
            raise RuntimeError("there is no verdict")
        raise self._told(copy.copy(verdict.error)) from verdict.cause

    # -- the writer thread: backlog, pings, deadlines ------------------------------------------------

    def _write(self) -> None:
        exchange = self._exchange
        try:
            while not self._reader_left:
                with self._lock:
                    self._blocked = self._went = False
                    was_full, was_waiting = exchange.outbox.full, bool(exchange.outbox)
                    self._pump()
                    now = time.monotonic()
                    if was_waiting and self._went:
                        exchange.progress_at = now
                        exchange.keepalive.stand_still(now)  # what leaves is read by somebody
                    exchange.room |= was_full and not exchange.outbox.full
                    wake_at = exchange.tick(now)
                    exchange.room |= self._abandoned
                    self._pump()
                    self._tell()
                    hang_up, blocked = exchange.hang_up, self._blocked
                if hang_up:
                    self._sock.shut()
                    return
                if blocked:
                    self._sock.wait_sendable(max(0.0, min(wake_at - now, _STUCK)))
                else:
                    self._bell.wait(wake_at - now)
                    if exchange.outbox and exchange.verdict is None:
                        # An upload: let some frames gather. Woken for each, the writer would fight the
                        # sender for the interpreter lock, at four times the price of a frame.
                        time.sleep(_GATHER)
        except OSError as exc:  # the descriptor is gone: the reader sees that too and says what it means
            self._log.debug("the writer ends: %s", exc)
        finally:
            self._sock.shut()  # whatever ended it, nobody keeps the time any more
            self._leave("_writer_left")

    # -- the reader thread ---------------------------------------------------------------------------

    def _read(self) -> None:
        error, cause = self._receiver.run(self._hear, self._tell_all)
        with self._lock:
            self._exchange.hear_end(error, cause, time.monotonic())
            self._pump()
            self._tell()
        try:
            self._log_end()
        finally:  # whatever a program's log handlers do
            self._sock.shut()
            self._leave("_reader_left")

    def _hear(self, arrived: Arrived) -> bool:
        """Take in what arrived, in order; True once the server has closed."""
        exchange = self._exchange
        starting = exchange.session.state is State.STARTING
        with self._lock:
            exchange.hear(arrived.heard, time.monotonic(), self._wants)
            if arrived.ping is not None:
                exchange.hear_ping(arrived.ping)
            if arrived.close is not None:
                exchange.hear_close(arrived.close)
            if exchange.outbox:
                self._pump()
        while True:  # flooded: the ping deadline stands still meanwhile
            with self._lock:
                if not exchange.flooded or self._abandoned:
                    break
                self._tell()
                ticket = self._room.ticket()
            Waiters.wait(ticket, float("inf"))
        if starting and exchange.session.session_id is not None:
            self._log.session_id = exchange.session.session_id
            self._log.debug("recognition started after %.2f s", time.monotonic() - self._began)
        return arrived.close is not None

    def _log_end(self) -> None:
        exchange = self._exchange
        how = (
            "complete" if exchange.verdict is None or exchange.verdict.normal else exchange.verdict.error.text
        )
        self._log.debug(
            "the session ended: %s; %d audio frames, %d messages", how, exchange.session.sent, exchange.heard
        )
        if exchange.session.surplus:
            self._log.warning(
                "the server acknowledged %d frames more than were sent", exchange.session.surplus
            )

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
