"""A local server that speaks the Real-Time protocol: for tests, for demos, for work without a network.

``LocalServer()`` speaks a script over any audio, ``LocalServer(ReplayEngine("session.jsonl"))`` says again
what was said in a recorded session, and ``LocalServer("whisper")`` really listens
(:class:`WhisperEngine` has its options). What it says is data
(:class:`Script`), and so is what it does wrong: see :mod:`speechmatics_rt.local.faults` for the table.

Example:
    >>> script = Script.from_text("It rained in Bergen.")
    >>> faults = [Fault.refuse(503, retry_after=1, sessions=[0]), Fault.reset(after_seconds=10, sessions=[1])]
    >>> with LocalServer(ScriptedEngine(script), keys=["secret"], faults=faults) as server:
    ...     url = server.url  # for a client; then see what it did:
    ...     server.sessions
    []

How it is built: ``server`` accepts connections and gives each a thread; ``session`` is one client's session,
``recognition`` its queue to an engine, ``limits`` its time limits, ``checks`` what it refuses, ``preview``
what the preview model lacks. ``state`` is what all sessions share, ``keys`` among it; ``pages`` answers
plain HTTP; ``testing`` is the server of users' tests, which is told what to say while it runs. Below stand
four folders, each with a face: ``faults`` (what goes wrong), ``whisper`` (real recognition), ``engines``
(what is asked of one), and ``connection`` (one socket). None of them imports from here. With the client the
server shares tables, the protocol's above all, but no I/O: so it can't share its bugs.
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

# Engines stood in these modules before they had a folder: pickles name them, and engines of users, too.
for _module in ("engine", "replay", "script", "scripted"):
    _sys.modules[f"{__name__}.{_module}"] = _engines
