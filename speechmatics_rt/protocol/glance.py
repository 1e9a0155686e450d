"""Reads the times of a transcript without decoding it.

Decoding a transcript costs more than everything else that is done for it. But a session needs only two of its
times; if no handler wants it, it is decoded only when its text is asked for. This is done only for payloads
in the service's usual layout that can neither end the session nor mean anything else; all others are decoded
at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ..messages import Glance, channel_of, span
from . import codec

__all__ = ["glance", "message_in", "seen_in"]

_LONGEST = 4096  # bytes; so no number in it has more digits than Python can parse
# Python can't parse what is nested nearly a thousand deep: by a bracket each, or a brace and three bytes.
_BRACKETS, _BRACES = 100, 200
_SHORT = 2800  # bytes; a shorter payload has no room for nesting so deep by braces

_SPEECH = re.compile(
    rb'\s*\{\s*"message"\s*:\s*"(Add(?:Partial)?(?:Transcript|Translation))"\s*,'
    rb'(?:\s*"format"\s*:\s*"[^"\\]*"\s*,)?\s*"results"\s*:\s*\[(?:\s*(\]))?'
)
# Times in seconds, in the usual notation and range: see messages.time_of().
_TIME = rb'_time"\s*:\s*(-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]+)?)\s*'
_END = re.compile(rb'"end' + _TIME + rb"[,}]")
# The metadata of the message itself: the brace after them ends the payload. The times come in either order.
_TAIL = re.compile(
    rb'\]\s*,\s*"metadata"\s*:\s*\{\s*"(start|end)'
    + _TIME
    + rb',\s*"(?!\1)(?:start|end)'
    + _TIME
    + rb'(?:,\s*"transcript"\s*:\s*"[^"]*"\s*)?\}\s*\}\s*\Z'
)


def glance(payload: bytes) -> Optional[Glance]:
    """Return the times of a transcript or translation of a single channel; None if they are not certain.

    Then the payload is for :func:`codec.decode`; so is every payload whose decoding may end the session. A
    payload with a glance may still turn out not to be a message when it is decoded.

    Example:
        >>> payload = (b'{"message":"AddTranscript","results":[{"start_time":1.5,"end_time":1.9}],'
        ...     b'"metadata":{"start_time":1.4,"end_time":2.0,"transcript":""}}')
        >>> glance(payload)[2:5]
        (False, 1.9, 2.0)
        >>> glance(payload.replace(b'"results"', b'"forced":true,"results"'))
    """
    found = _SPEECH.match(payload)
    if found is None or not _is_harmless(payload):
        return None
    kind = codec.NAMES[found[1]]
    if kind in ("AddTranslation", "AddPartialTranslation"):
        return kind, payload, True, 0.0, 0.0, None, None
    bracket = payload.rfind(b"]", 0, payload.rfind(b'"metadata"'))  # of the results
    tail = _TAIL.match(payload, bracket)
    if tail is None or payload.rfind(b'"channel"') >= 0:  # rfind() and not `in`, which takes thrice as long
        return None
    time, another = float(tail[2]), float(tail[3])
    end_time = time if time > another else another  # as for any span, not before its start
    if found.end(2) == bracket + 1:
        return kind, payload, True, 0.0, end_time, None, None
    last = _END.match(payload, payload.rfind(b'"end_time"', 0, bracket))
    return None if last is None else (kind, payload, False, float(last[1]), end_time, None, None)


def seen_in(message: Mapping[str, Any], payload: bytes = b"") -> tuple[Glance, ...]:
    """Return the same for a transcript that was decoded; nothing if the message is not a transcript.

    Example:
        >>> message = {"message": "AddTranscript", "results": [], "metadata": {"end_time": 2.0}}
        >>> [seen[2:5] for seen in seen_in(message, b"...")]
        [(True, 0.0, 2.0)]
    """
    kind = message["message"]
    if kind not in ("AddTranscript", "AddPartialTranscript"):
        return ()
    results, metadata, label = message.get("results"), message.get("metadata"), channel_of(message)
    if not isinstance(results, list):
        results = []
    last = results[-1] if results else None
    last_end = span(last)[1] if isinstance(last, dict) else 0.0
    end_time = span(metadata)[1] if isinstance(metadata, dict) else 0.0
    channel = None if message.get("channel") is None else label
    return ((kind, payload, not results, last_end, end_time, channel, label),)


def _is_harmless(payload: bytes) -> bool:
    """Whether decoding the payload can't end the session."""
    # Counted by what replace() leaves out, since count() takes three times as long.
    size = len(payload)
    if size > _LONGEST or size - len(payload.replace(b"[", b"", _BRACKETS + 1)) > _BRACKETS:
        return False
    if size > _SHORT and size - len(payload.replace(b"{", b"", _BRACES + 1)) > _BRACES:
        return False
    try:
        return payload.isascii() or bool(str(payload, "utf-8"))
    except UnicodeDecodeError:
        return False


def message_in(payload: bytes) -> Optional[dict[str, Any]]:
    """Decode a payload that had only a glance; None if it turns out not to be a message."""
    try:
        return codec.decode(payload)
    except codec.MessageError:
        return None
