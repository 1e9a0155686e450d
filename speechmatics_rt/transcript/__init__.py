"""From messages to words, text and captions. Pure except for one lock, since other threads read a transcript.

``transcript`` collects finals and partials, ``words`` joins results into words and turns, ``merge`` orders
several channels by time, ``utterances`` finds what was said between two pauses, ``captions`` writes SRT and
WebVTT, ``page`` and ``player`` write HTML for notebooks, ``results`` has finals and partials as objects.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .transcript import Transcript
from .utterances import Ending, Pauses, Utterance, Utterances
from .words import Delimiters, Joiner, Paragraph, Word

if TYPE_CHECKING:
    from .results import (
        RecognitionAlternative,
        RecognitionDisplay,
        RecognitionMetadata,
        RecognitionResult,
        TranscriptResult,
    )

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

if not TYPE_CHECKING:  # a checker would take any misspelt name for one of these

    def __getattr__(name: str) -> Any:
        """Import the objects on first access: few programs use them, and all would wait for them."""
        if name not in ("results", *__all__):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        results = import_module(".results", __name__)
        return results if name == "results" else getattr(results, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
