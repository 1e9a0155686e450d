"""The engine that shares one Whisper model among all sessions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ...exceptions import ConfigurationError
from ...locks import new_lock
from ..engines import language_pack

if TYPE_CHECKING:
    from .model import WhisperModel
    from .recogniser import WhisperRecogniser

__all__ = ["WhisperEngine"]


class WhisperEngine:
    """Offline recognition of English, or of what the model in ``model_dir`` speaks.

    One model is loaded, when the first session starts, and shared by all; nothing is ever downloaded.
    Safe to use from many threads.

    Args:
        model_dir: The folder of a Whisper model converted for CTranslate2. None: the English model
            that the extra ``local`` brings along, checked by its sha256.
        threads: How many sessions may decode at the same time, on a core each.
        clock: Seconds, growing; tells a live stream from audio that is fed as fast as it goes.

    Raises:
        ConfigurationError: ``threads`` is not positive, or ``model_dir`` no folder.

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
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads must be at least 1, not {threads!r}")
        if model_dir is not None and not Path(model_dir).is_dir():
            raise ConfigurationError(f"model_dir is no folder: {str(model_dir)!r}")
        self._model_dir = None if model_dir is None else Path(model_dir)
        self._threads = threads
        self._clock = clock
        self._model: Optional[WhisperModel] = None
        self._lock = new_lock()  # guards _model, and is held while it loads: all wait for the one

    def language_pack_info(self, language: str) -> dict[str, Any]:
        """Describe a language for RecognitionStarted. Loads the model, which knows what it speaks.

        Raises:
            ConfigurationError: The model doesn't speak it, or the extra ``local`` is not installed.
        """
        if not self._loaded().speaks(language):
            raise ConfigurationError(f"the offline model doesn't speak {language!r}")
        return language_pack(language)

    def recogniser(self, settings: Mapping[str, Any]) -> WhisperRecogniser:
        """Open a recogniser for a checked StartRecognition message.

        Raises:
            ConfigurationError: The language or the audio format is none of ours, or the extra ``local``
                is not installed.
        """
        config = settings["transcription_config"]
        self.language_pack_info(config.get("language", "en"))
        from .decoders import decoder_for
        from .recogniser import WhisperRecogniser

        decoder = decoder_for(settings.get("audio_format", {"type": "file"}))
        return WhisperRecogniser(self._loaded(), decoder, config, clock=self._clock)

    def close(self) -> None:
        """Let go of the model; a session still open keeps it to its end."""
        with self._lock:
            self._model = None

    def _loaded(self) -> WhisperModel:
        with self._lock:
            if self._model is None:
                try:
                    import soxr  # noqa: F401  # needed later: what is missing shall be missed at the start
                    import webrtcvad  # noqa: F401

                    from .model import WhisperModel, packaged_model

                    if self._model_dir is None:
                        self._model = packaged_model(self._threads)
                    else:
                        self._model = WhisperModel(self._model_dir, parallel=self._threads)
                except ImportError as exc:
                    raise ConfigurationError(
                        f"the whisper engine needs more packages ({exc}): "
                        "pip install 'speechmatics-rt-sync[local]'"
                    ) from exc
            return self._model
