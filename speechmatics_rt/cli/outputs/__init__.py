"""What the command gives: words as lines of text, documents and captions, and the files they go to.

``flow`` and ``beside`` are pure; ``places`` tells files apart, ``output`` writes them.
"""

from __future__ import annotations

from .flow import Flow, Token, plain
from .places import Place, check_apart

__all__ = ["Flow", "Place", "Token", "check_apart", "plain"]
