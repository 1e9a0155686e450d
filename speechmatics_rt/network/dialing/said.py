"""What a refusal says: the reason in JSON, or the text of a page; and when to try again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Optional

from ...messages import Secrets
from ...threads import importing

__all__ = ["cleaned", "retry_after_in", "said_in"]

_MOST = 200  # characters
_UNSEEN = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)")
_BETWEEN = re.compile(r"<[^<>]*(?:>|\Z)|\r\n")  # tags, and what parts the chunks of a chunked body
_SIZE = re.compile(r"[0-9a-fA-F]{1,8}")  # of a chunk; or a status, which is told anyway


def said_in(body: bytes, secrets: Secrets) -> str:
    """Return why a request was refused, as its body says it, in a short line; empty if it says nothing.

    Args:
        body: The body, or its first part; it may be chunked.
        secrets: What must not be repeated.

    Example:
        >>> said_in(b'{"code": 503, "reason": "busy"}', Secrets())
        'busy'
        >>> said_in(b"<html><title>Blocked &amp; logged</title><p>Ask <b>IT</b>.</html>", Secrets())
        'Blocked & logged Ask IT .'
    """
    try:
        said = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    except (ValueError, RecursionError):  # not JSON, or nested thousands deep
        return cleaned(_text_of(body), secrets)
    for key in ("reason", "error", "detail"):
        if isinstance(said.get(key), str):
            return cleaned(said[key], secrets)
    in_a_page = b"<" in body[: body.index(b"{")]
    return cleaned(_text_of(body), secrets) if in_a_page else ""


def cleaned(text: str, secrets: Secrets) -> str:
    """Return a short line of text that is safe to show."""
    return "".join(char if char.isprintable() else " " for char in secrets.hide_in(text))[:_MOST].strip()


def retry_after_in(headers: Mapping[str, str]) -> Optional[float]:
    """Return the seconds of ``Retry-After``; a date counts from the server's own ``Date``, if there is one.

    Args:
        headers: Found in any case, or with names in lower case.
    """
    given = headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", given):
        return float(given)
    with importing:
        import calendar  # noqa: F401  # since Python 3.13 mktime_tz imports it itself
        from email.utils import mktime_tz, parsedate_tz

    then = parsedate_tz(given)
    now = parsedate_tz(headers.get("date", ""))
    try:
        return max(0.0, mktime_tz(then) - (mktime_tz(now) if now else time.time())) if then else None
    except (ValueError, OverflowError):  # an impossible year
        return None


def _text_of(page: bytes) -> str:
    """Return what a reader would see of a page; empty if it is no text."""
    with importing:
        from html import unescape  # pages are rare

    text = page.decode("utf-8", "replace")
    if sum(char == "\ufffd" or not (char.isprintable() or char.isspace()) for char in text) * 10 > len(text):
        return ""  # compressed, or a picture
    pieces: list[str] = []
    for part in _BETWEEN.split(_UNSEEN.sub("", text)):
        piece = " ".join(unescape(part).split())
        repeats = len(piece) > 4 and pieces and piece in pieces[0]  # most headings repeat the title
        if piece and not repeats and not _SIZE.fullmatch(piece):
            pieces.append(piece)
    return " ".join(pieces)
