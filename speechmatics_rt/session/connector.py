"""Opens connections with one client's options: address, key, headers, limits, and whether to resume."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable, Optional, Union

from .._version import __version__
from ..auth import AuthBase, NoAuth, StaticKeyAuth, asking, headers_for
from ..config import (
    TEXT,
    ConnectionConfig,
    ResumePolicy,
    check_url,
    checked,
    doubts,
    is_cloud,
    kept,
    redact,
    refused,
    with_sdk,
)
from ..exceptions import (
    ConfigurationError,
    ConnectionError,
    SpeechmaticsError,
    TimeoutError,
    amend,
    assign,
    without_frames,
)
from ..log import SessionLog, new_id
from ..network import Connection, Link, Opening, Replaceable, Upgraded, check_patches, context_of, dial
from ..threads import OverdueError, call_until, importing, is_meant_for_call
from .request import SessionRequest, check_raw

__all__ = ["DEFAULT_URL", "NO_PICKLE", "Connector", "address", "request_id_of"]

_VARIABLE = "SPEECHMATICS_RT_URL"
DEFAULT_URL = "wss://eu.rt.speechmatics.com/v2"
NO_PICKLE = (
    "it holds a connection and threads of this process; create it where it is used (its ConnectionConfig and "
    "JWTAuth can be pickled)"
)


def request_id_of(ws_headers: Mapping[str, str], otherwise: Optional[str] = None) -> str:
    """Return the caller's own ``X-Request-Id``, or ``otherwise``, or make one."""
    given = (value for name, value in ws_headers.items() if name.lower() == "x-request-id")
    return next(given, "") or otherwise or new_id()


def address(url: Optional[str]) -> str:
    """Return the service's URL: the given one, or that of the environment, or the default.

    Raises:
        ConfigurationError: It is wrong.
    """
    url = url if url is not None else os.environ.get(_VARIABLE) or DEFAULT_URL
    check_url(url)
    return url


def _interruption(error: BaseException) -> Optional[BaseException]:
    """Return what a signal handler has raised in a wait, and who waited took for a failure of the network."""
    causes = [error]
    for one in causes:
        cause = one.__cause__
        if cause is not None and is_meant_for_call(cause):
            return cause
        if cause is not None and cause not in causes:  # a chain may go round in a circle
            causes.append(cause)
    return None


class Connector:
    """Open connections with one client's options. May be used from any thread.

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
            raise ConfigurationError("auth is a string; pass a key by keyword: Client(api_key=...)")
        if auth is not None and not isinstance(auth, AuthBase):
            raise ConfigurationError(f"auth is {auth!r}; accepted: an AuthBase, such as JWTAuth(), or None")
        if auth is not None and api_key is not None:
            raise ConfigurationError("pass either auth or api_key, not both")
        if url is not None:
            check_url(url)
        if config is not None and not isinstance(config, ConnectionConfig):
            raise refused("conn_config", config, "a ConnectionConfig, or None for its defaults")
        checked("sdk_identifier", sdk_identifier, TEXT)
        checked("app", app, TEXT)
        if not isinstance(resume, (bool, ResumePolicy)):
            raise ConfigurationError(f"resume={resume!r}: use True, False or a ResumePolicy")
        self.auth = auth if auth is not None else StaticKeyAuth(api_key)
        policy = ResumePolicy() if resume is True else resume or None
        for given in (config, policy):  # something may have been assigned since they were made
            if given is not None:
                given.check()
        self.config = kept(config) if config is not None else ConnectionConfig()
        self._resume = kept(policy)
        self._url = url
        self._sdk_identifier = sdk_identifier or f"python-rt-sync-v{__version__}"
        self._app = app
        self._doubts: set[str] = set()  # those that were reported

    def check(self, request: SessionRequest) -> None:
        """Refuse a request that could not succeed, before any I/O.

        Raises:
            ConfigurationError: Resuming was asked for audio that is not raw; or sockets or threads have been
                replaced by ones that can't carry a session.
        """
        check_patches()
        if self._resume is not None:
            check_raw("resume", request.audio_format)

    @property
    def url(self) -> str:
        """The service's URL. The environment is read late: a program may set it after creating a client.

        Raises:
            ConfigurationError: The URL in the environment is wrong.
        """
        if self._url is not None:
            return self._url  # it was checked when it was given
        try:
            return address(None)
        except ConfigurationError as exc:
            assign(exc, "args", (f"{_VARIABLE}: {exc.text}",))
            raise without_frames(exc) from None  # the frames hold the URL, and any secret in it

    @property
    def shown_url(self) -> str:
        """The URL for people, without secrets."""
        try:
            return redact(self.url)
        except ConfigurationError:
            return "an invalid URL"

    def doubts(self, message: Mapping[str, Any]) -> list[str]:
        """Return, once each, what the cloud may refuse of a message, which containers may well accept."""
        if not is_cloud(self.url):
            return []
        new = [doubt for doubt in doubts(message) if doubt not in self._doubts]
        self._doubts.update(new)
        return [f"{doubt}: the service may refuse the session" for doubt in new]

    def link(
        self, request: SessionRequest, log: SessionLog, wants: Callable[[str], bool], opening: Opening
    ) -> Link:
        """Connect; with ``resume``, return a link that replaces a connection that is lost or refused for now.

        Args:
            wants: See :class:`Connection`.
            opening: Through which ``close()`` ends the attempt. If Ctrl-C comes, even behind this call, the
                caller closes what it has ``made``.

        Raises:
            SpeechmaticsError: The connection failed.
        """
        try:
            connection = self._connect(
                request.ws_headers,
                log,
                deadline=request.deadline,
                timeout=request.timeout,
                wants=wants,
                bytes_per_second=request.audio_format.bytes_per_second,
                opening=opening,
            )
            if self._resume is None:
                return connection
            return self._resuming(connection, request, log, wants)
        except ConnectionError as error:
            # Only after an answer: if nobody answers, the address may well be wrong.
            if self._resume is None or error.status is None or not error.retryable:
                raise
            return self._resuming(error, request, log, wants)

    def refresh(self) -> bool:
        """Ask ``auth``, whose key was refused, for another one; False if there is none.

        Raises:
            ConnectionError: Who issues keys could not be reached.
        """
        try:
            with asking(self.auth, "refresh"):
                return self.auth.refresh()
        except SpeechmaticsError as exc:
            interruption = _interruption(exc)
            if interruption is None:
                raise
            raise interruption from None

    def _resuming(
        self,
        first: Union[Replaceable, ConnectionError],
        request: SessionRequest,
        log: SessionLog,
        wants: Callable[[str], bool],
    ) -> Link:
        with importing:  # few programs resume
            from ..resume import ResumingConnection, Unreached

        return ResumingConnection(
            Unreached(first) if isinstance(first, ConnectionError) else first,
            self._redial(request, log, wants),
            policy=self._resume or ResumePolicy(),
            start=request.start,
            audio_format=request.audio_format,
            refresh=self.refresh,
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
        bytes_per_second: int,
        opening: Opening,
    ) -> Connection:
        """Get a key if one is needed, and dial. The connection's threads begin with its ``start()``.

        Args:
            deadline: Of the whole call (monotonic); the earlier of this and ``open_timeout`` applies.
            timeout: The seconds of the whole call, for the error.
        """
        limit, since = self.config.open_timeout, time.monotonic()
        until = float("inf") if limit is None else since + limit
        upgraded = None
        try:
            upgraded = self._dial(ws_headers, log, since, min(until, deadline), opening)
            log.info("connected in %.2f s", upgraded.elapsed)
            opening.made = connection = Connection(
                upgraded.sock,
                self.config,
                log,
                wants=wants,
                secrets=upgraded.secrets,
                bytes_per_second=bytes_per_second,
            )
        except SpeechmaticsError as exc:
            interruption = _interruption(exc)
            if interruption is not None:
                raise without_frames(interruption) from None
            assign(exc, "request_id", log.request_id)  # it may be a caller's, of auth
            if isinstance(exc, TimeoutError) and deadline < until and timeout is not None:
                exc.stage, exc.seconds = "whole", timeout
                before = since - (deadline - timeout)
                if before > timeout / 2:  # which left too little time to say that nobody answers
                    exc.unreached = False
                if before >= 0.1:
                    amend(exc, f"; of timeout={timeout:g} s, {before:.1f} s had passed before")
            # The frames of dialling hold the key, and crash reporters send the locals of each frame.
            raise without_frames(exc) from exc.__cause__
        except BaseException:  # Ctrl-C between the dialling and the connection that owns the socket
            if upgraded is not None:
                upgraded.sock.close()
            raise
        else:
            return connection

    def _dial(
        self, ws_headers: Mapping[str, str], log: SessionLog, since: float, deadline: float, opening: Opening
    ) -> Upgraded:
        url = self.url
        given = {name.lower() for name in ws_headers}
        headers = {} if "authorization" in given else self._authorization(url, deadline, opening)
        if "x-request-id" not in given:
            headers["X-Request-Id"] = log.request_id
        headers.update(ws_headers)
        log.info("connecting to %s", redact(url))
        target = with_sdk(url, self._sdk_identifier, self._app)
        return dial(target, headers, self.config, since=since, deadline=deadline, opening=opening)

    def _authorization(self, url: str, deadline: float, opening: Opening) -> dict[str, str]:
        """Ask ``auth`` for its headers, until ``deadline`` (monotonic), or until it is given up."""
        auth = self.auth
        if type(auth) in (StaticKeyAuth, NoAuth):
            return headers_for(auth, url)
        return opening.around(lambda: self._headers_of(auth, url, deadline, opening))

    def _headers_of(self, auth: AuthBase, url: str, deadline: float, opening: Opening) -> dict[str, str]:
        if type(auth).configure is not AuthBase.configure:  # it fetches keys, and respects a deadline
            left = None if deadline == float("inf") else max(0.001, deadline - time.monotonic())
            # With the connection's own TLS context: two trust stores might disagree.
            auth.configure(replace(self.config, open_timeout=left, ssl_context=context_of(self.config)))
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
        self, request: SessionRequest, log: SessionLog, wants: Callable[[str], bool]
    ) -> Callable[[Opening, float], Connection]:
        """Return a function that opens further connections for one session, each with its own request id."""
        headers = {
            name: value for name, value in request.ws_headers.items() if name.lower() != "x-request-id"
        }
        bytes_per_second = request.audio_format.bytes_per_second

        def dial(opening: Opening, deadline: float) -> Connection:
            again = log.on(log.logger)
            again.request_id = request_id_of(headers)
            log.info("reconnecting with X-Request-Id %s", again.request_id)
            return self._connect(
                headers,
                again,
                deadline=deadline,
                timeout=None,
                wants=wants,
                bytes_per_second=bytes_per_second,
                opening=opening,
            )

        return dial
