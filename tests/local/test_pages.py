"""Plain HTTP on the local server: temporary keys, features, and a container's health."""

from __future__ import annotations

import base64
import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import Fault, LocalServer, ScriptedEngine
from speechmatics_rt.local.keys import KeyRing

from .raw_client import UPGRADE, FrameClient, RawClient, request, start_message


def ask_for_key(
    server: LocalServer,
    body: Any = b'{"ttl": 60}',
    *,
    key: str = "good",
    query: str = "?type=rt",
    method: str = "POST",
) -> tuple[int, dict[str, str], Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} /v1/api_keys{query} HTTP/1.1\nHost: x\nContent-Type: application/json"
    head += f"\nContent-Length: {len(content)}" + (f"\nAuthorization: Bearer {key}" if key else "")
    status, headers, answer = request(server, head, content)
    return status, headers, json.loads(answer)


def status_with(server: LocalServer, key: str, path: str = "/v2") -> int:
    head = UPGRADE.format(path=path) + (f"\nAuthorization: Bearer {key}" if key else "")
    return request(server, head)[0]


def get(server: LocalServer, path: str, method: str = "GET") -> tuple[int, Any]:
    status, _, body = request(server, f"{method} {path} HTTP/1.1\nHost: x")
    return status, json.loads(body)


# -- temporary keys --------------------------------------------------------------------------------------


def test_a_temporary_key_is_a_token_that_opens_sessions() -> None:
    with LocalServer(keys=["good"]) as server:
        before = int(time.time())
        status, headers, body = ask_for_key(server, {"ttl": 90, "client_ref": "me"})
        assert (status, body["apikey_id"]) == (201, None)
        token = body["key_value"]
        head, claims, signature = (
            json.loads(base64.urlsafe_b64decode(part + "==")) if place < 2 else part
            for place, part in enumerate(token.split("."))
        )
        assert (head["alg"], claims["type"], claims["exp"] - claims["iat"]) == ("HS256", "rt", 90)
        assert before <= claims["iat"] <= time.time()
        assert len(signature) == 43
        assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 10
        assert status_with(server, token) == 101
        assert status_with(server, "", f"/v2?jwt={token}") == 101
        assert status_with(server, token[:-1] + ("A" if token[-1] != "A" else "B")) == 401
        assert ask_for_key(server)[2]["key_value"] != token
        [first, second] = server.key_requests
        assert (first.method, first.status, json.loads(first.body)["ttl"]) == ("POST", 201, 90)
        assert (second.query, len(server.sessions)) == ({"type": "rt"}, 5)


@pytest.mark.parametrize(
    ("asks", "status", "says"),
    [
        ({"body": b"[" * 60_000}, 422, "must be JSON"),
        ({"key": ""}, 401, "missing or invalid"),
        ({"key": "bad"}, 401, "missing or invalid"),
        ({"body": {"ttl": 30}}, 422, "ttl in body should be greater than or equal to 60"),
        ({"body": {"ttl": 86401}}, 422, "ttl in body should be less than or equal to 86400"),
        ({"body": {"ttl": "60"}}, 422, "of type integer"),
        ({"body": {}}, 422, "ttl in body is required"),
        ({"body": [1]}, 422, "ttl in body is required"),
        ({"body": b"?"}, 422, "must be JSON"),
        ({"query": "?type=tea"}, 422, "type in query"),
        ({"method": "PUT"}, 405, "only POST"),
    ],
)
def test_a_key_that_is_not_made(asks: dict[str, Any], status: int, says: str) -> None:
    with LocalServer(keys=["good"]) as server:
        got, headers, body = ask_for_key(server, **asks)
    assert (got, "date" in headers) == (status, True)
    assert str(body["code"]) == str(status)
    assert says in json.dumps(body)


def test_a_temporary_key_makes_no_keys_and_one_for_batch_opens_nothing() -> None:
    with LocalServer(keys=["good"]) as server:
        token = ask_for_key(server)[2]["key_value"]
        assert ask_for_key(server, key=token)[0] == 403
        assert status_with(server, ask_for_key(server, query="")[2]["key_value"]) == 401


def test_temporary_keys_expire() -> None:
    with LocalServer(keys=["good"]) as server:
        token = ask_for_key(server)[2]["key_value"]
        server.expire_keys()
        assert status_with(server, token) == 401
        assert status_with(server, "good") == 101
    with LocalServer() as server:
        token = ask_for_key(server, key="any")[2]["key_value"]
        server.expire_keys()
        assert (status_with(server, token), status_with(server, "")) == (401, 101)


def test_keys_age_on_the_scaled_clock() -> None:
    now = 0.0
    ring = KeyRing(["good"], time_scale=10, clock=lambda: now)
    token = ring.issue(60)
    now = 5.9
    assert ring.accepts(token)
    now = 6.0
    assert not ring.accepts(token)
    assert not ring.accepts(token + "x")
    assert not ring.accepts(None)


def test_faults_of_the_request_for_a_key_leave_sessions_alone() -> None:
    with LocalServer(faults=[Fault.refuse(429, retry_after=3, at="key")]) as server:
        status, headers, _ = ask_for_key(server)
        assert (status, headers["retry-after"]) == (429, "3")
        assert status_with(server, "any") == 101
    with LocalServer(faults=[Fault.refuse(503)]) as server:
        assert ask_for_key(server)[0] == 201


# -- features and a container ----------------------------------------------------------------------------


def test_features_are_sent_without_a_key() -> None:
    with LocalServer(keys=["good"]) as server:
        status, features = get(server, "/v1/discovery/features")
        assert get(server, "/v1/discovery/features", "POST")[0] == 405
    assert status == 200
    assert "en" in features["realtime"]["transcription"][0]["languages"]
    assert "fr" in features["realtime"]["translation"][0]["languages"]["en"]
    english = features["metadata"]["language_pack_info"]["en"]
    assert english == {
        "language_description": "English",
        "locales": {
            "en-AU": {"name": "English (Australia)"},
            "en-GB": {"name": "English (UK)"},
            "en-US": {"name": "English (US)"},
        },
    }
    assert features["metadata"]["language_pack_info"].keys() == set(
        features["realtime"]["transcription"][0]["languages"]
    )
    assert features["realtime"]["transcription"][0]["locales"]["cmn"] == ["cmn-Hans", "cmn-Hant"]
    assert features["realtime"]["transcription"][0]["domains"]["es"] == ["medical", "bilingual-en"]


def test_a_container_needs_no_key_and_sends_no_info() -> None:
    with (
        LocalServer(container=True, keys=["good"], time_scale=100_000) as server,
        RawClient(server, "/en") as client,
    ):
        client.start({"additional_vocab": ["Ravelin"]})
        client.finish(client.send_audio(1))
        assert client.received[0]["message"] == "RecognitionStarted"
        assert get(server, "/v1/api_keys")[0] == 404


def test_the_health_of_a_container() -> None:
    with LocalServer(container=True, quota=1) as server:
        assert get(server, "/started") == (200, {"started": True})
        assert get(server, "/live") == (200, {"alive": True})
        assert get(server, "/ready") == (200, {"ready": True})
        assert get(server, "/session_status") == (200, {"max_sessions": 1, "active_sessions": []})
        assert get(server, "/live", "PUT")[0] == 405
        with RawClient(server, additional_headers={"X-Request-Id": "mine"}) as client:
            started = client.start()
            assert get(server, "/ready") == (503, {"ready": False})
            sessions = get(server, "/session_status")[1]["active_sessions"]
            assert sessions == [{"session_id": started["id"], "request_id": "mine"}]
            assert status_with(server, "") == 503
        for record in server.sessions:
            record.wait_closed()
        assert get(server, "/ready")[0] == 200
        with FrameClient(server) as bare:
            bare.start()
            assert "request_id" not in get(server, "/session_status")[1]["active_sessions"][0]


def test_faults_of_the_handshake_leave_the_health_pages_alone() -> None:
    with LocalServer(container=True, faults=[Fault.refuse()]) as server:
        assert get(server, "/ready")[0] == 200
        assert status_with(server, "") == 503


def test_only_a_container_has_health_pages() -> None:
    with LocalServer() as server:
        assert get(server, "/ready")[0] == 404


def test_a_container_has_as_many_channels_as_connections() -> None:
    labels = [str(number) for number in range(4)]
    config = {"diarization": "channel", "channel_diarization_labels": labels}
    with LocalServer(container=True, quota=4) as server, RawClient(server) as client:
        assert client.start(config)["channel_ids"] == labels
    with LocalServer(container=True, quota=3) as server, RawClient(server) as client:
        client.send(start_message(config))
        client.until("Error")


def test_requests_for_keys_take_no_place_of_a_session() -> None:
    with LocalServer(quota=1) as server, RawClient(server) as client:
        for _ in range(3):
            assert ask_for_key(server)[0] == 201
        assert client.start()


def test_a_body_without_end_is_not_read() -> None:
    with LocalServer() as server:
        assert (
            request(server, "POST /v1/api_keys HTTP/1.1\nHost: x\nContent-Length: 70000", bytes(70_000))[0]
            == 413
        )


def test_a_container_that_was_told_nothing_else_has_one_slot() -> None:
    with LocalServer(container=True) as server:
        assert get(server, "/session_status")[1]["max_sessions"] == 1
        with RawClient(server) as client:
            client.start()
            assert get(server, "/ready") == (503, {"ready": False})
            assert status_with(server, "") == 503


def test_features_are_those_of_the_engine() -> None:
    class Danish(ScriptedEngine):
        def language_pack_info(self, language: str) -> dict[str, Any]:
            if language != "da":
                raise ConfigurationError("only Danish is spoken here")
            return super().language_pack_info(language)

    with LocalServer(Danish()) as server:
        features = get(server, "/v1/discovery/features")[1]
    assert features["realtime"]["transcription"][0]["languages"] == ["da"]
    assert features["realtime"]["transcription"][0]["locales"] == {}
    assert features["realtime"]["transcription"][0]["domains"] == {"da": ["medical"]}
