"""What is kept of a recording: how far it is, and what was said, as JSON."""

from __future__ import annotations

from typing import Any

from django.db import models

from speechmatics_rt import SpeechmaticsError, Transcript


class Recording(models.Model):
    """A recording and its transcript; ``seconds`` grows while it is transcribed."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    name = models.CharField(max_length=200)
    begun = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=7, choices=State.choices, default=State.RUNNING)
    seconds = models.FloatField(default=0.0)  # of audio that are final
    text = models.TextField(blank=True)  # to be searched
    data = models.JSONField(default=dict)  # Transcript.to_dict()
    error = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)  # the service's support asks for it

    class Meta:
        ordering = ["-begun"]  # noqa: RUF012  # as Django wants it

    def __str__(self) -> str:
        return f"{self.name} ({self.state}, {self.seconds:.1f} s)"

    @property
    def transcript(self) -> Transcript:
        return Transcript.from_dict(self.data)

    def reach(self, seconds: float) -> None:
        """Note how far it is; cheap, as it is called for every final."""
        self.seconds = seconds
        self.save(update_fields=["seconds"])

    def finish(self, transcript: Transcript, request_id: str | None) -> None:
        self.state = self.State.DONE
        self._take(transcript, request_id)

    def fail(self, error: SpeechmaticsError) -> None:
        """Keep what was heard until then, too."""
        self.state, self.error = self.State.FAILED, str(error)
        self._take(error.transcript, error.request_id)

    def _take(self, transcript: Transcript | None, request_id: str | None) -> None:
        if transcript is not None:
            self.seconds, self.text, self.data = transcript.end_time, str(transcript), transcript.to_dict()
        self.request_id = request_id or ""
        self.save()

    def summary(self) -> dict[str, Any]:
        """Tell what callers of the views want to know."""
        told = {"id": self.pk, "state": self.state, "seconds": self.seconds, "text": self.text}
        return {**told, "error": self.error} if self.error else told
