"""One session as its client sees it.

``request`` has the options of a call, ``connector`` opens connections, and ``session`` is the state of one
session: connection, transcript, figures, outcome. ``sender`` reads sources and sends them, ``listener`` and
``stream`` deliver messages to handlers, ``utterances`` is iterated over. ``asking`` has the questions to the
service, ``answers`` who waits for them. ``latency`` measures, ``recorder`` writes a session to a file,
``unread`` decodes transcripts late, ``ended`` builds the last event, and ``discovery`` asks what a service
offers.
"""

from __future__ import annotations

from .asking import Asking, ask_for_speakers
from .connector import NO_PICKLE, Connector, Opening, request_id_of
from .discovery import available_features
from .ended import session_ended, tell_unstarted
from .listener import Listener
from .recorder import Recorder
from .request import (
    SECONDS,
    UNSET,
    SessionOptions,
    SessionRequest,
    SourceOptions,
    check_label,
    check_timestamp,
    labels_of,
    spelled_out,
)
from .sender import feed
from .session import Session
from .stream import MessageStream
from .utterances import Spoken, UtteranceStream, with_turns

__all__ = [
    "NO_PICKLE",
    "SECONDS",
    "UNSET",
    "Asking",
    "Connector",
    "Listener",
    "MessageStream",
    "Opening",
    "Recorder",
    "Session",
    "SessionOptions",
    "SessionRequest",
    "SourceOptions",
    "Spoken",
    "UtteranceStream",
    "ask_for_speakers",
    "available_features",
    "check_label",
    "check_timestamp",
    "feed",
    "labels_of",
    "request_id_of",
    "session_ended",
    "spelled_out",
    "tell_unstarted",
    "with_turns",
]
