"""What all sessions of one local server share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Optional

from .connection import SessionRecord
from .engines import Engine
from .keys import KeyRing

__all__ = ["ServerState", "quality_of"]

_QUOTA_SHOWN = 50  # what Info tells of usage when there is no quota
_BROADCAST = 12_000  # Hz from which on a recording is more than a telephone's
_SLOTS = 1  # of a container that was told nothing else


@dataclass(frozen=True)
class ServerState:
    """The options of a server, its keys and its live sessions.

    Attributes:
        live: Returns the records of the WebSockets now open.
        container: Be a container, not the cloud service.
    """

    engine: Engine
    keys: KeyRing
    speed: Optional[float]
    time_scale: float
    quota: Optional[int]
    live: Callable[[], list[SessionRecord]]
    version: str
    container: bool = False
    dictionary_delay: float = 0.0
    duration_limit: Optional[float] = None
    _dictionaries: set[int] = field(default_factory=set)  # hashes of those seen; sets grow by single calls

    @property
    def most(self) -> Optional[int]:
        """How many sessions may be open at once; None: any number."""
        return _SLOTS if self.container and self.quota is None else self.quota

    @property
    def slots(self) -> int:
        return _QUOTA_SHOWN if self.most is None else self.most

    def full(self, more: int = 0) -> bool:
        """Tell whether there are, with so many more, too many sessions."""
        return self.most is not None and len(self.live()) + more > self.most

    def usage(self) -> dict[str, Any]:
        """Build the Info that the cloud service begins with."""
        usage = len(self.live())
        return {
            "message": "Info",
            "type": "concurrent_session_usage",
            "reason": f"{usage} concurrent sessions active out of quota {self.slots}",
            "usage": usage,
            "quota": self.slots,
            "last_updated": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": "local",
        }

    def dictionary_wait(self, config: Mapping[str, Any]) -> float:
        """Return the seconds a custom dictionary delays the start; one that is known delays nothing."""
        words = config.get("additional_vocab")
        if not words or not self.dictionary_delay:
            return 0.0
        known = hash(json.dumps(words, sort_keys=True))
        if known in self._dictionaries:
            return 0.0
        self._dictionaries.add(known)  # sessions that come at once may all wait
        return self.dictionary_delay


def quality_of(start: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    """Build the Info of the model that fits the audio; None of a file, which was not heard yet."""
    rate = (start.get("audio_format") or {}).get("sample_rate")
    if rate is None:
        return None
    quality = "broadcast" if rate >= _BROADCAST else "telephony"
    reason = f"{quality} quality model selected"
    return {"message": "Info", "type": "recognition_quality", "reason": reason, "quality": quality}
