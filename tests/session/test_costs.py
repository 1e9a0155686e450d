"""How many functions a chunk and a message call: most of what a live session costs, and the same everywhere.

After a sleep nothing is in a processor's caches, and each function that is called then takes 2 microseconds.
"""

from __future__ import annotations

import gc
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest

from speechmatics_rt import AudioFormat, ConnectionConfig, SessionError
from speechmatics_rt.log import SessionLog
from speechmatics_rt.messages import Secrets
from speechmatics_rt.network.connection import Connection
from speechmatics_rt.network.duplex import DuplexSocket
from speechmatics_rt.session import Session
from speechmatics_rt.session.delivering import Listener
from speechmatics_rt.session.recorder import Recordable, interest_of
from speechmatics_rt.threads import locks

START = {"message": "StartRecognition", "transcription_config": {}}
ACKNOWLEDGEMENT = {"message": "AudioAdded", "seq_no": 1}
TRANSCRIPT = {
    "message": "AddTranscript",
    "format": "2.9",
    "results": [
        {
            "type": "word",
            "start_time": 0.1,
            "end_time": 0.4,
            "alternatives": [{"content": "Good", "confidence": 0.97, "language": "en"}],
        }
    ],
    "metadata": {"start_time": 0.0, "end_time": 0.5, "transcript": "Good "},
}
OURS = str(Path(locks.__file__).parents[1])


class Live:
    """A session without threads: its server is the other end of a pair of sockets."""

    def __init__(self) -> None:
        here, self.server = socket.socketpair()
        log = SessionLog(logging.getLogger("speechmatics_rt.test"), "costs")
        self.client = Recordable()
        self.heard: list[dict[str, Any]] = []
        self.client.on("AddTranscript", self.heard.append)
        self.connection = Connection(
            DuplexSocket(here), ConnectionConfig(), log, wants=interest_of(self.client), secrets=Secrets(())
        )
        self.session = Session(
            self.connection,
            {"transcription_config": {}},
            AudioFormat("pcm_s16le", 16000),
            log,
            streamed=False,
            client=lambda: self.client,
        )
        self.listener = Listener(self.session, self.client)

    def start(self) -> None:
        self.connection._lead.thread = threading.get_ident()
        self.connection.send(START)
        self.say({"message": "RecognitionStarted", "id": "1"})
        self.listener._take()

    def say(self, message: dict[str, Any]) -> None:
        payload = json.dumps(message).encode()
        head = (
            bytes((0x81, len(payload)))
            if len(payload) < 126
            else b"\x81\x7e" + len(payload).to_bytes(2, "big")
        )
        self.server.sendall(head + payload)

    def send(self) -> None:
        self.connection._writing._put_at = 0.0  # not just after the last one, as in an upload
        self.session.send_audio(bytes(640))

    def read(self) -> None:
        self.connection._reading.step(self.connection._lead._idle)

    def close(self) -> None:
        self.connection.abandon()
        self.connection._sock.close()
        self.server.close()


@pytest.fixture
def live() -> Iterator[Live]:
    session = Live()
    session.start()
    yield session
    session.close()


def calls(work: Callable[[], object]) -> int:
    """Count the functions of this package that are called, but for those of locks: Python 3.14 needs more."""
    count = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        name = frame.f_code.co_filename
        count += event == "call" and name.startswith(OURS) and name != locks.__file__

    before = sys.getprofile()
    gc.disable()  # the finalisers of other tests' clients are functions of this package, too
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_the_first_message_is_on_its_way_before_the_threads_are_begun_that_it_would_wake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    session = Live()
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(SessionError, match="no thread could be started"):
        session.connection.start(START)
    session.server.setblocking(False)
    assert session.server.recv(1000)
    session.close()


def test_a_chunk_is_sent_by_21_functions(live: Live) -> None:
    live.send()
    assert calls(live.send) <= 21


def test_the_end_of_an_upload_is_written_at_once_and_without_another_thread(live: Live) -> None:
    live.connection._writing._put_at = float("inf")  # so soon after the last one that the writer has it
    live.session.send_audio(bytes(640))
    assert live.connection._protocol.outbox
    live.connection.end_stream()
    assert not live.connection._protocol.outbox


def test_an_acknowledgement_takes_17_functions(live: Live) -> None:
    live.send()
    live.send()
    live.say(ACKNOWLEDGEMENT)
    live.read()
    live.say(ACKNOWLEDGEMENT)
    assert calls(live.read) <= 17


def test_a_transcript_gets_from_the_socket_to_its_handler_by_46_functions(live: Live) -> None:
    live.send()
    for _ in range(2):
        live.say(TRANSCRIPT)
        count = calls(live.listener._take)
    assert live.heard == [TRANSCRIPT, TRANSCRIPT]
    assert count <= 46
