"""One client's connection: its socket, its HTTP request, its WebSocket, and the record of what passed.

Knows frames and acknowledgements, but neither sessions nor engines. Stands below everything else of the
server: of the package it uses ``exceptions`` and the fields of messages, of ``local/`` nothing.

* ``wire``: the socket, plain or TLS, and the loop of the one thread that touches it
* ``handshake``: the HTTP request and its answer, without a socket
* ``peer``: the WebSocket; notifies a listener of what the client does
* ``acks``: how audio is acknowledged
* ``record``: what happened, for whoever tests a client
"""

from __future__ import annotations

from .acks import Acknowledger, acknowledgement
from .handshake import Answer, Request
from .peer import CLOSE_TIMEOUT, Peer, frame
from .record import SessionRecord
from .wire import Drip, Wire

__all__ = [
    "CLOSE_TIMEOUT",
    "Acknowledger",
    "Answer",
    "Drip",
    "Peer",
    "Request",
    "SessionRecord",
    "Wire",
    "acknowledgement",
    "frame",
]
