"""Transcribes many recordings with the workers of any executor: threads, processes, or a cluster.

``call`` checks the options; ``plan`` decides what is tried when, and how much at once (pure); ``job`` is what
a worker does with one source; ``outcomes`` submits the jobs and yields their outcomes, which ``outcome``
defines; ``threads`` is the default executor.
"""

from __future__ import annotations

from .call import transcribe_many
from .outcome import Outcome, Progress, Running
from .outcomes import Outcomes

__all__ = ["Outcome", "Outcomes", "Progress", "Running", "transcribe_many"]
