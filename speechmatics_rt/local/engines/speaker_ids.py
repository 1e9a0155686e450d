"""The speaker identifiers of the local server, which are opaque to clients."""

from __future__ import annotations

import base64
from typing import Optional

__all__ = ["identifier_of", "label_in"]

_MARK = "local:"


def identifier_of(label: str) -> str:
    """Make the identifier of a speaker.

    Example:
        >>> label_in(identifier_of("S1"))
        'S1'
    """
    return base64.b64encode(f"{_MARK}{label}".encode()).decode()


def label_in(identifier: str) -> Optional[str]:
    """Return the label an identifier was made of; None: it comes from elsewhere."""
    try:
        text = base64.b64decode(identifier, validate=True).decode()
    except ValueError:
        return None
    return text[len(_MARK) :] if text.startswith(_MARK) else None
