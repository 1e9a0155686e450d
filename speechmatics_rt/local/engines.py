"""The engines that have a name."""

from __future__ import annotations

from typing import Union

from ..exceptions import ConfigurationError
from .engine import Engine
from .scripted import ScriptedEngine

__all__ = ["engine_named"]


def engine_named(engine: Union[str, Engine]) -> Engine:
    """Return the engine itself, or make the one of that name: ``"scripted"`` or ``"whisper"``.

    Raises:
        ConfigurationError: The name is unknown, or its extra is not installed.
    """
    if not isinstance(engine, str):
        return engine
    if engine == "scripted":
        return ScriptedEngine()
    if engine == "whisper":
        try:
            from .whisper import WhisperEngine
        except ImportError as exc:
            raise ConfigurationError(
                f"the whisper engine needs more packages ({exc}): pip install 'speechmatics-rt-sync[local]'"
            ) from exc
        made: Engine = WhisperEngine()
        return made
    raise ConfigurationError(f"no engine is called {engine!r}; there are 'scripted' and 'whisper'")
