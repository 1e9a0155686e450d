"""Transcripts that are kept as they came, decoded when their text is asked for."""

from __future__ import annotations

from typing import Any

from ..protocol import results_in

__all__ = ["Unread"]


class Unread:
    """Give the results of a payload to the transcript that keeps it. Holds nothing of the session.

    Called under the transcript's lock: memory work only, so what is no message is counted, not logged.
    """

    __slots__ = ("_broken",)

    def __init__(self) -> None:
        self._broken: set[int] = set()  # hashes: each counts once, however often it is read, and none is kept

    @property
    def skipped(self) -> int:
        """How many turned out to hold no message."""
        return len(self._broken)

    def results(self, payload: bytes) -> list[Any]:
        results = results_in(payload)
        if results is None:
            self._broken.add(hash(payload))
        return results or []
