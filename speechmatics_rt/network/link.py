"""The interface between a session and its server, whether that is one connection or several in turn."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional, Protocol, Union

from ..exceptions import SessionError, SpeechmaticsError
from ..messages import Glance
from ..protocol import Incoming, Payload, glance, seen_in
from ..stats import SessionStats
from .wakeup import Wakes

__all__ = ["Arrived", "Link", "Messages", "Replaceable", "out_of_place"]

_RUN = 64  # transcripts at most that are taken at once, so that limits are checked in between

# A message, decoded, and what was seen of it, if it is a transcript whose bytes are kept; or None, and what
# was seen of a run of transcripts that nobody wants. A plain tuple, as Incoming is.
Arrived = tuple[Optional[dict[str, Any]], Sequence[Glance]]


def out_of_place() -> SessionError:
    """Return the error for a call that would send or wait where nothing must."""
    if sys.is_finalizing():
        return SessionError(
            "the interpreter is ending, and with it the threads of this session; end sessions before the "
            "program ends, by `with` or in an atexit handler, and not in a finaliser"
        )
    return SessionError(
        "this signal handler interrupted the session's own work: here it may call request_stop(), "
        "close() and what only reads state, but nothing that sends or waits"
    )


class Messages(Iterator[dict[str, Any]]):
    """Messages that have arrived, each decoded when it is taken, on the thread that takes it.

    Decoded by the reader, they would wait in memory by the hundreds, and move between processors. Any thread
    may take the next one. Iteration decodes all; :meth:`take` does not decode what no handler wants.

    Args:
        whole: Decode all, wanted or not: needed if ``decode`` changes or logs messages.

    Attributes:
        waiting: Those that were not taken yet.
    """

    __slots__ = ("_decode", "_whole", "waiting")

    def __init__(
        self,
        arrived: Iterable[Incoming],
        decode: Callable[[Payload], Optional[dict[str, Any]]],
        *,
        whole: bool = True,
    ) -> None:
        self.waiting = deque(arrived)
        self._decode = decode
        self._whole = whole

    def __next__(self) -> dict[str, Any]:
        """Return the next message; skip what is not a message.

        Raises:
            ProtocolError: It is not decodable; the session has failed with this error.
        """
        while self.waiting:
            try:
                _, payload, _ = self.waiting.popleft()
            except IndexError:  # another thread has taken the last one
                break
            message = self._decode(payload)
            if message is not None:
                return message
        raise StopIteration

    def take(self, wants: Callable[[str], bool]) -> Optional[Arrived]:
        """Return the next one, decoded if its kind is wanted or it must be; None if there is none.

        Transcripts that nobody wants, and that come one after the other, are taken at once. One thread at a
        time takes, unless it wants all.

        Raises:
            ProtocolError: It is not decodable; the session has failed with this error.
        """
        run: list[Glance] = []
        while self.waiting and len(run) < _RUN:
            try:
                incoming = self.waiting.popleft()
            except IndexError:  # another thread has taken the last one
                break
            known, payload, _ = incoming
            as_it_came = not self._whole and type(payload) is bytes
            if as_it_came and not wants(known["message"]):
                seen = glance(payload)  # type: ignore[arg-type]
                if seen is not None:
                    run.append(seen)
                    continue
            if run:
                self.waiting.appendleft(incoming)
                break
            message = self._decode(payload)
            if message is not None:
                return message, seen_in(message, payload) if as_it_came else ()  # type: ignore[arg-type]
        return (None, run) if run else None


class Link(Protocol):
    """A session's link to its server, from StartRecognition to the closed descriptor.

    Any thread may send; one thread receives. Methods that send raise SessionError if the message is out of
    turn, and the error the session ended with once it is over. In a forked child everything but
    :meth:`close` raises SessionError: the session belongs to the process that opened it.
    """

    # -- from any thread -----------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        """The server's id of the session; with resume, that of the current one."""

    @property
    def is_open(self) -> bool:
        """Whether the session runs: neither end has ended it, and this process has opened it."""

    @property
    def draining(self) -> bool:
        """Whether there is nothing left to send: all audio is sent, or the session is over."""

    @property
    def seconds_sent(self) -> float:
        """Seconds of audio sent, over all channels."""

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        """Return the seconds of audio sent on one channel."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of audio sent."""

    def stats(self) -> SessionStats:
        """Return those figures of the session that are known here."""

    # -- sending -------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> bool:
        """Before the start, set the function that receives to the end and then closes.

        Return True if the thread that reads calls it, once RecognitionStarted has arrived (and never, if
        that does not arrive). False: the caller must run it on a thread of its own, after the start.
        """
        return False

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        """Send StartRecognition and wait for RecognitionStarted; False if ``deadline`` (monotonic) passed."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message; with resume and during an outage, keep it until the session continues.

        Raises:
            TimeoutError: Stage ``"send"``: nothing could be sent for ``send_timeout``.
        """

    def send_audio(
        self,
        payload: Union[bytes, bytearray, memoryview],
        *,
        channel: Optional[str] = None,
        seconds: float = 0.0,
        feeding: bool = False,
        wait: bool = True,
    ) -> bool:
        """Send one chunk of audio, when the window has room for it; return whether it was sent.

        Args:
            payload: The audio.
            channel: The channel's label, in a session of several.
            seconds: The length of the audio, 0 if unknown.
            feeding: Wait also while the receiver is behind (``max_queue``), and during an outage. Never set
                it on the receiver's own thread.
            wait: With False, return False and send nothing if it would have to wait.
        """

    def end_stream(self) -> None:
        """Send EndOfStream with the number of frames sent, unless it was sent or the session is over."""

    def end_channel(self, channel: str) -> None:
        """Send EndOfChannel with the number of frames sent on it."""

    def request_stop(self) -> None:
        """Have the writer send EndOfStream soon. Takes no lock, so signal handlers may call it."""

    def wait_until(self, moment: float) -> bool:
        """Wait until ``moment`` (monotonic), to pace a sender; return False once no audio is accepted."""

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        """Take all messages that have arrived, waiting for the first; ``()`` once the transcript is complete.

        None if ``deadline`` (monotonic) passed first. Raises the error the session ended with, after all
        messages that arrived before it were taken.
        """

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        """From now on wake ``wakeup`` whenever there is something to receive, and wake it once now.

        For a receiver that waits elsewhere, in an event loop, and then receives without waiting, with a
        deadline that has passed.
        """

    def left_over(self) -> Messages:
        """Take what has arrived, without waiting, whatever the conclusion."""

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """End the session with an error of this end, such as a failed audio source; the first error wins."""

    def close(self, deadline: float = float("inf")) -> None:
        """End it now: send a close frame if there is room, wait for the answer, then shut the socket.

        It waits for ``close_timeout``, and until ``deadline`` (monotonic) at most, whatever holds it up,
        locks included. In a forked child it closes the child's descriptor and nothing else.
        """

    def abandon(self) -> None:
        """Only shut the socket: for finalisers, which may run on any thread and inside any lock."""


class Replaceable(Link, Protocol):
    """A link that another one may take over from: what ``resume`` asks of a connection besides."""

    @property
    def is_complete(self) -> bool:
        """Whether the session ended with a complete transcript. Known before the last message is taken."""

    @property
    def interrupted(self) -> bool:
        """Whether the caller must not wait for anything.

        It is a signal handler that interrupted this thread while it held the lock; or it is a finaliser at
        the end of the interpreter, when no other thread runs any more.
        """

    def check_process(self) -> None:
        """Raise SessionError in a forked child."""

    def check(self, *locks: Any) -> None:
        """Raise SessionError in a forked child, and where it is :attr:`interrupted`.

        Args:
            locks: Further locks, besides the link's own, that this thread holds during such work.
        """

    def offer(self, message: Mapping[str, Any]) -> bool:
        """Send a message if that needs no waiting; return whether it was sent. Raises like :meth:`send`."""

    def wait_for_room(self, channel: Optional[str], seconds: float, feeding: bool) -> None:
        """Wait until such a chunk could be sent at once. Raises like :meth:`send`."""

    def decode(self, payload: Payload) -> Optional[dict[str, Any]]:
        """Decode a payload; return None, after logging and counting it, if it is not a message.

        Raises:
            ProtocolError: It is not decodable; the session has failed with this error.
        """
