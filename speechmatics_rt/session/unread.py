"""Late decoding of transcript messages that are kept as they came."""

from __future__ import annotations

from typing import Any

from ..protocol import results_in

__all__ = ["Unread"]


class Unread:
    """Decodes the payloads that a transcript keeps. Refers to nothing of the session.

    Called under the transcript's lock: memory work only, so payloads that are not messages are counted, not
    logged.
    """

    __slots__ = ("_broken",)

    def __init__(self) -> None:
        self._broken: set[int] = set()  # their hashes: each counts once, however often it is read

    @property
    def skipped(self) -> int:
        """How many payloads were not messages."""
        return len(self._broken)

    def results(self, payload: bytes) -> list[Any]:
        results = results_in(payload)
        if results is None:
            self._broken.add(hash(payload))
        return results or []
