"""Speak one scenario with the deprecated client, ``speechmatics-python``.

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

from speechmatics.client import WebsocketClient
from speechmatics.models import (
    AudioEventsConfig,
    AudioSettings,
    ConnectionSettings,
    RTTranslationConfig,
    TranscriptionConfig,
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
            await self.say(dict(self.steps.pop(0)[1]))
        self.number += 1
        return piece

    async def say(self, message):
        kind = message.pop("message")
        if (
            kind == "SetRecognitionConfig"
        ):  # it has a way of its own: the whole config, with the changes in it
            whole = {**self.client.transcription_config.asdict(), **message["transcription_config"]}
            self.client.update_transcription_config(TranscriptionConfig(**whole))
        else:
            await self.client.send_message(kind, message)


def settings(start):
    config = TranscriptionConfig(**start["transcription_config"])
    if "translation_config" in start:
        config.translation_config = RTTranslationConfig(**start["translation_config"])
    if "audio_events_config" in start:
        config.audio_events_config = AudioEventsConfig(**start["audio_events_config"])
    return config


async def speak(scenario):
    trust = ssl.create_default_context(cafile=scenario["authority"]) if scenario["authority"] else None
    connection = {"url": scenario["url"], "auth_token": scenario["key"], "ssl_context": trust}
    if scenario["keys_url"]:
        connection.update(generate_temp_token=True, mp_url=scenario["keys_url"])
    client = WebsocketClient(ConnectionSettings(**connection))
    client.add_event_handler("all", show)
    sources = {
        channel: Source(path, client, scenario["steps"] if place == 0 else ())
        for place, (channel, path) in enumerate(scenario["audio"].items())
    }
    form = dict(scenario["start"]["audio_format"])
    form.pop("type")
    audio = AudioSettings(**form, chunk_size=scenario["chunk"])
    await client.run(sources.get("", sources), settings(scenario["start"]), audio)


def main():
    scenario = json.load(sys.stdin)
    try:
        asyncio.run(speak(scenario))
    except Exception as exc:
        show({"driver": "raised", "what": f"{type(exc).__name__}: {exc}"})
    else:
        show({"driver": "returned", "what": ""})


main()
