"""What a program's own ``auth`` raises, and what becomes of it."""

from __future__ import annotations

import concurrent.futures
import io
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import Any, Callable, Optional

import httpx
import pytest
import requests
import urllib3

from speechmatics_rt import AuthBase, Client, ResumePolicy
from speechmatics_rt.auth.raised import asking, nobody_answered, told_of
from speechmatics_rt.exceptions import AuthenticationError, ConnectionError

from ..reliability.numbered import FORMAT


class Vault(AuthBase):
    """Raises what it is given."""

    def __init__(self, error: BaseException, *, on_refresh: bool = False) -> None:
        self.error = error
        self.on_refresh = on_refresh

    def get_auth_headers(self) -> dict[str, str]:
        if self.on_refresh:
            return {"Authorization": "Bearer stale"}
        raise self.error

    def refresh(self) -> bool:
        raise self.error


class GoogleError(Exception):
    """As those of google-auth: no OSError, but raised from one."""


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def answered(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError(f"{status} for url", response=answer)


class RedisError(Exception):
    """As those of redis: no OSError, and with none behind it."""


class AiohttpError(Exception):
    status = 503


class BotocoreError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"An error occurred ({status}) when calling the GetSecretValue operation")
        self.response = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}


AWAY = [
    requests.exceptions.Timeout("vault timed out"),
    requests.ConnectionError("vault: connection refused"),
    ConnectionRefusedError(111, "vault"),
    TimeoutError("vault"),
    OSError("no token in the socket"),
    urllib.error.URLError("no route"),
    raised_from(GoogleError("vault"), raised_from(GoogleError("inner"), ConnectionResetError(104, "reset"))),
    raised_from(RuntimeError("no key"), ConnectionResetError(104, "reset")),
    RedisError("Error 111 connecting to vault:6379. Connection refused."),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    concurrent.futures.TimeoutError(),
]
MISTAKES = [
    KeyError("token"),
    RuntimeError("sealed"),
    raised_from(ValueError("b"), KeyError("a")),
    json.JSONDecodeError("Expecting value", "<html>", 0),
    Exception("no key"),
    FileNotFoundError(2, "No such file or directory", "/run/secrets/key"),
    PermissionError(13, "Permission denied", "/run/secrets/key"),
    IsADirectoryError(21, "Is a directory", "/run/secrets"),
    NotADirectoryError(20, "Not a directory", "/run/secrets/key"),
    raised_from(RuntimeError("no key"), FileNotFoundError(2, "No such file or directory")),
]


@pytest.mark.parametrize("on_refresh", [False, True], ids=["headers", "refresh"])
@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_a_first_connection_without_a_key_for_now_is_a_connection_error_that_may_pass(
    serve: Any, client_of: Any, error: Exception, on_refresh: bool
) -> None:
    server = serve(keys=["good"])
    client: Client = client_of(server, auth=Vault(error, on_refresh=on_refresh))
    with pytest.raises(ConnectionError, match=type(error).__name__) as caught:
        client.start_session(audio_format=FORMAT)
    told = caught.value
    assert (told.stage, told.retryable, told.unreached) == ("key", True, True)
    assert told.__cause__ is error
    assert told.request_id is not None
    assert f"{'refresh' if on_refresh else 'get_auth_headers'}() of Vault raised" in str(told)
    assert not hasattr(told, "__notes__")  # the doctor knows nothing of a vault


@pytest.mark.parametrize("on_refresh", [False, True], ids=["headers", "refresh"])
@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_comes_out_as_it_is(serve: Any, client_of: Any, error: Exception, on_refresh: bool) -> None:
    server = serve(keys=["good"])
    client: Client = client_of(server, auth=Vault(error, on_refresh=on_refresh))
    with pytest.raises(type(error)) as caught:
        client.start_session(audio_format=FORMAT)
    assert caught.value is error


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_an_answer_is_judged_by_its_status(status: int) -> None:
    refused = urllib.error.HTTPError("https://vault", status, "no", Message(), io.BytesIO())
    for error in (answered(status), refused, BotocoreError(status)):
        with pytest.raises((AuthenticationError, ConnectionError)) as caught, asking(object(), "get"):
            raise error
        told = caught.value
        assert told.status == status
        assert told.retryable is (status == 429 or status >= 500)
        assert isinstance(told, ConnectionError) is told.retryable
        assert told.__cause__ is error
        assert not told.unreached
    refused.close()
    with pytest.raises(ConnectionError) as caught, asking(object(), "get"):
        raise AiohttpError
    assert caught.value.status == 503


def test_a_vault_that_says_503_is_waited_for_from_the_first_connection_on(serve: Any, client_of: Any) -> None:
    class Sealed(AuthBase):
        asked = 0

        def get_auth_headers(self) -> dict[str, str]:
            self.asked += 1
            if self.asked < 3:
                raise answered(503)
            return {}

    policy = ResumePolicy(min_delay=0.01, max_delay=0.02, busy_delay=0.02)
    client: Client = client_of(serve(), auth=Sealed(), resume=policy)
    assert client.transcribe(bytes(32000), audio_format=FORMAT).words


@pytest.mark.parametrize("status", [None, "403", 200, 302, 999, True])
def test_what_is_no_status_of_a_refusal_says_nothing(status: Optional[Any]) -> None:
    error = OSError("gone")
    error.status = status  # type: ignore[attr-defined]
    with pytest.raises(ConnectionError) as caught, asking(object(), "get"):
        raise error
    assert caught.value.status is None
    assert caught.value.unreached


class Vaults:
    """Where a vault should answer, by what becomes of who asks there."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def url(self, fate: str) -> str:
        if fate == "no such host":
            return "http://no-such-host.invalid/"
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        if fate == "refused":
            listener.close()
        else:
            listener.listen()  # who connects waits for an answer
            self._held.append(listener)
        return f"http://{host}:{port}/"

    def close(self) -> None:
        for listener in self._held:
            listener.close()


@pytest.fixture
def vaults() -> Iterator[Vaults]:
    made = Vaults()
    yield made
    made.close()


def by_httpx(url: str) -> object:
    return httpx.get(url, timeout=0.2, trust_env=False)


def by_urllib3(url: str) -> object:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", url, timeout=0.2, retries=False)


def by_requests(url: str) -> object:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=0.2)


def by_urllib(url: str) -> object:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=0.2)


@pytest.mark.parametrize("fate", ["refused", "silent", "no such host"])
@pytest.mark.parametrize("ask", [by_httpx, by_urllib3, by_requests, by_urllib])
def test_a_vault_that_is_away_is_recognised_whichever_package_asks_it(
    vaults: Vaults, ask: Callable[[str], object], fate: str
) -> None:
    url = vaults.url(fate)
    with pytest.raises(ConnectionError) as caught, asking(object(), "get_auth_headers"):
        ask(url)
    assert (caught.value.stage, caught.value.retryable, caught.value.unreached) == ("key", True, True)


def test_what_httpx_says_of_an_answer_is_judged_by_its_status() -> None:
    refused = httpx.Response(503, request=httpx.Request("GET", "http://vault"))
    with pytest.raises(ConnectionError) as caught, asking(object(), "get_auth_headers"):
        refused.raise_for_status()
    assert caught.value.status == 503


def test_a_mistake_while_an_outage_is_handled_is_a_mistake() -> None:
    def ask(*, hide: bool) -> None:
        try:
            raise ConnectionRefusedError(111, "vault")
        except OSError:
            if hide:
                raise KeyError("fallback") from None
            raise KeyError("fallback")  # noqa: B904  # as a slip is

    for hide in (False, True):
        with pytest.raises(KeyError), asking(object(), "get_auth_headers"):
            ask(hide=hide)


def test_what_a_signal_handler_raises_is_no_answer_of_a_vault() -> None:
    class SoftTimeLimitExceeded(Exception):
        """As that of Celery."""

    def limit(*_: object) -> None:
        raise error

    error: Exception
    for error in (SoftTimeLimitExceeded(), TimeoutError("out of time")):
        before = signal.signal(signal.SIGTERM, limit)
        try:
            with pytest.raises(type(error)) as caught, asking(object(), "get_auth_headers"):
                signal.raise_signal(signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert caught.value is error


def test_causes_in_a_circle_have_an_end() -> None:
    one, other = KeyError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert not nobody_answered(one)


def test_what_an_auth_says_is_told_in_one_line_without_what_may_be_a_key() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    text = (
        "Max retries exceeded with url: /v1?token=s3cret&role=rt (Caused by\n\x1b[2J https://me:s3cret@vault/"
    )
    told = told_of(OSError(text + "x" * 1000))
    assert "s3cret" not in told
    assert "/v1?token=*** " not in told  # the parameters that follow are kept from it, too
    assert told.isprintable()
    assert len(told) < 400
    assert told_of(Mute()) == "Mute"
    assert told_of(KeyError()) == "KeyError"
