"""The names and shapes of messages. Pure.

``types`` is the catalogue. ``fields`` reads the messages of a server without trusting them, and ``secrets``
hides keys that it repeats. ``handlers`` tells type checkers which message a handler gets; it is never
imported at run time.
"""

from __future__ import annotations

from . import types
from .fields import (
    Glance,
    channel_of,
    heard_up_to,
    is_time,
    last_end,
    metadata_of,
    one_line,
    results_of,
    span,
    text_of,
    time_of,
    times_of,
)
from .secrets import Secrets
from .types import *  # noqa: F403  # the whole catalogue is the face

__all__ = [
    "Glance",
    "Secrets",
    "channel_of",
    "heard_up_to",
    "is_time",
    "last_end",
    "metadata_of",
    "one_line",
    "results_of",
    "span",
    "text_of",
    "time_of",
    "times_of",
]
__all__ += types.__all__
