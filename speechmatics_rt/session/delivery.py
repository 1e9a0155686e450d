"""The delivery of a session's messages: what comes next, who runs the handlers, how far that has come.

It has three forms: :class:`MessageStream`, on the thread that iterates; :class:`Listener`, on a thread of
this package; and ``aio.dispatch.Dispatcher``, in a task. Each takes from :class:`Arrivals` what is there, has
the session take it in and runs its handlers, and receives more when nothing is left. They differ in how they
wait, in who gets an error of a handler, and in whether they close before the last events or after.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional, Union

from ..exceptions import SessionError, TimeoutError
from ..network import Arrived, Link, Messages
from ..threads import Latch
from .outcome import Outcome

__all__ = ["Arrivals", "Delivery", "everything"]

_NEVER = float("inf")
_NOTHING = Messages((), lambda payload: None)


def everything(kind: str) -> bool:
    """Want every message decoded: the caller gets them all."""
    return True


class Arrivals:
    """The messages of one session, each taken once. Knows the limit on the whole call, if there is one.

    Args:
        deadline: When the limit expires (monotonic).
        timeout: Its seconds, for the error.

    Attributes:
        here: Those that were not taken yet.
    """

    def __init__(
        self,
        connection: Link,
        outcome: Outcome,
        deadline: float = _NEVER,
        timeout: Optional[float] = None,
    ) -> None:
        self.deadline = deadline
        self._connection = connection
        self._outcome = outcome
        self._timeout = timeout
        self.here = _NOTHING

    def take(self, wants: Callable[[str], bool]) -> Optional[Arrived]:
        """Take the next message that is here, decoded if it is wanted; None if there is none.

        Raises:
            TimeoutError: Stage ``"whole"``. Checked before each message, since messages may come without
                end, or handlers take long.
            SessionError: ``close()`` came before a message that is to be handled now.
            ProtocolError: The message is not decodable; the session has failed with this error.
        """
        if self._outcome.closed or self.deadline < _NEVER:
            self._check()
        return self.here.take(wants)

    def receive(self, until: float = _NEVER) -> Optional[bool]:
        """Wait for more; None if nothing came ``until`` then (monotonic), False if nothing more will come.

        Raises:
            TimeoutError: Stage ``"whole"``.
            SpeechmaticsError: The error that the session ended with.
        """
        arrived = self._receive_in_time(until) if self.deadline < _NEVER else self._connection.receive(until)
        if arrived:
            self.here = arrived
            return True
        return None if arrived is None else False

    def _receive_in_time(self, until: float) -> Union[Messages, tuple[()], None]:
        self._check_deadline()
        arrived = self._connection.receive(min(until, self.deadline))
        if arrived is None and until > self.deadline:
            raise self._overdue()
        return arrived

    def drop(self) -> None:
        """Drop what is here: nobody will take it."""
        self.here = _NOTHING

    def _check(self) -> None:
        self._check_deadline()
        if self._outcome.closed and self.here.waiting:
            raise SessionError("the session was closed while messages were waiting to be handled")

    def _check_deadline(self) -> None:
        if time.monotonic() >= self.deadline and self._connection.is_open:
            raise self._overdue()

    def _overdue(self) -> TimeoutError:
        text = f"the transcription was not complete within {self._timeout:g} s"
        return TimeoutError(text, stage="whole", seconds=self._timeout)


class Delivery:
    """Who runs the handlers of one session, and how far that has come.

    It goes in one direction, and each step may be asked for more than once:

    ======= ============================= ==================================================================
    stage   begins by                     who does it
    ======= ============================= ==================================================================
    running the session                   whoever opens it
    ending  :meth:`ends_on`               the thread that is about to run the handlers of the last message,
                                          or of ``SessionEnded``
    over    :meth:`end`                   that thread; who opened it, if the start failed; or the finaliser
                                          of a stream
    ======= ============================= ==================================================================

    Independent of the stage is who tells the last events: the first to :meth:`claim_last_events`, perhaps the
    client, long after a stream was dropped. No lock is needed, since nothing is ever taken back; so
    finalisers and signal handlers may do all of it.

    Attributes:
        streamed: A stream delivers it, not a listener.
        thread: The thread that runs handlers, or is the next to; None between them if that is not known.
        at_rest: The stream is with its caller, who may never come back, and no ``with`` closes it. Changed by
            the stream alone.
        orphaned: The listener found its client gone.
        over: All handlers have run that will, but perhaps those of the last events.
        awaited: What ``stop_session()`` waits for: the same, or that somebody has closed the stream.
    """

    def __init__(self, *, streamed: bool) -> None:
        self.streamed = streamed
        self.thread: Optional[int] = threading.get_ident()
        self.at_rest = False
        self.orphaned = False
        self.over = Latch()
        self.awaited = Latch()
        self._ends_on: Optional[int] = None
        self._untold = [True]  # emptied by whoever tells the last events

    @property
    def is_mine(self) -> bool:
        """Whether this thread delivers, so that it can't wait for what is still to be delivered."""
        return self.thread == threading.get_ident() and not self.over.is_set()

    @property
    def is_left(self) -> bool:
        """Whether this thread delivers a stream and is not in its loop, which it must have left.

        A stream that is dropped ends by itself; but a traceback that is kept, as in a notebook, keeps the
        stream alive.
        """
        telling = not self._untold and not self.over.is_set()  # its last handlers may call us
        return self.at_rest and not telling and self.thread == threading.get_ident()

    def is_over_for(self, thread: int) -> bool:
        """Whether that thread need not wait for handlers any more: those of the end are run by itself."""
        return self.over.is_set() or self._ends_on == thread

    def ends_on(self, thread: int) -> None:
        """Note which thread is about to run the handlers of the last message, or of the last event."""
        self._ends_on = thread

    def claim_last_events(self) -> bool:
        """Whether the last events are this caller's to tell: True once."""
        try:
            self._untold.pop()
        except IndexError:
            return False
        return True

    def leave(self) -> None:
        """Note that the program has closed it: the thread of a stream may never come back."""
        if self.streamed:
            self.awaited.set()

    def end(self) -> None:
        """Note that nothing more will be delivered."""
        self.over.set()
        self.awaited.set()
