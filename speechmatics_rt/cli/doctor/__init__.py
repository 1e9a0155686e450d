"""``speechmatics-rt doctor``: what stands between this machine and a transcript, a line a check.

``checks`` has the form of a check and runs a list of them; ``judge`` and ``certificates`` (pure) say what was
found and what to do. ``sockets``, ``service`` and ``installation`` look: each has its list. ``report`` draws.
"""

from __future__ import annotations

from .doctor import doctor

__all__ = ["doctor"]
