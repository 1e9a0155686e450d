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

=====================  =========  ========================================================================
kind                   moment     what happens
=====================  =========  ========================================================================
``tls_alert``          tls        a TLS alert, then the end of the stream
``refuse``             handshake  an HTTP status, with Retry-After, Location or a body
``drip``               handshake  the next ``total`` bytes trickle
``hang``               handshake  neither reads nor writes for ``seconds``, or for ever
``header``             handshake  101 with a header more: a cookie, an extension, a protocol
``bad_accept``         handshake  101 with the Accept of another key
``no_pongs``           open       pings are not answered
``pings``              open       ``count`` pings, ``interval`` seconds apart
``data_after_close``   open       a transcript behind our close frame, whenever that comes
``unknown_field``      open       every message from now on has a field nobody knows
``late_start``         start      RecognitionStarted comes ``seconds`` late
``no_start``           start      RecognitionStarted never comes
``reset``              started    RST
``fin``                started    the end of the stream without a close frame, or of TLS without notice
``half_close``         started    the end of our stream, while reading goes on
``cut_output``         started    ``size`` bytes more, wherever that cuts, then the end or RST
``silence``            started    nothing more is sent, though everything is read
``stop_reading``       started    nothing more is read
``close``              started    a close frame alone; an empty one for code 1005
``bad_close``          started    a close frame with an invalid payload: half a code, a reserved one
``message``            started    any message, in or out of turn
``info``               started    an Info, with the fields of its type
``warning``            started    a Warning, with the fields of its type
``bad_json``           started    a text frame that is not JSON
``not_object``         started    JSON that is not an object
``nameless``           started    an object without a ``message``, or with one that is not a string
``deep_json``          started    an Info with arrays ``depth`` deep
``long_number``        started    an Info with a number of so many digits
``binary_json``        started    a message in a binary frame
``unknown``            started    a message nobody knows
``flood``              started    ``count`` transcripts at once
``oversize``           started    a transcript of ``size`` bytes
``raw``                started    any bytes, as they are
``garbage``            started    ``size`` random bytes
``cut_frame``          started    half a frame, then the end of the stream
``overlong_frame``     started    a frame that announces ``size`` bytes and never has them
``padded_length``      started    a short frame with its length in eight bytes
``masked_frame``       started    a masked frame
``reserved_bit``       started    a frame with reserved bit 1, 2 or 3
``unknown_opcode``     started    a frame of a kind that isn't
``long_ping``          started    a ping of ``size`` bytes, 125 being the most
``split_ping``         started    a ping in two frames
``lone_continuation``  started    a continuation of nothing
``torn_message``       started    a message that begins before the last one has ended
``fragments``          started    every message from now on in frames of 1 to ``size`` bytes, cut anywhere
``compressed``         started    every message from now on is deflated, asked for or not
``in_binary``          started    every message from now on in a binary frame
``bad_utf8``           started    a text frame that is not UTF-8
``error``              started    an Error of any type, then its close code or another; or one alone
``double_start``       started    RecognitionStarted comes again, with another id
``early_end``          started    EndOfTranscript comes at once, whatever is still owed
``late_transcripts``   started    words, and all else that is heard, come ``seconds`` late
``no_acks``            started    audio is not acknowledged
``late_acks``          started    audio is acknowledged ``seconds`` late
``burst_acks``         started    acknowledgements come ``count`` at a time
``wrong_acks``         started    each ``seq_no`` is wrong by ``skip``
``extra_acks``         started    ``count`` acknowledgements of audio that never came
``late_end``           end        EndOfTranscript comes ``seconds`` late
``no_end``             end        EndOfTranscript never comes
``double_end``         ended      EndOfTranscript comes again
``no_close_reply``     closing    the client's close frame is not answered
``late_close_reply``   closing    the client's close frame is answered ``seconds`` late
=====================  =========  ========================================================================

A new fault is one entry in ``opening``, ``turns``, ``connection``, ``framing`` or ``content``: the decorator
has its usual moment and its line of the table, its parameters are its options, its body is what it does.
``kind`` has the decorator, ``fault`` makes data of it all, ``parse`` reads a fault from a command line.

Of the package this folder uses ``exceptions``, of ``local/`` the faces of ``connection`` and ``engines``.
What it needs of the session it acts on is a protocol of its own, ``kind.Target``: so the session may import
faults, and not the other way.
"""

from __future__ import annotations

from .fault import POINTS, Fault, FaultRow

__all__ = ["POINTS", "Fault", "FaultRow"]
