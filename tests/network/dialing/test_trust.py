"""The certificates that the environment says to trust: heeded, or said to be none, in the shell's words."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

from speechmatics_rt import Client, ConfigurationError, ConnectionConfig
from speechmatics_rt.local import LocalServer
from speechmatics_rt.network.dialing import handshake


@pytest.fixture(autouse=True)
def no_context_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_context", None)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return trustme.CA().cert_pem.bytes()


def refusal(monkeypatch: pytest.MonkeyPatch, variable: str, value: object) -> str:
    """What a client says that was to go to a host where nobody is."""
    monkeypatch.setenv(variable, str(value))
    with (
        pytest.raises(ConfigurationError) as caught,
        Client(url="wss://127.0.0.1:1/v2", api_key="k") as client,
    ):
        client.start_session()
    said = caught.value.text
    assert said.startswith(f"{variable} is {value}: ")
    assert re.search(rf"unset {variable}", said)
    return said


def test_the_variable_is_heeded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with LocalServer(tls=True) as server:
        (tmp_path / "ca.pem").write_bytes(server.ca_pem or b"")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with Client(url=server.url) as client:
            client.start_session()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the names")
def test_a_directory_of_hashed_names_is_heeded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with LocalServer(tls=True) as server:
        (tmp_path / "ca.pem").write_bytes(server.ca_pem or b"")
        assert "openssl rehash" in refusal(monkeypatch, "SSL_CERT_DIR", tmp_path)
        subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
        # one of the list will do, as it does for others
        monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(["/nowhere/certs", str(tmp_path)]))
        with Client(url=server.url) as client:
            client.start_session()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_what_is_not_there_is_said(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "no such" in refusal(monkeypatch, variable, tmp_path / "ca.pem")


def test_a_directory_is_no_file_and_a_file_is_no_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pem: bytes
) -> None:
    assert "SSL_CERT_DIR" in refusal(monkeypatch, "SSL_CERT_FILE", tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE")
    (tmp_path / "ca.pem").write_bytes(pem)
    assert "SSL_CERT_FILE" in refusal(monkeypatch, "SSL_CERT_DIR", tmp_path / "ca.pem")


def test_a_file_without_a_certificate_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pem: bytes
) -> None:
    file = tmp_path / "ca.cer"
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    for content, told in (
        (b"", "empty"),
        (der, "openssl x509 -inform der"),
        (b"not a certificate\n", "BEGIN CERTIFICATE"),
        (pem.decode().encode("utf-16"), "BEGIN CERTIFICATE"),
        (pem[:300], "damaged"),
        (pem.replace(b"MII", b"!!!", 1), "damaged"),
    ):
        file.write_bytes(content)
        assert told in refusal(monkeypatch, "SSL_CERT_FILE", file), content[:20]
    file.write_bytes(b"# Our own authority\n" + pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert handshake.shared_context().get_ca_certs()


def test_a_file_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").symlink_to(tmp_path / "ca.pem")
    assert "can't be read" in refusal(monkeypatch, "SSL_CERT_FILE", tmp_path / "ca.pem")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    known = len(handshake.shared_context().get_ca_certs())
    monkeypatch.setattr(handshake, "_context", None)
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    assert len(handshake.shared_context().get_ca_certs()) == known


def test_a_context_of_ones_own_and_plain_connections_need_no_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    with LocalServer(tls=True) as server:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        with Client(url=server.url, conn_config=config) as client:
            client.start_session()
    with LocalServer() as server, Client(url=server.url) as client:
        client.start_session()
