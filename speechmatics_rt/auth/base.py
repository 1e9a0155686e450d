"""How a client authenticates, and which key is sent to which host."""

from __future__ import annotations

import inspect
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, Optional, Union
from urllib.parse import parse_qs, urlsplit

from ..config import ConnectionConfig, is_cloud, is_loopback
from ..exceptions import AuthenticationError, ConfigurationError, a_kind
from .raised import asking

__all__ = [
    "A_KEY",
    "KEY_VARIABLE",
    "AuthBase",
    "NoAuth",
    "StaticKeyAuth",
    "checked_key",
    "headers_for",
    "key_from_environment",
    "not_headers",
]

logger = logging.getLogger(__name__)

_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
KEY_VARIABLE = "SPEECHMATICS_API_KEY"
A_KEY = f"an API key (of portal.speechmatics.com): set {KEY_VARIABLE}, or pass api_key="


class AuthBase(ABC):
    """How a client authenticates. Subclass it for a scheme of your own.

    Example:
        >>> import urllib.request
        >>> class FromVault(AuthBase):
        ...     def __init__(self, vault):
        ...         self.vault = vault
        ...     def get_auth_headers(self):
        ...         with urllib.request.urlopen(self.vault, timeout=5) as answer:
        ...             return {"Authorization": "Bearer " + answer.read().decode()}
        >>> from speechmatics_rt import Client
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer(keys=["k3y"]) as server:  # and a vault that says k3y
        ...     client = Client(FromVault("data:,k3y"), url=server.url)
        ...     raw = {"encoding": "pcm_s16le", "sample_rate": 16000}
        ...     print(client.transcribe(bytes(32000), audio_format=raw))
        Good
    """

    @abstractmethod
    def get_auth_headers(self) -> Union[dict[str, str], Awaitable[dict[str, str]]]:
        """Return the headers to add to the upgrade request.

        Called before each connection, also when a lost one is replaced, on any thread, but always with the
        :mod:`contextvars` of the thread that started the session. For the asyncio clients it may be a
        coroutine function, or return anything else that is to be awaited, which their event loop does.

        What it raises says what follows:

        Raises:
            OSError: Nobody has answered for now: raised as a ConnectionError of stage ``"key"``, with
                ``unreached`` set, as a failed attempt. It is ``retryable``, so with ``resume`` another
                attempt follows, and :func:`transcribe_many` waits. The same applies to an exception that is
                raised ``from`` an OSError, and to each whose class is derived from Exception alone, as
                those of httpx, botocore and redis are. Not to OSErrors of files, such as FileNotFoundError
                and PermissionError: a key file that is missing is a mistake.
            SpeechmaticsError: Is taken as it is. Raise AuthenticationError if there is no key to be had.
            Exception: Any other, such as a KeyError, a TypeError, or one derived from these, is taken for a
                mistake, and nothing is tried again: it is raised as it is, or as the cause of a
                ConnectionError that is ``lasting`` if it ends a session. An exception of a package that
                stands for an HTTP status is judged by that: 429 and 5xx are a ConnectionError, any other
                refusal is an AuthenticationError.
        """

    def configure(self, conn_config: ConnectionConfig) -> None:  # noqa: B027 - there is nothing to configure
        """Called before ``get_auth_headers`` with the client's proxy, TLS context and timeouts."""

    def refresh(self) -> bool:
        """Called when the headers were refused. Return True if a retry would use different ones.

        What it raises is taken as that of :meth:`get_auth_headers`.
        """
        return False


class NoAuth(AuthBase):
    """Send no key: for a container, or behind a proxy that adds one.

    Example:
        >>> NoAuth().get_auth_headers()
        {}
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def get_auth_headers(self) -> dict[str, str]:
        return {}


class StaticKeyAuth(AuthBase):
    """Send an API key, or a temporary key obtained elsewhere, as it is.

    Args:
        api_key: The key. Default: the environment variable ``SPEECHMATICS_API_KEY``, read at each
            connection. If that isn't set either, no header is sent.

    Raises:
        ConfigurationError: The key is empty, or contains characters that a key can't have.

    Example:
        >>> StaticKeyAuth("k3y")
        StaticKeyAuth('***')
        >>> StaticKeyAuth("k3y").get_auth_headers()
        {'Authorization': 'Bearer k3y'}
    """

    _api_key: Optional[str] = None  # for the repr of one whose construction failed

    def __init__(self, api_key: Optional[str] = None) -> None:
        self._api_key = None if api_key is None else checked_key(api_key, "the API key")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'from the environment' if self.from_environment else repr('***')})"

    @property
    def from_environment(self) -> bool:
        """Whether the key is read from the environment, since none was given."""
        return self._api_key is None

    def get_auth_headers(self) -> dict[str, str]:
        key = self._api_key or key_from_environment()
        return {"Authorization": f"Bearer {key}"} if key else {}


def headers_for(auth: AuthBase, url: str) -> dict[str, str]:
    """Return the headers of ``auth`` that may be sent to ``url``; called once per connection.

    A key from the environment is sent unencrypted to this machine only, and is not added to a URL that
    carries a temporary key (``?jwt=``). A key given in code is sent anywhere.

    Raises:
        AuthenticationError: There is no key, and the host is one of Speechmatics.
        ConfigurationError: ``auth`` returned something other than a mapping.
        Exception: What ``auth.get_auth_headers()`` raised, as :func:`asking` takes it.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    exposed = parts.scheme == "ws" and not is_loopback(host)
    found = isinstance(auth, StaticKeyAuth) and auth.from_environment
    if found and "jwt" in parse_qs(parts.query):
        return {}
    with asking(auth, "get_auth_headers"):
        given: Any = auth.get_auth_headers()
    if inspect.iscoroutine(given):
        given.close()  # or it would warn that it was never awaited
    if not isinstance(given, Mapping):
        raise not_headers(auth, given)
    headers = dict(given)  # a copy: the caller adds to it, and auth may keep its own
    if found and not headers and is_cloud(url):
        raise AuthenticationError(f"{host} requires {A_KEY}")
    if exposed and headers:
        if found:
            logger.warning(
                "the key in %s is not sent to %s, because ws:// is not encrypted; use wss://, "
                "or pass api_key= to send it anyway",
                KEY_VARIABLE,
                host,
            )
            return {}
        logger.warning("the key is sent to %s unencrypted; use wss:// if possible", host)
    return headers


def not_headers(auth: object, given: object) -> ConfigurationError:
    """Return the error for what ``auth.get_auth_headers()`` has returned."""
    name = type(auth).__name__
    hint = ", or a coroutine in an AsyncClient" if inspect.isawaitable(given) else ""
    return ConfigurationError(
        f"{name}.get_auth_headers() returned {a_kind(given)}; accepted: a dict of strings{hint}"
    )


def key_from_environment() -> Optional[str]:
    """Return the API key in the environment, if there is one. Raises the errors of :func:`checked_key`."""
    key = os.environ.get(KEY_VARIABLE)
    return checked_key(key, f"the key in {KEY_VARIABLE}") if key else None


def checked_key(key: Any, name: str) -> str:
    """Return a key that is fit for a header.

    Raises:
        ConfigurationError: It is not a string, is empty, or contains characters that a key can't have.
            The error calls it ``name``.
    """
    if not isinstance(key, str) or not key:
        raise ConfigurationError(
            f"{name} is {'empty' if key == '' else type(key).__name__}; a key is a string"
        )
    # Mistakes of pasting and of files. The key itself is never shown, however wrong.
    if key != key.strip():
        raise ConfigurationError(f"{name} has white space or line breaks around it; remove them: key.strip()")
    if re.match(r"(?i)bearer\b|authorization\b", key):
        raise ConfigurationError(
            f"{name} starts with 'Bearer' or 'Authorization'; give only the key that follows"
        )
    if key[0] in _QUOTES or key[-1] in _QUOTES:
        raise ConfigurationError(
            f"{name} is in quotes; remove them (docker's --env-file and Windows' set keep them)"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"{name} contains spaces, line breaks or other characters that a key can't have"
        )
    return key
