"""What a service can do, by its own word."""

from __future__ import annotations

import json
import time
from typing import Any, Optional
from urllib.parse import urlsplit

from ..auth import get
from ..config import ConnectionConfig, check_url, redact, refused
from ..exceptions import ConnectionError, ProtocolError
from .connector import address

__all__ = ["available_features"]

_PATH = "/v1/discovery/features"
_FRESH = 3600.0  # s: what a service can do changes with its releases
_known: dict[str, tuple[float, bytes]] = {}  # by address: until when it is taken as it is, and what was said


def available_features(
    url: Optional[str] = None, *, conn_config: Optional[ConnectionConfig] = None
) -> dict[str, Any]:
    """Ask which languages, locales, domains and translations a service offers for real time.

    The answer is that of the service, kept for an hour. It needs no key, but the package ``requests``
    (``pip install 'speechmatics-rt-sync[jwt]'``). Containers have no such page.

    Args:
        url: The service, as for :class:`Client`, whose default counts here too.
        conn_config: Proxy, TLS context and ``open_timeout``, which limits it all.

    Raises:
        ConfigurationError: The URL is none, or ``requests`` is missing.
        ConnectionError: Stage ``"features"``: it can't be asked, or has no such page (``status``).
        TimeoutError: Stage ``"open"``.
        ProtocolError: What it says is not a JSON object.

    Example:
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server:
        ...     features = available_features(server.url)
        >>> "en" in features["realtime"]["transcription"][0]["languages"]
        True
    """
    if conn_config is not None and not isinstance(conn_config, ConnectionConfig):
        raise refused("conn_config", conn_config, "a ConnectionConfig, or None for its defaults")
    url = address(url)
    check_url(url)
    parts = urlsplit(url)
    page = f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}{_PATH}"
    until, content = _known.get(page, (0.0, b""))
    if time.monotonic() >= until:
        content = _ask(page, conn_config or ConnectionConfig())
        _known[page] = (time.monotonic() + _FRESH, content)
    features: dict[str, Any] = json.loads(content)  # each caller gets a copy of its own
    return features


def _ask(page: str, config: ConnectionConfig) -> bytes:
    status, content = get(page, config, name="features")
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
