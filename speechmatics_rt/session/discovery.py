"""Asks a service which languages and features it offers."""

from __future__ import annotations

import json
import time
from typing import Any, Optional
from urllib.parse import urlsplit

from ..auth import get
from ..config import ConnectionConfig, redact, refused
from ..exceptions import ConnectionError, ProtocolError
from .connector import address

__all__ = ["available_features"]

_PATH = "/v1/discovery/features"
_FRESH = 3600.0  # seconds: what a service offers changes with its releases
_known: dict[str, tuple[float, bytes]] = {}  # by address: when the answer expires, and the answer


def available_features(
    url: Optional[str] = None, *, conn_config: Optional[ConnectionConfig] = None
) -> dict[str, Any]:
    """Return the languages, locales, domains and translations that a service offers in real time.

    The answer is that of the service, cached for an hour. This needs no key, but the package ``requests``
    (``pip install 'speechmatics-rt-sync[jwt]'``). Containers have no such page.

    Args:
        url: The service. Default: as for :class:`Client`.
        conn_config: Proxy, TLS context, and ``open_timeout`` as the limit on everything.

    Raises:
        ConfigurationError: The URL is wrong, or ``requests`` is missing.
        ConnectionError: Stage ``"features"``: the host can't be reached, or has no such page (``status``).
        TimeoutError: Stage ``"open"``.
        ProtocolError: The page is not a JSON object.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server:
        ...     features = available_features(server.url)
        >>> "en" in features["realtime"]["transcription"][0]["languages"]
        True
    """
    if conn_config is not None and not isinstance(conn_config, ConnectionConfig):
        raise refused("conn_config", conn_config, "a ConnectionConfig, or None for its defaults")
    parts = urlsplit(address(url))
    page = f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}{_PATH}"
    until, content = _known.get(page, (0.0, b""))
    if time.monotonic() >= until:
        content = _ask(page, conn_config or ConnectionConfig())
        _known[page] = (time.monotonic() + _FRESH, content)
    features: dict[str, Any] = json.loads(content)  # each caller gets a copy of its own
    return features


def _ask(page: str, config: ConnectionConfig) -> bytes:
    status, content = get(page, config, name="features", caller="available_features()")
    host = urlsplit(page).hostname
    if status != 200:
        text = f"{host} has no page of features: HTTP {status} for {redact(page)}"
        raise ConnectionError(text, stage="features", status=status)
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ProtocolError(f"the features page of {host} is not a JSON object")
    return content
