"""The official quick start, with only the import line changed.

Run ``python async_client.py [FILE]``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from speechmatics_rt import AsyncClient, ServerMessageType, SpeechmaticsError

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


async def main(path: str = str(RECORDING)) -> None:
    # Create a client using environment variable SPEECHMATICS_API_KEY
    async with AsyncClient() as client:
        # Register event handlers
        @client.on(ServerMessageType.ADD_TRANSCRIPT)
        def handle_final_transcript(msg):
            print(f"Final: {msg['metadata']['transcript']}")

        # Transcribe audio file
        with open(path, "rb") as audio_file:
            await client.transcribe(audio_file)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python async_client.py [FILE]")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (OSError, SpeechmaticsError) as error:
        sys.exit(f"failed: {error}")
