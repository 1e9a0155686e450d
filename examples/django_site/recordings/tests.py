"""``python manage.py test``: the views against a service of the test's own, without a network or a key."""

from __future__ import annotations

import io
import os
import tempfile
import wave
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import TestCase

from speechmatics_rt.local import Fault, LocalServer

from .models import Recording

HEARD = "Good morning, and welcome to the reading room."


def silence(seconds: int = 8) -> SimpleUploadedFile:
    """Return a WAV; the scripted service speaks over any."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(32000 * seconds))
    return SimpleUploadedFile("talk.wav", file.getvalue(), "audio/wav")


class RecordingTests(TestCase):
    """In a TestCase all happens in one transaction, on one connection: so do the handlers."""

    def setUp(self) -> None:
        self.service = LocalServer().start()
        self.addCleanup(self.service.close)
        address = mock.patch.dict(os.environ, {"SPEECHMATICS_RT_URL": self.service.url})
        address.start()
        self.addCleanup(address.stop)

    def test_an_upload_is_transcribed_and_kept(self) -> None:
        reached = []
        reach = Recording.reach
        with mock.patch.object(Recording, "reach", lambda self, s: (reach(self, s), reached.append(s))):
            answer = self.client.post("/upload", {"audio": silence()})
        self.assertEqual(answer.status_code, 201)
        recording = Recording.objects.get(pk=answer.json()["id"])
        self.assertTrue(recording.text.startswith(f"S1: {HEARD}"), recording.text)
        self.assertEqual(recording.transcript.words[0].content, "Good")
        self.assertEqual(reached, sorted(reached))
        self.assertGreater(len(set(reached)), 3)

    def test_a_browser_is_led_back_to_the_page_where_its_recording_stands(self) -> None:
        for state, faults in (("failed", (Fault.error("job_error", after_seconds=5),)), ("done", ())):
            self.service.faults = faults
            browser = {"headers": {"Accept": "text/html,*/*"}, "follow": True}
            page = self.client.post("/upload", {"audio": silence()}, **browser)
            self.assertEqual(page.redirect_chain, [("/", 302)])
            self.assertContains(page, f"<small>{state}, ")

    def test_the_streaming_view_gives_words_as_they_become_final(self) -> None:
        answer = self.client.post("/live", {"audio": silence()})
        pieces = [piece.decode() for piece in answer.streaming_content]
        self.assertGreater(len(pieces), 3)
        self.assertTrue("".join(pieces).startswith(HEARD))
        self.assertEqual(Recording.objects.get().state, "done")

    async def test_the_asynchronous_view_does_the_same(self) -> None:
        answer = await self.async_client.post("/upload-async", {"audio": silence()})
        self.assertEqual(answer.status_code, 201)
        recording = await Recording.objects.aget()
        self.assertTrue(recording.text.startswith(f"S1: {HEARD}"), recording.text)

    def test_what_was_heard_before_a_failure_is_kept(self) -> None:
        self.service.faults = (Fault.error("job_error", after_seconds=5),)
        answer = self.client.post("/upload", {"audio": silence()})
        self.assertEqual((answer.status_code, answer.headers["Retry-After"]), (503, "5"))
        recording = Recording.objects.get()
        self.assertEqual(recording.state, "failed")
        self.assertTrue(recording.text.startswith("Good morning"), recording.text)

    def test_what_is_no_recording_is_the_callers_fault(self) -> None:
        empty = SimpleUploadedFile("empty.wav", b"")
        self.assertEqual(self.client.post("/upload", {"audio": empty}).status_code, 400)
        self.assertEqual(self.client.post("/upload").status_code, 400)

    def test_the_command_prints_and_keeps(self) -> None:
        out = io.StringIO()
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(silence().read())
            file.flush()
            call_command("transcribe", file.name, stdout=out)
        self.assertTrue(out.getvalue().startswith(HEARD))
        self.assertEqual(Recording.objects.get().state, "done")

    def test_the_command_says_what_went_wrong(self) -> None:
        with self.assertRaisesMessage(CommandError, "nowhere.wav"):
            call_command("transcribe", "nowhere.wav", stdout=io.StringIO())
        self.assertEqual(Recording.objects.get().state, "failed")
