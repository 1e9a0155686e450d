"""The HTTP side of the local server, on bare sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from speechmatics_rt.local import LocalServer

from ..raw_client import UPGRADE, RawClient, dial, masked, open_bare, request


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(keys=["good"]) as server:
        yield server


def upgrade(path: str = "/v2", *, key: str = "good", drop: str = "") -> str:
    lines = UPGRADE.format(path=path).split("\n")
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\n".join(line for line in lines if not drop or not line.startswith(drop))


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/en", "/v2?sm-sdk=x", "/v2/?a=1&b"])
def test_these_paths_are_upgraded(server: LocalServer, path: str) -> None:
    status, headers, _ = request(server, upgrade(path))
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize("path", ["/", "/v1", "/v22", "/v2/en/x", "/v2/agent/x"])
def test_other_paths_are_404(server: LocalServer, path: str) -> None:
    status, headers, body = request(server, upgrade(path))
    assert status == 404
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["code"] == 404


def test_another_method_is_405(server: LocalServer) -> None:
    status, headers, _ = request(server, "POST /v2 HTTP/1.1\nHost: x\nContent-Length: 2", b"{}")
    assert (status, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "missing", ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Host"]
)
def test_a_handshake_that_lacks_a_header_is_400(server: LocalServer, missing: str) -> None:
    assert request(server, upgrade(drop=missing))[0] == 400


def test_what_is_no_http_is_400(server: LocalServer) -> None:
    assert request(server, "hello there")[0] == 400


def test_the_header_names_of_an_upgrade_are_compared_without_case(server: LocalServer) -> None:
    head = (
        upgrade()
        .replace("Upgrade: websocket", "UPGRADE: WebSocket")
        .replace("Connection: U", "connection: u")
    )
    assert request(server, head)[0] == 101


@pytest.mark.parametrize("key", ["", "bad"])
def test_a_wrong_key_is_401(server: LocalServer, key: str) -> None:
    status, _, body = request(server, upgrade(key=key))
    assert status == 401
    assert json.loads(body)["code"] == 401
    assert server.sessions[-1].wait_closed().status == 401


def test_the_key_may_stand_in_the_query(server: LocalServer) -> None:
    assert request(server, upgrade("/v2?jwt=good", key=""))[0] == 101
    assert request(server, upgrade("/v2?jwt=bad", key=""))[0] == 401


@pytest.mark.parametrize("key", ["", "anything"])
def test_without_keys_any_and_none_will_do(key: str) -> None:
    with LocalServer() as server:
        assert request(server, upgrade(key=key))[0] == 101


def test_compression_is_not_accepted(server: LocalServer) -> None:
    head = upgrade() + "\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    status, headers, _ = request(server, head)
    assert status == 101
    assert "sec-websocket-extensions" not in headers


def test_the_record_keeps_the_request(server: LocalServer) -> None:
    request(server, upgrade("/v2/en?sm-app=mine&x=%20") + "\nX-Request-Id: 7\nUser-Agent: a")
    record = server.sessions[-1].wait_closed()
    assert (record.method, record.path, record.target) == ("GET", "/v2/en", "/v2/en?sm-app=mine&x=%20")
    assert record.query == {"sm-app": "mine", "x": " "}
    assert (record.request_id, record.headers["user-agent"]) == ("7", "a")


def test_a_request_in_single_bytes_with_a_frame_behind_it(server: LocalServer) -> None:
    data = upgrade().replace("\n", "\r\n").encode() + b"\r\n\r\n" + masked(9, b"hey")
    with dial(server) as sock:
        for place in range(len(data)):
            sock.sendall(data[place : place + 1])
        answered = b""
        while not answered.endswith(b"\x8a\x03hey"):
            piece = sock.recv(4096)
            assert piece
            answered += piece


def test_the_language_of_the_path_must_be_that_of_the_config(server: LocalServer) -> None:
    with LocalServer() as server:
        with RawClient(server, "/en") as client:
            client.start()
        with RawClient(server, "/de") as client:
            client.send(
                {
                    "message": "StartRecognition",
                    "audio_format": {"type": "file"},
                    "transcription_config": {"language": "en"},
                }
            )
            assert client.closed()[0] == 1008
            assert client.received_of("Error")[0]["type"] == "invalid_config"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("unmasked", b"\x81\x02{}", 1002),
        ("reserved bits", b"\xf1\x80\0\0\0\0", 1002),
        ("an unknown opcode", b"\x83\x80\0\0\0\0", 1002),
        ("a continuation of nothing", masked(0, b"x"), 1002),
        ("a long ping", masked(9, bytes(126)), 1002),
        ("broken UTF-8", masked(1, b"\xff\xfe"), 1007),
        ("a reserved close code", masked(8, b"\x03\xed"), 1002),
    ],
)
def test_broken_frames_are_answered_with_a_close(name: str, data: bytes, code: int) -> None:
    with LocalServer() as server:
        with open_bare(server) as sock:
            sock.sendall(data)
            said = b""
            while piece := sock.recv(4096):
                said += piece
        assert said[0] == 0x88
        assert int.from_bytes(said[2:4], "big") == code
        assert server.sessions[0].wait_closed().close_code is None
