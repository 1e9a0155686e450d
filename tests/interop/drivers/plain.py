"""Speak one scenario with the websockets library alone.

Reads the scenario as JSON from standard input; prints each message of the server as a line of JSON, then a
line that tells how it went.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def show(line):
    print(json.dumps(line), flush=True)


class Conversation:
    def __init__(self, ws, scenario):
        self.ws = ws
        self.scenario = scenario
        self.started = asyncio.Event()

    async def listen(self):
        try:
            async for raw in self.ws:
                message = json.loads(raw)
                show(message)
                if message["message"] == "RecognitionStarted":
                    self.started.set()
                if message["message"] == "EndOfTranscript":
                    return
        finally:
            self.started.set()

    async def talk(self):
        try:
            await self.say(self.scenario["start"])
            await self.started.wait()
            await self.speak()
        except ConnectionClosed:
            pass  # who listens has heard why

    async def speak(self):
        chunk, by_channel = self.scenario["chunk"], self.scenario["audio"]
        counts = {channel: -(-len(audio) // chunk) for channel, audio in by_channel.items()}
        rounds = max(counts.values())
        for number in range(rounds):
            await self.steps(number, number)
            for channel, audio in by_channel.items():
                if number < counts[channel]:
                    await self.say_audio(channel, audio[number * chunk : (number + 1) * chunk])
                if channel and number == counts[channel] - 1:
                    await self.say(
                        {"message": "EndOfChannel", "channel": channel, "last_seq_no": counts[channel]}
                    )
        await self.steps(rounds, sys.maxsize)
        if "" in by_channel:
            await self.say({"message": "EndOfStream", "last_seq_no": counts[""]})
            for _ in range(self.scenario["late"]):
                await self.ws.send(bytes(chunk))

    async def say_audio(self, channel, piece):
        if channel:
            data = base64.b64encode(piece).decode()
            await self.say({"message": "AddChannelAudio", "channel": channel, "data": data})
        else:
            await self.ws.send(piece)

    async def steps(self, first, last):
        for number, message in self.scenario["steps"]:
            if first <= number <= last:
                await self.say(message)

    async def say(self, message):
        await self.ws.send(json.dumps(message))


def temporary_key(scenario):
    headers = {"Authorization": "Bearer " + scenario["key"], "Content-Type": "application/json"}
    url = scenario["keys_url"] + "/v1/api_keys?type=rt"
    request = urllib.request.Request(url, data=b'{"ttl": 60}', headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
        return json.load(answer)["key_value"]


async def speak(scenario):
    url, headers, key = scenario["url"], {}, scenario["key"]
    if scenario["keys_url"]:
        key = await asyncio.to_thread(temporary_key, scenario)
    if scenario["key_in_the_query"]:
        url += "?jwt=" + key
    else:
        headers["Authorization"] = "Bearer " + key
    trust = ssl.create_default_context(cafile=scenario["authority"]) if scenario["authority"] else None
    async with connect(url, additional_headers=headers, max_size=None, ssl=trust) as ws:
        conversation = Conversation(ws, scenario)
        talking = asyncio.create_task(conversation.talk())
        try:
            await conversation.listen()
        finally:
            talking.cancel()


def main():
    scenario = json.load(sys.stdin)
    for channel, path in scenario["audio"].items():
        with open(path, "rb") as file:
            scenario["audio"][channel] = file.read()
    try:
        asyncio.run(speak(scenario))
    except Exception as exc:
        show({"driver": "raised", "what": f"{type(exc).__name__}: {exc}"})
    else:
        show({"driver": "returned", "what": ""})


main()
