"""Says whether a source has ended too early, if it knows how much was to come. Pure; knows types by names."""

from __future__ import annotations

import io
from typing import Any, Callable, Optional

from .hints import named

__all__ = ["announced", "to_come"]


def announced(source: Any) -> tuple[Optional[int], Optional[int]]:
    """Return how many bytes a source that has ended was to bring, and how many of them it still owes.

    None is what it does not know, or does not count.

    Readers of files in a container (gzip, a ZIP, a tar), of chunked responses, of httpx, aiohttp, Flask and
    Starlette raise an error of their own instead.

    Example:
        >>> said = {"headers": {"Content-Length": "59033"}, "length": 29517}  # it counts down
        >>> response = type("HTTPResponse", (), {"__module__": "http.client", **said})()
        >>> announced(response)
        (59033, 29517)
        >>> announced(io.BytesIO(b"nothing was announced"))
        (None, None)
    """
    if isinstance(source, io.BufferedReader):
        source = source.raw
    look = named(source, _COUNTS)
    if look is None:
        return None, None
    try:
        size, owed = look(source)
        return None if size is None else int(size), owed
    except (AttributeError, KeyError, TypeError, ValueError):  # no length was given, or not as usual
        return None, None


def to_come(source: Any) -> Optional[int]:
    """Return how many bytes a source that is about to be read is to bring, if it forgets that as it is read.

    The body of a request in gunicorn counts what was asked for, not what came.

    Example:
        >>> body = type("Body", (), {"__module__": "gunicorn.http.body", "buf": io.BytesIO(b"abc")})()
        >>> body.reader = type("LengthReader", (), {"length": 97})
        >>> to_come(body)
        100
    """
    if named(source, {("gunicorn", "Body"): True}) is None:
        return None
    try:
        return int(source.reader.length) + len(source.buf.getvalue())
    except (AttributeError, TypeError, ValueError):  # in chunks, or not as usual
        return None


def _django(request: Any) -> tuple[Any, Optional[int]]:
    stream = request._stream
    return stream.limit, int(stream.limit - stream._pos)


# By package and class: what to look at. Each of these ends quietly when its connection is lost.
_COUNTS: dict[tuple[str, str], Callable[[Any], tuple[Any, Optional[int]]]] = {
    ("http", "HTTPResponse"): lambda it: (it.headers["Content-Length"], int(it.length)),
    ("urllib3", "HTTPResponse"): lambda it: (it.headers["Content-Length"], int(it.length_remaining)),
    ("requests", "Response"): lambda it: (it.raw.headers["Content-Length"], int(it.raw.length_remaining)),
    ("django", "WSGIRequest"): _django,
    ("urllib", "addinfourl"): lambda it: (it.headers["Content-Length"], None),  # of ftp://
}
