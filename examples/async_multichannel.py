"""The official example of several channels, with only the import line changed.

Run ``python async_multichannel.py LEFT RIGHT`` with two mono recordings.
"""

from __future__ import annotations

import asyncio
import sys

from speechmatics_rt import AsyncMultiChannelClient, ServerMessageType, SpeechmaticsError, TranscriptionConfig


async def main(left: str, right: str) -> None:
    sources = {
        "left": open(left, "rb"),  # noqa: SIM115  # closed below
        "right": open(right, "rb"),  # noqa: SIM115
    }
    try:
        async with AsyncMultiChannelClient() as client:

            @client.on(ServerMessageType.ADD_TRANSCRIPT)
            def handle_transcript(msg):
                if msg["results"]:  # finals in silence have none
                    print(f"[{msg['channel']}]: {msg['metadata']['transcript']}")

            await client.transcribe(
                sources,
                transcription_config=TranscriptionConfig(
                    language="en",
                    diarization="channel",
                    channel_diarization_labels=list(sources.keys()),
                ),
            )
    finally:
        for source in sources.values():
            source.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python async_multichannel.py LEFT RIGHT")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (OSError, SpeechmaticsError) as error:
        sys.exit(f"failed: {error}")
