"""Live captions of an upload as Server-Sent Events: plain HTTP, where a WebSocket would be too much.

Needs ``pip install flask``. Run ``flask --app flask_events run``, then
``curl -N --data-binary @talk.wav -H "Content-Type: audio/wav" localhost:5000/captions``. In a page use
``fetch()`` and read ``response.body``: an EventSource can't send a recording.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request

from speechmatics_rt import Client, SpeechmaticsError

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 50_000_000  # bytes of an upload, which is held in memory
CONFIG = {"language": "en", "enable_partials": True, "max_delay": 1.0}
SHOWN = {"AddPartialTranscript": "partial", "AddTranscript": "final"}


@app.post("/captions")
def captions() -> Response:
    recording = request.get_data()  # here: when the generator runs, this request is over, and its body gone
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # no proxy holds the events back
    return Response(events(recording), mimetype="text/event-stream", headers=headers)


def events(recording: bytes) -> Iterator[str]:
    """Yield an event for each message with text, then ``done`` or ``failed``.

    If the browser leaves, the server closes this generator, and so the session.
    """
    with Client() as client:
        try:
            with client.stream(recording, transcription_config=CONFIG, timeout=300) as messages:
                for message in messages:
                    text = message.get("metadata", {}).get("transcript")
                    if text and message["message"] in SHOWN:
                        yield event(SHOWN[message["message"]], text)
        except SpeechmaticsError as error:  # the status was sent long ago, so an event has to say it
            yield event("failed", {"error": error.text, "retryable": error.retryable})
        else:
            yield event("done", str(client.transcript))


def event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"  # JSON has no line breaks, which would end it
