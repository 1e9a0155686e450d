"""Many recordings over the workers of any executor: threads, processes, the machines of a cluster.

``plan`` decides what is tried when, and how much at once (pure); ``job`` is what a worker does with one
source; ``outcomes`` hands the jobs out and gives back what became of them, in the shapes of ``outcome``.
"""

from __future__ import annotations

from .outcome import Outcome, Progress, Running
from .outcomes import Outcomes, transcribe_many

__all__ = ["Outcome", "Outcomes", "Progress", "Running", "transcribe_many"]
