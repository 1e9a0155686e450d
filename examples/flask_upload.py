"""A web service that transcribes recordings while they are uploaded.

Needs ``pip install flask``. Run ``flask --app flask_upload run``, then
``curl --data-binary @talk.wav -H "Content-Type: audio/wav" localhost:5000/transcripts``.
"""

from __future__ import annotations

from flask import Flask, request

from speechmatics_rt import AudioError, Client, SpeechmaticsError

app = Flask(__name__)


@app.post("/transcripts")
def transcribe():
    with Client() as client:  # of this request alone: no state is shared between requests
        transcript = client.transcribe(request.stream, timeout=300)
    return {"text": str(transcript), "seconds": transcript.end_time, "request_id": client.request_id}


@app.errorhandler(SpeechmaticsError)
def failed(error: SpeechmaticsError):
    if isinstance(error, AudioError):
        return {"error": str(error)}, 400  # what was uploaded is no audio
    app.logger.error("transcription failed: %s", error)
    heard = None if error.transcript is None else str(error.transcript)
    answer = {
        "error": "busy" if error.retryable else "failed",
        "heard": heard,
        "request_id": error.request_id,
    }
    if not error.retryable:
        return answer, 502
    return answer, 503, {"Retry-After": f"{error.retry_after or 5:.0f}"}
