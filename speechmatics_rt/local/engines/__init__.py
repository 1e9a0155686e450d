"""What the server asks of an engine, and the two engines that need nothing else: a script, a recording.

The tables that engines and server share stand here, too: languages, replacements, speaker identifiers, and
how long some bytes of audio last. Pure but for reading a recording; of the package it uses ``exceptions``,
of ``local/`` nothing.

* ``engine``: the two protocols; ``messages``: what a recogniser answers with
* ``scripted``: speaks a ``script``, whose words ``results`` makes result items of, as the session's config
  asks, with the help of ``replacements`` (and ``ecmascript``) and ``speaker_ids``
* ``replay``: sends again what was sent in a recorded session, which ``recorded`` reads if a client wrote it
* ``spoken``: says what a test has told it to
* ``languages``, ``clock``: tables and times
"""

from __future__ import annotations

from .clock import SAMPLE_WIDTHS, AudioClock
from .engine import Engine, Recogniser
from .languages import LANGUAGES, TRANSLATED, language_pack, supported_targets
from .messages import end_of_utterance, final, partial
from .replacements import pattern_of
from .replay import ReplayEngine
from .script import Script, Sound, Word
from .scripted import ScriptedEngine
from .speaker_ids import identifier_of, label_in
from .spoken import SpokenEngine, mark_of

__all__ = [
    "LANGUAGES",
    "SAMPLE_WIDTHS",
    "TRANSLATED",
    "AudioClock",
    "Engine",
    "Recogniser",
    "ReplayEngine",
    "Script",
    "ScriptedEngine",
    "Sound",
    "SpokenEngine",
    "Word",
    "end_of_utterance",
    "final",
    "identifier_of",
    "label_in",
    "language_pack",
    "mark_of",
    "partial",
    "pattern_of",
    "supported_targets",
]
