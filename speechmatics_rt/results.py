"""The former name of :mod:`speechmatics_rt.transcript.results`, for code and pickles that know it."""

from .transcript import (
    RecognitionAlternative,
    RecognitionDisplay,
    RecognitionMetadata,
    RecognitionResult,
    TranscriptResult,
)

__all__ = [
    "RecognitionAlternative",
    "RecognitionDisplay",
    "RecognitionMetadata",
    "RecognitionResult",
    "TranscriptResult",
]
