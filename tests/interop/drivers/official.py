"""Speak one scenario with the official asynchronous SDK, ``speechmatics-rt``.

Reads the scenario as JSON from standard input; prints each message of the server as a line of JSON, then a
line that tells how it went.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import sys
from pathlib import Path

from speechmatics.rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioEncoding,
    AudioEventsConfig,
    AudioFormat,
    ConnectionConfig,
    JWTAuth,
    ServerMessageType,
    StaticKeyAuth,
    TranscriptionConfig,
    TranslationConfig,
)


def show(line):
    print(json.dumps(line), flush=True)


class Source:
    """Audio that says the steps of a scenario through the client between two reads."""

    def __init__(self, path, client, steps):
        self.file = io.BytesIO(Path(path).read_bytes())
        self.client = client
        self.steps = list(steps)
        self.number = 0

    async def read(self, size):
        piece = self.file.read(size)
        while self.steps and (self.steps[0][0] <= self.number or not piece):
            await self.say(self.steps.pop(0)[1])
        self.number += 1
        return piece

    async def say(self, message):
        if message["message"] == "ForceEndOfUtterance" and isinstance(self.client, AsyncClient):
            await self.client.force_end_of_utterance(timestamp=message.get("timestamp"))
        else:
            await self.client.send_message(message)


def settings(scenario):
    start = scenario["start"]
    form = dict(start["audio_format"])
    if form.pop("type") == "raw":
        form["encoding"] = AudioEncoding(form["encoding"])
    made = {
        "transcription_config": TranscriptionConfig(**start["transcription_config"]),
        "audio_format": AudioFormat(**form, chunk_size=scenario["chunk"]),
    }
    if "translation_config" in start:
        made["translation_config"] = TranslationConfig(**start["translation_config"])
    if "audio_events_config" in start:
        made["audio_events_config"] = AudioEventsConfig(**start["audio_events_config"])
    return made


async def speak(scenario):
    audio = scenario["audio"]
    kind = AsyncClient if "" in audio else AsyncMultiChannelClient
    trust = ssl.create_default_context(cafile=scenario["authority"])
    connection = ConnectionConfig(ssl_context=trust)
    auth = StaticKeyAuth(scenario["key"])
    if scenario["keys_url"]:
        auth = JWTAuth(scenario["key"], mp_url=scenario["keys_url"])
    async with kind(auth, url=scenario["url"], conn_config=connection) as client:
        ended = asyncio.Event()
        for name in ServerMessageType:
            client.on(name, show)
        for name in (ServerMessageType.END_OF_TRANSCRIPT, ServerMessageType.ERROR):
            client.on(name, lambda _: ended.set())
        sources = {
            channel: Source(path, client, scenario["steps"] if place == 0 else ())
            for place, (channel, path) in enumerate(audio.items())
        }
        await client.transcribe(sources.get("", sources), **settings(scenario))
        if "" not in audio:  # it returns after its last EndOfChannel, long before the end of the transcript
            await asyncio.wait_for(ended.wait(), 10)


def main():
    scenario = json.load(sys.stdin)
    try:
        asyncio.run(speak(scenario))
    except Exception as exc:
        show({"driver": "raised", "what": f"{type(exc).__name__}: {exc}"})
    else:
        show({"driver": "returned", "what": ""})


main()
