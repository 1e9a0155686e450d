"""The service as one client reaches it: address, key, headers, limits, and what to do about losses."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable, Optional, Union

from .._version import __version__
from ..auth import AuthBase, NoAuth, StaticKeyAuth, headers_for
from ..config import (
    TEXT,
    ConnectionConfig,
    ResumePolicy,
    check_url,
    checked,
    doubts,
    is_cloud,
    redact,
    refused,
    with_sdk,
)
from ..deadline import OverdueError, call_until
from ..exceptions import (
    ConfigurationError,
    ConnectionError,
    SpeechmaticsError,
    TimeoutError,
    without_frames,
)
from ..log import SessionLog
from ..network import Connection, Link, Opening, Upgraded, check_patches, dial, shared_context
from ..resume import ResumingConnection, unreached
from .request import SessionRequest

__all__ = ["DEFAULT_URL", "NO_PICKLE", "Connector", "Opening", "address", "request_id_of"]

DEFAULT_URL = "wss://eu.rt.speechmatics.com/v2"
NO_PICKLE = (
    "it holds a connection and threads of this process; make one where it is used (its ConnectionConfig and "
    "JWTAuth can be pickled)"
)


def request_id_of(ws_headers: Mapping[str, str], otherwise: Optional[str] = None) -> str:
    """Return the caller's own ``X-Request-Id``, or ``otherwise``, or make one."""
    given = (value for name, value in ws_headers.items() if name.lower() == "x-request-id")
    return next(given, "") or otherwise or str(uuid.uuid4())


def address(url: Optional[str]) -> str:
    """Return a service's address, that of the environment or the default one without any."""
    return url if url is not None else os.environ.get("SPEECHMATICS_RT_URL") or DEFAULT_URL


def _checked(url: str) -> str:
    check_url(url)
    return url


class Connector:
    """Make connections with one client's options. May be used from any thread.

    Raises:
        ConfigurationError: An option is wrong, or both a key and an ``auth`` are given.
    """

    def __init__(
        self,
        auth: Optional[AuthBase],
        api_key: Optional[str],
        url: Optional[str],
        config: Optional[ConnectionConfig],
        sdk_identifier: Optional[str],
        resume: Union[bool, ResumePolicy],
        app: Optional[str] = None,
    ) -> None:
        if isinstance(auth, str):  # not shown: it may well be the key
            raise ConfigurationError("auth is a string; a key is given by its name: Client(api_key=...)")
        if auth is not None and not isinstance(auth, AuthBase):
            raise ConfigurationError(f"auth is {auth!r}; accepted: an AuthBase, such as JWTAuth(), or None")
        if auth is not None and api_key is not None:
            raise ConfigurationError("give either auth or api_key, not both")
        if url is not None:
            check_url(url)
        if config is not None and not isinstance(config, ConnectionConfig):
            raise refused("conn_config", config, "a ConnectionConfig, or None for its defaults")
        checked("sdk_identifier", sdk_identifier, TEXT)
        checked("app", app, TEXT)
        if not isinstance(resume, (bool, ResumePolicy)):
            raise ConfigurationError(f"resume={resume!r}: use True, False or a ResumePolicy")
        self.auth = auth if auth is not None else StaticKeyAuth(api_key)
        self.config = config if config is not None else ConnectionConfig()
        self._resume = ResumePolicy() if resume is True else resume or None
        for given in (self.config, self._resume):  # something may have been assigned since they were made
            if given is not None:
                given.check()
        self._url = url
        self._sdk_identifier = sdk_identifier or f"python-rt-sync-v{__version__}"
        self._app = app
        self._doubts: set[str] = set()  # what was said

    def check(self, request: SessionRequest) -> None:
        """Refuse what could not be done, before any I/O.

        Raises:
            ConfigurationError: A session over several connections was asked for, of audio without time; or
                sockets have been replaced that could not carry one.
        """
        check_patches()
        if self._resume is not None and request.audio_format.encoding is None:
            raise ConfigurationError(
                "resume needs audio whose time is known, so not the format 'file': give raw audio with "
                "audio_format=AudioFormat('pcm_s16le', 16000), or a mono WAV of PCM or mu-law"
            )

    @property
    def url(self) -> str:
        """The service's address. Variables are read at use: a program may load them after it made its client.

        Raises:
            ConfigurationError: That of the environment is none.
        """
        try:
            return _checked(address(self._url))
        except ConfigurationError as exc:
            raise without_frames(exc) from None  # they hold it, and all that is secret in it

    @property
    def shown_url(self) -> str:
        """The address for people, without what is secret in it."""
        try:
            return redact(self.url)
        except ConfigurationError:
            return "an address that can't be read"

    def doubts(self, message: Mapping[str, Any]) -> list[str]:
        """Say, once each, what the cloud may refuse of a message; a container of yours may well take it."""
        if not is_cloud(self.url):
            return []
        new = [doubt for doubt in doubts(message) if doubt not in self._doubts]
        self._doubts.update(new)
        return [f"{doubt}: the service may refuse the session" for doubt in new]

    def link(
        self, request: SessionRequest, log: SessionLog, wants: Callable[[str], bool], opening: Opening
    ) -> Link:
        """Connect; with ``resume``, in a way that replaces a connection that is lost, or refused for now.

        Args:
            wants: See :class:`Connection`.
            opening: Gives it up.

        Raises:
            SpeechmaticsError: Whatever hindered it.
        """
        headers = request.ws_headers
        connection: Optional[Connection] = None
        try:
            connection = self._connect(
                headers,
                log,
                deadline=request.deadline,
                timeout=request.timeout,
                wants=wants,
                opening=opening,
            )
            if self._resume is None:
                return connection
            return self._resuming(connection, request, log, wants)
        except ConnectionError as error:
            # Only an answer is waited for: where nobody answers the address may well be wrong.
            if self._resume is None or error.status is None or not error.retryable:
                raise
            return self._resuming(unreached(error), request, log, wants)
        except BaseException:  # Ctrl-C, when nobody else has it yet
            if connection is not None:
                connection.close()
            raise

    def _resuming(
        self, connection: Any, request: SessionRequest, log: SessionLog, wants: Callable[[str], bool]
    ) -> Link:
        return ResumingConnection(
            connection,
            self._redial(request.ws_headers, log, wants),
            policy=self._resume or ResumePolicy(),
            start=request.start,
            audio_format=request.audio_format,
            refresh=self.auth.refresh,
            log=log,
        )

    def _connect(
        self,
        ws_headers: Mapping[str, str],
        log: SessionLog,
        *,
        deadline: float,
        timeout: Optional[float],
        wants: Callable[[str], bool],
        opening: Opening,
    ) -> Connection:
        """Get a key if one is needed, and dial; the connection's threads begin with its ``start()``.

        Args:
            deadline: Of the whole call (monotonic), with ``timeout`` the seconds it was given; what is
                sooner, this or ``open_timeout``, counts.
        """
        limit = self.config.open_timeout
        until = float("inf") if limit is None else time.monotonic() + limit
        upgraded = None
        try:
            upgraded = self._dial(ws_headers, log, min(until, deadline), opening)
            log.info("connected in %.2f s", upgraded.elapsed)
            return Connection(upgraded.sock, self.config, log, wants=wants, secrets=upgraded.secrets)
        except SpeechmaticsError as exc:
            exc.request_id = log.request_id
            if isinstance(exc, TimeoutError) and deadline < until:
                exc.stage, exc.seconds = "whole", timeout
            # The frames of dialling hold the key, and who reports crashes sends the locals of each.
            raise without_frames(exc) from exc.__cause__
        except BaseException:  # Ctrl-C between the dialling and the connection that owns the socket
            if upgraded is not None:
                upgraded.sock.close()
            raise

    def _dial(
        self, ws_headers: Mapping[str, str], log: SessionLog, deadline: float, opening: Opening
    ) -> Upgraded:
        url = self.url
        given = {name.lower() for name in ws_headers}
        headers = {} if "authorization" in given else self._authorization(url, deadline, opening)
        if "x-request-id" not in given:
            headers["X-Request-Id"] = log.request_id
        headers.update(ws_headers)
        log.info("connecting to %s", redact(url))
        target = with_sdk(url, self._sdk_identifier, self._app)
        return dial(target, headers, self.config, deadline=deadline, opening=opening)

    def _authorization(self, url: str, deadline: float, opening: Opening) -> dict[str, str]:
        """Ask ``auth`` for its headers, until a moment (monotonic), or until it is given up."""
        auth = self.auth
        if type(auth) in (StaticKeyAuth, NoAuth):
            return headers_for(auth, url)
        with opening.around():
            if type(auth).configure is not AuthBase.configure:  # it fetches keys, and knows a deadline
                left = None if deadline == float("inf") else max(0.001, deadline - time.monotonic())
                # The socket's own trust, too: two stores would disagree one day.
                context = self.config.ssl_context or shared_context()
                auth.configure(replace(self.config, open_timeout=left, ssl_context=context))
                return headers_for(auth, url)
            began = time.monotonic()
            try:
                name = f"speechmatics-rt-key-{type(auth).__name__}"
                return call_until(deadline, lambda: headers_for(auth, url), name=name, unless=opening.wait)
            except OverdueError:
                seconds = time.monotonic() - began
                text = f"get_auth_headers() of {type(auth).__name__} did not return within {seconds:.1f} s"
                raise TimeoutError(text, stage="open", seconds=self.config.open_timeout) from None

    def _redial(
        self, ws_headers: Mapping[str, str], log: SessionLog, wants: Callable[[str], bool]
    ) -> Callable[[Opening, float], Connection]:
        """Return what makes further connections for one session, each with an ``X-Request-Id`` of its own."""
        headers = {name: value for name, value in ws_headers.items() if name.lower() != "x-request-id"}

        def dial(opening: Opening, deadline: float) -> Connection:
            again = log.on(log.logger)
            again.request_id = request_id_of(headers)
            log.info("reconnecting with X-Request-Id %s", again.request_id)
            return self._connect(
                headers, again, deadline=deadline, timeout=None, wants=wants, opening=opening
            )

        return dial
