"""A wake-up for one thread, from anywhere."""

from __future__ import annotations

import threading

__all__ = ["Doorbell"]

_LONGEST_WAIT = 3600.0  # nobody waits for this: an endless wait would overflow


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
        self._button.acquire(timeout=max(0.0, min(seconds, _LONGEST_WAIT)))
