"""A FastAPI WebSocket as the source of a session: audio comes in, transcripts go out.

Needs ``pip install fastapi uvicorn websockets``. Run ``uvicorn fastapi_socket:app`` here, open
http://127.0.0.1:8000 and speak. The key is in SPEECHMATICS_API_KEY. Without one, run
``speechmatics-rt serve --engine whisper --port 9000`` and set SPEECHMATICS_RT_URL=ws://127.0.0.1:9000/v2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

from speechmatics_rt import AsyncClient, AudioFormat, SpeechmaticsError, TranscriptionConfig

app = FastAPI()
CONFIG = TranscriptionConfig(language="en", enable_partials=True, max_delay=1.0)


async def audio(socket: WebSocket) -> AsyncIterator[bytes]:
    """Give what the browser records, until it says that this was all, or is gone."""
    while (event := await socket.receive())["type"] == "websocket.receive" and event.get("bytes"):
        yield event["bytes"]


@app.websocket("/live")
async def live(socket: WebSocket) -> None:
    await socket.accept()
    try:
        try:
            await transcribe(socket)
            await socket.close()
        except SpeechmaticsError as error:
            await socket.send_json({"error": error.text, "retryable": error.retryable})
            await socket.close(1011)
    except WebSocketDisconnect:
        pass  # nobody reads any more; leaving `async with` has ended the session


async def transcribe(socket: WebSocket) -> None:
    container = AudioFormat()  # the browser's own: webm or mp4
    async with AsyncClient() as client:
        stream = client.stream(audio(socket), audio_format=container, transcription_config=CONFIG)
        async with stream as messages:
            async for message in messages:
                if message["message"] in ("AddTranscript", "AddPartialTranscript"):
                    transcript = messages.transcript
                    await socket.send_json({"final": transcript.text, "partial": transcript.partial})


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Speak</title>
<style>
  body { max-width: 40rem; margin: 4rem auto; padding: 0 1.25rem; font: 1.4rem/1.5 system-ui, sans-serif; }
  button { font: inherit; font-size: 1.1rem; padding: 0.6rem 1.4rem; border-radius: 2rem; }
  #partial { color: GrayText; }
</style>
<button>Speak</button>
<p><span id="final" aria-live="polite"></span> <span id="partial"></span></p>
<p id="problem" role="alert"></p>
<script>
const [button] = document.getElementsByTagName("button");
const final = document.getElementById("final");
const show = (id, text) => (document.getElementById(id).textContent = text);
let stop; // ends the recording that runs

button.onclick = async () => {
  if (stop) return stop();
  for (const id of ["final", "partial", "problem"]) show(id, "");
  button.disabled = true;
  try {
    speak(await navigator.mediaDevices.getUserMedia({audio: true}));
  } catch (error) {
    const why = isSecureContext ? error.message : "browsers allow it on https and localhost alone";
    show("problem", `The microphone can't be used: ${why}`);
  }
  button.disabled = false;
};

function speak(stream) {
  const socket = new WebSocket(location.href.replace(/^http/, "ws") + "live");
  const recorder = new MediaRecorder(stream);
  let problem = "The connection to the server failed.";
  socket.onopen = () => recorder.start(250);
  socket.onmessage = ({data}) => {
    const told = JSON.parse(data);
    if (told.error) return (problem = told.error);
    final.append(told.final.slice(final.textContent.length)); // so that only what is new is read aloud
    show("partial", told.partial);
  };
  socket.onclose = ({code}) => {
    if (code !== 1000) show("problem", problem);
    if (recorder.state === "recording") recorder.stop();
    for (const track of stream.getTracks()) track.stop();
    stop = null;
    button.disabled = false;
    button.textContent = "Speak";
  };
  recorder.ondataavailable = ({data}) => socket.readyState === 1 && data.size && socket.send(data);
  recorder.onstop = () => socket.readyState === 1 && socket.send("stop");
  stop = () => { // the rest of the transcript still comes
    button.disabled = true;
    if (recorder.state === "recording") return recorder.stop();
    problem = "";
    socket.close();
  };
  button.textContent = "Stop";
}
</script>
"""
