"""From messages to words, text and captions. Pure but for one lock: a growing transcript is read by others.

``transcript`` takes in finals and partials, ``words`` joins results into words and lines, ``captions``
writes SRT and WebVTT, ``results`` holds the objects of those who prefer attributes to keys.
"""

from __future__ import annotations

from .results import TranscriptResult
from .transcript import Transcript, Word
from .words import Delimiters, Joiner

__all__ = [
    "Delimiters",
    "Joiner",
    "Transcript",
    "TranscriptResult",
    "Word",
]
