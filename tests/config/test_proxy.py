"""Which hosts ``no_proxy`` excepts, as curl, Go and requests have it; how a proxy that is no URL is told."""

from __future__ import annotations

from typing import Optional

import pytest

from speechmatics_rt.config import environment_proxy, proxy_parts
from speechmatics_rt.config.proxy import is_excepted
from speechmatics_rt.exceptions import ConfigurationError

EXCEPTED = [
    # names, and what is below them; dots and stars before them are ornament, as are case and a last dot
    ("asr.corp.example", "corp.example"),
    ("corp.example", "corp.example"),
    ("corp.example", ".corp.example"),
    ("asr.corp.example", ".corp.example"),
    ("asr.corp.example", "*.corp.example"),
    ("asr.corp.example", "*corp.example"),
    ("ASR.Corp.example", "aSR.CORP.EXAMPLE"),
    ("asr.corp.example.", "corp.example"),
    ("asr.corp.example", "corp.example."),
    ("asr-7.corp.example", "asr-*.corp.example"),
    ("xn--bcher-kva.example", "bücher.example"),
    ("asr_2", "asr_2"),
    # everything
    ("asr.corp.example", "*"),
    ("10.1.2.3", "localhost, *"),
    # lists: commas, spaces or both
    ("10.1.2.3", "localhost,127.0.0.1,,10.1.2.3"),
    ("10.1.2.3", " localhost 10.1.2.3 "),
    ("10.1.2.3", "localhost , 10.1.2.3\n"),
    # addresses and networks
    ("10.1.2.3", "10.1.2.3"),
    ("10.1.2.3", "10.0.0.0/8"),
    ("10.1.2.3", "10.1.2.3/8"),  # bits of the host set: which network is meant is clear
    ("10.1.2.3", "10.1.2.3/32"),
    ("10.1.2.3", "10.0.0.0/255.0.0.0"),
    ("10.1.2.3", "0.0.0.0/0"),
    ("10.1.2.3", "10.*"),
    ("10.1.2.3", "10.1.*.*"),
    ("asr-7.corp.example", "a*-7*c*p.e*"),
    ("asr.corp.example", "*" * 200 + "corp.example"),
    ("fd00::7", "fd00::/8"),
    ("fd00::7", "[fd00::]/8"),
    ("fd00::7", "fd00::7"),
    ("fd00::7", "[fd00::7]"),
    ("fd00::7", "FD00:0:0::0007"),
    ("::ffff:10.1.2.3", "10.0.0.0/8"),
    ("fe80::1%25eth0", "fe80::/10"),
    # ports
    ("10.1.2.3", "10.1.2.3:9000"),
    ("10.1.2.3", "10.0.0.0/8:9000"),
    ("asr.corp.example", ".corp.example:9000"),
    ("fd00::7", "[fd00::7]:9000"),
]
PROXIED = [
    ("asr.corp.example", ""),
    ("asr.corp.example", "orp.example"),
    ("corp.example", "asr.corp.example"),
    ("asr.corp.example", "corp"),
    ("asr.corp.example", "10.0.0.0/8"),  # names are not looked up: the proxy may be the only one who can
    ("10.1.2.3", "10.2.0.0/16"),
    ("10.1.2.3", "2.3"),  # an address has no domain
    ("10.1.2.3", "10.1.2.30"),
    ("10.1.2.3", "fd00::/8"),
    ("fd00::7", "10.0.0.0/8"),
    ("fd00::7", "fe80::/10"),
    ("10.1.2.3", "10.0.0.0/99"),
    ("10.1.2.3", "10.0.0/x, /8, :, [, ], ., //, *.*x"),
    ("10.1.2.3", "10.1.2.3:8080"),
    ("asr.corp.example", "corp.example:443"),
    ("fd00::7", "[fd00::7]:443"),
    ("asr.corp.example", "asr.corp.example:x"),
    ("asr.corp.example", "[a-z].corp.example"),  # stars are the only wildcards
    ("asr-7.corp.example", "a*-8*example"),
    ("asr.corp.example", "asr.corp*corp.example"),  # what two parts of it would share
    ("asr.corp.example", "*corp*corp*"),
    ("a" * 250, "*a" * 100 + "b"),  # at once: not in all ways in which it could be tried
    ("asr.corp.example", "\ud800, .., " + "ü" * 70),
]


@pytest.mark.parametrize(("host", "no_proxy"), EXCEPTED)
def test_no_proxy_excepts_names_networks_and_wildcards(host: str, no_proxy: str) -> None:
    assert is_excepted(no_proxy, host, 9000)


@pytest.mark.parametrize(("host", "no_proxy"), PROXIED)
def test_no_proxy_excepts_nothing_else(host: str, no_proxy: str) -> None:
    assert not is_excepted(no_proxy, host, 9000)


def refused(given: Optional[str], url: str = "", secure: bool = True) -> str:
    with pytest.raises(ConfigurationError) as caught:
        proxy_parts(url or given or "", ["http"], secure=secure, given=given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("gopher://me:geheim@proxy:1", "'gopher://***@proxy:1'"),
        ("http://me:geheim@:x", "'http://***@:***'"),
        ("http://me:geheim", "'http://me:***'"),
        ("http://me:ge:heim", "'http://me:***'"),
        ("http:/me:geheim/", "'http:***'"),
        ("me:geheim", "'me:***'"),
        ("geheim@proxy:3128", "'***@proxy:3128'"),
        ("http://me:ge/he@im@proxy", "'http://***@proxy'"),
        ("http://me@:geheim\n", "'http://***@:***'"),
        ('"http://me:geheim@proxy:1"', """'"http://***@proxy:1"'"""),
        ('"http://proxy:1"', """'"http://proxy:1"'"""),
        ("htp://proxy:3128/", "'htp://proxy:3128/'"),
    ],
)
def test_a_proxy_that_is_no_url_is_shown_without_a_password(given: str, told: str) -> None:
    text = refused(given)
    port = given in (
        "http://me:geheim",
        "http://me:ge:heim",
        "http://me:ge/he@im@proxy",
    )  # not theirs to know
    why = ": its port is not a number from 1 to 65535" if port else " with a scheme of http"
    assert text.startswith(f"proxy={told} is not the URL of a proxy{why}")
    assert ("in quotes" in text) is given.startswith('"')


@pytest.mark.parametrize("port", ["99999", "0", "x"])
def test_a_proxy_with_a_wrong_port_is_told_so(port: str) -> None:
    assert refused(f"http://proxy:{port}").endswith(
        " is not the URL of a proxy: its port is not a number from 1 to 65535"
    )


@pytest.mark.parametrize("secure", [True, False], ids=["wss", "ws"])
def test_the_variable_that_names_no_proxy_is_named(secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    of_scheme = "https_proxy" if secure else "http_proxy"
    for name in ("ALL_PROXY", "all_proxy", of_scheme.upper(), of_scheme):  # each hides those before it
        monkeypatch.setenv(name, f"{name}://x")
        assert refused(None, f"{name}://x", secure).startswith(f"{name}='{name}://x' is not")
        assert environment_proxy(secure, "asr.example", 443) == f"{name}://x"


def test_a_proxy_over_tls_is_told_what_most_are() -> None:
    assert refused("https://proxy:1").endswith("try http://")


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_both_spellings_of_the_variable_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.corp.example:3128")
    assert environment_proxy(True, "10.1.2.3", 9000) == "http://proxy.corp.example:3128"
    monkeypatch.setenv(name, "10.0.0.0/8")
    assert environment_proxy(True, "10.1.2.3", 9000) == ""
    assert environment_proxy(True, "localhost", 9000) == environment_proxy(True, "127.0.0.1", 9000) == ""
    assert environment_proxy(False, "11.1.2.3", 9000) == ""
