from __future__ import annotations

import errno
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional

import jwt
import pytest
import responses
import trustme

from speechmatics_rt import Client
from speechmatics_rt.auth import jwt as module
from speechmatics_rt.auth.base import AuthBase, NoAuth, StaticKeyAuth, headers_for
from speechmatics_rt.auth.jwt import JWTAuth
from speechmatics_rt.config.connection import ConnectionConfig
from speechmatics_rt.exceptions import AuthenticationError, ConfigurationError, ConnectionError, TimeoutError

from ..conftest import a_closed_port, threads
from ..looks import settled
from ..network.dialing.test_dialer import Service, SocksProxy, a_port_that_swallows

KEY = "s3cret-api-key"
SERVICE = "wss://eu.rt.speechmatics.com/v2"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SPEECHMATICS_", "SM_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "_RETRY_DELAY", 0.01)


class Platform:
    """A management platform on loopback; ``answer`` makes the reply, ``(status, headers, body)``."""

    def __init__(self, tls: Optional[ssl.SSLContext] = None) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.clock_ahead = 0.0
        self.answer: Callable[[], tuple[int, dict[str, str], Any]] = self.give
        self.after: Callable[[Callable[[bytes], int]], object] = lambda write: None
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                platform.requests.append((self.path, dict(self.headers), json.loads(body)))
                status, headers, reply = platform.answer()
                content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response_only(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                platform.after(self.wfile.write)

            def do_CONNECT(self) -> None:
                platform.requests.append((self.path, dict(self.headers), {}))
                self.send_error(403)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A client that gives up is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        host = "https://localhost" if tls else "http://127.0.0.1"
        self.url = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def token(self, ttl: float = 60) -> str:
        now = time.time() + self.clock_ahead
        claims = {"iat": now, "exp": now + ttl, "n": len(self.requests)}
        return jwt.encode(claims, "k" * 32, algorithm="HS256")

    def give(self) -> tuple[int, dict[str, str], Any]:
        date = formatdate(time.time() + self.clock_ahead, usegmt=True)
        return 201, {"Date": date}, {"apikey_id": None, "key_value": self.token()}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.close()


def token_of(auth: AuthBase) -> str:
    return auth.get_auth_headers()["Authorization"].split(" ", 1)[1]


# -- static keys ---------------------------------------------------------------------------------------


def test_a_given_key_wins_over_the_environment_which_is_read_at_each_call(monkeypatch):
    auth = StaticKeyAuth()
    assert auth.get_auth_headers() == {}
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "from-outside")
    assert auth.get_auth_headers() == {"Authorization": "Bearer from-outside"}
    assert StaticKeyAuth(KEY).get_auth_headers() == {"Authorization": f"Bearer {KEY}"}
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "")
    assert auth.get_auth_headers() == {}


@pytest.mark.parametrize(
    "key", ["", " ", "two words", "line\n", "tab\t", "nul\0", "k\u00e9y", "key\x7f", 42, b"key"]
)
@pytest.mark.parametrize("kind", [StaticKeyAuth, JWTAuth])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(kind, key):
    with pytest.raises(ConfigurationError, match="the API key") as caught:
        kind(key)
    assert "two words" not in str(caught.value)
    assert "line" not in str(caught.value).replace("line breaks", "")


@pytest.mark.parametrize(
    ("key", "to_do"),
    [
        ("s3cret\n", "strip"),
        ("s3cret\r\n", "strip"),
        (" s3cret", "strip"),
        ("s3cret\u00a0", "strip"),
        ('"s3cret"', "quotes"),
        ("'s3cret'", "quotes"),
        ("\u201cs3cret\u201d", "quotes"),
        ('"s3cret', "quotes"),
        ("Bearer s3cret", "only the key that follows"),
        ("bearer:s3cret", "only the key that follows"),
        ("Authorization: Bearer s3cret", "only the key that follows"),
    ],
)
def test_a_key_with_something_around_it_is_refused_with_what_to_do(key, to_do, monkeypatch):
    for kind in (StaticKeyAuth, JWTAuth, lambda key: Client(api_key=key)):
        with pytest.raises(ConfigurationError, match=to_do) as caught:
            kind(key)
        assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("SPEECHMATICS_API_KEY", key)
    for auth in (StaticKeyAuth(), JWTAuth()):
        with pytest.raises(ConfigurationError, match=f"SPEECHMATICS_API_KEY .*{to_do}"):
            auth.get_auth_headers()
    # a token that merely begins with such letters is one
    assert StaticKeyAuth("bearerish-1").get_auth_headers() == {"Authorization": "Bearer bearerish-1"}


def test_a_bad_key_in_the_environment_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "key\r\nHost: elsewhere")
    with pytest.raises(ConfigurationError, match="SPEECHMATICS_API_KEY"):
        StaticKeyAuth().get_auth_headers()


def test_no_repr_shows_a_key():
    for auth in (StaticKeyAuth(KEY), JWTAuth(KEY), module._Bearer(KEY), module._Token(KEY, 1.0)):
        assert KEY not in repr(auth)
        assert KEY not in str(auth)


@pytest.mark.parametrize(
    "proxy", ['"http://me:geheim@127.0.0.1:1"', "htp://me:geheim@x", "http://me:geheim@x:y"]
)
def test_a_proxy_that_is_no_url_is_named_before_a_temporary_key_is_asked_for(proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match=r"^https_proxy='.*' is not the URL of a proxy") as caught:
        JWTAuth(KEY, mp_url="https://mp.example").get_auth_headers()
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("given", [None, "Bearer k", [("Authorization", "Bearer k")], 5])
def test_headers_that_are_no_mapping_are_named_after_the_one_who_gave_them(given):
    class Vault(AuthBase):
        def get_auth_headers(self):
            return given

    with pytest.raises(ConfigurationError, match=r"Vault\.get_auth_headers\(\) returned an? "):
        headers_for(Vault(), SERVICE)


def test_headers_that_auth_keeps_are_not_changed():
    kept = {"Authorization": "Bearer k"}

    class Vault(AuthBase):
        def get_auth_headers(self):
            return kept

    headers_for(Vault(), SERVICE)["X-Request-Id"] = "1"
    assert kept == {"Authorization": "Bearer k"}


def test_the_base_class_does_nothing_until_it_is_told_to():
    class LocalMessage(AuthBase):
        def get_auth_headers(self) -> dict[str, str]:
            return {"X-Key": "1"}

    own = LocalMessage()
    own.configure(ConnectionConfig())
    assert own.refresh() is False
    assert headers_for(own, SERVICE) == {"X-Key": "1"}
    with pytest.raises(TypeError):
        AuthBase()


# -- which key goes where ------------------------------------------------------------------------------

HOSTS = [
    SERVICE,
    "wss://global.rt.speechmatics.com/v2",
    "wss://EU.RT.Speechmatics.COM:443/v2",
    "wss://eu.rt.speechmatics.com./v2",
    "ws://eu.rt.speechmatics.com/v2",
]
OTHERS = ["ws://localhost:9000/v2", "wss://10.0.0.7/v2", "ws://asr:9000/v2", "wss://notspeechmatics.com/v2"]


@pytest.mark.parametrize("url", HOSTS)
def test_without_a_key_a_host_of_the_service_is_not_even_asked(url):
    with pytest.raises(AuthenticationError, match="SPEECHMATICS_API_KEY"):
        headers_for(StaticKeyAuth(), url)
    assert headers_for(NoAuth(), url) == {}
    assert headers_for(StaticKeyAuth(), url + "?jwt=abc") == {}


@pytest.mark.parametrize("url", OTHERS)
def test_without_a_key_any_other_host_gets_no_header(url):
    assert headers_for(StaticKeyAuth(), url) == {}


@pytest.mark.parametrize(
    "url", [SERVICE, "wss://10.0.0.7/v2", "ws://localhost:9000", "ws://127.1.2.3/", "ws://[::1]:9000/"]
)
def test_a_key_from_the_environment_goes_where_nobody_else_reads_it(url, monkeypatch, caplog):
    monkeypatch.setenv("SPEECHMATICS_API_KEY", KEY)
    assert headers_for(StaticKeyAuth(), url) == {"Authorization": f"Bearer {KEY}"}
    assert not caplog.records


@pytest.mark.parametrize(
    "url", ["ws://asr.example:9000/v2", "ws://10.0.0.7/v2", "ws://localhost.example/", "ws://[::2]/"]
)
def test_unencrypted_a_key_from_the_environment_stays_and_a_given_one_goes_both_with_a_warning(
    url, monkeypatch, caplog
):
    monkeypatch.setenv("SPEECHMATICS_API_KEY", KEY)
    assert headers_for(StaticKeyAuth(), url) == {}
    assert headers_for(StaticKeyAuth(KEY), url) == {"Authorization": f"Bearer {KEY}"}
    left_out, sent = caplog.records
    assert left_out.levelno == sent.levelno == logging.WARNING
    assert "not sent" in left_out.message
    assert "unencrypted" in sent.message
    assert KEY not in caplog.text


def test_a_temporary_key_in_the_url_is_not_joined_by_one_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPEECHMATICS_API_KEY", KEY)
    assert headers_for(StaticKeyAuth(), SERVICE + "?sm-app=x&jwt=abc") == {}
    assert headers_for(StaticKeyAuth(KEY), SERVICE + "?jwt=abc") == {"Authorization": f"Bearer {KEY}"}


# -- temporary keys ------------------------------------------------------------------------------------


def test_the_request_is_the_documented_one(platform):
    auth = JWTAuth(
        KEY, ttl=300, region="usa", client_ref="user-7", mp_url=platform.url + "/mp//", request_id="r-1"
    )
    token = token_of(auth)
    ((path, headers, body),) = platform.requests
    assert path == "/mp/v1/api_keys?type=rt"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Request-Id"] == "r-1"
    assert body == {"ttl": 300, "region": "usa", "client_ref": "user-7"}
    assert jwt.decode(token, options={"verify_signature": False})["n"] == 1


def test_key_and_platform_are_taken_from_the_environment_at_the_call(platform, monkeypatch):
    auth = JWTAuth()
    with pytest.raises(AuthenticationError, match="SPEECHMATICS_API_KEY"):
        auth.get_auth_headers()
    monkeypatch.setenv("SPEECHMATICS_API_KEY", KEY)
    monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", platform.url + "/")
    token_of(auth)
    assert platform.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    assert platform.requests[0][2] == {"ttl": 60, "region": "eu"}


@responses.activate
def test_without_any_url_the_services_own_platform_is_asked():
    responses.post("https://mp.speechmatics.com/v1/api_keys", json={"key_value": "abc"}, status=201)
    assert token_of(JWTAuth(KEY)) == "abc"
    assert responses.calls[0].request.params == {"type": "rt"}


def test_a_token_is_kept_until_shortly_before_its_end(platform, monkeypatch):
    auth = JWTAuth(KEY, mp_url=platform.url)
    first = token_of(auth)
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 45)
    assert token_of(auth) == first
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 52)
    assert token_of(auth) != first
    assert len(platform.requests) == 2


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
def test_the_servers_clock_counts_and_not_ours(platform, ahead, monkeypatch):
    platform.clock_ahead = ahead
    auth = JWTAuth(KEY, mp_url=platform.url)
    first = token_of(auth)
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 45)
    assert token_of(auth) == first
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 52)
    assert token_of(auth) != first


def test_without_a_date_header_our_clock_counts(platform, monkeypatch):
    platform.answer = lambda: (201, {}, {"key_value": platform.token(30)})
    auth = JWTAuth(KEY, mp_url=platform.url)
    first = token_of(auth)
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 15)
    assert token_of(auth) == first
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 22)
    assert token_of(auth) != first


@pytest.mark.parametrize(
    "value", ["opaque", "a.b.c", jwt.encode({"sub": "x"}, "k" * 32), jwt.encode({"exp": None}, "k" * 32)]
)
def test_a_key_that_is_no_jwt_is_used_for_its_ttl(platform, value, monkeypatch):
    platform.answer = lambda: (200, {}, {"key_value": value})
    auth = JWTAuth(KEY, ttl=600, mp_url=platform.url)
    assert token_of(auth) == value
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 580)
    token_of(auth)
    assert len(platform.requests) == 1
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 595)
    token_of(auth)
    assert len(platform.requests) == 2


def test_a_token_that_has_expired_on_arrival_is_used_and_not_kept(platform):
    platform.answer = lambda: (201, {}, {"key_value": platform.token(-5)})
    auth = JWTAuth(KEY, mp_url=platform.url)
    assert token_of(auth) != token_of(auth)


def test_many_threads_and_an_expired_token_make_one_request(platform):
    auth = JWTAuth(KEY, mp_url=platform.url)
    token_of(auth)
    auth._token = auth._token._replace(good_until=0.0)
    everyone = threading.Barrier(16)
    tokens: list[str] = []

    def ask() -> None:
        everyone.wait(10)
        tokens.append(token_of(auth))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tokens)) == 1
    assert len(tokens) == 16
    assert len(platform.requests) == 2


def test_a_refused_token_is_dropped_once(platform):
    auth = JWTAuth(KEY, mp_url=platform.url)
    assert auth.refresh() is False
    first = token_of(auth)
    assert auth.refresh() is True
    assert auth.refresh() is False
    assert token_of(auth) != first


def test_a_token_that_another_thread_has_renewed_already_is_not_dropped_again(platform):
    auth = JWTAuth(KEY, mp_url=platform.url)
    first = token_of(auth)
    renewed: list[str] = []

    def other() -> None:
        token_of(auth)
        auth.refresh()
        renewed.append(token_of(auth))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert auth.refresh() is True  # ours was refused too
    assert token_of(auth) == renewed[0] != first
    assert len(platform.requests) == 2


@pytest.mark.parametrize("ttl", [59, 86401, 60.5, "60", True, None])
def test_a_ttl_out_of_range_is_refused(ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        JWTAuth(KEY, ttl=ttl)


@pytest.mark.parametrize(
    "url", ["http://mp.example.com", "http://10.0.0.1/", "ftp://x", "mp.speechmatics.com", ""]
)
def test_a_platform_where_the_key_would_be_exposed_is_refused_before_any_io(url, monkeypatch):
    with pytest.raises(ConfigurationError):
        JWTAuth(KEY, mp_url=url)
    if url:
        monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", url)
        with pytest.raises(ConfigurationError):
            JWTAuth(KEY).get_auth_headers()


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"code": 401, "error": "Permission Denied"}, r"Permission Denied\. Check the API key$"),
        (403, {"code": 403, "error": "Forbidden", "detail": "too many keys"}, "Forbidden: too many keys"),
        (422, {"code": "422", "message": "ttl in body should be greater"}, "ttl in body should be greater"),
        (404, b"<html>not here</html>", r"HTTP 404\. Check SM_MANAGEMENT_PLATFORM_URL, or mp_url=$"),
        (302, b"", "HTTP 302"),
        (400, [1], "HTTP 400"),
    ],
)
def test_a_refusal_carries_the_status_and_the_services_own_words(platform, status, body, words):
    platform.answer = lambda: (status, {"Location": "http://127.0.0.1:1/"}, body)
    with pytest.raises(AuthenticationError, match=words) as caught:
        JWTAuth(KEY, mp_url=platform.url).get_auth_headers()
    assert caught.value.status == status
    assert len(platform.requests) == 1


@pytest.mark.parametrize(
    "body", [b"", b"not json", {}, {"key_value": None}, {"key_value": 7}, {"key_value": "a\r\nb"}]
)
def test_an_answer_without_a_key_is_a_refusal(platform, body):
    platform.answer = lambda: (201, {}, body)
    with pytest.raises(AuthenticationError, match="no usable key") as caught:
        JWTAuth(KEY, mp_url=platform.url).get_auth_headers()
    assert caught.value.status == 201


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_platform_out_of_order_is_asked_once_more(platform, status):
    platform.answer = lambda: (
        (status, {}, {"error": "busy"}) if len(platform.requests) == 1 else platform.give()
    )
    token_of(JWTAuth(KEY, mp_url=platform.url))
    assert len(platform.requests) == 2
    platform.answer = lambda: (status, {}, {"error": "busy"})
    with pytest.raises(ConnectionError, match=f"HTTP {status}: busy") as caught:
        token_of(JWTAuth(KEY, mp_url=platform.url))
    assert (caught.value.status, caught.value.stage) == (status, "key")
    assert len(platform.requests) == 4


@pytest.mark.parametrize("given", ["600", formatdate(1600, usegmt=True)])
def test_a_wait_longer_than_the_time_left_is_not_begun(platform, given):
    platform.answer = lambda: (503, {"Retry-After": given, "Date": formatdate(1000, usegmt=True)}, {})
    with pytest.raises(ConnectionError) as caught:
        token_of(JWTAuth(KEY, mp_url=platform.url))
    assert caught.value.retry_after == 600
    assert len(platform.requests) == 1


def test_a_platform_that_is_not_there_is_a_connection_error_with_its_cause(platform):
    platform.close()
    with pytest.raises(ConnectionError, match=r"can't get a temporary key from 127\.0\.0\.1") as caught:
        token_of(JWTAuth(KEY, mp_url=platform.url))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("where", ["before the answer", "in the answer, byte by byte"])
def test_open_timeout_bounds_it_all(platform, where):
    release = threading.Event()

    def answer() -> tuple[int, dict[str, str], Any]:
        if where == "before the answer":
            release.wait(10)
        return 201, {"Content-Length": "1000"}, b"{"

    def drip(write: Callable[[bytes], int]) -> None:
        while not release.wait(0.02):
            write(b" ")

    platform.answer, platform.after = answer, drip
    auth = JWTAuth(KEY, mp_url=platform.url)
    auth.configure(ConnectionConfig(open_timeout=0.19999))  # what is left of 0.2
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError) as caught:
            token_of(auth)
    finally:
        release.set()
    assert time.monotonic() - began < 3
    assert (caught.value.stage, caught.value.seconds) == ("open", 0.19999)
    assert caught.value.text.endswith("returned no temporary key after 0.2 s")


def test_who_waits_for_another_threads_request_waits_no_longer_than_its_own_limit_and_leaves_no_thread():
    auth = JWTAuth(KEY, mp_url="http://127.0.0.1:1")
    auth.configure(ConnectionConfig(open_timeout=0.1))
    with auth._lock:
        with pytest.raises(TimeoutError) as caught:
            auth.get_auth_headers()
        assert settled(threads, 5) == []
    assert caught.value.stage == "open"


@pytest.mark.parametrize(("package", "named"), [("requests", "requests"), ("jwt", "PyJWT")])
def test_a_missing_package_is_named_with_its_cure(platform, package, named, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigurationError, match=rf"needs the package {named}: pip install 'speechmatics-rt-sync\[jwt\]'"
    ):
        token_of(JWTAuth(KEY, mp_url=platform.url))


def test_importing_the_module_imports_neither_requests_nor_jwt_nor_ssl():
    code = (
        "import sys; before = set(sys.modules); import speechmatics_rt.auth.jwt;"
        "print(sorted({'requests', 'jwt'} & (set(sys.modules) - before)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_neither_key_nor_token_is_in_logs_errors_or_the_locals_of_tracebacks(platform, caplog):
    caplog.set_level(logging.DEBUG)
    auth = JWTAuth(KEY, mp_url=platform.url)
    token = token_of(auth)
    auth.refresh()
    texts = []

    def fail() -> None:
        with pytest.raises((AuthenticationError, ConnectionError)) as caught:
            auth.get_auth_headers()
        # Without the first frame: this function's own.
        told = traceback.TracebackException(caught.type, caught.value, caught.tb.tb_next, capture_locals=True)
        texts.append("".join(told.format()))

    for answer in ((401, {}, {"error": "no"}), (500, {}, {}), (201, {}, {"key_value": "a b"})):
        platform.answer = lambda answer=answer: answer
        fail()
    platform.close()
    fail()
    assert len(texts) == 4
    for text in (*texts, caplog.text, repr(auth)):
        assert token not in text
        assert KEY not in text


def test_a_key_in_netrc_does_not_take_its_place(platform, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    token_of(JWTAuth(KEY, mp_url=platform.url))
    assert platform.requests[0][1]["Authorization"] == f"Bearer {KEY}"


# -- the clients connection ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_platform(authority) -> Iterator[Platform]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    platform = Platform(tls=context)
    yield platform
    platform.close()


def trusting(authority: Optional[trustme.CA]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is not None:
        authority.configure_trust(context)
    return context


def test_the_tls_context_of_the_client_is_used_as_it_is(tls_platform, authority):
    context = trusting(authority)
    auth = JWTAuth(KEY, mp_url=tls_platform.url)
    auth.configure(ConnectionConfig(ssl_context=context))
    token_of(auth)
    assert len(context.get_ca_certs()) == 1  # nobody added another authority
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("context", ["none", "other"])
def test_a_certificate_the_client_does_not_trust_is_not_trusted_for_the_key_either(tls_platform, context):
    auth = JWTAuth(KEY, mp_url=tls_platform.url)
    if context == "other":
        auth.configure(ConnectionConfig(ssl_context=trusting(trustme.CA())))
    with pytest.raises(ConnectionError, match=r"certificate was refused .*SSL_CERT_FILE") as caught:
        token_of(auth)
    assert (caught.value.stage, caught.value.retryable) == ("key", False)
    assert tls_platform.requests == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # deserved, and theirs
def test_a_context_that_checks_nothing_checks_nothing_and_stays_so(tls_platform):
    context = trusting(None)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    auth = JWTAuth(KEY, mp_url=tls_platform.url)
    auth.configure(ConnectionConfig(ssl_context=context))
    token_of(auth)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_a_context_that_checks_no_name_checks_no_name(authority):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(server)
    platform = Platform(tls=server)
    try:
        context = trusting(authority)
        auth = JWTAuth(KEY, mp_url=platform.url)
        auth.configure(ConnectionConfig(ssl_context=context))
        with pytest.raises(ConnectionError, match=r"certificate was refused \(.*mismatch.*\)$"):
            token_of(auth)
        context.check_hostname = False
        token_of(auth)
    finally:
        platform.close()


def test_the_proxy_of_the_client_is_used(platform):
    auth = JWTAuth(KEY, mp_url="http://localhost:1")
    auth.configure(ConnectionConfig(proxy=platform.url))
    token_of(auth)
    assert platform.requests[0][0] == "http://localhost:1/v1/api_keys?type=rt"


def test_the_proxy_of_the_client_tunnels_tls_and_never_sees_the_key(platform):
    auth = JWTAuth(KEY, mp_url="https://localhost:1")
    auth.configure(ConnectionConfig(proxy=platform.url, ssl_context=trusting(None)))
    with pytest.raises(ConnectionError, match="403"):
        token_of(auth)
    assert [request[0] for request in platform.requests] == ["localhost:1"] * 2  # and once more
    assert KEY not in str(platform.requests)


def test_a_socks_proxy_is_used_as_sessions_use_it(platform, monkeypatch):
    monkeypatch.setitem(sys.modules, "socks", None)  # what requests would need
    proxy = SocksProxy()
    with Service(proxy) as way:
        auth = JWTAuth(KEY, mp_url=platform.url)
        auth.configure(ConnectionConfig(proxy=f"socks5h://me:ge%3Aheim@127.0.0.1:{way.port}"))
        token_of(auth)
    assert proxy.asked == ["127.0.0.1"]
    assert len(platform.requests) == 1


def test_a_socks_proxy_that_takes_nobody_is_told_once_and_without_its_password(platform):
    with Service(SocksProxy()) as way:
        auth = JWTAuth(KEY, mp_url=platform.url)
        auth.configure(ConnectionConfig(proxy=f"socks5h://me:wr0ng@127.0.0.1:{way.port}"))
        with pytest.raises(ConnectionError, match="authentication") as caught:
            token_of(auth)
    assert (caught.value.stage, caught.value.retryable) == ("key", False)
    assert "wr0ng" not in str(caught.value)
    assert (len(way._connections), platform.requests) == (1, [])


def test_without_the_package_for_it_a_socks_proxy_is_a_wrong_option(platform, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks.sync", None)
    auth = JWTAuth(KEY, mp_url=platform.url)
    auth.configure(ConnectionConfig(proxy="socks5h://127.0.0.1:1"))
    with pytest.raises(ConfigurationError, match=r"speechmatics-rt-sync\[proxy\]"):
        token_of(auth)


@pytest.mark.parametrize(
    ("proxy", "no_proxy"),
    [("", None), (None, "mp.example"), (None, "*.example"), (None, "10.0.0.0/8 .example")],
)
def test_a_host_without_proxy_is_asked_for_keys_without_one(proxy, no_proxy, authority, monkeypatch):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **more: resolve("127.0.0.1", *args, **more)
    )
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    if no_proxy is not None:
        monkeypatch.setenv("no_proxy", no_proxy)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mp.example").configure_cert(server)
    platform = Platform(tls=server)
    try:
        auth = JWTAuth(KEY, mp_url=platform.url.replace("localhost", "mp.example"))
        auth.configure(ConnectionConfig(proxy=proxy, ssl_context=trusting(authority)))
        token_of(auth)
    finally:
        platform.close()
    assert len(platform.requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
def test_ipv6_that_is_announced_and_dead_does_not_hold_up_a_key(platform, monkeypatch):
    port = int(platform.url.rpartition(":")[2])
    with a_port_that_swallows("::1") as dead:
        found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", dead, n, 0)) for n in range(3)]
        found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        auth = JWTAuth(KEY, mp_url=f"http://localhost:{port}")
        auth.configure(ConnectionConfig(open_timeout=20))
        began = time.monotonic()
        token_of(auth)
    assert time.monotonic() - began < 5


def test_who_gives_no_key_is_told_by_what_the_network_says_and_no_more():
    with a_closed_port() as port, pytest.raises(ConnectionError) as caught:
        token_of(JWTAuth(KEY, mp_url=f"http://127.0.0.1:{port}"))
    assert str(caught.value) == (
        "can't get a temporary key from 127.0.0.1: 127.0.0.1: " + os.strerror(errno.ECONNREFUSED)
    )
    assert caught.value.retryable


def test_a_key_is_asked_for_with_the_trust_that_sessions_have(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    handshake = sys.modules["speechmatics_rt.network.dialing.handshake"]
    monkeypatch.setattr(handshake, "_context", None)  # as a new process
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    platform = Platform(tls=server)
    try:
        token_of(JWTAuth(KEY, mp_url=platform.url))
    finally:
        platform.close()


def test_a_proxy_of_an_unknown_kind_is_a_wrong_option():
    auth = JWTAuth(KEY, mp_url="http://localhost:1")
    auth.configure(ConnectionConfig(proxy="gopher://localhost:1"))
    with pytest.raises((ConfigurationError, ConnectionError)):
        token_of(auth)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_its_own_lock_and_keeps_the_token(platform):
    auth = JWTAuth(KEY, mp_url=platform.url)
    first = token_of(auth)
    with auth._lock:  # as if another thread were renewing
        child = os.fork()
        if child == 0:
            code = 1
            try:
                auth.configure(ConnectionConfig(open_timeout=5))
                code = 0 if token_of(auth) == first and auth.refresh() and token_of(auth) != first else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
