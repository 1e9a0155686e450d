"""Real speech recognition offline: Whisper, made to stream.

The only folder that uses NumPy, CTranslate2, soxr, webrtcvad, av and the weights; they are imported when a
session first needs them, not with this package. It imports ``exceptions``, and ``engines`` of ``local/``.

* ``engine``: shares one model among all sessions
* ``recogniser``: one session: when to run the model, and which of its words are final
* ``model``: from some seconds of audio to words
* ``marks``: parts its words from punctuation
* ``decoders``: from every audio format to 16 kHz samples; ``container``: what PyAV decodes
"""

from __future__ import annotations

from .engine import WhisperEngine

__all__ = ["WhisperEngine"]
