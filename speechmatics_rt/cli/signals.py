"""Ctrl-C, SIGTERM and SIGHUP: the audio ends, and the transcript is completed and written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

from ..baseclient import BaseClient
from ..session import MessageStream
from .asked import Asked
from .options import PROG
from .show import Screen
from .sources import MicrophoneInput

__all__ = ["Interrupts", "on_signals", "on_suspension", "with_heartbeat"]

_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none, but SIGBREAK, when its console is closed
_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]


@contextmanager
def on_signals(act: Callable[[int], object]) -> Iterator[None]:
    """Have the signals that end a program call this, in the main thread, between two of its instructions."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background, under nohup
                before[number] = signal.signal(number, lambda number, _: act(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def on_suspension(act: Callable[[], object]) -> Iterator[None]:
    """Have this called in the main thread before Ctrl-Z stops the program, until ``fg`` or ``bg``."""
    number = getattr(signal, "SIGTSTP", None)  # Windows has none
    if (
        number is None
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(number) is not signal.SIG_DFL  # as in a shell without jobs
    ):
        yield
        return

    def stop(number: int, _: object) -> None:
        act()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # returns when the program is continued
        signal.signal(number, stop)

    signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def with_heartbeat(act: Callable[[], object]) -> Iterator[None]:
    """Have this called in the main thread each second, between two of its instructions.

    Not on Windows, nor where the alarm is set already: it is that of a program that runs the command.
    """
    ours = threading.current_thread() is threading.main_thread()
    if sys.platform != "win32" and ours and not any(signal.getitimer(signal.ITIMER_REAL)):
        before = signal.getsignal(signal.SIGALRM)
        try:
            signal.signal(signal.SIGALRM, lambda *_: act())
            signal.setitimer(signal.ITIMER_REAL, 1, 1)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    else:
        yield


class Interrupts:
    """The effect of signals: the first ends the audio and completes its transcript; the second ends all.

    While the transcript is being written, the first one waits for that.

    A signal that ends all raises ``KeyboardInterrupt`` with its number.

    Attributes:
        stopping: The number of the signal that has ended the audio; 0 if none has.
    """

    def __init__(self, screen: Screen) -> None:
        self.stopping = 0
        self._screen = screen
        self._client: Any = None
        self._recording: Optional[MicrophoneInput] = None
        self._beside = False  # of other channels, which are to end, too
        self._begun = False
        self._writing = self._impatient = False

    def start(self, client: BaseClient, session: Asked) -> MessageStream:
        """Start the session that a signal is to end."""
        self._client, self._recording = client, session.audio.recording
        self._beside = bool(session.audio.channels)
        messages: MessageStream = self._client.stream(session.audio.open(), **session.options)
        self._begun = True
        return messages

    @property
    def _has_begun(self) -> bool:
        """Whether the session has started: audio may be on its way before the call that starts it returns."""
        return self._begun or (self._client is not None and self._client.session_id is not None)

    def write(self) -> None:
        """Note that the session is over, and that its transcript is about to be written."""
        self._writing = True

    def __call__(self, number: int) -> None:
        # Runs between two instructions of the main thread, so it takes no lock.
        if self._writing:
            if self._impatient:
                raise KeyboardInterrupt(number)
            self._impatient = True
        elif self.stopping:
            if number != _HANG_UP:  # which comes twice, from the terminal and from the shell
                raise KeyboardInterrupt(number)
        elif not self._has_begun:  # nothing was heard
            raise KeyboardInterrupt(number)
        else:
            self.stopping = number
            if self._recording is None or self._beside:
                self._client.request_stop()
            else:
                self._recording.end()  # what was said until now is still to be sent
            self._screen.stopping(
                f"{PROG}: stopping; waiting for the rest of the transcript (Ctrl-C again: at once)"
            )
