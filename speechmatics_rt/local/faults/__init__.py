"""How the local server misbehaves, as data.

A :class:`Fault` has a kind, a moment and the options of its kind. The moment is a point of the session

=============  =====================================================================
``accept``     TCP is connected, nothing was read (with TLS: not even the ClientHello)
``tls``        the TLS ClientHello is here, nothing was answered
``key``        a request for a temporary key was read, nothing was answered
``handshake``  the request to upgrade was read, nothing was answered
``open``       101 was sent
``start``      StartRecognition was accepted, RecognitionStarted is due
``started``    RecognitionStarted was sent
``drain``      EndOfStream was read
``end``        EndOfTranscript is due
``ended``      EndOfTranscript was sent
``closing``    the client's close frame was read, nothing was answered
=============  =====================================================================

or a count, checked after each message of the client and each final: ``after_messages`` of the client (audio
and JSON alike), ``after_bytes`` or ``after_seconds`` of audio read, ``after_final`` seconds of audio that are
final. ``delay`` adds seconds of waiting to either. Faults of one moment act in the order given.

Each fault acts once in every connection, unless ``sessions`` names those it is for, from 0. So a test of
``resume`` or of a retry needs ``sessions=[0]``, or the new connection is broken as well, again and again.

A new fault is one entry in ``opening``, ``turns``, ``connection``, ``framing`` or ``content``: the decorator
has its usual moment and its line of the table, its parameters are its options, its body is what it does.
``kind`` has the decorator, ``fault`` makes data of it all, ``parse`` reads a fault from a command line.

Of the package this folder uses ``exceptions``, of ``local/`` the faces of ``connection`` and ``engines``.
What it needs of the session it acts on is a protocol of its own, ``kind.Target``: so the session may import
faults, and not the other way.

All kinds, and when each acts unless it is told (``speechmatics-rt serve --list-faults`` has their options):
"""

from __future__ import annotations

from .fault import POINTS, Fault, FaultRow

__all__ = ["POINTS", "Fault", "FaultRow"]

_FRAME = "=====================  =========  " + 72 * "="
_ROWS = [(f"``{row.kind}``", row.at, row.what) for row in Fault.table()]
_HEAD, *_LINES = (
    f"{kind:<21}  {moment:<9}  {what}" for kind, moment, what in [("kind", "moment", "what happens"), *_ROWS]
)
if __doc__:  # python -OO has none
    __doc__ = "\n".join([__doc__, _FRAME, _HEAD, _FRAME, *_LINES, _FRAME, ""])
