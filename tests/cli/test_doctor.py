"""The doctor: each failure is a real one, and says what it is and what to do."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import io
import json
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
import trustme

from speechmatics_rt import config
from speechmatics_rt.cli import ExitCode, main
from speechmatics_rt.cli.doctor import doctor, installation, sockets
from speechmatics_rt.cli.doctor.certificates import Certificate, Refusal
from speechmatics_rt.cli.doctor.checks import (
    Check,
    Finding,
    State,
    examine,
    exit_code_of,
    failed,
    ok,
    warning,
)
from speechmatics_rt.cli.doctor.judge import (
    Reach,
    clock_finding,
    family_finding,
    key_finding,
    latency_finding,
    microphone_finding,
)
from speechmatics_rt.cli.doctor.report import as_report, lines_of, redacted, summary
from speechmatics_rt.cli.doctor.sockets import FAMILIES, reach, skew_of
from speechmatics_rt.cli.options import parse
from speechmatics_rt.cli.options.version import Part
from speechmatics_rt.cli.streams import Stream
from speechmatics_rt.cli.text import plain
from speechmatics_rt.local import LocalServer
from speechmatics_rt.network.dialing import handshake

from ..conftest import a_closed_port
from .command import run
from .terminal import Terminal

DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)
    monkeypatch.setattr(handshake, "_context", None)  # built once a process, of whatever was trusted then


@pytest.fixture
def examined(capsys: pytest.CaptureFixture) -> Callable[..., tuple[ExitCode, dict[str, Any]]]:
    """Run it in this process; gives its code, and each finding by its name."""

    def look(*arguments: str) -> tuple[ExitCode, dict[str, Any]]:
        code = main(["doctor", "--json", *arguments])
        document = json.loads(capsys.readouterr().out)
        assert document["exit_code"] == code
        return code, {found["check"]: found for found in document["checks"]}

    return look


def states(found: dict[str, Any]) -> dict[str, str]:
    return {name: each["state"] for name, each in found.items()}


# -- all is well -------------------------------------------------------------------------------------------


def test_a_service_that_is_well_is_examined_to_a_session(examined) -> None:
    with LocalServer(keys=["k3y-of-mine"]) as server:
        code, found = examined("--url", server.url, "--api-key", "k3y-of-mine")
        (record,) = (record for record in server.sessions if record.status == 101)
        assert len(record.audio) == 32000
    assert code == ExitCode.OK
    assert set(states(found).values()) == {"ok", "skipped"}
    assert found["session"]["opened"] > 0
    assert 0 <= found["latency"]["median"] <= found["latency"]["worst"]
    assert "k3y-of-mine" not in json.dumps(found)


def test_a_person_reads_a_line_a_check_and_a_verdict() -> None:
    with LocalServer() as server:
        code, out, err = run("doctor", "--url", server.url)
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert last == "all is well"
    assert any(
        re.match(r"ok       session      ready after \d+\.\d\d s, took a second", line) for line in lines
    )


class Window(io.StringIO):
    """A terminal of 80 columns, as far as a stream of Python tells."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_what_to_do_stands_beneath_what_was_found() -> None:
    window = Window()
    arguments = parse(["doctor", "--url", "wss://no-such-name.invalid/v2", "--color", "always"])
    out = Stream(window, "standard output", vital=True)
    assert doctor(arguments, out, Stream(None, "standard error", vital=False)) == ExitCode.CONNECTION
    terminal = Terminal(80, 40).feed(window.getvalue().replace("\n", "\r\n"))  # as a terminal does
    screen = terminal.text.splitlines()
    (advice,) = (line for line in screen if "-> check the name" in line)
    assert advice.startswith(" " * 22 + "-> ")
    assert screen[-1].startswith("failed: dns")
    assert max(map(len, screen)) < 80
    assert len(terminal.colours) > 2


def test_over_tls_a_trusted_certificate_is_named_with_its_issuer(examined, tmp_path, monkeypatch) -> None:
    with LocalServer(tls=True) as server:
        (tmp_path / "ca.pem").write_bytes(server.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        code, found = examined("--url", server.url)
    assert code == ExitCode.OK
    assert found["tls"]["text"].startswith("TLSv1.3, the certificate of Testing cert")
    assert "issued by Testing CA" in found["tls"]["text"]
    assert found["tls"]["names"] == ["127.0.0.1", "::1", "localhost"] or "localhost" in found["tls"]["names"]


# -- the way there -----------------------------------------------------------------------------------------


def test_a_name_that_nobody_knows(examined) -> None:
    code, found = examined("--url", "wss://no-such-name.invalid/v2")
    assert code == ExitCode.CONNECTION
    assert found["dns"]["state"] == "failed"
    assert "no-such-name.invalid" in found["dns"]["text"]
    assert found["dns"]["advice"]
    assert {found[name]["state"] for name in ("ipv4", "tls", "session")} == {"untried"}


def test_a_resolver_that_does_not_answer_is_not_waited_for_without_end(examined, monkeypatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(sockets, "PATIENCE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(30) and [])
    code, found = examined("--url", "wss://asr.example/v2")
    answer.set()
    assert code == ExitCode.CONNECTION
    assert found["dns"]["text"] == "no resolver answers for asr.example: no answer within 0.2 s"
    assert "online" in found["dns"]["advice"]


def test_a_resolver_that_hears_nothing_about_ipv6_is_a_warning_since_sessions_do_without(
    examined, monkeypatch
) -> None:
    gives_up = threading.Event()
    monkeypatch.setattr(sockets, "PATIENCE", 1.0)
    with LocalServer() as server:
        resolve = socket.getaddrinfo

        def half(host: str, port: Any, family: int = 0, *rest: Any, **options: Any) -> Any:
            if host == "half.example" and family != socket.AF_INET:
                gives_up.wait(30)
            return resolve("127.0.0.1" if host == "half.example" else host, port, family, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", half)
        code, found = examined("--url", f"ws://half.example:{server.port}/v2")
        gives_up.set()
    assert code == ExitCode.OK
    assert found["dns"]["state"] == "warning"
    assert "127.0.0.1" in found["dns"]["text"]
    assert "IPv6" in found["dns"]["text"]
    assert "router" in found["dns"]["advice"]
    assert states(found)["session"] == "ok"


def test_a_port_where_nobody_listens(examined) -> None:
    with a_closed_port() as port:
        code, found = examined("--url", f"ws://127.0.0.1:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert "refused" in found["ipv4"]["text"]
    assert "nobody listens there" in found["ipv4"]["advice"]


def both_families(port: int) -> list[Any]:
    """What a resolver gives for a name with an address of each family."""
    addresses = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
    return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]


def test_an_ipv6_that_is_dead_is_told_beside_an_ipv4_that_works(examined, monkeypatch) -> None:
    with LocalServer() as server:  # on 127.0.0.1 alone
        resolve = socket.getaddrinfo

        def with_both(host: str, port: Any, *rest: Any, **options: Any) -> Any:
            return both_families(port) if host == "both.example" else resolve(host, port, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", with_both)
        code, found = examined("--url", f"ws://both.example:{server.port}/v2")
    assert code == ExitCode.OK
    assert found["dns"]["addresses"] == ["::1", "127.0.0.1"]
    assert states(found)["ipv4"] == "ok"
    assert found["ipv6"]["state"] == "warning"
    assert found["ipv6"]["text"].startswith("[::1]:")
    assert "IPv4 is used" in found["ipv6"]["text"]


def test_the_address_that_answers_is_told_and_a_family_without_any_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        entries = both_families(port)
        assert reach(entries, FAMILIES["IPv4"]).address == f"127.0.0.1:{port}"
        assert reach(entries, FAMILIES["IPv6"]).error
        assert reach(entries[1:], FAMILIES["IPv6"]) is None


# -- proxies -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections, one after the other; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                handle(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def head_of(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(4096)
        if not part:
            break
        received += part
    return received.decode("latin-1")


@pytest.mark.parametrize(
    ("who", "status", "advice"),
    [
        ("", "407 Proxy Authentication Required", "https_proxy=http://USER:PASSWORD@HOST:PORT"),
        ("ann:geheim@", "407 Proxy Authentication Required", "wrong, or does it want another way"),
        ("ann:geheim@", "403 Forbidden", "have asr.example:443 allowed there"),
        ("ann:geheim@", "502 Bad Gateway", "no_proxy"),
    ],
)
def test_a_proxy_that_does_not_let_us_through(
    examined, monkeypatch, who: str, status: str, advice: str
) -> None:
    def refuse(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with answering(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://{who}127.0.0.1:{port}")
        code, found = examined("--url", "wss://asr.example/v2")
    assert code == ExitCode.CONNECTION
    assert states(found)["dns"] == "ok"  # that of the proxy; it looks up the service
    assert found["tunnel"]["status"] == int(status[:3])
    assert f"HTTP {status[:3]}" in found["tunnel"]["text"]
    assert advice in found["tunnel"]["advice"]
    assert found["session"]["state"] == "untried"
    assert "geheim" not in json.dumps(found)


def test_a_session_through_a_proxy_that_wants_a_password(examined, monkeypatch) -> None:
    with LocalServer() as server:

        def connect_through(connection: socket.socket) -> None:
            request = head_of(connection)
            if not request:
                return  # who only looked whether somebody is there
            assert f"Basic {base64.b64encode(b'ann:ge heim').decode()}" in request
            with socket.create_connection(("127.0.0.1", server.port)) as onward:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                forward = threading.Thread(target=copy, args=(onward, connection), daemon=True)
                forward.start()
                copy(connection, onward)
                forward.join(5)

        with answering(connect_through) as port:
            monkeypatch.setenv("http_proxy", f"http://ann:ge%20heim@127.0.0.1:{port}")
            code, found = examined("--url", "ws://asr.example:9000/v2")
    assert code == ExitCode.OK
    assert found["proxy"]["text"] == f"http://127.0.0.1:{port}, with a user's name"
    assert found["tunnel"]["state"] == "ok"


def copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_a_proxy_that_is_no_url_is_told_without_what_stands_there(examined, monkeypatch) -> None:
    monkeypatch.setenv("https_proxy", "http://ann:geheim@:x")
    code, found = examined("--url", "wss://asr.example/v2")
    assert code == ExitCode.USAGE
    assert found["proxy"]["text"] == (
        "https_proxy='http://***@:***' is not the URL of a proxy with a scheme of "
        "http, socks4, socks4a, socks5, socks5h"
    )


# -- certificates and clocks -------------------------------------------------------------------------------


@contextlib.contextmanager
def pages(cert: Optional[trustme.LeafCert] = None, ahead: float = 0.0) -> Iterator[int]:
    """Serve pages, over TLS with a certificate, whose Date is so many seconds ahead; gives the port."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def date_time_string(self, timestamp: Optional[float] = None) -> str:
            return super().date_time_string(time.time() + ahead)

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = False  # joined by server_close

        def get_request(self) -> Any:
            sock, address = super().get_request()
            if context is not None:
                sock.settimeout(5)
                sock = context.wrap_socket(sock, server_side=True)
            return sock, address

        def handle_error(self, *_: object) -> None: ...

    context = None
    if cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cert.configure_cert(context)
    with Server(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def trusting(authority: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))


def test_a_certificate_of_an_unknown_authority_is_named_with_who_issued_it(examined) -> None:
    authority = trustme.CA(organization_name="Middlebox Ltd", organization_unit_name="Inspection")
    with pages(authority.issue_cert("localhost", common_name="asr.example")) as port:
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert "the certificate of asr.example (trustme" in found["tls"]["text"]
    assert "issued by Inspection (Middlebox Ltd)" in found["tls"]["text"]
    assert "unable to get local issuer" in found["tls"]["text"]
    assert "SSL_CERT_FILE" in found["tls"]["advice"]
    assert found["tls"]["names"] == ["localhost"]
    assert found["session"]["state"] == "untried"


def test_a_certificate_that_has_expired_or_a_clock_that_is_wrong(examined, tmp_path, monkeypatch) -> None:
    authority = trustme.CA()
    trusting(authority, tmp_path, monkeypatch)
    expired = authority.issue_cert("localhost", not_before=now() - 9 * DAY, not_after=now() - 2 * DAY)
    with pages(expired) as port:
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert "certificate has expired" in found["tls"]["text"]
    assert found["tls"]["advice"].startswith("ask the operator of localhost to renew it (it holds from")
    assert found["clock"]["state"] == "ok"
    monkeypatch.setattr(handshake, "_context", None)
    with pages(expired, ahead=-4 * 86400 - 5400) as port:  # there it is good
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert found["clock"]["text"] == "this machine's clock is 4 days 1 h ahead of the server's"
    assert "set this machine's clock first" in found["tls"]["advice"]


def test_a_certificate_of_another_host(examined, tmp_path, monkeypatch) -> None:
    authority = trustme.CA()
    trusting(authority, tmp_path, monkeypatch)
    with pages(authority.issue_cert("asr.example", "*.asr.example")) as port:
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert "Hostname mismatch" in found["tls"]["text"]
    assert found["tls"]["advice"] == "it is for asr.example, *.asr.example; give the address by that name"


def test_a_certificate_that_ends_soon_is_told_before_it_does(examined, tmp_path, monkeypatch) -> None:
    authority = trustme.CA()
    trusting(authority, tmp_path, monkeypatch)
    with pages(authority.issue_cert("localhost", not_after=now() + 2.5 * DAY)) as port:
        _, found = examined("--url", f"wss://localhost:{port}/v2")
    assert found["tls"]["state"] == "warning"
    assert "it ends in 2 days" in found["tls"]["text"]


def test_a_server_without_tls(examined) -> None:
    with pages() as port:
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.CONNECTION
    assert "does not agree on TLS" in found["tls"]["text"]
    assert "ws://" in found["tls"]["advice"]


def test_a_variable_that_names_no_certificates_is_a_wrong_configuration(examined, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    with pages(trustme.CA().issue_cert("localhost")) as port:
        code, found = examined("--url", f"wss://localhost:{port}/v2")
    assert code == ExitCode.USAGE
    assert "SSL_CERT_FILE is /no/such.pem: there is no such file" in found["tls"]["text"]


def test_a_date_that_no_calendar_has_tells_no_time() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"HTTP/1.1 404 Not Found\r\nDate: Mon, 01 Jan 99999 00:00:00 GMT\r\n\r\n")
        assert skew_of(lambda: ours, config.parse("ws://asr.example/v2")) is None


@pytest.mark.parametrize(("ahead", "state"), [(0, "ok"), (25, "ok"), (300, "warning"), (-300, "warning")])
def test_clocks_are_compared_by_the_date_of_an_answer(examined, ahead: float, state: str) -> None:
    with pages(ahead=ahead) as port:
        _, found = examined("--url", f"ws://localhost:{port}/v2")
    assert found["clock"]["state"] == state
    if state == "warning":
        assert ("behind" if ahead > 0 else "ahead of") in found["clock"]["text"]
        assert "5 min" in found["clock"]["text"] or "4 min" in found["clock"]["text"]


# -- keys and sessions -------------------------------------------------------------------------------------


def test_a_key_that_is_refused(examined) -> None:
    with LocalServer(keys=["right"]) as server:
        code, found = examined("--url", server.url, "--api-key", "wrong-key")
    assert code == ExitCode.AUTHENTICATION
    assert "HTTP 401" in found["session"]["text"]
    assert "copy the key again" in found["session"]["advice"]
    assert found["session"]["request_id"]


def test_a_key_that_was_not_given_is_not_said_to_be_wrong(examined) -> None:
    with LocalServer(keys=["right"]) as server:
        code, found = examined("--url", server.url)
    assert code == ExitCode.AUTHENTICATION
    assert "No key was sent: set SPEECHMATICS_API_KEY, or give --api-key" in found["session"]["text"]
    assert found["session"]["advice"] == "a key is valid in one region only, and this is 127.0.0.1"


def test_a_key_in_quotes_and_no_key_at_all_are_told_before_any_session(examined, monkeypatch) -> None:
    with LocalServer(keys=["right"]) as server:
        code, found = examined("--url", server.url, "--api-key", "'right'")
        assert server.sessions == [] or all(record.status != 101 for record in server.sessions)
        assert (code, found["key"]["state"]) == (ExitCode.USAGE, "failed")
        code, found = examined("--url", server.url, "--temporary-key")
        assert code == ExitCode.AUTHENTICATION
        assert found["key"]["text"] == (
            "no key: set SPEECHMATICS_API_KEY, or give --api-key; portal.speechmatics.com has keys"
        )


@pytest.mark.parametrize(("key", "code"), [("right", ExitCode.OK), ("wrong", ExitCode.AUTHENTICATION)])
def test_a_temporary_key_is_asked_for(examined, monkeypatch, key: str, code: ExitCode) -> None:
    with LocalServer(keys=["right"]) as server:
        monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("SPEECHMATICS_API_KEY", key)
        ended, found = examined("--url", server.url, "--temporary-key")
    assert ended == code
    if code is ExitCode.OK:
        assert "a temporary key, good for" in found["key"]["text"]
        assert found["session"]["state"] == "ok"
    else:
        assert "127.0.0.1 refused a temporary key" in found["key"]["text"]
        assert found["session"]["state"] == "untried"


def test_a_full_quota_is_told_with_how_long_to_wait(examined) -> None:
    with LocalServer(quota=0) as server:
        code, found = examined("--url", server.url)
    assert code == ExitCode.FAILED
    assert found["session"]["type"] == "quota_exceeded"
    assert "end other sessions of this key" in found["session"]["advice"]
    assert "wait 5 s at least" in found["session"]["advice"]


def test_a_path_that_is_wrong(examined) -> None:
    with LocalServer() as server:
        code, found = examined("--url", server.url.replace("/v2", "/v3"))
    assert code == ExitCode.CONNECTION
    assert found["session"]["advice"] == "is it the right path? It ends in /v2"


def test_an_address_of_tls_that_begins_without(examined) -> None:
    with LocalServer(tls=True) as server:
        code, found = examined("--url", server.url.replace("wss://", "ws://"))
    assert code == ExitCode.CONNECTION
    assert found["session"]["advice"] == "does it speak TLS there? Then give its address with wss://"


def test_address_and_key_of_a_profile_are_examined(examined, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "speechmatics-rt").mkdir()
    with LocalServer(keys=["k3y-of-mine"]) as server:
        file = tmp_path / "speechmatics-rt" / "config.toml"
        file.write_text(
            f'[default]\nurl = "{server.url}"\nlanguage = "de"\n[work]\napi_key = "k3y-of-mine"\n'
        )
        file.chmod(0o600)
        code, _ = examined("--profile", "work", "--url", server.url)
        assert code == ExitCode.OK
        code, found = examined()
        assert code == ExitCode.AUTHENTICATION
        assert found["address"]["text"] == f"{server.url} (from --url, or the profile)"


# -- this machine ------------------------------------------------------------------------------------------


@pytest.mark.speech
def test_the_installation_is_examined_with_its_recogniser_and_microphone() -> None:
    pytest.importorskip("ctranslate2")
    # A process of its own, and no sound server: those of other tests come and go.
    code, out, _ = run("doctor", "--local", "--json", PULSE_SERVER="unix:/nowhere")
    found = {check["check"]: check for check in json.loads(out)["checks"]}
    assert list(found) == ["installation", "recogniser", "microphone"]
    assert found["recogniser"]["state"] == "ok"
    assert found["recogniser"]["loaded"] > 0
    assert found["microphone"]["state"] in ("ok", "warning")  # there may be none
    assert code == ExitCode.OK


def test_a_recogniser_that_is_missing_is_told_with_its_command(examined, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "speechmatics_rt.local", None)
    code, found = examined("--local")
    assert code == ExitCode.USAGE
    assert "pip install 'speechmatics-rt-sync[local]'" in found["recogniser"]["text"]


def test_an_installation_tells_what_it_lacks(monkeypatch) -> None:
    there = (
        Part("fast decoding", "orjson", "fast", None),
        Part("connections", "websocket-client", "", "1.8.0"),
    )
    monkeypatch.setattr(installation, "installed_parts", lambda: list(there))
    found = installation.INSTALLATION.look(None)
    assert found.text.endswith("websocket-client 1.8.0; without the extras fast")
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    found = installation.INSTALLATION.look(None)
    assert (found.state, found.code) == (State.FAILED, ExitCode.USAGE)
    assert "without websocket-client" in found.text


def test_what_a_microphone_hears() -> None:
    assert (
        microphone_finding("'Headset'", -12.4, 16000).text
        == "'Headset' records at 16000 Hz; the loudest was -12 dB"
    )
    silent = microphone_finding("'Headset'", float("-inf"), 16000)
    assert (silent.state, "muted" in silent.advice) == (State.WARNING, True)


# -- what is shown -----------------------------------------------------------------------------------------


def test_a_report_holds_neither_keys_nor_names_nor_passwords(capsys, monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "k3y-of-mine")
    monkeypatch.setenv("HOME", "/home/annabel")
    monkeypatch.setenv("LOGNAME", "annabel")
    monkeypatch.setenv("SSL_CERT_FILE", "/home/annabel/ca.pem")
    with LocalServer(tls=True) as server:
        main(["doctor", "--report", "--url", f"{server.url}?jwt=t0ken-of-mine"])
    out = capsys.readouterr().out
    assert out.startswith("speechmatics-rt doctor\nversion: ")
    assert "variables: SPEECHMATICS_API_KEY, SSL_CERT_FILE" in out
    assert "jwt=***" in out
    assert "SSL_CERT_FILE is ***/ca.pem" in out
    for secret in ("k3y-of-mine", "t0ken-of-mine", "annabel", socket.gethostname()):
        assert secret not in out


def test_a_failure_is_drawn_with_what_to_do_beneath_and_without_what_was_not_tried() -> None:
    finding = failed("no resolver knows nowhere.example", "is it spelt right? " * 4)
    text = plain(lines_of("dns", finding, 60, []))
    assert text.splitlines()[0] == "failed   dns          no resolver knows nowhere.example"
    assert text.splitlines()[1].startswith(" " * 22 + "-> is it spelt right?")
    assert max(map(len, text.splitlines())) < 60
    narrow = plain(lines_of("dns", finding, 40, []))
    assert narrow.splitlines()[:2] == ["failed   dns", "    no resolver knows nowhere.example"]
    assert max(map(len, narrow.splitlines())) < 40
    assert lines_of("tls", Finding(State.UNTRIED, "not tried"), 60, []) == []


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        ([ok("")], "all is well"),
        ([ok(""), warning("", "")], "it works; look at 1"),
        ([ok(""), failed("", ""), Finding(State.UNTRIED, "")], "failed: 1; 1 more check not tried"),
    ],
)
def test_the_verdict(findings: list[Finding], says: str) -> None:
    assert summary([(str(number), found) for number, found in enumerate(findings)]) == says


def test_the_code_is_that_of_the_first_failure() -> None:
    both = [ok(""), failed("", "", ExitCode.AUTHENTICATION), failed("", "", ExitCode.AUDIO)]
    assert exit_code_of(both) == ExitCode.AUTHENTICATION
    assert exit_code_of([ok(""), warning("", "")]) == ExitCode.OK


def test_what_builds_on_a_failure_is_not_tried_nor_what_builds_on_that() -> None:
    looked: list[str] = []

    def look(name: str) -> Callable[[Any], Finding]:
        return lambda _: looked.append(name) or (failed("", "") if name == "a" else ok(""))

    checks = [Check("a", look("a")), Check("b", look("b"), ("a",)), Check("c", look("c"), ("b",))]
    checks += [Check("d", look("d")), Check("none", lambda _: None)]
    found = dict(examine(checks, None))
    assert looked == ["a", "d"]
    assert {name: each.state for name, each in found.items()} == {
        "a": State.FAILED,
        "b": State.UNTRIED,
        "c": State.UNTRIED,
        "d": State.OK,
    }
    assert found["c"].text == "not tried, since a failed"


def test_what_breaks_between_two_looks_is_a_finding() -> None:
    def look(_: object) -> Finding:
        raise ConnectionResetError(104, "Connection reset by peer")

    ((_, found),) = examine([Check("tls", look)], None)
    assert (found.state, found.text, found.code) == (
        State.FAILED,
        "Connection reset by peer",
        ExitCode.CONNECTION,
    )


def test_short_secrets_do_not_blank_what_only_holds_them() -> None:
    assert redacted("root is rooted at /root", ["root"]) == "*** is rooted at /***"


def test_reports_have_the_advice_and_the_ids() -> None:
    finding = failed("refused", "do that", request_id="7f3c")
    assert as_report([("session", finding)], {"parts": {"a": "1", "b": None}}, []).endswith(
        "parts: a 1, b missing\n\nfailed   session      refused\n"
        + " " * 22
        + "-> do that\n"
        + " " * 22
        + "7f3c\n"
    )


# -- judgements that no machine here can bring about -------------------------------------------------------


def test_silence_and_no_network_have_their_own_advice() -> None:
    silent = {"IPv4": Reach(("52.0.0.1", 443), None, "no answer within 5 s", silent=True)}
    found = family_finding("IPv4", silent, proxy=False, needed=True)
    assert "firewall" in found.advice
    assert "https_proxy" in found.advice
    away = {"IPv4": Reach(("52.0.0.1", 443), None, "Network is unreachable")}
    assert "online" in family_finding("IPv4", away, proxy=False, needed=True).advice
    both = {**silent, "IPv6": Reach(("2001:db8::1", 443), 0.01)}
    assert "0.25 s" in family_finding("IPv4", both, proxy=False, needed=True).advice


def token(ends: float) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({}, {"exp": ends})
    ]
    return ".".join([*parts, "signature"])


def test_a_temporary_key_tells_when_it_ends() -> None:
    assert (
        key_finding(token(1000), "the URL", 940.0).text
        == "from the URL: a temporary key, good for 1 min more"
    )
    over = key_finding(token(1000), "the URL", 1000 + 7300.0)
    assert (over.state, over.code) == (State.FAILED, ExitCode.AUTHENTICATION)
    assert over.text == "from the URL: a temporary key that ended 2 h 1 min ago"
    never = (token(math.inf), token(math.nan), token(10**400))
    for odd in ("a.b.c", "a.b", "..", "a.bnVsbA.c", *never):
        assert key_finding(odd, "X", 0.0).state is State.OK


def test_a_service_that_is_far_away_is_told() -> None:
    assert latency_finding([0.02, 0.03, 0.5], 0.01).state is State.OK
    assert latency_finding([0.6] * 3, None).state is State.WARNING
    assert latency_finding([], None).state is State.SKIPPED


def test_a_clock_within_a_second() -> None:
    assert clock_finding(0.4).text == "within 1 s of the server's"


def test_a_certificate_without_names_is_still_told() -> None:
    nameless = Certificate.of({})
    assert nameless.described == "the certificate of nobody by name, which it has issued itself"
    refusal = Refusal(18, "self-signed certificate", None)
    assert refusal.text("h:1") == "h:1 showed a certificate; it was refused: self-signed certificate"
