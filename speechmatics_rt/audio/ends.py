"""Says whether a source has ended too early, if it knows how much was to come. Pure; knows types by names."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

from .hints import named

__all__ = ["Announced", "announced"]


class Announced(NamedTuple):
    """What a source that has ended says of itself.

    Attributes:
        size: The bytes that were to come.
        owed: Those of them that never came; None if it does not count them.
    """

    size: int
    owed: Optional[int] = None


def announced(source: Any) -> Optional[Announced]:
    """Look at a source that has ended; None if it does not know how much was to come.

    Readers of files in a container (gzip, a ZIP, a tar), of chunked responses and of httpx and aiohttp raise
    an error of their own instead.

    Example:
        >>> from http.client import HTTPResponse
        >>> response = HTTPResponse.__new__(HTTPResponse)
        >>> response.length, response.headers = 29517, {"Content-Length": "59033"}
        >>> announced(response)
        Announced(size=59033, owed=29517)
    """
    look = named(source, _COUNTS)
    if look is None:
        return None
    try:
        size, owed = look(source)
        return Announced(int(size), None if owed is None else int(owed))
    except (AttributeError, KeyError, TypeError, ValueError):  # no length was given, or not as usual
        return None


def _django(request: Any) -> tuple[Any, Any]:
    stream = request._stream
    return stream.limit, stream.limit - stream._pos


# By package and class: what to look at. Each of these ends quietly when its connection is lost.
_COUNTS: dict[tuple[str, str], Callable[[Any], tuple[Any, Any]]] = {
    ("http", "HTTPResponse"): lambda it: (it.headers["Content-Length"], int(it.length)),
    ("urllib3", "HTTPResponse"): lambda it: (it.headers["Content-Length"], int(it.length_remaining)),
    ("requests", "Response"): lambda it: (it.raw.headers["Content-Length"], int(it.raw.length_remaining)),
    ("django", "WSGIRequest"): _django,
    ("urllib", "addinfourl"): lambda it: (it.headers["Content-Length"], None),  # of ftp://
}
