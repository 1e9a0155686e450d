"""What a session needs of the way to its server, whether that is one connection or several in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple, Optional, Protocol, Union

from ..exceptions import SpeechmaticsError
from ..messages import Glance
from ..protocol import Incoming, Payload, glance, seen_in
from ..stats import SessionStats
from .wakeup import Wakes

__all__ = ["Arrived", "Link", "Messages"]


class Arrived(NamedTuple):
    """A message: decoded, if somebody wants it; and what is seen of a transcript that came as it is."""

    message: Optional[dict[str, Any]]
    seen: Optional[Glance]


class Messages(Iterator[dict[str, Any]]):
    """Messages that have arrived, each decoded when it is its turn, on the thread that takes it.

    Decoded by the reader they would wait in memory by the hundreds, and change processors. Any thread may
    take the next one. Iterated, all are decoded; :meth:`take` leaves what nobody wants as it came.

    Args:
        whole: All have to be decoded, wanted or not; what they say may not be what came.

    Attributes:
        waiting: Those that nobody has taken.
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
        """Return the next one; what holds no message is passed over.

        Raises:
            ProtocolError: It can't be decoded at all; the session has failed with this.
        """
        while self.waiting:
            try:
                payload = self.waiting.popleft().payload
            except IndexError:  # another thread has taken the last one
                break
            message = self._decode(payload)
            if message is not None:
                return message
        raise StopIteration

    def take(self, wants: Callable[[str], bool]) -> Optional[Arrived]:
        """Return the next one, decoded if somebody wants its kind, or it has to be; None if there is none.

        Raises:
            ProtocolError: It can't be decoded at all; the session has failed with this.
        """
        while self.waiting:
            try:
                known, payload, _ = self.waiting.popleft()
            except IndexError:  # another thread has taken the last one
                break
            as_it_came = not self._whole and type(payload) is bytes
            if as_it_came and not wants(known["message"]):
                seen = glance(payload)  # type: ignore[arg-type]
                if seen is not None:
                    return Arrived(None, seen)
            message = self._decode(payload)
            if message is not None:
                return Arrived(message, seen_in(message, payload) if as_it_came else None)  # type: ignore[arg-type]
        return None


class Link(Protocol):
    """A session's way to its server, from StartRecognition to the closed descriptor.

    Any thread may send; one thread receives. Whatever is sent raises SessionError if it is not the moment
    for it, and once the session is over what that ended with. In a forked child everything but
    :meth:`close` raises SessionError: the session belongs to the process that opened it.
    """

    # -- for everybody -------------------------------------------------------------------------------

    @property
    def session_id(self) -> Optional[str]:
        """The server's id of the session; with resume, that of the present one."""

    @property
    def is_open(self) -> bool:
        """Whether the session runs: no outcome yet, and this is the process that opened it."""

    @property
    def draining(self) -> bool:
        """Whether all audio is sent, or the session is over: there is nothing left to send."""

    @property
    def seconds_sent(self) -> float:
        """Seconds of audio, over all channels."""

    def seconds_sent_on(self, channel: Optional[str]) -> float:
        """Return the seconds of audio of one channel."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of audio."""

    def stats(self) -> SessionStats:
        """Return what is known here of the figures."""

    # -- sending -------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> bool:
        """Before the start, say what receives to the end and then closes.

        Return whether the thread that reads calls it, once RecognitionStarted has come, and not if that
        doesn't. False: the caller is to find a thread for it, after the start.
        """
        return False

    def start(self, message: Mapping[str, Any], deadline: float = float("inf")) -> bool:
        """Send StartRecognition and wait for RecognitionStarted; False if ``deadline`` (monotonic) passed."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a JSON message; with resume and during an outage, keep it until the session goes on.

        Raises:
            TimeoutError: Stage ``"send"``: the connection takes nothing.
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
        """Send one chunk of audio, when the window has room for it.

        Args:
            payload: The audio.
            channel: Its label, in a session of several.
            seconds: Its length, 0 if unknown.
            feeding: Wait also while the receiver is behind (``max_queue``), and during an outage; never for
                the receiver itself.
            wait: With False, return False and send nothing where it would have to wait.
        """

    def end_stream(self) -> None:
        """Send EndOfStream with the number of frames sent; a second time, or once over, do nothing."""

    def end_channel(self, channel: str) -> None:
        """Send EndOfChannel with the number of frames sent on it."""

    def request_stop(self) -> None:
        """Have the writer send EndOfStream soon. A flag and a wake-up, no lock: for signal handlers."""

    def wait_until(self, moment: float) -> bool:
        """Sleep until ``moment`` (monotonic) for the sender's pace; False at once if no audio is wanted."""

    # -- receiving -----------------------------------------------------------------------------------

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        """Take all messages that have arrived, waiting for some; ``()`` when the transcript is complete.

        None if ``deadline`` (monotonic) passed first. Raises what the session ended with, after everything
        that came before it was taken.
        """

    def wake_on_arrival(self, wakeup: Wakes) -> None:
        """From now on wake ``wakeup`` when there is something to receive, and once at once.

        For a receiver that sleeps elsewhere, in an event loop or on a thread that many share, and receives
        with a deadline that has passed.
        """

    def left_over(self) -> Messages:
        """Take what has arrived, without waiting and whatever the outcome is."""

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, error: SpeechmaticsError, cause: Optional[BaseException] = None) -> None:
        """End the session for a reason of our own, the audio source's for example: the first cause wins."""

    def close(self, deadline: float = float("inf")) -> None:
        """End it now: a close frame if it fits, ``close_timeout`` for the answer, then the socket is shut.

        The answer is waited for until ``deadline`` (monotonic) at most, against everything that could hold
        it up, locks included. In a forked child it closes the child's descriptor and nothing else.
        """

    def abandon(self) -> None:
        """Shut the socket, no more: for finalisers, which may run on any thread and inside any lock."""
