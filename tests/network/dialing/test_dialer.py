"""From a URL to a socket: what is sent, what is refused, and what every failure leaves behind: nothing."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import math
import os
import re
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import types
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any, Callable, Optional

import pytest
import trustme
import websocket

from speechmatics_rt.config import ConnectionConfig, check_url, redact, with_sdk
from speechmatics_rt.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectionError,
    ProtocolError,
    TimeoutError,
    TransportError,
)
from speechmatics_rt.network import Opening
from speechmatics_rt.network.dialing.dialer import Upgraded, dial

from ...conftest import a_closed_port

Handler = Callable[[socket.socket], None]
UNTIL_IT_WAITS = 1.0  # seconds: enough for the steps before the one that is silent, on a busy machine too


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    before, others = descriptors(), threading.enumerate()  # an earlier test's thread may end in this one
    yield
    deadline = time.monotonic() + 5
    while (new := set(threading.enumerate()) - {*others}) and time.monotonic() < deadline:
        for thread in new:
            thread.join(0.1)
    assert (max(before, descriptors()), new) == (before, set())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def certified(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "::1", "service.example").configure_cert(context)
    return context


class Service:
    """A listener whose connections are each served by ``handler`` on a thread."""

    def __init__(
        self, handler: Handler, tls: Optional[ssl.SSLContext] = None, host: str = "127.0.0.1"
    ) -> None:
        self._handler, self._tls = handler, tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._connections: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(20)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            self._handler(connection)
        except OSError:
            pass  # the client left, as most of these tests want it to
        finally:
            connection.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


def read_head(connection: socket.socket) -> str:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        if not part:
            raise OSError("the client left")
        received += part
    return received.decode()


def accepted(request: str, *extra: str) -> bytes:
    key = next(line for line in request.splitlines() if line.lower().startswith("sec-websocket-key")).split()[
        1
    ]
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *extra,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Upgrading:
    """A handler that upgrades, says ``hello`` in the same breath, then echoes; it keeps the requests."""

    def __init__(self, *extra: str, hello: bytes = b"") -> None:
        self.requests: list[str] = []
        self._extra, self._hello = extra, hello

    def __call__(self, connection: socket.socket) -> None:
        request = read_head(connection)
        self.requests.append(request)
        connection.sendall(accepted(request, *self._extra) + self._hello)
        while data := connection.recv(4096):
            connection.sendall(data)


def answering(answer: bytes, then: Handler = lambda connection: None) -> Handler:
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)
        then(connection)

    return handle


def until_gone(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def connect(url: str, *, seconds: float = 10, headers: Any = (), **options: Any) -> Upgraded:
    config = ConnectionConfig(open_timeout=seconds, ssl_context=options.pop("ssl_context", None))
    for name, value in options.items():
        setattr(config, name, value)
    return dial(url, dict(headers), config, deadline=time.monotonic() + seconds)


def read(upgraded: Upgraded, count: int) -> bytes:
    received, buffer = b"", bytearray(100)
    while len(received) < count:
        received += bytes(buffer[: upgraded.sock.recv_into(buffer, timeout=10)])
    return received


def end(upgraded: Upgraded) -> None:
    upgraded.sock.shut()
    upgraded.sock.close()


# -- the URL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h/v2", "ws://h/v2?sm-sdk=py%20%26"),
        ("ws://h", "ws://h?sm-sdk=py%20%26"),
        ("ws://h/v2?", "ws://h/v2?sm-sdk=py%20%26"),
        ("ws://h/v2?b=%2f&a=1&a=1&c", "ws://h/v2?b=%2f&a=1&a=1&c&sm-sdk=py%20%26"),
        ("wss://h/v2?sm-sdk=mine", "wss://h/v2?sm-sdk=mine"),
        ("wss://[::1]:9/?x=+", "wss://[::1]:9/?x=+&sm-sdk=py%20%26"),
    ],
)
def test_the_sdk_is_named_in_the_query_and_the_rest_stays_as_it_is(url: str, expected: str) -> None:
    assert with_sdk(url, "py &") == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://h/v2?jwt=geheim", "ws://"),
        ("eu.rt.speechmatics.com/v2", "ws://"),
        ("wss://", "host"),
        ("wss:///v2", "host"),
        ("wss://user:geheim@h/v2", "credentials"),
        ("wss://geheim@h/v2", "credentials"),
        ("wss://user:ge/heim@h/v2", "read"),
        ("user:geheim@h/v2", "ws://"),
        ("wss://h/v2#x", "fragment"),
        ("wss://h/v2#", "fragment"),
        ("wss://h:x/v2", "read"),
        ("wss://h:0/v2", "port"),
        ("wss://h:99999/v2", "read"),
        ("wss://[::1/v2", "read"),
        ("wss://a..b/v2", "each part"),
        ("wss://a.b../v2", "each part"),
        (f"wss://{'a' * 64}.example/v2", "each part"),
        ("wss://" + "\u00fc" * 60 + ".example/v2", "each part"),
        ("wss://b\u00fc\u00fc..example/v2", "each part"),
        ("wss://a*b/v2", "each part"),
        ("wss://a,b/v2", "each part"),
        ("wss://a%2Fb/v2", "each part"),
        ("wss://<host>/v2", "each part"),
        ("wss://\u2603\ud800.example/v2", "each part"),
        ("wss://stra\u00dfe.example/v2", "ASCII form"),
        ("wss://\u03b2\u03bf\u03bb\u03bf\u03c2.example/v2", "ASCII form"),
        ("wss://h/v2\r\nX: y", "control"),
        ("wss://h/v 2", "space"),
        ("wss://h/é", "percent"),
        ("wss://h/?q=é", "percent"),
        ("wss://h/v2;x=1", "%3B"),
        (None, "string"),
    ],
)
def test_a_url_that_cannot_be_dialled_is_refused_before_any_io(url: Any, told: str) -> None:
    for use in (check_url, connect):
        with pytest.raises(ConfigurationError, match=told) as caught:
            use(url)
        assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://h/v2?jwt=geheim", "wss://h/v2?jwt=***"),
        ("wss://h/v2?a=1&JWT=geheim&%6Awt=geheim&b", "wss://h/v2?a=1&JWT=***&%6Awt=***&b"),
        ("http://me:geheim@h:1/p", "http://***@h:1/p"),
        ("me:geheim@h:1/p", "***@h:1/p"),
        ("wss://h/v2?who=me@home&jwt=geheim", "wss://h/v2?who=me@home&jwt=***"),
        ("wss://h/v2", "wss://h/v2"),
        # what may not stand in a password, and so ends the host too early for whoever reads on
        ("wss://me:ge/heim@h/v2", "wss://***@h/v2"),
        ("wss://me:ge?heim@h/v2", "wss://***@h/v2"),
        ("wss://#geheim@h/v2", "wss://***@h/v2"),
        ("wss://me/geheim@h/v2", "wss://***@h/v2"),
        ("wss://me?geheim@h/v2", "wss://***@h/v2"),
        ("wss://me#?a=geheim@h/v2", "wss://***@h/v2"),
        ("wss://me:ge/hei\nm@h/v2", "wss://***@h/v2"),
        ("wss://h/v2#jwt=geheim", "wss://h/v2#jwt=***"),
        ("wss://h/v2?a#?jwt=geheim", "wss://h/v2?a#?jwt=***"),
    ],
)
def test_a_redacted_url_holds_no_secret(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "geheim\r\nX-B: 2"),
        ("X-A", "geheim\n"),
        ("X-A", "geheim\x00"),
        ("X-A", "geh\xe9im"),
        ("X-A", 5),
        ("X A", "geheim"),
        ("X-A:", "geheim"),
        ("", "geheim"),
        ("X\r\nB", "geheim"),
        ("Host", "geheim"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ],
)
def test_a_header_that_could_smuggle_another_is_refused_before_any_io(header: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect("ws://127.0.0.1:1/", headers=[header])
    assert "geheim" not in str(caught.value)


# -- connecting ----------------------------------------------------------------------------------------


def test_the_request_holds_what_was_given_and_nothing_of_its_own() -> None:
    upgrading = Upgrading("X-Served-By: a", "X-Served-By: b")
    with Service(upgrading) as service:
        upgraded = connect(
            f"ws://127.0.0.1:{service.port}/v2?a=%2F&a=1", headers={"Authorization": "Bearer k"}
        )
        first, *lines = upgrading.requests[0].strip().split("\r\n")
        end(upgraded)
    assert first == "GET /v2?a=%2F&a=1 HTTP/1.1"
    names = sorted(line.split(":")[0].lower() for line in lines)
    assert names == [
        "authorization",
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
    ]
    assert f"Host: 127.0.0.1:{service.port}" in lines
    assert "Authorization: Bearer k" in lines
    assert upgraded.headers["x-served-by"] == "a, b"
    assert 0 < upgraded.elapsed < 10


@pytest.mark.parametrize("hello", [b"", b"hello"], ids=["silent", "with its first frame"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_connection_that_ctrl_c_takes_from_its_caller_needs_no_collector_to_be_closed(
    scheme: str, hello: bytes, certified: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    left = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.sendall(accepted(read_head(connection)) + hello)
        with contextlib.suppress(OSError):  # what was not read is reset
            until_gone(connection)
        left.set()

    with Service(handle, certified if scheme == "wss" else None) as service:
        gc.disable()
        try:
            connect(f"{scheme}://localhost:{service.port}", ssl_context=trusting)
            assert left.wait(10)
        finally:
            gc.enable()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_what_comes_in_one_breath_with_the_101_is_not_lost(
    scheme: str, certified: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    tls = certified if scheme == "wss" else None
    with Service(Upgrading(hello=b"h" * 9000), tls) as service:
        upgraded = connect(f"{scheme}://localhost:{service.port}", ssl_context=trusting)
        gc.collect()  # the library's own object is gone, and took nothing with it
        assert read(upgraded, 9000) == b"h" * 9000
        assert upgraded.sock.try_send(b"echo") == 4
        assert read(upgraded, 4) == b"echo"
        end(upgraded)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_connection_over_ipv6(scheme: str, certified: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    upgrading = Upgrading()
    with Service(upgrading, certified if scheme == "wss" else None, host="::1") as service:
        end(connect(f"{scheme}://[::1]:{service.port}/", ssl_context=trusting))
    assert f"Host: [::1]:{service.port}\r\n" in upgrading.requests[0]


def test_the_server_hears_the_name_before_the_handshake(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    heard: list[Optional[str]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda sock, name, context: heard.append(name)
    with Service(Upgrading(), context) as service:
        end(connect(f"wss://localhost:{service.port}/", ssl_context=trusting))
    assert heard == ["localhost"]


@pytest.mark.parametrize(
    "name",
    ["b\u00fccher.example", "B\u00dcCHER.example", "bu\u0308cher\u3002example", "xn--bcher-kva.example"],
)
def test_an_international_name_is_dialled_told_and_checked_in_its_ascii_form(
    name: str, authority: trustme.CA, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    heard: list[Optional[str]] = []
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        looked_up.append(host)
        return resolve("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("xn--bcher-kva.example").configure_cert(context)
    context.sni_callback = lambda sock, name, context: heard.append(name)
    upgrading = Upgrading()
    with Service(upgrading, context) as service:
        url = with_sdk(f"wss://{name}:{service.port}/v2", "x")
        end(connect(url, ssl_context=trusting))
        with pytest.raises(ConnectionError, match="certificate was refused"):
            connect(f"wss://b\u00fcchers.example:{service.port}/", ssl_context=trusting)
    assert (looked_up[0], heard[0]) == ("xn--bcher-kva.example",) * 2
    assert f"Host: xn--bcher-kva.example:{service.port}\r\n" in upgrading.requests[0]


@pytest.mark.parametrize("deadline", [math.inf, 1e300, 1e12])
def test_without_a_limit_there_is_no_deadline_and_a_far_one_is_none(deadline: float) -> None:
    with Service(Upgrading()) as service:
        config = ConnectionConfig(open_timeout=None)
        end(dial(f"ws://localhost:{service.port}/", {}, config, deadline=deadline))


def test_cookies_are_neither_kept_nor_sent() -> None:
    upgrading = Upgrading("Set-Cookie: tenant=a; Domain=localhost", "Set-Cookie: all=b; Domain=.")
    with Service(upgrading) as service:
        url = f"ws://localhost:{service.port}/"
        # Another user of the library in this process has one in its jar.
        other = websocket.create_connection(url)
        other.shutdown()
        for _ in range(2):
            end(connect(url))
        end(connect(url, headers={"Cookie": "mine=1"}))
        other = websocket.create_connection(url)
        other.shutdown()
    cookies = [
        [line for line in request.split("\r\n") if line.lower().startswith("cookie:")]
        for request in upgrading.requests
    ]
    assert cookies[:4] == [[], [], [], ["Cookie: mine=1"]]
    assert "tenant" in cookies[4][0]  # so the jar does work, and would have been seen
    sys.modules["websocket._handshake"].CookieJar.jar.clear()


# -- DNS and TCP ---------------------------------------------------------------------------------------


def addresses(*ports: int) -> Callable[..., list[Any]]:
    return lambda *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports
    ]


@contextlib.contextmanager
def a_port_that_swallows(host: str = "127.0.0.1") -> Iterator[int]:
    """A listener whose queue is full: further connections are neither taken nor refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener, contextlib.ExitStack() as stack:
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectionError, match=r"nowhere\.example:443: Name or service") as caught:
        connect("wss://nowhere.example/v2?jwt=geheim")
    assert (caught.value.stage, caught.value.unreached) == ("dns", True)
    assert isinstance(caught.value.__cause__, socket.gaierror)


def test_a_resolver_that_hangs_is_left_behind_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="find the address") as caught:
        connect("wss://slow.example/", seconds=0.1)
    assert time.monotonic() - start < 2
    assert (caught.value.stage, caught.value.seconds) == ("open", 0.1)
    left = [thread for thread in threading.enumerate() if thread.name == "speechmatics-rt-dns-slow.example"]
    assert len(left) == 1
    assert left[0].daemon
    release.set()
    left[0].join(10)


def test_a_refused_connection_names_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_closed_port() as port:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(port, port))
        with pytest.raises(
            ConnectionError, match=r"127\.0\.0\.1: .*refused; 127\.0\.0\.1: .*refused"
        ) as caught:
            connect("ws://two.example:8080/")
    assert (caught.value.stage, caught.value.unreached) == ("tcp", True)


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
def test_a_dead_first_address_costs_a_quarter_second(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_port_that_swallows() as dead, Service(Upgrading()) as service:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(dead, service.port))
        upgraded = connect("ws://two.example/")
        end(upgraded)
    assert 0.2 < upgraded.elapsed < 2


def test_a_refusing_first_address_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechmatics_rt.network.dialing.reach.STAGGER", 8.0)  # what it would cost to wait
    with a_closed_port() as dead, Service(Upgrading()) as service:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(dead, service.port))
        upgraded = connect("ws://two.example/")
        end(upgraded)
    assert upgraded.elapsed < 2  # of 8


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
def test_a_dead_family_costs_a_quarter_second_however_many_addresses_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("speechmatics_rt.network.dialing.reach.STAGGER", 0.5)
    connect_ex, tried = socket.socket.connect_ex, []

    def noted(sock: socket.socket, address: Any) -> int:
        tried.append(address[:2])
        return connect_ex(sock, address)

    with a_port_that_swallows("::1") as dead, Service(Upgrading()) as service:
        six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", dead, n, 0)) for n in range(5)]
        found = [*six, *addresses(service.port)()]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket.socket, "connect_ex", noted)
        upgraded = connect("ws://many.example/")
        end(upgraded)
    assert upgraded.elapsed > 0.4
    assert tried[:2] == [("::1", dead), ("127.0.0.1", service.port)]


class Resolver:
    """A ``getaddrinfo`` that is asked about everything, or IPv4 alone, and answers each when it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[int, Any] = {}
        self.ready = {socket.AF_UNSPEC: threading.Event(), socket.AF_INET: threading.Event()}
        self.asked = {family: threading.Event() for family in self.ready}
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, family: int = 0, *_: Any, **__: Any) -> Any:
        self.asked[family].set()
        assert self.ready[family].wait(20)
        if isinstance(self.answers[family], Exception):
            raise self.answers[family]
        return self.answers[family]

    def tell(self, family: int, answer: Any) -> None:
        self.answers[family] = answer
        self.ready[family].set()


def test_a_resolver_that_waits_for_an_answer_about_ipv6_is_asked_about_ipv4_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(monkeypatch)
    with Service(Upgrading()) as service:
        resolver.tell(socket.AF_INET, addresses(service.port)())
        upgraded = connect("ws://half.example/")
        end(upgraded)
    assert 0.2 < upgraded.elapsed < 2
    resolver.tell(socket.AF_UNSPEC, [])  # its thread ends when the resolver gives up


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
@pytest.mark.parametrize("ipv4", ["none", "refuses", "swallows"])
def test_where_ipv4_alone_leads_nowhere_the_whole_answer_still_counts(
    ipv4: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(monkeypatch)
    with a_port_that_swallows() as dead, a_closed_port() as closed, Service(Upgrading()) as service:
        alone: Any = {"refuses": closed, "swallows": dead}.get(ipv4)
        none = socket.gaierror(socket.EAI_NONAME, "No address associated with hostname")
        resolver.tell(socket.AF_INET, addresses(alone)() if alone else none)

        def answer_late() -> None:
            assert resolver.asked[socket.AF_INET].wait(20)
            resolver.tell(socket.AF_UNSPEC, addresses(service.port)())

        late = threading.Thread(target=answer_late)
        late.start()
        upgraded = connect("ws://late.example/")
        end(upgraded)
        late.join()
    assert upgraded.elapsed < 3


def test_a_failure_of_the_whole_question_does_not_wait_for_the_one_about_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(monkeypatch)

    def fail() -> None:
        assert resolver.asked[socket.AF_INET].wait(20)
        resolver.tell(socket.AF_UNSPEC, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    failing = threading.Thread(target=fail)
    failing.start()
    with pytest.raises(ConnectionError, match="not known") as caught:
        connect("ws://nowhere.example/", seconds=15)
    assert caught.value.stage == "dns"
    failing.join()
    resolver.tell(socket.AF_INET, [])


def test_a_resolver_that_answers_neither_question_leaves_nothing_when_it_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("speechmatics_rt.network.dialing.reach.STAGGER", 0.01)
    resolver = Resolver(monkeypatch)
    with pytest.raises(TimeoutError, match="find the address"):
        connect("ws://slow.example/", seconds=2)
    assert all(asked.wait(20) for asked in resolver.asked.values())
    for family in resolver.ready:
        resolver.tell(family, socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue swallows connections on Linux")
def test_addresses_that_swallow_everything_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_port_that_swallows() as dead:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(dead, dead))
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"connect to two\.example:80"):
            connect("ws://two.example/", seconds=0.4)
    assert time.monotonic() - start < 2


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs a signal to one thread")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_ctrl_c_while_waiting_leaves_nothing_open(scheme: str, trusting: ssl.SSLContext) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(connection: socket.socket) -> None:
        connection.recv(1)  # by now the client waits for our answer
        signal.pthread_kill(main, signal.SIGINT)
        until_gone(connection)

    with Service(interrupt) as service, pytest.raises(KeyboardInterrupt):
        connect(f"{scheme}://127.0.0.1:{service.port}/", ssl_context=trusting)


# -- TLS -----------------------------------------------------------------------------------------------


def test_an_unknown_authority_is_told_with_the_way_out(certified: ssl.SSLContext) -> None:
    told = r"certificate was refused.*SSL_CERT_FILE.*ssl_context="
    with Service(Upgrading(), certified) as service, pytest.raises(ConnectionError, match=told) as caught:
        connect(f"wss://localhost:{service.port}/")
    assert caught.value.stage == "tls"
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python tells nothing of a refused certificate")
def test_who_issued_a_refused_certificate_is_told_without_what_would_command_a_terminal() -> None:
    authority = trustme.CA(organization_name="Example Corp\x1b[2J", organization_unit_name="Inspection")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Service(Upgrading(), context) as service, pytest.raises(ConnectionError) as caught:
        connect(f"wss://localhost:{service.port}/")
    assert "it was issued by Example Corp [2J, Inspection)" in str(caught.value)
    assert not caught.value.retryable


def test_the_causes_of_a_reset_during_the_upgrade_do_not_go_round_in_a_circle() -> None:
    def reset(connection: socket.socket) -> None:
        read_head(connection)  # else it might come before the request
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with Service(reset) as service, pytest.raises(ConnectionError) as caught:
        connect(f"ws://127.0.0.1:{service.port}/v2")
    assert caught.value.stage == "upgrade"
    chain: list[Optional[BaseException]] = [caught.value]
    while chain[-1] is not None:
        assert chain[-1].__cause__ not in chain
        chain.append(chain[-1].__cause__)


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with Service(Upgrading(), context) as service, pytest.raises(ConnectionError, match="match"):
        connect(f"wss://localhost:{service.port}/", ssl_context=trusting)


def test_a_server_without_tls_is_told_as_that(trusting: ssl.SSLContext) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        until_gone(connection)

    with Service(plain) as service, pytest.raises(ConnectionError, match="speak TLS") as caught:
        connect(f"wss://localhost:{service.port}/", ssl_context=trusting)
    assert caught.value.stage == "tls"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port",
    ],
    ids=["hangs up", "alert", "nginx"],
)
def test_of_a_server_with_tls_that_is_reached_without_the_right_scheme_is_suggested(answer: bytes) -> None:
    with Service(answering(answer)) as service, pytest.raises(TransportError, match="wss://"):
        connect(f"ws://127.0.0.1:{service.port}/v2")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://eu.rt.speechmatics.com/v2", "wss://eu.rt.speechmatics.com/v2"),
        ("HTTP://10.0.0.7:9000/v2", "ws://10.0.0.7:9000/v2"),
        ("localhost:9000/v2", "ws://localhost:9000/v2"),
        ("eu.rt.speechmatics.com", "wss://eu.rt.speechmatics.com"),
        ("ftp://h/v2", None),
        ("wss:/h/v2", None),
        ("https://h/v2?jwt=geheim", None),
        ("user:geheim@h/v2", None),
        ("", None),
    ],
)
def test_the_url_that_was_probably_meant_is_suggested(url: str, meant: Optional[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url(url)
    text = str(caught.value)
    assert text.partition("; did you mean ")[2] == (f"{meant!r}?" if meant else "")
    if meant:
        check_url(meant)


def test_of_a_path_that_is_not_there_the_usual_one_is_told() -> None:
    assert "is /v2" in str(refused("HTTP/1.1 404 Not Found\r\n\r\n<html>"))


def test_a_server_that_hangs_up_in_the_handshake(trusting: ssl.SSLContext) -> None:
    with Service(lambda connection: None) as service, pytest.raises(ConnectionError) as caught:
        connect(f"wss://localhost:{service.port}/", ssl_context=trusting)
    assert (caught.value.stage, caught.value.unreached) == ("tls", False)


def test_a_silent_tls_server_ends_at_the_deadline(trusting: ssl.SSLContext) -> None:
    with Service(until_gone) as service, pytest.raises(TimeoutError, match="TLS") as caught:
        connect(f"wss://localhost:{service.port}/", ssl_context=trusting, seconds=UNTIL_IT_WAITS)
    assert caught.value.stage == "open"


# -- the upgrade refused -------------------------------------------------------------------------------


def refused(answer: str, then: Handler = lambda connection: None, **options: Any) -> Any:
    with Service(answering(answer.encode(), then)) as service, pytest.raises(Exception) as caught:
        connect(f"ws://127.0.0.1:{service.port}/v2?jwt=geheim.token", **options)
    told = "".join(str(error) for error in (caught.value, caught.value.__cause__))
    assert "geheim" not in told
    return caught.value


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_authentication_error(status: int) -> None:
    body = '{"code": 401, "error": "Permission Denied for geheim.key"}'
    error = refused(
        f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n{body}",
        until_gone,
        headers={"Authorization": "Bearer geheim.key"},
    )
    assert isinstance(error, AuthenticationError)
    assert error.status == status
    assert "Permission Denied for ***. Check the key, which is valid in one region only" in str(error)


def test_the_page_of_who_intercepts_and_refuses_an_upgrade_is_told() -> None:
    page = "<html><head><title>Blocked: AI</title></head><body><h1>Blocked: AI</h1>not for geheim.key</body>"
    error = refused(
        f"HTTP/1.1 403 No\r\nContent-Length: {len(page)}\r\n\r\n{page}",
        until_gone,
        headers={"Authorization": "Bearer geheim.key"},
    )
    assert isinstance(error, AuthenticationError)
    assert "answered with HTTP 403: Blocked: AI not for ***. Check the key" in str(error)


@pytest.mark.parametrize(
    ("head", "retry_after"),
    [
        ("Retry-After: 7", 7.0),
        (f"Retry-After: {formatdate(1000, usegmt=True)}\r\nDate: {formatdate(970, usegmt=True)}", 30.0),
        (f"Retry-After: {formatdate(0, usegmt=True)}", 0.0),
        ("Retry-After: soon", None),
        ("Retry-After: -1", None),
        ("X: y", None),
    ],
)
def test_another_status_is_told_with_its_reason_and_when_to_try_again(
    head: str, retry_after: Optional[float]
) -> None:
    chunk = '{"detail": "busy\\u0007 now"}'
    body = f"{len(chunk):x}\r\n{chunk}\r\n0\r\n\r\n"
    error = refused(
        f"HTTP/1.1 429 Too Many Requests\r\n{head}\r\nTransfer-Encoding: chunked\r\n\r\n{body}", until_gone
    )
    assert isinstance(error, ConnectionError)
    assert (error.stage, error.status, error.retry_after, error.reason) == (
        "upgrade",
        429,
        retry_after,
        "busy  now",
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    error = refused(f"HTTP/1.1 {status} Moved\r\nLocation: wss://elsewhere/v2?jwt=geheim\r\n\r\n")
    assert isinstance(error, ConnectionError)
    assert error.status == status
    assert "wss://elsewhere/v2?jwt=***" in str(error)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_status_but_101_is_a_connection_error(status: int) -> None:
    error = refused(f"HTTP/1.1 {status} Hm\r\n\r\n<html>")
    assert isinstance(error, ConnectionError)
    assert (error.status, error.reason) == (status, None)


@pytest.mark.parametrize("length", ["99999999999", "9" * 5000])
def test_a_body_of_any_announced_length_is_not_waited_for(length: str) -> None:
    start = time.monotonic()
    error = refused(f"HTTP/1.1 503 Hm\r\nContent-Length: {length}\r\n\r\n{{", until_gone, seconds=20)
    assert error.status == 503
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "answer",
    [
        "SSH-2.0-OpenSSH_9\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 999 No\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nX: y\nSet-Cookie: a=b; Domain=h\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nX: y\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n",
        "HTTP/1.1 200 Yes\r\n" + "X: y\r\n" * 20_000,
    ],
)
def test_what_is_no_answer_to_an_upgrade_is_a_protocol_error(answer: str) -> None:
    assert isinstance(refused(answer, until_gone), ProtocolError)


@pytest.mark.parametrize(
    "extra", ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat"]
)
def test_what_was_not_offered_must_not_be_chosen(extra: str) -> None:
    with Service(Upgrading(extra)) as service, pytest.raises(ProtocolError, match="not offered"):
        connect(f"ws://127.0.0.1:{service.port}/")


def test_a_connection_closed_instead_of_an_answer() -> None:
    error = refused("HTTP/1.1 1")
    assert isinstance(error, ConnectionError)
    assert (error.stage, error.unreached) == ("upgrade", False)


@pytest.mark.parametrize("answer", ["", "HTTP/1.1 101 Yes\r\n"])
def test_a_silent_server_ends_at_the_deadline(answer: str) -> None:
    error = refused(answer, until_gone, seconds=UNTIL_IT_WAITS)
    assert isinstance(error, TimeoutError)
    assert (error.stage, error.seconds) == ("open", UNTIL_IT_WAITS)
    assert "upgrade" in str(error)


def test_a_slow_drip_ends_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        ended = threading.Event()
        while True:
            connection.sendall(b"X: y\r\n")
            ended.wait(0.05)

    start = time.monotonic()
    assert isinstance(refused("HTTP/1.1 101 Yes\r\n", drip, seconds=0.4), TimeoutError)
    assert time.monotonic() - start < 2


# -- proxies -------------------------------------------------------------------------------------------


def pump(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join(10)


@pytest.fixture
def a_host_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the name service.example lead to this machine: its own names are exempt from proxies."""
    resolve = socket.getaddrinfo

    def to_here(host: str, *rest: object, **options: object) -> list:
        return resolve("127.0.0.1" if host == "service.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", to_here)


class HttpProxy:
    """CONNECT with a name and a password; the answer comes in two pieces."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        request = read_head(connection)
        self.asked.append(request.split("\r\n")[0])
        if f"Basic {base64.b64encode(b'me:ge:heim').decode()}" not in request:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
            return
        host, port = self.asked[-1].split()[1].rsplit(":", 1)
        with socket.create_connection((host, int(port))) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\nVia: ")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"x\r\n\r\n")
            pump(connection, onward)


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise OSError("the client left")
        received += part
    return received


class SocksProxy:
    """SOCKS 5 with a name and a password, and 4 and 4a without; it keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        if exactly(connection, 1) == b"\x04":
            host, port = self._version_4(connection)
            granted = b"\x00\x5a" + bytes(6)
        else:
            host, port = self._version_5(connection)
            granted = b"\x05\x00\x00\x01" + bytes(6)
        self.asked.append(host)
        self.go_on(connection, host, port, granted)

    def go_on(self, connection: socket.socket, host: str, port: int, granted: bytes) -> None:
        with socket.create_connection((host, port)) as onward:
            connection.sendall(granted)
            pump(connection, onward)

    def _version_4(self, connection: socket.socket) -> tuple[str, int]:
        _, port, address = (exactly(connection, count) for count in (1, 2, 4))
        while exactly(connection, 1) != b"\x00":
            pass
        host, name = socket.inet_ntoa(address), b""
        if host.startswith("0.0.0."):
            while (char := exactly(connection, 1)) != b"\x00":
                name += char
        return name.decode() or host, int.from_bytes(port, "big")

    def _version_5(self, connection: socket.socket) -> tuple[str, int]:
        assert b"\x02" in exactly(connection, exactly(connection, 1)[0])
        connection.sendall(b"\x05\x02")
        exactly(connection, 1)
        user, password = (exactly(connection, exactly(connection, 1)[0]) for _ in range(2))
        granted = (user, password) == (b"me", b"ge:heim")
        connection.sendall(b"\x01\x00" if granted else b"\x01\x01")
        kind = exactly(connection, 4)[3]
        if kind == 3:
            host = exactly(connection, exactly(connection, 1)[0]).decode()
        else:
            host = socket.inet_ntop(*{1: (socket.AF_INET, exactly(connection, 4))}[kind])
        return host, int.from_bytes(exactly(connection, 2), "big")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_through_an_http_proxy(scheme: str, certified: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    proxy = HttpProxy()
    tls = certified if scheme == "wss" else None
    with Service(Upgrading(hello=b"hi"), tls) as service, Service(proxy) as way:
        upgraded = connect(
            f"{scheme}://localhost:{service.port}/",
            ssl_context=trusting,
            proxy=f"http://me:ge%3Aheim@127.0.0.1:{way.port}",
        )
        assert read(upgraded, 2) == b"hi"
        end(upgraded)
    assert proxy.asked == [f"CONNECT localhost:{service.port} HTTP/1.1"]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [("socks5", "127.0.0.1"), ("socks5h", "localhost"), ("socks4", "127.0.0.1"), ("socks4a", "localhost")],
)
def test_through_a_socks_proxy_names_are_resolved_where_the_scheme_says(
    kind: str,
    asked: str,
    certified: ssl.SSLContext,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = SocksProxy()
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *args, **options: resolve("127.0.0.1", *args[1:], **options)
    )
    with Service(Upgrading(), certified) as service, Service(proxy) as way:
        url = f"wss://localhost:{service.port}/"
        end(connect(url, ssl_context=trusting, proxy=f"{kind}://me:ge%3Aheim@127.0.0.1:{way.port}"))
    assert proxy.asked == [asked]


class Choosy(SocksProxy):
    """One with answers of its own for some addresses: the code of a refusal, or None, which is silence.

    It goes on to any other only once it was asked for all of these.
    """

    def __init__(self, answers: dict[str, Optional[int]]) -> None:
        super().__init__()
        self._answers = answers
        self._of_all = threading.Event()
        self.silent, self.left = threading.Event(), threading.Event()  # it is; nobody waits for it any more

    def go_on(self, connection: socket.socket, host: str, port: int, granted: bytes) -> None:
        code = self._answers.get(host, 0)
        if self._answers.keys() <= set(self.asked):
            self._of_all.set()
        if code == 0:
            assert self._of_all.wait(10)
            super().go_on(connection, host, port, granted)
        elif code is not None:
            connection.sendall(granted[:1] + bytes([code]) + granted[2:])
        else:
            self.silent.set()
            until_gone(connection)
            self.left.set()


@pytest.fixture
def three_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give service.example two more addresses, which come first."""
    resolve = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: object) -> list:
        hosts = ["127.0.0.7", "127.0.0.8", "127.0.0.1"] if host == "service.example" else [host]
        return [entry for each in hosts for entry in resolve(each, port, *rest)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(("kind", "refusal"), [("socks5", 4), ("socks4", 0x5B)])
@pytest.mark.parametrize("first", ["refuses", "is silent"])
def test_a_socks_proxy_is_asked_for_each_address_of_a_name_that_is_looked_up_here(
    kind: str, refusal: int, first: str, three_addresses: None
) -> None:
    proxy = Choosy({"127.0.0.7": refusal if first == "refuses" else None, "127.0.0.8": refusal})
    with Service(Upgrading()) as service, Service(proxy) as way:
        url = f"ws://service.example:{service.port}/"
        upgraded = connect(url, proxy=f"{kind}://me:ge%3Aheim@127.0.0.1:{way.port}")
        assert sorted(proxy.asked) == ["127.0.0.1", "127.0.0.7", "127.0.0.8"]
        assert first == "refuses" or proxy.left.wait(5)
        end(upgraded)
    assert upgraded.elapsed < 5  # of 10


def test_a_socks_proxy_that_refuses_every_address_is_told_with_each_reason(three_addresses: None) -> None:
    proxy = Choosy({"127.0.0.7": 4, "127.0.0.8": 2, "127.0.0.1": 5})
    with Service(proxy) as way, pytest.raises(ConnectionError) as caught:
        connect("ws://service.example/", proxy=f"socks5://me:ge%3Aheim@127.0.0.1:{way.port}")
    _, told = re.split(r"proxy 127\.0\.0\.1:\d+: ", str(caught.value))
    reasons = dict(reason.split(": ", 1) for reason in told.split("; "))
    assert "Host un" in reasons["127.0.0.7"]
    assert "ruleset" in reasons["127.0.0.8"]
    assert "refused" in reasons["127.0.0.1"]
    assert (caught.value.stage, caught.value.retryable, caught.value.unreached) == ("proxy", True, True)


@pytest.mark.parametrize("why", ["a wrong password", "nobody is there"])
def test_a_socks_proxy_that_takes_nobody_is_not_asked_for_another_address(
    why: str, three_addresses: None
) -> None:
    proxy = SocksProxy()
    with Service(proxy) as way, a_closed_port() as dead, pytest.raises(ConnectionError) as caught:
        port = dead if why == "nobody is there" else way.port
        connect("ws://service.example/", proxy=f"socks5://me:wrong@127.0.0.1:{port}")
    assert re.search("authentication|refused", str(caught.value))
    assert "127.0.0.8" not in str(caught.value)
    assert len(way._connections) == (why == "a wrong password")


def test_socks4_says_that_it_needs_an_ipv4_address() -> None:
    with Service(SocksProxy()) as way, pytest.raises(ConnectionError, match="find an IPv4 address") as caught:
        connect("ws://[2001:db8::1]/", proxy=f"socks4://127.0.0.1:{way.port}")
    assert caught.value.stage == "dns"


def test_what_is_given_up_while_a_socks_proxy_tries_several_addresses_ends_at_once(
    three_addresses: None,
) -> None:
    proxy, opening = Choosy(dict.fromkeys(["127.0.0.7", "127.0.0.8", "127.0.0.1"])), Opening()
    threading.Thread(target=lambda: proxy.silent.wait(10) and opening.give_up(), daemon=True).start()
    config = ConnectionConfig()
    began = time.monotonic()
    with Service(proxy) as way, pytest.raises(TimeoutError):
        config.proxy = f"socks5://me:ge%3Aheim@127.0.0.1:{way.port}"
        dial("ws://service.example/", {}, config, deadline=float("inf"), opening=opening)
    assert time.monotonic() - began < 5


def says(*answers: bytes) -> Handler:
    """A SOCKS5 proxy that gives these answers, one for each thing it is told."""

    def answer(connection: socket.socket) -> None:
        for each in answers:
            connection.recv(1000)
            connection.sendall(each)
        until_gone(connection)

    return answer


@pytest.mark.parametrize(
    ("handler", "url", "told", "retryable"),
    [
        (HttpProxy(), "http://me:geheim@127.0.0.1:{}", "407.*does not accept the user", False),
        (HttpProxy(), "http://127.0.0.1:{}", "407.*Its URL takes user:password@", False),
        (SocksProxy(), "socks5://me:geheim@127.0.0.1:{}", "authentication failure.*does not accept", False),
        (says(b"\x05\xff"), "socks5h://127.0.0.1:{}", "authentication.*user:password", False),
        (says(b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)), "socks5h://127.0.0.1:{}", "ruleset", False),
        (says(b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)), "socks5h://127.0.0.1:{}", "refused", True),
        (answering(b"SSH-2.0\r\n", until_gone), "http://127.0.0.1:{}", "not HTTP", False),
        (answering(b"HTTP/1.1 401 No\r\n\r\n", until_gone), "http://127.0.0.1:{}", "401.*password", False),
        (answering(b"HTTP/1.1 403 No\r\n\r\n", until_gone), "http://127.0.0.1:{}", "403", False),
        (answering(b"HTTP/1.1 429 No\r\n\r\n", until_gone), "http://127.0.0.1:{}", "429", True),
        (answering(b"HTTP/1.1 503 No\r\n\r\n", until_gone), "http://127.0.0.1:{}", "503", True),
        (lambda connection: None, "http://127.0.0.1:{}", "closed|reset", True),
        (lambda connection: None, "socks5h://127.0.0.1:{}", "closed|reset", True),
    ],
)
def test_a_proxy_that_refuses(handler: Handler, url: str, told: str, retryable: bool) -> None:
    with Service(handler) as way, pytest.raises(ConnectionError, match=f"(?i){told}") as caught:
        connect("ws://127.0.0.1:1/", proxy=url.format(way.port))
    assert (caught.value.stage, caught.value.retryable, caught.value.unreached) == ("proxy", retryable, True)
    assert f"proxy 127.0.0.1:{way.port}" in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:geheim@127.0.0.1:{}", "http://127.0.0.1:{}"], ids=["me", "nobody"]
)
@pytest.mark.parametrize(
    ("challenges", "told"),
    [
        (["Negotiate", "NTLM"], "It offers Negotiate, NTLM, and only Basic is spoken here"),
        (["NTLM TlRMTVNTUAAC=="], "It offers NTLM, and only Basic"),
        (['Digest realm="a, Basic b", nonce="x", qop="auth, auth-int"'], "It offers Digest, and only Basic"),
        (['Negotiate, basic realm="corp"'], None),
        (['Digest realm = "a", BASIC realm="unclosed'], None),
        (["", ",", "=", '"'], None),
    ],
)
def test_a_proxy_whose_schemes_are_not_spoken_here_is_told_by_them(
    url: str, challenges: list[str], told: Optional[str]
) -> None:
    lines = [f"Proxy-Authenticate: {challenge}\r\n" for challenge in challenges]
    answer = f"HTTP/1.1 407 No\r\nContent-Length: 0\r\n{''.join(lines)}\r\n".encode()
    with Service(answering(answer, until_gone)) as way, pytest.raises(ConnectionError) as caught:
        connect("ws://127.0.0.1:1/", proxy=url.format(way.port))
    if told is None:
        told = "does not accept the user" if "me:" in url else "Its URL takes user:password@"
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (b"<html><title>Blocked by policy: category AI</title></html>", "Blocked by policy: category AI"),
        (b'{"error": "not in the list"}', "not in the list"),
        (b"no\r\nsuch host", "no such host"),
        (
            b"<head><title>ERROR: Access &amp; more</title><style>p {color: red}</style>"
            b"<script>var a = {};</script></head><body><!-- <p>hidden --><h1>ERROR</h1>"
            b"<h2>Access &amp; more</h2><p>Ask the <b>service</b> desk",
            "ERROR: Access & more Ask the service desk",
        ),
        (b"", None),
        (b"\x1f\x8b\x08" + bytes(range(256)), None),
        (b"<script>" + b"x" * 5000, None),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_page_of_a_proxy_that_refuses_is_told_in_a_line(
    page: bytes, told: Optional[str], chunked: bool
) -> None:
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(page)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(page), page) if chunked and page else page
    answer = b"HTTP/1.1 403 Forbidden\r\n%s\r\n\r\n%s" % (head, body)
    with Service(answering(answer, until_gone)) as way, pytest.raises(ConnectionError) as caught:
        connect("ws://127.0.0.1:1/", proxy=f"http://127.0.0.1:{way.port}")
    why = "403 Forbidden" if told is None else f"403 Forbidden: {told}"
    assert str(caught.value) == f"could not get through the proxy 127.0.0.1:{way.port}: {why}"


def test_a_proxy_that_is_not_there() -> None:
    with a_closed_port() as port, pytest.raises(ConnectionError, match="refused") as caught:
        connect("ws://h/", proxy=f"socks5h://127.0.0.1:{port}")
    assert (caught.value.stage, caught.value.unreached) == ("proxy", True)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_silent_proxy_ends_at_the_deadline(scheme: str) -> None:
    with Service(until_gone) as way, pytest.raises(TimeoutError, match="through the proxy") as caught:
        connect("ws://h/", proxy=f"{scheme}://127.0.0.1:{way.port}", seconds=UNTIL_IT_WAITS)
    assert (caught.value.stage, caught.value.unreached) == ("open", True)


@pytest.mark.parametrize(
    ("variables", "proxied"),
    [
        ({"http_proxy": "{}"}, True),
        ({"HTTPS_PROXY": "{}"}, False),
        ({"all_proxy": "{}"}, True),
        ({"http_proxy": "{}", "no_proxy": "example.com,service.example"}, False),
        ({"http_proxy": "{}", "no_proxy": "host"}, True),
        ({"http_proxy": "{}", "no_proxy": "*"}, False),
        ({"http_proxy": "{}", "no_proxy": "*.example"}, False),
        ({"http_proxy": "{}", "NO_PROXY": "10.0.0.0/8, .EXAMPLE"}, False),
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str], proxied: bool, a_host_elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, direct = HttpProxy(), Upgrading()
    with Service(direct) as service, Service(proxy) as way:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(f"me:ge%3Aheim@127.0.0.1:{way.port}"))
        url = f"ws://service.example:{service.port}/"
        end(connect(url))
        assert bool(proxy.asked) is proxied
        end(connect(url, proxy=""))  # none, whatever the environment says
    assert len(proxy.asked) == proxied
    assert len(direct.requests) == 2


def test_this_machine_is_not_reached_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Service(Upgrading()) as service:
        for host in ("127.0.0.1", "localhost"):
            end(connect(f"ws://{host}:{service.port}/"))


def test_for_wss_the_environment_names_another_proxy(
    certified: ssl.SSLContext,
    trusting: ssl.SSLContext,
    a_host_elsewhere: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = SocksProxy()
    with Service(Upgrading(), certified) as service, Service(proxy) as way:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("https_proxy", f"socks5h://me:ge%3Aheim@127.0.0.1:{way.port}")
        end(connect(f"wss://service.example:{service.port}/", ssl_context=trusting))
    assert proxy.asked == ["service.example"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *((url, "socks5h") for url in ("https://h:1", "ftp://h", "http://", "nonsense")),
        ("http://h:x", "its port is not a number"),
    ],
)
def test_a_proxy_of_no_known_kind_is_refused_before_any_io(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        connect("ws://127.0.0.1:1/", proxy=url)


# -- packages ------------------------------------------------------------------------------------------


def test_a_missing_proxy_package_is_named_before_any_io(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks.sync", None)
    with pytest.raises(ConfigurationError, match=r"speechmatics-rt-sync\[proxy\]"):
        connect("ws://127.0.0.1:1/", proxy="http://127.0.0.1:1")


def test_another_package_named_websocket_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websocket", types.ModuleType("websocket"))
    with pytest.raises(ConfigurationError, match="pip uninstall websocket; pip install"):
        connect("ws://127.0.0.1:1/")


def test_a_missing_websocket_client_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websocket", None)
    with pytest.raises(ConfigurationError, match="from this Python: pip install websocket-client"):
        connect("ws://127.0.0.1:1/")


def test_importing_the_module_imports_no_websocket_no_ssl_and_no_proxy() -> None:
    import subprocess

    code = (
        "import sys, speechmatics_rt.network.dialing.dialer;"
        "sys.exit(any(name in sys.modules for name in ('websocket', 'ssl', 'python_socks', 'http.client')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lookup_that_fails_for_now_does_not_drop_the_one_for_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_alone = threading.Event()

    def getaddrinfo(host: str, port: int, family: int = 0, *args: Any, **options: Any) -> Any:
        if family != socket.AF_INET:
            asked_alone.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        asked_alone.set()
        time.sleep(0.2)  # so that the other one has failed before
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", service.port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Service(Upgrading()) as service:
        end(connect("ws://slow.example/"))
