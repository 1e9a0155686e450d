"""Test your own code against a service that fails on request: ``pytest test_your_code.py``.

``patient_transcript`` is in place of your code; the rest are its tests, the last of them for unittest. They
need no network and no key. In a clone of this repository, ``pip install '.[test]'`` brings the plugins of its
pytest configuration.
"""

from __future__ import annotations

import tempfile
import time
import unittest
from pathlib import Path

import pytest

from speechmatics_rt import Client, ConnectionError, Transcript, TranscriptionError
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine, ServerForTests

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


def patient_transcript(url: str, source: Path, *, attempts: int = 3, sleep=time.sleep) -> Transcript:
    """Transcribe; while the service is busy, wait as long as it asks, and try again."""
    for attempt in range(1, attempts + 1):
        try:
            with Client(url=url) as client:
                return client.transcribe(source)
        except TranscriptionError as error:
            if not error.retryable or attempt == attempts:
                raise
            sleep(error.retry_after or 1)
    raise ValueError("attempts must be at least 1")


def test_the_words_of_a_script_are_the_transcript():
    with LocalServer(ScriptedEngine(Script.from_text("It rained in Bergen."))) as server:
        assert patient_transcript(server.url, RECORDING).text == "It rained in Bergen."


def test_a_busy_service_is_asked_again_after_the_pause_it_wants():
    pauses = []
    busy = Fault.error("quota_exceeded", "too many sessions", at="start", sessions=[0, 1])
    with LocalServer(faults=[busy]) as server:
        transcript = patient_transcript(server.url, RECORDING, sleep=pauses.append)
        assert transcript.text.startswith("Good morning")
        assert len(server.sessions) == 3
    assert pauses == [5, 5]


def test_a_service_that_stays_busy_is_not_asked_for_ever():
    with LocalServer(quota=0) as server:
        with pytest.raises(TranscriptionError) as caught:
            patient_transcript(server.url, RECORDING, sleep=lambda seconds: None)
        assert caught.value.type == "quota_exceeded"
        assert len(server.sessions) == 3


def test_what_was_heard_before_the_connection_was_lost_is_not():
    with LocalServer(faults=[Fault.fin(after_seconds=10)]) as server:
        with pytest.raises(ConnectionError) as caught:
            patient_transcript(server.url, RECORDING)
        assert caught.value.transcript.text.startswith("Good morning")
        assert caught.value.session_id == server.sessions[0].session_id


class OrdersAreUnderstood(unittest.TestCase):
    """The same with unittest: ``ServerForTests`` is what the pytest fixtures are made of."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.order = Path(folder.name) / "order.wav"
        self.server = ServerForTests().start()
        self.addCleanup(self.server.close)
        self.server.record_wav(self.order, words="Two teas, please.")  # which this server alone hears in it

    def test_the_words_of_a_recording_are_its_transcript(self):
        self.assertEqual(patient_transcript(self.server.url, self.order).text, "Two teas, please.")
        session = self.server.sessions[0]
        self.assertEqual(session.start["transcription_config"]["language"], "en")
        self.assertTrue(session.headers["X-Request-Id"])

    def test_words_that_come_late_are_waited_for(self):
        self.server.faults = [Fault.late_transcripts(0.5)]
        self.server.says("Three coffees.")  # whatever it gets
        self.assertEqual(patient_transcript(self.server.url, RECORDING).text, "Three coffees.")
