"""Live captions in the browser: speak, or open a recording, and read along.

From the root of the repository::

    pip install '.[local,local-file]' flask flask-sock
    flask --app examples/flask_live/app run

and open http://127.0.0.1:5000. Speech is recognised on this machine, or by the service if there is a key in
SPEECHMATICS_API_KEY. How it works and how it is served for many: README.md beside this file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request, send_file
from flask_sock import Sock
from recogniser import local_recogniser

from speechmatics_rt import (
    AudioError,
    AudioFormat,
    AuthenticationError,
    Client,
    ConfigurationError,
    SpeechmaticsError,
    Transcript,
    TranscriptionConfig,
    TranscriptionError,
)

SAMPLE = Path(__file__).parent.parent / "audio" / "librivox_3_sentences.wav"
CAPTIONS = {"srt": "application/x-subrip", "vtt": "text/vtt"}
LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt": "Português",
}

# With a key or an address, the service; else the recogniser of this machine, which speaks English.
HERE = not (os.environ.get("SPEECHMATICS_API_KEY") or os.environ.get("SPEECHMATICS_RT_URL"))
URL = local_recogniser() if HERE else None  # None: what the environment says

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 << 20  # of a transcript that comes back to be made into captions
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25, "max_message_size": 1 << 20}
sock = Sock(app)


@app.get("/")
def page() -> str:
    return render_template("index.html", here=HERE, languages={"en": "English"} if HERE else LANGUAGES)


@app.get("/sample.wav")
def sample() -> Response:
    return send_file(SAMPLE)


@app.before_request
def refuse_other_sites() -> None:
    """Let no other site's page speak here with a visitor's browser: sockets know no same-origin rule."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403)


@sock.route("/live")
def live(ws: Any) -> None:
    """Serve one session: the page says what it will send, sends it, and "stop"; it gets what is heard.

    This thread delivers what the service says, whether the page sends anything or not; one of the client's
    own waits in ``ws.receive``. A page that has gone ends the audio, and with it the session.
    """

    def tell(message: str, **fields: Any) -> None:
        ws.send(json.dumps({"message": message, **fields}))

    try:
        asked = json.loads(ws.receive())
        audio_format = AudioFormat.of(asked["audio_format"], "audio_format")
        config = TranscriptionConfig(
            language=asked["language"], diarization="speaker", enable_partials=True, max_delay=1.0
        )
        # Where time is known, a connection that is lost is replaced, and no word with it.
        with Client(url=URL, resume=audio_format.encoding is not None, handler_errors="raise") as client:
            # How much the service has taken, for a page that sends a file no faster than that.
            client.on("AudioAdded", lambda _: tell("AudioAdded", bytes=client.stats.bytes_sent))
            client.on("Reconnecting", lambda event: tell("Reconnecting", delay=event["delay"]))
            client.on("Resumed", lambda _: tell("Resumed"))
            audio = iter(ws.receive, "stop")
            with client.stream(audio, transcription_config=config, audio_format=audio_format) as messages:
                for message in messages:
                    ws.send(json.dumps(message))
        hang_up(ws)
    except SpeechmaticsError as error:
        if not ws.connected:
            return  # the page has gone in the midst of its audio
        app.logger.warning("a session failed: %s", error)
        tell("Failed", **in_words(error))
        hang_up(ws)
    except (KeyError, TypeError, ValueError) as error:
        app.logger.warning("a page asked for what no page of ours asks: %r", error)


def hang_up(ws: Any) -> None:
    """Wait until the page has closed the socket, which it does after a last message.

    Flask's own server puts an HTTP answer behind what was sent. A browser that reads both at once takes it
    for a broken frame, and forgets the message before it.
    """
    while ws.receive(timeout=5) is not None:  # what the page had sent before it knew
        pass


def in_words(error: SpeechmaticsError) -> dict[str, Any]:
    """Say to a visitor what happened, and what may be done; the rest is for the log."""
    if isinstance(error, AudioError):
        title, text = "This recording can't be read", f"{sentence(error.text)} Please choose another one."
    elif isinstance(error, (AuthenticationError, ConfigurationError)):
        title = "This page is not set up yet"
        text = "The speech service refused it. Whoever runs this page finds the reason in its log."
    elif isinstance(error, TranscriptionError) and error.type == "invalid_audio_type":
        title = "This recording can't be read"
        text = f"{sentence(error.reason or error.text)} Please choose another one."
    elif error.retryable and isinstance(error, TranscriptionError):
        title, text = "The speech service is busy", "It has too much to do just now."
    elif error.retryable:
        title, text = "The speech service can't be reached", "The connection was lost, or never made."
    else:
        title, text = "The speech service gave up", sentence(error.text)
    return {
        "title": title,
        "text": text,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
        "request_id": error.request_id,
    }


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


@app.post("/captions.<kind>")
def captions(kind: str) -> Response:
    """Make captions of the transcript that a page holds; nothing is kept here."""
    if kind not in CAPTIONS:
        abort(404)
    transcript = Transcript.from_dict(request.get_json())
    text = transcript.to_srt() if kind == "srt" else transcript.to_vtt()
    return Response(text, content_type=f"{CAPTIONS[kind]}; charset=utf-8")
