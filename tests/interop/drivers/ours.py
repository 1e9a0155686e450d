"""Speak one scenario with this project's own client.

Reads the scenario as JSON from standard input; prints each message of the server as a line of JSON, then a
line that tells how it went.
"""

from __future__ import annotations

import io
import json
import ssl
import sys
import threading
from pathlib import Path

import speechmatics_rt
from speechmatics_rt import (
    AudioEventsConfig,
    AudioFormat,
    ConnectionConfig,
    JWTAuth,
    SpeechmaticsError,
    StaticKeyAuth,
    TranscriptionConfig,
    TranslationConfig,
)


def show(line):
    print(json.dumps(line), flush=True)


class Source:
    """Audio that says the steps of a scenario through the client between two reads.

    All channels meet before a step, and go on after it: what it is about has come equally far on each. The
    first chunk, which is read before there is a session, is followed by others once all that is to be said at
    the start has been.
    """

    def __init__(self, path, client, steps, chunk, meeting, numbers, begun):
        self.file = io.BytesIO(Path(path).read_bytes())
        self.client = client
        self.steps = list(steps)
        self.chunk = chunk
        self.number = 0
        self.meeting = meeting
        self.numbers = numbers
        self.begun = begun

    def __iter__(self):
        while True:
            piece = self.file.read(self.chunk)
            if self.number:
                self.begun.wait(10)
            if self.number in self.numbers:
                self.meeting.wait(10)
            while self.number and self.steps and (self.steps[0][0] <= self.number or not piece):
                self.say(dict(self.steps.pop(0)[1]))
            if self.number in self.numbers:
                self.meeting.wait(10)
            if not piece:
                return
            self.number += 1
            yield piece

    def say(self, message):
        kind = message.pop("message")
        if kind == "SetRecognitionConfig":
            self.client.send_message({"message": kind, **message})
        elif kind == "GetSpeakers":
            self.client.get_speakers(**message, wait=False)
        else:
            self.client.force_end_of_utterance(timestamp=message.pop("timestamp", None), **message)


def settings(start, chunk):
    form = dict(start["audio_format"])
    form.pop("type")
    made = {
        "transcription_config": TranscriptionConfig(**start["transcription_config"]),
        "audio_format": AudioFormat(**form, chunk_size=chunk),
    }
    if "translation_config" in start:
        made["translation_config"] = TranslationConfig(**start["translation_config"])
    if "audio_events_config" in start:
        made["audio_events_config"] = AudioEventsConfig(**start["audio_events_config"])
    return made


def speak(scenario):
    audio = scenario["audio"]
    kind = speechmatics_rt.Client if "" in audio else speechmatics_rt.MultiChannelClient
    auth = StaticKeyAuth(scenario["key"])
    if scenario["keys_url"]:
        auth = JWTAuth(scenario["key"], mp_url=scenario["keys_url"])
    trust = ssl.create_default_context(cafile=scenario["authority"]) if scenario["authority"] else None
    with kind(auth, url=scenario["url"], conn_config=ConnectionConfig(ssl_context=trust)) as client:
        client.on_any(show)
        meeting = threading.Barrier(len(audio))
        numbers = {number for number, _ in scenario["steps"] if number and len(audio) > 1}
        begun = threading.Event()
        sources = {
            channel: Source(
                path,
                client,
                [step for step in scenario["steps"] if step[0]] if place == 0 else (),
                scenario["chunk"],
                meeting,
                numbers,
                begun,
            )
            for place, (channel, path) in enumerate(audio.items())
        }
        for number, step in scenario["steps"]:
            if number == 0:
                client.once(
                    "RecognitionStarted", lambda _, step=step: sources[next(iter(audio))].say(dict(step))
                )
        client.once("RecognitionStarted", lambda _: begun.set())
        client.transcribe(sources.get("", sources), **settings(scenario["start"], scenario["chunk"]))


def main():
    scenario = json.load(sys.stdin)
    try:
        speak(scenario)
    except SpeechmaticsError as exc:
        show({"driver": "raised", "what": f"{type(exc).__name__}: {exc}"})
    else:
        show({"driver": "returned", "what": ""})


main()
