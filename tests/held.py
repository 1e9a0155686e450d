"""An engine whose last words wait for the test: what happens before a session ends is no question of speed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from speechmatics_rt.local import ScriptedEngine

__all__ = ["HeldEngine"]

_PATIENCE = 60.0  # seconds; a test that failed lets nobody go


class HeldEngine(ScriptedEngine):
    """Hears as the scripted engine does; what is left at the end of the audio comes once ``let_go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def recogniser(self, settings: Mapping[str, Any]) -> Any:
        recogniser: Any = super().recogniser(settings)
        finish = recogniser.finish

        def finish_later() -> Any:
            self.let_go.wait(_PATIENCE)
            return finish()

        recogniser.finish = finish_later
        return recogniser
