"""The threads that read audio sources and send them."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NoReturn, Optional

from ..audio import AudioSource, Pacer, described
from ..exceptions import AudioError, SessionError, SpeechmaticsError
from ..threads import begin, new_lock, telling
from .session import Session

__all__ = ["feed"]

_ROUNDING = 0.001  # seconds, less than which no audio is more than was announced
_PATIENCE = 0.02  # seconds that a channel waits for another one's chunk before it goes on


class RoundRobin:
    """Let channels alternate, chunk by chunk, as long as their sources keep up.

    Files take strict turns, so that no channel runs ahead of the others. A live source that pauses is waited
    for once, for ``_PATIENCE`` seconds, and then not until it goes on. ``_condition`` guards the counts; it
    is not held while reading or sending.
    """

    def __init__(self, channels: list[Optional[str]]) -> None:
        self._condition = threading.Condition(new_lock())
        now = time.monotonic()
        self._taken = dict.fromkeys(channels, 0)
        self._since = dict.fromkeys(channels, now)  # when each was last seen taking its turn

    def take(self, channel: Optional[str]) -> None:
        """Wait for the turn of ``channel``."""
        with self._condition:
            while True:
                mine, now = self._taken[channel], time.monotonic()
                behind = [self._since[other] for other, taken in self._taken.items() if taken < mine]
                patience = max(behind, default=0.0) + _PATIENCE - now
                if patience <= 0:
                    break
                self._condition.wait(patience)
            self._taken[channel] += 1
            self._since[channel] = now
            self._condition.notify_all()

    def leave(self, channel: Optional[str]) -> None:
        """Take a channel out that has ended: nobody waits for it any more."""
        with self._condition:
            self._taken.pop(channel, None)
            self._condition.notify_all()


def feed(session: Session, sources: Mapping[Optional[str], AudioSource], speed: Optional[float]) -> None:
    """Start a thread for each source that sends it, at most ``speed`` times as fast as real time.

    Each source has its own thread, since a silent telephone line must not hold up the other. All use one
    clock. A single source has the channel None.
    """
    durations = [0.0 if source.empty else source.duration for source in sources.values()]
    known = [duration for duration in durations if duration is not None]
    session.seconds_total = max(known) if len(known) == len(durations) else None
    round_robin = RoundRobin(list(sources))
    began = time.monotonic()
    for channel, source in sources.items():
        source.log_with(session.log)
        pacer = None if speed is None else Pacer(speed, began)
        place = "" if channel is None else f"-{list(sources).index(channel)}"
        # A copy for each thread: a context can be entered by one thread at a time.
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=telling,
            args=(
                partial(_died, session),
                *(context.run, _send, session, channel, source, pacer),
                round_robin if len(sources) > 1 else None,
            ),
            name=f"speechmatics-rt-sender-{session.log.request_id}{place}",
            daemon=True,
        )
        session.senders.append(thread)
        begin(thread)


def _died(session: Session, error: BaseException) -> NoReturn:
    session.connection.fail(_blame(error, None, reads=False), error)  # unless it has failed already
    raise error


def _send(
    session: Session,
    channel: Optional[str],
    source: AudioSource,
    pacer: Optional[Pacer],
    round_robin: Optional[RoundRobin],
) -> None:
    connection, reads = session.connection, True
    try:
        for chunk in _measured(session, source):
            reads = False
            if pacer is not None and not connection.wait_until(pacer.due(session.seconds(len(chunk)))):
                break
            if round_robin is not None:
                round_robin.take(channel)
            session.feed(chunk, channel)
            reads = True
        reads = False
        if channel is None:
            connection.end_stream()
        else:
            connection.end_channel(channel)
    except AudioError as exc:
        session.ending.source_failed(exc)
    except SessionError as exc:
        if not connection.draining:  # else the session ended while we were about to send
            connection.fail(exc)
    except SpeechmaticsError as exc:
        connection.fail(exc, exc.__cause__)
    except BaseException as exc:
        connection.fail(_blame(exc, channel, reads=reads), exc)
        raise
    finally:
        if round_robin is not None:
            round_robin.leave(channel)
        source.close()


def _measured(session: Session, source: AudioSource) -> Iterator[bytes]:
    """Pass the chunks on; have the session forget how long its audio is once there is more of this.

    The header of a WAV may announce too little, and a file may grow.
    """
    announced = float("inf") if source.duration is None else source.duration + _ROUNDING
    seconds = 0.0
    for chunk in source:
        seconds += session.seconds(len(chunk))
        if seconds > announced:
            session.seconds_total = None
        yield chunk


def _blame(error: BaseException, channel: Optional[str], *, reads: bool) -> SpeechmaticsError:
    """Return what ends a session for an exception that is no error of it: of its source, or our own."""
    if reads:
        return AudioError(f"the audio source raised {described(error)}", channel=channel)
    return SessionError(f"the audio could not be sent: {described(error)}")
