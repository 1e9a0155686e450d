"""A local server that speaks the Real-Time protocol: for tests, for demos, for work without a network."""

from __future__ import annotations

try:
    import wsproto as _wsproto  # noqa: F401
except ImportError as exc:
    raise ImportError(
        f"the local server needs more packages ({exc}): pip install 'speechmatics-rt-sync[server]'"
    ) from exc

from .engine import Engine, Recogniser
from .faults import Fault
from .record import SessionRecord
from .script import Script, Word
from .scripted import ScriptedEngine
from .server import LocalServer

__all__ = [
    "LocalServer",
    "SessionRecord",
    "Fault",
    "Script",
    "Word",
    "ScriptedEngine",
    "Engine",
    "Recogniser",
]
