"""From messages to words, text and captions. Pure but for one lock: a growing transcript is read by others.

``transcript`` takes in finals and partials, ``words`` joins results into words and lines, ``merge`` puts
channels in order, ``captions`` writes SRT and WebVTT, ``results`` holds the objects of those who prefer
attributes to keys, ``utterances`` what was said between two pauses.
"""

from __future__ import annotations

from .results import (
    RecognitionAlternative,
    RecognitionDisplay,
    RecognitionMetadata,
    RecognitionResult,
    TranscriptResult,
)
from .transcript import Transcript
from .utterances import Ending, Pauses, Utterance, Utterances
from .words import Delimiters, Joiner, Paragraph, Word

__all__ = [
    "Delimiters",
    "Ending",
    "Joiner",
    "Paragraph",
    "Pauses",
    "RecognitionAlternative",
    "RecognitionDisplay",
    "RecognitionMetadata",
    "RecognitionResult",
    "Transcript",
    "TranscriptResult",
    "Utterance",
    "Utterances",
    "Word",
]
