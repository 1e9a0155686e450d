"""An engine that waits for the test: what comes before the start or the end of a session is certain then."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from speechmatics_rt.local import ScriptedEngine

__all__ = ["HeldEngine"]

_PATIENCE = 60.0  # seconds; a test that failed lets nobody go


class HeldEngine(ScriptedEngine):
    """Hears as the scripted engine does, but for one moment of a session, which waits for ``let_go``.

    Args:
        at: ``"end"``: the words that are left when the audio has ended. ``"start"``: RecognitionStarted.
    """

    def __init__(self, at: str = "end") -> None:
        super().__init__()
        self.let_go = threading.Event()
        self._at = at

    def recogniser(self, settings: Mapping[str, Any]) -> Any:
        recogniser: Any = super().recogniser(settings)
        finish = recogniser.finish

        def finish_later() -> Any:
            self.let_go.wait(_PATIENCE)
            return finish()

        if self._at == "start":
            self.let_go.wait(_PATIENCE)
        else:
            recogniser.finish = finish_later
        return recogniser
