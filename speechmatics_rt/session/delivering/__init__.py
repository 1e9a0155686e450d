"""The delivery of a session's messages.

It has three forms: ``stream``, on the thread that iterates; ``listener``, on a thread of this package; and
``aio.dispatch``, in a task. Each takes from ``arrivals`` what is there, has the session take it in and runs
its handlers, and receives more when nothing is left. They differ in how they wait, in who gets an error of a
handler, and in whether they close before the last events or after. ``utterances`` iterates over a stream.
"""

from __future__ import annotations

from .arrivals import Arrivals
from .listener import Listener
from .stream import MessageStream
from .utterances import UtteranceStream, with_turns

__all__ = [
    "Arrivals",
    "Listener",
    "MessageStream",
    "UtteranceStream",
    "with_turns",
]
