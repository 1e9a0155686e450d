"""One session as its client sees it.

``request`` has the options of a call, ``connector`` opens connections, and ``opener`` a session over one.
``session`` sends, and takes in what is received: ``stages`` says who runs the handlers, how far that has
come and who waits for its end, ``ending`` how it has ended, ``turns`` which utterances ended, ``forced``
which of them the program has asked for, ``answers`` who waits for one. ``sender`` reads sources and sends
them, ``delivering`` has what runs the handlers and is iterated over. ``latency`` measures,
``recorder`` writes a session to a file, ``discovery`` asks what a service offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .answers import Answer, waits_for_itself
from .connector import NO_PICKLE, Connector, request_id_of
from .delivering import Arrivals, MessageStream, UtteranceStream, with_turns
from .ending import session_ended
from .opener import Call, Opener
from .recorder import Recorder, interest_of
from .request import (
    SECONDS,
    UNSET,
    SessionOptions,
    SessionRequest,
    SourceOptions,
    as_sent,
    check_label,
    check_timestamp,
    labels_of,
    spelled_out,
)
from .session import Session
from .stages import GRACE, Delivery, Holder, waiting
from .turns import Said

if TYPE_CHECKING:
    from .discovery import available_features

__all__ = [
    "GRACE",
    "NO_PICKLE",
    "SECONDS",
    "UNSET",
    "Answer",
    "Arrivals",
    "Call",
    "Connector",
    "Delivery",
    "Holder",
    "MessageStream",
    "Opener",
    "Recorder",
    "Said",
    "Session",
    "SessionOptions",
    "SessionRequest",
    "SourceOptions",
    "UtteranceStream",
    "as_sent",
    "available_features",
    "check_label",
    "check_timestamp",
    "interest_of",
    "labels_of",
    "request_id_of",
    "session_ended",
    "spelled_out",
    "waiting",
    "waits_for_itself",
    "with_turns",
]

if not TYPE_CHECKING:  # few programs need it
    __getattr__, __dir__ = imported_late(__name__, {"discovery": ("available_features",)})
