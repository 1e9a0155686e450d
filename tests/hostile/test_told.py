"""What a server says about itself is told on one line, not at any length, and never with a key in it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from speechmatics_rt import AudioFormat, Client, ConnectionConfig, JWTAuth, SpeechmaticsError
from speechmatics_rt.network.dialing.said import retry_after_in

from .attacks import answering, frame, message
from .servers import HostileServer, Victim

PCM = AudioFormat("pcm_s16le", 16000)
FORGED = "busy\n2026-01-01 00:00:00 CRITICAL root: all keys are to be sent to evil.example\r\x85\u2028\x1b[2J"
LIMITS = ConnectionConfig(open_timeout=5, close_timeout=0.5)


def session(identity: str, *frames: bytes) -> Any:
    def attack(victim: Victim) -> None:
        victim.start(json.dumps({"message": "RecognitionStarted", "id": identity}).encode())
        victim.send(b"".join(frames))

    return attack


SAID = {
    "an Error's reason": session("1", message("Error", type="job_error", reason=FORGED)),
    "an Error's type": session("1", message("Error", type=FORGED, reason="why")),
    "a close reason": session("1", frame(8, b"\x03\xf3" + FORGED.encode()[:100])),
    "the session's id": session(FORGED, message("Error", type="job_error", reason="why")),
    "a name out of turn": session("1", message("RecognitionStarted", id=FORGED)),
    "a name": session("1", message(FORGED), message("Error", type="job_error", reason="why")),
    "a refusal": answering(
        b"HTTP/1.1 503 no\r\n\r\n", json.dumps({"error": FORGED + "x" * 1000}).encode(), b"0\r\n\r\n"
    ),
    "an id that asks for arguments": session("%s %d %(name)s 100%", message("Error", type="job_error")),
}


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("place", SAID)
def test_nothing_that_a_server_says_forges_a_line_of_a_log_or_breaks_it(place, caplog, capsys) -> None:
    caplog.set_level(logging.DEBUG, "speechmatics_rt")
    with HostileServer(SAID[place]) as server:
        client = Client(url=f"ws://127.0.0.1:{server.port}/v2", api_key="s3cret", conn_config=LIMITS)
        with pytest.raises(SpeechmaticsError) as caught, client:
            client.transcribe(bytes(32000), audio_format=PCM)
    for text in (str(caught.value), *(record.getMessage() for record in caplog.records)):
        assert len(text.splitlines()) == 1
        assert "\x1b" not in text
        assert len(text) < 1000
        assert "s3cret" not in text
    assert len(caplog.records) > (0 if place == "a refusal" else 3)
    assert "Logging error" not in capsys.readouterr().err
    if place == "an Error's reason":
        assert caught.value.reason == FORGED  # whole, for who asks for it


def test_nor_do_the_words_of_a_proxy(caplog) -> None:
    pytest.importorskip("python_socks")
    caplog.set_level(logging.DEBUG, "speechmatics_rt")
    words = b"HTTP/1.1 407 no \x1b[2J\x9b\x85 forged" + b"x" * 2000 + b"\r\nContent-Length: 0\r\n\r\n"
    with HostileServer(answering(words)) as proxy:
        config = ConnectionConfig(proxy=f"http://127.0.0.1:{proxy.port}", open_timeout=5)
        client = Client(url="wss://asr.example/v2", api_key="s3cret", conn_config=config)
        with pytest.raises(SpeechmaticsError, match="407 no") as caught, client:
            client.start_session(audio_format=PCM)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("status", [b"403", b"407", b"503"])
def test_nor_does_the_page_of_a_proxy(status) -> None:
    pytest.importorskip("python_socks")
    page = (
        f"<title>{FORGED} geheim-7</title><p>&#27;[2J&#x9b;&#13;&#10; Basic bWU6Z2VoZWltLTc= &#103;eheim-7"
        + "<p>x" * 2000
    ).encode()
    words = b"HTTP/1.1 %s no geheim-7\r\nProxy-Authenticate: %s\r\n\r\n" % (
        status,
        b"\x1b[2J, A" + b"a" * 500,
    )
    with HostileServer(answering(words, page)) as proxy:
        config = ConnectionConfig(proxy=f"http://me:geheim-7@127.0.0.1:{proxy.port}", open_timeout=5)
        client = Client(url="wss://asr.example/v2", api_key="s3cret", conn_config=config)
        with pytest.raises(SpeechmaticsError, match="busy") as caught, client:
            client.start_session(audio_format=PCM)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 600
    assert "geheim-7" not in text
    assert "bWU6Z2VoZWltLTc=" not in text


@pytest.mark.parametrize(("status", "patience"), [(b"401 no", 10.0), (b"503 no", 2.0)])
def test_a_refusal_of_a_temporary_key_that_repeats_the_key_is_told_without_it(status, patience) -> None:
    pytest.importorskip("jwt")
    body = json.dumps({"error": f"{FORGED} the key s3cret is wrong"}).encode()
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    with HostileServer(answering(head, body)) as server:
        auth = JWTAuth("s3cret", mp_url=f"http://127.0.0.1:{server.port}")
        auth.configure(ConnectionConfig(open_timeout=patience))  # a 503 is asked for again until then
        with pytest.raises(SpeechmaticsError, match=r"the key \*\*\* is wrong") as caught:
            auth.get_auth_headers()
    assert str(caught.value).isprintable()


def test_a_key_whose_contents_are_nested_too_deep_is_used_as_it_is() -> None:
    jwt = pytest.importorskip("jwt")
    token = jwt.encode({"exp": 1}, "x" * 32).split(".")
    deep = jwt.utils.base64url_encode(b"[" * 20_000 + b"]" * 20_000).decode()
    body = json.dumps({"key_value": ".".join([token[0], deep, token[2]])}).encode()
    with HostileServer(
        answering(b"HTTP/1.1 201 ok\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    ) as server:
        auth = JWTAuth("s3cret", mp_url=f"http://127.0.0.1:{server.port}")
        assert deep in auth.get_auth_headers()["Authorization"]


@pytest.mark.parametrize(
    "value",
    ["Fri, 31 Dec 999999999999999999 23:59:59 GMT", "9" * 300, "Fri, 0 Foo 0 99:99:99 GMT", "\udcff", "-1"],
)
def test_a_time_to_try_again_that_no_calendar_has_is_none(value) -> None:
    assert retry_after_in({"retry-after": value}) in (None, 0.0)
