"""What a local server remembers, and for how long."""

from __future__ import annotations

import inspect
import pydoc
import re
import threading

import pytest

from speechmatics_rt import Client
from speechmatics_rt.exceptions import SessionError
from speechmatics_rt.local import LocalServer, SessionRecord

from ..raw_client import RawClient
from ..test_channels import CHANNELS, audio


def test_a_record_keeps_everything_unless_told_otherwise() -> None:
    with LocalServer() as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(30))
        record = server.sessions[0]
        assert (len(record.audio), record.audio_size, record.audio_seconds) == (960_000, 960_000, 30.0)
        assert record.tally["AddAudio"] == record.tally["AudioAdded"] == 300
        assert record.tally["AddTranscript"] == len(record.said("AddTranscript"))


def test_a_header_is_found_however_its_name_is_written() -> None:
    with LocalServer() as server, Client(url=server.url, api_key="secret", app="my-app") as client:
        client.start_session(ws_headers={"X-Tenant": "blue"})
        headers = server.sessions[0].headers
        assert headers["x-tenant"] == headers["X-Tenant"] == headers.get("X-TENANT") == "blue"
        assert headers.get("Authorization") == "Bearer secret"
        assert "Authorization" in headers
        assert "X-Nobody" not in headers
        assert headers.get("X-Nobody") is None
        assert headers == {**headers}
        with pytest.raises(KeyError):
            headers["X-Nobody"]


def test_help_on_a_record_shows_its_fields_and_none_of_the_machinery() -> None:
    told = pydoc.plain(pydoc.render_doc(SessionRecord))
    assert (
        str(inspect.signature(SessionRecord))
        == "(index: 'int', keep_audio: 'Optional[float]' = None) -> 'None'"
    )
    assert "headers, body: The HTTP request" in told
    assert "_chunks" not in told
    record = SessionRecord(0)
    documented = set(re.findall(r"\w+", inspect.getdoc(SessionRecord).partition("Attributes:")[2]))
    assert [name for name in vars(record) if not name.startswith("_") and name not in documented] == []


def test_a_record_can_keep_the_last_seconds_of_audio() -> None:
    with LocalServer(keep_audio=2.0) as server, RawClient(server) as client:
        client.start()
        client.finish(client.send_audio(30))
        record = server.sessions[0]
        assert (len(record.audio), record.audio_size) == (64_000, 960_000)
    with LocalServer(keep_audio=0) as server, RawClient(server) as client:
        client.start(CHANNELS)
        client.send(audio("agent"))
        client.finish(1)
        assert (server.sessions[0].audio, server.sessions[0].audio_seconds) == (b"", 1.0)


def test_with_a_bound_the_lists_are_bounded_and_the_tally_is_not() -> None:
    record = SessionRecord(0, keep_audio=1.0)
    record.add_received({"message": "StartRecognition", "n": 1})
    record.add_sent({"message": "RecognitionStarted", "id": "x"}, 0.0)
    for number in range(50_000):
        record.add_audio(b"ab", None, 0.01)
        record.add_sent({"message": "AudioAdded", "seq_no": number}, number / 100)
    assert all(10_000 <= len(kept) <= 20_001 for kept in (record.messages, record.sent, record.frames))
    assert record.tally["AudioAdded"] == record.tally["AddAudio"] == 50_000
    assert (record.audio_size, 190 <= len(record.audio) <= 202) == (100_000, True)
    assert (record.session_id, record.start) == ("x", {"message": "StartRecognition", "n": 1})
    assert record.sent[-1]["seq_no"] == 49_999
    assert record.recording()[-1] == {"audio": 499.99, "message": record.sent[-1]}


def test_the_lag_is_that_of_the_channel_furthest_behind() -> None:
    record = SessionRecord(0)
    record.add_audio(bytes(20), "agent", 20.0)
    record.add_audio(bytes(5), "caller", 5.0)
    record.add_sent({"message": "AddTranscript", "channel": "agent", "metadata": {"end_time": 18.0}})
    assert record.lag == 5.0
    record.add_sent({"message": "AddTranscript", "channel": "caller", "metadata": {"end_time": 5.0}})
    assert record.lag == 2.0  # of the agent: the caller has ended


def test_a_server_can_forget_the_oldest_connections() -> None:
    with LocalServer(keep_sessions=2) as server, RawClient(server) as first:
        first.start()
        for _ in range(6):
            with RawClient(server) as client:
                client.start()
            server.sessions[-1].wait_closed()
        kept = [record.index for record in server.sessions]
        assert kept[0] == 0  # it is still open
        assert len(kept) <= 4
        assert kept[-1] == 6
        with pytest.raises(SessionError, match="connection 1 is over and its record is no longer kept"):
            server.wait_for_session(1)
        assert server.wait_for_session(6).index == 6


def test_who_sees_that_a_connection_is_closed_finds_the_time_of_it() -> None:
    record = SessionRecord(0)
    seen: list[bool] = []

    class Watched(threading.Event):
        def set(self) -> None:
            seen.append("closed" in record.times)
            super().set()

    record.closed = Watched()
    record.add_end()
    assert seen == [True]
    assert record.wait_closed(0.0).closed.is_set()
