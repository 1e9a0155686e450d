"""A local server that speaks the Real-Time protocol: for tests, demos, and work without a network.

``LocalServer()`` returns the words of a script for any audio, ``LocalServer(ReplayEngine("session.jsonl"))``
replays a recorded session, and ``LocalServer("whisper")`` recognises speech (see :class:`WhisperEngine`). The
words are data (:class:`Script`), and so are faults: see the table in :mod:`speechmatics_rt.local.faults`.

Example:
    >>> script = Script.from_text("It rained in Bergen.")
    >>> faults = [Fault.refuse(503, retry_after=1, sessions=[0]), Fault.reset(after_seconds=10, sessions=[1])]
    >>> with LocalServer(ScriptedEngine(script), keys=["secret"], faults=faults) as server:
    ...     url = server.url  # for a client; then see what it did:
    ...     server.sessions
    []

How it is built: ``server`` accepts connections and starts a thread for each; ``session`` is one client's
session, ``recognition`` its queue to an engine, ``limits`` its time limits, ``checks`` what it refuses,
``preview`` what the preview model lacks. ``state`` is what all sessions share, including ``keys``; ``pages``
answers plain HTTP; ``testing`` is the server for users' tests, whose words change while it runs. Below are
four folders: ``faults`` (misbehaviour), ``whisper`` (real recognition), ``engines`` (their interface, and
the simple ones), and ``connection`` (one socket). None of them imports from here. The server shares tables
with the client, above all that of the protocol, but no I/O, so that it can't share the client's bugs.
"""

from __future__ import annotations

import sys as _sys

try:
    import wsproto as _wsproto  # noqa: F401
except ImportError as exc:
    raise ImportError(
        f"the local server needs more packages ({exc}): pip install 'speechmatics-rt-sync[server]'"
    ) from exc

from . import engines as _engines
from .connection import SessionRecord
from .engines import Engine, Recogniser, ReplayEngine, Script, ScriptedEngine, Sound, Word
from .faults import Fault, FaultRow
from .server import LocalServer
from .testing import ServerForTests
from .whisper import WhisperEngine

__all__ = [
    "LocalServer",
    "ServerForTests",
    "SessionRecord",
    "Fault",
    "FaultRow",
    "Script",
    "Word",
    "Sound",
    "ScriptedEngine",
    "ReplayEngine",
    "WhisperEngine",
    "Engine",
    "Recogniser",
]

# Engines were in these modules before they had a folder; pickles and users' engines may still name them.
for _module in ("engine", "replay", "script", "scripted"):
    _sys.modules[f"{__name__}.{_module}"] = _engines
