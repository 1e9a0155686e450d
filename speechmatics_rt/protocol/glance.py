"""What a transcript is about: seen without decoding it, so that one nobody listens to never is, or with it.

A decoded transcript costs more than all else that is done for it. But a session needs only two times of it,
and who asks for the text may decode it then. So only what is laid out as the service lays it out is looked
at like this, and nothing that could end a session or mean something else; the rest is decoded at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ..messages import Glance, channel_of, last_end, text_of, times_of
from . import codec

__all__ = ["glance", "results_in", "seen_in"]

_LONGEST = 4096  # bytes; so no number in it has more digits than Python reads
# What Python can't read is nested nearly a thousand deep: by a bracket each, or a brace and three more bytes.
_BRACKETS, _BRACES = 100, 200
_SHORT = 2800  # bytes, in which there is no room for that many braces

_SPEECH = re.compile(
    rb'\s*\{\s*"message"\s*:\s*"(Add(?:Partial)?(?:Transcript|Translation))"\s*,'
    rb'(?:\s*"format"\s*:\s*"[^"\\]*"\s*,)?\s*"results"\s*:\s*\[(?:\s*(\]))?'
)
# Times as they are, seconds that can be such: see messages.time_of().
_TIME = rb'_time"\s*:\s*(-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]+)?)\s*[,}]'
_END = re.compile(rb'"end' + _TIME)
_FIRST, _SECOND = rb'\s*"(start|end)' + _TIME, rb'\s*"(start|end)' + _TIME[:-4] + rb"(?=[,}])"
# The metadata are those of the whole, as the brace behind them says: it ends with the payload.
_TAIL = re.compile(
    rb'\]\s*,\s*"metadata"\s*:\s*\{'
    + _FIRST
    + _SECOND
    + rb'(?:,\s*"transcript"\s*:\s*"[^"]*"\s*)?\}\s*\}\s*\Z'
)


def glance(payload: bytes) -> Optional[Glance]:
    """See what a transcript or translation of a single channel is about; None if that isn't sure.

    What is not sure is for :func:`codec.decode`: also whatever that would refuse in a way that ends the
    session. It may still turn out to be no message at all when it is decoded.

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
    kind = str(found.group(1), "ascii")
    if kind.endswith("Translation"):
        return Glance(kind, payload)
    bracket = payload.rfind(b"]", 0, max(payload.rfind(b'"metadata"'), 0))  # of the results
    # Not `in`, which takes twice as long as a search from the right.
    tail = _TAIL.match(payload, bracket) if bracket > 0 and payload.rfind(b'"channel"') < 0 else None
    if tail is None:
        return None
    first, time, second, another = tail.groups()
    if first == second:
        return None
    end_time = max(float(time), float(another))  # as of any span: never before its start
    if found.end(2) == bracket + 1:
        return Glance(kind, payload, True, 0.0, end_time)
    last = _END.match(payload, max(0, payload.rfind(b'"end_time"', 0, bracket)))
    return Glance(kind, payload, False, float(last.group(1)), end_time) if last is not None else None


def seen_in(message: Mapping[str, Any], payload: bytes) -> Optional[Glance]:
    """Tell what a transcript is about that has been decoded; None if it is none.

    Example:
        >>> seen_in({"message": "AddTranscript", "results": [], "metadata": {"end_time": 2.0}}, b"...")[2:5]
        (True, 0.0, 2.0)
    """
    kind = message["message"]
    if kind not in ("AddTranscript", "AddPartialTranscript"):
        return None
    results = message.get("results")
    return Glance(
        kind,
        payload,
        not (results and isinstance(results, list)),
        last_end(message),
        times_of(message)[1],
        text_of(message.get("channel")),
        channel_of(message),
    )


def _is_harmless(payload: bytes) -> bool:
    """Whether decoding it could not end the session."""
    size = len(payload)
    if size > _LONGEST or payload.count(b"[") > _BRACKETS:
        return False
    if size > _SHORT and payload.count(b"{") > _BRACES:
        return False
    try:
        return payload.isascii() or bool(str(payload, "utf-8"))
    except UnicodeDecodeError:
        return False


def results_in(payload: bytes) -> Optional[list[object]]:
    """Decode what was only glanced at, for its results; None if it turns out to be no message."""
    try:
        results = codec.decode(payload).get("results")
    except codec.MessageError:
        return None
    return results if isinstance(results, list) else []
