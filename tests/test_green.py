"""Programs whose threads and sockets gevent or eventlet has replaced, whole or in part, before or after."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from speechmatics_rt.local import LocalServer

PROGRAM = """
    import sys, time
    {before}
    {patch}
    import threading
    from speechmatics_rt import AudioFormat, Client, JWTAuth

    PCM, began = AudioFormat("pcm_s16le", 16000), time.monotonic()
    auth = JWTAuth("key", mp_url=sys.argv[1].replace("ws", "http").replace("/v2", ""))
    with Client(auth, url=sys.argv[1]) as client:
        print(client.transcribe(bytes(64000), audio_format=PCM, timeout=20).text)
        client.start_session(audio_format=PCM)
        client.send_audio(bytes(64000))
        client.stop_session()
        print(client.transcript.text)
    with Client(auth, url=sys.argv[1].replace("127.0.0.1", "localhost"), resume=True) as client:
        print(client.transcribe([bytes(32000)] * 2, audio_format=PCM, timeout=20).text)
    print(time.monotonic() - began < 8)
"""
HEARD = "Good morning, and welcome\n"


def run(serve_url: str, patch: str, *, first: bool) -> subprocess.CompletedProcess[str]:
    before = "import speechmatics_rt.auth, speechmatics_rt.client" if first else ""
    program = textwrap.dedent(PROGRAM).format(before=before, patch=patch)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, serve_url],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("first", [True, False], ids=["imported before", "imported after"])
@pytest.mark.parametrize("options", ["", "thread=False"])
def test_sessions_run_under_gevent(options, first) -> None:
    pytest.importorskip("gevent")
    with LocalServer() as server:
        done = run(server.url, f"from gevent import monkey; monkey.patch_all({options})", first=first)
    assert done.stdout == HEARD * 3 + "True\n", done.stderr[-2000:]


def test_under_half_a_gevent_a_session_is_refused_in_one_sentence() -> None:
    pytest.importorskip("gevent")
    done = run("ws://127.0.0.1:9/v2", "from gevent import monkey; monkey.patch_all(select=False)", first=True)
    (*_, last) = done.stderr.strip().splitlines()
    assert last.startswith(
        "speechmatics_rt.exceptions.ConfigurationError: gevent has replaced threads but not"
    )


def test_sessions_run_beside_eventlet_where_it_leaves_sockets_alone() -> None:
    pytest.importorskip("eventlet")
    patch = "import eventlet; eventlet.monkey_patch(socket=False, select=False, thread=False)"
    with LocalServer() as server:
        done = run(server.url, patch, first=False)
    assert done.stdout == HEARD * 3 + "True\n", done.stderr[-2000:]


def test_under_eventlets_sockets_a_session_is_refused_in_one_sentence() -> None:
    pytest.importorskip("eventlet")
    done = run("ws://127.0.0.1:9/v2", "import eventlet; eventlet.monkey_patch()", first=True)
    (*_, last) = done.stderr.strip().splitlines()
    assert last.startswith("speechmatics_rt.exceptions.ConfigurationError: eventlet has replaced sockets")


def test_sockets_that_cannot_be_shut_down_are_refused_before_any_io(monkeypatch) -> None:
    import socket

    from speechmatics_rt import Client, ConfigurationError

    class Green:
        """As eventlet's: shutdown is an attribute of the instance."""

    client = Client(url="ws://127.0.0.1:9/v2")
    monkeypatch.setattr(socket, "socket", Green)
    with pytest.raises(ConfigurationError, match="eventlet"):
        client.start_session()
