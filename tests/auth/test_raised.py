"""What a program's own ``auth`` raises, and what becomes of it."""

from __future__ import annotations

import io
import urllib.error
from email.message import Message
from typing import Any, Optional

import pytest
import requests

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


class HttpxError(Exception):
    """As those of httpx: no OSError, but raised from one."""


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def answered(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError(f"{status} for url", response=answer)


class AiohttpError(Exception):
    status = 503


AWAY = [
    requests.exceptions.Timeout("vault timed out"),
    requests.ConnectionError("vault: connection refused"),
    ConnectionRefusedError(111, "vault"),
    TimeoutError("vault"),
    OSError("no token in the socket"),
    urllib.error.URLError("no route"),
    raised_from(HttpxError("vault"), raised_from(HttpxError("inner"), ConnectionResetError(104, "reset"))),
]
MISTAKES = [KeyError("token"), RuntimeError("sealed"), raised_from(ValueError("b"), KeyError("a"))]


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
    for error in (answered(status), refused):
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
