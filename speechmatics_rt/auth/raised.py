"""What a program's own ``auth`` raises, as errors of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

from ..exceptions import AuthenticationError, ConnectionError, SpeechmaticsError
from ..messages import one_line
from ..threads import is_meant_for_call

__all__ = ["asking", "nobody_answered", "told_of"]

_IN_A_URL = re.compile(r"(?<=//)[^/\s@]*@|(?<=[?&])([\w.~-]+=)[^&#\s\"'<>)]*")
_OF_FILES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_MOST = 300  # characters of a program's own words


class asking:  # for a `with`
    """Ask ``auth`` for something in the block; tell who was to be asked for a key, and did not give it.

    What says nothing of that, such as a KeyError, is raised as it is. (One that allows no assignment, too,
    which the context managers of :mod:`contextlib` replace by a complaint of their own.)

    Args:
        auth: Who is asked.
        method: The method that is called.

    Raises:
        ConnectionError: Nobody has answered, or with HTTP 429 or 5xx.
        AuthenticationError: The answer was another HTTP status of a refusal.
    """

    def __init__(self, auth: object, method: str) -> None:
        self._name = f"{method}() of {type(auth).__name__}"

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, exc: Optional[BaseException], trace: object) -> None:
        if not isinstance(exc, Exception) or isinstance(exc, SpeechmaticsError) or is_meant_for_call(exc):
            return
        text = f"{self._name} raised {told_of(exc)}"
        status = _status_of(exc)
        if status is not None and status != 429 and status < 500:
            raise AuthenticationError(text, status=status) from exc
        if status is not None or nobody_answered(exc):
            raise ConnectionError(text, stage="key", status=status, unreached=status is None) from exc


def nobody_answered(error: BaseException) -> bool:
    """Whether an exception says that something is not to be had for now, and is no mistake of the program.

    Those that Python itself raises, such as KeyError and TypeError, and what is derived from them, are
    mistakes, but for an OSError of the network, and what is raised ``from`` one. (A file that is missing is
    a mistake as well.) An exception derived from nothing but Exception is raised on purpose: packages have
    such ones for what may go wrong.

    Example:
        >>> nobody_answered(ConnectionRefusedError()), nobody_answered(KeyError("token"))
        (True, False)
        >>> nobody_answered(FileNotFoundError("/run/secrets/key"))
        False
        >>> class EndpointConnectionError(Exception): "As that of botocore."
        >>> nobody_answered(EndpointConnectionError())
        True
    """
    seen: list[BaseException] = []
    cause: Optional[BaseException] = error
    while cause is not None and cause not in seen:  # a chain may go round in a circle
        if isinstance(cause, OSError):
            return not isinstance(cause, _OF_FILES)
        seen.append(cause)
        cause = cause.__cause__
    of_python = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return of_python is Exception and type(error) is not Exception


def _status_of(error: Exception) -> Optional[int]:
    """Return the HTTP status in an exception of requests, httpx, aiohttp, urllib, botocore or azure."""
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping):
        status = (answer.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) if answer is None else getattr(answer, "status_code", None)
    return status if isinstance(status, int) and 400 <= status < 600 else None


def told_of(error: BaseException) -> str:
    """Return the type and text of an exception in one line, without what may be a key in a URL.

    Example:
        >>> told_of(OSError("no answer from https://me:pass@vault.example/v1?key=abc (timed out)"))
        'OSError: no answer from https://***@vault.example/v1?key=*** (timed out)'
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # its own __str__ fails
        text = ""
    text = one_line(_IN_A_URL.sub(lambda found: f"{found[1]}***" if found[1] else "***@", text), _MOST)
    return f"{kind}: {text}" if text else kind
