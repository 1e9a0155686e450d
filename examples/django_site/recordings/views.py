"""Three ways to transcribe an upload in a view. In all of them the client lives as long as its request.

``transcribe()`` and ``stream()`` run handlers on the thread of the view, so the ORM writes through the
connection of the request, in its transaction if there is one, and Django closes it as any other. (The
handlers of a session by hand, from ``start_session()`` to ``stop_session()``, run on a thread of the client:
what they open there is closed by nobody but ``django.db.connections.close_all()`` on that thread.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from speechmatics_rt import AsyncClient, AudioError, Client, SpeechmaticsError, TranscriptionConfig

from .models import Recording

logger = logging.getLogger(__name__)

CONFIG = TranscriptionConfig(language="en", diarization="speaker")
LIMIT = 600  # seconds for a whole request; gunicorn's --timeout must not be less without threads


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "recordings/index.html", {"recordings": Recording.objects.all()[:20]})


@require_GET
def detail(request: HttpRequest, key: int) -> HttpResponse:
    return JsonResponse(get_object_or_404(Recording, pk=key).summary())


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Transcribe a file and answer when it is complete; its progress is in the database."""
    audio = request.FILES.get("audio")
    if audio is None:
        return JsonResponse({"error": "send the recording as the file 'audio'"}, status=400)
    recording = Recording.objects.create(name=audio.name)
    try:
        with Client(handler_errors="raise") as client:
            client.on("AddTranscript", lambda _: recording.reach(client.transcript.end_time))
            transcript = client.transcribe(audio, transcription_config=CONFIG, timeout=LIMIT)
    except SpeechmaticsError as error:
        return failed(request, recording, error)
    recording.finish(transcript, client.request_id)
    return answer(request, recording, 201)


@require_POST
def live(request: HttpRequest) -> HttpResponse:
    """Transcribe a file and answer with its words as they become final. For WSGI."""
    audio = request.FILES.get("audio")
    if audio is None:
        return JsonResponse({"error": "send the recording as the file 'audio'"}, status=400)
    recording = Recording.objects.create(name=audio.name)

    def words() -> Iterator[str]:  # runs while the answer is sent, on the same thread
        shown = 0
        try:
            with (
                Client() as client,
                client.stream(audio, transcription_config=CONFIG, timeout=LIMIT) as messages,
            ):
                for message in messages:
                    if message["message"] == "AddTranscript":
                        recording.reach(messages.transcript.end_time)
                        text = messages.transcript.text  # only grows
                        yield text[shown:]
                        shown = len(text)
                recording.finish(messages.transcript, client.request_id)
        except SpeechmaticsError as error:
            recording.fail(error)
            yield f"\n[{error.text}]\n"

    return StreamingHttpResponse(words(), content_type="text/plain; charset=utf-8")


async def upload_async(request: HttpRequest) -> HttpResponse:
    """Do as ``upload`` on the event loop: many such requests wait on one thread. For ASGI."""
    if request.method != "POST" or (audio := request.FILES.get("audio")) is None:
        return JsonResponse({"error": "POST the recording as the file 'audio'"}, status=400)
    recording = await Recording.objects.acreate(name=audio.name)
    try:
        async with AsyncClient(handler_errors="raise") as client:

            @client.on("AddTranscript")
            async def reach(message: dict) -> None:
                recording.seconds = message["metadata"]["end_time"]
                await recording.asave(update_fields=["seconds"])

            transcript = await client.transcribe(audio, transcription_config=CONFIG, timeout=LIMIT)
    except SpeechmaticsError as error:
        return await sync_to_async(failed)(request, recording, error)
    await sync_to_async(recording.finish)(transcript, client.request_id)
    return answer(request, recording, 201)


def answer(request: HttpRequest, recording: Recording, status: int, **headers: str) -> HttpResponse:
    """Show the page to a browser that has sent the form; a program gets JSON."""
    if "text/html" in request.headers.get("Accept", ""):
        return redirect("index")
    return JsonResponse(recording.summary(), status=status, headers=headers)


def failed(request: HttpRequest, recording: Recording, error: SpeechmaticsError) -> HttpResponse:
    """Answer with the status that fits: the caller's mistake, the service's, or one that may pass."""
    logger.warning("recording %s failed: %s", recording.pk, error)
    recording.fail(error)
    if isinstance(error, AudioError):
        return answer(request, recording, 400)
    if not error.retryable:
        return answer(request, recording, 502)
    return answer(request, recording, 503, **{"Retry-After": f"{error.retry_after or 5:.0f}"})
