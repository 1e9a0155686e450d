"""``speechmatics-rt transcribe-many``: a folder of recordings in, a folder of transcripts out.

``found`` finds the recordings and names their results; ``manifest`` remembers what became of each;
``results`` writes transcripts; ``board`` shows how it goes, ``summary`` (pure) what failed and what to do.
"""

from __future__ import annotations

from .command import transcribe_many

__all__ = ["transcribe_many"]
