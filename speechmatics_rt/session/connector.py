"""The service as one client reaches it: address, key, headers, limits, and what to do about losses."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Callable, Optional, Union

from .._version import __version__
from ..auth import AuthBase, StaticKeyAuth, headers_for
from ..config import ConnectionConfig, ResumePolicy, check_url, redact, with_sdk
from ..exceptions import ConfigurationError, SpeechmaticsError, TimeoutError
from ..log import SessionLog
from ..network import Connection, Link, check_patches, dial, shared_context
from ..resume import ResumingConnection
from .request import SessionRequest

__all__ = ["DEFAULT_URL", "Connector", "request_id_of"]

DEFAULT_URL = "wss://eu.rt.speechmatics.com/v2"


def request_id_of(ws_headers: Mapping[str, str]) -> str:
    """Return the caller's own ``X-Request-Id``, or make one."""
    given = (value for name, value in ws_headers.items() if name.lower() == "x-request-id")
    return next(given, "") or str(uuid.uuid4())


class Connector:
    """Make connections with one client's options. May be used from any thread.

    Raises:
        ConfigurationError: The URL is none of ours, both a key and an ``auth`` are given, or ``resume`` is
            no policy.
    """

    def __init__(
        self,
        auth: Optional[AuthBase],
        api_key: Optional[str],
        url: Optional[str],
        config: Optional[ConnectionConfig],
        sdk_identifier: Optional[str],
        resume: Union[bool, ResumePolicy],
    ) -> None:
        if auth is not None and api_key is not None:
            raise ConfigurationError("give either auth or api_key, not both")
        if url is not None:
            check_url(url)
        if not isinstance(resume, (bool, ResumePolicy)):
            raise ConfigurationError(f"resume={resume!r}: use True, False or a ResumePolicy")
        self.auth = auth if auth is not None else StaticKeyAuth(api_key)
        self.config = config if config is not None else ConnectionConfig()
        self._url = url
        self._sdk_identifier = sdk_identifier or f"python-rt-sync-v{__version__}"
        self._resume = ResumePolicy() if resume is True else resume or None

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

    def link(self, request: SessionRequest, log: SessionLog, wants: Callable[[str], bool]) -> Link:
        """Connect; with ``resume``, in a way that replaces a connection that is lost.

        Args:
            wants: See :class:`Connection`.

        Raises:
            SpeechmaticsError: Whatever hindered it.
        """
        headers = request.ws_headers
        connection: Optional[Connection] = None
        try:
            connection = self._connect(
                headers, log, deadline=request.deadline, timeout=request.timeout, wants=wants
            )
            if self._resume is None:
                return connection
            return ResumingConnection(
                connection,
                self._redial(headers, log, wants),
                policy=self._resume,
                start=request.start,
                audio_format=request.audio_format,
                refresh=self.auth.refresh,
                log=log,
            )
        except BaseException:  # Ctrl-C, when nobody else has it yet
            if connection is not None:
                connection.close()
            raise

    def _connect(
        self,
        ws_headers: Mapping[str, str],
        log: SessionLog,
        *,
        deadline: float,
        timeout: Optional[float],
        wants: Callable[[str], bool],
    ) -> Connection:
        """Get a key if one is needed, and dial; the connection's threads begin with its ``start()``.

        Args:
            deadline: Of the whole call (monotonic), with ``timeout`` the seconds it was given; what is
                sooner, this or ``open_timeout``, counts.
        """
        # Variables are read at call time: a program may load them after it has made its client.
        url = self._url if self._url is not None else os.environ.get("SPEECHMATICS_RT_URL") or DEFAULT_URL
        check_url(url)
        config = self.config
        limit = float("inf") if config.open_timeout is None else time.monotonic() + config.open_timeout
        given = {name.lower() for name in ws_headers}
        upgraded = None
        try:
            self.auth.configure(self._trusted())
            headers = {} if "authorization" in given else headers_for(self.auth, url)
            if "x-request-id" not in given:
                headers["X-Request-Id"] = log.request_id
            headers.update(ws_headers)
            log.info("connecting to %s", redact(url))
            address = with_sdk(url, self._sdk_identifier)
            upgraded = dial(address, headers, config, deadline=min(limit, deadline))
            log.info("connected in %.2f s", upgraded.elapsed)
            return Connection(upgraded.sock, config, log, wants=wants)
        except SpeechmaticsError as exc:
            exc.request_id = log.request_id
            if isinstance(exc, TimeoutError) and deadline < limit:
                exc.stage, exc.seconds = "whole", timeout
            raise
        except BaseException:  # Ctrl-C between the dialling and the connection that owns the socket
            if upgraded is not None:
                upgraded.sock.close()
            raise

    def _trusted(self) -> ConnectionConfig:
        """Give whoever fetches keys the socket's own trust: two stores would disagree one day."""
        fetches = type(self.auth).configure is not AuthBase.configure
        if not fetches or self.config.ssl_context is not None:
            return self.config
        return replace(self.config, ssl_context=shared_context())

    def _redial(
        self, ws_headers: Mapping[str, str], log: SessionLog, wants: Callable[[str], bool]
    ) -> Callable[[float], Connection]:
        """Return what makes further connections for one session, each with an ``X-Request-Id`` of its own."""
        headers = {name: value for name, value in ws_headers.items() if name.lower() != "x-request-id"}

        def dial(deadline: float) -> Connection:
            again = log.on(log.logger)
            again.request_id = request_id_of(headers)
            log.info("reconnecting with X-Request-Id %s", again.request_id)
            return self._connect(headers, again, deadline=deadline, timeout=None, wants=wants)

        return dial
