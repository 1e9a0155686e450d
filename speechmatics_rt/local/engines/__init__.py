"""The interface of engines, and the engines that need no recogniser: a script, a recording.

The tables that engines and server share are here, too: languages, replacements, speaker identifiers, and
the duration of audio. Pure, except for reading a recording and one lock; imports ``exceptions``, and nothing
of ``local/``.

* ``engine``: the interface; ``messages``: the messages of a recogniser
* ``scripted``: returns the words of a ``script``, which ``results`` turns into result items according to the
  session's config, with ``replacements`` (and ``ecmascript``) and ``speaker_ids``
* ``replay``: replays a recorded session, which ``recorded`` reads if a client has written it
* ``spoken``: returns the words that a test has set
* ``heard``: knows audio again, wherever it begins: so a session that resumes has the words from there
* ``languages``, ``clock``: tables and times
"""

from __future__ import annotations

from .clock import SAMPLE_WIDTHS, AudioClock
from .engine import Engine, Recogniser
from .languages import LANGUAGES, TRANSLATED, language_pack, supported_targets
from .messages import end_of_utterance, final, partial
from .recorded import CUT_OFF
from .replacements import pattern_of
from .replay import ReplayEngine
from .script import Script, Sound, Word
from .scripted import ScriptedEngine
from .speaker_ids import identifier_of, label_in
from .spoken import SpokenEngine

__all__ = [
    "CUT_OFF",
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
    "partial",
    "pattern_of",
    "supported_targets",
]
