"""One client's connection: its socket, its HTTP request, its WebSocket, and the record of what happened.

It knows frames and acknowledgements, but neither sessions nor engines. It is below everything else in the
server: it imports ``exceptions`` and the fields of messages, and nothing of ``local/``.

* ``wire``: the socket, plain or TLS, and the loop of the one thread that uses it
* ``handshake``: the HTTP request and its answer, without a socket
* ``peer``: the WebSocket; notifies a listener of what the client does
* ``acks``: how audio is acknowledged
* ``record``: what happened, for tests of a client
"""

from __future__ import annotations

from .acks import Acknowledger, acknowledgement
from .handshake import Answer, Request
from .peer import CLOSE_TIMEOUT, Peer, frame
from .record import SessionRecord
from .wire import Delay, Drip, Wire

__all__ = [
    "CLOSE_TIMEOUT",
    "Acknowledger",
    "Answer",
    "Delay",
    "Drip",
    "Peer",
    "Request",
    "SessionRecord",
    "Wire",
    "acknowledgement",
    "frame",
]
