"""Temporary keys: JSON web tokens that the management platform issues for an API key.

``requests`` and ``jwt`` (PyJWT) are imported only here, when a :class:`JWTAuth` first needs them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Optional
from urllib.parse import urlsplit

from ..config import STRING, TEXT, ConnectionConfig, checked, is_loopback, number
from ..exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectionError,
    TimeoutError,
    without_frames,
)
from ..messages import one_line
from ..network import Opening, retry_after_in
from ..threads import OverdueError, call_until, importing, new_lock
from .base import A_KEY, AuthBase, checked_key, key_from_environment
from .pages import Exchange, no_answer, remaining

if TYPE_CHECKING:
    import requests

__all__ = ["JWTAuth"]

logger = logging.getLogger(__name__)

_URL_VARIABLE = "SM_MANAGEMENT_PLATFORM_URL"
_CHECK = {401: ". Check the API key", 403: ". Check the API key", 404: f". Check {_URL_VARIABLE}, or mp_url="}
_DEFAULT_URL = "https://mp.speechmatics.com"
_MARGIN = 10.0  # seconds before its expiry at which a token is renewed: a connection takes a while to open
_RETRY_DELAY = 0.5
_LONGEST_ANSWER = 64 * 1024


class _Token(NamedTuple):
    value: str
    good_until: float  # on the monotonic clock

    def __repr__(self) -> str:
        return "_Token('***')"


class JWTAuth(AuthBase):
    """Exchange the API key for a temporary key, and use that until shortly before it expires.

    One object may serve many clients and threads: while one of them renews the key, the others wait. It can
    be pickled for other processes: the pickle holds the arguments, including the API key if that was given,
    but no temporary key. Needs ``pip install 'speechmatics-rt-sync[jwt]'``.

    Args:
        api_key: The API key. Default: the environment variable ``SPEECHMATICS_API_KEY``, read when a
            temporary key is needed.
        ttl: Lifetime of a temporary key in seconds, 60 to 86400.
        region: Sent as it is; the service accepts it without effect.
        client_ref: Your name for the end user; the service ignores it for real time.
        mp_url: The management platform. Default: the environment variable ``SM_MANAGEMENT_PLATFORM_URL``,
            or else the service's own.
        request_id: Sent as ``X-Request-Id`` with each request for a temporary key.

    Raises:
        ConfigurationError: An option is wrong.

    Example:
        >>> JWTAuth("k3y", ttl=300)
        JWTAuth('***', ttl=300)
    """

    def __init__(
        self,
        api_key: Optional[str] = None,
        *,
        ttl: int = 60,
        region: str = "eu",
        client_ref: Optional[str] = None,
        mp_url: Optional[str] = None,
        request_id: Optional[str] = None,
    ) -> None:
        self._api_key = None if api_key is None else checked_key(api_key, "the API key")
        if isinstance(ttl, bool) or not isinstance(ttl, int) or not 60 <= ttl <= 86400:
            raise ConfigurationError(f"ttl is {ttl!r}; accepted: 60 to 86400 seconds")
        TEXT("region", region)
        checked("client_ref", client_ref, STRING)
        checked("mp_url", mp_url, STRING)
        self._body: dict[str, Any] = {"ttl": ttl, "region": region}
        if client_ref is not None:
            self._body["client_ref"] = client_ref
        self._mp_url = mp_url
        if mp_url is not None:
            _endpoint(mp_url)
        self._request_id = None if request_id is None else checked_key(request_id, "request_id")
        self._begin()

    def _begin(self) -> None:
        """Create the state that belongs to this process alone."""
        self._last_config = ConnectionConfig()
        self._token: Optional[_Token] = None
        self._given = threading.local()  # .token: what this thread got last; .config: its client's
        # Held over the HTTP call on purpose, so that all threads together make one request. Only threads of
        # this package take it: Ctrl-C can't interrupt them, and callers wait for them with a deadline.
        self._lock = new_lock()

    def __repr__(self) -> str:
        body = getattr(self, "_body", {})  # not there yet if an option was refused
        return f"{type(self).__name__}('***', ttl={body.get('ttl')})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments, the key included if it was given: the pickle is as secret as the key."""
        own = ("_last_config", "_token", "_given", "_lock")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def configure(self, conn_config: ConnectionConfig) -> None:
        """Use the proxy, the TLS context and ``open_timeout`` of the client for the request too."""
        # For this thread, which is about to call get_auth_headers(): others may serve other clients.
        self._given.config = self._last_config = conn_config

    @property
    def _config(self) -> ConnectionConfig:
        config: ConnectionConfig = getattr(self._given, "config", self._last_config)
        return config

    def get_auth_headers(self) -> dict[str, str]:
        """Return the header with a temporary key, fetching one if necessary.

        Raises:
            ConfigurationError: A package is missing, or the URL of the management platform is ``http://`` on
                another machine.
            AuthenticationError: There is no API key, or the platform refused it; ``status`` is the HTTP
                status of its answer.
            ConnectionError: The platform could not be reached, or is out of order (HTTP 429 and 5xx).
            TimeoutError: Stage ``"open"``.
        """
        deadline = self._deadline()
        token = self._good_token()
        if token is None:
            token = self._fetch(deadline)
        self._given.token = token
        return {"Authorization": f"Bearer {token.value}"}

    def token(self, *, at_least: Optional[float] = None) -> str:
        """Return the temporary key itself, for another client: a web page, or an app on a telephone.

        Such a client opens its session with it, in the header or as ``?jwt=``, and never sees the API key.

        Args:
            at_least: Seconds that it must still be valid for; half of ``ttl`` by default. A new one is
                fetched if the last one is not.

        Raises:
            ConfigurationError: ``at_least`` is not a number of seconds, or is more than ``ttl``.
            SpeechmaticsError: As :meth:`get_auth_headers`.
        """
        ttl = self._body["ttl"]
        checked("at_least", at_least, number(0, unit="seconds"))
        if at_least is not None and at_least > ttl:
            raise ConfigurationError(
                f"at_least is {at_least:g} s, but a key lives for {ttl} s; make ttl longer"
            )
        token = self._good_token(ttl / 2 if at_least is None else at_least)
        if token is None:
            token = self._fetch(self._deadline(), after=self._token)
        return token.value

    def refresh(self) -> bool:
        """Drop the temporary key this thread was given, unless it has been replaced. False if none was."""
        # Without the lock, for which it might have to wait: at worst a new key is dropped and fetched anew.
        given, self._given.token = getattr(self._given, "token", None), None
        known = given is not None or self._token is not None
        if given is None or given is self._token:
            self._token = None
        return known

    def _good_token(self, at_least: float = 0.0) -> Optional[_Token]:
        token = self._token
        return token if token is not None and time.monotonic() + at_least < token.good_until else None

    def _deadline(self) -> float:
        limit = self._config.open_timeout
        return float("inf") if limit is None else time.monotonic() + limit

    def _timeout(self, what: str) -> TimeoutError:
        limit = self._config.open_timeout
        return TimeoutError(f"{what} after {limit or 0:.1f} s", stage="open", seconds=limit)

    def _fetch(self, deadline: float, after: Optional[_Token] = None) -> _Token:
        """Fetch on a thread of its own, left behind at the deadline: DNS and slow bodies know none.

        ``after`` is a token that expires too soon, so another is wanted.
        """
        key = self._api_key or key_from_environment()
        if not key:
            raise AuthenticationError(f"JWTAuth needs {A_KEY}")
        url = _endpoint(self._mp_url or os.environ.get(_URL_VARIABLE) or _DEFAULT_URL)
        exchange = Exchange(url, self._config, deadline, most=_LONGEST_ANSWER)
        request = _KeyRequest(_Bearer(key), exchange, url, self._body, self._request_id, deadline)
        del key  # or it would stand in the locals of a traceback

        def renew() -> _Token:
            # While another thread asks, this one waits for that answer, but no longer than its caller.
            if not self._lock.acquire(timeout=remaining(deadline)):
                raise OverdueError
            try:
                token = self._good_token()
                if token is None or token is after:
                    if not remaining(deadline):
                        raise OverdueError
                    token = self._token = request.run()
                    logger.debug("got a temporary key, good for %.0f s", token.good_until - time.monotonic())
                return token
            finally:
                self._lock.release()

        name = f"speechmatics-rt-key-{self._request_id or id(self)}"
        try:
            return call_until(deadline, renew, name=name, unless=Opening.present().wait)
        except OverdueError:
            raise self._timeout(f"{urlsplit(url).hostname} returned no temporary key") from None
        finally:
            exchange.break_off()  # whatever of it still runs, nobody waits for


def _endpoint(mp_url: str) -> str:
    try:
        parts = urlsplit(mp_url)
        known = parts.port is None or parts.port > 0
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(
            "the URL of the management platform can't be read: host or port is malformed"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "the URL of the management platform must begin with https:// and name a host"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(f"the API key would go to {parts.hostname} unencrypted; use https://")
    return mp_url.rstrip("/") + "/v1/api_keys"


class _Bearer:
    """The header, as ``auth`` of requests, so that a key in ~/.netrc can't replace it. Its repr hides it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def hide_in(self, text: str) -> str:
        return text.replace(self._key, "***")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _KeyRequest(NamedTuple):
    """A request for a temporary key, retried once."""

    bearer: _Bearer
    exchange: Exchange
    url: str
    body: dict[str, Any]
    request_id: Optional[str]
    deadline: float

    def run(self) -> _Token:
        try:
            try:
                return self._ask()
            except ConnectionError as exc:
                delay = max(exc.retry_after or 0.0, _RETRY_DELAY)
                if exc.lasting or delay >= remaining(self.deadline):
                    raise
                logger.info("%s; trying once more in %g s", exc, delay)
                if not self.exchange.pause(delay):
                    raise
                return self._ask()
        except BaseException as exc:  # noqa: BLE001  # raised where the key is waited for, without our frames
            raise without_frames(exc) from exc.__cause__

    def _ask(self) -> _Token:
        try:
            with importing:
                import jwt
                import requests
        except ImportError as exc:
            package = "PyJWT" if exc.name == "jwt" else exc.name
            raise ConfigurationError(
                f"JWTAuth needs the package {package}: pip install 'speechmatics-rt-sync[jwt]'"
            ) from exc
        host = urlsplit(self.url).hostname
        asked = time.monotonic()
        try:
            answer, content = self.exchange.run(
                requests,
                "POST",
                params={"type": "rt"},
                json=self.body,
                headers={"X-Request-Id": self.request_id} if self.request_id else {},
                auth=self.bearer,
            )
        except ConfigurationError:
            raise
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as exc:
            raise ConfigurationError(f"can't get a temporary key from {host}: {exc}") from exc
        except (requests.RequestException, OSError, ValueError) as exc:
            raise no_answer(f"can't get a temporary key from {host}", "key", exc) from exc
        value = _accepted(answer, content, host, self.bearer)
        try:
            expires = float(jwt.decode(value, options={"verify_signature": False})["exp"])
            seconds = expires - _time_of(answer.headers.get("Date"))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
            seconds = float(self.body["ttl"])  # another kind of key: used as it is
        return _Token(value, asked + seconds - min(_MARGIN, max(seconds, 0.0) / 2))


def _accepted(answer: requests.Response, content: bytes, host: Optional[str], bearer: _Bearer) -> str:
    """Return the key in the answer, or raise the error that a refusal stands for."""
    status = answer.status_code
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    if status == 429 or status >= 500:
        text = f"{host} can't issue a temporary key now: HTTP {status}{_words(said, bearer)}"
        raise ConnectionError(text, stage="key", status=status, retry_after=retry_after_in(answer.headers))
    if not 200 <= status < 300:
        text = f"{host} refused a temporary key: HTTP {status}{_words(said, bearer)}{_CHECK.get(status, '')}"
        raise AuthenticationError(text, status=status)
    try:
        return checked_key(said.get("key_value"), "the temporary key")
    except ConfigurationError as exc:
        raise AuthenticationError(f"{host} returned no usable key: {exc}", status=status) from None


def _words(said: dict[str, Any], bearer: _Bearer) -> str:
    """Return the service's own message, in whichever field it is, with the key hidden."""
    words = [said.get(name) for name in ("message", "error", "detail")]
    return "".join(
        f": {one_line(bearer.hide_in(word), 300)}" for word in words if isinstance(word, str) and word
    )


def _time_of(date: Optional[str]) -> float:
    """Return the server's time from its Date header, or our own without one."""
    from email.utils import parsedate_to_datetime  # 6 ms, needed by temporary keys only

    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return time.time()
