"""``speechmatics-rt transcribe-many``: a folder of recordings in, a folder of transcripts out.

``command`` runs it. ``asked`` checks the options, and knows which of them are for which recording; ``found``
finds the recordings and names their results; ``manifest`` records the outcomes; ``results`` writes
transcripts; ``board`` shows the progress, ``summary`` (pure) the failures and what to do about them.
"""

from __future__ import annotations

from .command import transcribe_many

__all__ = ["transcribe_many"]
