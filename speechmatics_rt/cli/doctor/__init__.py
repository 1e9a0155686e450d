"""``speechmatics-rt doctor``: finds out why transcription does not work, one line per check.

``checks`` defines a check and runs a list of them. ``sockets``, ``service`` and ``installation`` do the
checks; ``judge`` and ``certificates`` (pure) say what was found and what to do; ``report`` writes it.
"""

from __future__ import annotations

from .doctor import doctor

__all__ = ["doctor"]
