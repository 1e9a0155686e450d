"""Connects to a URL: DNS, TCP, proxy, TLS and the WebSocket upgrade, under one deadline.

This package makes the socket; websocket-client only writes the upgrade request and checks the answer. If it
connected by itself, it would follow redirects with the API key, wait without limit, and keep cookies for the
whole process. So it is lent the socket (see :class:`UpgradeSocket`), and can't close it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ...config import ConnectionConfig, header_line, parse
from ...exceptions import ConfigurationError
from ...messages import Secrets
from ..duplex import DuplexSocket
from .attempt import Attempt
from .handshake import connect_tls, context_of
from .opening import Opening
from .proxy import connect_tcp, proxy_for
from .upgrade import secrets_in, upgrade, websocket_client

__all__ = ["Upgraded", "check_patches", "dial"]


class Upgraded(NamedTuple):
    """A socket just after the 101 answer; the next byte to read is the first of a frame."""

    sock: DuplexSocket
    headers: dict[str, str]  # of the answer; lower-case names
    elapsed: float  # seconds from DNS to 101
    secrets: Secrets  # the keys in the request


def dial(
    url: str,
    headers: Mapping[str, str],
    config: ConnectionConfig,
    *,
    deadline: float,
    since: Optional[float] = None,
    opening: Optional[Opening] = None,
) -> Upgraded:
    """Connect to ``url`` and upgrade to a WebSocket, all before ``deadline`` (of :func:`time.monotonic`).

    If anything is raised, KeyboardInterrupt included, no socket stays open. A name resolution that hangs
    can't be stopped: its daemon thread is left behind.

    Args:
        url: ``ws://`` or ``wss://``.
        headers: Sent with the request as they are, ``Authorization`` included.
        config: Provides ``ssl_context``, ``proxy`` and, for the error's text, ``open_timeout``.
        deadline: ``math.inf`` for none.
        since: When the wait began that the deadline ends, for the error's text; None: now.
        opening: Lets another thread give up the dialling, which then raises any of the errors below.

    Raises:
        ConfigurationError: The URL, a header, the proxy or ``SSL_CERT_FILE`` is wrong, or a package is
            missing. Before anything is sent.
        AuthenticationError: HTTP 401 or 403.
        ConnectionError: Any other failure; see its ``stage``, ``status`` and ``retry_after``.
        ProtocolError: The answer is not HTTP, or not a WebSocket upgrade.
        TimeoutError: The deadline passed; stage ``"open"``.
    """
    since = time.monotonic() if since is None else since
    target = parse(url)
    fields = [header_line(name, value) for name, value in headers.items()]
    secrets = secrets_in(target, fields)
    library = websocket_client()
    proxy = proxy_for(target, config.proxy)
    context = context_of(config) if target.secure else None
    attempt = Attempt(target, since, deadline, config.open_timeout, opening or Opening())
    opened: Any = None
    try:  # around everything to the last line, since Ctrl-C may come between any two lines
        opened = connect_tcp(attempt, proxy)
        if context is not None:
            with attempt.step("tls", f"agree on TLS with {target.address}", reached=True):
                opened = connect_tls(opened, context, target.host, deadline)
        else:
            opened = DuplexSocket(opened)
        doing = f"upgrade the connection to {target.address} to a WebSocket"
        with attempt.step("upgrade", doing, reached=True):
            answer = upgrade(library, opened, target, fields, secrets, deadline)
        attempt.opening.let_go()
        return Upgraded(opened, answer, time.monotonic() - attempt.begun, secrets)
    except BaseException:
        if opened is not None:
            opened.close()
        attempt.opening.let_go()
        raise


def check_patches() -> None:
    """Refuse an environment in which no session could work, before any I/O.

    Raises:
        ConfigurationError: eventlet has replaced sockets, gevent has replaced threads but not ``select``, or
            this is a sub-interpreter without daemon threads.
    """
    try:
        threading.Thread(name="speechmatics-rt-none", daemon=True)
    except RuntimeError as exc:
        raise ConfigurationError(
            f"{exc}, and a session needs daemon threads: run it in the main interpreter, or in a "
            "sub-interpreter that was made with the configuration 'legacy'"
        ) from exc
    if not hasattr(socket.socket, "shutdown"):
        raise ConfigurationError(
            "eventlet has replaced sockets by ones that can't be shut down, which is how a session ends: "
            "use gevent or threads, or eventlet.monkey_patch(socket=False, select=False, thread=False)"
        )
    monkey = sys.modules.get("gevent.monkey")
    if monkey and monkey.is_module_patched("threading") and not monkey.is_module_patched("select"):
        raise ConfigurationError(
            "gevent has replaced threads but not select, so waiting for a socket would block all of them: "
            "call monkey.patch_all() without select=False"
        )
