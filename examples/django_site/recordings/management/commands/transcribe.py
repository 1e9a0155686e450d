"""``python manage.py transcribe talk.wav``: into the database, and to the screen as it is heard."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recordings.models import Recording
from speechmatics_rt import Client, SpeechmaticsError, TranscriptionConfig


class Command(BaseCommand):
    help = "Transcribe a recording and keep its transcript."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--language", default="en")

    def handle(self, *, path: Path, language: str, **options: Any) -> None:
        recording = Recording.objects.create(name=path.name)
        config = TranscriptionConfig(language=language, diarization="speaker")
        shown = 0
        try:
            with Client() as client, client.stream(path, transcription_config=config) as messages:
                for message in messages:
                    if message["message"] == "AddTranscript":
                        recording.reach(messages.transcript.end_time)
                        text = messages.transcript.text  # only grows
                        self.stdout.write(text[shown:], ending="")
                        self.stdout.flush()
                        shown = len(text)
        except SpeechmaticsError as error:
            recording.fail(error)
            raise CommandError(f"{error}, after {recording.seconds:.1f} s") from error
        recording.finish(messages.transcript, client.request_id)
        self.stdout.write(f"\n{recording}, number {recording.pk}")
