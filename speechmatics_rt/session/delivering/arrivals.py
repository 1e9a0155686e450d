"""What has arrived and is to be delivered next, with the limit on the whole call."""

from __future__ import annotations

import time
from typing import Callable, Optional, Union

from ...exceptions import SessionError, TimeoutError
from ...network import Arrived, Link, Messages
from ..ending import SessionEnding

__all__ = ["Arrivals"]

_NEVER = float("inf")
_NOTHING = Messages((), lambda payload: None)


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
        ending: SessionEnding,
        deadline: float = _NEVER,
        timeout: Optional[float] = None,
    ) -> None:
        self.deadline = deadline
        self._connection = connection
        self._ending = ending
        self._timeout = timeout
        self.here = _NOTHING

    def take(self, wants: Callable[[str], bool]) -> Optional[Arrived]:
        """Take the next message that is here, decoded if it is wanted; None if there is none.

        Several that nobody wants may come at once, see :meth:`Messages.take`.

        Raises:
            TimeoutError: Stage ``"whole"``. Checked each time, since messages may come without end, or
                handlers take long.
            SessionError: ``close()`` came before a message that is to be handled now.
            ProtocolError: The message is not decodable; the session has failed with this error.
        """
        if self._ending.closed or self.deadline < _NEVER:
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
        if self._ending.overtaken and not self._ending.complete:
            raise SessionError(
                "another session was started on this client in the body of the loop, which has ended this "
                "one, as a client runs one at a time; use another client there"
            )
        if self._ending.closed and self.here.waiting:
            raise SessionError("the session was closed while messages were waiting to be handled")

    def _check_deadline(self) -> None:
        if time.monotonic() >= self.deadline and self._connection.is_open:
            raise self._overdue()

    def _overdue(self) -> TimeoutError:
        text = f"the transcription was not complete within {self._timeout:g} s"
        return TimeoutError(text, stage="whole", seconds=self._timeout)
