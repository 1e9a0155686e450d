"""From messages to words, text and captions. Pure except for one lock, since other threads read a transcript.

``transcript`` collects finals and partials, ``beside`` translations and sounds, ``stored`` knows what of them
is kept, and checks and orders them in JSON, ``words`` joins results into words and turns, ``merge`` orders
several channels by time, ``utterances`` finds what was said between two pauses, ``captions`` writes SRT and
WebVTT, broken between ``graphemes``, ``page`` and ``player`` write HTML for notebooks, ``results`` has the
pieces of messages as objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .transcript import Transcript
from .utterances import Ending, Utterance, Utterances
from .words import OPEN, PAUSE, Delimiters, Joiner, Paragraph, Word

if TYPE_CHECKING:
    from .captions import CaptionShape
    from .graphemes import characters, width
    from .results import (
        AudioEvent,
        RecognitionAlternative,
        RecognitionDisplay,
        RecognitionMetadata,
        RecognitionResult,
        TranscriptResult,
    )

__all__ = [
    "OPEN",
    "PAUSE",
    "AudioEvent",
    "CaptionShape",
    "Delimiters",
    "Ending",
    "Joiner",
    "Paragraph",
    "RecognitionAlternative",
    "RecognitionDisplay",
    "RecognitionMetadata",
    "RecognitionResult",
    "Transcript",
    "TranscriptResult",
    "Utterance",
    "Utterances",
    "Word",
    "characters",
    "width",
]

if not TYPE_CHECKING:  # few programs need them
    __getattr__, __dir__ = imported_late(
        __name__, {"results": __all__, "graphemes": ["characters", "width"], "captions": ["CaptionShape"]}
    )
