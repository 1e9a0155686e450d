"""The client of the voice agents on top of this package: its base class is our AsyncClient.

Told by JSON on stdin: url, key, audio (a file of 16-bit samples at 16 kHz), chunk (bytes), times (sessions in
a row). Prints one line of JSON: what it heard and how it stood.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import speechmatics

import speechmatics_rt.aio
import speechmatics_rt.exceptions

# By the import line alone: whoever says speechmatics.rt gets this package.
speechmatics.rt = sys.modules["speechmatics.rt"] = speechmatics_rt.aio  # type: ignore[attr-defined]
sys.modules["speechmatics.rt._exceptions"] = speechmatics_rt.exceptions

from speechmatics.voice import VoiceAgentClient, VoiceAgentConfig  # noqa: E402

warnings.simplefilter("ignore", DeprecationWarning)  # it says operating_point, as it must to old servers


async def converse(told: dict[str, Any], audio: bytes) -> dict[str, Any]:
    segments: list[str] = []
    config = VoiceAgentConfig(language="en", enable_diarization=True)
    client = VoiceAgentClient(api_key=told["key"], url=told["url"], config=config)
    heard = asyncio.Event()

    @client.on("AddSegment")
    def segment(message: dict[str, Any]) -> None:
        segments.extend(one["text"] for one in message["segments"])
        heard.set()

    async with client:
        ready = client._is_ready_for_audio
        for start in range(0, len(audio), told["chunk"]):
            await client.send_audio(audio[start : start + told["chunk"]])
        await client.force_end_of_utterance()
        client.finalize(end_of_turn=True)
        await asyncio.wait_for(heard.wait(), 20)
    return {
        "ours": isinstance(client, speechmatics_rt.aio.AsyncClient),
        "ready": ready,
        "segments": segments,
        "connected": client._is_connected or client.is_connected,
    }


def main() -> None:
    told = json.load(sys.stdin)
    audio = Path(told["audio"]).read_bytes()
    outcomes = [asyncio.run(converse(told, audio)) for _ in range(told["times"])]
    print(json.dumps(outcomes))


main()
