"""``speechmatics-rt transcribe-many``: a folder of recordings in, a folder of transcripts out.

``found`` finds the recordings and names their results; ``manifest`` remembers the outcome of each;
``results`` writes transcripts; ``board`` shows the progress, ``summary`` (pure) the failures and what to do.
"""

from __future__ import annotations

from .command import transcribe_many

__all__ = ["transcribe_many"]
