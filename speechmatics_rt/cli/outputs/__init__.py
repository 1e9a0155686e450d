"""The output of the command: text, documents and captions, and the files they are written to.

``flow``, ``beside``, ``report`` and ``tables`` are pure; ``places`` identifies files, ``output`` writes them.
"""

from __future__ import annotations

from .flow import Flow, Token, plain
from .places import Place, check_apart

__all__ = ["Flow", "Place", "Token", "check_apart", "plain"]
