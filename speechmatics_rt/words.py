"""The former name of :mod:`speechmatics_rt.transcript.words`, for pickles that know it."""

from .transcript import Paragraph, Word

__all__ = ["Paragraph", "Word"]
