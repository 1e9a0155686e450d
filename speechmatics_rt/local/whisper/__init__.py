"""Real speech recognition offline: Whisper, made to stream.

The only folder that knows NumPy, CTranslate2, soxr, webrtcvad, av and the weights; they are imported when a
session first needs them, never with this face. Of the package it uses ``exceptions``, of ``local/`` the
face of ``engines``.

* ``engine``: shares one model among all sessions
* ``recogniser``: one session: when to read its audio, and what of a reading is final
* ``model``: some seconds of audio in, words out
* ``decoders``: every audio format in, 16 kHz samples out
"""

from __future__ import annotations

from .engine import WhisperEngine

__all__ = ["WhisperEngine"]
